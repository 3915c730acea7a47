//! Docker's Engine API.

pub(crate) mod exec;

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use model::{Failure, FailureCode};

use crate::EngineConfig;

/// How long Docker may take to answer.
const ANSWER: Duration = Duration::from_secs(120);

/// A client of the Docker that the configuration names.
pub(crate) fn connect(config: &EngineConfig) -> Result<Docker, Failure> {
    let Some(host) = &config.docker_host else {
        return Err(Failure::new(
            FailureCode::SourceConfig,
            "Docker is not reachable from here: mount its socket (or a filtering proxy) and set \
             DOCKER_HOST, for example unix:///var/run/docker.sock",
        ));
    };
    let secs = ANSWER.as_secs();
    let docker = match host.split_once("://") {
        Some(("unix", _)) => Docker::connect_with_unix(host, secs, API_DEFAULT_VERSION),
        Some(("tcp" | "http", _)) => Docker::connect_with_http(host, secs, API_DEFAULT_VERSION),
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
pub(crate) fn told(error: &bollard::errors::Error) -> Failure {
    use bollard::errors::Error as E;
    match error {
        E::DockerResponseServerError { status_code: 404, message } => {
            Failure::new(FailureCode::SourceConfig, format!("Docker: {message}"))
        }
        E::DockerResponseServerError { status_code: 403, message } => {
            let advice = "let the proxy in front of Docker allow it";
            Failure::new(FailureCode::SourceUnauthorized, format!("Docker: {message}; {advice}"))
        }
        E::DockerResponseServerError { status_code, message } => {
            Failure::new(FailureCode::SourceFailed, format!("Docker ({status_code}): {message}"))
        }
        other => Failure::new(FailureCode::SourceUnreachable, format!("Docker: {other}")),
    }
}
