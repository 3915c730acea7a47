//! Docker's Engine API.

pub(crate) mod containers;
pub(crate) mod exec;
mod own;

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker, errors::Error};
use model::{Failure, FailureCode};

use crate::EngineConfig;

pub(crate) use own::own_container;

/// How long Docker may take to answer.
const ANSWER: Duration = Duration::from_secs(120);

/// A client of the Docker that the configuration names, in words that this Docker knows.
pub(crate) async fn connect(config: &EngineConfig) -> Result<Docker, Failure> {
    let Some(host) = &config.docker_host else {
        return Err(Failure::new(
            FailureCode::SourceConfig,
            "Docker is not reachable from here: mount its socket (or a filtering proxy) and set \
             DOCKER_HOST, for example unix:///var/run/docker.sock",
        ));
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
            return Err(Failure::new(
                FailureCode::SourceConfig,
                format!("DOCKER_HOST `{host}`: use unix:///PATH or tcp://HOST:PORT"),
            ));
        }
    };
    docker.map_err(|error| told(&error))
}

/// What Docker's refusals mean.
pub(crate) fn told(error: &Error) -> Failure {
    match error {
        Error::DockerResponseServerError { status_code: 404, message } => {
            Failure::new(FailureCode::SourceConfig, format!("Docker: {message}"))
        }
        Error::DockerResponseServerError { status_code: 403, message } => {
            let advice = "let the proxy in front of Docker allow it";
            Failure::new(FailureCode::SourceUnauthorized, format!("Docker: {message}; {advice}"))
        }
        Error::DockerResponseServerError { status_code, message } => {
            Failure::new(FailureCode::SourceFailed, format!("Docker ({status_code}): {message}"))
        }
        other => Failure::new(FailureCode::SourceUnreachable, format!("Docker: {other}")),
    }
}

/// Whether it is not there (any more).
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
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
