//! Containers that use the volume: left alone, paused or stopped while it is read.

use std::time::{Duration, Instant};

use bollard::{
    Docker,
    models::{ContainerInspectResponse, ContainerState, ContainerSummary},
    query_parameters::{InspectContainerOptions, ListContainersOptions, StopContainerOptions},
};
use model::{Duty, Fact, Failure, FailureCode, Sentence};

use crate::{docker, duty::Owed, run::RunContext};

/// A label of the containers that Swarm replaces as soon as they stop.
const SWARM_TASK: &str = "com.docker.swarm.task.id";
/// How long beyond its own time a container may take to stop.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// What becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Run,
    Pause,
    Stop,
}

impl Meanwhile {
    pub(crate) fn of(setting: Option<&str>) -> Self {
        match setting {
            Some("pause") => Self::Pause,
            Some("stop") => Self::Stop,
            _ => Self::Run,
        }
    }
}

/// A container that runs, or may go on any moment, mounts the volume, and is not us.
pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) name: String,
    state: State,
    stop_timeout: Duration,
    auto_removed: bool,
    of_swarm: bool,
}

/// What it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// Somebody has paused it: it writes nothing until somebody lets it go on.
    Paused,
    /// It ended, and Docker starts it again in a moment.
    Restarting,
}

impl State {
    const FILTERS: [&str; 3] = ["running", "paused", "restarting"];

    fn of(told: Option<&ContainerState>) -> Self {
        let is = |flag: Option<bool>| flag == Some(true);
        match told {
            Some(told) if is(told.paused) => Self::Paused,
            Some(told) if is(told.restarting) => Self::Restarting,
            _ => Self::Running,
        }
    }
}

impl Running {
    /// As Docker describes it.
    pub(crate) fn of(inspected: ContainerInspectResponse) -> Self {
        let config = inspected.config.unwrap_or_default();
        let stop_timeout = config.stop_timeout.and_then(|secs| u64::try_from(secs).ok());
        let id = inspected.id.unwrap_or_default();
        Self {
            name: inspected.name.map_or_else(
                || id.chars().take(12).collect(),
                |name| name.trim_start_matches('/').to_owned(),
            ),
            state: State::of(inspected.state.as_ref()),
            id,
            stop_timeout: Duration::from_secs(stop_timeout.unwrap_or(10)),
            auto_removed: inspected.host_config.and_then(|host| host.auto_remove) == Some(true),
            of_swarm: config.labels.is_some_and(|labels| labels.contains_key(SWARM_TASK)),
        }
    }

    /// Whether Docker starts it again and again: it can be stopped, not paused.
    pub(crate) fn is_restarting(&self) -> bool {
        self.state == State::Restarting
    }

    /// Whether somebody has paused it.
    pub(crate) fn is_paused(&self) -> bool {
        self.state == State::Paused
    }

    /// Stops it, as patiently as it asks for.
    pub(crate) async fn stop(&self, docker: &Docker) -> Result<(), Failure> {
        let patient = docker.clone().with_timeout(self.stop_timeout + STOP_GRACE);
        let stopped = patient.stop_container(&self.id, None::<StopContainerOptions>).await;
        stopped.map_err(|error| docker::told(&error))
    }

    /// What stands against exchanging its volume's folder: it would go on in the old one.
    pub(crate) fn in_the_way(&self) -> Option<Sentence> {
        let container = self.name.clone();
        match (self.state, self.auto_removed, self.of_swarm) {
            (State::Paused, ..) => Some(Fact::IsPaused { container }.into()),
            (State::Restarting, ..) => Some(Fact::IsRestarting { container }.into()),
            (_, true, _) => Some(Fact::AutoRemoved { container }.into()),
            (_, _, true) => Some(Fact::OfSwarm { container }.into()),
            _ => None,
        }
    }

    /// Why it would not come back.
    pub(crate) fn why_not_stopped(&self) -> Option<Fact> {
        let container = self.name.clone();
        if self.auto_removed {
            Some(Fact::StopRemoves { container })
        } else if self.of_swarm {
            Some(Fact::StopReplaced { container })
        } else {
            None
        }
    }
}

/// The containers that mount `volume` and have not ended; we are not among them.
pub(crate) async fn running(docker: &Docker, volume: &str) -> Result<Vec<Running>, Failure> {
    let filters = [
        ("volume".to_owned(), vec![volume.to_owned()]),
        ("status".to_owned(), State::FILTERS.map(str::to_owned).to_vec()),
    ];
    let options = ListContainersOptions { filters: Some(filters.into()), ..Default::default() };
    let listed = docker.list_containers(Some(options)).await;
    let own = docker::own_container().await;
    let mut running = Vec::new();
    for one in listed.map_err(|error| docker::told(&error))? {
        // The filter takes mount points of the same name for the volume, too.
        if !mounts(&one, volume) || one.id == own {
            continue;
        }
        let Some(id) = one.id else { continue };
        match docker.inspect_container(&id, None::<InspectContainerOptions>).await {
            Ok(inspected) => running.push(Running::of(inspected)),
            Err(error) if docker::is_gone(&error) => {}
            Err(error) => return Err(docker::told(&error)),
        }
    }
    Ok(running)
}

fn mounts(container: &ContainerSummary, volume: &str) -> bool {
    container.mounts.iter().flatten().any(|mount| {
        mount.typ.as_deref() == Some("volume") && mount.name.as_deref() == Some(volume)
    })
}

/// Containers that wait for us.
pub(crate) struct Held {
    /// In the order in which they were held.
    waiting: Vec<(String, Owed)>,
    since: Instant,
}

/// Pauses or stops what uses `volume`. Each is written down before, so that it goes on again
/// whatever becomes of us.
pub(crate) async fn hold(
    context: &RunContext,
    docker: &Docker,
    volume: &str,
    meanwhile: Meanwhile,
) -> Result<Held, Failure> {
    let mut held = Held::nobody();
    if meanwhile == Meanwhile::Run {
        return Ok(held);
    }
    let mut users = running(docker, volume).await?;
    // Who has been paused by somebody writes nothing, and is left so.
    users.retain(|user| user.state != State::Paused);
    if meanwhile == Meanwhile::Pause
        && let Some(user) = users.iter().find(|user| user.state == State::Restarting)
    {
        let message = format!(
            "`{}` is being restarted again and again, and cannot be paused: look why, or set \
             `containers` of this source to `stop`",
            user.name
        );
        return Err(Failure::new(FailureCode::SourceConfig, message));
    }
    if meanwhile == Meanwhile::Stop
        && let Some(why) = users.iter().find_map(Running::why_not_stopped)
    {
        let told = Fact::also(why, Fact::DoPauseSource {});
        return Err(Failure::new(FailureCode::SourceConfig, told));
    }
    for user in users {
        if let Err(failure) = hold_one(context, docker, user, meanwhile, &mut held).await {
            held.release(context).await;
            return Err(failure);
        }
    }
    Ok(held)
}

pub(crate) async fn hold_one(
    context: &RunContext,
    docker: &Docker,
    user: Running,
    meanwhile: Meanwhile,
    held: &mut Held,
) -> Result<(), Failure> {
    context.check_lease().await?;
    let container = user.id.clone();
    let (duty, done) = match meanwhile {
        Meanwhile::Stop => (Duty::StartContainer { container }, "stopped"),
        _ => (Duty::UnpauseContainer { container }, "paused"),
    };
    let is_stop = matches!(meanwhile, Meanwhile::Stop);
    held.waiting.push((user.name.clone(), context.owe(duty).await?));
    let answer = match meanwhile {
        Meanwhile::Stop => user.stop(docker).await,
        _ => docker.pause_container(&user.id).await.map_err(|error| docker::told(&error)),
    };
    answer.map_err(|failure| {
        let container = user.name.clone();
        failure.told_in(|why| {
            if is_stop {
                Fact::NotStopped { container, why }
            } else {
                Fact::NotPaused { container, why }
            }
        })
    })?;
    context.journal.info(format!("`{}` is {done} while it is read", user.name));
    Ok(())
}

impl Held {
    /// Nobody yet.
    pub(crate) fn nobody() -> Self {
        Self { waiting: Vec::new(), since: Instant::now() }
    }

    /// Leaves them as they are, and takes it off the list of what is owed; gives their names.
    pub(crate) async fn leave(&mut self, context: &RunContext) -> Vec<String> {
        let mut left = Vec::new();
        while let Some((name, owed)) = self.waiting.pop() {
            match context.forgo(owed).await {
                Ok(()) => left.push(name),
                Err(failure) => context.journal.warn(&failure.message),
            }
        }
        left
    }

    /// Lets them go on, the last one first; gives what could not be done, which is tried again
    /// later.
    pub(crate) async fn release(&mut self, context: &RunContext) -> Vec<Sentence> {
        let mut troubles = Vec::new();
        while let Some((name, owed)) = self.waiting.pop() {
            match context.settle(owed).await {
                Ok(()) => {
                    let secs = self.since.elapsed().as_secs_f32();
                    context.journal.info(format!("`{name}` goes on after {secs:.1} s"));
                }
                Err(failure) => {
                    let trouble =
                        Sentence::from(Fact::DoesNotGoOn { container: name, why: failure.into() });
                    context.journal.warn(&trouble.message);
                    troubles.push(trouble);
                }
            }
        }
        troubles
    }
}
