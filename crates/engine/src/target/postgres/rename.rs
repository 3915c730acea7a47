//! Databases that change their names.

use std::time::Duration;

use model::{Duty, Fact, Failure, Told};

use super::{
    super::{PutBack, Switched},
    database::{drop_rows, end_connections, ident, literal},
    refused,
};
use crate::{
    run::RunContext,
    source::postgres::{session::Session, tools::Tools},
};

/// How often connections to a database that is to be renamed are ended before that is given up.
const TRIES: u32 = 20;

/// A server on which databases change their names.
pub(super) struct On<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) tools: &'a Tools,
    pub(super) maintenance: &'a str,
}

/// The names that databases have before and after.
#[derive(Clone)]
pub(super) struct Names {
    /// What was made.
    pub(super) made: String,
    /// The name it is to have.
    pub(super) name: String,
    /// The name that what is there is to have.
    pub(super) before: String,
}

/// A database to ask about the server while `name` may be closed or renamed.
pub(super) async fn beside(
    session: &Session<'_>,
    name: &str,
) -> Result<(&'static str, Tools), Failure> {
    if name == "postgres" {
        return Ok(("template1", session.fit("template1").await?.0));
    }
    let (maintenance, tools, _) = session.maintenance().await?;
    Ok((maintenance, tools))
}

impl On<'_> {
    /// What is there becomes `before` and `made` takes its name, both or neither. Nobody can
    /// connect meanwhile; that this ends is written down before it begins.
    pub(super) async fn switch(
        &self,
        context: &RunContext,
        reopen: Duty,
        names: &Names,
    ) -> Result<Switched, Failure> {
        let Names { made, name, before } = names;
        if !self.is_there(made).await? {
            if !self.is_there(name).await? {
                return Err(refused(Fact::DatabaseGone { database: made.clone() }));
            }
            // Cut off right after it was done.
            return self.switched(before, self.open(&[name, before]).await.err()).await;
        }
        if !self.is_there(name).await? {
            self.ask(&format!("ALTER DATABASE {} RENAME TO {}", ident(made), ident(name))).await?;
            return Ok(Switched::default());
        }
        for statement in self.properties(name, made).await? {
            self.ask(&statement).await?;
        }
        let owed = context.owe(reopen).await?;
        let renamed = self.rename_both(names).await;
        // Whatever came of it, whoever is under either name may be talked to again.
        let opened = context.settle(owed).await;
        match renamed {
            Err(failure) if !self.is_renamed(names).await => {
                let Err(closed) = opened else { return Err(failure) };
                Err(failure
                    .told_in(|first| Fact::Also { first, then: may_be_closed(name, closed) }))
            }
            _ => self.switched(before, opened.err()).await,
        }
    }

    async fn switched(&self, before: &str, closed: Option<Failure>) -> Result<Switched, Failure> {
        let kept = self.is_there(before).await?.then(|| before.to_owned());
        let notes = closed.map(|closed| *may_be_closed(before, closed).0);
        Ok(Switched { kept, notes: notes.into_iter().collect() })
    }

    /// Whether it was done although no answer came.
    async fn is_renamed(&self, names: &Names) -> bool {
        let is_there = async {
            let made = self.is_there(&names.made).await?;
            Ok::<_, Failure>(
                !made && self.is_there(&names.name).await? && self.is_there(&names.before).await?,
            )
        };
        is_there.await.unwrap_or(false)
    }

    /// After a switch that failed.
    pub(super) async fn put_back(&self, names: &Names) -> Result<PutBack, Failure> {
        let Names { made, name, before } = names;
        let is_made = self.is_there(made).await?;
        if is_made && (self.is_there(name).await? || !self.is_there(before).await?) {
            self.open(&[name]).await?;
            return Ok(PutBack::AsItWas);
        }
        let Names { made, name: database, before } = names.clone();
        Err(refused(Fact::LookWhichNames { database, before, made }))
    }

    /// Lets those of `databases` that are there be connected to.
    pub(super) async fn open(&self, databases: &[impl AsRef<str>]) -> Result<(), Failure> {
        for database in databases.iter().map(AsRef::as_ref) {
            let query = format!(
                "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {} AND NOT \
                 datallowconn",
                literal(database)
            );
            if self.session.value(self.tools, self.maintenance, &query).await? != "0" {
                self.allow(database, true).await?;
            }
        }
        Ok(())
    }

    async fn rename_both(&self, names: &Names) -> Result<(), Failure> {
        let Names { made, name, before } = names;
        let both = format!(
            "BEGIN; ALTER DATABASE {1} RENAME TO {2}; ALTER DATABASE {0} RENAME TO {1}; COMMIT",
            ident(made),
            ident(name),
            ident(before)
        );
        let mut tried = 0;
        loop {
            self.allow(name, false).await?;
            for database in [name, made] {
                end_connections(self.session, self.tools, self.maintenance, database).await?;
            }
            let renamed = self.ask(&both).await;
            tried += 1;
            match renamed {
                Err(failure) if failure.message.contains("is being accessed") && tried < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other.map(drop_rows),
            }
        }
    }

    async fn is_there(&self, name: &str) -> Result<bool, Failure> {
        let query = format!(
            "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {}",
            literal(name)
        );
        Ok(self.session.value(self.tools, self.maintenance, &query).await? != "0")
    }

    async fn allow(&self, name: &str, allow: bool) -> Result<(), Failure> {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", ident(name));
        self.ask(&statement).await.map(drop_rows)
    }

    /// Statements that give `to` the settings and rights of `from`, which a dump does not have.
    async fn properties(&self, from: &str, to: &str) -> Result<Vec<String>, Failure> {
        let (from, to) = (literal(from), literal(to));
        // Lists are stored as they are to be written; everything else is one value.
        let query = format!(
            "SELECT pg_catalog.format('ALTER DATABASE %I SET %I TO %s', {to}, name, \
               CASE WHEN name IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', \
                 'session_preload_libraries') THEN value ELSE pg_catalog.quote_literal(value) END) \
             FROM (SELECT pg_catalog.split_part(one, '=', 1) AS name, \
                 pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1) AS value \
               FROM pg_catalog.pg_db_role_setting s \
               JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, \
               pg_catalog.unnest(s.setconfig) AS one \
               WHERE s.setrole = 0 AND d.datname = {from}) AS settings \
             UNION ALL \
             SELECT pg_catalog.format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {to}) \
             FROM pg_catalog.pg_database WHERE datname = {from} AND datacl IS NOT NULL \
             UNION ALL \
             SELECT pg_catalog.format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, {to}, \
               CASE a.grantee WHEN 0 THEN 'PUBLIC' \
                 ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, \
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
             FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a \
             WHERE d.datname = {from}"
        );
        let rows = self.ask(&query).await?;
        Ok(rows.into_iter().map(|row| row.join("\t")).collect())
    }

    async fn ask(&self, statement: &str) -> Result<Vec<Vec<String>>, Failure> {
        self.session.ask(self.tools, self.maintenance, statement).await
    }
}

/// Nobody can connect to `database` until a statement that has not been taken is.
fn may_be_closed(database: &str, why: Failure) -> Told {
    let (database, quoted) = (database.to_owned(), ident(database));
    Fact::MayBeClosed { database, quoted, why: why.into() }.into()
}
