//! What a server of ours runs in: programs of this machine, or containers of the image that the
//! source's own server is of. Nothing leads into or out of those.

use std::{path::Path, time::Duration};

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use model::{Fact, Failure, FailureCode};
use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::{
    control::Control,
    server::{Programs, major_in},
};
use crate::{
    docker::{
        self,
        scratch::{Container, Joined, SHM_BYTES, limits},
    },
    process::Running,
    run::{RunContext, drill::scratch::MEMORY_BYTES},
};

/// How long a program that only tells something may take.
const ANSWER: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);
const MAX_TOLD: usize = 64 << 10;

/// Whom a server lets in: those who come by its socket; on a network that leads nowhere, all.
const OURSELVES: &str = "local all all trust";
const CLIENTS: &str = "local all all trust\nhost all all all trust";

/// Makes what the server is told of, in its container's own layer, and becomes it. `$1` is that
/// folder, `$2` the data directory, `$3` the file by which it knows that it is to recover, `$4` whom it
/// lets in.
const SERVE: &str = "set -e; mkdir -p -m 0700 \"$1\"; cd \"$2\"; \
                     : >\"$1/postgresql.conf\"; : >\"$1/pg_ident.conf\"; \
                     printf '%s\\n' \"$4\" >\"$1/pg_hba.conf\"; \
                     rm -f standby.signal recovery.signal; : >\"$3\"; \
                     shift 4; export LC_ALL=C; exec postgres \"$@\"";

/// Where an app waits for a server that is tried, and the port at which it looks for it.
#[derive(Debug, Clone)]
pub(crate) struct Lan {
    pub(crate) joined: Joined,
    pub(crate) port: Option<u16>,
}

/// A restored data directory in a volume, and the image whose programs understand it.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// The image, as Docker calls it for good: its id.
    pub(crate) image: String,
    /// As whom servers of this image run.
    pub(crate) user: String,
    pub(crate) volume: String,
    /// Where the volume is mounted.
    pub(crate) at: String,
    /// The data directory, as its containers see it.
    pub(crate) data: String,
}

impl Inside {
    /// What a program of the image prints that `script` runs with `args`; its good end counts.
    pub(crate) async fn told(
        &self,
        context: &RunContext,
        script: &str,
        args: &[&str],
    ) -> Result<String, Failure> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let container = self.make(context, script, args, None).await?;
        let until = Instant::now() + ANSWER;
        let told = async {
            container.start().await?;
            loop {
                if let Some(told) = container.printed(MAX_TOLD).await? {
                    return Ok(told);
                }
                context.keep_going()?;
                if Instant::now() > until {
                    let late = Fact::ProgramLate { program: container.name.clone() };
                    return Err(Failure::new(FailureCode::Timeout, late));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let told = told.await;
        container.remove(context).await;
        told
    }

    /// The numbers of its user and of that user's group.
    pub(crate) async fn owner(&self, context: &RunContext) -> Result<(u32, u32), Failure> {
        let told = self.told(context, "id -u; id -g", &[]).await?;
        let mut numbers = told.lines().map(|line| line.trim().parse::<u32>());
        match (numbers.next(), numbers.next()) {
            (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
            _ => {
                let message = format!("the image does not tell who its user `{}` is", self.user);
                Err(Failure::new(FailureCode::SourceConfig, message))
            }
        }
    }

    /// The version of PostgreSQL in the image; `None` where it does not tell.
    pub(crate) async fn major(&self, context: &RunContext) -> Result<Option<u32>, Failure> {
        Ok(major_in(&self.told(context, "exec postgres --version", &[]).await?))
    }

    async fn control(&self, context: &RunContext) -> Result<Control, Failure> {
        let script = "export LC_ALL=C; exec pg_controldata \"$1\"";
        Control::parse(&self.told(context, script, &[&self.data]).await?)
    }

    /// Starts the server; `signal` is the file that tells it how to recover. On the network of `lan`
    /// it lets everybody in: whoever else is there comes when it has been replayed and looked at.
    pub(crate) async fn serve(
        &self,
        context: &RunContext,
        signal: &str,
        arguments: Vec<String>,
        lan: Option<&Lan>,
    ) -> Result<Container, Failure> {
        let clients = if lan.is_some() { CLIENTS } else { OURSELVES };
        let first = [docker::scratch::FOLDER, &self.data, signal, clients].map(str::to_owned);
        // What its old settings ask of a whole machine is not for this one.
        let own = [
            format!("-D{}", self.data),
            "-cshared_buffers=128MB".to_owned(),
            "-chuge_pages=off".to_owned(),
        ];
        let listens = lan.map(|_| "-clisten_addresses=*".to_owned());
        let all = first.into_iter().chain(own).chain(arguments).chain(listens).collect();
        let joined = lan.map(|lan| lan.joined.clone());
        let container = self.make(context, SERVE, all, joined).await?;
        match container.start().await {
            Ok(()) => Ok(container),
            Err(failure) => {
                container.remove(context).await;
                Err(failure)
            }
        }
    }

    async fn make(
        &self,
        context: &RunContext,
        script: &str,
        args: Vec<String>,
        joined: Option<Joined>,
    ) -> Result<Container, Failure> {
        let docker = docker::connect(context.engine.config()).await?;
        let image = docker.inspect_image(&self.image).await;
        let config = image.map_err(|error| docker::told(&error))?.config.unwrap_or_default();
        let empty = |target| Mount {
            target: Some(target),
            typ: Some(MountType::TMPFS),
            ..Mount::default()
        };
        let declared = config.volumes.into_iter().flatten().filter(|path| *path != self.at);
        let mut mounts: Vec<_> = declared.map(empty).collect();
        mounts.push(mount(&self.volume, &self.at));
        let argv = ["-c", script, "moment"].map(str::to_owned).into_iter();
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(argv.chain(args).collect()),
            user: Some(self.user.clone()),
            host_config: Some(HostConfig {
                shm_size: Some(SHM_BYTES),
                cap_drop: Some(vec!["ALL".to_owned()]),
                mounts: Some(mounts),
                ..limits(MEMORY_BYTES)
            }),
            ..ContainerCreateBody::default()
        };
        Container::of(context, docker, "moment", joined, body).await
    }
}

/// `volume` at `at`; an empty one stays empty.
pub(crate) fn mount(volume: &str, at: &str) -> Mount {
    Mount {
        target: Some(at.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Mount::default()
    }
}

/// Where a server of ours is run.
pub(crate) enum Home {
    Here(Programs),
    Inside(Inside),
}

impl Home {
    /// What the data directory says of itself.
    pub(crate) async fn control(
        &self,
        context: &RunContext,
        data: &Path,
    ) -> Result<Control, Failure> {
        match self {
            Self::Here(programs) => programs.control(context.engine.config(), data).await,
            Self::Inside(inside) => inside.control(context).await,
        }
    }
}

/// What a server lives in.
pub(crate) enum Life {
    /// Dropped, it ends.
    Program(Running),
    /// It is there until it is removed, or until the run's duties are done.
    Container(Container),
    Ended,
}

impl Life {
    /// What it said last, where it has ended.
    pub(crate) async fn has_ended(&mut self) -> Option<String> {
        match self {
            Self::Program(running) => running.has_ended().await,
            Self::Container(container) => container.has_ended().await,
            Self::Ended => Some("it was ended".to_owned()),
        }
    }

    /// The container that it is in.
    pub(crate) fn container(&self) -> Option<&str> {
        match self {
            Self::Container(container) => Some(&container.name),
            Self::Program(_) | Self::Ended => None,
        }
    }

    /// Ends it by `signal`, and by force where that takes longer than `patience`; gives what it
    /// said last.
    pub(crate) async fn end_by(
        &mut self,
        context: &RunContext,
        signal: Signal,
        patience: Duration,
    ) -> String {
        if let Self::Program(running) = self {
            running.end_by(signal, patience).await;
        }
        if let Self::Container(container) = self {
            let until = Instant::now() + patience;
            if let Err(failure) = container.signal(signal.as_str()).await {
                context.journal.warn(failure.message);
            }
            while container.has_ended().await.is_none() && Instant::now() < until {
                tokio::time::sleep(LOOK).await;
            }
        }
        let said = self.has_ended().await.unwrap_or_default();
        if let Self::Container(container) = std::mem::replace(self, Self::Ended) {
            container.remove(context).await;
        }
        said
    }
}
