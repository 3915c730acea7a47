//! A server of ours that loads a snapshot: in a container of the image that the snapshot is from, on
//! no network; or on this machine, reachable through a socket in its own folder and through nothing
//! else.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use model::{DirectKind, Fact, Failure, FailureCode};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use crate::{
    docker::scratch::{FOLDER, Recipe, pipe},
    process,
    run::{
        RunContext,
        drill::{
            Trial,
            scratch::{self, Daemon, Image},
        },
    },
    source::redis::wire::{Answer, Connection},
    target::refused,
};

/// A snapshot does not say how many databases its server had.
const DATABASES: &str = "4096";
/// Between two questions whether the snapshot is loaded.
const PAUSE: Duration = Duration::from_millis(200);
/// In `$1`, where the snapshot is, with `$2` databases.
const SERVE: &str = "server=redis-server; command -v $server >/dev/null || server=valkey-server; \
                     cd \"$1\" && exec $server --bind \"$3\" --port \"$4\" --protected-mode no \
                     --dbfilename dump.rdb --dir \"$1\" --save '' --appendonly no \
                     --databases \"$2\"";
/// Reads and writes what the server does, by what images of either family have.
const BRIDGE: &str = "if command -v nc >/dev/null 2>&1; then exec nc 127.0.0.1 \"$0\"; fi; \
                      exec bash -c 'exec 3<>\"/dev/tcp/127.0.0.1/$0\" || exit 1; \
                      cat <&3 & exec cat >&3' \"$0\"";
/// Nobody: some images have a user of its name, others none.
const NOBODY: &str = "65534:65534";
/// Most times that a snapshot is larger in memory.
const GROWTH: u64 = 20;
/// What is read of a server's own words.
const MAX_LOG: u64 = 64 << 10;

pub(crate) struct Scratch {
    daemon: Daemon,
    /// `redis` or `valkey`.
    pub(crate) kind: &'static str,
    /// The snapshot.
    pub(crate) file: PathBuf,
}

impl Scratch {
    /// Starts one on the snapshot `dump.rdb` in the trial's folder; see [`Self::loaded`]. It is
    /// there until [`Self::end`].
    pub(crate) async fn start(trial: &Trial<'_>) -> Result<Self, Failure> {
        if let Some(image) = Image::of(trial.aim).await {
            let made = Self::contained(trial, &image).await;
            if let Some(server) = scratch::or_here(trial, &image, made)? {
                return Ok(server);
            }
        }
        Self::here(trial).await
    }

    /// In a container of `image`.
    async fn contained(trial: &Trial<'_>, image: &Image) -> Result<Self, Failure> {
        let file = trial.folder.join("dump.rdb");
        let kind = if starts_with(&file, b"VALKEY").await? { "valkey" } else { "redis" };
        let grown = trial.aim.artifact.size_bytes.saturating_mul(GROWTH);
        let joined = scratch::joined(trial).await?;
        let bind = if joined.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        let recipe = Recipe {
            image: &image.name,
            user: NOBODY,
            script: SERVE,
            args: [FOLDER, DATABASES, bind, &port(trial)].map(str::to_owned).to_vec(),
            memory_bytes: scratch::MEMORY_BYTES.saturating_add(grown),
            joined,
        };
        let put = Some((file.as_path(), "dump.rdb"));
        let daemon = Daemon::contained(trial, image, recipe, put, DirectKind::Redis, &[]).await?;
        Self { daemon, kind, file: file.clone() }.ready(trial).await
    }

    /// By a program of this machine.
    async fn here(trial: &Trial<'_>) -> Result<Self, Failure> {
        let (config, folder) = (trial.context.engine.config(), &trial.folder);
        let file = folder.join("dump.rdb");
        let kinds = kinds(starts_with(&file, b"VALKEY").await?);
        let (kind, program) = installed(config, kinds)?;
        let user = scratch::user(&[kind]);
        scratch::give(folder, user)?;
        scratch::give(&file, user)?;
        let socket = folder.join("s").display().to_string();
        let program = scratch::program(config, &program, user)
            .args(["--port", "0", "--unixsocket", &socket, "--dbfilename", "dump.rdb", "--dir"])
            .args([folder.display().to_string()])
            // It reads the snapshot and writes nothing.
            .args(["--save", "", "--appendonly", "no", "--databases", DATABASES])
            .args(["--logfile".to_owned(), log(folder).display().to_string()]);
        let settings = [("socket", socket.as_str())];
        let daemon = Daemon::start(trial, program, DirectKind::Redis, &settings)?;
        let ready = Self { daemon, kind, file }.ready(trial).await;
        ready.map_err(|failure| with_log(failure, folder))
    }

    /// Waits until it is there; it may still load.
    async fn ready(self, trial: &Trial<'_>) -> Result<Self, Failure> {
        let ask = || async {
            match self.info(trial).await {
                Err(failure) if failure.code == FailureCode::SourceBusy => Ok(()),
                told => told.map(drop),
            }
        };
        if let Err(failure) = self.daemon.until_ready(trial, self.kind, ask).await {
            self.end(trial.context).await;
            return Err(failure);
        }
        Ok(self)
    }

    /// The container that it is in.
    pub(crate) fn container(&self) -> Option<&str> {
        self.daemon.container()
    }

    /// With the password that the source has, if any.
    pub(crate) async fn lend(&self, trial: &Trial<'_>) -> Result<(), Failure> {
        scratch::known(trial, self.daemon.container(), self.kind).await?;
        let asked = trial.aim.asked()?;
        let Some(password) = asked.secret("password")? else { return Ok(()) };
        let mut connection = self.connect(trial, Instant::now() + PAUSE * 50).await?;
        let set = format!(">{}", password.expose_secret());
        let user = asked.setting("user").unwrap_or("default");
        let (user, set) = (user.as_bytes(), set.as_bytes());
        let words: [&[u8]; 9] = [
            b"ACL",
            b"SETUSER",
            user,
            b"resetpass",
            b"on",
            set,
            b"allkeys",
            b"allchannels",
            b"allcommands",
        ];
        match connection.ask(&words, PAUSE * 50).await? {
            Answer::Refused(_) => {
                Err(refused(Fact::BootNoUser { artifact: trial.aim.artifact.source.to_string() }))
            }
            _ => Ok(()),
        }
    }

    /// Where it is, for people, who call it `server`.
    pub(crate) fn place(&self, server: String) -> Fact {
        self.daemon.place(server, &self.file)
    }

    pub(crate) async fn end(&self, context: &RunContext) {
        self.daemon.end(context, None).await;
    }

    /// Waits until the whole snapshot is loaded; gives what the server says of itself. One that
    /// finds anything wrong with it ends instead.
    pub(crate) async fn loaded(&self, trial: &Trial<'_>) -> Result<String, Failure> {
        let ends_by = Instant::now() + trial.aim.timeout();
        loop {
            trial.context.keep_going()?;
            let failure = match self.info(trial).await {
                Ok(info) => return Ok(info),
                Err(failure) => failure,
            };
            if let Some(said) = self.daemon.has_ended().await {
                let not_loaded = Fact::NotLoaded { kind: self.kind.to_owned(), said };
                let failure = Failure::new(FailureCode::DrillFailed, not_loaded);
                return Err(with_log(failure, &trial.folder));
            }
            if Instant::now() > ends_by {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn connect(
        &self,
        trial: &Trial<'_>,
        ends_by: Instant,
    ) -> Result<Connection, Failure> {
        if let Some(name) = self.container() {
            let argv = ["sh", "-c", BRIDGE, &port(trial)];
            let wire = pipe(trial.context.engine.config(), name, &argv).await?;
            let place = format!("the scratch server in {name}");
            return Connection::over(wire, &place, PAUSE * 50, ends_by).await;
        }
        let aim = self.daemon.aim(trial);
        let asked = aim.asked()?;
        Connection::open(&asked, ends_by).await
    }

    async fn info(&self, trial: &Trial<'_>) -> Result<String, Failure> {
        self.connect(trial, Instant::now() + PAUSE * 50).await?.info().await
    }
}

/// The port that the source's server has.
fn port(trial: &Trial<'_>) -> String {
    scratch::port(trial).unwrap_or_else(|| "6379".to_owned())
}

/// Programs that read a snapshot, the best first.
fn kinds(is_of_valkey: bool) -> &'static [&'static str] {
    if is_of_valkey { &["valkey"] } else { &["redis", "valkey"] }
}

/// The first of `kinds` that this machine has.
fn installed(
    config: &crate::EngineConfig,
    kinds: &[&'static str],
) -> Result<(&'static str, PathBuf), Failure> {
    let found = kinds
        .iter()
        .find_map(|kind| Some((*kind, process::find(config, &format!("{kind}-server"))?)));
    found.ok_or_else(|| {
        let program = format!("{}-server", kinds[0]);
        let missing = Fact::ServerNotInstalled { package: program.clone(), program };
        Failure::new(FailureCode::SourceConfig, missing)
    })
}

/// Errs where this machine has no server that could load a snapshot.
pub(crate) fn is_possible(config: &crate::EngineConfig) -> Result<(), Failure> {
    installed(config, kinds(false)).map(drop)
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// With what the server wrote of its trouble.
fn with_log(failure: Failure, folder: &Path) -> Failure {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(log(folder))
        .and_then(|file| file.take(MAX_LOG).read_to_string(&mut text));
    let said = trouble(&text);
    if read.is_err() || said.is_empty() {
        return failure;
    }
    // What the server said belongs to no fact.
    failure.reworded(|message| format!("{message} {said}"))
}

/// Lines of weight in a log, without what stands before them.
fn trouble(log: &str) -> String {
    let lines = log.lines().filter_map(|line| Some(line.split_once(" # ")?.1.trim()));
    let wanted = lines.filter(|line| !line.starts_with("WARNING") && !line.starts_with("Fatal"));
    wanted.map(str::to_owned).collect::<Vec<_>>().join("; ")
}

async fn starts_with(file: &Path, word: &[u8]) -> Result<bool, Failure> {
    use tokio::io::AsyncReadExt as _;
    let mut head = Vec::new();
    let read = async {
        let file = tokio::fs::File::open(file).await?;
        file.take(word.len() as u64).read_to_end(&mut head).await
    };
    read.await.map_err(|error| {
        let message = format!("{} cannot be read: {error}", file.display());
        Failure::new(FailureCode::Internal, message)
    })?;
    Ok(head == word)
}

#[cfg(test)]
mod tests {
    use super::trouble;

    #[test]
    fn a_log_is_cut_to_what_went_wrong() {
        let log = "1:C 21 Nov 2026 10:00:00.000 * oO0OoO0OoO0Oo Redis is starting\n\
                   1:M 21 Nov 2026 10:00:00.000 # WARNING Memory overcommit must be enabled!\n\
                   1:M 21 Nov 2026 10:00:00.000 # Can't handle RDB format version 12\n\
                   1:M 21 Nov 2026 10:00:00.000 # Fatal error loading the DB, check server logs.\n";
        assert_eq!(trouble(log), "Can't handle RDB format version 12");
    }
}
