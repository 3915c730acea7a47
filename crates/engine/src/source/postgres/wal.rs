//! Where a server's log is.

use model::{Failure, FailureCode, RestorePoint, WalPosition};

use super::session::Session;
use crate::source::direct::Asked;

/// What is written and safe on a primary, what was replayed on a standby; with whose log it is.
const QUESTION: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END, \
     (SELECT system_identifier FROM pg_control_system()), \
     CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int END";

/// The position now.
pub(crate) async fn position(asked: &Asked<'_>) -> Result<WalPosition, Failure> {
    let session = Session::of(asked).await?;
    let (database, tools, _) = session.maintenance().await?;
    let rows = session.ask(&tools, database, QUESTION).await?;
    let told = || Failure::new(FailureCode::SourceFailed, "the server does not tell its position");
    let [lsn, system_identifier, timeline] = rows.first().map(Vec::as_slice).unwrap_or_default()
    else {
        return Err(told());
    };
    Ok(WalPosition {
        lsn: lsn.clone(),
        system_identifier: system_identifier.clone(),
        timeline: timeline.parse().map_err(|_| told())?,
        at: asked.engine.now(),
    })
}

/// Names the moment in the server's log. `name` holds nothing that SQL could stumble over.
pub(crate) async fn restore_point(asked: &Asked<'_>, name: &str) -> Result<RestorePoint, Failure> {
    let session = Session::of(asked).await?;
    let (database, tools, _) = session.maintenance().await?;
    let question = format!(
        "SELECT pg_create_restore_point('{name}'), \
         (SELECT system_identifier FROM pg_control_system()), \
         ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int"
    );
    let rows = session.ask(&tools, database, &question).await?;
    let made_at = asked.engine.now();
    let told = || Failure::new(FailureCode::SourceFailed, "the server does not tell its position");
    let [at, system, timeline] = rows.first().map(Vec::as_slice).unwrap_or_default() else {
        return Err(told());
    };
    Ok(RestorePoint {
        name: name.to_owned(),
        at: at.parse().map_err(|_| told())?,
        made_at,
        system: system.clone(),
        timeline: timeline.parse().map_err(|_| told())?,
    })
}
