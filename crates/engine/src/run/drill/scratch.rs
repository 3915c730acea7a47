//! Servers that live as long as a drill: in a container of the image that the source's server runs
//! in, on no network; or on this machine, reachable through a socket in the drill's own folder and
//! through nothing else.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use model::{
    DirectKind, DirectSource, Fact, Failure, FailureCode, RestoreTarget, Source, SourceKind,
};
use nix::sys::signal::Signal;
use tokio::sync::Mutex;

use super::{Trial, boot::Known};
use crate::{
    EngineConfig,
    docker::{
        self,
        scratch::{Container, Joined, Recipe},
    },
    process::{self, Program, Running},
    run::RunContext,
    target::{Aim, refused},
};

/// How long a server may take to answer.
const READY: Duration = Duration::from_secs(60);
/// Longest life of a scratch server.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Memory of a database server in a container; what it reads of files does not count.
pub(crate) const MEMORY_BYTES: u64 = 2 << 30;

/// The image to try an artifact with.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// By digest, or its id.
    pub(crate) name: String,
    /// Whether it is the one that the artifact was stored from.
    is_as_stored: bool,
}

impl Image {
    /// The one that the artifact was stored from where that is here, else the one that its source's
    /// server runs in now. `None` where there is none in this Docker.
    pub(crate) async fn of(aim: &Aim<'_>) -> Option<Self> {
        let config = aim.engine.config();
        config.docker_host.as_ref()?;
        if let Some(recorded) = &aim.artifact.image {
            let docker = docker::connect(config).await.ok()?;
            if docker.inspect_image(recorded).await.is_ok() {
                return Some(Self { name: recorded.clone(), is_as_stored: true });
            }
        }
        let name = docker::image::of_source(config, aim.source?).await?;
        Some(Self { is_as_stored: aim.artifact.image.as_ref() == Some(&name), name })
    }

    /// Where a server in it is, for people.
    pub(crate) fn place(&self, kind: String) -> Fact {
        let image = self.name.clone();
        if self.is_as_stored {
            Fact::ScratchAsStored { kind, image }
        } else {
            Fact::ScratchAsNow { kind, image }
        }
    }
}

/// A program for a drill, run by nobody in particular: database servers refuse to be run by root.
pub(crate) fn program(config: &EngineConfig, path: &Path, user: Option<(u32, u32)>) -> Program {
    let program = Program::new(config, path);
    match user {
        Some((uid, gid)) => program.run_by(uid, gid),
        None => program,
    }
}

/// Whom to run servers as, where we are root: the first of `names` that this machine knows.
pub(crate) fn user(names: &[&str]) -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let all = names.iter().chain(["nobody"].iter());
    all.filter_map(|name| nix::unistd::User::from_name(name).ok().flatten())
        .map(|user| (user.uid.as_raw(), user.gid.as_raw()))
        .next()
}

/// Errs where `user` may not come to `folder`: a folder of ours that nobody else may enter keeps
/// them out of all below it.
pub(crate) fn may_enter(folder: &Path, user: Option<(u32, u32)>) -> Result<(), Failure> {
    let Some((uid, gid)) = user else { return Ok(()) };
    let closed = folder.ancestors().skip(1).find(|above| {
        above.metadata().is_ok_and(|is| {
            let class = match (is.uid() == uid, is.gid() == gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            is.mode() & class == 0
        })
    });
    let Some(closed) = closed else { return Ok(()) };
    let closed = Fact::ScratchClosed { path: closed.display().to_string() };
    Err(Failure::new(FailureCode::RestoreRefused, closed))
}

/// Gives `folder` to `user`.
pub(crate) fn give(folder: &Path, user: Option<(u32, u32)>) -> Result<(), Failure> {
    let Some((uid, gid)) = user else { return Ok(()) };
    may_enter(folder, user)?;
    let given = std::os::unix::fs::chown(folder, Some(uid), Some(gid));
    given.map_err(|error| {
        let (path, why) = (folder.display().to_string(), error.to_string());
        Failure::new(FailureCode::RestoreRefused, Fact::NotForScratch { path, why })
    })
}

/// Waits until `ask` is answered, or the server has ended.
async fn until_ready<F, Fut>(server: &mut Life, what: &str, mut ask: F) -> Result<(), Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let began = tokio::time::Instant::now();
    loop {
        let failure = match ask().await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if let Some(said) = server.has_ended().await {
            let ended = Fact::ServerNotStarted { kind: what.to_owned(), said };
            return Err(Failure::new(FailureCode::SourceConfig, ended));
        }
        if began.elapsed() > READY {
            let silent = Fact::ServerSilent { kind: what.to_owned(), why: failure.into() };
            return Err(Failure::new(FailureCode::Timeout, silent));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The file `name` in the newest of the folders `ROOT/VERSION/bin`, or on the path.
pub(crate) fn newest(config: &EngineConfig, name: &str) -> Option<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(&config.postgres_home)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|home| {
            let version: u32 = home.file_name().to_str()?.parse().ok()?;
            let file = home.path().join("bin").join(name);
            process::is_program(&file).then_some((version, file))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, file)| file).or_else(|| process::find(config, name))
}

/// A source of `kind` with `settings` that goes by the name of the artifact's own.
fn stand_in(trial: &Trial<'_>, kind: DirectKind, settings: &[(&str, &str)]) -> Source {
    let aim = trial.aim;
    let name = aim.source.map_or_else(|| aim.artifact.source.clone(), |one| one.name.clone());
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let direct =
        DirectSource { what: kind, settings: settings.collect(), secrets: BTreeMap::new() };
    Source { name, kind: SourceKind::Direct(direct) }
}

/// A server's part in the network that an app waits on; none where no app is to be booted.
pub(crate) async fn joined(trial: &Trial<'_>) -> Result<Option<Joined>, Failure> {
    let Some(stage) = trial.boot else { return Ok(None) };
    let known = Known::of(trial.aim).await;
    stage.place(trial.aim.artifact, &known).map(Some)
}

/// The port that the source's server has, where it is said.
pub(crate) fn port(trial: &Trial<'_>) -> Option<String> {
    trial.aim.asked().ok()?.setting("port").map(str::to_owned)
}

/// What the app knows the server in `container` by, which people call `kind`; errs where it would not
/// find it.
pub(crate) async fn known(
    trial: &Trial<'_>,
    container: Option<&str>,
    kind: &str,
) -> Result<Known, Failure> {
    let known = Known::of(trial.aim).await;
    if let Some(stage) = trial.boot {
        stage.place(trial.aim.artifact, &known)?;
    }
    if container.is_none() {
        let kind = kind.to_owned();
        return Err(refused(Fact::BootOutOfReach { kind }));
    }
    if known.names.is_empty() {
        let artifact = trial.aim.artifact.source.to_string();
        return Err(refused(Fact::BootNoName { artifact }));
    }
    Ok(known)
}

/// The server that was made in a container of `image`; `None` where that failed and it is to be
/// tried on this machine instead. Errs where the run is to end anyway.
pub(crate) fn or_here<T>(
    trial: &Trial<'_>,
    image: &Image,
    made: Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let failure = match made {
        Ok(server) => return Ok(Some(server)),
        Err(failure) => failure,
    };
    trial.context.keep_going()?;
    trial.context.journal.warn(format!(
        "a container of {} does not serve a drill: {}; it is tried with the programs of this \
         machine instead",
        image.name, failure.message
    ));
    Ok(None)
}

/// What a server lives in.
enum Life {
    /// Dropped, it ends.
    Program(Running),
    Container(Container),
    Ended,
}

impl Life {
    /// What it said last, where it has ended.
    async fn has_ended(&mut self) -> Option<String> {
        match self {
            Self::Program(running) => running.has_ended().await,
            Self::Container(container) => container.has_ended().await,
            Self::Ended => Some("it was ended".to_owned()),
        }
    }
}

/// A server under way, and the source that stands for it. Dropped, a program ends; a container is
/// there until [`Daemon::end`], or until the run's duties are done.
pub(crate) struct Daemon {
    life: Mutex<Life>,
    source: Source,
    /// Its container, and the image of that.
    inside: Option<(String, Image)>,
}

impl Daemon {
    /// Starts `program`, which is reached as a source of `kind` with `settings`.
    pub(crate) fn start(
        trial: &Trial<'_>,
        program: Program,
        kind: DirectKind,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        // By this it is known again after this process was killed.
        let program = program.env("TMPDIR", trial.folder.clone());
        let life = Life::Program(program.start(LIFE)?);
        let source = stand_in(trial, kind, settings);
        Ok(Self { life: Mutex::new(life), source, inside: None })
    }

    /// Starts a server in a container of `image` on a copy of `file`, where there is one; it is
    /// reached as a source of `kind` with `settings`.
    pub(crate) async fn contained(
        trial: &Trial<'_>,
        image: &Image,
        recipe: Recipe<'_>,
        file: Option<(&Path, &str)>,
        kind: DirectKind,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let context = trial.context;
        let of = trial.aim.artifact.source.as_str();
        let container = Container::make(context, of, recipe).await?;
        let started = async {
            if let Some((file, name)) = file {
                container.put(file, name).await?;
            }
            container.start().await
        };
        if let Err(failure) = started.await {
            container.remove(context).await;
            return Err(failure);
        }
        let name = container.name.clone();
        let settings = [&[("container", name.as_str())], settings].concat();
        let source = stand_in(trial, kind, &settings);
        let life = Mutex::new(Life::Container(container));
        Ok(Self { life, source, inside: Some((name, image.clone())) })
    }

    /// The container that it is in.
    pub(crate) fn container(&self) -> Option<&str> {
        self.inside.as_ref().map(|(name, _)| name.as_str())
    }

    /// Where it is, for people, who call it `kind`; `path` is where it is on this machine.
    pub(crate) fn place(&self, kind: String, path: &Path) -> Fact {
        match &self.inside {
            Some((_, image)) => image.place(kind),
            None => Fact::ScratchServer { kind, path: path.display().to_string() },
        }
    }

    /// Waits until `ask` is answered, or the server, which people call `what`, has ended.
    pub(crate) async fn until_ready<F, Fut>(
        &self,
        trial: &Trial<'_>,
        what: &str,
        ask: F,
    ) -> Result<(), Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), Failure>>,
    {
        let mut life = self.life.lock().await;
        let ask = || async {
            trial.context.keep_going()?;
            ask().await
        };
        until_ready(&mut life, what, ask).await
    }

    /// Ends it now. A program for which being killed is no good end is asked by `signal` first, and
    /// waited for at most as long as `patience`.
    pub(crate) async fn end(&self, context: &RunContext, gently: Option<(Signal, Duration)>) {
        let life = std::mem::replace(&mut *self.life.lock().await, Life::Ended);
        match (life, gently) {
            (Life::Program(mut running), Some((signal, patience))) => {
                running.end_by(signal, patience).await;
            }
            (Life::Container(container), _) => container.remove(context).await,
            _ => {}
        }
    }

    /// It, as a source.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// What it said last, where it has ended.
    pub(crate) async fn has_ended(&self) -> Option<String> {
        self.life.lock().await.has_ended().await
    }

    /// The trial's artifact, on its way into this server.
    pub(crate) fn aim<'a>(&'a self, trial: &'a Trial<'_>) -> Aim<'a> {
        Aim {
            engine: trial.aim.engine,
            app: trial.aim.app,
            source: Some(&self.source),
            artifact: trial.aim.artifact,
            selection: None,
            target: &RestoreTarget::App,
            moment: None,
            undoes: None,
            is_one_of_many: false,
            tag: trial.aim.tag,
        }
    }
}
