//! What copies took, day by day.

use model::DestinationId;
use sea_orm::QueryResult;

use crate::{Catalog, CatalogError, sql::rows};

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

const DAY_MICROS: &str = "86400000000";

impl Catalog {
    /// Every day on which the bytes at a destination changed, oldest first.
    pub async fn storage_changes(&self) -> Result<Vec<StorageChange>, CatalogError> {
        let select = format!(
            "SELECT destination_id, day, CAST(SUM(bytes) AS BIGINT) AS bytes FROM (\
             SELECT c.destination_id AS destination_id, s.taken_at / {DAY_MICROS} AS day, c.stored_bytes AS bytes \
             FROM snapshot_copy c JOIN snapshot s ON s.id = c.snapshot_id \
             UNION ALL \
             SELECT c.destination_id, COALESCE(c.expiring_since, s.taken_at) / {DAY_MICROS}, -c.stored_bytes \
             FROM snapshot_copy c JOIN snapshot s ON s.id = c.snapshot_id WHERE c.state = 'expired'\
             ) AS change GROUP BY destination_id, day ORDER BY day, destination_id"
        );
        rows(&self.db, &select, vec![]).await?.iter().map(change).collect()
    }
}

fn change(row: &QueryResult) -> Result<StorageChange, CatalogError> {
    let destination: String = row.try_get("", "destination_id")?;
    let destination_id = destination
        .parse()
        .map_err(|error: model::id::ParseIdError| CatalogError::Corrupt(error.to_string()))?;
    Ok(StorageChange {
        destination_id,
        day: row.try_get("", "day")?,
        bytes: row.try_get("", "bytes")?,
    })
}
