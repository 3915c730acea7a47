//! What Docker made although whoever asked for it was killed: it came into being after the run's
//! duties were done, and nothing else would remove it.

use std::{collections::HashMap, time::Duration};

use bollard::{
    Docker,
    errors::Error,
    models::ContainerSummary,
    query_parameters::{ListContainersOptions, ListNetworksOptions, RemoveVolumeOptions},
};
use catalog::CatalogError;
use model::{Failure, RunId};
use tokio_util::sync::CancellationToken;

use super::{HELPER, closed, containers, is_gone, told};
use crate::{Engine, EngineError};

/// How often it is looked for: one question to Docker.
const EVERY: Duration = Duration::from_secs(30);

/// Removes containers and networks of ours whose runs are over until `shutdown`, where there is a
/// Docker.
pub(crate) async fn remove_strays(engine: &Engine, shutdown: CancellationToken) {
    if engine.0.config.docker_host.is_none() {
        return;
    }
    loop {
        if let Err(error) = remove_all(engine).await {
            tracing::debug!(%error, "what ended runs left in Docker stays for now");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn remove_all(engine: &Engine) -> Result<(), EngineError> {
    let docker = super::connect(&engine.0.config).await.map_err(EngineError::refused)?;
    let ours = Some(HashMap::from([("label".to_owned(), vec![HELPER.to_owned()])]));
    let options = ListContainersOptions { all: true, filters: ours.clone(), ..Default::default() };
    let found = docker.list_containers(Some(options)).await;
    for one in found.map_err(|error| EngineError::refused(told(&error)))? {
        let Some(run) = over(engine, one.labels.as_ref()).await? else { continue };
        // What cannot be removed does not keep the others.
        match remove_one(&docker, run, &one).await {
            Ok(()) => {
                tracing::info!(%run, names = ?one.names, "removed a container that came after its run");
            }
            Err(why) => tracing::debug!(%run, why = why.message, "a late container stays for now"),
        }
    }
    let found = docker.list_networks(Some(ListNetworksOptions { filters: ours })).await;
    for one in found.map_err(|error| EngineError::refused(told(&error)))? {
        let Some(run) = over(engine, one.labels.as_ref()).await? else { continue };
        let Some(name) = one.name else { continue };
        match closed::remove(&docker, &name).await {
            Ok(()) => tracing::info!(%run, name, "removed a network that came after its run"),
            Err(why) => tracing::debug!(%run, why = why.message, "a late network stays for now"),
        }
    }
    Ok(())
}

/// As the run's duty would have: volumes go along with what a drill has made, and with nothing else.
async fn remove_one(docker: &Docker, run: RunId, one: &ContainerSummary) -> Result<(), Failure> {
    let Some(id) = &one.id else { return Ok(()) };
    let mounts = one.mounts.iter().flatten().filter_map(|mount| mount.name.clone());
    let volumes: Vec<_> = mounts.filter(|name| is_drills(name, run)).collect();
    if one.names.iter().flatten().any(|name| is_drills(name.trim_start_matches('/'), run)) {
        containers::remove_scratch(docker, id).await?;
    } else {
        containers::remove(docker, id).await?;
    }
    remove_drills(docker, &volumes).await
}

/// The run that `labels` name, where the catalog knows it and it has ended. Another orchestrator's
/// are not known here, and stay.
async fn over(
    engine: &Engine,
    labels: Option<&HashMap<String, String>>,
) -> Result<Option<RunId>, CatalogError> {
    let id = labels.and_then(|labels| labels.get(HELPER)?.parse::<RunId>().ok());
    let Some(id) = id else { return Ok(None) };
    match engine.0.catalog.run(id).await {
        Ok(run) => Ok(run.finished_at.map(|_| id)),
        Err(CatalogError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a container or volume of this name was for a drill of `run` alone.
fn is_drills(name: &str, run: RunId) -> bool {
    name.starts_with(&format!("backup-drill-{run}-").to_lowercase())
}

/// Docker makes again what a late container mounts, without our mark.
async fn remove_drills(docker: &Docker, volumes: &[String]) -> Result<(), Failure> {
    for volume in volumes {
        match docker.remove_volume(volume, None::<RemoveVolumeOptions>).await {
            // Another late one mounts it, and goes after this one.
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => {}
            Err(error) if !is_gone(&error) => return Err(told(&error)),
            _ => {}
        }
    }
    Ok(())
}
