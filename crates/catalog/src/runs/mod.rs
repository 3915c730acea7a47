//! Runs: queued, leased, ended.

mod claim;
mod finish;
mod log;
mod query;
mod queue;

use model::{
    DestinationId, Event, Failure, LogLevel, Proof, Run, RunState, Snapshot, SnapshotId, Stage,
};
use sea_orm::QueryResult;

use crate::{
    CatalogError, CopyUpdate,
    sql::{doc, moment},
};

pub(crate) use claim::holds;
pub use log::LogQuery;
pub(crate) use query::ENDED;
pub use query::RunQuery;
pub(crate) use queue::insert_run;

/// Columns that [`read`] needs: what changes often is kept beside the document.
pub(crate) const COLUMNS: &str = "doc, state, stage, bytes_read, bytes_expected, cancel_requested, lease_owner, lease_token, lease_expires_at";

/// Whether the queue took a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is queued.
    New,
    /// The fire it answers to has a run already.
    Duplicate,
}

/// What a renewed lease tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Somebody asked the run to stop.
    pub cancel_requested: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes read from the sources.
    pub bytes_read: u64,
    /// Bytes the sources expect to send.
    pub bytes_expected: Option<u64>,
    /// Bytes that destinations have taken, for those where it changed.
    pub written: Vec<(DestinationId, u64)>,
}

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was waiting, and ended at once.
    CancelledNow,
    /// It is under way, and will hear of it.
    Requested,
    /// It had ended.
    AlreadyEnded,
}

/// How a run ended, and what is written with its end in one transaction.
#[derive(Debug, Clone)]
pub struct Ending {
    /// When.
    pub at: jiff::Timestamp,
    /// A terminal state.
    pub state: RunState,
    /// Why not succeeded.
    pub failure: Option<Failure>,
    /// The snapshot it made.
    pub snapshot: Option<Snapshot>,
    /// Copies whose state it found out.
    pub copies: Vec<CopyUpdate>,
    /// What a drill found of its snapshot.
    pub proof: Option<(SnapshotId, Proof)>,
    /// Runs that follow from it.
    pub follow_ups: Vec<Run>,
    /// What is told.
    pub events: Vec<Event>,
    /// Bytes read in all.
    pub bytes_read: u64,
}

/// One line of a log, before it has its number.
pub(crate) type Line = (jiff::Timestamp, LogLevel, Stage, String);

/// A run from a row with [`COLUMNS`].
pub(crate) fn read(row: &QueryResult) -> Result<Run, CatalogError> {
    let mut run: Run = doc(row)?;
    let word = |name: &str| row.try_get::<String>("", name);
    let corrupt = |error: strum::ParseError| CatalogError::Corrupt(error.to_string());
    run.state = word("state")?.parse().map_err(corrupt)?;
    run.stage = word("stage")?.parse().map_err(corrupt)?;
    run.bytes_read = row.try_get::<i64>("", "bytes_read")?.cast_unsigned();
    run.bytes_expected = row.try_get::<Option<i64>>("", "bytes_expected")?.map(i64::cast_unsigned);
    run.cancel_requested = row.try_get::<i64>("", "cancel_requested")? != 0;
    let owner: Option<String> = row.try_get("", "lease_owner")?;
    let expires: Option<i64> = row.try_get("", "lease_expires_at")?;
    run.lease = match (owner, expires) {
        (Some(owner), Some(expires)) => Some(model::Lease {
            owner,
            token: row.try_get("", "lease_token")?,
            expires_at: moment(expires)?,
        }),
        _ => None,
    };
    Ok(run)
}
