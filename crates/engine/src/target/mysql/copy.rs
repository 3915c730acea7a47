//! Databases of a server: made, copied by its own programs, dropped.

use std::path::Path;

use model::{Fact, Failure, FailureCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Aim, ident, refused};
use crate::{
    run::RunContext,
    source::{
        mysql::client::{Client, classified, literal as text},
        tool::Reading,
    },
    trees::Work,
};

/// Read at a time.
const CHUNK: usize = 128 << 10;
/// What stands before the name of an event in our mark.
const EVENT: &str = "event:";

/// How far a restore is, as it is written down in the database that it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The dump is in.
    Loaded,
    /// What was there before is kept.
    Kept,
    /// What was there is about to be dropped.
    Placing,
    /// It is dropped: what has its name now is the new one, or a part of that.
    Dropped,
    /// The new one is in its place.
    Placed,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Kept => "kept",
            Self::Placing => "placing",
            Self::Dropped => "dropped",
            Self::Placed => "placed",
        }
    }
}

/// A server on which databases are restored.
pub(super) struct On<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) context: Option<&'a RunContext>,
    pub(super) aim: &'a Aim<'a>,
}

impl On<'_> {
    /// The table that says that a database is of this restore, and how far it is.
    pub(super) fn mark(&self) -> String {
        format!("backup_orchestrator_{}", self.aim.tag)
    }

    async fn number(&self, query: &str) -> Result<u64, Failure> {
        let told = self.client.ask(query).await?;
        told.trim()
            .parse()
            .map_err(|_| refused(format!("{} does not answer as expected", self.client.place())))
    }

    pub(super) async fn exists(&self, name: &str) -> Result<bool, Failure> {
        let name = text(name);
        let query =
            format!("SELECT count(*) FROM information_schema.schemata WHERE schema_name = {name}");
        Ok(self.number(&query).await? > 0)
    }

    /// Makes the empty database `name` with the characters of `like`, where that is there, and
    /// marks it as ours.
    pub(super) async fn create(&self, name: &str, like: &str) -> Result<(), Failure> {
        let made = self.create_bare(name, like).await;
        made?;
        let (name, mark) = (ident(name), ident(&self.mark()));
        let make = format!(
            "CREATE TABLE {name}.{mark} (step VARCHAR(300) CHARACTER SET ascii \
             PRIMARY KEY)"
        );
        self.client.ask(&make).await.map(drop)
    }

    async fn create_bare(&self, name: &str, like: &str) -> Result<(), Failure> {
        let query = format!(
            "SELECT concat(' CHARACTER SET ', default_character_set_name, ' COLLATE ', \
             default_collation_name) FROM information_schema.schemata WHERE schema_name = {}",
            text(like)
        );
        let characters = self.client.ask(&query).await?;
        let make = format!("CREATE DATABASE {}{}", ident(name), characters.trim_end());
        self.client.ask(&make).await.map(drop)
    }

    pub(super) async fn is_marked(&self, name: &str) -> Result<bool, Failure> {
        let query = format!(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = {} AND \
             table_name = {}",
            text(name),
            text(&self.mark())
        );
        Ok(self.number(&query).await? > 0)
    }

    /// Drops what an earlier try made: never a database that another has filled.
    pub(super) async fn drop_ours(&self, name: &str) -> Result<(), Failure> {
        let count = format!(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = {}",
            text(name)
        );
        if self.is_marked(name).await? || self.number(&count).await? == 0 {
            return self.drop_if_there(name).await;
        }
        Err(refused(format!("the database {name} is not of this restore and was left as it is")))
    }

    pub(super) async fn drop_if_there(&self, name: &str) -> Result<(), Failure> {
        let statement = format!("DROP DATABASE IF EXISTS {}", ident(name));
        self.client.ask_for(&statement, self.aim.timeout()).await.map(drop)
    }

    pub(super) async fn step(&self, made: &str) -> Result<Step, Failure> {
        let (made, mark) = (ident(made), ident(&self.mark()));
        let told = self.client.ask(&format!("SELECT step FROM {made}.{mark}")).await?;
        let has = |step: &str| told.lines().any(|line| line == step);
        let steps = [Step::Placed, Step::Dropped, Step::Placing, Step::Kept];
        Ok(steps.into_iter().find(|step| has(step.word())).unwrap_or(Step::Loaded))
    }

    pub(super) async fn note(&self, made: &str, step: Step) -> Result<(), Failure> {
        let word = step.word();
        let (made, mark) = (ident(made), ident(&self.mark()));
        self.client
            .ask(&format!("INSERT IGNORE INTO {made}.{mark} VALUES ('{word}')"))
            .await
            .map(drop)
    }

    /// Removes our mark from what stays.
    pub(super) async fn forget(&self, made: &str) -> Result<(), Failure> {
        let (made, mark) = (ident(made), ident(&self.mark()));
        self.client.ask(&format!("DROP TABLE IF EXISTS {made}.{mark}")).await.map(drop)
    }

    /// Writes down which events happen in `name`, before a copy of it is made.
    pub(super) async fn note_events(&self, name: &str, made: &str) -> Result<(), Failure> {
        let query = format!(
            "INSERT IGNORE INTO {}.{} SELECT concat('{EVENT}', hex(event_name)) FROM \
             information_schema.events WHERE event_schema = {} AND status = 'ENABLED'",
            ident(made),
            ident(&self.mark()),
            text(name)
        );
        self.client.ask(&query).await.map(drop)
    }

    /// Lets those events happen again in `name`.
    pub(super) async fn enable_events(&self, name: &str, made: &str) -> Result<(), Failure> {
        let (made, mark) = (ident(made), ident(&self.mark()));
        let noted = self.client.ask(&format!("SELECT step FROM {made}.{mark}")).await?;
        for event in noted.lines().filter_map(|line| line.strip_prefix(EVENT)) {
            self.alter_event(name, event, "ENABLE").await?;
        }
        Ok(())
    }

    async fn alter_event(&self, name: &str, event: &str, what: &str) -> Result<(), Failure> {
        let event = hex::decode(event).unwrap_or_default();
        let event = ident(&String::from_utf8_lossy(&event));
        self.client.ask(&format!("ALTER EVENT {}.{event} {what}", ident(name))).await.map(drop)
    }

    /// Keeps events from happening in a copy; gives how many there are.
    pub(super) async fn disable_events(&self, name: &str) -> Result<usize, Failure> {
        let query = format!(
            "SELECT hex(event_name) FROM information_schema.events WHERE event_schema = {}",
            text(name)
        );
        let events = self.client.ask(&query).await?;
        for event in events.lines() {
            self.alter_event(name, event, "DISABLE").await?;
        }
        Ok(events.lines().count())
    }

    /// Copies the database `from` into the new one `to`, with all that belongs to it.
    pub(super) async fn copy(&self, from: &str, to: &str) -> Result<(), Failure> {
        let Some(context) = self.context else { return Err(refused("there is no run")) };
        self.create_bare(to, from).await?;
        let mut dump = self.client.dump_without(context, from, &self.mark()).await?;
        if self.client.is_inside() {
            // A program in a container has to know beforehand how much it is given.
            let work = Work::of_run(context).await?;
            let path = work.file("copy.sql");
            let size_bytes = keep(context, &mut dump, &path).await?;
            let load = self.client.load(context, to, size_bytes, self.aim.timeout()).await?;
            give(context, &path, load).await?;
        } else {
            let mut load = self.client.load(context, to, 0, self.aim.timeout()).await?;
            while let Some(chunk) = dump.chunk().await.map_err(classified)? {
                context.keep_going_once_begun()?;
                if !load.feed(&chunk).await.map_err(classified)? {
                    break;
                }
            }
            end(load).await?;
        }
        if self.is_like(from, to).await? {
            return Ok(());
        }
        let (copy, database) = (to.to_owned(), from.to_owned());
        Err(refused(Fact::CopyNotWhole { copy, database }))
    }

    /// Whether one database has as many things of each kind as the other.
    pub(super) async fn is_like(&self, one: &str, other: &str) -> Result<bool, Failure> {
        Ok(self.inside(one).await? == self.inside(other).await?)
    }

    /// How many things of each kind are in a database.
    async fn inside(&self, name: &str) -> Result<String, Failure> {
        let (name, mark) = (text(name), text(&self.mark()));
        let query = format!(
            "SELECT (SELECT count(*) FROM information_schema.tables WHERE table_schema = {name} \
             AND table_name <> {mark}), (SELECT count(*) FROM information_schema.routines WHERE \
             routine_schema = {name}), (SELECT count(*) FROM information_schema.triggers WHERE \
             trigger_schema = {name}), (SELECT count(*) FROM information_schema.events WHERE \
             event_schema = {name})"
        );
        self.client.ask(&query).await
    }
}

/// Waits for a program that has been given everything.
async fn end(mut load: Reading) -> Result<(), Failure> {
    load.end_of_input();
    while load.chunk().await.map_err(classified)?.is_some() {}
    Ok(())
}

/// Writes a dump to the new file `path`; gives its size.
async fn keep(context: &RunContext, dump: &mut Reading, path: &Path) -> Result<u64, Failure> {
    let told = |error| spool(path, &error);
    let mut file = tokio::fs::File::create_new(path).await.map_err(told)?;
    let mut size_bytes = 0;
    while let Some(chunk) = dump.chunk().await.map_err(classified)? {
        context.keep_going_once_begun()?;
        file.write_all(&chunk).await.map_err(told)?;
        size_bytes += chunk.len() as u64;
    }
    file.flush().await.map_err(told)?;
    Ok(size_bytes)
}

async fn give(context: &RunContext, path: &Path, mut load: Reading) -> Result<(), Failure> {
    let told = |error| spool(path, &error);
    let mut file = tokio::fs::File::open(path).await.map_err(told)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = file.read(&mut buffer).await.map_err(told)?;
        context.keep_going_once_begun()?;
        if count == 0 || !load.feed(&buffer[..count]).await.map_err(classified)? {
            return end(load).await;
        }
    }
}

fn spool(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        FailureCode::SourceFailed,
        format!("the spool folder: {}: {error}", path.display()),
    )
}
