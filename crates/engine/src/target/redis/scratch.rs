//! A server of ours that loads a snapshot: on this machine, reachable through a socket in its own
//! folder and through nothing else.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use model::{DirectKind, Fact, Failure, FailureCode};
use tokio::time::Instant;

use crate::{
    process,
    run::drill::{
        Trial,
        scratch::{self, Daemon},
    },
    source::redis::wire::Connection,
};

/// A snapshot does not say how many databases its server had.
const DATABASES: &str = "4096";
/// Between two questions whether the snapshot is loaded.
const PAUSE: Duration = Duration::from_millis(200);
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
    /// Starts one on the snapshot `dump.rdb` in the trial's folder; see [`Self::loaded`].
    pub(crate) async fn start(trial: &Trial<'_>) -> Result<Self, Failure> {
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
        let server = Self { daemon, kind, file };
        let ask = || async {
            match server.info(trial).await {
                // It is there, and still loads.
                Err(failure) if failure.code == FailureCode::SourceBusy => Ok(()),
                told => told.map(drop),
            }
        };
        let ready = server.daemon.until_ready(trial, kind, ask).await;
        ready.map_err(|failure| with_log(failure, folder))?;
        Ok(server)
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
        let aim = self.daemon.aim(trial);
        let asked = aim.asked()?;
        Connection::open(&asked, ends_by).await
    }

    async fn info(&self, trial: &Trial<'_>) -> Result<String, Failure> {
        self.connect(trial, Instant::now() + PAUSE * 50).await?.info().await
    }
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
    Failure { message: format!("{} {said}", failure.message), fact: None, ..failure }
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
