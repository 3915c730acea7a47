//! A server's container once more, beside it: its image and what it is told, on other data.
//!
//! What is the original's alone is left to it: its published ports, its addresses and names in
//! networks, and its labels, by which compose, proxies and ourselves would take one for the other.
//! What else it mounts can be read only.

use std::collections::HashMap;

use bollard::{
    Docker,
    models::{
        ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, Mount,
        MountPoint, MountType, NetworkConnectRequest, NetworkingConfig, RestartPolicy,
        RestartPolicyNameEnum,
    },
    query_parameters::{CreateContainerOptions, InspectContainerOptions},
};
use model::{Fact, Failure, FailureCode};

use super::{RESTORED, is_gone, served::Served, told};
use crate::pitr::restore::home::mount;

/// Where servers have their sockets: in a folder that two share, one would take the other's.
const SOCKETS: [&str; 2] = ["/run/postgresql", "/var/run/postgresql"];

/// The container `name` where it is there, and whether it has the mark `tag` of one restore.
pub(crate) async fn find(docker: &Docker, name: &str, tag: &str) -> Result<Option<bool>, Failure> {
    let found = match docker.inspect_container(name, None::<InspectContainerOptions>).await {
        Ok(found) => found,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(told(&error)),
    };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    Ok(Some(labels.get(RESTORED).is_some_and(|own| own == tag)))
}

/// Makes the container `name` beside `served`, on `volume`; it does not run yet. Called again after
/// it was cut off, it goes on where it was. Gives its networks.
pub(crate) async fn make(
    docker: &Docker,
    served: &Served,
    name: &str,
    volume: &str,
    tag: &str,
) -> Result<Vec<String>, Failure> {
    let networks = networks(&served.inspected);
    match find(docker, name, tag).await? {
        Some(true) => {}
        Some(false) => {
            let container = name.to_owned();
            return Err(Failure::new(
                FailureCode::RestoreRefused,
                Fact::ContainerIsThere { container },
            ));
        }
        None => {
            let body = body(served, volume, tag, networks.first())?;
            let options = CreateContainerOptions {
                name: Some(name.to_owned()),
                ..CreateContainerOptions::default()
            };
            docker.create_container(Some(options), body).await.map_err(|error| told(&error))?;
        }
    }
    let made = docker.inspect_container(name, None::<InspectContainerOptions>).await;
    let joined = self::networks(&made.map_err(|error| told(&error))?);
    // Older versions of Docker take one network at first.
    for network in networks.iter().filter(|network| !joined.contains(network)) {
        let request = NetworkConnectRequest {
            container: name.to_owned(),
            ..NetworkConnectRequest::default()
        };
        docker.connect_network(network, request).await.map_err(|error| told(&error))?;
    }
    Ok(networks)
}

fn body(
    served: &Served,
    volume: &str,
    tag: &str,
    network: Option<&String>,
) -> Result<ContainerCreateBody, Failure> {
    let original = &served.inspected;
    let config = serde_json::to_value(&original.config).and_then(serde_json::from_value);
    let mut body: ContainerCreateBody = config.map_err(|error| {
        let message = format!("the description of `{}` cannot be read: {error}", served.name);
        Failure::new(FailureCode::Internal, message)
    })?;
    body.image = Some(served.image.clone());
    body.hostname = None;
    body.domainname = None;
    body.labels = Some(HashMap::from([(RESTORED.to_owned(), tag.to_owned())]));
    let host = original.host_config.clone().unwrap_or_default();
    let mode = host.network_mode.unwrap_or_default();
    let others = original.mounts.iter().flatten().filter_map(|one| read_only(one, served));
    body.host_config = Some(HostConfig {
        memory: host.memory,
        memory_swap: host.memory_swap,
        nano_cpus: host.nano_cpus,
        cpu_quota: host.cpu_quota,
        cpu_period: host.cpu_period,
        shm_size: host.shm_size,
        ulimits: host.ulimits,
        pids_limit: host.pids_limit,
        init: host.init,
        tmpfs: host.tmpfs,
        userns_mode: host.userns_mode,
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        network_mode: Some(match (network, mode.as_str()) {
            (Some(network), _) => network.clone(),
            (None, "none") => "none".to_owned(),
            // The machine's own network has one port of a number.
            (None, _) => "bridge".to_owned(),
        }),
        // Whoever keeps it says whether it is to be there after a restart, too.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        mounts: Some(others.chain([mount(volume, &served.at)]).collect()),
        ..HostConfig::default()
    });
    body.networking_config = network.map(|network| NetworkingConfig {
        endpoints_config: Some(HashMap::from([(network.clone(), EndpointSettings::default())])),
    });
    Ok(body)
}

/// What the original mounts besides its data, for the copy.
fn read_only(mount: &MountPoint, served: &Served) -> Option<Mount> {
    let target = mount.destination.clone()?;
    let is_socket = SOCKETS.iter().any(|socket| target.trim_end_matches('/') == *socket);
    if target.trim_end_matches('/') == served.at || is_socket {
        return None;
    }
    let (typ, source) = match mount.typ.as_deref()? {
        "bind" => (MountType::BIND, mount.source.clone()),
        "volume" => (MountType::VOLUME, mount.name.clone()),
        _ => return None,
    };
    Some(Mount {
        target: Some(target),
        source,
        typ: Some(typ),
        read_only: Some(true),
        ..Mount::default()
    })
}

/// The networks of its own that a container is in.
fn networks(container: &ContainerInspectResponse) -> Vec<String> {
    let settings = container.network_settings.as_ref().and_then(|all| all.networks.as_ref());
    let mut all: Vec<_> = settings.into_iter().flat_map(|all| all.keys().cloned()).collect();
    all.retain(|network| !matches!(network.as_str(), "bridge" | "host" | "none"));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_the_originals_alone_is_left_to_it() {
        let original = json!({
            "Name": "/shop-db", "Image": "sha256:one",
            "Config": {
                "Hostname": "db", "Env": ["PGDATA=/var/lib/postgresql/data", "POSTGRES_USER=shop"],
                "Cmd": ["postgres"], "Image": "postgres:17",
                "Labels": { "com.docker.compose.service": "db" }
            },
            "HostConfig": {
                "PortBindings": { "5432/tcp": [{ "HostPort": "5432" }] }, "NetworkMode": "shop",
                "RestartPolicy": { "Name": "always" }, "Binds": ["pg:/var/lib/postgresql/data"],
                "Privileged": true
            },
            "Mounts": [
                { "Type": "volume", "Name": "pg", "Destination": "/var/lib/postgresql/data" },
                { "Type": "bind", "Source": "/srv/tls", "Destination": "/tls", "RW": true },
                { "Type": "volume", "Name": "sockets", "Destination": "/run/postgresql" }
            ],
            "NetworkSettings": { "Networks": { "shop": { "Aliases": ["db"] } } }
        });
        let served = Served::read(serde_json::from_value(original).unwrap()).unwrap();
        let body = body(&served, "shop-old", "0a1b2c3d", Some(&"shop".to_owned())).unwrap();
        assert_eq!((body.image.as_deref(), body.hostname), (Some("sha256:one"), None));
        assert_eq!(body.labels.unwrap().into_keys().collect::<Vec<_>>(), [RESTORED]);
        assert!(body.env.unwrap().contains(&"POSTGRES_USER=shop".to_owned()));
        let host = body.host_config.unwrap();
        assert!(host.port_bindings.is_none() && host.binds.is_none() && host.privileged.is_none());
        let mounts = host.mounts.unwrap();
        let told: Vec<_> =
            mounts.iter().map(|one| (one.source.as_deref().unwrap(), one.read_only)).collect();
        assert_eq!(told, [("/srv/tls", Some(true)), ("shop-old", None)]);
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert!(endpoints["shop"].aliases.is_none());
    }
}
