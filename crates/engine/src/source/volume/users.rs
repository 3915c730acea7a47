//! Containers that use the volume: left alone, paused or stopped while it is read.

use std::time::{Duration, Instant};

use bollard::{
    Docker,
    models::ContainerSummary,
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

/// A running container that mounts the volume, and is not us.
pub(crate) struct Running {
    id: String,
    pub(crate) name: String,
    stop_timeout: Duration,
    auto_removed: bool,
    of_swarm: bool,
}

impl Running {
    /// What stands against stopping it for a restore.
    pub(crate) fn in_the_way(&self) -> Option<Fact> {
        let container = self.name.clone();
        match (self.auto_removed, self.of_swarm) {
            (true, _) => Some(Fact::AutoRemoved { container }),
            (_, true) => Some(Fact::OfSwarm { container }),
            _ => None,
        }
    }

    /// Why it would not come back.
    pub(crate) fn why_not_stopped(&self) -> Option<String> {
        let why = if self.auto_removed {
            "was started with `--rm`: stopping removes it"
        } else if self.of_swarm {
            "belongs to a Swarm service, which replaces what is stopped"
        } else {
            return None;
        };
        Some(format!("`{}` {why}", self.name))
    }
}

/// The running containers that mount `volume`; we are not among them.
pub(crate) async fn running(docker: &Docker, volume: &str) -> Result<Vec<Running>, Failure> {
    let filters = [("volume", volume), ("status", "running")]
        .map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
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
        let inspected = match docker.inspect_container(&id, None::<InspectContainerOptions>).await {
            Ok(inspected) => inspected,
            Err(error) if docker::is_gone(&error) => continue,
            Err(error) => return Err(docker::told(&error)),
        };
        let config = inspected.config.unwrap_or_default();
        let stop_timeout = config.stop_timeout.and_then(|secs| u64::try_from(secs).ok());
        running.push(Running {
            name: inspected.name.map_or_else(
                || id.chars().take(12).collect(),
                |name| name.trim_start_matches('/').to_owned(),
            ),
            id,
            stop_timeout: Duration::from_secs(stop_timeout.unwrap_or(10)),
            auto_removed: inspected.host_config.and_then(|host| host.auto_remove) == Some(true),
            of_swarm: config.labels.is_some_and(|labels| labels.contains_key(SWARM_TASK)),
        });
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
    let mut held = Held { waiting: Vec::new(), since: Instant::now() };
    if meanwhile == Meanwhile::Run {
        return Ok(held);
    }
    let users = running(docker, volume).await?;
    if meanwhile == Meanwhile::Stop
        && let Some(why) = users.iter().find_map(Running::why_not_stopped)
    {
        let message = format!("{why}; set `containers` of this source to `pause`");
        return Err(Failure::new(FailureCode::SourceConfig, message));
    }
    for user in users {
        if let Err(failure) = hold_one(context, docker, user, meanwhile, &mut held).await {
            held.release(context).await;
            return Err(failure);
        }
    }
    Ok(held)
}

async fn hold_one(
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
    held.waiting.push((user.name.clone(), context.owe(duty).await?));
    let answer = match meanwhile {
        Meanwhile::Stop => {
            let patient = docker.clone().with_timeout(user.stop_timeout + STOP_GRACE);
            patient.stop_container(&user.id, None::<StopContainerOptions>).await
        }
        _ => docker.pause_container(&user.id).await,
    };
    answer.map_err(|error| {
        let mut failure = docker::told(&error);
        failure.message = format!("`{}` could not be {done}: {}", user.name, failure.message);
        failure
    })?;
    context.journal.info(format!("`{}` is {done} because of its volume", user.name));
    Ok(())
}

impl Held {
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
                        Sentence::from(Fact::DoesNotGoOn { container: name, why: failure.message });
                    context.journal.warn(&trouble.message);
                    troubles.push(trouble);
                }
            }
        }
        troubles
    }
}
