//! How much room the server's WAL has, where its files can be seen from here: by the orchestrator
//! on the same machine, or through a container's mounts.

use std::{
    io,
    path::{Path, PathBuf},
};

use bollard::query_parameters::InspectContainerOptions;
use model::{Fact, Told};

use crate::{docker, doctor_host, source::direct::Asked};

/// A server is up since when its file says so, give or take so many seconds: it looks at the clock
/// twice.
const START_SLACK: i64 = 10;

/// What a server says of where its files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// Its data directory, as the server sees it; empty where our role may not know.
    pub(super) data: PathBuf,
    /// When it was started, in seconds since 1970.
    pub(super) started: i64,
    /// The cluster.
    pub(super) system: String,
}

/// Room where a server keeps its WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) free: u64,
    pub(super) at: PathBuf,
}

/// The room of the server that is at `home`; or why nobody here knows.
pub(super) async fn look(asked: &Asked<'_>, home: &Home) -> Result<Room, Told> {
    if home.data.as_os_str().is_empty() {
        let statement = "GRANT pg_read_all_settings".to_owned();
        return Err(Fact::RoleBlind { statement }.into());
    }
    let mounts = match asked.setting("container") {
        Some(container) => mounts(asked, container).await?,
        None => Vec::new(),
    };
    let home = home.clone();
    let looking = tokio::task::spawn_blocking(move || -> Result<Room, Told> {
        let here = |path: &Path| through(&mounts, path);
        let data = here(&home.data);
        let shown = data.display().to_string();
        let is_its = is_its(&data, &home).map_err(|why| format!("{shown}: {why}"))?;
        if !is_its {
            return Err(Fact::NotItsData { path: shown }.into());
        }
        let wal = data.join("pg_wal");
        let at = match std::fs::read_link(&wal) {
            // As the server sees it.
            Ok(link) => here(&home.data.join(link)),
            Err(_) => wal,
        };
        if !at.is_dir() {
            return Err(Fact::NotSeenHere { path: at.display().to_string() }.into());
        }
        Ok(doctor_host::room(&at).map(|(free, _, at)| Room { free, at })?)
    });
    looking.await.unwrap_or_else(|panic| Err(panic.to_string().into()))
}

/// What is mounted in a container: from where on this machine, and where in it.
type Mounted = Vec<(PathBuf, PathBuf)>;

async fn mounts(asked: &Asked<'_>, container: &str) -> Result<Mounted, Told> {
    let config = &asked.engine.0.config;
    let client = docker::connect(config).await?;
    let found = client.inspect_container(container, None::<InspectContainerOptions>).await;
    let found = found.map_err(|error| Fact::OfContainer {
        container: container.to_owned(),
        why: error.to_string().into(),
    })?;
    let all = found.mounts.unwrap_or_default().into_iter();
    Ok(all.filter_map(|one| Some((one.source?.into(), one.destination?.into()))).collect())
}

/// Where `path` of a server is on this machine.
fn through(mounts: &[(PathBuf, PathBuf)], path: &Path) -> PathBuf {
    let within = mounts.iter().filter(|(_, at)| path.starts_with(at));
    let Some((from, at)) = within.max_by_key(|(_, at)| at.components().count()) else {
        return path.to_owned();
    };
    match path.strip_prefix(at) {
        Ok(rest) if rest.as_os_str().is_empty() => from.clone(),
        Ok(rest) => from.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// Whether `data` is the data directory of the server itself, and not that of a copy, of another
/// machine's server at the same path, or of one that was there before.
fn is_its(data: &Path, home: &Home) -> io::Result<bool> {
    let control = std::fs::read(data.join("global/pg_control"))?;
    let system = control.first_chunk().map(|eight| u64::from_le_bytes(*eight).to_string());
    let running = std::fs::read_to_string(data.join("postmaster.pid"))?;
    let started = running.lines().nth(2).and_then(|line| line.trim().parse::<i64>().ok());
    let near = |at: i64| at.abs_diff(home.started) <= START_SLACK.unsigned_abs();
    Ok(system.as_deref() == Some(home.system.as_str()) && started.is_some_and(near))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_a_container_are_found_by_its_nearest_mount() {
        let mounts = [
            ("/var/lib/docker/volumes/pg/_data", "/var/lib/postgresql/data"),
            ("/fast/wal", "/var/lib/postgresql/data/wal"),
        ]
        .map(|(from, at)| (PathBuf::from(from), PathBuf::from(at)));
        let at = |path: &str| through(&mounts, Path::new(path)).display().to_string();
        assert_eq!(at("/var/lib/postgresql/data"), "/var/lib/docker/volumes/pg/_data");
        assert_eq!(at("/var/lib/postgresql/data/wal/x"), "/fast/wal/x");
        assert_eq!(at("/var/lib/postgresql/data2"), "/var/lib/postgresql/data2");
    }

    #[test]
    fn only_the_servers_own_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let home = Home { data: data.to_owned(), started: 1_000, system: "7".to_owned() };
        assert!(is_its(data, &home).is_err());
        std::fs::create_dir(data.join("global")).unwrap();
        std::fs::write(data.join("global/pg_control"), [7, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        std::fs::write(data.join("postmaster.pid"), "1\n/data\n1003\n5432\n").unwrap();
        assert!(is_its(data, &home).unwrap());
        assert!(!is_its(data, &Home { started: 900, ..home.clone() }).unwrap());
        assert!(!is_its(data, &Home { system: "8".to_owned(), ..home }).unwrap());
    }
}
