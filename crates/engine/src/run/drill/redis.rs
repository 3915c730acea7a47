//! Snapshots of Redis and Valkey: loaded by a server of this machine's own that nobody else can
//! reach.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use model::{DirectKind, DrillCheck, DrillState, Fact, Failure, FailureCode};
use tokio::time::Instant;

use super::{
    Restored, Trial, Way, asked, check,
    scratch::{self, Daemon},
};
use crate::{process, source::redis::wire::Connection, target::unpacking};

/// A snapshot does not say how many databases its server had.
const DATABASES: &str = "4096";
/// Between two questions whether the snapshot is loaded.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Redis;

#[async_trait::async_trait]
impl Way for Redis {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let file = trial.folder.join("dump.rdb");
        unpacking::spool(trial.supply, &file).await?;
        let server = Server::start(trial, file).await?;
        let keys = server.loaded(trial).await?;
        Ok(Box::new(Server { keys, ..server }))
    }
}

struct Server {
    daemon: Daemon,
    /// `redis` or `valkey`.
    kind: &'static str,
    file: PathBuf,
    /// Keys by database, in the server's words.
    keys: Vec<(String, u64)>,
}

impl Server {
    async fn start(trial: &Trial<'_>, file: PathBuf) -> Result<Self, Failure> {
        let config = trial.context.engine.config();
        let is_valkey = starts_with(&file, b"VALKEY").await?;
        let kinds: &[&str] = if is_valkey { &["valkey"] } else { &["redis", "valkey"] };
        let found = kinds
            .iter()
            .find_map(|kind| Some((*kind, process::find(config, &format!("{kind}-server"))?)));
        let Some((kind, program)) = found else {
            let program = format!("{}-server", kinds[0]);
            let missing = Fact::ServerNotInstalled { package: program.clone(), program };
            return Err(Failure::new(FailureCode::SourceConfig, missing));
        };
        let user = scratch::user(&[kind]);
        scratch::give(&trial.folder, user)?;
        scratch::give(&file, user)?;
        let socket = trial.folder.join("s").display().to_string();
        let program = scratch::program(config, &program, user)
            .args(["--port", "0", "--unixsocket", &socket, "--dbfilename", "dump.rdb", "--dir"])
            .args([trial.folder.display().to_string()])
            // It reads the snapshot and writes nothing.
            .args(["--save", "", "--appendonly", "no", "--databases", DATABASES]);
        let settings = [("socket", socket.as_str())];
        let daemon = Daemon::start(trial, program, DirectKind::Redis, &settings)?;
        let server = Self { daemon, kind, file, keys: Vec::new() };
        let ask = || async {
            match server.info(trial).await {
                // It is there, and still loads.
                Err(failure) if failure.code == FailureCode::SourceBusy => Ok(()),
                told => told.map(drop),
            }
        };
        server.daemon.until_ready(trial, kind, ask).await?;
        Ok(server)
    }

    async fn info(&self, trial: &Trial<'_>) -> Result<String, Failure> {
        let asked = self.daemon.aim(trial).asked()?;
        let mut connection = Connection::open(&asked, Instant::now() + PAUSE * 50).await?;
        connection.info().await
    }

    /// Waits until the whole snapshot is loaded; gives how many keys there are. A server that
    /// finds anything wrong with it ends instead.
    async fn loaded(&self, trial: &Trial<'_>) -> Result<Vec<(String, u64)>, Failure> {
        let ends_by = Instant::now() + trial.aim.timeout();
        loop {
            trial.context.keep_going()?;
            let failure = match self.info(trial).await {
                Ok(info) => return Ok(keys(&info)),
                Err(failure) => failure,
            };
            if let Some(said) = self.daemon.has_ended().await {
                let failed = Fact::NotLoaded { kind: self.kind.to_owned(), said };
                return Err(Failure::new(FailureCode::DrillFailed, failed));
            }
            if Instant::now() > ends_by {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A second reader of the same file has to find as many keys.
    async fn second(&self, trial: &Trial<'_>) -> DrillCheck {
        let name = format!("{}-check-rdb", self.kind);
        let config = trial.context.engine.config();
        let Some(program) = process::find(config, &name) else {
            let missing = Fact::ProgramMissing { program: name.clone() };
            return check(name, DrillState::Skipped, missing);
        };
        let user = scratch::user(&[self.kind]);
        let told = scratch::program(config, &program, user)
            .args([self.file.display().to_string()])
            .output(16 << 20, trial.aim.timeout())
            .await;
        let told = match told {
            Ok(told) => String::from_utf8_lossy(&told).into_owned(),
            Err(failure) => return check(name, DrillState::Failed, failure),
        };
        let number = |end: &str| {
            let line = told.lines().find_map(|line| line.strip_suffix(end))?;
            line.split_whitespace().last()?.parse::<u64>().ok()
        };
        let (Some(read), Some(expired)) = (number(" keys read"), number(" already expired")) else {
            return check(name, DrillState::Skipped, Fact::KeysUncounted {});
        };
        if read == 0 {
            return check(name, DrillState::Skipped, Fact::KeysNone {});
        }
        let loaded: u64 = self.keys.iter().map(|(_, keys)| keys).sum();
        // Keys may have expired since the server loaded them.
        let agrees = loaded <= read && loaded + expired >= read;
        let state = if agrees { DrillState::Passed } else { DrillState::Failed };
        check(name, state, Fact::KeysInFile { read, expired, loaded })
    }
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
        Failure::new(FailureCode::DrillFailed, message)
    })?;
    Ok(head == word)
}

/// `dbN:keys=COUNT,…` of an INFO.
fn keys(info: &str) -> Vec<(String, u64)> {
    let databases = info.lines().filter_map(|line| {
        let (name, rest) = line.split_once(":keys=")?;
        let count = rest.split(',').next()?.trim().parse().ok()?;
        Some((name.to_owned(), count))
    });
    databases.collect()
}

#[async_trait::async_trait]
impl Restored for Server {
    fn place(&self) -> Fact {
        Fact::ScratchServer { kind: self.kind.to_owned(), path: self.file.display().to_string() }
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let told: Vec<_> = self.keys.iter().map(|(name, keys)| format!("{name}: {keys}")).collect();
        let mut checks = vec![if told.is_empty() {
            check("keys", DrillState::Skipped, Fact::KeysNone {})
        } else {
            check("keys", DrillState::Passed, Fact::KeysLoaded { keys: told.join(", ") })
        }];
        checks.push(self.second(trial).await);
        for question in asked::of(trial) {
            let name = format!("question: {}", question.sql);
            checks.push(check(name, DrillState::Skipped, Fact::QuestionsNeedSql {}));
        }
        Ok(checks)
    }
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn keys_are_read_from_the_servers_words() {
        let info = "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=2\r\ndb3:keys=1,expires=0\r\n";
        assert_eq!(keys(info), [("db0".to_owned(), 5), ("db3".to_owned(), 1)]);
    }
}
