//! One attempt at something, and the states it may pass through.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AppId, DestinationId, Failure, RestoreOrder, RunId, SnapshotId, SnapshotKind};

/// One attempt: queued, leased by a worker, and ended in exactly one terminal state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Identity.
    pub id: RunId,
    /// Whose run it is; `None` for one that concerns a destination as a whole.
    pub app_id: Option<AppId>,
    /// What it does.
    pub kind: RunKind,
    /// What asked for it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: RunState,
    /// What it is doing now.
    pub stage: Stage,
    /// 1 for the first try.
    pub attempt: u32,
    /// The run this one tries again.
    pub retry_of: Option<RunId>,
    /// The fire time it answers to, where a schedule asked for it.
    pub fire_at: Option<Timestamp>,
    /// The moment that names of its objects carry, where several runs are to share one; `None` is
    /// its fire time, or else its start.
    #[serde(default)]
    pub named_at: Option<Timestamp>,
    /// Fire times that passed unserved before this one, while nothing ran.
    pub missed_fires: u32,
    /// The snapshot it verifies or restores, or the one it made.
    pub snapshot_id: Option<SnapshotId>,
    /// The destination it verifies, where it concerns one only.
    pub destination_id: Option<DestinationId>,
    /// Kind of the snapshot to make.
    pub snapshot_kind: SnapshotKind,
    /// The user's own words about it.
    pub label: Option<String>,
    /// Commit of the app's code at the time, as the caller gave it.
    pub git_commit: Option<String>,
    /// Which deployment it is taken before, in the pipeline's words.
    #[serde(default)]
    pub deploy: Option<String>,
    /// What brings the app to stand still may fail: the app may be what has to be gone back from.
    #[serde(default)]
    pub lenient: bool,
    /// Not to be started earlier.
    pub not_before: Timestamp,
    /// When it was accepted.
    pub queued_at: Timestamp,
    /// When a worker first took it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Bytes read from the sources so far.
    pub bytes_read: u64,
    /// Bytes that the sources expect to send, where they said.
    pub bytes_expected: Option<u64>,
    /// What a restore is to do.
    #[serde(default)]
    pub restore: Option<RestoreOrder>,
    /// A run that has to end well before this one begins.
    #[serde(default)]
    pub after: Option<RunId>,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// Whether a check of a repository reads every byte.
    #[serde(default)]
    pub read_data: bool,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
}

words! {
    /// What a run does.
    pub enum RunKind {
        /// Makes a snapshot.
        Backup,
        /// Re-reads a snapshot's bytes at its destinations.
        Verify,
        /// Removes what a retention plan says.
        Expire,
        /// Brings a snapshot's copy from one destination to another.
        Copy,
        /// Brings back what a snapshot holds.
        Restore,
        /// Restores a snapshot to scratch and checks what came.
        Drill,
        /// Looks whether a repository is whole.
        Check,
        /// Frees what no snapshot of a repository needs any more.
        Free,
    }
}

words! {
    /// What asked for a run.
    pub enum Trigger {
        /// Its schedule, on time.
        Schedule,
        /// Its schedule, after a time in which nothing ran.
        CatchUp,
        /// Somebody.
        Manual,
        /// The policy that tries failed runs again.
        Retry,
    }
}

words! {
    /// Where a run stands.
    pub enum RunState {
        /// Accepted, not taken yet.
        Queued,
        /// Leased by a worker.
        Running,
        /// Everything asked for was done and proven.
        Succeeded,
        /// Some destinations have a proven copy, others do not.
        PartiallyFailed,
        /// Nothing usable came of it.
        Failed,
        /// Somebody stopped it.
        Cancelled,
        /// Its worker went away.
        Interrupted,
    }
}

impl RunState {
    /// Whether the run has ended; a terminal state is never left.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether a run may go from `self` to `next`.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => {
                matches!(next, Self::Running | Self::Cancelled | Self::Failed | Self::Interrupted)
            }
            Self::Running => next.is_terminal(),
            _ => false,
        }
    }
}

words! {
    /// What a run is doing.
    #[derive(Default, PartialOrd, Ord)]
    pub enum Stage {
        /// Waiting for a worker.
        #[default]
        Queued,
        /// Bringing the app to a consistent state.
        Quiesce,
        /// Asking the sources for their streams.
        Export,
        /// Streaming to the destinations.
        Store,
        /// Proving the sources' outcome and what the destinations hold.
        Check,
        /// Writing manifests and the catalog.
        Commit,
        /// Applying retention.
        Expire,
        /// Telling people.
        Notify,
        /// Looking at where a restore would go.
        Prepare,
        /// Bringing bytes back, beside what is there.
        Load,
        /// Putting what was brought back in its place.
        Switch,
        /// Removing what was made for the run only.
        Clean,
    }
}

/// A worker's right to a run. The token grows with every taking: who holds an old one can
/// neither finish nor delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// The worker.
    pub owner: String,
    /// Fencing token.
    pub token: i64,
    /// When it ends unless renewed.
    pub expires_at: Timestamp,
}

/// How a run went at one destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DestinationOutcome {
    /// The run.
    pub run_id: RunId,
    /// The destination.
    pub destination_id: DestinationId,
    /// What it is doing there.
    pub stage: Stage,
    /// `Running` until it ended there.
    pub state: RunState,
    /// Bytes sent to it so far.
    pub bytes_written: u64,
    /// Why it failed there.
    pub failure: Option<Failure>,
}

/// When a run entered a stage, and left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// Entered.
    pub started_at: Timestamp,
    /// Left; `None` while in it.
    pub finished_at: Option<Timestamp>,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Position in the run's log, from 1 without gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// During which stage.
    pub stage: Stage,
    /// One line without secrets or control characters.
    pub message: String,
}

words! {
    /// How much a log line matters.
    #[derive(PartialOrd, Ord)]
    pub enum LogLevel {
        /// Detail.
        Debug,
        /// Progress.
        Info,
        /// Something to look at.
        Warn,
        /// Something failed.
        Error,
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn terminal_states_are_never_left() {
        for from in RunState::iter().filter(|state| state.is_terminal()) {
            assert!(RunState::iter().all(|next| !from.may_become(next)), "{from} was left");
        }
    }

    #[test]
    fn success_comes_only_from_running() {
        for next in [RunState::Succeeded, RunState::PartiallyFailed] {
            let before: Vec<_> = RunState::iter().filter(|s| s.may_become(next)).collect();
            assert_eq!(before, [RunState::Running]);
        }
    }

    #[test]
    fn written_and_serialised_words_are_the_same() {
        for state in RunState::iter() {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
        }
    }
}
