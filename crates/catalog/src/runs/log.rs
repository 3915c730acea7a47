//! Logs of runs, and the times of their stages.

use model::{LogLine, RunId, StageTime};

use super::Line;
use crate::{
    Catalog, CatalogError,
    sql::{count, doc, execute, json, moment, row, rows},
};

impl Catalog {
    /// Adds lines to a run's log, numbered without gaps; gives the last number.
    pub async fn append_log(&self, id: RunId, lines: &[Line]) -> Result<i64, CatalogError> {
        let write = self.write().await?;
        let select = "SELECT MAX(seq) AS seq FROM run_log WHERE run_id = $1";
        let found = row(&write.tx, select, vec![id.to_string().into()]).await?;
        let mut seq = match found {
            Some(found) => found.try_get::<Option<i64>>("", "seq")?.unwrap_or(0),
            None => 0,
        };
        for (at, level, stage, message) in lines {
            seq += 1;
            let line =
                LogLine { seq, at: *at, level: *level, stage: *stage, message: message.clone() };
            let insert = "INSERT INTO run_log (run_id, seq, doc) VALUES ($1, $2, $3)";
            let values = vec![id.to_string().into(), seq.into(), json(&line)?.into()];
            execute(&write.tx, insert, values).await?;
        }
        write.commit().await?;
        Ok(seq)
    }

    /// Lines of a run's log after number `after`, at most `limit`.
    pub async fn log_after(
        &self,
        id: RunId,
        after: i64,
        limit: u64,
    ) -> Result<Vec<LogLine>, CatalogError> {
        let select = "SELECT doc FROM run_log WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let values = vec![id.to_string().into(), after.into(), count(limit.min(10_000)).into()];
        rows(&self.db, select, values).await?.iter().map(doc).collect()
    }

    /// When a run was in which stage.
    pub async fn stage_times(&self, id: RunId) -> Result<Vec<StageTime>, CatalogError> {
        let select = "SELECT stage, started_at, finished_at FROM run_stage WHERE run_id = $1 ORDER BY started_at";
        let found = rows(&self.db, select, vec![id.to_string().into()]).await?;
        found
            .iter()
            .map(|row| {
                let stage: String = row.try_get("", "stage")?;
                Ok(StageTime {
                    stage: stage
                        .parse()
                        .map_err(|e: strum::ParseError| CatalogError::Corrupt(e.to_string()))?,
                    started_at: moment(row.try_get("", "started_at")?)?,
                    finished_at: row
                        .try_get::<Option<i64>>("", "finished_at")?
                        .map(moment)
                        .transpose()?,
                })
            })
            .collect()
    }
}
