//! A PostgreSQL server as it was at a moment: a base backup and WAL, replayed into a data directory
//! in a folder of this machine; or, where the server is in a container, in a new volume for a
//! container beside it or for its own.

mod contained;
mod place;
mod pour;

use std::path::{Path, PathBuf};

use model::{
    Duty, Fact, Failure, MomentOrder, PreflightLevel, RestoreTarget, Sentence, Size, SourceKind,
};

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, blocking,
    folder::{self, Folder},
    refused,
    unpacking::{self, Wish, packed},
};
use crate::{
    durable,
    pitr::restore::{
        choose::{Way, choose},
        known::Archive,
        prepare, replay,
        server::{self, Plan, Programs, Server},
        tablespaces, wal,
    },
    run::{drill::scratch, failure},
};

pub(crate) use pour::{Goal, pour};

pub(crate) use super::volume::make as make_volume;

pub(crate) struct Moment;

#[async_trait::async_trait]
impl Target for Moment {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let order = wanted(aim)?;
        if aim.undoes.is_some() {
            return place::look_back(aim).await;
        }
        let mut look = match aim.target {
            RestoreTarget::Folder { .. } => Folder.look(aim).await?,
            RestoreTarget::Beside { .. } => contained::look(aim).await?,
            RestoreTarget::App => place::look(aim, order).await?,
        };
        // What it says of archives is not said of a server.
        look.checks.retain(|(level, _)| *level != PreflightLevel::Good);
        let archive = known(aim).await?;
        match way(aim, &archive, order) {
            Ok(way) => about(aim, &way, &mut look).await,
            Err(failure) => look.block(failure),
        }
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        match aim.target {
            RestoreTarget::Folder { .. } => Folder.made(aim),
            RestoreTarget::Beside { .. } => contained::name(aim),
            RestoreTarget::App if aim.undoes.is_some() => Ok(place::mark(aim.tag)),
            RestoreTarget::App => Ok(format!("backup-restored-{}", aim.tag)),
        }
    }

    async fn clear(&self, aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        // A server that an earlier try has left works in it.
        let room = room(aim);
        crate::removal::remove_with_workers(&room).await.map_err(|error| {
            let (what, why) = (room.display().to_string(), error.to_string());
            refused(Fact::NotRemoved { what, why })
        })?;
        match aim.target {
            RestoreTarget::Folder { .. } => Folder.clear(aim, made).await,
            RestoreTarget::App if aim.undoes.is_some() => place::clear_back(aim).await,
            RestoreTarget::App | RestoreTarget::Beside { .. } => contained::clear(aim, made).await,
        }
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        let order = wanted(aim)?;
        if aim.undoes.is_some() {
            return place::load_back(aim).await;
        }
        let RestoreTarget::Folder { path } = aim.target else {
            return contained::load(placing, supply, order).await;
        };
        folder::allowed(aim, &path.join(aim.artifact.source.as_str()))?;
        let archive = known(aim).await?;
        let way = way(aim, &archive, order)?;
        let room = room(aim);
        // Open to who runs the server, unlike what is unpacked in it.
        let making = path.clone();
        blocking(move || durable::make_folders(&making)).await?.map_err(|error| {
            let (what, why) = (path.display().to_string(), error.to_string());
            refused(Fact::NotMade { what, why })
        })?;
        let owed = context.owe(Duty::RemoveFolder { path: room.clone() }).await?;
        server::room(&room).await?;
        let bringing = Bringing { aim, archive: &archive, way: &way, supply };
        let done = bringing.all(placing, Path::new(made), &room, order.pause).await;
        if let Err(failure) = context.settle(owed).await {
            context.journal.warn(failure.message);
        }
        done
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let aim = placing.aim;
        let path = match aim.target {
            RestoreTarget::Folder { path } => path,
            RestoreTarget::Beside { .. } => return contained::switch(placing).await,
            RestoreTarget::App => return place::switch(placing).await,
        };
        let mut switched = Folder.switch(placing, supply).await?;
        let data = path.join(aim.artifact.source.as_str());
        let major = aim.artifact.base.as_ref().map_or(0, |base| base.major);
        let programs = Programs::of(aim.engine.config(), major).await?;
        let command = format!("{} -D {} start", programs.path("pg_ctl"), data.display());
        let paused = aim.moment.is_some_and(|order| order.pause);
        switched.notes.push(if paused {
            Fact::MomentWaits { command }.into()
        } else {
            Fact::MomentReady { command }.into()
        });
        Ok(switched)
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        match placing.aim.target {
            RestoreTarget::Folder { .. } => Folder.put_back(placing).await,
            // Nothing was there; what was made is cleared away.
            RestoreTarget::Beside { .. } => Ok(PutBack::AsItWas),
            RestoreTarget::App => place::put_back(placing).await,
        }
    }
}

/// What is brought into a data directory.
struct Bringing<'a> {
    aim: &'a Aim<'a>,
    archive: &'a Archive,
    way: &'a Way,
    supply: &'a Supply<'a>,
}

impl Bringing<'_> {
    async fn all(
        &self,
        placing: &Placing<'_>,
        data: &Path,
        room: &Path,
        pause: bool,
    ) -> Result<Loaded, Failure> {
        let context = placing.context;
        let mut notes = files(placing, self.archive, self.way, self.supply, data).await?;
        let plan = Plan {
            lan: None,
            app: self.aim.app,
            source: &self.aim.artifact.source,
            settings: settings(self.aim),
            way: self.way,
            data: data.to_owned(),
            room: room.to_owned(),
            inside: None,
            is_scratch: false,
            pause,
        };
        let server = Server::replayed(context, &plan).await?;
        let landing = server.landing.clone();
        server.end(context).await?;
        let (path, lines) = (data.to_owned(), replay::left(self.way));
        let cleared = blocking(move || {
            if pause {
                prepare::set(&path, &lines)?;
                return prepare::give_all(&path, server::user());
            }
            std::fs::remove_dir_all(path.join(prepare::WAL))
        });
        cleared.await?.map_err(|error| {
            let (what, why) = (data.display().to_string(), error.to_string());
            refused(Fact::NotMade { what, why })
        })?;
        notes.push(server::landed(&landing).into());
        Ok(Loaded { notes, landing: Some(landing) })
    }
}

/// Brings a base backup and the WAL that `way` needs into the new data directory `data`; gives what
/// is not as it was.
pub(crate) async fn files(
    placing: &Placing<'_>,
    archive: &Archive,
    way: &Way,
    supply: &Supply<'_>,
    data: &Path,
) -> Result<Vec<Sentence>, Failure> {
    let Placing { context, aim, .. } = *placing;
    let needed = wal::needed(archive, way)?;
    // Fetched, and replayed.
    context.journal.expect_bytes(2 * wal::size(way));
    let packed = packed(aim.artifact).ok_or_else(|| refused(Fact::NoBase {}))?;
    let wish = Wish { packed, only: Vec::new(), privileges: false, devices: false };
    unpacking::unpack(context, aim, supply, data, wish).await?;
    let path = data.to_owned();
    let notes = blocking(move || prepare::prepare(&path)).await??;
    let (count, size) = (way.pieces.len() as u64, wal::size(way));
    context.journal.info(format!("{count} segments of WAL are fetched, {size} bytes"));
    wal::fetch(context, aim.app, &needed, data).await?;
    tablespaces::judge(way, &needed, data).await?;
    Ok(notes)
}

/// What is stored for the app.
pub(crate) async fn known(aim: &Aim<'_>) -> Result<Archive, Failure> {
    Archive::of(aim.engine, aim.app).await.map_err(|error| failure::of_catalog(&error))
}

/// The way from this base backup to the moment.
pub(crate) fn way(aim: &Aim<'_>, archive: &Archive, order: &MomentOrder) -> Result<Way, Failure> {
    let own = |snapshot: &&model::Snapshot| {
        snapshot
            .artifacts
            .iter()
            .any(|one| one.base == aim.artifact.base && one.sha256 == aim.artifact.sha256)
    };
    let base = archive.bases.iter().find(own).ok_or_else(|| refused(Fact::NoBase {}))?;
    let way = choose(&archive.known, order, Some(base.id), aim.engine.now());
    way.map_err(|missed| refused(*missed.why))
}

/// Which user and database the source was read with.
pub(crate) fn settings(aim: &Aim<'_>) -> std::collections::BTreeMap<String, String> {
    match aim.source.map(|source| &source.kind) {
        Some(SourceKind::Direct(direct)) => direct.settings.clone(),
        _ => std::collections::BTreeMap::new(),
    }
}

/// Where a server of ours has its socket: its path has room for little more than a hundred bytes.
fn room(aim: &Aim<'_>) -> PathBuf {
    let config = aim.engine.config();
    config.scratch.as_ref().unwrap_or(&config.spool).join(format!("moment-{}", aim.tag))
}

fn wanted<'a>(aim: &Aim<'a>) -> Result<&'a MomentOrder, Failure> {
    aim.moment.ok_or_else(|| refused(Fact::BaseNeedsMoment {}))
}

/// Says what a restore along `way` is.
async fn about(aim: &Aim<'_>, way: &Way, look: &mut Look) {
    look.good(Fact::MomentFromBase { at: way.base.at, wal: Size(wal::size(way)) });
    if way.stop == crate::pitr::restore::choose::Stop::End {
        look.good(Fact::MomentToEnd { position: way.end.to_string() });
    }
    let needed = aim.artifact.size_bytes.saturating_add(wal::size(way));
    let RestoreTarget::Folder { path } = aim.target else {
        return contained::about(aim, way, needed, look).await;
    };
    match Programs::of(aim.engine.config(), way.base.major).await {
        Ok(_) => look.good(Fact::ReplayedHere { major: way.base.major.into() }),
        Err(failure) => look.block(failure),
    }
    for folder in [path, &room(aim)] {
        if let Err(failure) = scratch::may_enter(&folder.join("data"), server::user()) {
            look.block(failure);
        }
    }
    folder::room(look, path, needed).await;
}
