//! What runs owe, done: at their end, or after their worker was killed.

use model::{Duty, Failure, OwedDuty};

use crate::{
    Engine, EngineError,
    docker::{self, containers, exec},
    run::{RunContext, failure},
};

/// Something that was written down before it was begun.
#[must_use = "a duty that is done is to be taken off the list"]
pub(crate) struct Owed(OwedDuty);

impl RunContext {
    /// Writes down what this run owes from now on. Whatever happens, it is done after the run's
    /// end.
    pub(crate) async fn owe(&self, duty: Duty) -> Result<Owed, Failure> {
        let (catalog, host) = (&self.engine.0.catalog, &self.engine.0.config.host);
        let seq = catalog
            .owe(self.run.id, self.lease_token, host, &duty)
            .await
            .map_err(|error| failure::of_catalog(&error))?;
        Ok(Owed(OwedDuty { run_id: self.run.id, seq, host: host.clone(), duty }))
    }

    /// Does now what this run owes.
    pub(crate) async fn settle(&self, owed: Owed) -> Result<(), Failure> {
        settle(&self.engine, &owed.0).await.map_err(|error| failure::of_engine(&error))
    }
}

/// Does what a run still owes; gives what could not be done, which is tried again later.
pub(crate) async fn settle_all(engine: &Engine, run: model::RunId) -> Vec<String> {
    match engine.0.catalog.duties(run).await {
        Ok(owed) => {
            let here = owed.into_iter().filter(|one| one.host == engine.0.config.host);
            settle_each(engine, here.collect()).await
        }
        Err(error) => vec![error.to_string()],
    }
}

/// Does what ended runs still owe on this machine.
pub(crate) async fn settle_what_is_left(engine: &Engine) -> Result<(), EngineError> {
    let owed = engine.0.catalog.duties_of_ended_runs(&engine.0.config.host).await?;
    for trouble in settle_each(engine, owed).await {
        tracing::warn!("{trouble}; trying again");
    }
    Ok(())
}

async fn settle_each(engine: &Engine, owed: Vec<OwedDuty>) -> Vec<String> {
    let mut troubles = Vec::new();
    for one in owed {
        if let Err(error) = settle(engine, &one).await {
            troubles.push(format!("{:?} of run {} is not done: {error}", one.duty, one.run_id));
        }
    }
    troubles
}

async fn settle(engine: &Engine, owed: &OwedDuty) -> Result<(), EngineError> {
    perform(engine, &owed.duty).await?;
    Ok(engine.0.catalog.duty_done(owed.run_id, owed.seq).await?)
}

/// Done twice it does no harm: what is not there any more is done.
async fn perform(engine: &Engine, duty: &Duty) -> Result<(), EngineError> {
    match duty {
        Duty::StartContainer { .. }
        | Duty::UnpauseContainer { .. }
        | Duty::RemoveContainer { .. } => for_container(engine, duty)
            .await
            .map_err(|failure| EngineError::Refused(failure.message)),
        Duty::RemoveFolder { path } => match tokio::fs::remove_dir_all(path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(EngineError::Refused(format!("{} cannot be removed: {error}", path.display())))
            }
            _ => Ok(()),
        },
        Duty::EndExec { container, marker } => exec::end(&engine.0.config, container, marker)
            .await
            .map_err(|failure| EngineError::Refused(failure.message)),
        Duty::DeleteSubvolume { .. }
        | Duty::DestroyZfsSnapshot { .. }
        | Duty::RemoveLogicalVolume { .. } => crate::source::files::basis::remove(engine, duty)
            .await
            .map_err(|failure| EngineError::Refused(failure.message)),
    }
}

async fn for_container(engine: &Engine, duty: &Duty) -> Result<(), Failure> {
    let docker = docker::connect(&engine.0.config).await?;
    match duty {
        Duty::StartContainer { container } => containers::start(&docker, container).await,
        Duty::UnpauseContainer { container } => containers::unpause(&docker, container).await,
        Duty::RemoveContainer { container } => containers::remove(&docker, container).await,
        _ => Ok(()),
    }
}
