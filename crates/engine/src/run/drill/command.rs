//! Commands of one's own that look at what came back.

use std::path::{Path, PathBuf};

use model::{DrillCheck, DrillState, Fact, Failure, FailureCode};

use super::{Restored, Trial, Way, check};
use crate::{
    process::Program,
    target::{Aim, unpacking},
};

/// Most that is kept of what a command says, in bytes.
const MAX_TOLD: usize = 64 << 10;
/// Where its path goes.
const PATH: &str = "{}";

/// Whether a command looks at this artifact.
pub(super) fn has(aim: &Aim<'_>) -> bool {
    aim.app.drill.commands.iter().any(|command| command.artifact == aim.artifact.source)
}

/// An artifact that nothing else can check: its file alone.
pub(super) struct Single;

struct File(PathBuf);

#[async_trait::async_trait]
impl Way for Single {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        Ok(Box::new(File(spooled(trial).await?)))
    }
}

#[async_trait::async_trait]
impl Restored for File {
    fn place(&self) -> Fact {
        Fact::ScratchFile {}
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.0.clone())
    }

    async fn check(&self, _trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        Ok(Vec::new())
    }
}

/// Runs the commands for this artifact, each on `path` or, without one, on the artifact's file.
pub(super) async fn run(
    trial: &Trial<'_>,
    path: Option<PathBuf>,
) -> Result<Vec<DrillCheck>, Failure> {
    let mut checks = Vec::new();
    if !has(trial.aim) {
        return Ok(checks);
    }
    if !trial.context.engine.config().drill_commands {
        checks.push(check("command", DrillState::Failed, Fact::CommandsOff {}));
        return Ok(checks);
    }
    let home = trial.folder.join("command");
    tokio::fs::create_dir_all(&home).await.map_err(|error| {
        let message = format!("{} cannot be made: {error}", home.display());
        Failure::new(FailureCode::DrillFailed, message)
    })?;
    let path = match path {
        Some(path) => path,
        None => spooled(trial).await?,
    };
    for command in &trial.aim.app.drill.commands {
        if command.artifact == trial.aim.artifact.source {
            trial.context.keep_going()?;
            checks.push(one(trial, &command.argv, &path, &home).await?);
        }
    }
    Ok(checks)
}

async fn spooled(trial: &Trial<'_>) -> Result<PathBuf, Failure> {
    let path = trial.folder.join("artifact");
    unpacking::spool(trial.supply, &path).await?;
    Ok(path)
}

async fn one(
    trial: &Trial<'_>,
    argv: &[String],
    path: &Path,
    home: &Path,
) -> Result<DrillCheck, Failure> {
    let Some((program, args)) = argv.split_first() else {
        return Ok(check("command", DrillState::Failed, Fact::CommandEmpty {}));
    };
    let name = format!("command: {program}");
    let path = path.display().to_string();
    let args = args.iter().map(|arg| arg.replace(PATH, &path));
    let config = trial.context.engine.config();
    let running = Program::new(config, program).args(args).within(home);
    let ended = tokio::select! {
        biased;
        failure = trial.context.stopped() => return Err(failure),
        ended = running.output(MAX_TOLD, trial.aim.timeout()) => ended,
    };
    Ok(match ended {
        Ok(_) => check(name, DrillState::Passed, Fact::CommandGood {}),
        Err(failure) if failure.code == FailureCode::Cancelled => return Err(failure),
        Err(failure) => check(name, DrillState::Failed, failure),
    })
}
