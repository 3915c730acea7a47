//! Looks at the machine that the orchestrator runs on.

use std::path::{Path, PathBuf};

use bollard::query_parameters::InspectContainerOptions;
use nix::sys::statvfs::statvfs;

use crate::{CheckState, Engine, EngineError, Report, docker};

/// Less free than this deserves a look.
const LITTLE: u64 = 1 << 30;
/// Less than this share of a disk, too.
const LITTLE_PERCENT: u64 = 5;

impl Engine {
    /// Looks at Docker, the clock and the room for what has to be kept while runs go on.
    pub async fn doctor_host(&self) -> Result<Report, EngineError> {
        let mut report =
            Report { subject: self.0.config.host.clone(), at: self.now(), checks: Vec::new() };
        self.look_at_docker(&mut report).await;
        match self.clock_jumped_at().await? {
            None => report.ok("clock", "it has not jumped"),
            Some(at) => report.push(
                "clock",
                CheckState::Warning,
                format!("it moved by more than a day at {at}; nothing expires meanwhile"),
                Some("if it is right now: backup-orchestrator accept-clock".into()),
            ),
        }
        self.look_at_room(&mut report).await;
        Ok(report)
    }

    async fn look_at_docker(&self, report: &mut Report) {
        let Some(host) = &self.0.config.docker_host else {
            return report.ok("docker", "not used: DOCKER_HOST is not set");
        };
        let docker = match docker::connect(&self.0.config).await {
            Ok(docker) => docker,
            Err(failure) => {
                let advice = "mount Docker's socket, or start the proxy that DOCKER_HOST names";
                return report.failed("docker", failure.message, advice);
            }
        };
        match docker::others(&docker).await {
            Ok(others) => {
                report.ok("docker", format!("{host} answers: {} containers", others.len()));
            }
            Err(failure) => {
                let advice = "the guide lists what a proxy in front of Docker has to allow";
                return report.failed("docker", failure.message, advice);
            }
        }
        let Some(own) = docker::own_container().await else { return };
        let own = docker.inspect_container(&own, None::<InspectContainerOptions>).await;
        let mounts = own.ok().and_then(|own| own.mounts).unwrap_or_default();
        let socket = mounts.iter().filter_map(|mount| mount.source.as_deref());
        if let Some(socket) = socket.clone().find(|source| source.ends_with("docker.sock")) {
            report.push(
                "docker_socket",
                CheckState::Warning,
                format!(
                    "{socket} itself is mounted here: who has it has this machine, and mounting \
                     it read-only changes nothing about that"
                ),
                Some(
                    "put a filtering proxy in between; the guide says what it has to allow".into(),
                ),
            );
        }
    }

    async fn look_at_room(&self, report: &mut Report) {
        let folder = self.0.config.spool.clone();
        let Ok(looked) = tokio::task::spawn_blocking(move || room(&folder)).await else { return };
        match looked {
            Ok((free, all, at)) => {
                let told =
                    format!("{} has {} MiB free of {} MiB", at.display(), free >> 20, all >> 20);
                if free < LITTLE || free < all / 100 * LITTLE_PERCENT {
                    let advice = "make room: what must be whole before it is sent waits there";
                    report.push("room", CheckState::Warning, told, Some(advice.into()));
                } else {
                    report.ok("room", told);
                }
            }
            Err(error) => report.failed("room", error, "check the data folder"),
        }
    }
}

/// Free and all bytes where `folder` is or will be.
pub(crate) fn room(folder: &Path) -> Result<(u64, u64, PathBuf), String> {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let told = statvfs(there).map_err(|error| format!("{}: {error}", there.display()))?;
    let block = told.fragment_size();
    Ok((told.blocks_available() * block, told.blocks() * block, there.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn room_is_told_of_what_will_be() {
        let folder = tempfile::tempdir().unwrap();
        let (free, all, at) = room(&folder.path().join("not/yet")).unwrap();
        assert!(free > 0 && free <= all);
        assert_eq!(at, folder.path());
    }
}
