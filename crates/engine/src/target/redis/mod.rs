//! Redis and Valkey: a server of ours loads the snapshot, the app's server reads every key of it
//! and keeps none, and only then what is there is removed and the keys are put in its place.

mod kept;
mod moving;
pub(crate) mod scratch;
pub(crate) mod told;
mod wrong;

use std::path::{Path, PathBuf};

use model::{Fact, Failure, FailureCode, RestoreTarget, Sentence, Size};
use tokio::time::Instant;

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, folder, refused, unpacking,
};
use crate::{
    run::{
        RunContext, StopReason,
        drill::{Trial, scratch::Image},
    },
    source::redis::wire::{self, Answer, Connection},
};
use kept::Kept;
use moving::{LONG, Moving, Pass};
use scratch::Scratch;
use told::Told;

pub(crate) struct Redis;

#[async_trait::async_trait]
impl Target for Redis {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let mut connection = Connection::open(&aim.asked()?, Instant::now() + wire::ANSWER).await?;
        let place = connection.place().to_owned();
        let told = Told(connection.info().await?);
        let mut look = Look::at(Fact::KeysAt { server: place.clone() });
        look.good(Fact::ServerIs { server: place.clone(), version: told.server() });
        if aim.beside().is_some() {
            look.block(Fact::KeysNotBeside {});
        }
        if !aim.paths().is_empty() || !aim.tables().is_empty() {
            look.block(Fact::KeysTogether {});
        }
        if told.value("cluster_enabled") == Some("1") {
            look.block(Fact::OfCluster {});
        }
        if told.value("role") == Some("slave") {
            look.block(Fact::IsReplica {});
        }
        if told.major() < 5 {
            look.block(Fact::RedisTooOld {});
        }
        match Image::of(aim).await {
            Some(image) => look.good(Fact::LoadedInContainer { image: image.name }),
            None => {
                if let Err(failure) = scratch::is_possible(aim.engine.config()) {
                    look.block(failure);
                }
                look.warn(Fact::LoadedHere {});
            }
        }
        if told.number("maxmemory") > 0 && told.value("maxmemory_policy") != Some("noeviction") {
            look.warn(Fact::KeysDropped {});
        }
        match told.keys() {
            0 => look.good(Fact::NoKeyYet {}),
            keys => {
                look.replaces = Some(Fact::KeysThere { keys, server: place }.into());
                look.warn(Fact::StopUsers {});
            }
        }
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        let config = aim.engine.config();
        let folder = config.scratch.as_ref().unwrap_or(&config.spool);
        let own = format!("restore-{}-{}", aim.tag, aim.artifact.source);
        Ok(folder.join(own).display().to_string())
    }

    async fn clear(&self, _aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        match tokio::fs::remove_dir_all(made).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let (what, why) = (made.to_owned(), error.to_string());
                return Err(refused(Fact::NotRemoved { what, why }));
            }
            _ => {}
        }
        let kept = Kept::of(made);
        if kept.has_begun() { Ok(()) } else { kept.remove().await }
    }

    /// Proves that every key can be loaded, here and there.
    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        let mut restore = Restore::begin(context, aim, Path::new(made), supply).await?;
        let tried = restore.try_out().await;
        restore.scratch.end(context).await;
        tried.map(|()| Loaded::default())
    }

    async fn keep(&self, placing: &Placing<'_>) -> Result<Option<String>, Failure> {
        let Placing { context, aim, made } = *placing;
        Kept::of(made).take(context, aim).await
    }

    /// Begins anew when it was cut off: keys that are there already are replaced.
    async fn switch(
        &self,
        placing: &Placing<'_>,
        supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { context, aim, made } = *placing;
        if *aim.target != RestoreTarget::App {
            return Err(refused(Fact::KeysNotBeside {}));
        }
        let mut restore = Restore::begin(context, aim, Path::new(made), supply).await?;
        let kept = Kept::of(made);
        kept.begin().await?;
        let replaced = restore.replace().await;
        restore.scratch.end(context).await;
        let place = restore.to.place().to_owned();
        drop(restore);
        let notes = match replaced {
            Ok(notes) => notes,
            Err(failure) => return Err(back(placing, supply, &kept, failure, &place).await),
        };
        self.clear(aim, made).await?;
        kept.remove().await?;
        Ok(Switched { kept: None, notes })
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let kept = Kept::of(placing.made);
        if kept.was_put_back() {
            return Ok(PutBack::FromKept);
        }
        if !kept.has_begun() {
            return Ok(PutBack::AsItWas);
        }
        Err(match kept.file() {
            Some(file) => refused(Fact::KeysByHand { file: file.display().to_string() }),
            None => refused(Fact::KeysByUndo {}),
        })
    }
}

/// After a switch that failed: puts back what was kept. Where this process or its lease ends, the
/// switch goes on later instead.
async fn back(
    placing: &Placing<'_>,
    supply: &Supply<'_>,
    kept: &Kept,
    failure: Failure,
    place: &str,
) -> Failure {
    let Placing { context, aim, .. } = *placing;
    let cut_off =
        matches!(context.stop_reason(), Some(StopReason::Shutdown | StopReason::LeaseLost));
    if cut_off {
        return failure;
    }
    if kept.file().is_some() {
        context.journal.warn(format!("{}: what was there is put back", failure.message));
        let back = async {
            let mut restore = Restore::begin(context, aim, kept.folder(), supply).await?;
            let replaced = restore.replace().await;
            restore.scratch.end(context).await;
            replaced?;
            kept.is_put_back().await
        };
        match back.await {
            Ok(()) => return failure,
            Err(why) => context.journal.error(format!("it cannot be put back: {}", why.message)),
        }
    }
    let server = place.to_owned();
    match kept.file() {
        Some(file) => {
            let file = file.display().to_string();
            failure.told_in(|first| Fact::SomeKeysKept { server, file, first })
        }
        None => failure.told_in(|first| Fact::SomeKeys { server, first }),
    }
}

/// The snapshot in a server of ours, and the server it is for.
struct Restore<'a> {
    context: &'a RunContext,
    aim: &'a Aim<'a>,
    scratch: Scratch,
    from: Connection,
    source: Told,
    to: Connection,
    target: Told,
}

impl<'a> Restore<'a> {
    async fn begin(
        context: &'a RunContext,
        aim: &'a Aim<'a>,
        folder: &Path,
        supply: &Supply<'_>,
    ) -> Result<Self, Failure> {
        let ends_by = Instant::now() + aim.timeout();
        let file = file(folder).await?;
        // Written under another name first, so that it is whole where it is there.
        if !tokio::fs::try_exists(&file).await.unwrap_or(false) {
            let half = folder.join("half");
            let _ = tokio::fs::remove_file(&half).await;
            unpacking::spool(supply, &half).await?;
            let renamed = tokio::fs::rename(&half, &file).await;
            renamed.map_err(|error| {
                folder::told(|what, why| Fact::NotPlaced { what, why }, &file, &error)
            })?;
        }
        let trial = Trial { context, aim, supply, folder: folder.to_owned(), boot: None };
        let scratch = Scratch::start(&trial).await.map_err(not_loaded)?;
        let reached = async {
            let source = Told(scratch.loaded(&trial).await.map_err(not_loaded)?);
            let from = scratch.connect(&trial, ends_by).await?;
            let mut to = Connection::open(&aim.asked()?, ends_by).await?;
            let target = Told(to.info().await?);
            Ok((source, from, to, target))
        };
        match reached.await {
            Ok((source, from, to, target)) => {
                Ok(Self { context, aim, scratch, from, source, to, target })
            }
            Err(failure) => {
                scratch.end(context).await;
                Err(failure)
            }
        }
    }

    fn moving(&mut self) -> Moving<'_> {
        Moving {
            context: self.context,
            from: &mut self.from,
            source: &self.source,
            to: &mut self.to,
            target: &self.target,
        }
    }

    /// Changes nothing in the server.
    async fn try_out(&mut self) -> Result<(), Failure> {
        let (room_bytes, needs_bytes) =
            (self.target.number("maxmemory"), self.source.number("used_memory_dataset"));
        if room_bytes > 0 && needs_bytes > room_bytes {
            return Err(refused(Fact::KeysTake {
                needed: Size(needs_bytes),
                server: self.to.place().to_owned(),
                free: Size(room_bytes),
            }));
        }
        if self.target.major() < 7 && self.functions().await?.is_some_and(|(count, _)| count > 0) {
            return Err(refused(Fact::FunctionsUnknown { server: self.target.server() }));
        }
        self.may_replace().await?;
        let name = format!("backup-orchestrator:trial:{}", self.aim.tag);
        self.moving().all(Pass::Trial(&name)).await?;
        let (keys, place) = (self.source.keys(), self.to.place());
        self.context.journal.info(format!("{place} can take all {keys} keys"));
        Ok(())
    }

    async fn replace(&mut self) -> Result<Vec<Sentence>, Failure> {
        let mut notes = Vec::new();
        // Refused, it leaves everything as it is: so it comes first.
        if self.target.major() >= 7
            && let Some((count, functions)) = self.functions().await?
        {
            let asked: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &functions, b"FLUSH"];
            match self.to.ask(&asked, LONG).await? {
                Answer::Refused(why) if count == 0 => {
                    notes.push(Fact::FunctionsStay { why }.into());
                }
                Answer::Refused(why) => {
                    return Err(wrong::of_command("FUNCTION RESTORE", &why, self.to.place()));
                }
                _ => {}
            }
        }
        if let Answer::Refused(why) = self.to.ask(&[b"FLUSHALL"], LONG).await? {
            return Err(wrong::of_command("FLUSHALL", &why, self.to.place()));
        }
        self.moving().all(Pass::Real).await?;
        let now = Told(self.to.info().await?);
        notes.extend(agrees(&self.source, &now)?);
        Ok(notes)
    }

    /// How many libraries of functions there are, and all of them; `None` where the server of ours
    /// does not know any.
    async fn functions(&mut self) -> Result<Option<(usize, bytes::Bytes)>, Failure> {
        if self.source.major() < 7 {
            return Ok(None);
        }
        self.from.queue(&[b"FUNCTION", b"LIST"]);
        self.from.queue(&[b"FUNCTION", b"DUMP"]);
        self.from.flush().await?;
        match (self.from.answer(LONG).await?, self.from.answer(LONG).await?) {
            (Answer::List(libraries), Answer::Bytes(all)) => Ok(Some((libraries.len(), all))),
            _ => Err(wrong::odd(self.from.place())),
        }
    }

    /// Errs where the server would refuse to replace what it has: commands are judged when they are
    /// put into a transaction, which is then given up.
    async fn may_replace(&mut self) -> Result<(), Failure> {
        let mut commands: Vec<&[&[u8]]> = vec![&[b"MULTI"], &[b"FLUSHALL"]];
        if self.target.major() >= 7 {
            commands.push(&[b"FUNCTION", b"RESTORE", b"", b"FLUSH"]);
        }
        commands.push(&[b"DISCARD"]);
        let mut refused = None;
        for command in commands {
            // One at a time: without a transaction nothing may follow.
            let told = self.to.ask(command, wire::ANSWER).await?;
            if command[0] == b"MULTI" && !matches!(told, Answer::Text(_) | Answer::Refused(_)) {
                return Err(wrong::odd(self.to.place()));
            }
            if let Answer::Refused(why) = told {
                let name = String::from_utf8_lossy(command[0]).into_owned();
                refused = refused.or(Some((name, why)));
                if command[0] == b"MULTI" {
                    break;
                }
            }
        }
        match refused {
            Some((name, why)) => Err(wrong::of_command(&name, &why, self.to.place())),
            None => Ok(()),
        }
    }
}

/// Where the snapshot lies in `folder`, which is made.
async fn file(folder: &Path) -> Result<PathBuf, Failure> {
    let made = tokio::fs::create_dir_all(folder).await;
    made.map_err(|error| folder::told(|what, why| Fact::NotMade { what, why }, folder, &error))?;
    Ok(folder.join("dump.rdb"))
}

/// Compares the keys; gives what is to be known.
fn agrees(source: &Told, now: &Told) -> Result<Vec<Sentence>, Failure> {
    let mut notes = Vec::new();
    for wanted in source.databases() {
        let there = now.databases().into_iter().find(|one| one.number == wanted.number);
        let keys = there.map_or(0, |one| one.keys);
        let database = wanted.number;
        if keys + wanted.fleeting < wanted.keys {
            return Err(refused(Fact::KeysMissing { database, keys, wanted: wanted.keys }));
        }
        if keys > wanted.keys {
            notes.push(Fact::KeysMore { database, keys, wanted: wanted.keys }.into());
        }
    }
    Ok(notes)
}

/// What the server of ours says of the snapshot is no drill's finding here.
fn not_loaded(failure: Failure) -> Failure {
    match failure.code {
        FailureCode::DrillFailed => refused(Fact::NewerServerNeeded { first: failure.into() }),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_missing_are_found() {
        let told = |line: &str| Told(format!("{line}\r\n"));
        let source = told("db2:keys=5,expires=1,avg_ttl=2");
        assert!(agrees(&source, &source).unwrap().is_empty());
        assert!(agrees(&source, &told("db2:keys=4,expires=0")).unwrap().is_empty());
        assert!(agrees(&source, &told("db2:keys=3,expires=1")).is_err());
        assert!(agrees(&source, &told("db0:keys=5,expires=1")).is_err());
        assert_eq!(agrees(&source, &told("db2:keys=9,expires=1")).unwrap().len(), 1);
    }
}
