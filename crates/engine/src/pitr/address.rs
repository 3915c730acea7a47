//! Where a server is for the replication protocol, which no tool of its own speaks for us.

use std::{net::IpAddr, path::Path};

use bollard::query_parameters::InspectContainerOptions;
use model::{Fact, Failure, FailureCode};
use replication::{Host, ServerError, Settings, Tls};

use crate::{
    docker,
    doctor::said,
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
            return Err(Failure::new(FailureCode::SourceConfig, Fact::HostOrContainer {}));
        }
    };
    let roots = match asked.setting("sslrootcert") {
        Some(path) => Some(tokio::fs::read(Path::new(path)).await.map_err(|error| {
            let unread = Fact::NotRead { what: path.to_owned(), why: error.to_string() };
            Failure::new(FailureCode::SourceConfig, unread)
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
        let (container, why) = (container.to_owned(), error.to_string().into());
        Failure::new(FailureCode::SourceUnreachable, Fact::OfContainer { container, why })
    })?;
    let networks = found.network_settings.and_then(|all| all.networks).unwrap_or_default();
    let addresses = networks.into_values().filter_map(|one| one.ip_address?.parse().ok());
    let addresses: Vec<IpAddr> =
        addresses.filter(|address| config.net_policy.check_address(*address).is_ok()).collect();
    if addresses.is_empty() {
        let none = Fact::NoWayToContainer { container: container.to_owned() };
        return Err(Failure::new(FailureCode::SourceUnreachable, none));
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
    let told = match (error, error.server()) {
        (E::Network { doing, source }, _) => {
            Fact::PostgresUnreached { what: doing.clone(), why: source.to_string() }
        }
        (_, Some(server)) => match advice(server) {
            Some(advice) => Fact::also(said(server.said()), advice),
            None => said(server.said()),
        },
        _ => said(error),
    };
    Failure { retryable: error.is_retryable(), ..Failure::new(code, told) }
}

/// What to do about what keeps us from connecting.
pub(super) fn advice(told: &ServerError) -> Option<Fact> {
    use replication::Problem as P;
    let role = &told.role;
    Some(match told.problem {
        P::Password => {
            Fact::DoRolePassword { statement: format!("ALTER ROLE {role} PASSWORD '...';") }
        }
        P::NotAdmitted => Fact::DoAdmit {
            statement: format!("CREATE ROLE {role} LOGIN REPLICATION PASSWORD '...';"),
            line: format!("host replication {role} ADDRESS/32 scram-sha-256"),
            other: format!("local replication {role} scram-sha-256"),
            reload: "SELECT pg_reload_conf();".to_owned(),
        },
        P::NoReplicationRight => {
            Fact::DoAsSuperuser { statement: format!("ALTER ROLE {role} REPLICATION;") }
        }
        P::TooManyConnections => {
            Fact::DoWaitOrSenders { statement: "ALTER SYSTEM SET max_wal_senders = 20;".to_owned() }
        }
        _ => said(told.advice.as_ref()?),
    })
}
