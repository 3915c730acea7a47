//! A row in the server for each minute, by which drills prove to which moment they came.

use model::Failure;

use crate::source::{direct::Asked, postgres::session::Session};

/// Writes a row, and removes those that no window reaches any more.
pub(super) async fn beat(asked: &Asked<'_>, window_days: u32) -> Result<(), Failure> {
    let session = Session::of(asked).await?;
    let database = asked.list("database").into_iter().find(|name| *name != "*");
    let (maintenance, tools, _) = session.maintenance().await?;
    let database = database.unwrap_or(maintenance);
    let days = u64::from(window_days) + 1;
    // Only the first time anything is made: who may write rows need not be who may make tables.
    let told = "SELECT to_regclass('backup_orchestrator.heartbeat') IS NOT NULL";
    if session.value(&tools, database, told).await? != "t" {
        let make = "CREATE SCHEMA IF NOT EXISTS backup_orchestrator; \
                    CREATE TABLE IF NOT EXISTS backup_orchestrator.heartbeat \
                    (at timestamptz PRIMARY KEY)";
        session.ask(&tools, database, make).await?;
    }
    let write = format!(
        "INSERT INTO backup_orchestrator.heartbeat VALUES (clock_timestamp()); \
         DELETE FROM backup_orchestrator.heartbeat WHERE at < now() - interval '{days} days'"
    );
    session.ask(&tools, database, &write).await.map(drop)
}
