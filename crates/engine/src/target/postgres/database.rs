//! Databases of a server: made, looked at, renamed, dropped. A name is only ever a name.

use std::time::Duration;

use model::Failure;

use super::refused;
use crate::source::{
    postgres::{session::Session, tools::Tools},
    tool::Tool,
};

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

pub(super) fn drop_rows(_rows: Vec<Vec<String>>) {}

pub(super) async fn end_connections(
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
