//! Looks at the machine that the orchestrator runs on.

use std::path::{Path, PathBuf};

use bollard::query_parameters::InspectContainerOptions;
use model::Fact;
use nix::sys::statvfs::statvfs;

use crate::{CheckState, Engine, EngineError, Report, docker, doctor::said};

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
            None => report.ok("clock", Fact::ClockWell {}),
            Some(at) => report.push(
                "clock",
                CheckState::Warning,
                Fact::ClockJumped { at },
                Some(Fact::DoAcceptClock {}),
            ),
        }
        self.look_at_room(&mut report).await;
        Ok(report)
    }

    async fn look_at_docker(&self, report: &mut Report) {
        let Some(host) = &self.0.config.docker_host else {
            return report.ok("docker", Fact::DockerUnused {});
        };
        let docker = match docker::connect(&self.0.config).await {
            Ok(docker) => docker,
            Err(failure) => return report.failed("docker", failure, Fact::DoDockerHost {}),
        };
        match docker::others(&docker).await {
            Ok(others) => {
                let (host, count) = (host.clone(), others.len() as u64);
                report.ok("docker", Fact::DockerAnswers { host, count });
            }
            Err(failure) => return report.failed("docker", failure, Fact::DoDockerProxy {}),
        }
        let Some(own) = docker::own_container().await else { return };
        let own = docker.inspect_container(&own, None::<InspectContainerOptions>).await;
        let mounts = own.ok().and_then(|own| own.mounts).unwrap_or_default();
        let socket = mounts.iter().filter_map(|mount| mount.source.as_deref());
        if let Some(socket) = socket.clone().find(|source| source.ends_with("docker.sock")) {
            report.push(
                "docker_socket",
                CheckState::Warning,
                Fact::SocketMounted { socket: socket.to_owned() },
                Some(Fact::DoFilter {}),
            );
        }
    }

    async fn look_at_room(&self, report: &mut Report) {
        let folder = self.0.config.spool.clone();
        let Ok(looked) = tokio::task::spawn_blocking(move || room(&folder)).await else { return };
        match looked {
            Ok((free, all, at)) => {
                let path = at.display().to_string();
                let told = Fact::RoomIs { path, free: free >> 20, all: all >> 20 };
                if free < LITTLE || free < all / 100 * LITTLE_PERCENT {
                    report.push("room", CheckState::Warning, told, Some(Fact::DoMakeRoom {}));
                } else {
                    report.ok("room", told);
                }
            }
            Err(error) => report.failed("room", said(error), Fact::DoDataFolder {}),
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
