//! What restores that go on no more have left: cleared away by a run of its own, or told.

use catalog::CatalogError;
use model::{
    Event, EventId, EventKind, Fact, FailureCode, RestoreReport, Run, RunKind, RunState, Severity,
    StepState,
};

use crate::{Engine, run};

/// What is to be done after a restore that nobody works on any more.
pub(crate) enum Left {
    Nothing,
    /// Another run clears away.
    Clear(Box<Run>),
    /// That was tried often enough: people are told what is there.
    Tell(Box<Event>),
}

/// After `run` was cut off and is not taken up again.
pub(crate) async fn after(engine: &Engine, run: &Run) -> Result<Left, CatalogError> {
    let Some(report) = unfinished(engine, run).await? else { return Ok(Left::Nothing) };
    if run.attempt <= run::CLEARINGS {
        let is_cancelled = run.cancel_requested
            || run.restore.as_ref().is_some_and(|o| o.given_up == Some(FailureCode::Cancelled));
        let code = if is_cancelled { FailureCode::Cancelled } else { FailureCode::RestoreRefused };
        return Ok(clearing(engine, run, code).map_or(Left::Nothing, |run| Left::Clear(run.into())));
    }
    let mut made: Vec<_> = open(&report).filter_map(|step| step.made.as_deref()).collect();
    let stopped = report.whole.iter().flat_map(|whole| &whole.stopped);
    made.extend(stopped.map(String::as_str));
    let event = Event {
        id: engine.new_id(EventId::generate),
        at: engine.now(),
        kind: EventKind::NotPutBack,
        severity: Severity::Error,
        app_id: run.app_id,
        run_id: Some(run.id),
        snapshot_id: run.snapshot_id,
        destination_id: None,
        sentence: Fact::RestoreLeft { what: made.join(", ") }.into(),
    };
    Ok(Left::Tell(Box::new(event)))
}

/// The run that clears away in the stead of `run`, which waits and is cancelled.
pub(crate) async fn of_waiting(engine: &Engine, run: &Run) -> Result<Option<Run>, CatalogError> {
    if run.state != RunState::Queued || unfinished(engine, run).await?.is_none() {
        return Ok(None);
    }
    Ok(clearing(engine, run, FailureCode::Cancelled))
}

/// What the tries before `run`, and itself, have written down last.
pub(super) async fn earlier(
    engine: &Engine,
    run: &Run,
) -> Result<Option<RestoreReport>, CatalogError> {
    let catalog = &engine.0.catalog;
    let mut next = Some(run.id);
    let mut before = run.retry_of;
    while let Some(id) = next {
        // One that was cut off early on has written nothing.
        if let Some(report) = catalog.report(id).await? {
            return Ok(Some(report));
        }
        next = before;
        before = match next {
            Some(id) => match catalog.run(id).await {
                Ok(run) => run.retry_of,
                Err(CatalogError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
    }
    Ok(None)
}

async fn unfinished(engine: &Engine, run: &Run) -> Result<Option<RestoreReport>, CatalogError> {
    if run.kind != RunKind::Restore {
        return Ok(None);
    }
    let report = earlier(engine, run).await?;
    Ok(report.filter(|report| {
        let waits = report.whole.as_ref().is_some_and(|whole| !whole.stopped.is_empty());
        waits || open(report).next().is_some()
    }))
}

/// Steps that have made something which is not in its place.
fn open(report: &RestoreReport) -> impl Iterator<Item = &model::RestoreStep> {
    report.steps.iter().filter(|step| step.made.is_some() && step.state != StepState::Done)
}

fn clearing(engine: &Engine, run: &Run, code: FailureCode) -> Option<Run> {
    let mut order = run.restore.clone()?;
    order.given_up = Some(code);
    let again = run::again(engine, run, std::time::Duration::ZERO);
    Some(Run { restore: Some(order), after: None, ..again })
}
