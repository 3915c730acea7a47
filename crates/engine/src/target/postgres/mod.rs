//! PostgreSQL: each database is restored into a new one, which then takes the old one's name.

pub(crate) mod database;
mod directory;
pub(crate) mod globals;
mod newer;
mod only;
mod pick;
mod rename;
pub(crate) mod roles;
mod script;
mod toc;

use artifact::Dump;
use bytes::Bytes;
use model::{AppId, Duty, Fact, Failure, FailureCode, Name, RestoreTarget, Size};

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, refused, version::Version,
};
use crate::{
    Engine,
    run::{RunContext, failure},
    source::{
        direct::Asked,
        postgres::{session::Session, told, tools::Tools},
        tool::Where,
    },
    trees::Work,
};
use rename::{Names, On};
use script::Script;

/// Longest name of a database (`NAMEDATALEN` less its end).
const MAX_NAME: usize = 63;

pub(crate) struct Postgres;

#[async_trait::async_trait]
impl Target for Postgres {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let session = Session::of(&aim.asked()?).await?;
        let (maintenance, tools, major) = session.maintenance().await?;
        let at = session.server.address();
        if is_globals(aim) {
            let mut look = Look::at(Fact::RolesAt { server: at });
            look.warn(Fact::OnlyMissingRoles {});
            return Ok(look);
        }
        let database = final_name(aim)?;
        let mut look =
            Look::at(Fact::DatabaseAt { database: database.clone(), server: at.clone() });
        look.good(Fact::ServerIs { server: at, version: format!("PostgreSQL {major}") });
        look.server = Version::of_postgres(&major.to_string());
        parts_are_possible(aim, &session, &mut look);
        directory::look(aim, &session.place, &mut look).await;
        if !database::may_create(&session, &tools, maintenance).await? {
            look.block(Fact::MayNotCreate { user: session.server.user.clone() });
        }
        match database::describe(&session, &tools, maintenance, &database).await? {
            Some(_) if aim.beside().is_some() => look.block(Fact::DatabaseIsThere { database }),
            Some(there) => {
                // What is there stays until somebody drops it.
                look.warn(Fact::RoomForAnother {
                    database: database.clone(),
                    there: Size(there.size_bytes),
                    dump: Size(aim.artifact.size_bytes),
                });
                if !there.is_ours {
                    look.block(Fact::NotOwner {
                        database: database.clone(),
                        owner: there.owner.clone(),
                    });
                }
                look.replaces = Some(
                    Fact::DatabaseRenamed {
                        database,
                        size: Size(there.size_bytes),
                        connections: there.connections,
                    }
                    .into(),
                );
            }
            None => {
                look.good(Fact::DatabaseMade { database });
                look.warn(Fact::RoomForNew { dump: Size(aim.artifact.size_bytes) });
            }
        }
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        if is_globals(aim) {
            return Ok("roles".to_owned());
        }
        Ok(with_end(&final_name(aim)?, &format!("_restore_{}", aim.tag)))
    }

    async fn clear(&self, aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        if is_globals(aim) {
            return Ok(());
        }
        let session = Session::of(&aim.asked()?).await?.patient(aim.timeout());
        let (maintenance, tools, _) = session.maintenance().await?;
        database::drop(&session, &tools, maintenance, made).await
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        let session = Session::of(&aim.asked()?).await?.patient(aim.timeout());
        let (maintenance, tools, _) = session.maintenance().await?;
        if is_globals(aim) {
            return globals::load(&session, &tools, maintenance, supply).await;
        }
        let like = database::describe(&session, &tools, maintenance, &final_name(aim)?).await?;
        database::create(&session, &tools, maintenance, made, like.as_ref()).await?;
        fill(context, aim, &session, &tools, made, Owners::Theirs, supply).await?;
        let mut notes = Vec::new();
        if !aim.tables().is_empty() {
            if is_loaded_whole(aim, &session) {
                only::keep_only(&session, &tools, made, aim.tables()).await?;
            }
            notes.push(Fact::ViewsLeftOut {}.into());
        }
        Ok(Loaded { notes, ..Loaded::default() })
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        _supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { context, aim, made } = *placing;
        if is_globals(aim) {
            return Ok(Switched::default());
        }
        let names = names(aim, made)?;
        let asked = aim.asked()?;
        let session = Session::of(&asked).await?;
        let (maintenance, tools) = rename::beside(&session, &names.name).await?;
        let on = On { session: &session, tools: &tools, maintenance };
        let reopen = Duty::AllowConnections {
            app: aim.app.id,
            source: asked.source.name.clone(),
            databases: vec![names.name.clone(), names.before.clone()],
        };
        on.switch(context, reopen, &names).await
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { aim, made, .. } = *placing;
        if is_globals(aim) {
            return Ok(PutBack::AsItWas);
        }
        let names = names(aim, made)?;
        let put_back = async {
            let session = Session::of(&aim.asked()?).await?;
            let (maintenance, tools) = rename::beside(&session, &names.name).await?;
            On { session: &session, tools: &tools, maintenance }.put_back(&names).await
        };
        put_back.await.map_err(|failure| {
            let Names { made, name: database, before } = names.clone();
            refused(Fact::NamesByHand { first: failure.into(), database, before, made })
        })
    }
}

fn names(aim: &Aim<'_>, made: &str) -> Result<Names, Failure> {
    let name = final_name(aim)?;
    let before = with_end(&name, &format!("_before_{}", aim.tag));
    Ok(Names { made: made.to_owned(), name, before })
}

/// Lets databases be connected to again, by the source that `app` has for their server.
pub(crate) async fn allow_connections(
    engine: &Engine,
    app: AppId,
    source: &Name,
    databases: &[String],
) -> Result<(), Failure> {
    let gone = || {
        let (source, databases) = (source.to_string(), databases.join(", "));
        let closed = Fact::MayStayClosed { source, databases };
        Failure::new(FailureCode::ConfigurationChanged, closed)
    };
    let app = engine.0.catalog.app(app).await.map_err(|error| match error {
        catalog::CatalogError::NotFound { .. } => gone(),
        other => failure::of_catalog(&other),
    })?;
    let source = app.sources.iter().find(|one| one.name == *source).ok_or_else(gone)?;
    let model::SourceKind::Direct(direct) = &source.kind else { return Err(gone()) };
    let asked = Asked { engine, app: &app, source, direct };
    let session = Session::of(&asked).await?;
    let closed = databases.first().map(String::as_str).unwrap_or_default();
    let (maintenance, tools) = rename::beside(&session, closed).await?;
    On { session: &session, tools: &tools, maintenance }.open(databases).await
}

/// Whose things are after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Of those who owned them.
    Theirs,
    /// Of the one who restores: nobody else is known there.
    Ours,
}

/// Brings the dump into the database `made`, which is new and empty.
pub(crate) async fn fill(
    context: &RunContext,
    aim: &Aim<'_>,
    session: &Session<'_>,
    tools: &Tools,
    made: &str,
    owners: Owners,
    supply: &Supply<'_>,
) -> Result<(), Failure> {
    let (deadline, size) = (aim.timeout(), aim.artifact.size_bytes);
    let conninfo = session.server.conninfo(made);
    if is_script(aim) {
        return script(context, aim, session, tools, made, supply).await;
    }
    let mut restore =
        session.tool(tools, "pg_restore").args(["--no-password", &format!("--dbname={conninfo}")]);
    let is_older = newer::is_older(session, tools).await?;
    if !is_older {
        restore = restore.arg("--exit-on-error");
    }
    if owners == Owners::Ours {
        restore = restore.args(["--no-owner", "--no-privileges"]);
    }
    let work;
    if !(aim.tables().is_empty() || is_loaded_whole(aim, session) || directory::is(aim)) {
        work = Work::of_run(context).await?;
        let list = pick::of_file(supply, aim.tables(), &work).await?;
        restore = restore.arg(format!("--use-list={}", list.display()));
    }
    let filled = if directory::is(aim) {
        directory::fill(context, aim, restore, supply).await
    } else {
        let reading = restore.fed(size).start(context, deadline).await.map_err(told::explained)?;
        supply.feed(reading, Ok).await.map_err(told::explained)
    };
    match filled {
        Err(failure) if is_older && newer::is_all_that_failed(&failure.message) => Ok(()),
        filled => filled,
    }
}

/// The same for plain SQL, which psql is given through a filter.
async fn script(
    context: &RunContext,
    aim: &Aim<'_>,
    session: &Session<'_>,
    tools: &Tools,
    made: &str,
    supply: &Supply<'_>,
) -> Result<(), Failure> {
    let key = context.engine.with_rng(rand::RngExt::random::<u64>);
    // What a dump's own settings make of its quotes only psql knows: it forbids itself its own
    // commands, and what is read here before says which line has one.
    if !database::knows_restrict(session, tools).await? {
        return Err(refused(Fact::PsqlTooOld {}));
    }
    let mut opening = format!("\\restrict {key:016x}\n");
    let reading = database::psql(session, tools, &session.server.conninfo(made))
        .fed(aim.artifact.size_bytes + opening.len() as u64)
        .start(context, aim.timeout())
        .await
        .map_err(told::explained)?;
    let mut script = Script::new();
    let mut is_older = newer::is_older(session, tools).await?;
    let through = |chunk: Bytes| {
        let chunk = if std::mem::take(&mut is_older) { newer::without(chunk) } else { chunk };
        let passed = script.pass(&chunk)?;
        if opening.is_empty() {
            return Ok(passed);
        }
        Ok([std::mem::take(&mut opening).as_bytes(), &passed].concat().into())
    };
    supply.feed(reading, through).await.map_err(told::explained)?;
    script.end()
}

/// The database that the artifact was dumped from.
fn own_name(aim: &Aim<'_>) -> Result<String, Failure> {
    let part = aim.artifact.part.clone();
    let named = || aim.asked().ok()?.setting("database").map(str::to_owned);
    part.or_else(named).ok_or_else(|| refused(Fact::WhichDatabase {}))
}

/// What the restored database is called in the end.
fn final_name(aim: &Aim<'_>) -> Result<String, Failure> {
    match aim.beside() {
        Some(name) if name.len() <= MAX_NAME => Ok(name),
        Some(name) => Ok(with_end(&name, "")),
        None => own_name(aim),
    }
}

/// `name`, cut so that it can end in `end`.
fn with_end(name: &str, end: &str) -> String {
    let mut room = (MAX_NAME - end.len()).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{end}", &name[..room])
}

pub(crate) fn is_globals(aim: &Aim<'_>) -> bool {
    aim.dump() == Some(Dump::PgRoles)
}

/// Whether tables that were chosen can only be had by loading all: of plain SQL, and where the tool
/// cannot be given a list of what to load.
fn is_loaded_whole(aim: &Aim<'_>, session: &Session<'_>) -> bool {
    is_script(aim) || session.place != Where::Here
}

pub(crate) fn is_script(aim: &Aim<'_>) -> bool {
    aim.dump() == Some(Dump::PgScript)
}

fn parts_are_possible(aim: &Aim<'_>, session: &Session<'_>, look: &mut Look) {
    if !aim.paths().is_empty() {
        look.block(Fact::DatabaseHasTables {});
    }
    let tables = aim.tables();
    if tables.is_empty() {
        return;
    }
    if matches!(aim.target, RestoreTarget::App) {
        look.block(Fact::TablesBeside {});
    }
    if is_script(aim) {
        look.warn(Fact::PlainIsWhole {});
    } else if is_loaded_whole(aim, session) {
        look.warn(Fact::LoadedWhole {});
    }
}

#[cfg(test)]
mod tests {
    use super::with_end;

    #[test]
    fn names_stay_short_enough() {
        assert_eq!(with_end("shop", "_restore_x"), "shop_restore_x");
        let long = "ñ".repeat(31);
        let made = with_end(&long, "_restore_12345678");
        assert!(made.len() <= 63 && made.ends_with("_restore_12345678"), "{made}");
    }
}
