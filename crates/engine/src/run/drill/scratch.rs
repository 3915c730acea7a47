//! Servers that live as long as a drill: on this machine, reachable through a socket in the
//! drill's own folder and through nothing else.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use model::{
    DirectKind, DirectSource, Fact, Failure, FailureCode, RestoreTarget, Source, SourceKind,
};
use tokio::sync::Mutex;

use super::Trial;
use crate::{
    EngineConfig,
    process::{self, Program, Running},
    target::Aim,
};

/// How long a server may take to answer.
const READY: Duration = Duration::from_secs(60);
/// Longest life of a scratch server.
const LIFE: Duration = Duration::from_secs(24 * 3600);

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

/// Gives `folder` to `user`.
pub(crate) fn give(folder: &Path, user: Option<(u32, u32)>) -> Result<(), Failure> {
    let Some((uid, gid)) = user else { return Ok(()) };
    // A folder of ours that nobody else may enter keeps them out of all below it.
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
    if let Some(closed) = closed {
        let closed = Fact::ScratchClosed { path: closed.display().to_string() };
        return Err(Failure::new(FailureCode::RestoreRefused, closed));
    }
    let given = std::os::unix::fs::chown(folder, Some(uid), Some(gid));
    given.map_err(|error| {
        let (path, why) = (folder.display().to_string(), error.to_string());
        Failure::new(FailureCode::RestoreRefused, Fact::NotForScratch { path, why })
    })
}

/// Waits until `ask` is answered, or the server has ended.
async fn until_ready<F, Fut>(server: &mut Running, what: &str, mut ask: F) -> Result<(), Failure>
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

/// A server under way, and the source that stands for it. Dropped, it ends.
pub(crate) struct Daemon {
    running: Mutex<Running>,
    source: Source,
}

impl Daemon {
    /// Starts `program`, which is reached as a source of `kind` with `settings`.
    pub(crate) fn start(
        trial: &Trial<'_>,
        program: Program,
        kind: DirectKind,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let aim = trial.aim;
        let name = aim.source.map_or_else(|| aim.artifact.source.clone(), |one| one.name.clone());
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let direct =
            DirectSource { what: kind, settings: settings.collect(), secrets: BTreeMap::new() };
        let source = Source { name, kind: SourceKind::Direct(direct) };
        Ok(Self { running: Mutex::new(program.start(LIFE)?), source })
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
        let mut running = self.running.lock().await;
        let ask = || async {
            trial.context.keep_going()?;
            ask().await
        };
        until_ready(&mut running, what, ask).await
    }

    /// Asks it by `signal` to end, and waits for that at most as long as `patience`.
    pub(crate) async fn end_by(&self, signal: nix::sys::signal::Signal, patience: Duration) {
        self.running.lock().await.end_by(signal, patience).await;
    }

    /// It, as a source.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// What it said last, where it has ended.
    pub(crate) async fn has_ended(&self) -> Option<String> {
        self.running.lock().await.has_ended().await
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
            is_one_of_many: false,
            tag: trial.aim.tag,
        }
    }
}
