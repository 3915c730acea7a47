//! Redis and Valkey: a server of ours loads the snapshot and sends its keys into databases of the
//! app's server that nobody uses; then these change places with those in use, all in one step.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use contract::ImportReport;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::{NamedTempFile, TempDir};
use tokio::process::{Child, Command};

use super::{Given, failed, output, program, report};
use crate::{
    command::{Commands, find_program},
    config::{Preset, Target},
    export::ExportError,
    strategy::redis::connected,
};

/// A key of ours in a database that is being filled.
const RESTORING: &str = "backup-orchestrator:restoring";
/// A key of ours in a database that holds what was there before.
const BEFORE: &str = "backup-orchestrator:before";
/// No server is asked for more databases than this.
const MOST: u32 = 256;
/// How often a server that loads is asked whether it has.
const PAUSE: Duration = Duration::from_millis(100);
/// Sends every key of the chosen database to another server, and gives how many these were. One
/// that takes long to come is waited for.
const SEND: &str = "local n, at = 0, '0' repeat local r = redis.call('SCAN', at, 'COUNT', 50) \
    at = r[1] if #r[2] > 0 then local c = {'MIGRATE', ARGV[1], ARGV[2], '', ARGV[3], 600000, \
    'COPY', 'REPLACE'} for i = 4, #ARGV do c[#c + 1] = ARGV[i] end c[#c + 1] = 'KEYS' \
    for i = 1, #r[2] do c[#c + 1] = r[2][i] end redis.call(unpack(c)) n = n + #r[2] end \
    until at == '0' return n";

pub(super) struct Redis<'a> {
    commands: &'a Commands,
    given: &'a Given<'a>,
    target: Target,
    /// Databases in use, and the one that each is to change places with.
    places: Mutex<BTreeMap<u32, u32>>,
}

/// A server of ours. Dropped, it ends.
struct Scratch {
    child: Child,
    folder: TempDir,
}

impl<'a> Redis<'a> {
    pub(super) fn new(
        commands: &'a Commands,
        given: &'a Given<'a>,
        target: Target,
    ) -> Result<Self, ExportError> {
        if target.socket.is_some() || target.is_tls {
            return Err(failed(
                "a server of the sidecar's own sends the keys, by host and port and without TLS: \
                 name these, or write `restore.command`",
            ));
        }
        Ok(Self { commands, given, target, places: Mutex::default() })
    }

    fn places(&self) -> BTreeMap<u32, u32> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn client(&self) -> Result<Command, ExportError> {
        program(self.commands, &["redis-cli", "valkey-cli"], Preset::Redis.package())
    }

    /// What a client answers to these lines; no secret is an argument.
    async fn told(&self, mut client: Command, lines: &str) -> Result<String, ExportError> {
        let gone = |error: std::io::Error| failed(error.to_string());
        let mut file = NamedTempFile::new()
            .or_else(|_| NamedTempFile::new_in(&self.commands.config().paths.artifacts))
            .map_err(gone)?;
        file.write_all(lines.as_bytes()).map_err(gone)?;
        client.stdin(Stdio::from(file.reopen().map_err(gone)?));
        let said = output(self.commands, client).await?;
        let refused = |line: &&str| {
            let word = line.split(' ').next().unwrap_or_default();
            word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase()) && word.ends_with("ERR")
                || [
                    "NOAUTH",
                    "NOPERM",
                    "WRONGPASS",
                    "LOADING",
                    "EXECABORT",
                    "OOM",
                    "READONLY",
                    "MISCONF",
                    "BUSY",
                ]
                .contains(&word)
        };
        match said.lines().find(refused) {
            Some(line) => Err(failed(format!("the server says: {line}"))),
            None => Ok(said),
        }
    }

    /// Asks the app's server.
    async fn ask(&self, lines: &str) -> Result<String, ExportError> {
        self.told(connected(self.client()?, &self.target, &[]), lines).await
    }

    /// The same in one of its databases, which is known to be there.
    async fn ask_in(&self, database: u32, lines: &str) -> Result<String, ExportError> {
        let said = self.ask(&format!("SELECT {database}\n{lines}\n")).await?;
        let said = said.strip_prefix("OK").ok_or_else(|| failed("the server answers oddly"))?;
        Ok(said.trim().to_owned())
    }

    async fn ask_scratch(&self, scratch: &Scratch, lines: &str) -> Result<String, ExportError> {
        let mut client = self.client()?;
        client.arg("-s").arg(scratch.folder.path().join("s"));
        self.told(client, lines).await
    }

    async fn start(&self) -> Result<Scratch, ExportError> {
        let names = ["redis-server", "valkey-server"];
        let mut server = program(self.commands, &names, "redis-server")?;
        // Left behind by a sidecar that was killed, it would go on sending.
        if find_program("setpriv").is_some() {
            let path = server.as_std().get_program().to_owned();
            server = self.commands.program("setpriv");
            server.args(["--pdeathsig", "KILL", "--"]).arg(path);
        }
        let gone = |error: std::io::Error| failed(format!("a server of our own: {error}"));
        // The path of a socket has room for little more than a hundred bytes.
        let folder = tempfile::tempdir()
            .or_else(|_| tempfile::tempdir_in(&self.commands.config().paths.artifacts))
            .map_err(gone)?;
        let file = self.given.file;
        server
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocketperm", "700"])
            .args(["--databases", &MOST.to_string(), "--loglevel", "warning", "--unixsocket"])
            .arg(folder.path().join("s"))
            .arg("--dir")
            .arg(file.parent().unwrap_or(Path::new("/")))
            .arg("--dbfilename")
            .arg(file.file_name().unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = server.spawn().map_err(gone)?;
        let mut scratch = Scratch { child, folder };
        loop {
            if self.ask_scratch(&scratch, "PING\n").await.is_ok_and(|said| said == "PONG") {
                return Ok(scratch);
            }
            if scratch.child.try_wait().map_err(gone)?.is_some() {
                return Err(failed(
                    "a server of our own could not load the snapshot: it is damaged, or of a newer \
                     server than the one beside this sidecar",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn load(&self) -> Result<(), ExportError> {
        let told = self.ask("INFO\n").await?;
        let is = |line: &str| told.lines().any(|one| one.trim() == line);
        if is("role:slave") || is("cluster_enabled:1") {
            return Err(failed("the server is a replica or a part of a cluster"));
        }
        let scratch = self.start().await?;
        let comes = keyspace(&self.ask_scratch(&scratch, "INFO keyspace\n").await?);
        self.choose(&comes, &keyspace(&told)).await?;
        for (database, spare) in self.places() {
            if let Some((keys, fleeting)) = comes.get(&database) {
                self.send(&scratch, database, spare, keys.saturating_sub(*fleeting)).await?;
            }
        }
        Ok(())
    }

    /// Finds a database that nobody uses for each of those that come or are there.
    async fn choose(
        &self,
        comes: &BTreeMap<u32, (u64, u64)>,
        there: &BTreeMap<u32, (u64, u64)>,
    ) -> Result<(), ExportError> {
        let mut kept = BTreeSet::new();
        let mut used: BTreeSet<u32> = comes.keys().copied().collect();
        for database in there.keys() {
            let asked = format!("EXISTS {RESTORING}\nEXISTS {BEFORE}");
            match self.ask_in(*database, &asked).await?.split_whitespace().collect::<Vec<_>>()[..] {
                // A sidecar was killed while it filled it.
                ["1", _] => _ = self.ask_in(*database, "FLUSHDB").await?,
                ["0", "1"] => _ = kept.insert(*database),
                _ => _ = used.insert(*database),
            }
        }
        let mut count = 0;
        while count < MOST && self.ask(&format!("SELECT {count}\n")).await.is_ok() {
            count += 1;
        }
        let is_free = |one: &u32| !used.contains(one) && !kept.contains(one);
        // Before what an earlier restore has kept is given up, what is empty is taken.
        let free = (0..count).rev().filter(is_free);
        let mut free = free.chain(kept.iter().copied().filter(|one| !used.contains(one)));
        let mut places = BTreeMap::new();
        for database in used.iter().copied() {
            let spare = free.next().filter(|_| database < count).ok_or_else(|| {
                failed(format!(
                    "the server has {count} databases, and each of those in use or in the snapshot \
                     needs another one that is empty: raise `databases`, or write \
                     `restore.command`"
                ))
            })?;
            places.insert(database, spare);
        }
        for spare in places.values() {
            if kept.contains(spare) {
                self.ask_in(*spare, "FLUSHDB").await?;
            }
            self.ask_in(*spare, &format!("SET {RESTORING} {}", self.given.tag)).await?;
            let mut noted = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            noted.extend(places.iter().filter(|(_, one)| *one == spare));
        }
        Ok(())
    }

    async fn send(
        &self,
        scratch: &Scratch,
        database: u32,
        spare: u32,
        at_least: u64,
    ) -> Result<(), ExportError> {
        let host = self.target.host.as_deref().unwrap_or("127.0.0.1");
        let port = self.target.port.unwrap_or(6379).to_string();
        let mut line = format!("SELECT {database}\nEVAL {} 0", quoted(SEND));
        let mut add = |word: &str| {
            line.push(' ');
            line.push_str(&quoted(word));
        };
        [host, port.as_str(), &spare.to_string()].into_iter().for_each(&mut add);
        match (&self.target.user, &self.target.password) {
            (Some(user), Some(password)) => {
                ["AUTH2", user, password.expose_secret()].into_iter().for_each(&mut add);
            }
            (None, Some(password)) => {
                ["AUTH", password.expose_secret()].into_iter().for_each(&mut add);
            }
            _ => {}
        }
        line.push('\n');
        let line = SecretString::from(line);
        self.ask_scratch(scratch, line.expose_secret()).await?;
        let keys: u64 = self.ask_in(spare, "DBSIZE").await?.parse().unwrap_or(0);
        // One of them is ours.
        if keys > at_least {
            return Ok(());
        }
        Err(failed(format!(
            "of database {database} {} keys came, and {at_least} were sent: the server drops keys \
             (maxmemory-policy)",
            keys.saturating_sub(1)
        )))
    }

    /// Changes the places of all databases at once.
    pub(super) async fn switch(&self) -> Result<ImportReport, ExportError> {
        let (places, mut lines, mut kept) = (self.places(), "MULTI\n".to_owned(), Vec::new());
        for (database, spare) in &places {
            if self.ask_in(*database, "DBSIZE").await? != "0" {
                let _ = writeln!(lines, "SELECT {database}\nSET {BEFORE} {}", self.given.tag);
                kept.push(format!("database {spare} (what was in {database})"));
            }
            let _ = writeln!(lines, "SELECT {spare}\nDEL {RESTORING}\nSWAPDB {database} {spare}");
        }
        lines += "EXEC\n";
        self.ask(&lines).await?;
        let kept = (!kept.is_empty()).then(|| kept.join(", "));
        let mut report = report("the keys are restored", kept);
        report.notes.push("functions are as they were: a snapshot's are not restored".to_owned());
        if report.kept.is_some() {
            report.notes.push("what is kept takes memory until FLUSHDB there".to_owned());
        }
        Ok(report)
    }

    pub(super) async fn clear(&self) {
        for spare in self.places().into_values() {
            let cleared = async {
                if self.ask_in(spare, &format!("EXISTS {RESTORING}")).await? == "1" {
                    self.ask_in(spare, "FLUSHDB").await?;
                }
                Ok::<_, ExportError>(())
            };
            if let Err(error) = cleared.await {
                tracing::warn!("keys in database {spare} are left over: {error}");
            }
        }
    }
}

/// Of each database with keys: how many, and how many of them end by themselves.
fn keyspace(told: &str) -> BTreeMap<u32, (u64, u64)> {
    let line = |line: &str| {
        let (number, rest) = line.trim().strip_prefix("db")?.split_once(':')?;
        let value = |name: &str| {
            rest.split(',').find_map(|one| one.strip_prefix(name)?.parse::<u64>().ok())
        };
        Some((number.parse().ok()?, (value("keys=")?, value("expires=")?)))
    };
    told.lines().filter_map(line).collect()
}

/// One word, whatever is in it, as the client reads it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("\\x{other:02x}"),
    };
    format!("\"{}\"", word.bytes().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_read_and_what_they_are_told_is_quoted() {
        let told = "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=2\r\ndb12:keys=1,expires=0\r\n";
        assert_eq!(keyspace(told), [(0, (5, 1)), (12, (1, 0))].into());
        assert_eq!(quoted("a b\"\\\n☂"), "\"a b\\\"\\\\\\x0a\\xe2\\x98\\x82\"");
    }
}
