//! What runs owe, done: at their end, or after their worker was killed.

mod left;

use model::{Duty, EventKind, Fact, Failure, FailureCode, OwedDuty, Severity};

pub(crate) use left::settle_what_is_left;

use crate::{
    Engine, EngineError,
    docker::{self, around::Command, containers, exec},
    run::{RunContext, failure, whole::hooks},
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

    /// Takes off the list what must not be done any more.
    pub(crate) async fn forgo(&self, owed: Owed) -> Result<(), Failure> {
        let done = self.engine.0.catalog.duty_done(owed.0.run_id, owed.0.seq).await;
        done.map_err(|error| failure::of_catalog(&error))
    }

    /// Does now what this run owes. A failure is for the run to tell, and ends the duty where
    /// trying again would be no better.
    pub(crate) async fn settle_told(&self, owed: Owed) -> Result<(), Failure> {
        let failure = match perform(&self.engine, &owed.0.duty).await {
            Err(failure) if !is_final(&owed.0.duty, &failure) => return Err(failure),
            done => done.err(),
        };
        let done = self.engine.0.catalog.duty_done(owed.0.run_id, owed.0.seq).await;
        done.map_err(|error| failure::of_catalog(&error))?;
        failure.map_or(Ok(()), Err)
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
    match perform(engine, &owed.duty).await {
        Ok(()) => {}
        Err(failure) if is_final(&owed.duty, &failure) => {
            tell(engine, owed, Severity::Error, Fact::AfterRun { why: failure.into() }).await?;
        }
        Err(failure) => return Err(EngineError::refused(failure)),
    }
    Ok(engine.0.catalog.duty_done(owed.run_id, owed.seq).await?)
}

/// Whether doing it again is no remedy: a command that ran and went wrong, a server that no source
/// names any more.
fn is_final(duty: &Duty, failure: &Failure) -> bool {
    match duty {
        Duty::ExecPost { .. } | Duty::RunHook { .. } => {
            failure.code != FailureCode::SourceUnreachable
        }
        Duty::AllowConnections { .. } => failure.code == FailureCode::ConfigurationChanged,
        _ => false,
    }
}

/// Tells people what was not put back.
async fn tell(
    engine: &Engine,
    owed: &OwedDuty,
    severity: Severity,
    told: Fact,
) -> Result<(), EngineError> {
    let run = engine.0.catalog.run(owed.run_id).await?;
    let event = model::Event {
        id: engine.new_id(model::EventId::generate),
        at: engine.now(),
        kind: EventKind::NotPutBack,
        severity,
        app_id: run.app_id,
        run_id: Some(owed.run_id),
        snapshot_id: None,
        destination_id: None,
        sentence: told.into(),
    };
    Ok(engine.0.catalog.append_events(&[event]).await?)
}

/// Done twice it does no harm: what is not there any more is done.
async fn perform(engine: &Engine, duty: &Duty) -> Result<(), Failure> {
    let config = &engine.0.config;
    match duty {
        Duty::StartContainer { .. }
        | Duty::UnpauseContainer { .. }
        | Duty::RemoveContainer { .. }
        | Duty::RemoveScratch { .. }
        | Duty::RemoveNetwork { .. }
        | Duty::RemoveVolume { .. } => for_container(engine, duty).await,
        Duty::RemoveFolder { path } => {
            crate::removal::remove_with_workers(path).await.map_err(|error| {
                let message = format!("{} cannot be removed: {error}", path.display());
                Failure::new(FailureCode::Internal, message)
            })
        }
        Duty::EndExec { container, marker } => exec::end(config, container, marker).await,
        Duty::ExecPost { container, argv, marker, timeout_secs } => {
            let command = Command { container, argv, marker, timeout_secs: *timeout_secs };
            command.run_owed(config).await
        }
        Duty::RunHook { container, argv, marker, timeout_secs } => {
            let bounds = (marker.as_str(), *timeout_secs);
            hooks::run_owed(config, container.as_deref(), argv, bounds).await
        }
        Duty::DeleteSubvolume { .. }
        | Duty::DestroyZfsSnapshot { .. }
        | Duty::RemoveLogicalVolume { .. } => {
            crate::source::files::basis::remove(engine, duty).await
        }
        Duty::AllowConnections { app, source, databases } => {
            crate::target::postgres::allow_connections(engine, *app, source, databases).await
        }
    }
}

async fn for_container(engine: &Engine, duty: &Duty) -> Result<(), Failure> {
    let docker = docker::connect(&engine.0.config).await?;
    match duty {
        Duty::StartContainer { container } => containers::start(&docker, container).await,
        Duty::UnpauseContainer { container } => containers::unpause(&docker, container).await,
        Duty::RemoveContainer { container } => containers::remove(&docker, container).await,
        Duty::RemoveNetwork { network } => docker::closed::remove(&docker, network).await,
        Duty::RemoveVolume { volume } => containers::remove_volume(&docker, volume).await,
        Duty::RemoveScratch { container } => containers::remove_scratch(&docker, container).await,
        _ => Ok(()),
    }
}
