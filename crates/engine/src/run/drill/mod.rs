//! A drill, top to bottom: restore each artifact to scratch → look whether it is what it was →
//! remove the scratch. What nothing was checked of is not proven.

mod asked;
pub(crate) mod boot;
mod command;
mod files;
mod moment;
mod mysql;
mod owner;
mod postgres;
mod reader;
mod redis;
mod rows;
pub(crate) mod scratch;
mod sqlite;

use std::{collections::VecDeque, path::PathBuf, time::Instant};

use artifact::Dump;
use catalog::CopyUpdate;
use model::{
    App, Artifact, DirectKind, DrillCheck, DrillItem, DrillReport, DrillState, Duty, Event,
    EventId, EventKind, Fact, Failure, FailureCode, Landing, Proof, RestoreOrder, RestoreTarget,
    Sentence, Severity, Snapshot, SnapshotKind, SourceKind, Stage,
};
use tracing::Instrument as _;

use super::{Outcome, RunContext, failure, restore};
use crate::target::{Aim, Supply, unpacking};

/// Drills the run's snapshot.
pub(crate) async fn drill(context: &RunContext) -> Outcome {
    let mut copies = Vec::new();
    let outcome = match all(context, &mut copies).await {
        Ok((snapshot, report)) => conclude(context, &snapshot, &report),
        Err(failure) => {
            context.journal.error(&failure.message);
            Outcome::failed(failure)
        }
    };
    Outcome { copies, ..outcome }
}

async fn all(
    context: &RunContext,
    copies: &mut Vec<CopyUpdate>,
) -> Result<(Snapshot, DrillReport), Failure> {
    let catalog = &context.engine.0.catalog;
    let id = context
        .run
        .snapshot_id
        .ok_or_else(|| Failure::new(FailureCode::Internal, "a drill must name its snapshot"))?;
    let snapshot = catalog.snapshot(id).await.map_err(|error| failure::of_catalog(&error))?;
    let app = context.app().await?;
    context.journal.expect_bytes(snapshot.size_bytes());
    let began = Instant::now();
    let mut report = DrillReport::default();
    let stage = staged(context, &app, &snapshot, &mut report).await?;
    let mut kept = Vec::new();
    let mut needed = Vec::new();
    let mut waiting: VecDeque<_> =
        snapshot.artifacts.iter().map(|artifact| (snapshot.clone(), artifact.clone())).collect();
    while let Some((snapshot, artifact)) = waiting.pop_front() {
        context.check_lease().await?;
        let boot = stage.as_ref().filter(|stage| stage.needs(&app, &artifact));
        let span = tracing::info_span!("source", source = %artifact.source);
        let of = (&snapshot, &artifact, report.items.len());
        let drilled = one(context, &app, of, boot, copies).instrument(span);
        let (item, left) = drilled.await?;
        tell(context, artifact.source.as_str(), &item.checks);
        needed.extend(boot.map(|_| item.clone()));
        // What the app needs beside a server at a moment is that of a snapshot.
        if let Some(stage) = boot
            && artifact.base.is_some()
        {
            waiting.extend(stage.beside(context, &app, &artifact, &item).await?);
        }
        report.items.push(item);
        kept.extend(left);
        report.took_secs = began.elapsed().as_secs_f64();
        let written = catalog.put_report(context.run.id, context.lease_token, &report).await;
        written.map_err(|error| failure::of_catalog(&error))?;
    }
    if let Some(stage) = stage {
        let booted = stage.play(context, &needed, kept).await?;
        tell(context, &booted.container, &booted.checks);
        report.boot = Some(booted);
    }
    report.took_secs = began.elapsed().as_secs_f64();
    let written = catalog.put_report(context.run.id, context.lease_token, &report).await;
    written.map_err(|error| failure::of_catalog(&error))?;
    Ok((snapshot, report))
}

/// What is ready for the app, where one is to be booted.
async fn staged(
    context: &RunContext,
    app: &App,
    snapshot: &Snapshot,
    report: &mut DrillReport,
) -> Result<Option<boot::Stage>, Failure> {
    let Some(plan) = &app.drill.boot else { return Ok(None) };
    let is_needed = |artifact: &Artifact| boot::needs(plan, app, artifact);
    // A server at a moment that the app does not need says nothing about it.
    if snapshot.kind == SnapshotKind::Base && !snapshot.artifacts.iter().any(is_needed) {
        return Ok(None);
    }
    match boot::Stage::prepare(context, plan).await {
        Ok(stage) => Ok(Some(stage)),
        Err(failure) if is_of_the_run(&failure) => Err(failure),
        Err(failure) => {
            let booted = boot::not_begun(plan, failure);
            tell(context, &booted.container, &booted.checks);
            report.boot = Some(booted);
            Ok(None)
        }
    }
}

fn tell(context: &RunContext, of: &str, checks: &[DrillCheck]) {
    for check in checks {
        let told = format!("`{of}`: {}: {}", check.name, check.sentence);
        match check.state {
            DrillState::Passed => context.journal.info(told),
            DrillState::Skipped => context.journal.warn(told),
            DrillState::Failed => context.journal.error(told),
        }
    }
}

/// What a drill of one artifact works with.
pub(crate) struct Trial<'a> {
    pub(crate) context: &'a RunContext,
    pub(crate) aim: &'a Aim<'a>,
    pub(crate) supply: &'a Supply<'a>,
    /// A folder of its own, empty at first and removed afterwards.
    pub(crate) folder: PathBuf,
    /// What an app waits on that is to be booted on it.
    pub(crate) boot: Option<&'a boot::Stage>,
}

/// How one kind of artifact is tried.
#[async_trait::async_trait]
pub(crate) trait Way: Send + Sync {
    /// Restores to scratch. Errs where the artifact did not come back.
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure>;
}

/// An artifact restored to scratch. Dropped, what serves it ends.
#[async_trait::async_trait]
pub(crate) trait Restored: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> Fact;
    /// The file or folder that commands of one's own are given; `None` where there is neither, and
    /// they get the artifact's file.
    fn path(&self) -> Option<std::path::PathBuf> {
        None
    }
    /// Where its replay ended, where it is a server at a moment.
    fn landing(&self) -> Option<Landing> {
        None
    }
    /// Looks whether it is what it was.
    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure>;
    /// Makes it what an app expects, on the network that the trial's boot has made.
    async fn lend(&self, _trial: &Trial<'_>) -> Result<(), Failure> {
        Ok(())
    }
    /// Ends what serves it in order, where being killed would leave something behind.
    async fn end(&self, _context: &RunContext) {}
}

async fn one(
    context: &RunContext,
    app: &App,
    (snapshot, artifact, number): (&Snapshot, &Artifact, usize),
    boot: Option<&boot::Stage>,
    copies: &mut Vec<CopyUpdate>,
) -> Result<(DrillItem, Option<boot::Kept>), Failure> {
    // By number: the path of a socket in it has room for little more than a hundred bytes.
    let run = context.run.id.to_string().to_ascii_lowercase();
    let tag = format!("{run}-{number}");
    let config = &context.engine.0.config;
    let folder = config.scratch.as_ref().unwrap_or(&config.spool).join(format!("drill-{tag}"));
    let owed = context.owe(Duty::RemoveFolder { path: folder.clone() }).await?;
    let order = RestoreOrder {
        target: RestoreTarget::Folder { path: folder.clone() },
        only: Vec::new(),
        from: context.run.destination_id.filter(|_| context.run.snapshot_id == Some(snapshot.id)),
        overwrite: false,
        whole: None,
        moment: context
            .run
            .restore
            .as_ref()
            .and_then(|order| order.moment.clone())
            .filter(|_| artifact.base.is_some()),
        undoes: None,
        given_up: None,
    };
    let aim = restore::look::aim(&context.engine, app, snapshot, &order, &tag, artifact);
    let mut item = DrillItem {
        artifact: artifact.source.clone(),
        scratch: Sentence::default(),
        restore_secs: 0.0,
        check_secs: 0.0,
        checks: Vec::new(),
        landing: None,
    };
    let Some(way) = way(&aim) else {
        item.checks.push(check("kind", DrillState::Skipped, Fact::NothingChecks {}));
        clean(context, owed).await;
        return Ok((item, None));
    };
    let (mut last, mut owed, mut kept) = (None, Some(owed), None);
    for copy in restore::candidates(snapshot, order.from) {
        prepare(&folder).await?;
        enter(context, Stage::Load).await?;
        let began = Instant::now();
        let tried = async {
            let supply = Supply::from(context, artifact, &copy).await?;
            context.journal.info(format!(
                "`{}`: restoring from `{}` to scratch",
                artifact.source,
                supply.destination().name
            ));
            let trial = Trial { context, aim: &aim, supply: &supply, folder: folder.clone(), boot };
            let restored = way.restore(&trial).await?;
            item.restore_secs = began.elapsed().as_secs_f64();
            item.scratch = restored.place().into();
            item.landing = restored.landing();
            enter(context, Stage::Check).await?;
            let checks = async {
                let mut checks = restored.check(&trial).await?;
                checks.extend(command::run(&trial, restored.path()).await?);
                Ok(checks)
            };
            let checks = checks.await;
            item.check_secs = began.elapsed().as_secs_f64() - item.restore_secs;
            match (boot, &checks) {
                (Some(stage), Ok(_)) if let Some(folder) = owed.take() => {
                    kept = Some(stage.keep(&trial, restored, folder).await);
                }
                _ => restored.end(context).await,
            }
            checks
        };
        match tried.await {
            Ok(checks) => {
                item.checks = checks;
                last = None;
                break;
            }
            Err(failure) if is_of_the_copy(&failure, snapshot, &copy, copies) => {
                context.journal.warn(format!("{}; trying another copy", failure.message));
                last = Some(failure);
            }
            Err(failure) if is_of_the_run(&failure) => return Err(failure),
            Err(failure) => {
                last = Some(failure);
                break;
            }
        }
    }
    if let Some(failure) = last {
        item.checks.push(check("restore", DrillState::Failed, failure));
    } else if item.scratch.is_empty() {
        item.checks.push(check("restore", DrillState::Failed, Fact::NoGoodCopy {}));
    }
    enter(context, Stage::Clean).await?;
    if let Some(owed) = owed {
        clean(context, owed).await;
    }
    Ok((item, kept))
}

/// The way to try an artifact: by its source's kind, else by its format.
fn way(aim: &Aim<'_>) -> Option<&'static dyn Way> {
    if aim.artifact.base.is_some() {
        return Some(&moment::Moment);
    }
    let kind = aim.source.and_then(|source| match &source.kind {
        SourceKind::Direct(direct) => Some(direct.what),
        SourceKind::Contract(_) => None,
    });
    match (kind, aim.dump()) {
        (Some(DirectKind::Postgres), _)
        | (None, Some(Dump::PgCustom | Dump::PgScript | Dump::PgDirectory)) => {
            Some(&postgres::Postgres)
        }
        (Some(DirectKind::Mysql), _) | (None, Some(Dump::Mysql)) => Some(&mysql::Mysql),
        (Some(DirectKind::Redis), _) | (None, Some(Dump::Rdb)) => Some(&redis::Redis),
        (Some(DirectKind::Sqlite), _) | (None, Some(Dump::Sqlite)) => Some(&sqlite::Sqlite),
        _ if unpacking::packed(aim.artifact).is_some() => Some(&files::Files),
        _ if command::has(aim) => Some(&command::Single),
        _ => None,
    }
}

/// One check, as it is told.
pub(crate) fn check(
    name: impl Into<String>,
    state: DrillState,
    sentence: impl Into<Sentence>,
) -> DrillCheck {
    DrillCheck { name: name.into(), state, sentence: sentence.into() }
}

/// Whether the drill as a whole cannot go on; what else goes wrong is what a drill is there to
/// find out.
fn is_of_the_run(failure: &Failure) -> bool {
    matches!(failure.code, FailureCode::Cancelled | FailureCode::Interrupted | FailureCode::Catalog)
}

fn is_of_the_copy(
    failure: &Failure,
    snapshot: &Snapshot,
    copy: &model::StoredCopy,
    copies: &mut Vec<CopyUpdate>,
) -> bool {
    let Some(blame) = restore::Blame::of(failure) else { return false };
    copies.extend(blame.state.map(|state| CopyUpdate {
        snapshot_id: snapshot.id,
        destination_id: copy.destination_id,
        state,
        verified_at: copy.verified_at,
        expiring_since: None,
    }));
    true
}

/// Removes the scratch. What cannot be removed says nothing of the snapshot; it stays written down,
/// and is tried again after the run.
async fn clean(context: &RunContext, owed: crate::duty::Owed) {
    if let Err(failure) = context.settle(owed).await {
        context.journal.warn(failure.message);
    }
}

/// An empty folder that only we can look into.
async fn prepare(folder: &std::path::Path) -> Result<(), Failure> {
    let told = |error: std::io::Error| {
        let (path, why) = (folder.display().to_string(), error.to_string());
        Failure::new(FailureCode::RestoreRefused, Fact::ScratchNotMade { path, why })
    };
    crate::removal::remove(folder).await.map_err(told)?;
    if let Some(parent) = folder.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(told)?;
    }
    let mut closed = tokio::fs::DirBuilder::new();
    closed.mode(0o700).create(folder).await.map_err(told)
}

fn conclude(context: &RunContext, snapshot: &Snapshot, report: &DrillReport) -> Outcome {
    let passed = report.is_proof();
    let (kind, severity) = if passed {
        (EventKind::DrillPassed, Severity::Info)
    } else {
        (EventKind::DrillFailed, Severity::Error)
    };
    let sentence = Sentence::from(told(snapshot, report));
    let event = Event {
        id: context.engine.new_id(EventId::generate),
        at: context.engine.now(),
        kind,
        severity,
        app_id: Some(snapshot.app_id),
        run_id: Some(context.run.id),
        snapshot_id: Some(snapshot.id),
        destination_id: None,
        sentence: sentence.clone(),
    };
    let proof = Proof {
        run_id: context.run.id,
        at: context.engine.now(),
        passed,
        took_secs: report.took_secs,
    };
    let outcome = if passed {
        Outcome::succeeded()
    } else {
        Outcome::failed(Failure::new(FailureCode::DrillFailed, sentence))
    };
    Outcome { events: vec![event], proof: Some((snapshot.id, proof)), ..outcome }
}

/// The result in a sentence.
fn told(snapshot: &Snapshot, report: &DrillReport) -> Fact {
    let at = snapshot.taken_at;
    let wrong = report
        .items
        .iter()
        .filter(|item| !item.is_proof())
        .map(|item| {
            let bad = item.checks.iter().find(|check| check.state == DrillState::Failed);
            let bad = bad.or(item.checks.first());
            let nothing = || Fact::NothingChecked {}.into();
            let why: Sentence = bad.map_or_else(nothing, |check| check.sentence.clone());
            Fact::Of { what: item.artifact.to_string(), why: why.into() }
        })
        .reduce(Fact::also)
        .or_else(|| {
            let boot = report.boot.as_ref().filter(|boot| !boot.is_proof())?;
            let bad = boot.checks.iter().find(|check| check.state == DrillState::Failed);
            let bad = bad.or(boot.checks.first())?;
            Some(Fact::Of { what: boot.container.clone(), why: bad.sentence.clone().into() })
        });
    match wrong {
        None => Fact::CameBackWhole { at, seconds: format!("{:.1}", report.took_secs) },
        Some(why) => Fact::NotProven { at, why: why.into() },
    }
}

async fn enter(context: &RunContext, stage: Stage) -> Result<(), Failure> {
    context.keep_going()?;
    context.journal.enter(stage).await.map_err(|error| failure::of_catalog(&error))
}
