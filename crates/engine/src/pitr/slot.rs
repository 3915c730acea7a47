//! The slot by which a server keeps WAL until it is stored; never so much that its disk fills.

use std::time::Duration;

use model::{AppId, Fact, Failure, FailureCode, RecoveryPlan, Told};
use replication::{Connection, Error, Problem, Settings};

use super::room::{self, Home, Room};
use crate::source::{direct::Asked, postgres::session::Session};

/// What a server may keep where nobody said how much, in bytes.
const MOST: u64 = 10 << 30;
/// Less than this, in bytes, is not worth a hole: a slot that keeps so little fills no disk.
const LEAST: u64 = 64 << 20;
/// How long a slot that is let go of may still be in use.
const BUSY: Duration = Duration::from_secs(10);

/// What a server keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) bytes: u64,
    pub(super) status: String,
}

/// What a server says of the slot, and of how much it can keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// `None` where there is no slot.
    pub(super) kept: Option<Kept>,
    /// `max_slot_wal_keep_size` in bytes, where the server has such a bound.
    pub(super) bound: Option<u64>,
    /// What is free where it keeps WAL, or why that is not known.
    pub(super) room: Result<Room, Told>,
}

impl Look {
    /// What the server may keep for `plan`, in bytes: the least of what was said, of what the server
    /// allows, and of half of what it could keep at all, so that never more is kept than is free.
    pub(super) fn most(&self, plan: &RecoveryPlan) -> u64 {
        let said = plan.most_kept_bytes.unwrap_or(MOST);
        let bound = self.bound.unwrap_or(u64::MAX);
        let kept = self.kept.as_ref().map_or(0, |kept| kept.bytes);
        let half = self.room.as_ref().map(|room| (kept.saturating_add(room.free) / 2).max(LEAST));
        said.min(bound).min(half.unwrap_or(u64::MAX))
    }

    /// What is free where the server keeps WAL, where that is known.
    pub(super) fn free(&self) -> Option<u64> {
        self.room.as_ref().ok().map(|room| room.free)
    }
}

/// The slot of an app.
pub(crate) fn name(app: AppId) -> String {
    let id = app.to_string();
    // What is not of the clock.
    format!("backup_orchestrator_{}", &id[id.len().saturating_sub(12)..])
}

/// Asks the server.
pub(super) async fn look(asked: &Asked<'_>) -> Result<Look, Failure> {
    let session = Session::of(asked).await?;
    let (database, tools, _) = session.maintenance().await?;
    let setting = |name: &str| {
        format!("COALESCE((SELECT setting FROM pg_settings WHERE name = '{name}'), '')")
    };
    let question = format!(
        "SELECT COALESCE(slot_name, ''), \
         COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
         THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint, \
         COALESCE(wal_status, 'unknown'), {}, {}, \
         extract(epoch FROM pg_postmaster_start_time())::bigint, \
         (SELECT system_identifier FROM pg_control_system()) \
         FROM (SELECT 1) AS one LEFT JOIN pg_replication_slots ON slot_name = '{}'",
        setting("max_slot_wal_keep_size"),
        setting("data_directory"),
        name(asked.app.id)
    );
    let rows = session.ask(&tools, database, &question).await?;
    let [slot, bytes, status, bound, data, started, system] =
        rows.first().map(Vec::as_slice).unwrap_or_default()
    else {
        return Err(Failure::new(FailureCode::SourceFailed, Fact::SlotsUntold {}));
    };
    let kept = Kept { bytes: bytes.parse().unwrap_or(0), status: status.clone() };
    let home = Home {
        data: data.into(),
        started: started.parse().unwrap_or_default(),
        system: system.clone(),
    };
    Ok(Look {
        kept: Some(kept).filter(|_| !slot.is_empty()),
        // In MiB; below zero there is none.
        bound: bound.parse::<u64>().ok().map(|mib| mib.saturating_mul(1 << 20)),
        room: room::look(asked, &home).await,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_limits_counts() {
        const GIB: u64 = 1 << 30;
        let plan = |most_kept_bytes| RecoveryPlan {
            source: "pg".parse().unwrap(),
            way: model::WalWay::Stream,
            destination: format!("{:026}", 1).parse().unwrap(),
            base_every_hours: 24,
            window_days: 7,
            heartbeat: false,
            most_kept_bytes,
        };
        let look = |kept: u64, bound, free: Option<u64>| Look {
            kept: Some(Kept { bytes: kept, status: "reserved".to_owned() }),
            bound,
            room: free.map(|free| Room { free, at: "/".into() }).ok_or_else(Told::default),
        };
        assert_eq!(look(GIB, None, None).most(&plan(None)), 10 * GIB);
        assert_eq!(look(GIB, None, None).most(&plan(Some(2 * GIB))), 2 * GIB);
        assert_eq!(look(GIB, Some(3 * GIB), None).most(&plan(None)), 3 * GIB);
        // What is kept and what is free together are the room: half of it, whatever is kept now.
        assert_eq!(look(GIB, Some(3 * GIB), Some(3 * GIB)).most(&plan(None)), 2 * GIB);
        assert_eq!(look(2 * GIB, None, Some(2 * GIB)).most(&plan(None)), 2 * GIB);
        // On a disk that others have filled, letting go of next to nothing helps nobody.
        assert_eq!(look(16 << 20, None, Some(0)).most(&plan(None)), 64 << 20);
    }
}
