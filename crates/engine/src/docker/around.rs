//! Commands that a container's labels ask for, before and after its volumes are read.
//!
//! They are read from the container when the run begins: an app has no commands of its own, so that
//! nobody who may change apps can have commands run.

use std::time::Duration;

use model::{App, Duty, Fact, Failure, FailureCode, ManagedBy};
use rand::RngExt as _;

use super::{
    exec::{self, Exec},
    labels::{Commands, NO_EXEC},
    reconcile::{is_named, of_summary},
};
use crate::{
    EngineConfig,
    duty::Owed,
    run::{RunContext, StopReason},
};

/// Kept of what a command writes, for when it fails.
const TAIL_BYTES: usize = 2 << 10;

/// What is owed to a container since its command before the run was begun.
#[derive(Default)]
pub(crate) struct Around(Option<Owed>);

/// A container, and what it asks for.
struct Asking {
    id: String,
    name: String,
    commands: Commands,
}

impl Around {
    /// Writes down the command after, and runs the one before.
    pub(crate) async fn begin(context: &RunContext, app: &App) -> Result<Self, Failure> {
        let Some(asking) = asking(context, app).await? else { return Ok(Self::default()) };
        let config = &context.engine.0.config;
        let (container, timeout_secs) = (asking.id, config.source_timeout.as_secs());
        let mut around = Self::default();
        if !asking.commands.post.is_empty() {
            let (argv, marker) = (asking.commands.post, marker(context));
            let container = container.clone();
            let duty = Duty::ExecPost { container, argv, marker, timeout_secs };
            around.0 = Some(context.owe(duty).await?);
        }
        if asking.commands.pre.is_empty() {
            return Ok(around);
        }
        let marker = marker(context);
        let ending = Duty::EndExec { container: container.clone(), marker: marker.clone() };
        let ending = context.owe(ending).await?;
        let argv = &asking.commands.pre;
        let command = Command { container: &container, argv, marker: &marker, timeout_secs };
        let ran = tokio::select! {
            biased;
            failure = context.stopped() => Err(failure),
            ran = command.run(config) => ran,
        };
        let settled = context.settle(ending).await;
        let failure = match ran.map_err(|failure| named("backup.exec-pre", failure)).and(settled) {
            Ok(()) => {
                context.journal.info(format!("`backup.exec-pre` has run in `{}`", asking.name));
                return Ok(around);
            }
            Err(failure) => failure,
        };
        if let Err(trouble) = around.end(context).await {
            context.journal.warn(trouble.message);
        }
        Err(failure)
    }

    /// Runs the command after. What cannot be run now is left to whoever does what runs owe.
    pub(crate) async fn end(self, context: &RunContext) -> Result<(), Failure> {
        let Some(owed) = self.0 else { return Ok(()) };
        if context.stop_reason() == Some(StopReason::LeaseLost) {
            return Ok(());
        }
        context.settle_told(owed).await?;
        context.journal.info("`backup.exec-post` has run");
        Ok(())
    }
}

/// The container whose labels asked for `app`, if they ask for commands.
async fn asking(context: &RunContext, app: &App) -> Result<Option<Asking>, Failure> {
    if app.managed_by != Some(ManagedBy::Labels) {
        return Ok(None);
    }
    let config = &context.engine.0.config;
    let docker = super::connect(config).await?;
    for summary in super::others(&docker).await? {
        let id = summary.id.clone().unwrap_or_default();
        let container = of_summary(summary);
        if !container.is_enabled() || !is_named(app, &container.name) {
            continue;
        }
        let wrong = |why: String| {
            let wrong = Fact::LabelsWrong { container: container.name.clone(), why };
            Failure::new(FailureCode::SourceConfig, wrong)
        };
        let commands = container.commands().map_err(wrong)?;
        if commands.is_empty() {
            return Ok(None);
        }
        if !(config.labels && config.label_exec) {
            // Without them the volume may not be what its owner means it to be.
            return Err(wrong(NO_EXEC.to_owned()));
        }
        return Ok(Some(Asking { id, name: container.name, commands }));
    }
    Ok(None)
}

fn marker(context: &RunContext) -> String {
    let number = context.engine.with_rng(rand::rngs::StdRng::random::<u32>);
    format!("backup-orchestrator-label-{}-{number:08x}", context.run.id)
}

/// A command in a container.
pub(crate) struct Command<'a> {
    pub(crate) container: &'a str,
    pub(crate) argv: &'a [String],
    /// A word in its environment that no other command has.
    pub(crate) marker: &'a str,
    pub(crate) timeout_secs: u64,
}

impl Command<'_> {
    /// Runs one that is owed, after whatever an earlier try of it left running.
    pub(crate) async fn run_owed(&self, config: &EngineConfig) -> Result<(), Failure> {
        self.run_again(config).await.map_err(|failure| named("backup.exec-post", failure))
    }

    /// The same for one that no label asked for.
    pub(crate) async fn run_again(&self, config: &EngineConfig) -> Result<(), Failure> {
        exec::end(config, self.container, self.marker).await?;
        self.run(config).await
    }

    pub(crate) async fn run(&self, config: &EngineConfig) -> Result<(), Failure> {
        let (container, argv, marker) = (self.container, self.argv, self.marker);
        let exec = Exec { container, argv, env: &[], secret_env: &[], marker, input_bytes: None };
        let mut tail = Vec::new();
        let ran = async {
            let mut running = exec.start(config, Duration::from_secs(self.timeout_secs)).await?;
            while let Some(chunk) = running.chunk().await? {
                tail.extend_from_slice(&chunk);
                tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
            }
            Ok(())
        };
        let ran: Result<(), Failure> = ran.await;
        let Err(failure) = ran else { return Ok(()) };
        // One that is late or out of sight may go on.
        let _ = exec::end(config, container, marker).await;
        let said = String::from_utf8_lossy(&tail);
        let said = said.trim();
        if said.is_empty() || failure.message.contains(said) {
            return Err(failure);
        }
        Err(failure.told_in(|why| Fact::ItWrote { why, said: said.to_owned() }))
    }
}

fn named(label: &str, failure: Failure) -> Failure {
    failure.told_in(|why| Fact::Of { what: label.to_owned(), why })
}
