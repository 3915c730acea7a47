//! What makes an artifact of a database or by a script.

pub(crate) mod mysql;
mod password;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod sqlite;

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nix::sys::stat::Mode;
use tokio::{net::unix::pipe, sync::mpsc};

use crate::{
    command::{Commands, pass_on, widen},
    config::{Preset, Target},
    export::ExportError,
};

/// Makes the artifact of a `database_dump` or `custom`.
pub(crate) async fn make(
    commands: &Commands,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), ExportError> {
    let config = &commands.config().strategy.config;
    if let Some(preset) = config.preset {
        return dump(preset, commands, &sink).await;
    }
    let texts = || config.command.all().iter().chain(config.commands.all());
    if config.capture_stdout {
        for text in texts() {
            commands.run(commands.shell(text), Some(&sink)).await?;
        }
        return Ok(());
    }
    let file = TempDump::claim(&commands.config().paths.temp_dump)?;
    let running = async {
        for text in texts() {
            commands.run(commands.shell(text), None).await?;
        }
        Ok(())
    };
    if config.fifo {
        return through_fifo(&file, running, &sink).await;
    }
    running.await?;
    file.send(&sink).await
}

async fn dump(
    preset: Preset,
    commands: &Commands,
    sink: &mpsc::Sender<Bytes>,
) -> Result<(), ExportError> {
    let config = &commands.config().strategy.config;
    let target = target(preset, commands).await?;
    let program =
        preset.programs().iter().find(|name| crate::command::find_program(name).is_some());
    let Some(program) = program else {
        return Err(ExportError::Failed(format!(
            "{} is not installed: install the package {}",
            preset.programs().join(" or "),
            preset.package()
        )));
    };
    let command = commands.program(program);
    match preset {
        Preset::Postgres => {
            let command = postgres::dump(command, &target, &config.options);
            commands.run(command, Some(sink)).await
        }
        Preset::Mysql | Preset::Mariadb => {
            // The options file lives as long as the command.
            let options_file = mysql::options_file(&target, &commands.config().paths.artifacts)?;
            let command = mysql::dump(command, options_file.path(), &target, &config.options);
            commands.run(command, Some(sink)).await
        }
        Preset::Redis | Preset::Valkey => {
            let file = TempDump::claim(&commands.config().paths.temp_dump)?;
            let command = redis::dump(command, &target, &config.options, &file.0);
            commands.run(command, None).await?;
            redis::check(&file.0).await?;
            file.send(sink).await
        }
        Preset::Sqlite => {
            let source = sqlite::source(&target, &commands.config().paths.workdir)?;
            let file = TempDump::claim(&commands.config().paths.temp_dump)?;
            let command = sqlite::copy(command, &source, &file.0, &config.options)?;
            commands.run(command, None).await?;
            file.send(sink).await
        }
    }
}

/// Where the database is, with its password.
pub(crate) async fn target(preset: Preset, commands: &Commands) -> Result<Target, ExportError> {
    let config = &commands.config().strategy.config;
    let mut target = config.target(preset).map_err(ExportError::Failed)?;
    if let Some(file) = &config.password_file {
        target.password = Some(password::read(file).await?);
    }
    Ok(target)
}

/// The file that commands leave the artifact in; removed when it is dropped.
struct TempDump(PathBuf);

impl TempDump {
    /// Makes sure that nothing is there: an artifact of before must not pass for one of now.
    fn claim(path: &Path) -> Result<Self, ExportError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ExportError::Failed(format!("{}: {error}", path.display())))
            }
            _ => Ok(Self(path.to_owned())),
        }
    }

    async fn send(&self, sink: &mpsc::Sender<Bytes>) -> Result<(), ExportError> {
        let file = tokio::fs::File::open(&self.0).await.map_err(|error| {
            ExportError::Failed(format!(
                "the command left no artifact at {}: {error}; write it to \
                 \"$SIDE_CAR_TEMP_DUMP\", or to standard output with `capture_stdout: true`",
                self.0.display()
            ))
        })?;
        pass_on(file, sink).await
    }
}

impl Drop for TempDump {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads a named pipe while the commands run.
async fn through_fifo(
    file: &TempDump,
    running: impl Future<Output = Result<(), ExportError>>,
    sink: &mpsc::Sender<Bytes>,
) -> Result<(), ExportError> {
    let told = |error: std::io::Error| {
        ExportError::Failed(format!("a named pipe at {}: {error}", file.0.display()))
    };
    nix::unistd::mkfifo(&file.0, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| told(e.into()))?;
    let receiver = pipe::OpenOptions::new().open_receiver(&file.0).map_err(told)?;
    widen(&receiver);
    // While we hold a writing end, the pipe does not end: not before a command has opened it, and
    // not between two commands. When the last has ended it does, also if none ever opened it.
    let sender = pipe::OpenOptions::new().open_sender(&file.0).map_err(told)?;
    let running = async {
        let done = running.await;
        drop(sender);
        done
    };
    tokio::try_join!(running, pass_on(receiver, sink)).map(|_| ())
}
