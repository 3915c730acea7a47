//! Programs of others: run without a shell, with a scrubbed environment, and gone when nobody
//! listens any more.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use model::{Fact, Failure, FailureCode, Sentence, Size};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::Instant,
};

use crate::EngineConfig;

/// What is kept of what a program says of its troubles: the end.
pub(crate) const MAX_STDERR: usize = 8 << 10;
const READ_CHUNK: usize = 128 << 10;
/// A pipe that holds more saves changes between the two processes.
const PIPE_BYTES: i32 = 1 << 20;

/// A program that is to be run.
pub(crate) struct Program {
    path: PathBuf,
    folder: Option<PathBuf>,
    launcher: Option<PathBuf>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    secret_env: Vec<(OsString, SecretString)>,
    is_fed: bool,
    run_by: Option<(u32, u32)>,
    stdin: Option<PathBuf>,
    accepted: Option<i32>,
    dying_by: &'static str,
}

impl Program {
    /// The program at `path`, or found by name, with the variables that every child gets.
    pub(crate) fn new(config: &EngineConfig, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let is_name = path.components().count() == 1;
        Self {
            path: path.to_str().filter(|_| is_name).and_then(|n| find(config, n)).unwrap_or(path),
            folder: None,
            launcher: find(config, "setpriv"),
            args: Vec::new(),
            env: config.child_env.clone(),
            secret_env: Vec::new(),
            is_fed: false,
            run_by: None,
            stdin: None,
            accepted: None,
            dying_by: "KILL",
        }
    }

    /// At home in `folder`, and with no variable of ours but where programs and words are found.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        let is_plain = |name: &OsString| {
            let name = name.to_string_lossy();
            name == "PATH" || name == "LANG" || name == "TZ" || name.starts_with("LC_")
        };
        self.env.retain(|(name, _)| is_plain(name));
        self.folder = Some(folder.to_owned());
        self.env("HOME", folder).env("TMPDIR", folder)
    }

    /// The signal, as `kill -l` names it, that it gets when we are gone: for one that would leave
    /// something behind where it is killed.
    pub(crate) fn dying_by(mut self, signal: &'static str) -> Self {
        self.dying_by = signal;
        self
    }

    /// Run by this user and group instead of by ours, with no other groups.
    pub(crate) fn run_by(mut self, uid: u32, gid: u32) -> Self {
        self.run_by = Some((uid, gid));
        self
    }

    /// It gets a standard input, through [`Running::feed`].
    pub(crate) fn fed(mut self) -> Self {
        self.is_fed = true;
        self
    }

    /// What it reads on its standard input.
    pub(crate) fn reading(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdin = Some(file.into());
        self
    }

    /// An exit code besides 0 that is success.
    pub(crate) fn accepting(mut self, code: i32) -> Self {
        self.accepted = Some(code);
        self
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A variable for this child alone; what it says of its troubles does not show the value.
    pub(crate) fn secret_env(mut self, name: impl Into<OsString>, value: &SecretString) -> Self {
        self.secret_env.push((name.into(), value.clone()));
        self
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
    }

    /// Starts it; its standard output can be read.
    pub(crate) fn start(&self, deadline: Duration) -> Result<Running, Failure> {
        let mut command = match &self.launcher {
            // A child dies with the thread that made it: with us, however we end.
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                if let Some((uid, gid)) = self.run_by {
                    command.args(["--clear-groups", "--reuid", &uid.to_string()]);
                    command.args(["--regid", &gid.to_string()]);
                }
                command.args(["--pdeathsig", self.dying_by, "--"]).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        let stdin = match &self.stdin {
            None if self.is_fed => Stdio::piped(),
            None => Stdio::null(),
            Some(file) => std::fs::File::open(file).map(Stdio::from).map_err(|error| {
                let (program, path) = (self.name(), file.display().to_string());
                let unread = Fact::ProgramNoInput { program, path, why: error.to_string() };
                Failure::new(FailureCode::SourceFailed, unread)
            })?,
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .envs(self.secret_env.iter().map(|(name, value)| (name, value.expose_secret())))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command.spawn().map_err(|error| {
            let (program, why) = (self.name(), error.to_string());
            Failure::new(FailureCode::SourceConfig, Fact::ProgramNotStarted { program, why })
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let (input, out) = (child.stdin.take(), child.stdout.take());
        let widen = || nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES);
        if let Some(out) = &out {
            let _ = nix::fcntl::fcntl(out, widen());
        }
        if let Some(input) = &input {
            let _ = nix::fcntl::fcntl(input, widen());
        }
        let said = child.stderr.take().map(|err| tokio::spawn(tail(err)));
        let secrets = self.secret_env.iter().map(|(_, value)| value.clone()).collect();
        Ok(Running {
            name: self.name(),
            child,
            group,
            input,
            out,
            said,
            secrets,
            accepted: self.accepted,
            buffer: BytesMut::new(),
            ends_by: Instant::now() + deadline,
        })
    }

    /// Runs it to its end; gives what it wrote, at most `limit_bytes`.
    pub(crate) async fn output(
        &self,
        limit_bytes: usize,
        deadline: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let mut running = self.start(deadline)?;
        let mut all = Vec::new();
        while let Some(chunk) = running.chunk().await? {
            if all.len() + chunk.len() > limit_bytes {
                let (program, size) = (running.name.clone(), Size(limit_bytes as u64));
                let too_much = Fact::ProgramTooMuch { program, size };
                return Err(Failure::new(FailureCode::SourceFailed, too_much));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

/// A program under way. Dropped, it is killed with all it has started.
pub(crate) struct Running {
    name: String,
    child: Child,
    group: Option<i32>,
    input: Option<ChildStdin>,
    out: Option<ChildStdout>,
    said: Option<JoinHandle<String>>,
    secrets: Vec<SecretString>,
    accepted: Option<i32>,
    buffer: BytesMut,
    ends_by: Instant,
}

impl Running {
    /// What it writes next; `None` when it has ended with exit code 0. Any other end is a failure
    /// that tells what it said.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(out) = &mut self.out else { return Ok(None) };
        if self.buffer.capacity() < READ_CHUNK / 4 {
            self.buffer.reserve(READ_CHUNK);
        }
        let read = tokio::time::timeout_at(self.ends_by, out.read_buf(&mut self.buffer)).await;
        match read {
            Err(_) => Err(self.too_late()),
            Ok(Err(error)) => Err(Failure::new(
                FailureCode::SourceFailed,
                Fact::NotRead { what: self.name.clone(), why: error.to_string() },
            )),
            Ok(Ok(0)) => {
                self.out = None;
                self.end().await?;
                Ok(None)
            }
            Ok(Ok(_)) => Ok(Some(self.buffer.split().freeze())),
        }
    }

    /// Gives it `bytes` to read; `false` when it reads no more, and [`Self::chunk`] tells why.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let Some(input) = &mut self.input else { return Ok(false) };
        match tokio::time::timeout_at(self.ends_by, input.write_all(bytes)).await {
            Err(_) => Err(self.too_late()),
            Ok(Ok(())) => Ok(true),
            Ok(Err(_)) => {
                self.input = None;
                Ok(false)
            }
        }
    }

    /// How it ended, where it has, with what it said.
    pub(crate) async fn has_ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let said = match self.said.take() {
            Some(said) => said.await.unwrap_or_default(),
            None => String::new(),
        };
        Some(format!("it {}: {}", told(status), redacted(&said, &self.secrets)))
    }

    /// Says that it has been given everything.
    pub(crate) fn end_of_input(&mut self) {
        self.input = None;
    }

    /// Asks it by `signal` to end, and waits for that for a while; whoever does not is killed with
    /// its owner.
    pub(crate) async fn end_by(&mut self, signal: nix::sys::signal::Signal, patience: Duration) {
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return };
        if nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).is_ok() {
            let _ = tokio::time::timeout(patience, self.child.wait()).await;
        }
    }

    /// What it has said of its troubles up to its end.
    async fn end(&mut self) -> Result<(), Failure> {
        let status = match tokio::time::timeout_at(self.ends_by, self.child.wait()).await {
            Err(_) => return Err(self.too_late()),
            Ok(status) => status
                .map_err(|error| Failure::new(FailureCode::SourceFailed, error.to_string()))?,
        };
        if status.success() || status.code().is_some_and(|code| self.accepted == Some(code)) {
            return Ok(());
        }
        let said = match self.said.take() {
            Some(said) => said.await.unwrap_or_default(),
            None => String::new(),
        };
        let (program, said) = (self.name.clone(), redacted(&said, &self.secrets));
        let ended: Sentence = match (status.code(), status.signal()) {
            (Some(code), _) => Fact::ProgramEnded { program, code: code.to_string(), said }.into(),
            (None, Some(signal)) => {
                Fact::ProgramKilled { program, signal: signal.to_string(), said }.into()
            }
            (None, None) => format!("{program} {}: {said}", told(status)).into(),
        };
        Err(Failure::new(FailureCode::SourceFailed, ended))
    }

    fn too_late(&self) -> Failure {
        Failure::new(FailureCode::Timeout, Fact::ProgramLate { program: self.name.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(id) = self.group
            && self.child.id().is_some()
        {
            let group = nix::unistd::Pid::from_raw(id);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// What a program said, in one line and without `secrets`.
pub(crate) fn redacted(text: &str, secrets: &[SecretString]) -> String {
    let mut text = text.trim().to_owned();
    for secret in secrets {
        let secret = secret.expose_secret();
        if secret.len() > 3 {
            text = text.replace(secret, "***");
        }
    }
    text.chars().map(|c| if c == '\n' { ';' } else { c }).filter(|c| !c.is_control()).collect()
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "did not end well".to_owned(),
    }
}

/// The end of what comes from `from`, in whole lines.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut is_cut = false;
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        let over = kept.len().saturating_sub(MAX_STDERR);
        is_cut |= over > 0;
        kept.drain(..over);
    }
    let whole = match kept.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_cut => &kept[end..],
        _ => &kept[..],
    };
    String::from_utf8_lossy(whole).into_owned()
}

/// Where on the path that children get the program `name` is.
pub(crate) fn find(config: &EngineConfig, name: &str) -> Option<PathBuf> {
    let (_, path) = config.child_env.iter().find(|(variable, _)| variable == "PATH")?;
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_program(file))
}

/// Whether `file` can be run.
pub(crate) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn shell(script: &str) -> Program {
        Program::new(&EngineConfig::new("test"), "sh").args(["-c", script])
    }

    #[tokio::test]
    async fn only_exit_code_zero_is_success() {
        assert_eq!(shell("echo hello").output(100, SOON).await.unwrap(), b"hello\n");
        let failed = shell("echo half; echo why >&2; exit 3").output(100, SOON).await.unwrap_err();
        assert_eq!(failed.code, FailureCode::SourceFailed);
        assert_eq!(failed.message, "sh ended with exit code 3: why");
        let killed = shell("echo half; kill -9 $$").output(100, SOON).await.unwrap_err();
        assert!(killed.message.contains("signal 9"), "{killed:?}");
        let endless = shell("sleep 60").output(100, Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(endless.code, FailureCode::Timeout);
        assert!(shell("echo 12345").output(3, SOON).await.is_err());
        let config = EngineConfig { child_env: Vec::new(), ..EngineConfig::new("test") };
        let none = Program::new(&config, "/no/such/program").output(3, SOON).await.unwrap_err();
        assert_eq!(none.code, FailureCode::SourceConfig);
    }

    #[tokio::test]
    async fn a_secret_is_for_the_child_alone() {
        let secret = SecretString::from("hunter2-canary");
        let program = shell("echo \"got $WORD\" >&2; exit 1").secret_env("WORD", &secret);
        let failure = program.output(100, SOON).await.unwrap_err();
        assert_eq!(failure.message, "sh ended with exit code 1: got ***");
        assert!(std::env::var_os("WORD").is_none());
    }

    #[tokio::test]
    async fn what_is_dropped_is_gone_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beat");
        let script = format!("(while :; do echo x >> {}; sleep 0.02; done) & wait", file.display());
        let running = shell(&script).start(SOON).unwrap();
        while std::fs::metadata(&file).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(running);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let size = std::fs::metadata(&file).unwrap().len();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(std::fs::metadata(&file).unwrap().len(), size);
    }
}
