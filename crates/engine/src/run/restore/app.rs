//! An app that comes back as a whole: stopped → its parts in their places, files before databases →
//! its code as it was → started, with the images that it ran then → how it does.
//!
//! What is done is in the report, as the parts are: one that was cut off goes on where it was. The
//! containers it stops are in there too, and not on the list of what a run owes: started between
//! two tries, the app would meet parts that do not agree.

use std::{collections::BTreeMap, time::Duration};

use bollard::{Docker, models::HealthStatusEnum, query_parameters::InspectContainerOptions};
use model::{
    Fact, Failure, PreflightCheck, PreflightLevel, RestoreOrder, RestoreTarget, Sentence, Snapshot,
    StepState, WholeReport, WholeStep,
};
use tokio::time::Instant;

use super::{Restore, refused};
use crate::{
    Engine,
    docker::{self, containers, remake},
    run::whole::{
        code::Tree,
        containers::{Known, found, inspect},
    },
    source,
};

/// How long an app may take until it does well.
const HEALTHY_WITHIN: Duration = Duration::from_secs(120);
/// How long one that does not say how it does has to run without being restarted.
const STEADY: Duration = Duration::from_secs(5);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The app's containers as they are now, by name: those that it has, and those that it had.
async fn known(
    engine: &Engine,
    app: &model::App,
    snapshot: &Snapshot,
) -> Result<BTreeMap<String, Known>, Failure> {
    let mut all = BTreeMap::new();
    if engine.0.config.docker_host.is_none() {
        return Ok(all);
    }
    for one in found(engine, app, true).await? {
        all.insert(one.name.clone(), one);
    }
    let docker = docker::connect(&engine.0.config).await?;
    let noted = snapshot.app_state.iter().flat_map(|state| &state.containers);
    for one in noted {
        if !all.contains_key(&one.name)
            && let Some(there) = inspect(&docker, one.name.clone(), &one.name).await?
        {
            all.insert(one.name.clone(), there);
        }
    }
    Ok(all)
}

/// What a restore of the app as a whole would meet beside its parts.
pub(super) async fn look(
    engine: &Engine,
    app: &model::App,
    snapshot: &Snapshot,
    order: &RestoreOrder,
    checks: &mut Vec<PreflightCheck>,
) -> Result<(), Failure> {
    let Some(whole) = &order.whole else { return Ok(()) };
    let mut note = |level, fact: Fact| {
        checks.push(PreflightCheck { artifact: None, level, sentence: fact.into() });
    };
    if order.target != RestoreTarget::App || !order.only.is_empty() {
        note(PreflightLevel::Blocked, Fact::WholeOnlyInto {});
        return Ok(());
    }
    let known = known(engine, app, snapshot).await?;
    let mut stopping = Vec::new();
    for one in known.values() {
        let Some(running) = &one.running else { continue };
        match running.why_not_stopped() {
            Some(why) => checks.push(PreflightCheck {
                artifact: None,
                level: PreflightLevel::Blocked,
                sentence: why.into(),
            }),
            None => stopping.push(one.name.clone()),
        }
    }
    let mut note = |level, fact: Fact| {
        checks.push(PreflightCheck { artifact: None, level, sentence: fact.into() });
    };
    if !stopping.is_empty() {
        note(PreflightLevel::Warning, Fact::WholeStops { containers: stopping.join(", ") });
    }
    let noted = snapshot.app_state.iter().flat_map(|state| &state.containers);
    for noted in noted.filter(|one| one.running) {
        let (container, image) = (noted.name.clone(), noted.image.clone());
        match known.get(&noted.name) {
            None => note(PreflightLevel::Warning, Fact::ContainerGone { container }),
            Some(one) if one.inspected.image.as_ref() == Some(&noted.image_id) => {}
            Some(_) if has_image(engine, &noted.image_id).await? => {
                note(PreflightLevel::Warning, Fact::ImageWillBe { container, image });
            }
            Some(_) => note(PreflightLevel::Warning, Fact::ImageGone { container, image }),
        }
    }
    if whole.without_code {
        return Ok(());
    }
    for (level, sentence) in code(engine, app, snapshot, whole.set_aside).await? {
        checks.push(PreflightCheck { artifact: None, level, sentence });
    }
    Ok(())
}

async fn has_image(engine: &Engine, image: &str) -> Result<bool, Failure> {
    let docker = docker::connect(&engine.0.config).await?;
    match docker.inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(error) if docker::is_gone(&error) => Ok(false),
        Err(error) => Err(docker::told(&error)),
    }
}

/// What there is to say of the app's code.
async fn code(
    engine: &Engine,
    app: &model::App,
    snapshot: &Snapshot,
    set_aside: bool,
) -> Result<Vec<(PreflightLevel, Sentence)>, Failure> {
    use PreflightLevel::{Blocked, Good, Warning};
    let Some(plan) = &app.code else { return Ok(Vec::new()) };
    let noted = snapshot.app_state.as_ref().and_then(|state| state.code.as_ref());
    let Some(noted) = noted else {
        return Ok(vec![(Warning, Fact::CodeNotNoted {}.into())]);
    };
    let tree = Tree::at(engine, &plan.path).await?;
    let now = tree.state().await?;
    let path = now.path.clone();
    let commit = noted.git_commit.clone();
    let mut all = Vec::new();
    if noted.path != path {
        let (path, wanted) = (noted.path.clone(), path.clone());
        all.push((Warning, Fact::CodeElsewhere { path, wanted }.into()));
    }
    if !tree.has(&commit).await {
        all.push((Blocked, Fact::CommitGone { path: path.clone(), commit: commit.clone() }.into()));
    }
    if now.dirty {
        let path = path.clone();
        all.push(if set_aside {
            (Warning, Fact::CodeSetAside { path }.into())
        } else {
            (Blocked, Fact::CodeDirty { path }.into())
        });
    }
    let before = now.git_commit;
    all.push((
        Good,
        if before == commit {
            Fact::CodeAsItIs { path, commit }.into()
        } else {
            Fact::CodeWillBe { path, commit, before }.into()
        },
    ));
    Ok(all)
}

impl Restore<'_> {
    /// Writes down what is to be done of the app as a whole.
    pub(super) fn plan_whole(&mut self) {
        if self.order.whole.is_some() {
            self.report.whole = Some(WholeReport::waiting());
        }
    }

    /// The steps in the order in which they take their places: what is quickly gone back from comes
    /// first, databases last.
    pub(super) fn order_of_switches(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.report.steps.len()).collect();
        if self.report.whole.is_some() {
            order.sort_by_key(|at| {
                let artifact = self.artifact(*at).ok();
                let source =
                    artifact.and_then(|one| crate::target::source_of(&self.app, &one).cloned());
                source.is_some_and(|source| source::is_of_one_moment(&source))
            });
        }
        order
    }

    /// Stops the app's containers, and again those that somebody started since.
    pub(super) async fn stop_app(&mut self) -> Result<(), Failure> {
        if self.report.whole.as_ref().is_none_or(|whole| whole.is_done(WholeStep::Code)) {
            return Ok(());
        }
        let engine = &self.context.engine;
        let known = known(engine, &self.app, &self.snapshot).await?;
        for (name, one) in known {
            let Some(running) = one.running else { continue };
            if let Some(why) = running.why_not_stopped() {
                return Err(refused(why));
            }
            self.still_ours().await?;
            if let Some(whole) = &mut self.report.whole
                && !whole.stopped.contains(&name)
            {
                whole.stopped.push(name.clone());
            }
            self.record().await?;
            let docker = docker::connect(&self.context.engine.0.config).await?;
            containers::unpause(&docker, &running.id).await?;
            running.stop(&docker).await?;
            self.context.journal.info(format!("`{name}` is stopped"));
        }
        self.act_done(WholeStep::Stop, Vec::new()).await
    }

    /// Puts the code where it was.
    pub(super) async fn put_code(&mut self) -> Result<(), Failure> {
        let Some(whole) = &self.report.whole else { return Ok(()) };
        if whole.is_done(WholeStep::Code) {
            return Ok(());
        }
        let noted = self.snapshot.app_state.as_ref().and_then(|state| state.code.clone());
        let is_wanted = self.order.whole.as_ref().is_some_and(|order| !order.without_code);
        let (Some(plan), Some(noted), true) = (self.app.code.clone(), noted, is_wanted) else {
            return self.act_done(WholeStep::Code, Vec::new()).await;
        };
        let tree = Tree::at(&self.context.engine, &plan.path).await?;
        let now = tree.state().await?;
        let path = now.path.clone();
        let mut notes = Vec::new();
        if now.dirty {
            if !self.order.whole.as_ref().is_some_and(|order| order.set_aside) {
                return Err(refused(Fact::CodeDirty { path }));
            }
            tree.set_aside(&self.report.tag).await?;
            notes.push(Fact::CodeSetAside { path: path.clone() }.into());
        }
        let before = match self.report.whole.as_ref().and_then(|whole| whole.code_before.clone()) {
            Some(before) => before,
            None => now.clone(),
        };
        if let Some(whole) = &mut self.report.whole {
            whole.code_before = Some(before.clone());
        }
        self.record().await?;
        let commit = noted.git_commit.clone();
        if now.git_commit != commit {
            tree.check_out(&commit, noted.branch.as_deref()).await?;
        }
        let before = before.git_commit;
        let put = if before == commit {
            Fact::CodeAsItIs { path, commit }
        } else {
            Fact::CodePut { path, commit, before }
        };
        self.context.journal.info(put.to_string());
        notes.push(put.into());
        self.act_done(WholeStep::Code, notes).await
    }

    /// Starts what ran then and what was stopped, with the images of then where they are there.
    pub(super) async fn start_app(&mut self) -> Result<(), Failure> {
        let Some(whole) = self.report.whole.clone() else { return Ok(()) };
        if whole.is_done(WholeStep::Start) {
            return Ok(());
        }
        let engine = self.context.engine.clone();
        let state = self.snapshot.app_state.clone().unwrap_or_default();
        let ran = state.containers.iter().filter(|one| one.running);
        let mut names: Vec<String> = ran.map(|one| one.name.clone()).collect();
        for name in &whole.stopped {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let (mut started, mut notes) = (Vec::new(), Vec::new());
        if !names.is_empty() && engine.0.config.docker_host.is_some() {
            let docker = docker::connect(&engine.0.config).await?;
            for name in names {
                self.still_ours().await?;
                let noted = state.containers.iter().find(|one| one.name == name);
                let image = noted.map(|one| (one.image.as_str(), one.image_id.as_str()));
                if self.start_one(&docker, &name, image, &mut notes).await? {
                    started.push(name);
                }
            }
        }
        if !started.is_empty() {
            let fact = Fact::ContainersStarted { containers: started.join(", ") };
            self.context.journal.info(fact.to_string());
            notes.push(fact.into());
        }
        if let Some(whole) = &mut self.report.whole {
            whole.stopped.clear();
        }
        self.act_done(WholeStep::Start, notes).await
    }

    async fn start_one(
        &self,
        docker: &Docker,
        name: &str,
        image: Option<(&str, &str)>,
        notes: &mut Vec<Sentence>,
    ) -> Result<bool, Failure> {
        let container = name.to_owned();
        let there = inspect(docker, container.clone(), name).await?;
        let now = there.as_ref().and_then(|one| one.inspected.image.clone());
        match image {
            Some((_, id)) if now.as_deref() == Some(id) => {}
            Some((_, id)) if has_image(&self.context.engine, id).await? => {
                let kept = remake::remake(docker, name, id, &self.report.tag).await;
                match kept {
                    Ok(kept) => notes.push(Fact::ContainerRemade { container, kept }.into()),
                    Err(_) if there.is_none() => {
                        notes.push(Fact::ContainerGone { container }.into());
                        return Ok(false);
                    }
                    Err(failure) => return Err(failure),
                }
            }
            Some((image, _)) if there.is_some() => {
                let image = image.to_owned();
                notes.push(Fact::ImageGone { container, image }.into());
            }
            None if there.is_some() => {}
            _ => {
                notes.push(Fact::ContainerGone { container }.into());
                return Ok(false);
            }
        }
        containers::start(docker, name).await?;
        Ok(true)
    }

    /// Waits until the app does well.
    pub(super) async fn see_health(&mut self) -> Result<(), Failure> {
        let Some(whole) = &self.report.whole else { return Ok(()) };
        if whole.is_done(WholeStep::Health) {
            return Ok(());
        }
        let state = self.snapshot.app_state.clone().unwrap_or_default();
        let ran = state.containers.into_iter().filter(|one| one.running).map(|one| one.name);
        let mut healthy = Vec::new();
        if self.context.engine.0.config.docker_host.is_some() {
            let docker = docker::connect(&self.context.engine.0.config).await?;
            let until = Instant::now() + HEALTHY_WITHIN;
            for name in ran {
                if inspect(&docker, name.clone(), &name).await?.is_none() {
                    continue;
                }
                if let Err(why) = self.wait_for(&docker, &name, until).await? {
                    return Err(refused(Fact::NotHealthy { container: name, why }));
                }
                healthy.push(name);
            }
        }
        let note = Fact::Healthy { containers: healthy.join(", ") };
        let notes = if healthy.is_empty() { Vec::new() } else { vec![note.into()] };
        self.act_done(WholeStep::Health, notes).await
    }

    /// Waits for one container; gives why it does not do well.
    async fn wait_for(
        &self,
        docker: &Docker,
        name: &str,
        until: Instant,
    ) -> Result<Result<(), String>, Failure> {
        let steady_at = Instant::now() + STEADY;
        let mut restarts = None;
        loop {
            self.context.keep_going_once_begun()?;
            let inspected = docker.inspect_container(name, None::<InspectContainerOptions>).await;
            let inspected = inspected.map_err(|error| docker::told(&error))?;
            let count = inspected.restart_count.unwrap_or_default();
            let first = *restarts.get_or_insert(count);
            let state = inspected.state.unwrap_or_default();
            let runs = state.running == Some(true) && state.restarting != Some(true);
            let health = state.health.and_then(|health| health.status);
            let why = match health {
                Some(HealthStatusEnum::HEALTHY) if runs => return Ok(Ok(())),
                None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) if runs => {
                    if count == first && Instant::now() >= steady_at {
                        return Ok(Ok(()));
                    }
                    (count != first).then(|| "it is restarted again and again".to_owned())
                }
                Some(health) if runs => {
                    (Instant::now() >= until).then(|| format!("its health check says {health}"))
                }
                _ => {
                    let code = state.exit_code.unwrap_or_default();
                    (Instant::now() >= steady_at).then(|| format!("it ended with exit code {code}"))
                }
            };
            if let Some(why) = why {
                return Ok(Err(why));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// After a restore that did not come to its end: the app goes on where nothing of it was
    /// changed, and stays stopped where its parts may not agree.
    pub(super) async fn go_on_as_before(&mut self) -> Option<Vec<String>> {
        let whole = self.report.whole.clone()?;
        let any_done = self
            .report
            .steps
            .iter()
            .any(|step| matches!(step.state, StepState::Done | StepState::Switching));
        if any_done && !whole.stopped.is_empty() {
            return Some(whole.stopped);
        }
        let docker = docker::connect(&self.context.engine.0.config).await;
        for name in &whole.stopped {
            let started = match &docker {
                Ok(docker) => containers::start(docker, name).await,
                Err(failure) => Err(failure.clone()),
            };
            match started {
                Ok(()) => {
                    self.context.journal.info(format!("`{name}` goes on as it was"));
                    if let Some(whole) = &mut self.report.whole {
                        whole.stopped.retain(|one| one != name);
                    }
                }
                Err(failure) => {
                    let (container, why) = (name.clone(), failure.into());
                    let note = Sentence::from(Fact::DoesNotGoOn { container, why });
                    self.context.journal.warn(&note.message);
                    self.to_know.push(note);
                }
            }
        }
        None
    }

    /// Whether this worker may still act; a change of mind does not stop what was begun.
    pub(super) async fn still_ours(&self) -> Result<(), Failure> {
        let has_begun = self.report.steps.iter().any(|step| step.state == StepState::Done);
        if has_begun && self.report.whole.is_some() {
            self.context.check_lease_once_begun().await
        } else {
            self.context.check_lease().await
        }
    }

    async fn act_done(&mut self, step: WholeStep, notes: Vec<Sentence>) -> Result<(), Failure> {
        let acts = self.report.whole.iter_mut().flat_map(|whole| &mut whole.acts);
        for act in acts.filter(|act| act.step == step) {
            act.done = true;
            act.notes.extend(notes.clone());
        }
        self.record().await
    }
}
