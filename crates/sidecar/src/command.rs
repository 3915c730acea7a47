//! Commands of the user's: run by a shell, watched by exit code, killed as a group.

use std::{path::Path, process::Stdio};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::mpsc,
};

use crate::{config::Config, export::ExportError};

/// How much of what a command says on standard error is told, in bytes.
const MAX_STDERR: usize = 4 << 10;
/// How much is read at once, in bytes.
const READ_CHUNK: usize = 256 << 10;

/// A process group that does not outlive its owner.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            let group = nix::unistd::Pid::from_raw(id);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// What the commands of one export share.
pub(crate) struct Commands<'a> {
    pub(crate) config: &'a Config,
    pub(crate) drive_folder_id: Option<&'a str>,
}

impl Commands<'_> {
    fn build(&self, text: &str) -> Command {
        let paths = &self.config.paths;
        // In a pipeline the last command's exit code alone would decide: `false | gzip` would
        // pass for a success.
        let mut command = if Path::new("/bin/bash").exists() {
            let mut bash = Command::new("/bin/bash");
            bash.args(["-o", "pipefail", "-c", text]);
            bash
        } else {
            let mut sh = Command::new("/bin/sh");
            sh.args(["-c", text]);
            sh
        };
        command
            .current_dir(&paths.workdir)
            .envs(&self.config.strategy.config.env)
            .env("SIDE_CAR_WORKDIR", &paths.workdir)
            .env("SIDE_CAR_ARTIFACTS_DIR", &paths.artifacts)
            .env("SIDE_CAR_TEMP_DUMP", &paths.temp_dump)
            .env("SIDE_CAR_STRATEGY", self.config.strategy.r#type.as_str())
            .env("SIDE_CAR_DRIVE_FOLDER_ID", self.drive_folder_id.unwrap_or_default())
            .env_remove("BACKUP_API_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs `text`; its standard output goes to `sink`, or nowhere.
    pub(crate) async fn run(
        &self,
        text: &str,
        sink: Option<&mpsc::Sender<Bytes>>,
    ) -> Result<(), ExportError> {
        let failed = |why: String| ExportError::Failed(why);
        let child = self.build(text).spawn().map_err(|e| failed(format!("no shell: {e}")))?;
        let mut group = Group(child);
        let (Some(out), Some(err)) = (group.0.stdout.take(), group.0.stderr.take()) else {
            return Err(failed("the command has no output".to_owned()));
        };
        let (sent, said) = tokio::join!(pass_on(out, sink), tail(err));
        sent?;
        let status = group.0.wait().await.map_err(|e| failed(e.to_string()))?;
        if status.success() {
            return Ok(());
        }
        Err(failed(format!("the command ended with {status}: {}", said.trim())))
    }
}

async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    sink: Option<&mpsc::Sender<Bytes>>,
) -> Result<(), ExportError> {
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(READ_CHUNK);
        let read = from.read_buf(&mut chunk).await;
        match read.map_err(|error| ExportError::Failed(error.to_string()))? {
            0 => return Ok(()),
            _ => {
                if let Some(sink) = sink {
                    sink.send(chunk.freeze()).await.map_err(|_| ExportError::Gone)?;
                }
            }
        }
    }
}

/// The end of what a command says.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        let extra = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..extra);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
