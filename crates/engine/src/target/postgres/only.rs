//! Some tables of a dump that can only be loaded whole: the others are dropped again.

use model::{Fact, Failure};

use super::{
    database::{drop_rows, ident, literal},
    refused,
};
use crate::source::postgres::{session::Session, tools::Tools};

/// Tables that one statement drops.
const BATCH: usize = 200;
/// Tables of people in a database, which belong to no extension.
const TABLES: &str = "FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' \
     AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
       AND d.deptype = 'e')";

/// Leaves only `tables` of those in the database `made`, with their indexes, constraints and
/// partitions. Errs where one of them is not there, or cannot stay without the others.
pub(super) async fn keep_only(
    session: &Session<'_>,
    tools: &Tools,
    made: &str,
    tables: &[String],
) -> Result<(), Failure> {
    let wanted = tables.iter().map(|table| {
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        format!("({}, {})", literal(schema), literal(name))
    });
    let wanted = wanted.collect::<Vec<_>>().join(", ");
    all_there(session, tools, made, &wanted, tables.len()).await?;
    // Partitions and children stay with what they are of.
    let query = format!(
        "WITH RECURSIVE kept AS (SELECT c.oid {TABLES} AND (n.nspname, c.relname) IN ({wanted}) \
         UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN kept ON i.inhparent = kept.oid) \
         SELECT n.nspname, c.relname {TABLES} AND c.oid NOT IN (SELECT oid FROM kept)"
    );
    let others = session.ask(tools, made, &query).await?;
    for batch in others.chunks(BATCH) {
        let names = batch.iter().filter_map(|row| match row.as_slice() {
            [schema, name] => Some(format!("{}.{}", ident(schema), ident(name))),
            _ => None,
        });
        let names = names.collect::<Vec<_>>().join(", ");
        // A partition is gone with what it is of.
        let drop = format!("DROP TABLE IF EXISTS {names} CASCADE");
        session.ask(tools, made, &drop).await.map(drop_rows)?;
    }
    all_there(session, tools, made, &wanted, tables.len()).await
}

async fn all_there(
    session: &Session<'_>,
    tools: &Tools,
    made: &str,
    wanted: &str,
    count: usize,
) -> Result<(), Failure> {
    let query = format!("SELECT count(*) {TABLES} AND (n.nspname, c.relname) IN ({wanted})");
    let found = session.value(tools, made, &query).await?;
    if found == count.to_string() {
        return Ok(());
    }
    Err(refused(Fact::TablesKept { found, asked: count as u64 }))
}
