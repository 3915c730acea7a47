//! What runs owe: kept until it is done, whoever does it.

use model::{Duty, OwedDuty, RunId};

use crate::{
    Catalog, CatalogError,
    sql::{execute, json, row, rows},
};

fn corrupt(error: impl ToString) -> CatalogError {
    CatalogError::Corrupt(error.to_string())
}

impl Catalog {
    /// Writes down what a run owes from now on, on machine `host`; gives its order within the run.
    pub async fn owe(
        &self,
        run: RunId,
        token: i64,
        host: &str,
        duty: &Duty,
    ) -> Result<i64, CatalogError> {
        let write = self.write().await?;
        crate::runs::holds(&write.tx, run, token).await?;
        let select = "SELECT MAX(seq) AS seq FROM run_duty WHERE run_id = $1";
        let found = row(&write.tx, select, vec![run.to_string().into()]).await?;
        let last = found.map(|found| found.try_get::<Option<i64>>("", "seq")).transpose()?;
        let seq = last.flatten().unwrap_or(0) + 1;
        let sql = "INSERT INTO run_duty (run_id, seq, host, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![run.to_string().into(), seq.into(), host.into(), json(duty)?.into()];
        execute(&write.tx, sql, values).await?;
        write.commit().await?;
        Ok(seq)
    }

    /// A duty is done.
    pub async fn duty_done(&self, run: RunId, seq: i64) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "DELETE FROM run_duty WHERE run_id = $1 AND seq = $2";
        execute(&write.tx, sql, vec![run.to_string().into(), seq.into()]).await?;
        write.commit().await
    }

    /// What a run still owes, the newest first.
    pub async fn duties(&self, run: RunId) -> Result<Vec<OwedDuty>, CatalogError> {
        let select =
            "SELECT run_id, seq, host, doc FROM run_duty WHERE run_id = $1 ORDER BY seq DESC";
        rows(&self.db, select, vec![run.to_string().into()]).await?.iter().map(read).collect()
    }

    /// What ended runs still owe on machine `host`, the newest first.
    pub async fn duties_of_ended_runs(&self, host: &str) -> Result<Vec<OwedDuty>, CatalogError> {
        let select = "SELECT run_id, seq, host, doc FROM run_duty WHERE host = $1 AND run_id IN (SELECT id FROM run WHERE state NOT IN ('queued', 'running')) ORDER BY run_id DESC, seq DESC LIMIT 1000";
        rows(&self.db, select, vec![host.into()]).await?.iter().map(read).collect()
    }
}

fn read(row: &sea_orm::QueryResult) -> Result<OwedDuty, CatalogError> {
    let duty: String = row.try_get("", "doc")?;
    Ok(OwedDuty {
        run_id: row.try_get::<String>("", "run_id")?.parse().map_err(corrupt)?,
        seq: row.try_get("", "seq")?,
        host: row.try_get("", "host")?,
        duty: serde_json::from_str(&duty)?,
    })
}
