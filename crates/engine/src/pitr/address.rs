//! Where a server is for the replication protocol, which no tool of its own speaks for us.

use std::{net::IpAddr, path::Path};

use bollard::query_parameters::InspectContainerOptions;
use model::{Failure, FailureCode};
use replication::{Host, Settings, Tls};

use crate::{
    docker,
    source::{direct::Asked, reach},
};

/// How the server of a source is reached; its addresses are judged.
pub(super) async fn of(asked: &Asked<'_>) -> Result<Settings, Failure> {
    let port = asked.setting("port").and_then(|text| text.parse().ok()).unwrap_or(5432);
    let role = asked.setting("user").unwrap_or("postgres");
    let config = &asked.engine.0.config;
    let (host, addresses) = match (asked.setting("host"), asked.setting("container")) {
        (_, Some(container)) => {
            let addresses = of_container(asked, container).await?;
            (Host::Tcp(container.to_owned(), port), addresses)
        }
        (Some(folder), None) if folder.starts_with('/') => {
            (Host::Unix(folder.into(), port), vec![])
        }
        (Some(host), None) => {
            (Host::Tcp(host.to_owned(), port), reach::allowed(config, host).await?)
        }
        (None, None) => {
            let message = "give the server's host, or its container";
            return Err(Failure::new(FailureCode::SourceConfig, message));
        }
    };
    let roots = match asked.setting("sslrootcert") {
        Some(path) => Some(tokio::fs::read(Path::new(path)).await.map_err(|error| {
            Failure::new(FailureCode::SourceConfig, format!("{path} cannot be read: {error}"))
        })?),
        None => None,
    };
    let mut settings = Settings::new(host, role);
    settings.addresses = addresses;
    settings.password = asked.secret("password")?;
    settings.roots = roots;
    settings.connect_timeout = config.connect_timeout.max(std::time::Duration::from_secs(2));
    settings.tls = match asked.setting("sslmode") {
        Some("disable") => Tls::Disable,
        Some("require") => Tls::Require,
        Some("verify-ca") => Tls::VerifyCa,
        Some("verify-full") => Tls::VerifyFull,
        // `allow` would begin without.
        _ => Tls::Prefer,
    };
    Ok(settings)
}

/// The addresses of a container in its networks.
async fn of_container(asked: &Asked<'_>, container: &str) -> Result<Vec<IpAddr>, Failure> {
    let config = &asked.engine.0.config;
    let client = docker::connect(config).await?;
    let found = client.inspect_container(container, None::<InspectContainerOptions>).await;
    let found = found.map_err(|error| {
        let message = format!("container `{container}`: {error}");
        Failure::new(FailureCode::SourceUnreachable, message)
    })?;
    let networks = found.network_settings.and_then(|all| all.networks).unwrap_or_default();
    let addresses = networks.into_values().filter_map(|one| one.ip_address?.parse().ok());
    let addresses: Vec<IpAddr> =
        addresses.filter(|address| config.net_policy.check_address(*address).is_ok()).collect();
    if addresses.is_empty() {
        let message = format!(
            "container `{container}` has no address that may be connected to: the archive of WAL \
             comes over the network, so put the database and the orchestrator into one network, \
             or give the server's host instead of its container"
        );
        return Err(Failure::new(FailureCode::SourceUnreachable, message));
    }
    Ok(addresses)
}

/// An error of the replication protocol as a failure of its source.
pub(super) fn failure(error: &replication::Error) -> Failure {
    use replication::{Error as E, Problem as P};
    let code = match error {
        E::Network { .. } => FailureCode::SourceUnreachable,
        E::Timeout { .. } => FailureCode::Timeout,
        E::Settings(_) | E::Tls { .. } => FailureCode::SourceConfig,
        E::Authentication(_) => FailureCode::SourceUnauthorized,
        E::Server(told) => match told.problem {
            P::Password | P::NotAdmitted | P::NoReplicationRight => FailureCode::SourceUnauthorized,
            P::WalLevel | P::NoFreeSlot => FailureCode::SourceConfig,
            P::Unavailable | P::TooManyConnections => FailureCode::SourceBusy,
            _ => FailureCode::SourceFailed,
        },
        E::Unsound(_) => FailureCode::SourceMismatch,
        _ => FailureCode::SourceFailed,
    };
    Failure { retryable: error.is_retryable(), ..Failure::new(code, error.to_string()) }
}
