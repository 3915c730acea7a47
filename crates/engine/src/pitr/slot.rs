//! The slot by which a server keeps WAL until it is stored; never so much that its disk fills.

use std::time::Duration;

use model::{AppId, Failure, RecoveryPlan};
use replication::{Connection, Error, Problem, Settings};

use crate::source::{direct::Asked, postgres::session::Session};

/// What a server may keep where nobody said how much, in bytes.
const MOST: u64 = 10 << 30;
/// How long a slot that is let go of may still be in use.
const BUSY: Duration = Duration::from_secs(10);

/// What a server keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) bytes: u64,
    pub(super) status: String,
}

/// The slot of an app.
pub(crate) fn name(app: AppId) -> String {
    let id = app.to_string();
    // What is not of the clock.
    format!("backup_orchestrator_{}", &id[id.len().saturating_sub(12)..])
}

/// What a server may keep for `plan`, in bytes.
pub(super) fn most(plan: &RecoveryPlan) -> u64 {
    plan.most_kept_bytes.unwrap_or(MOST)
}

/// What the slot keeps now; `None` where it is not there.
pub(super) async fn look(asked: &Asked<'_>) -> Result<Option<Kept>, Failure> {
    let session = Session::of(asked).await?;
    let (database, tools, _) = session.maintenance().await?;
    let question = format!(
        "SELECT COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
         THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint, \
         COALESCE(wal_status, 'unknown') FROM pg_replication_slots WHERE slot_name = '{}'",
        name(asked.app.id)
    );
    let rows = session.ask(&tools, database, &question).await?;
    let [bytes, status] = rows.first().map(Vec::as_slice).unwrap_or_default() else {
        return Ok(None);
    };
    Ok(Some(Kept { bytes: bytes.parse().unwrap_or(0), status: status.clone() }))
}

/// Makes the slot where it is not there; whether it is new.
pub(super) async fn ensure(settings: &Settings, slot: &str) -> Result<bool, Error> {
    let mut connection = Connection::open(settings).await?;
    let made = connection.create_slot(slot).await;
    connection.close().await;
    made
}

/// Drops the slot, once nobody uses it any more.
pub(super) async fn release(settings: &Settings, slot: &str) -> Result<(), Error> {
    let until = tokio::time::Instant::now() + BUSY;
    loop {
        let mut connection = Connection::open(settings).await?;
        let dropped = connection.drop_slot(slot).await;
        connection.close().await;
        match dropped {
            Ok(_) => return Ok(()),
            Err(error)
                if error.server().is_some_and(|told| told.problem == Problem::SlotBusy)
                    && tokio::time::Instant::now() < until =>
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
