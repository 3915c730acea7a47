//! Restores that were cut off: where the next try goes on, and what becomes of one that is to go on
//! no more. What it was in the middle of is put back and cleared away all the same.

use catalog::{Catalog, CatalogError};
use model::{Failure, FailureCode, RestoreReport, Run, RunKind, StepState};

use super::super::{RESUMES, next_try};
use crate::Engine;

/// How many times putting back is tried.
const LAST_TRIES: u32 = 3;

/// What an earlier try of `run` wrote down: the last one that came to write anything.
pub(super) async fn earlier_report(
    catalog: &Catalog,
    run: &Run,
) -> Result<Option<RestoreReport>, CatalogError> {
    let mut earlier = run.retry_of;
    while let Some(id) = earlier {
        if let Some(report) = catalog.report(id).await? {
            return Ok(Some(report));
        }
        earlier = match catalog.run(id).await {
            Ok(run) => run.retry_of,
            Err(CatalogError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
    }
    Ok(None)
}

/// A try that only puts back, for a restore that was cut off and is not to go on: where it has
/// something to put back or to clear away.
pub(crate) async fn last_try(engine: &Engine, run: &Run) -> Option<Run> {
    if run.kind != RunKind::Restore || run.attempt > RESUMES + LAST_TRIES {
        return None;
    }
    let catalog = &engine.0.catalog;
    let own = catalog.report::<RestoreReport>(run.id).await.ok()?;
    let report = match own {
        Some(own) => own,
        None => earlier_report(catalog, run).await.ok()??,
    };
    let is_begun = |step: &model::RestoreStep| step.state != StepState::Done && step.made.is_some();
    report.steps.iter().any(is_begun).then(|| next_try(engine, run, engine.now()))
}

/// Why `run` is only to put back, where it is.
pub(super) async fn why_no_further(
    catalog: &Catalog,
    run: &Run,
) -> Result<Option<Failure>, CatalogError> {
    let mut earlier = run.retry_of;
    while let Some(id) = earlier {
        earlier = match catalog.run(id).await {
            Ok(run) if run.cancel_requested => {
                let message = "cancelled by request, before it was cut off";
                return Ok(Some(Failure::new(FailureCode::Cancelled, message)));
            }
            Ok(run) => run.retry_of,
            Err(CatalogError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
    }
    Ok((run.attempt > RESUMES + 1).then(|| {
        let message = format!("it was cut off {} times and is given up", run.attempt - 1);
        Failure::new(FailureCode::RestoreRefused, message)
    }))
}
