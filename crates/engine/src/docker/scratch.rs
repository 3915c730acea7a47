//! Containers for drills: of an image that is here, on no network that leads anywhere, with no
//! rights and no volumes but their own, and gone with the run.

use std::{collections::HashMap, io, path::Path};

use bollard::{
    Docker, body_try_stream,
    container::LogOutput,
    errors::Error,
    exec::{StartExecOptions, StartExecResults},
    models::{ContainerCreateBody, ExecConfig, HostConfig, Mount, MountType},
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, KillContainerOptions, LogsOptions,
        StartContainerOptions, UploadToContainerOptions,
    },
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use model::{Duty, Fact, Failure, FailureCode};
use rand::RngExt;
use tokio::io::DuplexStream;
use tokio_util::io::{ReaderStream, StreamReader};

use super::{closed::only_in, told};
use crate::{EngineConfig, duty::Owed, process::MAX_STDERR, run::RunContext};

/// The folder of all that is made inside: everybody may write to what is around it.
pub(crate) const FOLDER: &str = "/tmp/backup-orchestrator";
/// Between the container's folder and its file in a tar.
const NAME: &str = "backup-orchestrator";
/// A tar's files fill whole blocks, and two empty ones end it.
const BLOCK: u64 = 512;
/// What may wait on its way into a container.
const PIPE_BYTES: usize = 256 << 10;
/// Processor time that one may take: that of two of the machine's.
const CPU_PERIOD_MICROS: i64 = 100_000;
const CPU_QUOTA_MICROS: i64 = 200_000;
/// Processes of one.
const MAX_PROCESSES: i64 = 2_048;

/// Memory that a server's processes may share.
pub(crate) const SHM_BYTES: i64 = 256 << 20;

/// A container; the run's duties remove it, at the latest.
pub(crate) struct Container {
    docker: Docker,
    pub(crate) name: String,
    owed: Owed,
}

/// What a server's container is made of.
pub(crate) struct Recipe<'a> {
    pub(crate) image: &'a str,
    /// Who runs it, where the image says nothing.
    pub(crate) user: &'a str,
    /// What it runs by `sh`, as its first process.
    pub(crate) script: &'a str,
    /// `$1` and on.
    pub(crate) args: Vec<String>,
    /// Most memory that it may use.
    pub(crate) memory_bytes: u64,
    /// The one network that it is in, if any.
    pub(crate) joined: Option<Joined>,
}

/// A container's part in a network of ours.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) network: String,
    /// Names that the others find it by.
    pub(crate) aliases: Vec<String>,
}

impl Container {
    /// Makes the server of the drill of `of`; it does not run yet.
    pub(crate) async fn make(
        context: &RunContext,
        of: &str,
        recipe: Recipe<'_>,
    ) -> Result<Self, Failure> {
        let docker = super::connect(&context.engine.0.config).await?;
        let image = docker.inspect_image(recipe.image).await.map_err(|error| told(&error))?;
        let config = image.config.unwrap_or_default();
        let user = config.user.filter(|user| !matches!(user.as_str(), "" | "0" | "root"));
        let argv = ["-c", recipe.script, "drill"].map(str::to_owned).into_iter();
        let body = ContainerCreateBody {
            image: Some(recipe.image.to_owned()),
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(argv.chain(recipe.args).collect()),
            user: Some(user.unwrap_or_else(|| recipe.user.to_owned())),
            host_config: Some(HostConfig {
                shm_size: Some(SHM_BYTES),
                cap_drop: Some(vec!["ALL".to_owned()]),
                // Volumes that the image declares are not what it works in.
                mounts: Some(config.volumes.into_iter().flatten().map(empty).collect()),
                ..limits(recipe.memory_bytes)
            }),
            ..ContainerCreateBody::default()
        };
        Self::of(context, docker, of, recipe.joined, body).await
    }

    /// Makes one as `body` says, with our mark, in no network but that of `joined`.
    pub(crate) async fn of(
        context: &RunContext,
        docker: Docker,
        of: &str,
        joined: Option<Joined>,
        body: ContainerCreateBody,
    ) -> Result<Self, Failure> {
        let word = context.engine.with_rng(RngExt::random::<u32>);
        let name = format!("backup-drill-{}-{of}-{word:08x}", context.run.id).to_lowercase();
        let labels = HashMap::from([(super::HELPER.to_owned(), context.run.id.to_string())]);
        let network = joined.as_ref().map_or("none", |joined| joined.network.as_str()).to_owned();
        let host = body.host_config.unwrap_or_default();
        let body = ContainerCreateBody {
            labels: Some(labels),
            host_config: Some(HostConfig { network_mode: Some(network), ..host }),
            networking_config: joined.map(|one| only_in(&one.network, one.aliases)),
            ..body
        };
        let owed = context.owe(Duty::RemoveScratch { container: name.clone() }).await?;
        let container = Self { docker, name: name.clone(), owed };
        let options = CreateContainerOptions { name: Some(name), ..Default::default() };
        match container.docker.create_container(Some(options), body).await {
            Ok(_) => Ok(container),
            Err(error) => {
                // Nothing was made; should that be wrong, the duty stays until it is done.
                container.remove(context).await;
                Err(told(&error))
            }
        }
    }

    /// Puts a copy of `file` into [`FOLDER`], as `name`.
    pub(crate) async fn put(&self, file: &Path, name: &str) -> Result<(), Failure> {
        let unread = |error: io::Error| {
            let (what, why) = (file.display().to_string(), error.to_string());
            Failure::new(FailureCode::Internal, Fact::NotRead { what, why })
        };
        let opened = tokio::fs::File::open(file).await.map_err(unread)?;
        let size = opened.metadata().await.map_err(unread)?.len();
        let folder = header(NAME, tar::EntryType::Directory, 0o777, 0).map_err(unread)?;
        let own = format!("{NAME}/{name}");
        let head = header(&own, tar::EntryType::Regular, 0o644, size).map_err(unread)?;
        let end = vec![0; usize::try_from((BLOCK - size % BLOCK) % BLOCK + 2 * BLOCK).unwrap_or(0)];
        let around = |bytes: Vec<u8>| futures::stream::iter([Ok::<_, io::Error>(bytes.into())]);
        let body = around([folder, head].concat())
            .chain(ReaderStream::with_capacity(opened, PIPE_BYTES))
            .chain(around(end));
        let options = UploadToContainerOptions { path: "/tmp".to_owned(), ..Default::default() };
        let patient = self.docker.clone().with_timeout(std::time::Duration::from_hours(24));
        let sent = patient.upload_to_container(&self.name, Some(options), body_try_stream(body));
        sent.await.map_err(|error| told(&error))
    }

    pub(crate) async fn start(&self) -> Result<(), Failure> {
        let started = self.docker.start_container(&self.name, None::<StartContainerOptions>).await;
        started.map_err(|error| told(&error))
    }

    /// How it ended, where it has, with what it said.
    pub(crate) async fn has_ended(&self) -> Option<String> {
        let options = None::<InspectContainerOptions>;
        let state = self.docker.inspect_container(&self.name, options).await.ok()?.state?;
        if state.running == Some(true) {
            return None;
        }
        let code = state.exit_code.unwrap_or_default();
        let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
        Some(format!("it ended with exit code {code}{memory}: {}", self.said().await))
    }

    /// What it has printed, once it has ended well; `None` while it runs.
    pub(crate) async fn printed(&self, limit_bytes: usize) -> Result<Option<String>, Failure> {
        let options = None::<InspectContainerOptions>;
        let inspected = self.docker.inspect_container(&self.name, options).await;
        let state = inspected.map_err(|error| told(&error))?.state.unwrap_or_default();
        if state.running == Some(true) {
            return Ok(None);
        }
        if state.exit_code != Some(0) {
            let said = self.has_ended().await.unwrap_or_default();
            return Err(Failure::new(FailureCode::SourceFailed, said));
        }
        let options = LogsOptions { stdout: true, ..LogsOptions::default() };
        let mut lines = self.docker.logs(&self.name, Some(options));
        let mut printed = Vec::new();
        while let Some(line) = lines.next().await {
            printed.extend_from_slice(&line.map_err(|error| told(&error))?.into_bytes());
            if printed.len() > limit_bytes {
                let much = format!("{} printed more than {limit_bytes} bytes", self.name);
                return Err(Failure::new(FailureCode::SourceFailed, much));
            }
        }
        Ok(Some(String::from_utf8_lossy(&printed).into_owned()))
    }

    /// Sends `signal` to its first process, if that is still there.
    pub(crate) async fn signal(&self, signal: &str) -> Result<(), Failure> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.docker.kill_container(&self.name, Some(options)).await {
            // It has ended by itself.
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
            Err(error) if !super::is_gone(&error) => Err(told(&error)),
            _ => Ok(()),
        }
    }

    /// The end of what it said.
    async fn said(&self) -> String {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: "20".to_owned(),
            ..LogsOptions::default()
        };
        let mut lines = self.docker.logs(&self.name, Some(options));
        let mut said = Vec::new();
        while let Some(Ok(line)) = lines.next().await {
            said.extend_from_slice(&line.into_bytes());
            if said.len() > MAX_STDERR {
                break;
            }
        }
        crate::process::redacted(&String::from_utf8_lossy(&said), &[])
    }

    /// Removes it now.
    pub(crate) async fn remove(self, context: &RunContext) {
        if let Err(failure) = context.settle(self.owed).await {
            context.journal.warn(format!("{} stays for now: {}", self.name, failure.message));
        }
    }
}

/// What every container of a drill is held to.
pub(crate) fn limits(memory_bytes: u64) -> HostConfig {
    let memory = i64::try_from(memory_bytes).unwrap_or(i64::MAX);
    HostConfig {
        memory: Some(memory),
        // No swap beside it.
        memory_swap: Some(memory),
        cpu_period: Some(CPU_PERIOD_MICROS),
        cpu_quota: Some(CPU_QUOTA_MICROS),
        pids_limit: Some(MAX_PROCESSES),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        ..HostConfig::default()
    }
}

/// What a command inside `container` reads and writes, as one stream. It ends with either.
pub(crate) async fn pipe(
    config: &EngineConfig,
    container: &str,
    argv: &[&str],
) -> Result<DuplexStream, Failure> {
    let docker = super::connect(config).await?;
    let asked = ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(argv.iter().map(|word| (*word).to_owned()).collect()),
        ..ExecConfig::default()
    };
    let id = docker.create_exec(container, asked).await.map_err(|e| told(&e))?.id;
    let options = StartExecOptions { output_capacity: Some(128 << 10), ..Default::default() };
    let started = docker.start_exec(&id, Some(options)).await.map_err(|e| told(&e))?;
    let StartExecResults::Attached { output, mut input } = started else {
        return Err(Failure::new(FailureCode::SourceFailed, Fact::DockerNotAttached {}));
    };
    let written = output.try_filter_map(async |piece| {
        Ok(match piece {
            LogOutput::StdOut { message } | LogOutput::Console { message } => Some(message),
            _ => None,
        })
    });
    let written = written.map_err(io::Error::other).boxed();
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move {
        let (mut from_us, mut to_us) = tokio::io::split(far);
        let mut written = StreamReader::new(written);
        // Whichever ends first ends both: one that takes nothing more gives nothing more.
        tokio::select! {
            _ = tokio::io::copy(&mut from_us, &mut input) => {}
            _ = tokio::io::copy(&mut written, &mut to_us) => {}
        }
    });
    Ok(near)
}

fn empty(target: String) -> Mount {
    Mount { target: Some(target), typ: Some(MountType::TMPFS), ..Mount::default() }
}

fn header(path: &str, kind: tar::EntryType, mode: u32, size: u64) -> io::Result<Bytes> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(path)?;
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}
