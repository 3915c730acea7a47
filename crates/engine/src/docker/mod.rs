//! Docker's Engine API.

pub(crate) mod around;
pub(crate) mod beside;
pub(crate) mod closed;
pub(crate) mod containers;
pub(crate) mod coverage;
pub(crate) mod discovery;
pub(crate) mod exec;
pub(crate) mod image;
mod labels;
mod own;
mod reconcile;
pub(crate) mod remake;
pub(crate) mod scratch;
pub(crate) mod served;
pub(crate) mod strays;

use std::{collections::BTreeSet, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, ClientVersion, Docker, errors::Error, models::ContainerSummary,
    query_parameters::ListContainersOptions,
};
use model::{Event, EventId, EventKind, Fact, Failure, FailureCode, Severity};

use crate::{Engine, EngineConfig};

pub(crate) use own::own_container;
pub(crate) use reconcile::follow_labels;

/// How long Docker may take to answer.
const ANSWER: Duration = Duration::from_secs(120);

/// Marks what is made to read a volume or for a drill, so that nobody wonders whose it is.
pub(crate) const HELPER: &str = "io.backup-orchestrator.helper";

/// Marks the volumes that a restore has made, with the word in the names of what it makes: no other
/// volume is ever removed.
pub(crate) const RESTORED: &str = "io.backup-orchestrator.restored";

/// A client of the Docker that the configuration names, in words that this Docker knows.
pub(crate) async fn connect(config: &EngineConfig) -> Result<Docker, Failure> {
    let Some(host) = &config.docker_host else {
        return Err(Failure::new(FailureCode::SourceConfig, Fact::DockerUnset {}));
    };
    let docker = client(host, API_DEFAULT_VERSION)?;
    let error = match docker.version().await {
        Ok(told) => {
            let newest = told.api_version.as_deref().and_then(version_in);
            return match newest {
                // Some answer whatever version they are asked in.
                Some(newest) if newest < *API_DEFAULT_VERSION => client(host, &newest),
                _ => Ok(docker),
            };
        }
        Err(error) => error,
    };
    // An older Docker refuses what it does not know, and says what it does.
    if let Error::DockerResponseServerError { status_code: 400, message } = &error
        && let Some((_, newest)) = message.rsplit_once("Maximum supported API version is")
        && let Some(newest) = version_in(newest)
    {
        return client(host, &newest);
    }
    Err(told(&error))
}

/// `1.41` as a version.
fn version_in(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.trim().trim_end_matches('.').split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

fn client(host: &str, version: &ClientVersion) -> Result<Docker, Failure> {
    let secs = ANSWER.as_secs();
    let docker = match host.split_once("://") {
        Some(("unix", _)) => Docker::connect_with_unix(host, secs, version),
        Some(("tcp" | "http", _)) => Docker::connect_with_http(host, secs, version),
        _ => {
            let wrong = Fact::DockerHostWrong { host: host.to_owned() };
            return Err(Failure::new(FailureCode::SourceConfig, wrong));
        }
    };
    docker.map_err(|error| told(&error))
}

/// What Docker's refusals mean.
pub(crate) fn told(error: &Error) -> Failure {
    let (status, said) = match error {
        Error::DockerResponseServerError { status_code, message } => {
            (*status_code, message.clone())
        }
        other => {
            let said = Fact::DockerSaid { said: other.to_string() };
            return Failure::new(FailureCode::SourceUnreachable, said);
        }
    };
    match status {
        404 => Failure::new(FailureCode::SourceConfig, Fact::DockerSaid { said }),
        403 => Failure::new(FailureCode::SourceUnauthorized, Fact::DockerForbids { said }),
        status => {
            let status = status.to_string();
            Failure::new(FailureCode::SourceFailed, Fact::DockerRefused { status, said })
        }
    }
}

/// Whether it is not there (any more).
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// All containers, running or not, but our own and those made to read volumes.
pub(crate) async fn others(docker: &Docker) -> Result<Vec<ContainerSummary>, Failure> {
    let options = ListContainersOptions { all: true, ..Default::default() };
    let listed = docker.list_containers(Some(options)).await.map_err(|error| told(&error))?;
    let own = own_container().await;
    let is_helper = |one: &ContainerSummary| {
        one.labels.as_ref().is_some_and(|labels| labels.contains_key(HELPER))
    };
    Ok(listed.into_iter().filter(|one| one.id != own && !is_helper(one)).collect())
}

/// Tells what somebody should see, and no app is about.
async fn tell(engine: &Engine, kind: EventKind, fact: Fact) -> Result<(), catalog::CatalogError> {
    let event = Event {
        id: engine.new_id(EventId::generate),
        at: engine.now(),
        kind,
        severity: Severity::Warning,
        app_id: None,
        run_id: None,
        snapshot_id: None,
        destination_id: None,
        sentence: fact.into(),
    };
    engine.0.catalog.append_events(&[event]).await
}

/// A container's name without Docker's leading slash; the short id where it has none.
pub(crate) fn name_of(container: &ContainerSummary) -> String {
    let name = container.names.iter().flatten().find(|name| name.matches('/').count() == 1);
    let id = || container.id.iter().flat_map(|id| id.chars().take(12)).collect();
    name.map_or_else(id, |name| name.trim_start_matches('/').to_owned())
}

/// The named volumes that a container mounts.
pub(crate) fn volumes_of(container: &ContainerSummary) -> BTreeSet<String> {
    let mounts = container.mounts.iter().flatten();
    let volumes = mounts.filter(|mount| mount.typ.as_deref() == Some("volume"));
    volumes.filter_map(|mount| mount.name.clone()).filter(|name| !is_anonymous(name)).collect()
}

/// Docker names a volume that nobody named by 64 hex digits.
pub(crate) fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let version = version_in(" 1.41").unwrap();
        assert_eq!((version.major_version, version.minor_version), (1, 41));
        assert!(version < *API_DEFAULT_VERSION);
        assert!(version_in("newest").is_none());
    }
}
