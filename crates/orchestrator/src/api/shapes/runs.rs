//! Runs as the API shows them.

use catalog::CancelOutcome;
use model::{DestinationOutcome, Run, StageTime};
use serde::Serialize;
use utoipa::ToSchema;

/// A run with its stages and how it went at each destination.
#[derive(Serialize, ToSchema)]
#[schema(as = RunDetail)]
pub(in crate::api) struct RunShown {
    /// The run.
    pub(in crate::api) run: Run,
    /// Its stages so far, in order.
    pub(in crate::api) stages: Vec<StageTime>,
    /// One for each destination.
    pub(in crate::api) destinations: Vec<DestinationOutcome>,
}

/// What became of the wish to cancel.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Cancelled {
    /// What became of it.
    outcome: CancelWord,
}

/// What became of the wish to cancel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CancelOutcome)]
enum CancelWord {
    /// The run waited; it has ended.
    Cancelled,
    /// The run is under way and ends soon.
    Requested,
    /// The run had ended already.
    AlreadyEnded,
}

impl From<CancelOutcome> for Cancelled {
    fn from(outcome: CancelOutcome) -> Self {
        let outcome = match outcome {
            CancelOutcome::CancelledNow => CancelWord::Cancelled,
            CancelOutcome::Requested => CancelWord::Requested,
            CancelOutcome::AlreadyEnded => CancelWord::AlreadyEnded,
        };
        Self { outcome }
    }
}
