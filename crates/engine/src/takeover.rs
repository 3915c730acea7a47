//! Runs that nobody works on any more: recorded as interrupted, cleaned up after, tried again.

use std::time::Duration;

use catalog::{CatalogError, Ending};
use model::{Fact, Failure, FailureCode, Run, RunId, RunState};
use store::Key;
use tokio_util::sync::CancellationToken;

use crate::{
    Engine, EngineError,
    run::{self, restore::left::Left},
};

/// How often abandoned runs and what failed runs left behind are looked for.
const EVERY: Duration = Duration::from_secs(3);

/// Ends abandoned runs until `shutdown`.
pub(crate) async fn end_abandoned_runs(engine: &Engine, shutdown: CancellationToken) {
    loop {
        if let Err(error) = end_all(engine).await {
            tracing::warn!(%error, "abandoned runs cannot be looked for; trying again");
        }
        if let Err(error) = remove_all_leftovers(engine).await {
            tracing::debug!(%error, "partial objects stay for now");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn end_all(engine: &Engine) -> Result<(), CatalogError> {
    for run in engine.0.catalog.interrupted(engine.now()).await? {
        end_one(engine, &run).await?;
    }
    Ok(())
}

/// Ends at once what an earlier process on the same data left running. Only for a catalog that
/// one process at a time may use; elsewhere leases run out by themselves.
pub(crate) async fn end_runs_of_the_past(engine: &Engine) -> Result<(), CatalogError> {
    for run in engine.0.catalog.active_runs().await? {
        if run.state == RunState::Running {
            end_one(engine, &run).await?;
        }
    }
    Ok(())
}

async fn end_one(engine: &Engine, run: &Run) -> Result<(), CatalogError> {
    let Some(lease) = &run.lease else { return Ok(()) };
    let failure = Failure::new(FailureCode::Interrupted, Fact::WorkerGone {});
    let state = RunState::Interrupted;
    let mut follow_ups: Vec<Run> =
        run::retry_of(engine, run, state, &failure).await.into_iter().collect();
    if run.cancel_requested {
        follow_ups.clear();
    }
    let mut events: Vec<_> = run::end_event(engine, run, state, Some(failure.clone().into()), None)
        .into_iter()
        .collect();
    if follow_ups.is_empty() {
        match run::restore::left::after(engine, run).await? {
            Left::Nothing => {}
            Left::Clear(clearing) => follow_ups.push(*clearing),
            Left::Tell(event) => events.push(*event),
        }
    }
    let ending = Ending {
        at: engine.now(),
        state,
        events,
        failure: Some(failure),
        snapshot: None,
        copies: Vec::new(),
        proof: None,
        follow_ups,
        bytes_read: run.bytes_read,
    };
    match engine.0.catalog.end_interrupted(run.id, lease.token, &ending).await {
        // Somebody else was quicker, or the worker came back in time.
        Err(CatalogError::LeaseLost { .. }) => Ok(()),
        other => other,
    }?;
    engine.0.queue_bell.notify_one();
    Ok(())
}

/// Removes what ended runs wrote down as begun and never committed.
async fn remove_all_leftovers(engine: &Engine) -> Result<(), EngineError> {
    for run_id in engine.0.catalog.runs_with_leftovers().await.map_err(EngineError::Catalog)? {
        if let Err(error) = remove_leftovers(engine, run_id).await {
            tracing::debug!(%error, run = %run_id, "partial objects stay for now");
        }
    }
    Ok(())
}

/// Removes the objects that run `run_id` began and no snapshot names. Exact names only, from
/// what the run wrote down before it began each of them.
pub(crate) async fn remove_leftovers(engine: &Engine, run_id: RunId) -> Result<(), EngineError> {
    let catalog = &engine.0.catalog;
    for leftover in catalog.leftovers(run_id).await.map_err(EngineError::Catalog)? {
        let destination =
            catalog.destination(leftover.destination_id).await.map_err(EngineError::Catalog)?;
        let store = engine.0.store_for(&destination).await?;
        let committed = catalog
            .is_committed(leftover.destination_id, &leftover.key)
            .await
            .map_err(EngineError::Catalog)?;
        if let Ok(key) = Key::new(&leftover.key)
            && !committed
        {
            store.delete(&key).await?;
            // Parts that a killed process left. Where this fails they wait for the sweep.
            if let Err(error) = store.abandon(&key).await {
                tracing::debug!(%error, %key, "its unfinished uploads stay for now");
            }
        }
        catalog
            .disown_object(run_id, leftover.destination_id, &leftover.key)
            .await
            .map_err(EngineError::Catalog)?;
    }
    Ok(())
}
