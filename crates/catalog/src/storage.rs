//! What copies took, day by day.

use model::{AppId, CopyState, DestinationId};
use sea_orm::QueryResult;

use crate::{
    Catalog, CatalogError,
    sql::{row, rows},
};

/// What came to a destination and left it in one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageChange {
    /// Where.
    pub destination_id: DestinationId,
    /// Days since 1970, in UTC.
    pub day: i64,
    /// Bytes of copies of snapshots that were taken that day, less those of copies that were marked
    /// to expire on it and are deleted.
    pub bytes: i64,
}

/// Copies at one destination that are in the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyCount {
    /// Where.
    pub destination_id: DestinationId,
    /// How they are.
    pub state: CopyState,
    /// How many.
    pub copies: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

const DAY_MICROS: &str = "86400000000";

impl Catalog {
    /// Every day on which the bytes at a destination changed, oldest first.
    pub async fn storage_changes(&self) -> Result<Vec<StorageChange>, CatalogError> {
        self.changes_of(None).await
    }

    /// The same of one app's copies.
    pub async fn storage_changes_of(&self, app: AppId) -> Result<Vec<StorageChange>, CatalogError> {
        self.changes_of(Some(app)).await
    }

    async fn changes_of(&self, app: Option<AppId>) -> Result<Vec<StorageChange>, CatalogError> {
        let (came, left) = match app {
            Some(_) => (" WHERE c.app_id = $1", " AND c.app_id = $2"),
            None => ("", ""),
        };
        let values = app.iter().flat_map(|app| [app.to_string().into(), app.to_string().into()]);
        let select = format!(
            "SELECT destination_id, day, CAST(SUM(bytes) AS BIGINT) AS bytes FROM (\
             SELECT c.destination_id AS destination_id, s.taken_at / {DAY_MICROS} AS day, c.stored_bytes AS bytes \
             FROM snapshot_copy c JOIN snapshot s ON s.id = c.snapshot_id{came} \
             UNION ALL \
             SELECT c.destination_id, COALESCE(c.expiring_since, s.taken_at) / {DAY_MICROS}, -c.stored_bytes \
             FROM snapshot_copy c JOIN snapshot s ON s.id = c.snapshot_id WHERE c.state = 'expired'{left}\
             ) AS change GROUP BY destination_id, day ORDER BY day, destination_id"
        );
        rows(&self.db, &select, values.collect()).await?.iter().map(change).collect()
    }
}

impl Catalog {
    /// Whether there are, or were, more than `count` copies; counts no further.
    pub async fn has_more_copies(&self, count: u64) -> Result<bool, CatalogError> {
        let select = "SELECT 1 AS one FROM snapshot_copy LIMIT 1 OFFSET $1";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(row(&self.db, select, vec![count.into()]).await?.is_some())
    }

    /// How many copies there are, by destination and state; those that expired are gone.
    pub async fn copy_counts(&self) -> Result<Vec<CopyCount>, CatalogError> {
        let select = "SELECT destination_id, state, COUNT(*) AS copies, CAST(SUM(stored_bytes) AS BIGINT) AS bytes FROM snapshot_copy WHERE state <> 'expired' GROUP BY destination_id, state ORDER BY destination_id, state";
        rows(&self.db, select, vec![]).await?.iter().map(counted).collect()
    }
}

fn counted(row: &QueryResult) -> Result<CopyCount, CatalogError> {
    let state: String = row.try_get("", "state")?;
    Ok(CopyCount {
        destination_id: destination(row)?,
        state: state
            .parse()
            .map_err(|error: strum::ParseError| CatalogError::Corrupt(error.to_string()))?,
        copies: row.try_get::<i64>("", "copies")?.cast_unsigned(),
        bytes: row.try_get::<i64>("", "bytes")?.cast_unsigned(),
    })
}

fn destination(row: &QueryResult) -> Result<DestinationId, CatalogError> {
    let id: String = row.try_get("", "destination_id")?;
    id.parse().map_err(|error: model::id::ParseIdError| CatalogError::Corrupt(error.to_string()))
}

fn change(row: &QueryResult) -> Result<StorageChange, CatalogError> {
    Ok(StorageChange {
        destination_id: destination(row)?,
        day: row.try_get("", "day")?,
        bytes: row.try_get("", "bytes")?,
    })
}
