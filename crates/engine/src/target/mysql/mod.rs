//! MariaDB and MySQL: each dump is loaded into a new database. Databases cannot be renamed there,
//! and views, triggers and events cannot be moved: for the app's own place, what is there is
//! copied into a database that is kept, and the new one is then copied over it.

pub(crate) mod copy;
mod exchange;
mod only;
pub(crate) mod script;
pub(crate) mod users;

use model::{Fact, Failure, RestoreTarget, Size};

use super::{
    Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, folder, refused,
    version::Version,
};
use crate::{
    run::RunContext,
    source::mysql::client::{Client, classified},
};
use copy::On;
use exchange::Exchange;
use script::Script;

/// Longest name of a database, in characters.
const MAX_NAME: usize = 64;
const RIGHTS: [&str; 10] = [
    "SELECT",
    "INSERT",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "CREATE VIEW",
    "CREATE ROUTINE",
    "TRIGGER",
    "EVENT",
];

pub(crate) struct Mysql;

#[async_trait::async_trait]
impl Target for Mysql {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let asked = aim.asked()?;
        let client = Client::of(&asked).await?;
        let at = client.place();
        let is_beside = aim.beside().is_some();
        if !aim.paths().is_empty() || !aim.tables().is_empty() && (!is_beside || users::are(aim)) {
            let mut look = Look::at(Fact::ServerAt { server: at });
            look.block(Fact::TablesBeside {});
            return Ok(look);
        }
        if users::are(aim) {
            let mut look = Look::at(Fact::UsersAt { server: at });
            look.warn(Fact::OnlyMissingUsers {});
            return Ok(look);
        }
        let database = final_name(aim)?;
        let mut look =
            Look::at(Fact::DatabaseAt { database: database.clone(), server: at.clone() });
        look.good(Fact::ServerIs { server: at, version: client.server_version().await?.clone() });
        look.server = Version::of_mysql(&client.ask("SELECT version()").await?);
        let missing = missing_rights(&client).await?;
        if !missing.is_empty() {
            look.warn(Fact::RightsMissing { rights: missing.join(", ") });
        }
        if !client.is_careful().await? {
            look.warn(Fact::NoSandbox {});
        }
        let on = On { client: &client, context: None, aim };
        if !on.exists(&database).await? {
            look.good(Fact::DatabaseMade { database });
        } else if aim.beside().is_some() {
            look.block(Fact::DatabaseIsThere { database });
        } else {
            let size_bytes = client.size_bytes(&database).await?;
            look.replaces = Some(
                Fact::DatabaseCopied { database: database.clone(), size: Size(size_bytes) }.into(),
            );
            if client.is_inside() {
                // Both are written to a file on their way.
                let spool = &aim.engine.0.config.spool;
                folder::room(&mut look, spool, size_bytes.max(aim.artifact.size_bytes)).await;
            }
            look.warn(Fact::StopWriters { database });
        }
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        if users::are(aim) {
            return Ok("users".to_owned());
        }
        match aim.target {
            RestoreTarget::App => Ok(with_end(&final_name(aim)?, &format!("_restore_{}", aim.tag))),
            // It can never get another name.
            _ => final_name(aim),
        }
    }

    async fn clear(&self, aim: &Aim<'_>, made: &str) -> Result<(), Failure> {
        if users::are(aim) {
            return Ok(());
        }
        let asked = aim.asked()?;
        let client = Client::of(&asked).await?;
        let on = On { client: &client, context: None, aim };
        if aim.beside().is_none() {
            exchange(aim, &on, made)?.clear().await?;
        }
        on.drop_ours(made).await
    }

    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, made } = *placing;
        let asked = aim.asked()?;
        let client = Client::of(&asked).await?;
        if users::are(aim) {
            return users::load(&client, supply).await;
        }
        let on = On { client: &client, context: Some(context), aim };
        on.create(made, &final_name(aim)?).await?;
        fill(context, aim, &client, made, supply).await?;
        let mut notes = Vec::new();
        if !aim.tables().is_empty() {
            on.keep_only(made, aim.tables()).await?;
            notes.push(Fact::ViewsMissing {}.into());
        }
        if aim.beside().is_some() && on.disable_events(made).await? > 0 {
            notes.push(Fact::EventsDisabled {}.into());
        }
        Ok(Loaded { notes, ..Loaded::default() })
    }

    async fn keep(&self, placing: &Placing<'_>) -> Result<Option<String>, Failure> {
        let Placing { context, aim, made } = *placing;
        if users::are(aim) || aim.beside().is_some() {
            return Ok(None);
        }
        let asked = aim.asked()?;
        let client = Client::of(&asked).await?;
        let on = On { client: &client, context: Some(context), aim };
        exchange(aim, &on, made)?.keep().await
    }

    async fn switch(
        &self,
        placing: &Placing<'_>,
        _supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { context, aim, made } = *placing;
        if users::are(aim) {
            return Ok(Switched::default());
        }
        let asked = aim.asked()?;
        let client = Client::of(&asked).await?;
        let on = On { client: &client, context: Some(context), aim };
        if aim.beside().is_some() {
            on.forget(made).await?;
            return Ok(Switched::default());
        }
        exchange(aim, &on, made)?.switch().await
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { context, aim, made } = *placing;
        if users::are(aim) || aim.beside().is_some() {
            return Ok(PutBack::AsItWas);
        }
        let put_back = async {
            let asked = aim.asked()?;
            let client = Client::of(&asked).await?;
            let on = On { client: &client, context: Some(context), aim };
            exchange(aim, &on, made)?.put_back().await
        };
        let (name, before) = names(aim)?;
        put_back.await.map_err(|failure| {
            let (why, made) = (failure.into(), made.to_owned());
            refused(Fact::CopyByHand { why, database: name, before, made })
        })
    }
}

/// What is exchanged where a database takes the place of another.
fn exchange<'a>(aim: &Aim<'_>, on: &'a On<'a>, made: &'a str) -> Result<Exchange<'a>, Failure> {
    let (name, before) = names(aim)?;
    Ok(Exchange { on, made, name, before })
}

/// The database's own name, and that under which what was there is kept.
fn names(aim: &Aim<'_>) -> Result<(String, String), Failure> {
    let name = final_name(aim)?;
    let before = with_end(&name, &format!("_before_{}", aim.tag));
    Ok((name, before))
}

/// Brings the dump into the database `made`.
pub(crate) async fn fill(
    context: &RunContext,
    aim: &Aim<'_>,
    client: &Client<'_>,
    made: &str,
    supply: &Supply<'_>,
) -> Result<(), Failure> {
    let reading = client.load(context, made, aim.artifact.size_bytes, aim.timeout()).await?;
    let mut script = Script::default();
    supply.feed(reading, |chunk| script.pass(&chunk).map(|()| chunk)).await.map_err(classified)
}

async fn missing_rights(client: &Client<'_>) -> Result<Vec<&'static str>, Failure> {
    let told = client
        .ask(
            "SELECT privilege_type FROM information_schema.user_privileges WHERE \
             replace(grantee, '\\'', '') = current_user()",
        )
        .await?;
    let has: Vec<_> = told.lines().collect();
    Ok(RIGHTS.into_iter().filter(|right| !has.contains(right)).collect())
}

/// The database that the artifact was dumped from.
fn own_name(aim: &Aim<'_>) -> Result<String, Failure> {
    if let Some(part) = &aim.artifact.part {
        return Ok(part.clone());
    }
    match aim.asked()?.list("database")[..] {
        [one] if one != "*" => Ok(one.to_owned()),
        _ => Err(refused(Fact::WhichDatabase {})),
    }
}

/// What the restored database is called in the end.
fn final_name(aim: &Aim<'_>) -> Result<String, Failure> {
    aim.beside().map_or_else(|| own_name(aim), |name| Ok(with_end(&name, "")))
}

/// `name`, cut so that it can end in `end`.
fn with_end(name: &str, end: &str) -> String {
    let room = MAX_NAME - end.len();
    format!("{}{end}", name.chars().take(room).collect::<String>())
}

/// A statement's name for something.
pub(crate) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
