//! An app, booted on what came back: from its own image, on a network that leads nowhere, with the
//! restored databases under the names that it knows them by.

mod answer;
mod app;
mod beside;
mod known;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bollard::{
    Docker, models::ContainerInspectResponse, query_parameters::InspectContainerOptions,
};
use model::{
    App, Artifact, BootReport, DrillBoot, DrillCheck, DrillItem, DrillState, Duty, Fact, Failure,
    Name, RestoreTarget, Sentence,
};
use rand::RngExt;

use super::{Restored, Trial, check};
use crate::{
    docker::{self, closed::Closed, scratch::Joined},
    duty::Owed,
    run::RunContext,
    target::{self, Aim, Placing, refused},
};
pub(crate) use known::Known;

/// How long it may take to answer, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);
/// In the names of volumes; nobody named them.
const NAME_BYTES: usize = 32;

/// What is ready for an app, before anything was restored.
pub(crate) struct Stage {
    docker: Docker,
    plan: DrillBoot,
    original: ContainerInspectResponse,
    network: Closed,
    /// Names that servers on the network go by, and the artifacts in those.
    taken: Mutex<BTreeMap<String, Name>>,
}

/// What came back and is there for the app.
pub(crate) struct Kept {
    restored: Box<dyn Restored>,
    folder: Owed,
    volume: Option<Volume>,
    /// Why it is not ready.
    trouble: Option<Failure>,
}

/// A restored volume.
struct Volume {
    name: String,
    /// The one that it is in the place of.
    of: String,
    owed: Owed,
}

impl Stage {
    /// Finds the app and makes the network.
    pub(crate) async fn prepare(context: &RunContext, plan: &DrillBoot) -> Result<Self, Failure> {
        let docker = docker::connect(&context.engine.0.config).await?;
        let options = None::<InspectContainerOptions>;
        let original = docker.inspect_container(&plan.container, options).await;
        let original = original.map_err(|error| docker::told(&error))?;
        let network = Closed::make(context, &docker).await?;
        let (plan, taken) = (plan.clone(), Mutex::default());
        Ok(Self { docker, plan, original, network, taken })
    }

    /// Whether the app needs this artifact.
    pub(crate) fn needs(&self, app: &App, artifact: &Artifact) -> bool {
        needs(&self.plan, app, artifact)
    }

    /// Where the server of `artifact` is to be, which `known` describes. Errs where another is there.
    pub(crate) fn place(&self, artifact: &Artifact, known: &Known) -> Result<Joined, Failure> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_another = |name: &&String| taken.get(*name).is_some_and(|by| *by != artifact.source);
        if let Some(name) = known.names.iter().find(of_another) {
            return Err(refused(Fact::BootNameTaken { name: name.clone() }));
        }
        taken.extend(known.names.iter().map(|name| (name.clone(), artifact.source.clone())));
        let aliases = known.names.iter().cloned().collect();
        Ok(Joined { network: self.network.name.clone(), aliases })
    }

    /// Whom the app is to its database.
    pub(crate) fn user(&self) -> Option<&str> {
        self.plan.user.as_deref()
    }

    /// Restores the volume of `trial` once more, where the app has it mounted: into one of its own.
    async fn volume(&self, trial: &Trial<'_>) -> Result<Option<Volume>, Failure> {
        let Some(of) = self.mounted(trial.aim) else { return Ok(None) };
        let random = trial.context.engine.with_rng(RngExt::random::<[u8; NAME_BYTES]>);
        let name = hex::encode(random);
        let owed = trial.context.owe(Duty::RemoveVolume { volume: name.clone() }).await?;
        let beside: Name = "drill".parse().map_err(|_| refused("no name for a volume"))?;
        let target = RestoreTarget::Beside { name: beside };
        let aim = Aim { target: &target, ..*trial.aim };
        let volume = target::target(&aim)?;
        let placing = Placing { context: trial.context, aim: &aim, made: &name };
        volume.load(&placing, trial.supply).await?;
        Ok(Some(Volume { name, of, owed }))
    }

    /// The volume that the app mounts and `aim` was stored from.
    fn mounted(&self, aim: &Aim<'_>) -> Option<String> {
        let asked = aim.asked().ok()?;
        if asked.direct.what != model::DirectKind::Volume {
            return None;
        }
        let volume = asked.setting("volume")?;
        let mounts = self.original.mounts.iter().flatten();
        let is_it = |name: &Option<String>| name.as_deref() == Some(volume);
        mounts
            .filter(|mount| mount.typ.as_deref() == Some("volume"))
            .any(|mount| is_it(&mount.name))
            .then(|| volume.to_owned())
    }

    /// Makes what came back ready for the app. The folder that it is in is the keeper's from now on.
    pub(crate) async fn keep(
        &self,
        trial: &Trial<'_>,
        restored: Box<dyn Restored>,
        folder: Owed,
    ) -> Kept {
        let lent = async {
            restored.lend(trial).await?;
            self.volume(trial).await
        };
        let (volume, trouble) = match lent.await {
            Ok(volume) => (volume, None),
            Err(failure) => (None, Some(failure)),
        };
        Kept { restored, folder, volume, trouble }
    }

    /// Boots the app on what was kept, where all `items` that it needs are good, and asks it; ends
    /// and removes all of it.
    pub(crate) async fn play(
        self,
        context: &RunContext,
        items: &[DrillItem],
        mut kept: Vec<Kept>,
    ) -> Result<BootReport, Failure> {
        let began = Instant::now();
        let troubles = kept.iter_mut().find_map(|one| one.trouble.take());
        let played = match troubles {
            Some(failure) => Err(failure),
            None => self.boot(context, items, &kept).await,
        };
        for one in kept {
            one.end(context).await;
        }
        self.network.remove(context).await;
        let (scratch, checks) = match played {
            Ok(played) => played,
            Err(failure) if super::is_of_the_run(&failure) => return Err(failure),
            Err(failure) => failed(failure),
        };
        let container = self.plan.container;
        Ok(BootReport { container, scratch, took_secs: began.elapsed().as_secs_f64(), checks })
    }

    async fn boot(
        &self,
        context: &RunContext,
        items: &[DrillItem],
        kept: &[Kept],
    ) -> Result<(Sentence, Vec<DrillCheck>), Failure> {
        let lost: Vec<_> = items
            .iter()
            .filter(|item| !item.is_proof())
            .map(|item| format!("`{}`", item.artifact))
            .collect();
        if !lost.is_empty() {
            let lost = Fact::BootNotTried { artifacts: lost.join(", ") };
            return Ok((Sentence::default(), vec![check("boot", DrillState::Failed, lost)]));
        }
        let volumes = kept.iter().filter_map(|one| one.volume.as_ref());
        let volumes = volumes.map(|one| (one.of.as_str(), one.name.as_str())).collect();
        let recipe = app::Recipe::of(&self.original, &self.network.name, &volumes)?;
        let image = recipe.image.clone();
        let without = recipe.without.join(", ");
        self.network.join(&self.docker).await?;
        let app = recipe.start(context, self.docker.clone()).await?;
        let answered = answer::ask(context, &self.docker, &app, &self.network.name, &self.plan);
        let answered = answered.await;
        app.remove(context).await;
        let mut checks = vec![answered?];
        if !without.is_empty() {
            let without = Fact::BootWithout { mounts: without };
            checks.push(check("mounts", DrillState::Skipped, without));
        }
        let container = self.plan.container.clone();
        Ok((Fact::BootedIn { container, image }.into(), checks))
    }
}

impl Kept {
    async fn end(self, context: &RunContext) {
        self.restored.end(context).await;
        drop(self.restored);
        if let Some(volume) = self.volume {
            super::clean(context, volume.owed).await;
        }
        super::clean(context, self.folder).await;
    }
}

/// Whether an app that is booted by `plan` needs this artifact: by its name, or, where it is a whole
/// server, by that of anything the same source gives.
pub(crate) fn needs(plan: &DrillBoot, app: &App, artifact: &Artifact) -> bool {
    let is_within = |need: &Name| {
        artifact.base.is_some()
            && target::source_of(app, artifact).is_some_and(|source| target::is_of(source, need))
    };
    plan.needs.is_empty()
        || plan.needs.contains(&artifact.source)
        || plan.needs.iter().any(is_within)
}

/// The report of a boot that could not even begin.
pub(crate) fn not_begun(plan: &DrillBoot, failure: Failure) -> BootReport {
    let (scratch, checks) = failed(failure);
    BootReport { container: plan.container.clone(), scratch, took_secs: 0.0, checks }
}

fn failed(failure: Failure) -> (Sentence, Vec<DrillCheck>) {
    (Sentence::default(), vec![check("boot", DrillState::Failed, failure)])
}

/// How long the app may take to answer.
fn patience(plan: &DrillBoot) -> Duration {
    plan.timeout_secs.map_or(PATIENCE, Duration::from_secs)
}
