//! The image that a source's server runs in, where that is a container of this Docker.

use std::{net::IpAddr, time::Duration};

use bollard::{
    Docker,
    models::ContainerSummary,
    query_parameters::{InspectContainerOptions, ListContainersOptions},
};
use model::{DirectKind, DirectSource, Source, SourceKind};

use crate::EngineConfig;

/// How long finding it may take: nothing else waits for it longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The image's name by digest, or its id where no registry gave it one. `None` where no Docker is
/// used, or no container of it is the server.
pub(crate) async fn of_source(config: &EngineConfig, source: &Source) -> Option<String> {
    config.docker_host.as_ref()?;
    let SourceKind::Direct(direct) = &source.kind else { return None };
    let is_server =
        matches!(direct.what, DirectKind::Postgres | DirectKind::Mysql | DirectKind::Redis);
    if !is_server {
        return None;
    }
    tokio::time::timeout(PATIENCE, found(config, direct)).await.ok()?
}

async fn found(config: &EngineConfig, direct: &DirectSource) -> Option<String> {
    let docker = super::connect(config).await.ok()?;
    let container = container(&docker, direct).await?;
    let options = None::<InspectContainerOptions>;
    let image = docker.inspect_container(&container, options).await.ok()?.image?;
    let told = docker.inspect_image(&image).await.ok()?;
    Some(told.repo_digests.into_iter().flatten().next().unwrap_or(image))
}

/// The container that a setting names, or the one whose address or name the host is.
pub(crate) async fn container(docker: &Docker, direct: &DirectSource) -> Option<String> {
    if let Some(container) = direct.setting("container") {
        return Some(container.to_owned());
    }
    let host = direct.setting("host").filter(|host| !host.starts_with(['/', '@']))?;
    let options = ListContainersOptions::default();
    let containers = docker.list_containers(Some(options)).await.ok()?;
    let addresses: Vec<IpAddr> = match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => found.map(|one| one.ip()).collect(),
        Err(_) => Vec::new(),
    };
    let at = |one: &&ContainerSummary| addresses_of(one).any(|own| addresses.contains(&own));
    let named = |one: &&ContainerSummary| super::name_of(one) == host;
    let found =
        only(containers.iter().filter(at)).or_else(|| only(containers.iter().filter(named)));
    found?.id.clone()
}

fn addresses_of(container: &ContainerSummary) -> impl Iterator<Item = IpAddr> {
    let networks = container.network_settings.iter().filter_map(|all| all.networks.as_ref());
    networks.flat_map(|all| all.values()).filter_map(|one| one.ip_address.as_ref()?.parse().ok())
}

/// The one there is; of several none is surely meant.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}
