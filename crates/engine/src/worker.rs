//! Works off the queue: takes runs, keeps their leases, writes their ends.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use catalog::CatalogError;
use jiff::SignedDuration;
use model::{LogLevel, Run, RunKind, RunState};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field};

use crate::{
    Engine,
    run::{self, Outcome, RunContext, StopReason, journal::FLUSH_EVERY},
};

/// How long short runs get to end by themselves at shutdown.
const FINISH: Duration = Duration::from_secs(2);
/// How long interrupted runs get after that to write it down; both together stay below ten
/// seconds.
const DRAIN: Duration = Duration::from_secs(7);

/// How often a run is looked at for a cancel.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the end of a run is tried to be written while the catalog refuses.
const WRITE_RETRY_EVERY: Duration = Duration::from_millis(500);

/// Takes queued runs until `shutdown`, then drains.
pub(crate) async fn work_off_runs(engine: &Engine, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(engine.0.config.workers));
    let mut under_way = JoinSet::new();
    let stop_all = CancellationToken::new();
    while !shutdown.is_cancelled() {
        while under_way.try_join_next().is_some() {}
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the slots are never closed"),
        };
        match claim(engine).await {
            Ok(Some(run)) => {
                let (engine, stop_all) = (engine.clone(), stop_all.clone());
                under_way.spawn(async move {
                    // Only these compress: an expire run must not cost them their workers.
                    let streams = usize::from(run.kind == RunKind::Backup);
                    engine.0.streams.fetch_add(streams, Ordering::Relaxed);
                    let span = run_span(&engine, &run).await;
                    work(engine.clone(), run, stop_all).instrument(span).await;
                    engine.0.streams.fetch_sub(streams, Ordering::Relaxed);
                    drop(slot);
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the queue cannot be read; trying again"),
        }
        drop(slot);
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = engine.0.queue_bell.notified() => {}
            () = tokio::time::sleep(engine.0.config.tick) => {}
        }
    }
    let drained = async { while under_way.join_next().await.is_some() {} };
    // Short runs may end; the rest is interrupted, recorded and queued again.
    if tokio::time::timeout(FINISH, drained).await.is_err() {
        stop_all.cancel();
        let drained = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some runs did not end in time; they are taken over at the next start");
        }
    }
}

async fn claim(engine: &Engine) -> Result<Option<Run>, CatalogError> {
    let config = &engine.0.config;
    engine.0.catalog.claim(&config.instance, engine.now(), signed(config.lease)).await
}

/// What every line of the log about a run has beside it, and its trace.
async fn run_span(engine: &Engine, run: &Run) -> Span {
    let app = match run.app_id {
        Some(id) => engine.0.catalog.app(id).await.ok(),
        None => None,
    };
    let span = tracing::info_span!(
        "run",
        run = %run.id,
        app = field::Empty,
        kind = %run.kind,
        outcome = field::Empty,
        failure = field::Empty,
        otel.status_code = field::Empty,
    );
    if let Some(app) = app {
        span.record("app", app.name.as_str());
    }
    span
}

/// One run from its taking to its written end.
async fn work(engine: Engine, run: Run, stop_all: CancellationToken) {
    let Some(lease_token) = run.lease.as_ref().map(|lease| lease.token) else {
        tracing::error!(run = %run.id, "a claimed run has no lease");
        return;
    };
    let context = RunContext::new(engine, run, lease_token);
    tracing::info!(trigger = %context.run.trigger, attempt = context.run.attempt, "the run begins");
    let keeper = tokio::spawn(keep_lease(context.clone(), stop_all));
    let no_more = CancellationToken::new();
    let reporter = tokio::spawn(report(context.clone(), no_more.clone()));
    // A task of its own, so that a fault of ours ends in a record and not in silence.
    let outcome = {
        let context = context.clone();
        tokio::spawn(async move { run::perform(&context).await }.in_current_span()).await
    };
    // Cut off in the middle it would lose the lines that it has taken.
    no_more.cancel();
    let _ = reporter.await;
    let outcome = outcome.unwrap_or_else(|panic| {
        Outcome::failed(model::Failure::new(
            model::FailureCode::Internal,
            format!("the run ended by a fault of the orchestrator: {panic}"),
        ))
    });
    for trouble in crate::duty::settle_all(&context.engine, context.run.id).await {
        context.journal.warn(trouble);
    }
    write_end(&context, outcome).await;
    keeper.abort();
    context.engine.0.queue_bell.notify_one();
}

/// Renews the lease and listens for a cancel until the run ends.
async fn keep_lease(context: RunContext, stop_all: CancellationToken) {
    let config = &context.engine.0.config;
    let lease = signed(config.lease);
    let mut last_renewed = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stop_all.cancelled(), if context.stop_reason().is_none() => {
                context.stop(StopReason::Shutdown);
            }
            () = tokio::time::sleep(config.heartbeat.min(LOOK_EVERY)) => {}
        }
        if last_renewed.elapsed() + LOOK_EVERY < config.heartbeat {
            // Looking costs no write: many runs at once would make the disk sync for each.
            if let Ok(run) = context.engine.0.catalog.run(context.run.id).await
                && run.cancel_requested
            {
                context.stop(StopReason::Cancelled);
            }
            continue;
        }
        let now = context.engine.now();
        let beat =
            context.engine.0.catalog.heartbeat(context.run.id, context.lease_token, now, lease);
        match tokio::time::timeout(config.lease / 2, beat).await {
            Ok(Ok(beat)) => {
                last_renewed = tokio::time::Instant::now();
                if beat.cancel_requested {
                    context.stop(StopReason::Cancelled);
                }
            }
            Ok(Err(CatalogError::LeaseLost { .. })) => {
                context.stop(StopReason::LeaseLost);
                return;
            }
            // The catalog is out of reach: go on until the lease would have ended.
            Ok(Err(_)) | Err(_) => {
                if last_renewed.elapsed() >= config.lease {
                    context.stop(StopReason::LeaseLost);
                    return;
                }
            }
        }
    }
}

/// Writes log lines and progress while the run goes on.
async fn report(context: RunContext, no_more: CancellationToken) {
    loop {
        tokio::select! {
            () = no_more.cancelled() => return,
            () = tokio::time::sleep(FLUSH_EVERY) => {}
        }
        // One at a time: leases are renewed through the same catalog, and must not wait behind the
        // progress of everybody else.
        let Ok(_turn) = context.engine.0.reporting.try_acquire() else { continue };
        // A failed flush keeps its lines; the lease keeper decides whether the catalog is gone.
        let _ = context.journal.flush().await;
    }
}

/// Writes the end, again and again while the catalog refuses and the lease may still be ours.
async fn write_end(context: &RunContext, outcome: Outcome) {
    let mut ending = run::ending(context, outcome).await;
    match ending.state {
        RunState::Succeeded => context.journal.info("done"),
        state => context.journal.log_end(LogLevel::Error, state, ending.failure.as_ref()),
    }
    context.journal.leave();
    run::log_file::put(context, &mut ending).await;
    loop {
        let _ = context.journal.flush().await;
        let written =
            context.engine.0.catalog.finish(context.run.id, context.lease_token, &ending).await;
        match written {
            Ok(()) => return tell_end(&ending),
            Err(CatalogError::LeaseLost { .. }) => {
                tracing::warn!(run = %context.run.id, "another worker has taken this run over");
                return;
            }
            Err(error) if error.is_retryable() => {
                if context.stop_reason() == Some(StopReason::LeaseLost) {
                    tracing::warn!(run = %context.run.id, %error, "the end could not be recorded");
                    return;
                }
                tokio::time::sleep(WRITE_RETRY_EVERY).await;
            }
            Err(error) => {
                tracing::error!(run = %context.run.id, %error, "the end could not be recorded");
                return;
            }
        }
    }
}

/// Tells the log and the trace how the run of the present span ended.
fn tell_end(ending: &catalog::Ending) {
    let span = Span::current();
    span.record("outcome", field::display(ending.state));
    if let Some(failure) = &ending.failure {
        span.record("failure", field::display(failure.code));
    }
    if ending.state == RunState::Succeeded {
        tracing::info!("the run ended");
    } else {
        span.record("otel.status_code", "ERROR");
        tracing::warn!("the run ended");
    }
}

/// Durations of the configuration are far below what a signed one holds.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
