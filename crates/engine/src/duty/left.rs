//! What ended runs still owe on this machine: tried again, ever more patiently, until it is done.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{Duty, Fact, OwedDuty, RunId, Severity};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{settle, tell};
use crate::{Engine, EngineError};

/// How often it is looked for; also the first wait after a try that failed.
const EVERY: Duration = Duration::from_secs(3);
/// The longest wait.
const MOST: Duration = Duration::from_secs(300);
/// Tries after which people are told.
const TOLD_AFTER: u32 = 3;

/// Tries that failed, by run and order within it.
type Tries = Arc<Mutex<HashMap<(RunId, i64), Tried>>>;

#[derive(Clone, Copy)]
struct Tried {
    times: u32,
    again_at: Instant,
}

/// Does what ended runs still owe, until `shutdown`. Runs do not wait for each other.
pub(crate) async fn settle_what_is_left(engine: &Engine, shutdown: CancellationToken) {
    let tries = Tries::default();
    let (mut under_way, mut busy) = (JoinSet::new(), HashSet::new());
    loop {
        match engine.0.catalog.duties_of_ended_runs(&engine.0.config.host).await {
            Ok(owed) => {
                for (run, owed) in due(&tries, owed) {
                    if busy.insert(run) {
                        let (engine, tries) = (engine.clone(), Arc::clone(&tries));
                        under_way.spawn(async move {
                            for one in owed {
                                try_one(&engine, &tries, &one).await;
                            }
                            run
                        });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "what ended runs owe stays for now"),
        }
        let next = Instant::now() + EVERY;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep_until(next) => break,
                Some(done) = under_way.join_next() => match done {
                    Ok(run) => _ = busy.remove(&run),
                    Err(error) => tracing::error!(%error, "what a run owes stays until a restart"),
                },
            }
        }
    }
}

/// By run, in the order given, without what has to wait.
fn due(tries: &Tries, owed: Vec<OwedDuty>) -> Vec<(RunId, Vec<OwedDuty>)> {
    let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
    let known: HashSet<_> = owed.iter().map(|one| (one.run_id, one.seq)).collect();
    tries.retain(|key, _| known.contains(key));
    let now = Instant::now();
    let mut due: Vec<(RunId, Vec<OwedDuty>)> = Vec::new();
    for one in owed {
        if tries.get(&(one.run_id, one.seq)).is_some_and(|tried| tried.again_at > now) {
            continue;
        }
        match due.last_mut().filter(|(run, _)| *run == one.run_id) {
            Some((_, of_run)) => of_run.push(one),
            None => due.push((one.run_id, vec![one])),
        }
    }
    due
}

async fn try_one(engine: &Engine, tries: &Tries, owed: &OwedDuty) {
    let key = (owed.run_id, owed.seq);
    let Err(error) = settle(engine, owed).await else {
        let before = tries.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if before.is_some_and(|tried| tried.times >= TOLD_AFTER) {
            tracing::info!(run = %owed.run_id, "{}: done after all", told(&owed.duty).0);
        }
        return;
    };
    let times = {
        let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
        let times = tries.get(&key).map_or(0, |tried| tried.times) + 1;
        tries.insert(key, Tried { times, again_at: Instant::now() + wait(times) });
        times
    };
    let (what, remedy) = told(&owed.duty);
    tracing::warn!(run = %owed.run_id, "{what}: {error}; again in {} s", wait(times).as_secs());
    if times == TOLD_AFTER
        && let Err(error) = tell_once(engine, owed, what, &error, remedy).await
    {
        tracing::warn!(%error, "an event could not be written");
    }
}

/// After as many tries as that.
fn wait(times: u32) -> Duration {
    (EVERY * 2_u32.saturating_pow(times.saturating_sub(1).min(10))).min(MOST)
}

/// Not again after a restart.
async fn tell_once(
    engine: &Engine,
    owed: &OwedDuty,
    what: Fact,
    error: &EngineError,
    remedy: Fact,
) -> Result<(), EngineError> {
    let app_id = engine.0.catalog.run(owed.run_id).await?.app_id;
    let query = catalog::EventQuery { app_id, limit: 500 };
    let known = engine.0.catalog.events(query).await?;
    let begin = what.to_string();
    let is_it = |event: &model::Event| {
        event.run_id == Some(owed.run_id) && event.sentence.starts_with(&begin)
    };
    if known.iter().any(is_it) {
        return Ok(());
    }
    let minutes = MOST.as_secs() / 60;
    let told = Fact::StaysOwed {
        what: what.into(),
        why: error.to_string(),
        remedy: remedy.into(),
        minutes,
    };
    tell(engine, owed, Severity::Error, told).await
}

/// What could not be done, and what a person can do.
fn told(duty: &Duty) -> (Fact, Fact) {
    let short = |id: &str| id.chars().take(12).collect::<String>();
    let remove = |command: String| Fact::DoRemove { command };
    match duty {
        Duty::StartContainer { container } => (
            Fact::StoppedStays { container: container.clone() },
            Fact::DoStart { command: format!("docker start {}", short(container)) },
        ),
        Duty::UnpauseContainer { container } => (
            Fact::PausedStays { container: container.clone() },
            Fact::DoGoOn {
                command: format!("docker unpause {}", short(container)),
                other: format!("docker restart {}", short(container)),
            },
        ),
        Duty::RemoveContainer { container } => (
            Fact::HelperStays { container: container.clone() },
            remove(format!("docker rm --force {container}")),
        ),
        Duty::RemoveScratch { container } => (
            Fact::ScratchStays { container: container.clone() },
            remove(format!("docker rm --force --volumes {container}")),
        ),
        Duty::RemoveNetwork { network } => (
            Fact::NetworkStays { network: network.clone() },
            remove(format!("docker network rm {network}")),
        ),
        Duty::RemoveVolume { volume } => (
            Fact::VolumeStays { volume: volume.clone() },
            remove(format!("docker volume rm {volume}")),
        ),
        Duty::EndExec { container, marker } => (
            Fact::ExecStays { container: container.clone(), marker: marker.clone() },
            Fact::DoLook { command: format!("docker top {}", short(container)) },
        ),
        Duty::ExecPost { container, argv, .. } => (
            Fact::PostNotRun {
                command: argv.first().cloned().unwrap_or_default(),
                container: container.clone(),
            },
            Fact::DoStartOnly { command: format!("docker start {}", short(container)) },
        ),
        Duty::RunHook { container, argv, .. } => {
            let command = argv.first().cloned().unwrap_or_default();
            let not_run = match container.clone() {
                Some(container) => Fact::HookNotRunIn { command, container },
                None => Fact::HookNotRun { command },
            };
            (not_run, Fact::DoRunByHand {})
        }
        Duty::DeleteSubvolume { path } => {
            let name = path.display().to_string();
            let command = format!("btrfs subvolume delete {name}");
            (Fact::SnapshotStays { name }, remove(command))
        }
        Duty::DestroyZfsSnapshot { name } => {
            (Fact::SnapshotStays { name: name.clone() }, remove(format!("zfs destroy {name}")))
        }
        Duty::RemoveLogicalVolume { name, mount } => (
            Fact::SnapshotStays { name: name.clone() },
            Fact::DoUnmount {
                mount: mount.display().to_string(),
                command: format!("lvremove {name}"),
            },
        ),
        Duty::AllowConnections { databases, .. } => {
            (Fact::DatabasesClosed { names: databases.join(", ") }, Fact::DoOpen {})
        }
        Duty::RemoveFolder { path } => {
            (Fact::FolderStays { path: path.display().to_string() }, Fact::DoRemoveByHand {})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_minutes_and_no_further() {
        let waits: Vec<_> = (1..=9).map(|times| wait(times).as_secs()).collect();
        assert_eq!(waits, [3, 6, 12, 24, 48, 96, 192, 300, 300]);
        assert_eq!(wait(u32::MAX), MOST);
    }
}
