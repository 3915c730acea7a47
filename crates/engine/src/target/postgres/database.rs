//! Databases of a server: made, looked at, renamed, dropped. A name is only ever a name.

use std::time::Duration;

use model::{Fact, Failure};

use super::refused;
use crate::source::{
    postgres::{session::Session, tools::Tools},
    tool::Tool,
};

/// How often connections to a database that is to be renamed are ended before that is given up.
const TRIES: u32 = 20;

/// What there is of a database.
#[derive(Debug, Clone)]
pub(crate) struct There {
    pub(super) size_bytes: u64,
    pub(super) connections: u64,
    pub(super) owner: String,
    /// Whether our user may rename it.
    pub(super) is_ours: bool,
    encoding: String,
    collate: String,
    ctype: String,
}

/// A statement's name for something.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A statement's text.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// psql, to be given a script.
pub(crate) fn psql<'a>(session: &'a Session<'_>, tools: &Tools, conninfo: &str) -> Tool<'a> {
    session
        .tool(tools, "psql")
        // What it says while it is given its input would wait in vain for a reader.
        .env("PGOPTIONS", "-c client_min_messages=error")
        .args(["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"])
        .args(["--output=/dev/null", &format!("--dbname={conninfo}")])
}

/// Whether this psql can be forbidden commands of its own (`\restrict`, of August 2025).
pub(super) async fn knows_restrict(session: &Session<'_>, tools: &Tools) -> Result<bool, Failure> {
    let told = session.tool(tools, "psql").arg("--version").output(1_024, ANSWER).await?;
    let told = String::from_utf8_lossy(&told);
    let version = told.split_once("(PostgreSQL) ").map(|(_, rest)| rest).unwrap_or_default();
    let mut numbers =
        version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Ok(match major {
        13 => minor >= 22,
        14 => minor >= 19,
        15 => minor >= 14,
        16 => minor >= 10,
        17 => minor >= 6,
        major => major >= 18,
    })
}

const ANSWER: Duration = Duration::from_secs(20);

/// Whether the session's user may make databases.
pub(super) async fn may_create(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
) -> Result<bool, Failure> {
    let query = "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles \
                 WHERE rolname = current_user";
    Ok(session.value(tools, maintenance, query).await? == "t")
}

/// The database `name`, where there is one.
pub(super) async fn describe(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    name: &str,
) -> Result<Option<There>, Failure> {
    let query = format!(
        "SELECT pg_catalog.pg_database_size(d.oid), \
           (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid), \
           pg_catalog.pg_get_userbyid(d.datdba), \
           pg_catalog.pg_has_role(d.datdba, 'USAGE') OR (SELECT rolsuper \
             FROM pg_catalog.pg_roles WHERE rolname = current_user), \
           pg_catalog.pg_encoding_to_char(d.encoding), \
           d.datcollate, d.datctype \
         FROM pg_catalog.pg_database d WHERE d.datname = {}",
        literal(name)
    );
    let rows = session.ask(tools, maintenance, &query).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let [size, connections, owner, is_ours, encoding, collate, ctype] = row.as_slice() else {
        return Err(refused(format!("{} does not answer as expected", session.server.address())));
    };
    Ok(Some(There {
        size_bytes: size.parse().unwrap_or(0),
        connections: connections.parse().unwrap_or(0),
        owner: owner.clone(),
        is_ours: is_ours == "t",
        encoding: encoding.clone(),
        collate: collate.clone(),
        ctype: ctype.clone(),
    }))
}

/// Makes the empty database `name`, with what makes `like` what it is.
pub(crate) async fn create(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    name: &str,
    like: Option<&There>,
) -> Result<(), Failure> {
    let properties = like.map(|like| {
        format!(
            " OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            ident(&like.owner),
            literal(&like.encoding),
            literal(&like.collate),
            literal(&like.ctype)
        )
    });
    let properties = properties.unwrap_or_default();
    let statement = format!("CREATE DATABASE {} TEMPLATE template0{properties}", ident(name));
    session.ask(tools, maintenance, &statement).await.map(drop_rows)
}

/// Drops the database `name`, where it is there.
pub(super) async fn drop(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    name: &str,
) -> Result<(), Failure> {
    end_connections(session, tools, maintenance, name).await?;
    let statement = format!("DROP DATABASE IF EXISTS {}", ident(name));
    session.ask(tools, maintenance, &statement).await.map(drop_rows)
}

fn drop_rows(_rows: Vec<Vec<String>>) {}

async fn end_connections(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    name: &str,
) -> Result<(), Failure> {
    let query = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid()",
        literal(name)
    );
    session.ask(tools, maintenance, &query).await.map(drop_rows)
}

/// A server on which databases change their names.
pub(super) struct On<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) tools: &'a Tools,
    pub(super) maintenance: &'a str,
}

impl On<'_> {
    /// `name` becomes `before` and `made` becomes `name`, both or neither. Gives `before` where
    /// there is one.
    pub(super) async fn switch(
        &self,
        made: &str,
        name: &str,
        before: &str,
    ) -> Result<Option<String>, Failure> {
        let (is_made, is_there) = (self.is_there(made).await?, self.is_there(name).await?);
        if !is_made {
            if !is_there {
                return Err(refused(Fact::IsGone { what: made.to_owned() }));
            }
            // Cut off right after it was done.
            let kept = self.is_there(before).await?;
            if kept {
                self.allow(before, true).await?;
            }
            return Ok(kept.then(|| before.to_owned()));
        }
        if !is_there {
            self.ask(&format!("ALTER DATABASE {} RENAME TO {}", ident(made), ident(name))).await?;
            return Ok(None);
        }
        for statement in self.properties(name, made).await? {
            self.ask(&statement).await?;
        }
        self.allow(name, false).await?;
        let renamed = self.rename_both(made, name, before).await;
        // Whatever came of it, whoever is under either name may be talked to again.
        let opened = self.allow(if renamed.is_ok() { before } else { name }, true).await;
        renamed?;
        opened?;
        Ok(Some(before.to_owned()))
    }

    async fn rename_both(&self, made: &str, name: &str, before: &str) -> Result<(), Failure> {
        let both = format!(
            "BEGIN; ALTER DATABASE {1} RENAME TO {2}; ALTER DATABASE {0} RENAME TO {1}; COMMIT",
            ident(made),
            ident(name),
            ident(before)
        );
        let mut tried = 0;
        loop {
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
