//! Logs of runs, and the times of their stages.

use model::{LogLevel, LogLine, RunId, StageTime};
use sea_orm::Value;
use strum::IntoEnumIterator as _;

use super::Line;
use crate::{
    Backend, Catalog, CatalogError,
    sql::{count, doc, execute, json, moment, plain, row, rows},
};

/// Which lines of a run's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only lines that matter at least so much.
    pub level: Option<LogLevel>,
    /// Only lines whose message has this in it, in whatever case; empty is every line.
    pub search: String,
    /// Only lines after the one of this number.
    pub after: i64,
    /// How many of those to leave out.
    pub offset: u64,
    /// How many; at most 10,000.
    pub limit: u64,
}

impl LogQuery {
    /// Whether it leaves lines out by what they say.
    pub fn is_filtered(&self) -> bool {
        !self.search.is_empty() || self.level.is_some_and(|level| level > LogLevel::Debug)
    }
}

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
        self.log_lines(id, &LogQuery { after, limit, ..LogQuery::default() }).await
    }

    /// Lines of a run's log, in order.
    pub async fn log_lines(
        &self,
        id: RunId,
        query: &LogQuery,
    ) -> Result<Vec<LogLine>, CatalogError> {
        let (which, mut values) = self.which_lines(id, query);
        let next = values.len() + 1;
        let select = format!(
            "SELECT doc FROM run_log WHERE {which} ORDER BY seq LIMIT ${next} OFFSET ${}",
            next + 1
        );
        values.extend([count(query.limit.min(10_000)).into(), count(query.offset).into()]);
        rows(&self.db, &select, values).await?.iter().map(doc).collect()
    }

    /// How many lines `query` finds, its offset and limit aside.
    pub async fn log_count(&self, id: RunId, query: &LogQuery) -> Result<u64, CatalogError> {
        let (which, values) = self.which_lines(id, query);
        // Lines are numbered without gaps: the last number tells without counting.
        let what = if query.is_filtered() { "COUNT(*)" } else { "MAX(seq)" };
        let select = format!("SELECT {what} AS lines FROM run_log WHERE {which}");
        let found = row(&self.db, &select, values).await?;
        let lines =
            found.map(|found| found.try_get::<Option<i64>>("", "lines")).transpose()?.flatten();
        let before = if query.is_filtered() { 0 } else { query.after.max(0) };
        Ok(u64::try_from(lines.unwrap_or(before).saturating_sub(before)).unwrap_or(0))
    }

    /// What a line has to be, and the values in it.
    fn which_lines(&self, id: RunId, query: &LogQuery) -> (String, Vec<Value>) {
        let mut which = "run_id = $1 AND seq > $2".to_owned();
        let mut values: Vec<Value> = vec![id.to_string().into(), query.after.into()];
        if let Some(least) = query.level.filter(|level| *level > LogLevel::Debug) {
            // Quotes within a message are written with a backslash: no message reads like this.
            let words = LogLevel::iter().filter(|level| *level >= least);
            let each: Vec<_> =
                words.map(|level| format!("doc LIKE '%\"level\":\"{level}\"%'")).collect();
            which = format!("{which} AND ({})", each.join(" OR "));
        }
        if !query.search.is_empty() {
            // SQLite's `LIKE` knows no case by itself.
            let (message, like) = match self.backend() {
                Backend::Sqlite => ("json_extract(doc, '$.message')", "LIKE"),
                Backend::Postgres => ("LOWER(doc::json ->> 'message')", "ILIKE"),
            };
            // Most lines are told apart without reading them as JSON, which takes longer.
            if is_itself_in_json(&query.search) {
                values.push(format!("%{}%", plain(&query.search)).into());
                which = format!("{which} AND doc {like} ${} ESCAPE '!'", values.len());
            }
            let each: Vec<_> = cases(&query.search)
                .iter()
                .map(|way| {
                    values.push(format!("%{}%", plain(way)).into());
                    format!("{message} LIKE ${} ESCAPE '!'", values.len())
                })
                .collect();
            which = format!("{which} AND ({})", each.join(" OR "));
        }
        (which, values)
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

/// Whether JSON has `text` as it is, and every database knows its letters in both cases.
fn is_itself_in_json(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
}

/// The ways to write `text` where A to Z are small: databases may know no other letters' case.
fn cases(text: &str) -> Vec<String> {
    /// More than four such letters are looked for in small ones only.
    const MOST: usize = 16;
    let mut ways = vec![String::new()];
    for letter in text.chars() {
        let mut forms: Vec<String> = vec![letter.to_lowercase().collect()];
        let large: String = letter.to_uppercase().collect();
        if !letter.is_ascii() && forms[0] != large && ways.len() < MOST {
            forms.push(large);
        }
        ways = ways
            .iter()
            .flat_map(|way| forms.iter().map(move |form| format!("{way}{form}")))
            .collect();
    }
    ways
}
