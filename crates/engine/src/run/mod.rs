//! Runs: one module for each kind, each readable from top to bottom.

pub(crate) mod backup;
pub(crate) mod commit;
mod copy;
pub(crate) mod drill;
mod expire;
mod export;
pub(crate) mod failure;
pub(crate) mod journal;
pub(crate) mod log_file;
mod members;
mod outlet;
pub(crate) mod place;
pub(crate) mod plain;
mod reseal;
pub(crate) mod restore;
mod sealing;
mod tend;
mod upload;
mod verify;
pub(crate) mod whole;

use std::sync::{Arc, OnceLock};

use catalog::{CopyUpdate, Ending};
use model::{
    App, DestinationId, Event, EventId, EventKind, Fact, Failure, FailureCode, Proof, Run, RunId,
    RunKind, RunState, Sentence, Severity, Snapshot, SnapshotId, Trigger,
};
use store::Key;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use journal::Journal;

/// Why a run was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Somebody cancelled it.
    Cancelled,
    /// This process is ending.
    Shutdown,
    /// Another worker has taken it over.
    LeaseLost,
}

/// A run under way: what its steps need.
#[derive(Clone)]
pub(crate) struct RunContext {
    pub(crate) engine: Engine,
    pub(crate) run: Arc<Run>,
    pub(crate) lease_token: i64,
    pub(crate) journal: Arc<Journal>,
    /// What sources are read from, where that was taken before.
    pub(crate) prepared: whole::Prepared,
    stop: CancellationToken,
    stop_reason: Arc<OnceLock<StopReason>>,
}

/// How many times a restore that was cut off goes on where it was.
const RESUMES: u32 = 5;
/// The last attempt of one that was given up, counted from its first.
const CLEARINGS: u32 = 2 * RESUMES + 2;

/// What came of a run, before it is written.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) state: Option<RunState>,
    pub(crate) failure: Option<Failure>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) copies: Vec<CopyUpdate>,
    pub(crate) proof: Option<(SnapshotId, Proof)>,
    pub(crate) follow_ups: Vec<Run>,
    pub(crate) events: Vec<Event>,
}

impl Outcome {
    pub(crate) fn succeeded() -> Self {
        Self { state: Some(RunState::Succeeded), ..Self::default() }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self { state: Some(RunState::Failed), failure: Some(failure), ..Self::default() }
    }
}

impl RunContext {
    pub(crate) fn new(engine: Engine, run: Run, lease_token: i64) -> Self {
        let journal = Journal::new(
            engine.0.catalog.clone(),
            Arc::clone(&engine.0.clock),
            run.id,
            lease_token,
        );
        Self {
            engine,
            run: Arc::new(run),
            lease_token,
            journal: Arc::new(journal),
            prepared: whole::Prepared::default(),
            stop: CancellationToken::new(),
            stop_reason: Arc::default(),
        }
    }

    /// Tells the run to stop; the first reason stands.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self.stop_reason.set(reason);
        self.stop.cancel();
    }

    /// Resolves when the run is told to stop.
    pub(crate) async fn stopped(&self) -> Failure {
        self.stop.cancelled().await;
        self.stop_failure()
    }

    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Errs when the run was told to stop.
    pub(crate) fn keep_going(&self) -> Result<(), Failure> {
        if self.stop.is_cancelled() { Err(self.stop_failure()) } else { Ok(()) }
    }

    /// The same for a step that somebody's change of mind must not leave half done: who is cut off
    /// goes on later.
    pub(crate) fn keep_going_once_begun(&self) -> Result<(), Failure> {
        match self.stop_reason() {
            Some(StopReason::Shutdown | StopReason::LeaseLost) => self.keep_going(),
            _ => Ok(()),
        }
    }

    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        self.stop_reason.get().copied()
    }

    fn stop_failure(&self) -> Failure {
        match self.stop_reason() {
            Some(StopReason::Cancelled) | None => {
                Failure::new(FailureCode::Cancelled, "cancelled by request")
            }
            Some(StopReason::Shutdown) => Failure::new(
                FailureCode::Interrupted,
                "the orchestrator was stopped while this run went on",
            ),
            Some(StopReason::LeaseLost) => Failure::new(
                FailureCode::Interrupted,
                "this worker lost its lease (it was silent for too long, or the catalog was out \
                 of reach) and stopped",
            ),
        }
    }

    /// Proves that this worker may still write and delete for the run.
    pub(crate) async fn check_lease(&self) -> Result<(), Failure> {
        self.keep_going()?;
        self.prove_lease().await
    }

    /// The same for a step that somebody's change of mind must not leave half done.
    pub(crate) async fn check_lease_once_begun(&self) -> Result<(), Failure> {
        self.keep_going_once_begun()?;
        self.prove_lease().await
    }

    async fn prove_lease(&self) -> Result<(), Failure> {
        let now = self.engine.now();
        match self.engine.0.catalog.check_lease(self.run.id, self.lease_token, now).await {
            Ok(()) => Ok(()),
            Err(catalog::CatalogError::LeaseLost { .. }) => {
                self.stop(StopReason::LeaseLost);
                Err(self.stop_failure())
            }
            Err(error) => Err(failure::of_catalog(&error)),
        }
    }

    /// Writes down that the run is about to begin `key`, so that what a crash leaves behind can
    /// be told from what others put there.
    pub(crate) async fn intend(&self, at: DestinationId, key: &Key) -> Result<(), Failure> {
        self.engine
            .0
            .catalog
            .intend_object(self.run.id, self.lease_token, at, key.as_str())
            .await
            .map_err(|error| failure::of_catalog(&error))
    }

    /// Takes [`Self::intend`] back: the object was there before us and is not ours.
    pub(crate) async fn disown(&self, at: DestinationId, key: &Key) -> Result<(), Failure> {
        self.engine
            .0
            .catalog
            .disown_object(self.run.id, at, key.as_str())
            .await
            .map_err(|error| failure::of_catalog(&error))
    }

    /// The app as it is now.
    pub(crate) async fn app(&self) -> Result<App, Failure> {
        let gone = || {
            Failure::new(
                FailureCode::ConfigurationChanged,
                "the app was removed after this run was queued",
            )
        };
        let id = self.run.app_id.ok_or_else(gone)?;
        self.engine.0.catalog.app(id).await.map_err(|error| match error {
            catalog::CatalogError::NotFound { .. } => gone(),
            other => failure::of_catalog(&other),
        })
    }
}

/// Does what a run is for. Never panics on an outside fault; every path gives an outcome.
pub(crate) async fn perform(context: &RunContext) -> Outcome {
    match context.run.kind {
        RunKind::Backup => backup::backup(context).await,
        RunKind::Verify => verify::verify(context).await,
        RunKind::Expire => expire::expire(context).await,
        RunKind::Copy => copy::copy(context).await,
        RunKind::Restore => restore::restore(context).await,
        RunKind::Drill => drill::drill(context).await,
        RunKind::Check => tend::check(context).await,
        RunKind::Free => tend::free(context).await,
    }
}

/// Turns an outcome into what the catalog writes: terminal state, retry, events.
pub(crate) async fn ending(context: &RunContext, mut outcome: Outcome) -> Ending {
    let now = context.engine.now();
    let state = match (&outcome.failure, outcome.state) {
        (Some(failure), state) => match failure.code {
            FailureCode::Cancelled => RunState::Cancelled,
            FailureCode::Interrupted => RunState::Interrupted,
            _ => state.unwrap_or(RunState::Failed),
        },
        (None, state) => state.unwrap_or(RunState::Failed),
    };
    if let Some(failure) = &outcome.failure
        && let Some(retry) = retry_of(&context.engine, &context.run, state, failure).await
    {
        outcome.follow_ups.push(retry);
    } else if state == RunState::Interrupted {
        // Where even this cannot be asked, nothing can be written either.
        match restore::left::after(&context.engine, &context.run).await {
            Ok(restore::left::Left::Clear(clearing)) => outcome.follow_ups.push(*clearing),
            Ok(restore::left::Left::Tell(event)) => outcome.events.push(*event),
            Ok(restore::left::Left::Nothing) | Err(_) => {}
        }
    }
    let why = outcome.failure.clone().map(Sentence::from);
    outcome.events.extend(end_event(
        &context.engine,
        &context.run,
        state,
        why,
        outcome.snapshot.as_ref(),
    ));
    Ending {
        at: now,
        state,
        failure: outcome.failure,
        snapshot: outcome.snapshot,
        copies: outcome.copies,
        proof: outcome.proof,
        follow_ups: outcome.follow_ups,
        events: outcome.events,
        bytes_read: context.journal.bytes_read(),
    }
}

/// The next try of a run that ended without success, if policy gives it one.
pub(crate) async fn retry_of(
    engine: &Engine,
    run: &Run,
    state: RunState,
    failure: &Failure,
) -> Option<Run> {
    let interrupted = state == RunState::Interrupted;
    if !(state == RunState::Failed && failure.retryable || interrupted) {
        return None;
    }
    // Retention is planned anew after the next snapshot, and restores and drills that failed are
    // for people to look at; only a crash needs another try of them.
    let once = matches!(run.kind, RunKind::Expire | RunKind::Restore | RunKind::Drill);
    let most = match &run.restore {
        Some(order) if order.given_up.is_some() => CLEARINGS,
        Some(_) => RESUMES,
        None => retries(engine, run).await,
    };
    if once && !interrupted || run.attempt > most {
        return None;
    }
    let delay = if interrupted {
        std::time::Duration::ZERO
    } else {
        engine.0.config.retry_delay * 2_u32.saturating_pow(run.attempt.min(10) - 1)
    };
    Some(again(engine, run, delay))
}

/// `run` once more, as the next attempt.
pub(crate) fn again(engine: &Engine, run: &Run, delay: std::time::Duration) -> Run {
    let now = engine.now();
    Run {
        id: engine.new_id(RunId::generate),
        trigger: Trigger::Retry,
        state: RunState::Queued,
        stage: model::Stage::Queued,
        attempt: run.attempt + 1,
        retry_of: Some(run.id),
        snapshot_id: run.snapshot_id.filter(|_| run.kind != RunKind::Backup),
        not_before: now.saturating_add(delay).unwrap_or(now),
        queued_at: now,
        started_at: None,
        finished_at: None,
        bytes_read: 0,
        bytes_expected: None,
        cancel_requested: false,
        lease: None,
        failure: None,
        ..run.clone()
    }
}

/// How many times `run` may be tried again: what its app says, else the configuration.
async fn retries(engine: &Engine, run: &Run) -> u32 {
    let Some(id) = run.app_id else { return engine.0.config.retries };
    match engine.0.catalog.app(id).await {
        Ok(app) => app.limits.retries.unwrap_or(engine.0.config.retries),
        // Of an app that was removed there is nothing to try.
        Err(catalog::CatalogError::NotFound { .. }) => 0,
        Err(_) => engine.0.config.retries,
    }
}

/// The event that tells of a run's end.
pub(crate) fn end_event(
    engine: &Engine,
    run: &Run,
    state: RunState,
    why: Option<Sentence>,
    snapshot: Option<&Snapshot>,
) -> Option<Event> {
    let (kind, severity) = match state {
        RunState::Succeeded => (EventKind::RunSucceeded, Severity::Info),
        RunState::PartiallyFailed => (EventKind::RunPartiallyFailed, Severity::Error),
        RunState::Failed => (EventKind::RunFailed, Severity::Error),
        RunState::Cancelled => (EventKind::RunCancelled, Severity::Warning),
        RunState::Interrupted => (EventKind::RunInterrupted, Severity::Warning),
        RunState::Queued | RunState::Running => return None,
    };
    Some(Event {
        id: engine.new_id(EventId::generate),
        at: engine.now(),
        kind,
        severity,
        app_id: run.app_id,
        run_id: Some(run.id),
        snapshot_id: snapshot.map(|s| s.id).or(run.snapshot_id),
        destination_id: run.destination_id,
        sentence: why.unwrap_or_else(|| match state {
            RunState::Succeeded => Fact::RunDone {}.into(),
            _ => format!("the run {state}").into(),
        }),
    })
}
