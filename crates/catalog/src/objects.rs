//! Objects that runs have begun and not committed: what a crash leaves behind, by exact name.

use model::{DestinationId, RunId};

use crate::{
    Catalog, CatalogError,
    sql::{execute, row, rows},
};

/// An object that an ended run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where.
    pub destination_id: DestinationId,
    /// Its name.
    pub key: String,
}

fn corrupt(error: impl ToString) -> CatalogError {
    CatalogError::Corrupt(error.to_string())
}

impl Catalog {
    /// Writes down that a run is about to begin an object.
    pub async fn intend_object(
        &self,
        run: RunId,
        token: i64,
        at: DestinationId,
        key: &str,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        crate::runs::holds(&write.tx, run, token).await?;
        let sql = "INSERT INTO begun_object (run_id, destination_id, object_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let values = vec![run.to_string().into(), at.to_string().into(), key.into()];
        execute(&write.tx, sql, values).await?;
        write.commit().await
    }

    /// Forgets an object: it was removed, or was never the run's.
    pub async fn disown_object(
        &self,
        run: RunId,
        at: DestinationId,
        key: &str,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "DELETE FROM begun_object WHERE run_id = $1 AND destination_id = $2 AND object_key = $3";
        let values = vec![run.to_string().into(), at.to_string().into(), key.into()];
        execute(&write.tx, sql, values).await?;
        write.commit().await
    }

    /// Ended runs that have objects to remove.
    pub async fn runs_with_leftovers(&self) -> Result<Vec<RunId>, CatalogError> {
        let select = "SELECT DISTINCT run_id FROM begun_object WHERE run_id IN (SELECT id FROM run WHERE state NOT IN ('queued', 'running')) LIMIT 100";
        let found = rows(&self.db, select, vec![]).await?;
        found
            .iter()
            .map(|row| row.try_get::<String>("", "run_id")?.parse().map_err(corrupt))
            .collect()
    }

    /// What a run began and did not commit.
    pub async fn leftovers(&self, run: RunId) -> Result<Vec<Leftover>, CatalogError> {
        let select = "SELECT destination_id, object_key FROM begun_object WHERE run_id = $1";
        let found = rows(&self.db, select, vec![run.to_string().into()]).await?;
        found
            .iter()
            .map(|row| {
                let id: String = row.try_get("", "destination_id")?;
                Ok(Leftover {
                    destination_id: id.parse().map_err(corrupt)?,
                    key: row.try_get("", "object_key")?,
                })
            })
            .collect()
    }

    /// Whether a snapshot's copy at `at` names `key`: then it is nobody's leftover.
    pub async fn is_committed(&self, at: DestinationId, key: &str) -> Result<bool, CatalogError> {
        // The exact name, as it stands in JSON.
        let quoted = serde_json::to_string(key)?;
        let select = "SELECT doc FROM snapshot_copy WHERE destination_id = $1 AND state <> 'expired' AND doc LIKE $2 ESCAPE '!' LIMIT 1";
        let escaped: String = quoted
            .chars()
            .flat_map(|c| matches!(c, '%' | '_' | '!').then_some('!').into_iter().chain([c]))
            .collect();
        let values = vec![at.to_string().into(), format!("%{escaped}%").into()];
        Ok(row(&self.db, select, values).await?.is_some())
    }
}
