//! What is owed to containers. Done twice it does no harm, and what is gone needs nothing.

use std::time::Duration;

use bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        InspectContainerOptions, RemoveContainerOptions, RemoveVolumeOptions, StartContainerOptions,
    },
};
use model::{Fact, Failure, FailureCode};
use tokio::time::Instant;

use super::{is_gone, told};

/// How long somebody else may take who is removing the same, and how often it is looked.
const REMOVING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Starts it, if it is there and does not run.
pub(crate) async fn start(docker: &Docker, container: &str) -> Result<(), Failure> {
    match docker.start_container(container, None::<StartContainerOptions>).await {
        // What else is not there (its network, for one) keeps it from being started.
        Err(Error::DockerResponseServerError { status_code: 404, message })
            if !message.to_lowercase().contains("no such container") =>
        {
            Err(Failure::new(FailureCode::SourceFailed, Fact::DockerSaid { said: message }))
        }
        answer => gone_is_done(answer),
    }
}

/// Lets it go on, if it is there and paused.
pub(crate) async fn unpause(docker: &Docker, container: &str) -> Result<(), Failure> {
    let inspected = docker.inspect_container(container, None::<InspectContainerOptions>).await;
    let state = match inspected {
        Ok(inspected) => inspected.state,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(told(&error)),
    };
    if state.and_then(|state| state.paused) != Some(true) {
        return Ok(());
    }
    gone_is_done(docker.unpause_container(container).await)
}

/// Removes it, never any volume with it.
pub(crate) async fn remove(docker: &Docker, container: &str) -> Result<(), Failure> {
    removed(docker, container, false).await
}

/// Removes one that a drill has made, and the volumes that came into being with it: those have no
/// name.
pub(crate) async fn remove_scratch(docker: &Docker, container: &str) -> Result<(), Failure> {
    removed(docker, container, true).await
}

async fn removed(docker: &Docker, container: &str, volumes: bool) -> Result<(), Failure> {
    let until = Instant::now() + REMOVING;
    loop {
        let options = RemoveContainerOptions { force: true, v: volumes, link: false };
        match docker.remove_container(container, Some(options)).await {
            // After a kill, whoever takes a run up and whoever does its duties meet here.
            Err(Error::DockerResponseServerError { status_code: 409, message })
                if message.contains("already in progress") && Instant::now() < until =>
            {
                tokio::time::sleep(LOOK).await;
            }
            answer => return gone_is_done(answer),
        }
    }
}

/// Removes a volume that a restore of ours has made.
pub(crate) async fn remove_volume(docker: &Docker, volume: &str) -> Result<(), Failure> {
    match docker.inspect_volume(volume).await {
        Ok(found) if found.labels.contains_key(super::RESTORED) => {}
        Ok(_) => {
            let others = Fact::VolumeNotOurs { volume: volume.to_owned() };
            return Err(Failure::new(FailureCode::Internal, others));
        }
        Err(error) => return gone_is_done(Err(error)),
    }
    gone_is_done(docker.remove_volume(volume, None::<RemoveVolumeOptions>).await)
}

fn gone_is_done(answer: Result<(), Error>) -> Result<(), Failure> {
    match answer {
        Err(error) if !is_gone(&error) => Err(told(&error)),
        _ => Ok(()),
    }
}
