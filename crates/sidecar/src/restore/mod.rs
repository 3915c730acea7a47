//! One import: from a proven file to the app's own data. What can be is loaded beside what is there
//! first, and switched in one step that nobody interrupts.

mod archive;
mod mysql;
mod postgres;
mod redis;
mod sqlite;

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use contract::ImportReport;
use tokio::{process::Command, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    command::{Commands, find_program},
    config::{Config, Preset, StrategyType},
    export::ExportError,
    strategy,
};

/// Longest answer of a program, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long `post` may take after an import that was cancelled.
const POST_AFTER_CANCEL: Duration = Duration::from_secs(60);

/// What is to be restored: a whole and proven file.
pub(crate) struct Given<'a> {
    pub(crate) file: &'a Path,
    /// As the client told it.
    pub(crate) format: Option<&'a str>,
    /// A word for the names of what is made.
    pub(crate) tag: &'a str,
}

/// A way back. What [`Self::load`] makes is gone after [`Self::clear`].
enum Way<'a> {
    Command,
    Archive(archive::Archive<'a>),
    Postgres(Box<postgres::Postgres<'a>>),
    Mysql(Box<mysql::Mysql<'a>>),
    Sqlite(sqlite::Sqlite<'a>),
    Redis(redis::Redis<'a>),
}

/// Restores it. To cancel it kills its commands, but for the last step.
pub(crate) async fn run(
    config: &Arc<Config>,
    given: &Given<'_>,
    cancel: &CancellationToken,
) -> Result<ImportReport, ExportError> {
    let commands = Commands::new(config, None);
    let way = Way::of(&commands, given).await?;
    let loading = async {
        for command in config.restore.pre.all() {
            commands.run(commands.shell(command), None).await?;
        }
        way.load(&commands, given).await
    };
    let loaded = cancel.run_until_cancelled(loading).await.unwrap_or(Err(ExportError::Cancelled));
    let restored = match loaded {
        Ok(()) => way.switch().await,
        Err(error) => Err(error),
    };
    if restored.is_err() {
        way.clear().await;
    }
    // What `pre` has begun, `post` ends, also after a failure.
    let ending = async {
        let mut ended = Ok(());
        for command in config.restore.post.all() {
            ended = ended.and(commands.run(commands.shell(command), None).await);
        }
        ended
    };
    let ended = if cancel.is_cancelled() {
        tokio::time::timeout(POST_AFTER_CANCEL, ending).await.unwrap_or(Ok(()))
    } else {
        ending.await
    };
    let mut report = restored.map_err(|error| way.told(error))?;
    if let Err(error) = ended {
        report.notes.push(format!("it is restored, but what comes after it failed: {error}"));
    }
    Ok(report)
}

impl<'a> Way<'a> {
    async fn of(commands: &'a Commands, given: &'a Given<'a>) -> Result<Self, ExportError> {
        let config = commands.config();
        if !config.restore.command.all().is_empty() {
            return Ok(Self::Command);
        }
        if config.strategy.r#type == StrategyType::FileArchive {
            return archive::Archive::new(config, given).map(Self::Archive);
        }
        let preset = config.strategy.config.preset;
        let target = match preset {
            Some(preset) => strategy::target(preset, commands).await?,
            None => crate::config::Target::default(),
        };
        match preset {
            Some(Preset::Postgres) => {
                let way = postgres::Postgres::new(commands, given, target);
                Ok(Self::Postgres(Box::new(way)))
            }
            Some(Preset::Mysql | Preset::Mariadb) => {
                mysql::Mysql::new(commands, given, &target).map(|way| Self::Mysql(Box::new(way)))
            }
            Some(Preset::Sqlite) => Ok(Self::Sqlite(sqlite::Sqlite::new(commands, given, &target))),
            Some(Preset::Redis | Preset::Valkey) => {
                redis::Redis::new(commands, given, target).map(Self::Redis)
            }
            None => Err(failed("there is no way back: write `restore.command`")),
        }
    }

    async fn load(&self, commands: &Commands, given: &Given<'_>) -> Result<(), ExportError> {
        match self {
            Self::Command => by_commands(commands, given).await,
            Self::Archive(way) => way.load().await,
            Self::Postgres(way) => way.load().await,
            Self::Mysql(way) => way.load().await,
            Self::Sqlite(way) => way.load().await,
            Self::Redis(way) => way.load().await,
        }
    }

    async fn switch(&self) -> Result<ImportReport, ExportError> {
        match self {
            Self::Command => Ok(report("the command has restored it", None)),
            Self::Archive(way) => way.switch().await,
            Self::Postgres(way) => way.switch().await,
            Self::Mysql(way) => way.switch().await,
            Self::Sqlite(way) => way.switch().await,
            Self::Redis(way) => way.switch().await,
        }
    }

    async fn clear(&self) {
        match self {
            Self::Archive(way) => way.clear().await,
            Self::Postgres(way) => way.clear().await,
            Self::Mysql(way) => way.clear().await,
            Self::Redis(way) => way.clear().await,
            Self::Command | Self::Sqlite(_) => {}
        }
    }

    /// Why it failed, and what that means for what is there.
    fn told(&self, error: ExportError) -> ExportError {
        let why = match error {
            ExportError::Cancelled => "the client went away".to_owned(),
            other => other.to_string(),
        };
        let state = match self {
            Self::Command => "what the command has changed by then is changed",
            Self::Mysql(way) if way.has_begun() => {
                "the database may hold a part of it: what was there is kept, see the log"
            }
            Self::Archive(way) if way.has_begun() => "some of the paths are restored, some are not",
            _ => "nothing that was there was changed",
        };
        failed(format!("{why}; {state}"))
    }
}

/// The user's commands: each reads the file from its standard input.
async fn by_commands(commands: &Commands, given: &Given<'_>) -> Result<(), ExportError> {
    for text in commands.config().restore.command.all() {
        let mut command = commands.shell(text);
        command
            .stdin(Stdio::from(std::fs::File::open(given.file).map_err(|e| failed(e.to_string()))?))
            .env("SIDE_CAR_RESTORE_FILE", given.file)
            .env("SIDE_CAR_RESTORE_FORMAT", given.format.unwrap_or_default());
        commands.run(command, None).await?;
    }
    Ok(())
}

fn failed(why: impl Into<String>) -> ExportError {
    ExportError::Failed(why.into())
}

/// What a database is called that comes in the place of `name`, and what was there afterwards; with
/// at most so many bytes.
fn both(name: &str, tag: &str, max_bytes: usize) -> (String, String) {
    let with = |word: &str| {
        let end = format!("_{word}_{tag}");
        let mut cut = name.len().min(max_bytes - end.len());
        while !name.is_char_boundary(cut) {
            cut -= 1;
        }
        format!("{}{end}", &name[..cut])
    };
    (with("restoring"), with("before"))
}

fn report(message: impl Into<String>, kept: Option<String>) -> ImportReport {
    ImportReport { message: Some(message.into()), kept, notes: Vec::new() }
}

/// A program of the database's, by the first of these names that is there.
fn program(commands: &Commands, names: &[&str], package: &str) -> Result<Command, ExportError> {
    match names.iter().find(|name| find_program(name).is_some()) {
        Some(name) => Ok(commands.program(name)),
        None => Err(failed(format!(
            "{} is not installed: install the package {package}",
            names.join(" or ")
        ))),
    }
}

/// What a program says to its good end.
async fn output(commands: &Commands, command: Command) -> Result<String, ExportError> {
    let (sink, mut chunks) = mpsc::channel::<bytes::Bytes>(crate::jobs::WAITING_CHUNKS);
    let running = async move { commands.run(command, Some(&sink)).await };
    let reading = async {
        let mut said = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            let room = MAX_ANSWER.saturating_sub(said.len());
            said.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        String::from_utf8_lossy(&said).trim_end_matches('\n').to_owned()
    };
    let (done, said) = tokio::join!(running, reading);
    done.map(|()| said)
}
