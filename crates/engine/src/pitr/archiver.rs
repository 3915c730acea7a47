//! How a server's own `archive_command` does: what it says of itself.

use jiff::Timestamp;
use model::{Failure, FailureCode, Lsn};

use crate::source::{direct::Asked, postgres::session::Session};

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archiver {
    /// Where its WAL ends.
    pub(super) at: Lsn,
    /// When it said so, by its own clock.
    pub(super) said: Timestamp,
    /// The file that it cannot hand over, where the last try failed.
    pub(super) failing: Option<String>,
}

const QUESTION: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END, \
     to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
     CASE WHEN last_failed_time > COALESCE(last_archived_time, '-infinity') \
     THEN last_failed_wal ELSE '' END FROM pg_stat_archiver";

pub(super) async fn look(asked: &Asked<'_>) -> Result<Archiver, Failure> {
    let session = Session::of(asked).await?;
    let (database, tools, _) = session.maintenance().await?;
    let rows = session.ask(&tools, database, QUESTION).await?;
    let told =
        || Failure::new(FailureCode::SourceFailed, "the server does not tell of its archiver");
    let [at, said, failing] = rows.first().map(Vec::as_slice).unwrap_or_default() else {
        return Err(told());
    };
    Ok(Archiver {
        at: at.parse().map_err(|_| told())?,
        said: said.parse().map_err(|_| told())?,
        failing: Some(failing.clone()).filter(|file| !file.is_empty()),
    })
}
