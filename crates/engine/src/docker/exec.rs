//! Commands inside containers that run already.
//!
//! What a command gets as its environment goes in by its standard input, so that neither Docker's
//! description of the command nor its logs hold a secret. The command begins only after that: one
//! whose caller is gone before never begins.

use std::{pin::Pin, time::Duration};

use bollard::{
    Docker,
    container::LogOutput,
    errors::Error,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, Stream, StreamExt as _};
use model::{Fact, Failure, FailureCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};

use crate::{
    EngineConfig,
    process::{MAX_STDERR, redacted},
};

/// By this variable a command, and whatever it starts, is found again.
const MARK: &str = "BACKUP_ORCHESTRATOR_EXEC";
/// In what Docker says of a container without a shell.
const NO_SH: &str = "exec: \"sh\"";
const READ_CHUNK: usize = 128 << 10;
/// Longest time for ending a command.
const END: Duration = Duration::from_secs(30);

/// Takes lines `NAME=value` up to an empty one, then becomes the command.
const BEGIN: &str = "while IFS= read -r line; do \
                     [ -n \"$line\" ] || exec \"$@\" </dev/null; \
                     export \"$line\"; done; exit 1";

/// The same for a command that is given `$1` bytes to read: no fewer are an end to it.
const BEGIN_FED: &str = "count=$1; shift; while IFS= read -r line; do \
                         [ -n \"$line\" ] || { head -c \"$count\" | \"$@\"; exit; }; \
                         export \"$line\"; done; exit 1";

/// Kills what has the variable `$1`, until nothing has it.
const KILL: &str = r#"for n in 1 2 3 4 5; do
  found=
  for p in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$p/environ" | grep -qxF "$1"; then
      kill -9 "${p#/proc/}" && found=1
    fi
  done
  [ -n "$found" ] || exit 0
  sleep 1
done 2>/dev/null
exit 1"#;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// A command for a container.
pub(crate) struct Exec<'a> {
    pub(crate) container: &'a str,
    /// The program, which the container must have, and its arguments.
    pub(crate) argv: &'a [String],
    pub(crate) env: &'a [(String, String)],
    /// Variables that nothing it says of its troubles may show.
    pub(crate) secret_env: &'a [(String, SecretString)],
    /// A word by which [`end`] finds it.
    pub(crate) marker: &'a str,
    /// How many bytes it is given to read, through [`Running::feed`].
    pub(crate) input_bytes: Option<u64>,
}

/// A command under way. Dropped, it goes on: [`end`] ends it.
pub(crate) struct Running {
    docker: Docker,
    id: String,
    told_as: String,
    out: Option<Output>,
    /// Kept open: closed, it would tell some versions of Docker to detach.
    input: Input,
    said: Vec<u8>,
    secrets: Vec<SecretString>,
    ends_by: Instant,
}

impl Exec<'_> {
    /// Starts it; its standard output can be read.
    pub(crate) async fn start(
        &self,
        config: &EngineConfig,
        deadline: Duration,
    ) -> Result<Running, Failure> {
        let ends_by = Instant::now() + deadline;
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let told_as = format!("{program} ({})", self.container);
        let started = tokio::time::timeout_at(ends_by, self.begin(config));
        let (docker, id, out, input) = started.await.map_err(|_| too_late(&told_as))??;
        Ok(Running {
            docker,
            id,
            told_as,
            out: Some(out),
            input,
            said: Vec::new(),
            secrets: self.secret_env.iter().map(|(_, value)| value.clone()).collect(),
            ends_by,
        })
    }

    async fn begin(
        &self,
        config: &EngineConfig,
    ) -> Result<(Docker, String, Output, Input), Failure> {
        let mut lines = format!("{MARK}={}\n", self.marker);
        let secret = self.secret_env.iter().map(|(name, value)| (name, value.expose_secret()));
        let env = self.env.iter().map(|(name, value)| (name, value.as_str()));
        for (name, value) in env.chain(secret) {
            if value.contains('\n') {
                let broken = Fact::LineBreak { name: name.to_owned() };
                return Err(Failure::new(FailureCode::SourceConfig, broken));
            }
            lines.extend([name, "=", value, "\n"]);
        }
        lines.push('\n');
        let lines = SecretString::from(lines);
        let docker = super::connect(config).await?;
        let begin = if self.input_bytes.is_some() { BEGIN_FED } else { BEGIN };
        let argv = ["sh", "-c", begin, "backup-orchestrator"].map(str::to_owned);
        let count = self.input_bytes.map(|count| count.to_string());
        let asked = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.into_iter().chain(count).chain(self.argv.iter().cloned()).collect()),
            ..ExecConfig::default()
        };
        let told = |error| told(self.container, &error);
        let id = docker.create_exec(self.container, asked).await.map_err(told)?.id;
        let options =
            StartExecOptions { output_capacity: Some(READ_CHUNK), ..StartExecOptions::default() };
        let StartExecResults::Attached { output, mut input } =
            docker.start_exec(&id, Some(options)).await.map_err(told)?
        else {
            return Err(Failure::new(FailureCode::SourceFailed, Fact::DockerNotAttached {}));
        };
        // A command that could not begin has closed its input; its end tells why.
        if input.write_all(lines.expose_secret().as_bytes()).await.is_ok() {
            let _ = input.flush().await;
        }
        Ok((docker, id, output, input))
    }
}

impl Running {
    /// Gives it `bytes` to read; `false` when it reads no more, and [`Self::chunk`] tells why.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let given = async {
            self.input.write_all(bytes).await?;
            self.input.flush().await
        };
        match tokio::time::timeout_at(self.ends_by, given).await {
            Err(_) => Err(too_late(&self.told_as)),
            Ok(given) => Ok(given.is_ok()),
        }
    }

    /// What it writes next; `None` when it has ended with exit code 0. Any other end is a failure
    /// that tells what it said.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(out) = &mut self.out else { return Ok(None) };
        let mut all = BytesMut::new();
        loop {
            let next = if all.is_empty() {
                match tokio::time::timeout_at(self.ends_by, out.next()).await {
                    Ok(next) => next,
                    Err(_) => return Err(too_late(&self.told_as)),
                }
            } else {
                // Docker sends small pieces: what is there already is taken along.
                match out.next().now_or_never() {
                    Some(next) => next,
                    None => break,
                }
            };
            match next {
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    all.extend_from_slice(&message);
                    if all.len() >= READ_CHUNK {
                        break;
                    }
                }
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.said.extend_from_slice(&message);
                    let over = self.said.len().saturating_sub(MAX_STDERR);
                    self.said.drain(..over);
                }
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(error)) => {
                    let (what, why) = (self.told_as.clone(), error.to_string());
                    let unread = Fact::NotRead { what, why };
                    return Err(Failure::new(FailureCode::SourceFailed, unread));
                }
                None => {
                    self.out = None;
                    self.end(&all).await?;
                    break;
                }
            }
        }
        Ok(Some(all.freeze()).filter(|all| !all.is_empty()))
    }

    /// Its exit code, which Docker knows a moment after its output has ended.
    async fn end(&mut self, last: &[u8]) -> Result<(), Failure> {
        let code = loop {
            let told = |error| told(&self.told_as, &error);
            let state = self.docker.inspect_exec(&self.id).await.map_err(told)?;
            if let (Some(code), Some(false) | None) = (state.exit_code, state.running) {
                break code;
            }
            if Instant::now() > self.ends_by {
                return Err(too_late(&self.told_as));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        if code == 0 {
            return Ok(());
        }
        // What could not be started at all is told where the output would be.
        let said = if self.said.is_empty() { last } else { &self.said };
        let said = redacted(&String::from_utf8_lossy(said), &self.secrets);
        let what = self.told_as.clone();
        if matches!(code, 126 | 127) {
            if said.contains(NO_SH) {
                return Err(no_shell(&what));
            }
            let missing = Fact::NotInThatContainer { what, said };
            return Err(Failure::new(FailureCode::SourceConfig, missing));
        }
        let ended = Fact::ProgramEnded { program: what, code: code.to_string(), said };
        Err(Failure::new(FailureCode::SourceFailed, ended))
    }
}

/// Ends what was begun with `marker`; of a container that does not run there is nothing to end.
pub(crate) async fn end(
    config: &EngineConfig,
    container: &str,
    marker: &str,
) -> Result<(), Failure> {
    let docker = super::connect(config).await?;
    let asked = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(
            ["sh", "-c", KILL, "backup-orchestrator", &format!("{MARK}={marker}")]
                .map(str::to_owned)
                .to_vec(),
        ),
        ..ExecConfig::default()
    };
    let ended = async {
        let id = docker.create_exec(container, asked).await?.id;
        if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&id, None).await? {
            while output.next().await.is_some() {}
        }
        Ok(docker.inspect_exec(&id).await?.exit_code)
    };
    match tokio::time::timeout(END, ended).await {
        // Where there is no `sh`, nothing was begun by one.
        Ok(
            Ok(Some(0 | 126 | 127) | None)
            | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }),
        ) => Ok(()),
        Ok(Err(Error::DockerResponseServerError { message, .. })) if message.contains(NO_SH) => {
            Ok(())
        }
        Ok(Ok(Some(_))) | Err(_) => {
            let goes_on = Fact::ExecGoesOn { container: container.to_owned() };
            Err(Failure::new(FailureCode::SourceFailed, goes_on))
        }
        Ok(Err(error)) => Err(told(container, &error)),
    }
}

fn told(what: &str, error: &Error) -> Failure {
    match error {
        Error::DockerResponseServerError { message, .. } if message.contains(NO_SH) => {
            no_shell(what)
        }
        Error::DockerResponseServerError { status_code: 409, message } => Failure::new(
            FailureCode::SourceUnreachable,
            Fact::DockerNotRunning { what: what.to_owned(), said: message.clone() },
        ),
        other => super::told(other),
    }
}

fn no_shell(what: &str) -> Failure {
    Failure::new(FailureCode::SourceConfig, Fact::NoShell { what: what.to_owned() })
}

fn too_late(what: &str) -> Failure {
    Failure::new(FailureCode::Timeout, Fact::ProgramLate { program: what.to_owned() })
}
