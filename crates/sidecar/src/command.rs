//! Commands: by a shell or by themselves, watched by exit code, killed as a group.

use std::{
    ffi::OsStr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::{mpsc, oneshot},
};

use crate::{config::Config, export::ExportError};

/// How much of what a command says on standard error is told, in bytes.
const MAX_STDERR: usize = 4 << 10;
/// How much is read at once, in bytes.
const READ_CHUNK: usize = 256 << 10;
/// With less room than this the next read gets a buffer of its own, in bytes.
const LEAST_ROOM: usize = 64 << 10;
/// What a pipe of ours holds, in bytes: the most that Linux gives to everybody. The 64 KiB it
/// begins with would wake both ends four times as often as there is something to send.
const PIPE_BYTES: i32 = 1 << 20;
/// How long the last words of an ended command are waited for: a process that it left behind may
/// hold its standard error for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The shell that commands are given to.
pub(crate) struct Shell {
    program: PathBuf,
    /// A pipeline fails with any of its commands, not with the last alone.
    pub(crate) has_pipefail: bool,
}

impl Shell {
    /// bash, which knows `pipefail`, or else sh.
    pub(crate) fn find() -> Self {
        match find_program("bash") {
            Some(program) => Self { program, has_pipefail: true },
            None => Self { program: "/bin/sh".into(), has_pipefail: false },
        }
    }

    /// A command of several lines ends with the first that fails; `false | gzip` fails.
    pub(crate) fn arguments(&self) -> &'static [&'static str] {
        if self.has_pipefail { &["-e", "-o", "pipefail", "-c"] } else { &["-e", "-c"] }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }
}

/// Where on the path `name` is.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// A process group that does not outlive its owner, unless it ended well.
struct Group {
    child: Child,
    id: Option<i32>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { child, id }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let group = nix::unistd::Pid::from_raw(id);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// What the commands of one export share.
pub(crate) struct Commands {
    config: Arc<Config>,
    drive_folder_id: String,
}

impl Commands {
    pub(crate) fn new(config: &Arc<Config>, drive_folder_id: Option<&str>) -> Self {
        let drive_folder_id = drive_folder_id.unwrap_or_default().to_owned();
        Self { config: Arc::clone(config), drive_folder_id }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// A program by itself: no shell reads its arguments.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let paths = &self.config.paths;
        let env = &self.config.strategy.config.env;
        let mut command = Command::new(program);
        command
            .current_dir(&paths.workdir)
            .envs(env.iter().map(|(name, value)| (name, value.expose_secret())))
            .env("SIDE_CAR_WORKDIR", &paths.workdir)
            .env("SIDE_CAR_ARTIFACTS_DIR", &paths.artifacts)
            .env("SIDE_CAR_TEMP_DUMP", &paths.temp_dump)
            .env("SIDE_CAR_STRATEGY", self.config.strategy.r#type.as_str())
            .env("SIDE_CAR_DRIVE_FOLDER_ID", &self.drive_folder_id)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for name in &self.config.token_variables {
            command.env_remove(name);
        }
        command
    }

    /// A command of the user's.
    pub(crate) fn shell(&self, text: &str) -> Command {
        let shell = Shell::find();
        let mut command = self.program(shell.program());
        command.args(shell.arguments()).arg(text);
        command
    }

    /// Runs it to its end; its standard output goes to `sink`, or nowhere.
    pub(crate) async fn run(
        &self,
        mut command: Command,
        sink: Option<&mpsc::Sender<Bytes>>,
    ) -> Result<(), ExportError> {
        let failed = |why: String| ExportError::Failed(why);
        command.stdout(if sink.is_some() { Stdio::piped() } else { Stdio::null() });
        let program = command.as_std().get_program().display().to_string();
        let child =
            command.spawn().map_err(|e| failed(format!("{program} cannot be started: {e}")))?;
        let mut group = Group::of(child);
        let (out, err) = (group.child.stdout.take(), group.child.stderr.take());
        let (ended, has_ended) = oneshot::channel::<()>();
        let working = async {
            let passing = async {
                match (out, sink) {
                    (Some(out), Some(sink)) => {
                        widen(&out);
                        pass_on(out, sink).await
                    }
                    _ => Ok(()),
                }
            };
            let waiting = async { group.child.wait().await.map_err(|e| failed(e.to_string())) };
            let done = tokio::try_join!(waiting, passing);
            drop(ended);
            done.map(|(status, ())| status)
        };
        let mut said = Tail::default();
        let listening = async {
            let last_words = async {
                let _ = has_ended.await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            let Some(err) = err else { return };
            tokio::select! {
                () = said.listen(err) => {}
                () = last_words => {}
            }
        };
        let (done, ()) = tokio::join!(working, listening);
        let status = done?;
        if status.success() {
            // What it has left behind on purpose, for example a tunnel, lives on.
            group.id = None;
            return Ok(());
        }
        Err(failed(format!("{program} {}: {}", told(status), said.text())))
    }
}

fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "did not end well".to_owned(),
    }
}

/// Sends everything on.
pub(crate) async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    sink: &mpsc::Sender<Bytes>,
) -> Result<(), ExportError> {
    let mut buffer = bytes::BytesMut::new();
    loop {
        if buffer.capacity() < LEAST_ROOM {
            buffer.reserve(READ_CHUNK);
        }
        let read = from.read_buf(&mut buffer).await;
        match read.map_err(|error| ExportError::Failed(error.to_string()))? {
            0 => return Ok(()),
            _ => sink.send(buffer.split().freeze()).await.map_err(|_| ExportError::Gone)?,
        }
    }
}

/// Lets a pipe hold more; where that is refused it stays as it is.
pub(crate) fn widen(pipe: &impl AsFd) {
    let _ = nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
}

/// The end of what a command says.
#[derive(Default)]
struct Tail {
    kept: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    async fn listen(&mut self, mut to: impl AsyncRead + Unpin) {
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = to.read(&mut chunk).await {
            self.kept.extend_from_slice(&chunk[..count]);
            let over = self.kept.len().saturating_sub(MAX_STDERR);
            self.is_cut |= over > 0;
            self.kept.drain(..over);
        }
    }

    /// Whole lines only: a secret that is cut in two would not be known for one.
    fn text(&self) -> String {
        let lines = match self.kept.iter().position(|byte| self.is_cut && *byte == b'\n') {
            Some(end) => &self.kept[end..],
            None if self.is_cut => &[],
            None => &self.kept[..],
        };
        String::from_utf8_lossy(lines).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_whole() {
        let told = async |said: String| {
            let mut tail = Tail::default();
            tail.listen(said.as_bytes()).await;
            tail.text()
        };
        let long = "x".repeat(2 * MAX_STDERR);
        assert_eq!(told(format!("{long}\nthe password is wrong\n")).await, "the password is wrong");
        assert_eq!(told("short".to_owned()).await, "short");
        assert_eq!(told(long).await, "");
        let lines = told("a line of words\n".repeat(1000)).await;
        assert!(lines.starts_with("a line") && lines.len() <= MAX_STDERR);
        assert!(lines.len() > MAX_STDERR - 40);
    }
}
