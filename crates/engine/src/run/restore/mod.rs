//! A restore, top to bottom: look → load everything beside what is there → put it in its place.
//!
//! What it does is written down before it is done, so that one that was cut off goes on where it
//! was. Nothing that is there is touched before all of the snapshot has been brought in and proven.

mod app;
mod back;
mod copies;
pub(crate) mod left;
pub(crate) mod look;

use model::{
    App, Artifact, Event, EventId, EventKind, Fact, Failure, FailureCode, RestoreOrder,
    RestoreReport, RestoreStep, RestoreTarget, Run, RunState, Sentence, Severity, Snapshot, Stage,
    StepState, StoredCopy,
};

use super::{Outcome, RunContext, StopReason, failure};
use crate::target::{self, Aim, Placing, Supply, refused};
use catalog::CopyUpdate;

pub(crate) use copies::{Blame, candidates, chosen};

/// Restores the run's snapshot as its order says.
pub(crate) async fn restore(context: &RunContext) -> Outcome {
    let mut copies = Vec::new();
    let done = match Restore::begin(context).await {
        Ok(mut restore) => {
            let done = match restore.order.given_up {
                Some(code) => restore.give_up(code, &mut copies).await,
                None => restore.bring_back(&mut copies).await,
            };
            restore.conclude(done).await
        }
        Err(Begin::Wait(run)) => return wait(context, run),
        Err(Begin::Fail(failure)) => Err(failure),
    };
    let outcome = match done {
        Ok(events) => Outcome { events, ..Outcome::succeeded() },
        Err(failure) => {
            context.journal.error(&failure.message);
            Outcome::failed(failure)
        }
    };
    Outcome { copies, ..outcome }
}

/// Why a restore did not begin.
enum Begin {
    Fail(Failure),
    /// The undo snapshot is being tried again by another run.
    Wait(Box<Run>),
}

impl From<Failure> for Begin {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure)
    }
}

/// Queues the restore again, behind the run that now makes its undo snapshot.
fn wait(context: &RunContext, undo: Box<Run>) -> Outcome {
    let run = &context.run;
    let after = undo.not_before.max(context.engine.now());
    let next = Run {
        id: context.engine.new_id(model::RunId::generate),
        state: RunState::Queued,
        stage: Stage::Queued,
        after: Some(undo.id),
        not_before: after.saturating_add(BEHIND).unwrap_or(after),
        started_at: None,
        lease: None,
        retry_of: Some(run.id),
        ..Run::clone(run)
    };
    let again = Fact::UndoAgain { run: next.id.to_string() };
    context.journal.info(again.to_string());
    let failure = Failure::new(FailureCode::Cancelled, again);
    Outcome { follow_ups: vec![next], ..Outcome::failed(failure) }
}

/// A restore waits this much longer than the run it comes after, so that it is not taken first.
pub(crate) const BEHIND: jiff::SignedDuration = jiff::SignedDuration::from_millis(1);

struct Restore<'a> {
    context: &'a RunContext,
    order: RestoreOrder,
    app: App,
    snapshot: Snapshot,
    report: RestoreReport,
    /// What somebody has to know of a failure.
    to_know: Vec<Sentence>,
    /// Steps whose kept copies were needed to put back what was there.
    from_kept: Vec<usize>,
}

impl<'a> Restore<'a> {
    async fn begin(context: &'a RunContext) -> Result<Self, Begin> {
        let lost = |what: &str| Failure::new(FailureCode::Internal, format!("{what} is missing"));
        let order = context.run.restore.clone().ok_or_else(|| lost("the order"))?;
        let id = context.run.snapshot_id.ok_or_else(|| lost("the snapshot"))?;
        let catalog = &context.engine.0.catalog;
        let snapshot = catalog.snapshot(id).await.map_err(|error| failure::of_catalog(&error))?;
        let app = context.app().await?;
        context
            .journal
            .expect_bytes(chosen(&snapshot, &order).map(|artifact| artifact.size_bytes).sum());
        let earlier = left::earlier(&context.engine, &context.run)
            .await
            .map_err(|error| failure::of_catalog(&error))?;
        let is_new = earlier.is_none() && order.given_up.is_none();
        let report = earlier
            .unwrap_or_else(|| RestoreReport { tag: tag(context), ..RestoreReport::default() });
        let (to_know, from_kept) = (Vec::new(), Vec::new());
        let mut restore = Self { context, order, app, snapshot, report, to_know, from_kept };
        if is_new {
            restore.report.undo_snapshot = undo_snapshot(context).await?;
            restore.prepare().await?;
        }
        restore.record().await?;
        Ok(restore)
    }

    /// Looks at everything before anything is done.
    async fn prepare(&mut self) -> Result<(), Failure> {
        self.enter(Stage::Prepare).await?;
        let seen = look::look(
            &self.context.engine,
            &self.app,
            &self.snapshot,
            &self.order,
            &self.report.tag,
        )
        .await?;
        for check in &seen.checks {
            self.context.journal.info(&check.sentence.message);
        }
        if let Some(blocked) =
            seen.checks.iter().find(|check| check.level == model::PreflightLevel::Blocked)
        {
            return Err(refused(blocked.sentence.clone()));
        }
        if let Some(item) = seen.items.iter().find(|item| item.replaces.is_some())
            && !self.order.overwrite
        {
            let what = item.replaces.clone().unwrap_or_default().message;
            return Err(refused(Fact::WouldReplace { what }));
        }
        self.report.steps = seen
            .items
            .into_iter()
            .map(|item| RestoreStep {
                artifact: item.artifact,
                target: item.target,
                state: StepState::Waiting,
                made: None,
                kept: None,
                read_from: None,
                notes: Vec::new(),
            })
            .collect();
        self.plan_whole();
        Ok(())
    }

    async fn bring_back(&mut self, copies: &mut Vec<CopyUpdate>) -> Result<(), Failure> {
        self.enter(Stage::Load).await?;
        for at in 0..self.report.steps.len() {
            if matches!(self.report.steps[at].state, StepState::Waiting | StepState::Loading) {
                self.context.check_lease().await?;
                self.load(at, copies).await?;
            }
        }
        self.enter(Stage::Switch).await?;
        self.stop_app().await?;
        for at in self.order_of_switches() {
            if self.report.steps[at].state != StepState::Done {
                self.still_ours().await?;
                self.switch(at, copies).await?;
            }
        }
        self.put_code().await?;
        self.start_app().await?;
        self.see_health().await
    }

    /// Brings one artifact in, from the first copy that has it whole.
    async fn load(&mut self, at: usize, copies: &mut Vec<CopyUpdate>) -> Result<(), Failure> {
        let artifact = self.artifact(at)?;
        let made = {
            let aim = self.aim(&artifact);
            let target = target::target(&aim)?;
            match &self.report.steps[at].made {
                Some(made) => {
                    target.clear(&aim, made).await?;
                    made.clone()
                }
                None => target.made(&aim)?,
            }
        };
        let step = &mut self.report.steps[at];
        step.made = Some(made.clone());
        step.state = StepState::Loading;
        self.record().await?;
        let mut last = None;
        for copy in candidates(&self.snapshot, self.order.from) {
            let aim = self.aim(&artifact);
            let target = target::target(&aim)?;
            if last.is_some() {
                target.clear(&aim, &made).await?;
            }
            let supplied = Supply::from(self.context, &artifact, &copy).await;
            let loaded = match &supplied {
                Ok(supply) => {
                    let name = &supply.destination().name;
                    self.context.journal.info(format!(
                        "`{}`: reading from `{name}` into {}",
                        artifact.source, self.report.steps[at].target
                    ));
                    let placing = Placing { context: self.context, aim: &aim, made: &made };
                    target.load(&placing, supply).await
                }
                Err(failure) => Err(failure.clone()),
            };
            match loaded {
                Ok(loaded) => {
                    let step = &mut self.report.steps[at];
                    step.state = StepState::Loaded;
                    step.read_from = Some(copy.destination_id);
                    step.notes.extend(loaded.notes);
                    self.report.landing = loaded.landing.or(self.report.landing.take());
                    return self.record().await;
                }
                Err(failure) => {
                    if !self.may_try_another(&copy, &failure, copies) {
                        return Err(failure);
                    }
                    last = Some(failure);
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(FailureCode::Missing, Fact::NoGoodCopy {})))
    }

    /// Notes what is wrong with a copy; whether it is the copy, so that another may do better.
    fn may_try_another(
        &self,
        copy: &StoredCopy,
        failure: &Failure,
        copies: &mut Vec<CopyUpdate>,
    ) -> bool {
        let Some(blame) = Blame::of(failure) else { return false };
        self.context.journal.warn(format!("{}; trying another copy", failure.message));
        if let Some(state) = blame.state {
            copies.push(CopyUpdate {
                snapshot_id: self.snapshot.id,
                destination_id: copy.destination_id,
                state,
                verified_at: copy.verified_at,
                expiring_since: None,
            });
        }
        true
    }

    async fn switch(&mut self, at: usize, copies: &mut Vec<CopyUpdate>) -> Result<(), Failure> {
        let artifact = self.artifact(at)?;
        let made = self.report.steps[at].made.clone().unwrap_or_default();
        let from = self.report.steps[at].read_from;
        let copy = self.snapshot.copies.iter().find(|copy| Some(copy.destination_id) == from);
        let copy =
            copy.cloned().ok_or_else(|| Failure::new(FailureCode::Missing, Fact::CopyGone {}))?;
        let aim = self.aim(&artifact);
        let supply = Supply::from(self.context, &artifact, &copy).await?;
        let target = target::target(&aim)?;
        let placing = Placing { context: self.context, aim: &aim, made: &made };
        if let Some(kept) = target.keep(&placing).await? {
            self.report.steps[at].kept = Some(kept);
        }
        let is_first = self.report.steps[at].state != StepState::Switching;
        if is_first {
            self.still_ours().await?;
        }
        self.report.steps[at].state = StepState::Switching;
        self.record().await?;
        let aim = self.aim(&artifact);
        let placing = Placing { context: self.context, aim: &aim, made: &made };
        let switched = target.switch(&placing, &supply).await;
        let switched = match switched {
            Ok(switched) => switched,
            Err(failure) => {
                if is_first && target.is_untouched(&failure) {
                    self.report.steps[at].state = StepState::Loaded;
                }
                self.may_try_another(&copy, &failure, copies);
                return Err(failure);
            }
        };
        let step = &mut self.report.steps[at];
        self.context.journal.info(format!("`{}` is restored: {}", artifact.source, step.target));
        if let Some(kept) = &switched.kept {
            self.context.journal.info(format!("what was there before is kept as {kept}"));
        }
        step.state = StepState::Done;
        step.kept = switched.kept;
        step.notes.extend(switched.notes);
        self.record().await
    }

    /// Clears away after a failure, and says in what condition everything is.
    async fn conclude(mut self, done: Result<(), Failure>) -> Result<Vec<Event>, Failure> {
        let cut_off = matches!(
            self.context.stop_reason(),
            Some(StopReason::Shutdown | StopReason::LeaseLost)
        );
        let mut left_stopped = None;
        if done.is_err() && !cut_off {
            self.put_back().await;
            self.clear_away().await;
            left_stopped = self.go_on_as_before().await;
        }
        let began = self.context.run.started_at.unwrap_or(self.context.run.queued_at);
        self.report.took_secs += self.context.engine.now().duration_since(began).as_secs_f64();
        self.report.condition = self.report.judge();
        let recorded = self.record().await;
        let Err(failure) = done else {
            recorded?;
            return Ok(vec![self.event()]);
        };
        let (run, undo) = (self.context.run.id.to_string(), self.report.undo_snapshot.is_some());
        let is_changed = self.report.condition != model::Condition::Untouched;
        let may_go_back = self.report.whole.is_some() && undo && is_changed;
        let known = std::iter::once(Sentence::from(self.told())).chain(self.to_know);
        let failure = match left_stopped {
            Some(names) => {
                failure.told_in(|first| Fact::StaysStopped { containers: names.join(", "), first })
            }
            None => failure,
        };
        let failure = if may_go_back {
            failure.told_in(|first| Fact::GoBackBy { run, first })
        } else {
            failure
        };
        Err(known.fold(failure, |failure, then| {
            failure.told_in(|first| Fact::Also { first, then: then.into() })
        }))
    }

    /// The condition in words.
    fn told(&self) -> Fact {
        let named = |done: bool| {
            let of = |step: &&RestoreStep| (step.state == StepState::Done) == done;
            let names =
                self.report.steps.iter().filter(of).map(|step| format!("`{}`", step.artifact));
            names.collect::<Vec<_>>().join(", ")
        };
        match self.report.condition {
            model::Condition::Untouched => Fact::NothingChanged {},
            model::Condition::Restored => Fact::AllRestored {},
            model::Condition::Mixed => Fact::SomeRestored { done: named(true), rest: named(false) },
        }
    }

    fn event(&self) -> Event {
        let (app, at) = (self.app.name.to_string(), self.snapshot.taken_at);
        let came = match &self.order.target {
            RestoreTarget::App => Fact::CameIntoApp { app, at },
            RestoreTarget::Beside { name } => Fact::CameBeside { app, at, name: name.to_string() },
            RestoreTarget::Folder { path } => {
                Fact::CameIntoFolder { app, at, path: path.display().to_string() }
            }
        };
        Event {
            id: self.context.engine.new_id(EventId::generate),
            at: self.context.engine.now(),
            kind: EventKind::Restored,
            severity: Severity::Info,
            app_id: Some(self.app.id),
            run_id: Some(self.context.run.id),
            snapshot_id: Some(self.snapshot.id),
            destination_id: None,
            sentence: came.into(),
        }
    }

    fn artifact(&self, at: usize) -> Result<Artifact, Failure> {
        let name = &self.report.steps[at].artifact;
        let found = self.snapshot.artifacts.iter().find(|artifact| artifact.source == *name);
        found.cloned().ok_or_else(|| refused(Fact::NoSuchArtifact { artifact: name.to_string() }))
    }

    fn aim<'b>(&'b self, artifact: &'b Artifact) -> Aim<'b> {
        look::aim(
            &self.context.engine,
            &self.app,
            &self.snapshot,
            &self.order,
            &self.report.tag,
            artifact,
        )
    }

    async fn record(&self) -> Result<(), Failure> {
        let (id, token) = (self.context.run.id, self.context.lease_token);
        let written = self.context.engine.0.catalog.put_report(id, token, &self.report).await;
        written.map_err(|error| failure::of_catalog(&error))
    }

    async fn enter(&self, stage: Stage) -> Result<(), Failure> {
        self.context.keep_going()?;
        self.context.journal.enter(stage).await.map_err(|error| failure::of_catalog(&error))
    }
}

/// A word for the names of what this restore makes: the random end of its run's id.
fn tag(context: &RunContext) -> String {
    let id = context.run.id.to_string().to_ascii_lowercase();
    id[id.len().saturating_sub(8)..].to_owned()
}

/// The snapshot that was taken before, where one was asked for; it has to be there.
async fn undo_snapshot(context: &RunContext) -> Result<Option<model::SnapshotId>, Begin> {
    let Some(after) = context.run.after else { return Ok(None) };
    let catalog = &context.engine.0.catalog;
    let undo = catalog.run(after).await.map_err(|error| failure::of_catalog(&error))?;
    if let (RunState::Succeeded | RunState::PartiallyFailed, Some(snapshot)) =
        (undo.state, undo.snapshot_id)
    {
        return Ok(Some(snapshot));
    }
    let active = catalog.active_runs().await.map_err(|error| failure::of_catalog(&error))?;
    let again = active.into_iter().find(|run| run.id == after || run.retry_of == Some(after));
    if let Some(again) = again {
        return Err(Begin::Wait(Box::new(again)));
    }
    let why = undo.failure.map(Sentence::from).unwrap_or_default().into();
    Err(Begin::Fail(refused(Fact::UndoNotTaken { why })))
}
