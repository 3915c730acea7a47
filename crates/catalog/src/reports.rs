//! What restores and drills tell of themselves, while they go on and after.

use model::RunId;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Catalog, CatalogError,
    runs::holds,
    sql::{doc, execute, json, row},
};

impl Catalog {
    /// Writes a run's report over the one before; only for who holds the run.
    pub async fn put_report(
        &self,
        run: RunId,
        token: i64,
        report: &(impl Serialize + Sync),
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        holds(&write.tx, run, token).await?;
        let sql = "INSERT INTO run_report (run_id, doc) VALUES ($1, $2) ON CONFLICT (run_id) DO UPDATE SET doc = excluded.doc";
        execute(&write.tx, sql, vec![run.to_string().into(), json(report)?.into()]).await?;
        write.commit().await
    }

    /// A run's report as last written.
    pub async fn report<T: DeserializeOwned>(&self, run: RunId) -> Result<Option<T>, CatalogError> {
        let select = "SELECT doc FROM run_report WHERE run_id = $1";
        row(&self.db, select, vec![run.to_string().into()])
            .await?
            .map(|found| doc(&found))
            .transpose()
    }
}
