//! The container that is made for its mount and never started.

use std::collections::HashMap;

use bollard::{
    Docker, body_full,
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, ListImagesOptions,
        UploadToContainerOptions,
    },
};
use model::{Duty, Fact, Failure, FailureCode};

use super::super::Part;
use crate::{docker, duty::Owed, run::RunContext};

/// Where the volume is mounted. The closing dot makes `./` of its root, so that `tar x -C FOLDER`
/// fills the folder itself.
pub(crate) const AT: &str = "/backup-orchestrator-volume";
pub(crate) const CONTENTS: &str = "/backup-orchestrator-volume/.";

/// It is there until [`Helper::remove`], or until the run's duties are done.
pub(crate) struct Helper {
    pub(crate) docker: Docker,
    pub(crate) name: String,
    /// What Docker calls it.
    pub(crate) id: String,
    owed: Owed,
}

impl Helper {
    pub(crate) async fn make(
        context: &RunContext,
        docker: &Docker,
        volume: &str,
        image: Option<&str>,
        part: &Part,
    ) -> Result<Self, Failure> {
        Self::mounting(context, docker, volume, image, part.name.as_str(), false).await
    }

    /// The same; `writes` is whether the volume is to be filled by way of it, and `of` what it is
    /// made for.
    pub(crate) async fn mounting(
        context: &RunContext,
        docker: &Docker,
        volume: &str,
        image: Option<&str>,
        of: &str,
        writes: bool,
    ) -> Result<Self, Failure> {
        let image = self::image(docker, image).await?;
        let inspected = docker.inspect_image(&image).await.map_err(|error| no_image(&error))?;
        let declared = inspected.config.and_then(|config| config.volumes).unwrap_or_default();
        let name = format!("backup-volume-{}-{}", context.run.id, of).to_lowercase();
        let owed = context.owe(Duty::RemoveContainer { container: name.clone() }).await?;
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        let body = ContainerCreateBody {
            image: Some(image),
            // Never run; an image without a command needs one to make a container of it.
            entrypoint: Some(Vec::new()),
            cmd: Some(vec!["never-started".to_owned()]),
            network_disabled: Some(true),
            labels: Some(HashMap::from([(docker::HELPER.to_owned(), context.run.id.to_string())])),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some(mounts(volume, declared, writes)),
                ..Default::default()
            }),
            ..Default::default()
        };
        match docker.create_container(Some(options), body).await {
            Ok(made) => Ok(Self { docker: docker.clone(), name, id: made.id, owed }),
            Err(error) => {
                // Nothing was made; should that be wrong, the duty stays until it is done.
                if let Err(failure) = context.settle(owed).await {
                    context.journal.warn(failure.message);
                }
                Err(docker::told(&error))
            }
        }
    }

    /// Makes the mounted folder itself as `header` says, which Docker leaves as it is otherwise: it
    /// is named from the folder above.
    pub(crate) async fn dress(&self, mut header: tar::Header) -> Result<(), Failure> {
        let mut tar = tar::Builder::new(Vec::new());
        let name = AT.trim_start_matches('/');
        let packed = tar.append_data(&mut header, name, std::io::empty());
        let packed = packed.and_then(|()| tar.into_inner());
        let told = |error: std::io::Error| {
            Failure::new(FailureCode::Internal, format!("the volume's own folder: {error}"))
        };
        let tar = packed.map_err(told)?;
        let options = UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
        let sent =
            self.docker.upload_to_container(&self.name, Some(options), body_full(tar.into()));
        sent.await.map_err(|error| docker::told(&error))
    }

    pub(crate) async fn remove(self, context: &RunContext) {
        if let Err(failure) = context.settle(self.owed).await {
            context.journal.warn(format!("{} stays for now: {}", self.name, failure.message));
        }
    }
}

/// The volume, read-only where nothing is written; and what keeps the volumes that the image declares from being made.
fn mounts(volume: &str, declared: Vec<String>, writes: bool) -> Vec<Mount> {
    let empty =
        |target| Mount { target: Some(target), typ: Some(MountType::TMPFS), ..Default::default() };
    let mut mounts: Vec<_> = declared.into_iter().map(empty).collect();
    mounts.push(Mount {
        target: Some(AT.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(!writes),
        // An empty volume stays empty.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    });
    mounts
}

/// The image asked for, else our own, else any that is here.
pub(crate) async fn image(docker: &Docker, asked: Option<&str>) -> Result<String, Failure> {
    if let Some(asked) = asked {
        docker.inspect_image(asked).await.map_err(|error| no_image(&error))?;
        return Ok(asked.to_owned());
    }
    if let Some(own) = docker::own_container().await
        && let Ok(own) = docker.inspect_container(&own, None::<InspectContainerOptions>).await
        && let Some(image) = own.image
    {
        return Ok(image);
    }
    let images = docker.list_images(None::<ListImagesOptions>).await;
    let images = images.map_err(|error| docker::told(&error))?;
    let smallest = images.into_iter().min_by_key(|image| image.size);
    smallest
        .map(|image| image.id)
        .ok_or_else(|| Failure::new(FailureCode::SourceConfig, Fact::NoImage {}))
}

fn no_image(error: &bollard::errors::Error) -> Failure {
    let failure = docker::told(error);
    if docker::is_gone(error) {
        return failure.told_in(|first| Fact::ImageNotThere { first });
    }
    failure
}
