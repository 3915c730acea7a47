//! Statements and rows, the same for both databases.

use std::{fmt::Display, str::FromStr};

use jiff::Timestamp;
use sea_orm::{ConnectionTrait, DbBackend, ExecResult, QueryResult, Statement, Value};
use serde::{Serialize, de::DeserializeOwned};

use crate::CatalogError;

/// A moment as it is stored.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A stored moment.
pub(crate) fn moment(micros: i64) -> Result<Timestamp, CatalogError> {
    Timestamp::from_microsecond(micros).map_err(|error| CatalogError::Corrupt(error.to_string()))
}

/// An unsigned count as it is stored; none comes near the end of the signed ones.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn json<T: Serialize>(doc: &T) -> Result<String, CatalogError> {
    Ok(serde_json::to_string(doc)?)
}

pub(crate) fn doc<T: DeserializeOwned>(row: &QueryResult) -> Result<T, CatalogError> {
    let text: String = row.try_get("", "doc")?;
    Ok(serde_json::from_str(&text)?)
}

/// Placeholders are written `$1`, which both databases read.
fn statement(backend: DbBackend, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(backend, sql, values)
}

pub(crate) async fn execute<C: ConnectionTrait>(
    on: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<ExecResult, CatalogError> {
    Ok(on.execute_raw(statement(on.get_database_backend(), sql, values)).await?)
}

pub(crate) async fn rows<C: ConnectionTrait>(
    on: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, CatalogError> {
    Ok(on.query_all_raw(statement(on.get_database_backend(), sql, values)).await?)
}

pub(crate) async fn row<C: ConnectionTrait>(
    on: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<QueryResult>, CatalogError> {
    Ok(on.query_one_raw(statement(on.get_database_backend(), sql, values)).await?)
}

/// Every `text` of a group in one, between commas, in no order: a row costs more than a moment that
/// stands in it.
pub(crate) fn joined<C: ConnectionTrait>(on: &C, text: &str) -> String {
    match on.get_database_backend() {
        DbBackend::Postgres => format!("string_agg({text}, ',')"),
        _ => format!("group_concat({text}, ',')"),
    }
}

/// Separates columns; no JSON text has it unescaped.
const COLUMN: char = '\u{1f}';
/// Separates rows, likewise.
const ROW: char = '\u{1e}';

/// All rows of `SELECT columns FROM from`, in one text for [`split`]: the driver takes longer over a
/// thousand rows than the database.
pub(crate) async fn gathered<C: ConnectionTrait>(
    on: &C,
    columns: &[&str],
    from: &str,
) -> Result<String, CatalogError> {
    let (gather, letter) = match on.get_database_backend() {
        DbBackend::Postgres => ("string_agg", "chr"),
        _ => ("group_concat", "char"),
    };
    let column = format!(" || {letter}({}) || ", u32::from(COLUMN));
    let texts = columns.iter().map(|one| format!("COALESCE(CAST({one} AS TEXT), '')"));
    let texts = texts.collect::<Vec<_>>().join(&column);
    let select = format!("SELECT {gather}({texts}, {letter}({})) FROM {from}", u32::from(ROW));
    let found = row(on, &select, vec![]).await?;
    let text = found.map(|found| found.try_get_by_index::<Option<String>>(0)).transpose()?;
    Ok(text.flatten().unwrap_or_default())
}

/// The rows that were gathered, by their first column; what is null is empty.
pub(crate) fn split<const N: usize>(gathered: &str) -> Result<Vec<[&str; N]>, CatalogError> {
    let rows = gathered.split(ROW).filter(|row| !row.is_empty()).map(|row| {
        let columns: Vec<_> = row.split(COLUMN).collect();
        let count = columns.len();
        columns.try_into().map_err(|_| CatalogError::Corrupt(format!("{count} columns of {N}")))
    });
    let mut rows = rows.collect::<Result<Vec<[&str; N]>, _>>()?;
    rows.sort_unstable();
    Ok(rows)
}

/// What a column's text says.
pub(crate) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, CatalogError> {
    text.parse().map_err(|error: T::Err| CatalogError::Corrupt(format!("`{text}`: {error}")))
}

/// `$from, $from+1, …` for a list of `len` values.
pub(crate) fn list(from: usize, len: usize) -> String {
    (from..from + len).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// `($1, …), ($4, …)` for `rows` lists of `width` values.
pub(crate) fn lists(rows: usize, width: usize) -> String {
    (0..rows).map(|n| format!("({})", list(1 + n * width, width))).collect::<Vec<_>>().join(", ")
}

/// `WHERE` with all of `conditions`; nothing where there are none.
pub(crate) fn all_of(conditions: &[String]) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    format!("WHERE {}", conditions.join(" AND "))
}

/// `text` as a part of what `LIKE … ESCAPE '!'` looks for: its own wildcards stand for themselves.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| matches!(c, '!' | '%' | '_').then_some('!').into_iter().chain([c]))
        .collect()
}
