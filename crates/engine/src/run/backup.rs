//! A backup run, top to bottom: sources → sealed streams → destinations → proof → manifests →
//! one catalog transaction.

use jiff::{Timestamp, tz::TimeZone};
use model::{
    App, Event, EventId, EventKind, Fact, Failure, FailureCode, QuiesceMode, Run, RunId, RunKind,
    RunState, Sentence, Severity, Size, Snapshot, SnapshotId, Source, Stage, StoredCopy, Trigger,
    layout::NameFields,
};
use tracing::Instrument as _;

use super::{
    Outcome, RunContext,
    commit::put_manifest,
    export::{Exported, export},
    failure,
    place::Place,
    whole::Standstill,
};
use crate::{anomaly, docker::around::Around, pitr, source};

/// Makes a snapshot of the run's app.
pub(crate) async fn backup(context: &RunContext) -> Outcome {
    let mut places = Vec::new();
    match make_snapshot(context, &mut places).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            undo(context, &mut places, &failure).await;
            Outcome::failed(failure)
        }
    }
}

async fn make_snapshot(context: &RunContext, places: &mut Vec<Place>) -> Result<Outcome, Failure> {
    let app = context.app().await?;
    if !app.enabled && context.run.trigger != Trigger::Manual {
        return Err(Failure::new(
            FailureCode::ConfigurationChanged,
            format!("`{}` was disabled after this run was queued", app.name),
        ));
    }
    let app = if pitr::is_base(&context.run) { pitr::alone(&context.engine, &app)? } else { app };
    *places = Place::open_all(context, &app).await?;
    if pitr::is_base(&context.run) {
        return make_base(context, &app, places).await;
    }

    let around = Around::begin(context, &app).await?;
    let mut still = match Standstill::begin(context, &app).await {
        Ok(still) => still,
        Err(failure) => {
            if let Err(trouble) = around.end(context).await {
                context.journal.warn(trouble.message);
            }
            return Err(failure);
        }
    };
    let exports = export_all(context, &app, places, &mut still).await;
    let ended = still.release(context).await.and(around.end(context).await);
    let exports = exports.inspect_err(|_| {
        if let Err(failure) = &ended {
            context.journal.warn(&failure.message);
        }
    })?;

    let mut snapshot = describe(context, &app, exports);
    let (app_state, troubles) = still.told(&app, &snapshot.artifacts).await;
    snapshot.note(app_state, troubles);
    snapshot.anomalous = anomaly::is_anomalous(&context.engine, &snapshot).await?;

    enter(context, Stage::Commit).await?;
    for place in places.iter_mut().filter(|place| place.is_well()) {
        context.check_lease().await?;
        put_manifest(context, &app, &mut snapshot, place).await?;
    }
    if snapshot.copies.is_empty() {
        return Err(first_failure(places));
    }
    let mut outcome = conclude(context, &app, snapshot, places);
    if let Err(failure) = ended {
        outcome.state = Some(RunState::PartiallyFailed);
        // A new snapshot would mend nothing.
        let failure = Failure { retryable: false, ..failure.told_in(|why| Fact::WholeBut { why }) };
        outcome.failure = Some(match outcome.failure.take() {
            Some(other) => failure.told_in(|then| Fact::Also { first: other.into(), then }),
            None => failure,
        });
    }
    Ok(outcome)
}

/// A base backup of the server whose WAL is archived: the app is not stopped for it.
async fn make_base(
    context: &RunContext,
    app: &App,
    places: &mut [Place],
) -> Result<Outcome, Failure> {
    let source = app.sources.first().ok_or_else(|| {
        Failure::new(FailureCode::ConfigurationChanged, "the app's archive of WAL has no source")
    })?;
    let exported = export(context, app, source, &pitr::base_part(&source.name), places).await?;
    let mut snapshot = describe(context, app, vec![exported]);
    snapshot.anomalous = anomaly::is_anomalous(&context.engine, &snapshot).await?;
    enter(context, Stage::Commit).await?;
    for place in places.iter_mut().filter(|place| place.is_well()) {
        context.check_lease().await?;
        put_manifest(context, app, &mut snapshot, place).await?;
    }
    if snapshot.copies.is_empty() {
        return Err(first_failure(places));
    }
    Ok(conclude(context, app, snapshot, places))
}

/// Every part of every source, one after the other. What can be read from a snapshot of its file
/// system is read last, when the app goes on already.
async fn export_all(
    context: &RunContext,
    app: &App,
    places: &mut [Place],
    still: &mut Standstill,
) -> Result<Vec<Exported>, Failure> {
    let by_snapshot = app.quiesce.mode == QuiesceMode::Filesystem;
    let may_stand = |source: &&Source| by_snapshot && !source::is_of_one_moment(source);
    let mut exports = Vec::with_capacity(app.sources.len());
    for source in app.sources.iter().filter(|source| !may_stand(source)) {
        export_parts(context, app, source, places, &mut exports).await?;
    }
    let mut standing = Vec::new();
    for source in app.sources.iter().filter(may_stand) {
        if still.stand(context, app, source).await? {
            standing.push(source);
        } else {
            export_parts(context, app, source, places, &mut exports).await?;
        }
    }
    if by_snapshot {
        still.go_on(context).await;
    }
    for source in standing {
        export_parts(context, app, source, places, &mut exports).await?;
    }
    let place_of = |one: &Exported| {
        let own = crate::target::source_of(app, &one.artifact).map(|source| &source.name);
        app.sources.iter().position(|source| Some(&source.name) == own)
    };
    exports.sort_by_key(place_of);
    Ok(exports)
}

async fn export_parts(
    context: &RunContext,
    app: &App,
    source: &Source,
    places: &mut [Place],
    exports: &mut Vec<Exported>,
) -> Result<(), Failure> {
    for part in source::parts(context, app, source).await? {
        let span = tracing::info_span!("source", source = %part.name);
        exports.push(export(context, app, source, &part, places).instrument(span).await?);
        context.check_lease().await?;
    }
    Ok(())
}

/// The snapshot as it stands before its manifests are written.
fn describe(context: &RunContext, app: &App, exports: Vec<Exported>) -> Snapshot {
    let run = &context.run;
    Snapshot {
        id: context.engine.new_id(SnapshotId::generate),
        app_id: app.id,
        run_id: run.id,
        taken_at: taken_at(context),
        kind: run.snapshot_kind,
        label: run.label.clone(),
        git_commit: run.git_commit.clone(),
        pinned: false,
        verified_by_source: exports.iter().all(|e| e.verified_by_source),
        anomalous: false,
        app_state: None,
        proof: None,
        warnings: exports.iter().flat_map(|e| e.warnings.clone()).collect(),
        artifacts: exports.into_iter().map(|e| e.artifact).collect(),
        copies: Vec::new(),
    }
}

/// What the catalog is to write: the snapshot, what follows from it, and what to tell.
fn conclude(context: &RunContext, app: &App, snapshot: Snapshot, places: &[Place]) -> Outcome {
    let failed: Vec<_> = places.iter().filter(|place| !place.is_well()).collect();
    let mut outcome = Outcome::succeeded();
    if !failed.is_empty() {
        outcome.state = Some(RunState::PartiallyFailed);
        let (lacking, all) = (failed.len() as u64, places.len() as u64);
        let failure = first_failure(places).told_in(|why| Fact::NoCopiesAt {
            failed: lacking,
            places: all,
            why,
        });
        outcome.failure = Some(failure);
        // A copy that is missing for a passing reason is brought from one that is there.
        outcome.follow_ups.extend(
            failed
                .iter()
                .filter(|place| place.failure().is_some_and(|f| f.retryable))
                .map(|place| super::copy::heal(context, &snapshot, place.destination.id)),
        );
    }
    outcome.follow_ups.push(expire_run(context));
    if snapshot.anomalous {
        let unlike =
            Fact::UnlikeBefore { app: app.name.to_string(), size: Size(snapshot.size_bytes()) };
        context.journal.warn(unlike.to_string());
        outcome.events.push(event(context, EventKind::SizeAnomaly, Severity::Warning, unlike));
    }
    outcome.snapshot = Some(snapshot);
    outcome
}

/// The run that applies retention after this one.
fn expire_run(context: &RunContext) -> Run {
    let now = context.engine.now();
    queued(
        context.engine.new_id(RunId::generate),
        context.run.app_id,
        RunKind::Expire,
        Trigger::Schedule,
        now,
    )
}

/// A run as it enters the queue.
pub(crate) fn queued(
    id: RunId,
    app_id: Option<model::AppId>,
    kind: RunKind,
    trigger: Trigger,
    now: Timestamp,
) -> Run {
    Run {
        id,
        app_id,
        kind,
        trigger,
        state: RunState::Queued,
        stage: Stage::Queued,
        attempt: 1,
        retry_of: None,
        fire_at: None,
        named_at: None,
        missed_fires: 0,
        snapshot_id: None,
        destination_id: None,
        snapshot_kind: model::SnapshotKind::default(),
        label: None,
        git_commit: None,
        deploy: None,
        lenient: false,
        not_before: now,
        queued_at: now,
        started_at: None,
        finished_at: None,
        bytes_read: 0,
        bytes_expected: None,
        restore: None,
        after: None,
        cancel_requested: false,
        lease: None,
        read_data: false,
        failure: None,
    }
}

fn event(
    context: &RunContext,
    kind: EventKind,
    severity: Severity,
    sentence: impl Into<Sentence>,
) -> Event {
    Event {
        id: context.engine.new_id(EventId::generate),
        at: context.engine.now(),
        kind,
        severity,
        app_id: context.run.app_id,
        run_id: Some(context.run.id),
        snapshot_id: None,
        destination_id: None,
        sentence: sentence.into(),
    }
}

fn first_failure(places: &[Place]) -> Failure {
    let told = places.iter().filter_map(|place| {
        let name = place.destination.name.to_string();
        Some(place.failure()?.clone().told_in(|why| Fact::At { place: name, why }))
    });
    told.reduce(|first, other| {
        let retryable = first.retryable || other.retryable;
        Failure { retryable, ..first.and(other) }
    })
    .unwrap_or_else(|| Failure::new(FailureCode::Internal, "no destination has a copy"))
}

/// Removes what a failed run has put at its destinations. What cannot be removed now stays
/// written down and is removed later.
async fn undo(context: &RunContext, places: &mut [Place], failure: &Failure) {
    context.journal.error(&failure.message);
    let lost = context.stop_reason() == Some(super::StopReason::LeaseLost);
    if lost {
        return; // Whoever holds the lease now cleans up.
    }
    let state = match failure.code {
        FailureCode::Cancelled => RunState::Cancelled,
        FailureCode::Interrupted => RunState::Interrupted,
        _ => RunState::Failed,
    };
    let stage = context.journal.stage();
    for place in places {
        let _ = place.record_end(context, stage, state).await;
    }
    if let Err(error) = crate::takeover::remove_leftovers(&context.engine, context.run.id).await {
        context.journal.warn(format!("partial objects will be removed later: {error}"));
    }
}

async fn enter(context: &RunContext, stage: Stage) -> Result<(), Failure> {
    context.keep_going()?;
    context.journal.enter(stage).await.map_err(|error| failure::of_catalog(&error))
}

/// When the sources were opened: the run's start, one moment for all names and the manifest.
fn taken_at(context: &RunContext) -> Timestamp {
    context.run.started_at.unwrap_or(context.run.queued_at)
}

/// The moment that names carry: one for all runs that were asked for together, and the fire time
/// of a schedule that was served on time.
pub(super) fn named_at(context: &RunContext) -> Timestamp {
    let run = &context.run;
    let on_time = run.fire_at.filter(|_| run.trigger == Trigger::Schedule);
    run.named_at.or(on_time).unwrap_or_else(|| taken_at(context))
}

/// The names of this run's objects at `place`.
pub(crate) fn names(context: &RunContext, app: &App, place: &Place) -> model::layout::Names {
    names_at(context, app, &place.binding)
}

/// The same, for a place that is not opened.
pub(crate) fn names_at(
    context: &RunContext,
    app: &App,
    binding: &model::Binding,
) -> model::layout::Names {
    let time_zone =
        app.schedule.as_ref().map_or(TimeZone::UTC, |schedule| schedule.time_zone.zone());
    binding.template.clone().unwrap_or_default().names(NameFields {
        app: app.name.clone(),
        taken_at: named_at(context).to_zoned(time_zone),
        run_id: context.run.id,
        kind: context.run.snapshot_kind,
    })
}

/// The copy that `place` holds once its manifest is there.
pub(crate) fn stored_copy(context: &RunContext, place: &Place, manifest_key: String) -> StoredCopy {
    StoredCopy {
        destination_id: place.destination.id,
        state: model::CopyState::Good,
        manifest_key,
        objects: place.objects.clone(),
        committed_at: context.engine.now(),
        verified_at: None,
        expiring_since: None,
        log_key: None,
    }
}
