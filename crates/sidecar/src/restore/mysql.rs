//! MySQL and MariaDB: loaded into a database of its own first, which proves the dump; then its
//! tables take the names of what is there. Where they cannot, what is there is copied, and the dump
//! is loaded once more in its place; a sidecar that was killed at that undoes it before it goes on.

mod renaming;

use std::{
    io::Read,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
};

use contract::ImportReport;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::{Given, both, failed, output, program, report};
use crate::{
    command::Commands,
    config::{Preset, Target},
    export::ExportError,
    strategy::mysql,
};

/// Longest name of a database, in bytes: they count characters, which are not more.
const MAX_NAME: usize = 64;
/// Says in a new database that it is about to be loaded in the place of the old one, and where that
/// is kept.
const MARK: &str = "backup_orchestrator_exchange";
/// As much of a line as tells what statement begins there, in bytes.
const HEAD: usize = 40;

pub(super) struct Mysql<'a> {
    commands: &'a Commands,
    given: &'a Given<'a>,
    options_file: NamedTempFile,
    name: String,
    made: String,
    before: String,
    begun: AtomicBool,
}

impl<'a> Mysql<'a> {
    pub(super) fn new(
        commands: &'a Commands,
        given: &'a Given<'a>,
        target: &Target,
    ) -> Result<Self, ExportError> {
        let name = target.database.clone().unwrap_or_default();
        let (made, before) = both(&name, given.tag, MAX_NAME);
        let options_file = mysql::options_file(target, &commands.config().paths.artifacts)?;
        let begun = AtomicBool::new(false);
        Ok(Self { commands, given, options_file, name, made, before, begun })
    }

    /// Whether what was there was being replaced when it ended.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// The preset's own name first.
    fn names<'b>(&self, [mysql, mariadb]: [&'b str; 2]) -> [&'b str; 2] {
        let preset = self.commands.config().strategy.config.preset;
        if preset == Some(Preset::Mysql) { [mysql, mariadb] } else { [mariadb, mysql] }
    }

    fn client(&self) -> Result<Command, ExportError> {
        let names = self.names(["mysql", "mariadb"]);
        let client = program(self.commands, &names, Preset::Mysql.package())?;
        let mut client = mysql::connected(client, self.options_file.path());
        client.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        Ok(client)
    }

    async fn ask(&self, statement: &str) -> Result<String, ExportError> {
        let mut client = self.client()?;
        client.args(["--execute", statement]);
        output(self.commands, client).await
    }

    /// Loads a dump; its client knows no command of its own but the delimiter.
    async fn bring_in(&self, file: &Path, database: &str) -> Result<(), ExportError> {
        let dump = std::fs::File::open(file).map_err(|error| failed(error.to_string()))?;
        let mut client = self.client()?;
        client.args(["--binary-mode", "--", database]).stdin(Stdio::from(dump));
        self.commands.run(client, None).await
    }

    /// How the database is made, where it is there.
    async fn properties(&self) -> Result<Option<String>, ExportError> {
        self.properties_of(&self.name).await
    }

    async fn properties_of(&self, name: &str) -> Result<Option<String>, ExportError> {
        let query = format!(
            "SELECT concat(' CHARACTER SET ', DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', \
             DEFAULT_COLLATION_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            literal(name)
        );
        Ok(Some(self.ask(&query).await?).filter(|told| !told.is_empty()))
    }

    async fn make(&self, name: &str, properties: &str) -> Result<(), ExportError> {
        self.ask(&format!("CREATE DATABASE {}{properties}", ident(name))).await.map(drop)
    }

    async fn drop(&self, name: &str) -> Result<(), ExportError> {
        self.ask(&format!("DROP DATABASE IF EXISTS {}", ident(name))).await.map(drop)
    }

    fn set_begun(&self, begun: bool) {
        self.begun.store(begun, Ordering::SeqCst);
    }

    fn temporary(&self) -> Result<NamedTempFile, ExportError> {
        let artifacts = &self.commands.config().paths.artifacts;
        NamedTempFile::new_in(artifacts).map_err(|error| failed(error.to_string()))
    }

    /// Puts back what was there where a sidecar was killed while it was being replaced.
    async fn undo_what_was_cut(&self) -> Result<(), ExportError> {
        let query = format!(
            "SELECT TABLE_SCHEMA, TABLE_COMMENT FROM information_schema.TABLES WHERE \
             TABLE_NAME = '{MARK}'"
        );
        for line in self.ask(&query).await?.lines() {
            let Some((made, comment)) = line.split_once('\t') else { continue };
            let Ok((name, before)) = serde_json::from_str::<(String, String)>(&unhexed(comment))
            else {
                continue;
            };
            if name != self.name {
                continue;
            }
            tracing::warn!("an import into {name} was cut off: what was there comes back first");
            let properties = self.properties_of(&before).await?;
            let properties = properties.ok_or_else(|| {
                failed(format!("{name} may hold a part of an import, and {before} is not there"))
            })?;
            let old = self.temporary()?;
            self.dump_of(&before, old.path()).await?;
            self.end_connections(made).await?;
            self.exchange(old.path(), &properties).await?;
            // In the copy they do nothing.
            let events = format!("SELECT event FROM {}.{MARK}", ident(made));
            for event in self.ask(&events).await?.lines() {
                let event = format!("{}.{}", ident(&name), ident(event));
                self.ask(&format!("ALTER EVENT {event} ENABLE")).await?;
            }
            self.drop(&before).await?;
            self.drop(made).await?;
        }
        Ok(())
    }

    /// Ends those of our user that are in the old database or in `made`: a client that the killed
    /// sidecar has left may still be loading.
    async fn end_connections(&self, made: &str) -> Result<(), ExportError> {
        let query = format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE DB IN ({}, {}) AND \
             USER = substring_index(current_user(), '@', 1) AND ID <> connection_id()",
            literal(&self.name),
            literal(made)
        );
        for id in self.ask(&query).await?.lines() {
            // One that is gone by now needs no end.
            let _ = self.ask(&format!("KILL CONNECTION {id}")).await;
        }
        Ok(())
    }

    /// Notes that the old database is about to be dropped, or that it is whole again.
    async fn mark(&self) -> Result<(), ExportError> {
        let both = serde_json::json!([self.name, self.before]).to_string();
        let (made, comment) = (ident(&self.made), hex::encode(both));
        let mark = format!(
            "CREATE TABLE {made}.{MARK} (event VARCHAR(64) CHARACTER SET utf8mb4) COMMENT \
             '{comment}' AS SELECT EVENT_NAME AS event FROM information_schema.EVENTS WHERE \
             EVENT_SCHEMA = {} AND STATUS = 'ENABLED'",
            literal(&self.name)
        );
        self.ask(&mark).await.map(drop)
    }

    async fn unmark(&self) -> Result<(), ExportError> {
        let made = ident(&self.made);
        self.ask(&format!("DROP TABLE IF EXISTS {made}.{MARK}")).await.map(drop)
    }

    pub(super) async fn load(&self) -> Result<(), ExportError> {
        let file = self.given.file.to_owned();
        let looked =
            tokio::task::spawn_blocking(move || std::fs::File::open(&file).and_then(elsewhere));
        let looked = looked.await.map_err(|panic| failed(panic.to_string()))?;
        if let Some(line) = looked.map_err(|error| failed(error.to_string()))? {
            return Err(failed(format!(
                "the dump says `{line}`: only a dump of one database, without its name, is restored \
                 by the preset"
            )));
        }
        self.undo_what_was_cut().await?;
        let properties = self.properties().await?.unwrap_or_default();
        self.make(&self.made, &properties).await?;
        self.bring_in(self.given.file, &self.made).await
    }

    pub(super) async fn clear(&self) {
        if let Err(error) = self.drop(&self.made).await {
            tracing::warn!("the database {} is left over: {error}", self.made);
        }
    }

    pub(super) async fn switch(&self) -> Result<ImportReport, ExportError> {
        let properties = self.properties().await?;
        let Some(properties) = properties else {
            self.make(&self.name, "").await?;
            self.set_begun(true);
            self.bring_in(self.given.file, &self.name).await?;
            self.clear().await;
            let told = format!("the database {} is restored; it was not there", self.name);
            return Ok(report(told, None));
        };
        self.is_alone().await?;
        if self.can_rename().await? {
            self.rename(&properties).await?;
            return Ok(self.replaced().await);
        }
        let old = self.temporary()?;
        if let Err(error) = self.keep(old.path(), &properties).await {
            let _ = self.drop(&self.before).await;
            return Err(error);
        }
        self.mark().await?;
        self.set_begun(true);
        if let Err(error) = self.exchange(self.given.file, &properties).await {
            // It was loaded once already, so this is the server's own trouble: back to what was.
            if self.exchange(old.path(), &properties).await.is_ok() {
                self.set_begun(false);
                self.unmark().await?;
            } else {
                tracing::error!("what was there is kept in the database {}", self.before);
            }
            return Err(error);
        }
        self.unmark().await?;
        Ok(self.replaced().await)
    }

    async fn replaced(&self) -> ImportReport {
        self.clear().await;
        let kept = format!("the database {}", self.before);
        let mut report = report(format!("the database {} is restored", self.name), Some(kept));
        report.notes.push("what was written to it meanwhile may be in neither".to_owned());
        report
    }

    async fn exchange(&self, file: &Path, properties: &str) -> Result<(), ExportError> {
        self.drop(&self.name).await?;
        self.make(&self.name, properties).await?;
        self.bring_in(file, &self.name).await
    }

    /// Copies what is there: into a file, and from that into a database of its own.
    async fn keep(&self, file: &Path, properties: &str) -> Result<(), ExportError> {
        self.dump_of(&self.name, file).await?;
        self.make(&self.before, properties).await?;
        self.bring_in(file, &self.before).await?;
        self.silence(&self.before).await
    }

    async fn dump_of(&self, database: &str, file: &Path) -> Result<(), ExportError> {
        let names = self.names(["mysqldump", "mariadb-dump"]);
        let dump = program(self.commands, &names, Preset::Mysql.package())?;
        let result = format!("--result-file={}", file.display());
        let from = Target { database: Some(database.to_owned()), ..Target::default() };
        let dump = mysql::dump(dump, self.options_file.path(), &from, &[result]);
        self.commands.run(dump, None).await
    }

    /// What is kept does nothing by itself.
    async fn silence(&self, database: &str) -> Result<(), ExportError> {
        let events = format!(
            "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {}",
            literal(database)
        );
        for event in self.ask(&events).await?.lines() {
            let event = format!("{}.{}", ident(database), ident(event));
            self.ask(&format!("ALTER EVENT {event} DISABLE")).await?;
        }
        Ok(())
    }
}

/// The first line of a dump that leads into another database than the one it is loaded into.
fn elsewhere(mut dump: impl Read) -> std::io::Result<Option<String>> {
    let mut block = vec![0; 256 << 10];
    let mut head = Vec::with_capacity(HEAD);
    loop {
        let read = dump.read(&mut block)?;
        if read == 0 {
            return Ok(named(&head));
        }
        let mut rest = &block[..read];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            head.extend_from_slice(&rest[..end.min(HEAD - head.len())]);
            if let Some(line) = named(&head) {
                return Ok(Some(line));
            }
            head.clear();
            rest = &rest[end + 1..];
        }
        head.extend_from_slice(&rest[..rest.len().min(HEAD - head.len())]);
    }
}

fn named(head: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(head).trim_start().to_ascii_uppercase();
    let plain = line.strip_prefix("/*!").unwrap_or(&line);
    let plain = plain.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let leads = plain.starts_with("USE ")
        || plain.starts_with("USE`")
        || plain.starts_with("CREATE DATABASE")
        || plain.starts_with("DROP DATABASE");
    leads.then(|| plain.to_owned())
}

/// Kinds of tables that are more than a view.
fn table_kinds() -> &'static str {
    "'BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE'"
}

fn unhexed(text: &str) -> String {
    String::from_utf8(hex::decode(text).unwrap_or_default()).unwrap_or_default()
}

fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_that_leads_elsewhere_is_seen() {
        let found = |text: &str| elsewhere(text.as_bytes()).unwrap();
        let long = format!("INSERT INTO t VALUES ('{}');\n", "USE x".repeat(200_000));
        assert_eq!(found(&format!("-- a\n{long}CREATE TABLE `use`(a int);\nused\n")), None);
        for wrong in [
            "use other;",
            "  USE `other`;",
            "CREATE DATABASE x;",
            "/*!40000 DROP DATABASE IF EXISTS `x`*/;",
        ] {
            assert!(found(&format!("{long}{wrong}\n")).is_some(), "{wrong}");
            assert!(found(&format!("{long}{wrong}")).is_some(), "{wrong} at the end");
        }
    }
}
