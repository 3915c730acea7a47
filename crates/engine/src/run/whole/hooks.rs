//! An app's own commands, before and after it is read.
//!
//! Whoever writes `backups.yml` owns this machine. Whoever may change apps by the API or a page does
//! not: there, commands are for those who were allowed them at start.

use std::time::Duration;

use model::{App, Duty, Failure, FailureCode, Hook, ManagedBy, QuiescePlan, whole::HOOK_SECS};
use rand::RngExt as _;

use crate::{EngineConfig, docker::around::Command, duty::Owed, process::Program, run::RunContext};

/// Most that is kept of what a command says, in bytes.
const MAX_TOLD: usize = 64 << 10;

/// Why an app's commands are not run.
pub(crate) const OFF: &str = "commands of an app are run where it is declared in backups.yml, or \
                              where BACKUP_HOOKS=on allows them to everybody who may change apps";

/// Whether this app may have commands run.
pub(crate) fn are_allowed(
    config: &EngineConfig,
    managed_by: Option<ManagedBy>,
    plan: &QuiescePlan,
) -> bool {
    plan.hooks().next().is_none() || managed_by == Some(ManagedBy::File) || config.hooks
}

fn seconds(hook: &Hook) -> u64 {
    hook.timeout_secs.unwrap_or(HOOK_SECS)
}

fn marker(context: &RunContext) -> String {
    let number = context.engine.with_rng(rand::rngs::StdRng::random::<u32>);
    format!("backup-orchestrator-hook-{}-{number:08x}", context.run.id)
}

fn allowed(context: &RunContext, app: &App) -> Result<(), Failure> {
    if are_allowed(&context.engine.0.config, app.managed_by, &app.quiesce) {
        return Ok(());
    }
    Err(Failure::new(FailureCode::SourceConfig, OFF))
}

/// Writes down that `hook` is run after this run, whatever happens.
pub(super) async fn owe(context: &RunContext, app: &App, hook: &Hook) -> Result<Owed, Failure> {
    allowed(context, app)?;
    let duty = Duty::RunHook {
        container: hook.container.clone(),
        argv: hook.argv.clone(),
        marker: marker(context),
        timeout_secs: seconds(hook),
    };
    context.owe(duty).await
}

/// Runs one of those before.
pub(super) async fn run(context: &RunContext, app: &App, hook: &Hook) -> Result<(), Failure> {
    allowed(context, app)?;
    let config = &context.engine.0.config;
    let ran = match &hook.container {
        None => tokio::select! {
            biased;
            failure = context.stopped() => Err(failure),
            ran = here(config, &hook.argv, seconds(hook)) => ran,
        },
        Some(container) => within(context, container, hook).await,
    };
    ran.map_err(|failure| named("pre", &hook.argv, failure))?;
    context.journal.info(format!("`quiesce.pre` has run: {}", program(&hook.argv)));
    Ok(())
}

async fn within(context: &RunContext, container: &str, hook: &Hook) -> Result<(), Failure> {
    let marker = marker(context);
    let duty = Duty::EndExec { container: container.to_owned(), marker: marker.clone() };
    let ending = context.owe(duty).await?;
    let (argv, timeout_secs) = (&hook.argv, seconds(hook));
    let command = Command { container, argv, marker: &marker, timeout_secs };
    let ran = tokio::select! {
        biased;
        failure = context.stopped() => Err(failure),
        ran = command.run(&context.engine.0.config) => ran,
    };
    let settled = context.settle(ending).await;
    ran.and(settled)
}

/// Runs one of those after, as it was written down.
pub(crate) async fn run_owed(
    config: &EngineConfig,
    container: Option<&str>,
    argv: &[String],
    (marker, timeout_secs): (&str, u64),
) -> Result<(), Failure> {
    let ran = match container {
        None => here(config, argv, timeout_secs).await,
        Some(container) => {
            let command = Command { container, argv, marker, timeout_secs };
            command.run_again(config).await
        }
    };
    ran.map_err(|failure| named("post", argv, failure))
}

/// On this machine, with no variable of ours.
async fn here(config: &EngineConfig, argv: &[String], timeout_secs: u64) -> Result<(), Failure> {
    let Some((program, args)) = argv.split_first() else {
        return Err(Failure::new(FailureCode::SourceConfig, "a command names a program"));
    };
    let running = Program::new(config, program).args(args.iter().cloned());
    running.output(MAX_TOLD, Duration::from_secs(timeout_secs)).await.map(drop)
}

fn program(argv: &[String]) -> &str {
    argv.first().map(String::as_str).unwrap_or_default()
}

fn named(which: &str, argv: &[String], failure: Failure) -> Failure {
    let program = program(argv);
    failure.reworded(|message| format!("`quiesce.{which}` ({program}): {message}"))
}
