//! A container made anew as it is, with another image: as `docker compose up` does where an image
//! has changed, and the other way round.
//!
//! Docker writes what a container got from its image into the container's own description. What is
//! the same in both is the image's, and the other image has its own.

use std::collections::HashMap;

use bollard::{
    Docker,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody, EndpointSettings,
        HostConfig, NetworkConnectRequest, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{CreateContainerOptions, InspectContainerOptions, RenameContainerOptions},
};
use model::{Failure, FailureCode};
use serde_json::Value;

use super::{RESTORED, is_gone, told};

/// Keys of a description that an image gives where nobody else does.
const OF_IMAGES: [&str; 9] = [
    "Cmd",
    "Entrypoint",
    "User",
    "WorkingDir",
    "ExposedPorts",
    "Volumes",
    "Healthcheck",
    "StopSignal",
    "Shell",
];

/// Between a container's name and the restore's word in the name that it is kept under.
const KEPT: &str = "_before-";

/// Whether a container of that name is one that [`remake`] has kept.
pub(crate) fn is_kept(name: &str) -> bool {
    let tag = name.rsplit_once(KEPT).map_or("", |(_, tag)| tag);
    tag.len() == 8 && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Makes `name` anew with `image`; the one that is there is stopped already, and is kept under the
/// name that this gives. Called again after it was cut off, it goes on where it was.
pub(crate) async fn remake(
    docker: &Docker,
    name: &str,
    image: &str,
    tag: &str,
) -> Result<String, Failure> {
    let kept = format!("{name}{KEPT}{tag}");
    match inspect(docker, name).await? {
        Some(there) if is_ours(&there, tag) => {}
        Some(there) => {
            let body = body(docker, &there, image, tag).await?;
            let options = RenameContainerOptions { name: kept.clone() };
            docker.rename_container(name, options).await.map_err(|error| told(&error))?;
            create(docker, name, body, &there).await?;
        }
        None => {
            let Some(before) = inspect(docker, &kept).await? else {
                let message = format!("there is no container `{name}` any more");
                return Err(Failure::new(FailureCode::SourceConfig, message));
            };
            let body = body(docker, &before, image, tag).await?;
            create(docker, name, body, &before).await?;
        }
    }
    // Whoever starts after a restart of Docker what had run is not to start both.
    let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None };
    let update =
        ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
    match docker.update_container(&kept, update).await {
        Err(error) if !is_gone(&error) => Err(told(&error)),
        _ => Ok(kept),
    }
}

async fn inspect(docker: &Docker, name: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
    match docker.inspect_container(name, None::<InspectContainerOptions>).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(told(&error)),
    }
}

fn is_ours(container: &ContainerInspectResponse, tag: &str) -> bool {
    let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(RESTORED)).is_some_and(|own| own == tag)
}

/// What the new one is to be.
async fn body(
    docker: &Docker,
    there: &ContainerInspectResponse,
    image: &str,
    tag: &str,
) -> Result<ContainerCreateBody, Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        let message = format!("a container's description cannot be read: {what}");
        Failure::new(FailureCode::Internal, message)
    };
    let mut config = serde_json::to_value(&there.config).map_err(|error| wrong(&error))?;
    let own = there.image.clone().unwrap_or_default();
    let of_image = match docker.inspect_image(&own).await {
        Ok(found) => serde_json::to_value(found.config).map_err(|error| wrong(&error))?,
        // Without it nothing can be told apart.
        Err(error) if is_gone(&error) => Value::Null,
        Err(error) => return Err(told(&error)),
    };
    leave_to_image(&mut config, &of_image);
    let mut body: ContainerCreateBody =
        serde_json::from_value(config).map_err(|error| wrong(&error))?;
    body.image = Some(image.to_owned());
    let id = there.id.as_deref().unwrap_or_default();
    // Docker makes a name of the id where nobody gave one.
    body.hostname = body.hostname.filter(|name| !id.starts_with(name.as_str()));
    body.labels.get_or_insert_default().insert(RESTORED.to_owned(), tag.to_owned());
    let mut host = there.host_config.clone().unwrap_or_default();
    keep_volumes(&mut host, there);
    body.host_config = Some(host);
    let networks = endpoints(there);
    body.networking_config = networks.first().map(|(name, endpoint)| NetworkingConfig {
        endpoints_config: Some(HashMap::from([(name.clone(), endpoint.clone())])),
    });
    Ok(body)
}

/// Takes out of a container's description what its image has given.
fn leave_to_image(config: &mut Value, of_image: &Value) {
    let (Some(config), Some(of_image)) = (config.as_object_mut(), of_image.as_object()) else {
        return;
    };
    for key in OF_IMAGES {
        if config.get(key).is_some() && config.get(key) == of_image.get(key) {
            config.remove(key);
        }
    }
    if let (Some(Value::Array(own)), Some(Value::Array(given))) =
        (config.get_mut("Env"), of_image.get("Env"))
    {
        own.retain(|one| !given.contains(one));
    }
    if let (Some(Value::Object(own)), Some(Value::Object(given))) =
        (config.get_mut("Labels"), of_image.get("Labels"))
    {
        own.retain(|key, value| given.get(key) != Some(value));
    }
}

/// Volumes that nobody named are the old one's own: the new one would get others.
fn keep_volumes(host: &mut HostConfig, there: &ContainerInspectResponse) {
    let binds: Vec<String> = host.binds.clone().unwrap_or_default();
    let mounts = host.mounts.clone().unwrap_or_default();
    for mount in there.mounts.iter().flatten() {
        let (Some(name), Some(at)) = (&mount.name, &mount.destination) else { continue };
        let is_said = binds.iter().any(|bind| bind.split(':').nth(1) == Some(at))
            || mounts.iter().any(|own| own.target.as_ref() == Some(at));
        if mount.typ.as_deref() == Some("volume") && !is_said {
            host.binds.get_or_insert_default().push(format!("{name}:{at}"));
        }
    }
}

/// Its networks, with the names that it has in each; addresses are given anew.
fn endpoints(there: &ContainerInspectResponse) -> Vec<(String, EndpointSettings)> {
    let id = there.id.as_deref().unwrap_or_default();
    let settings = there.network_settings.as_ref().and_then(|all| all.networks.clone());
    let mut all: Vec<_> = settings.into_iter().flatten().collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let own = |(network, endpoint): (String, EndpointSettings)| {
        let names = endpoint.aliases.into_iter().flatten();
        let aliases: Vec<_> = names.filter(|name| !id.starts_with(name.as_str())).collect();
        let endpoint = EndpointSettings {
            aliases: Some(aliases).filter(|all| !all.is_empty()),
            ipam_config: endpoint.ipam_config,
            links: endpoint.links,
            driver_opts: endpoint.driver_opts,
            ..EndpointSettings::default()
        };
        (network, endpoint)
    };
    // What is no network of its own is in the description of the machine's share.
    let is_named = |(network, _): &(String, EndpointSettings)| {
        !matches!(network.as_str(), "bridge" | "host" | "none")
    };
    all.into_iter().filter(is_named).map(own).collect()
}

async fn create(
    docker: &Docker,
    name: &str,
    body: ContainerCreateBody,
    there: &ContainerInspectResponse,
) -> Result<(), Failure> {
    let options =
        CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
    docker.create_container(Some(options), body).await.map_err(|error| told(&error))?;
    // Older versions of Docker take one network at first.
    for (network, endpoint) in endpoints(there).into_iter().skip(1) {
        let request =
            NetworkConnectRequest { container: name.to_owned(), endpoint_config: Some(endpoint) };
        docker.connect_network(&network, request).await.map_err(|error| told(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_kept_is_known_by_its_name() {
        assert!(is_kept("shop-web_before-0a1b2c3d"));
        assert!(!is_kept("shop-web") && !is_kept("day_before-christmas"));
    }

    #[test]
    fn what_an_image_gives_is_left_to_the_other_image() {
        let mut config = json!({
            "Cmd": ["serve"], "Entrypoint": ["/own"], "Env": ["PATH=/bin", "VERSION=2", "OWN=1"],
            "Labels": { "v": "2", "com.docker.compose.service": "web" }, "Tty": false,
        });
        let image = json!({
            "Cmd": ["serve"], "Entrypoint": null, "Env": ["PATH=/bin", "VERSION=2"],
            "Labels": { "v": "2" },
        });
        leave_to_image(&mut config, &image);
        let left = json!({
            "Entrypoint": ["/own"], "Env": ["OWN=1"],
            "Labels": { "com.docker.compose.service": "web" }, "Tty": false,
        });
        assert_eq!(config, left);
    }
}
