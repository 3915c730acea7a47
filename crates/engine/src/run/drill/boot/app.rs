//! The app's container as it is booted: its image and what it is told, and nothing of what it has.

use std::collections::BTreeMap;

use bollard::{
    Docker,
    models::{
        ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig, Mount,
        MountPoint, MountType, MountVolumeOptions,
    },
};
use model::Failure;

use crate::{
    docker::{
        is_anonymous,
        scratch::{Container, Joined, limits},
    },
    run::RunContext,
    target::refused,
};

/// Memory of an app that is not held to any.
const MEMORY_BYTES: u64 = 2 << 30;
/// What Docker gives to every container and no app needs to answer.
const CAPABILITIES: [&str; 3] = ["AUDIT_WRITE", "MKNOD", "NET_RAW"];

/// What is made of the original.
pub(super) struct Recipe {
    body: ContainerCreateBody,
    network: String,
    pub(super) image: String,
    /// Where something is mounted in the original that is not here.
    pub(super) without: Vec<String>,
}

impl Recipe {
    /// With `volumes` in the place of those that they are named for.
    pub(super) fn of(
        original: &ContainerInspectResponse,
        network: &str,
        volumes: &BTreeMap<&str, &str>,
    ) -> Result<Self, Failure> {
        let no_image = || refused("the app's container does not say what image it is of");
        let image = original.image.clone().ok_or_else(no_image)?;
        let config = original.config.clone().unwrap_or_default();
        let host = original.host_config.clone().unwrap_or_default();
        let (mounts, without) = mounts(original.mounts.iter().flatten(), volumes);
        let memory = host.memory.and_then(|bytes| u64::try_from(bytes).ok());
        let memory = memory.filter(|bytes| *bytes > 0).unwrap_or(MEMORY_BYTES);
        let dropped = host.cap_drop.into_iter().flatten();
        let log = HostConfigLogConfig { typ: Some("none".to_owned()), config: None };
        let body = ContainerCreateBody {
            image: Some(image.clone()),
            env: config.env,
            cmd: config.cmd,
            entrypoint: config.entrypoint,
            user: config.user,
            working_dir: config.working_dir,
            healthcheck: config.healthcheck,
            tty: config.tty,
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                cap_drop: Some(dropped.chain(CAPABILITIES.map(str::to_owned)).collect()),
                readonly_rootfs: host.readonly_rootfs,
                tmpfs: host.tmpfs,
                shm_size: host.shm_size,
                init: host.init,
                // What it says may hold its secrets: nobody keeps it.
                log_config: Some(log),
                // Names are those of this network: no question leaves it.
                dns: Some(vec!["127.0.0.1".to_owned()]),
                ..limits(memory)
            }),
            ..ContainerCreateBody::default()
        };
        Ok(Self { body, network: network.to_owned(), image, without })
    }

    pub(super) async fn start(
        self,
        context: &RunContext,
        docker: Docker,
    ) -> Result<Container, Failure> {
        let lan = Joined { network: self.network, aliases: Vec::new() };
        let app = Container::of(context, docker, "app", Some(lan), self.body).await?;
        match app.start().await {
            Ok(()) => Ok(app),
            Err(failure) => {
                app.remove(context).await;
                Err(failure)
            }
        }
    }
}

/// The restored volumes in their places, and where nothing is. What nobody named is new in every
/// container.
fn mounts<'a>(
    all: impl Iterator<Item = &'a MountPoint>,
    volumes: &BTreeMap<&str, &str>,
) -> (Vec<Mount>, Vec<String>) {
    let (mut there, mut without) = (Vec::new(), Vec::new());
    for mount in all {
        let Some(target) = mount.destination.clone() else { continue };
        let name = mount.name.as_deref().filter(|_| mount.typ.as_deref() == Some("volume"));
        match name.map(|name| (name, volumes.get(name))) {
            Some((_, Some(restored))) => there.push(Mount {
                target: Some(target),
                source: Some((*restored).to_owned()),
                typ: Some(MountType::VOLUME),
                read_only: Some(mount.rw == Some(false)),
                volume_options: Some(MountVolumeOptions {
                    no_copy: Some(true),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            }),
            Some((name, None)) if is_anonymous(name) => {}
            None if mount.typ.as_deref() == Some("tmpfs") => {}
            _ => without.push(target),
        }
    }
    (there, without)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(kind: &str, name: &str, at: &str) -> MountPoint {
        MountPoint {
            typ: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            source: Some("/somewhere".to_owned()),
            destination: Some(at.to_owned()),
            rw: Some(true),
            ..MountPoint::default()
        }
    }

    #[test]
    fn nothing_of_the_original_is_mounted() {
        let nobodys = "a".repeat(64);
        let original = ContainerInspectResponse {
            image: Some("sha256:x".to_owned()),
            host_config: Some(HostConfig {
                privileged: Some(true),
                cap_add: Some(vec!["SYS_ADMIN".to_owned()]),
                binds: Some(vec!["/var/run/docker.sock:/var/run/docker.sock".to_owned()]),
                pid_mode: Some("host".to_owned()),
                extra_hosts: Some(vec!["db:10.0.0.1".to_owned()]),
                ..HostConfig::default()
            }),
            mounts: Some(vec![
                mounted("volume", "data", "/data"),
                mounted("volume", "other", "/other"),
                mounted("volume", &nobodys, "/cache"),
                mounted("bind", "", "/var/run/docker.sock"),
            ]),
            ..ContainerInspectResponse::default()
        };
        let volumes = BTreeMap::from([("data", "restored")]);
        let recipe = Recipe::of(&original, "closed", &volumes).unwrap();
        assert_eq!(recipe.without, ["/other", "/var/run/docker.sock"]);
        let host = recipe.body.host_config.unwrap();
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].source.as_deref(), Some("restored"));
        assert_eq!(mounts[0].target.as_deref(), Some("/data"));
        assert_eq!((host.privileged, host.cap_add, host.binds), (None, None, None));
        assert_eq!((host.pid_mode, host.extra_hosts, host.devices), (None, None, None));
        assert!(host.cap_drop.unwrap().contains(&"NET_RAW".to_owned()));
    }
}
