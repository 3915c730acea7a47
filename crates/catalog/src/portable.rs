//! A copy of the whole catalog as lines of JSON, the same from both databases.
//!
//! The first line says what it is and of which schema version, each further one is a row, and the
//! last counts them: a copy that was cut is none.

use sea_orm::{ConnectionTrait, QueryResult, Value};
use serde_json::{Map, json};
use tokio::sync::mpsc;

use crate::{
    Catalog, CatalogError, schema,
    sql::rows,
    tables::{self, Kind, Table},
};

/// First member of the first line.
pub const COPY_FORMAT: &str = "backup-orchestrator-catalog";
/// Version of these lines.
pub const COPY_VERSION: u64 = 1;
/// Rows that are read at once.
const PAGE: usize = 500;

impl Catalog {
    /// Sends the catalog as it is at one moment, line by line, each with its line end; gives how
    /// many rows it had. `extra` goes into the first line. Ends early where nobody listens.
    pub async fn export(
        &self,
        extra: serde_json::Value,
        lines: mpsc::Sender<String>,
    ) -> Result<u64, CatalogError> {
        let tx = self.still().await?;
        let version = schema::VERSIONS.len();
        let mut first = json!({
            "format": COPY_FORMAT, "version": COPY_VERSION, "schema": version,
        });
        if let (Some(first), serde_json::Value::Object(extra)) = (first.as_object_mut(), extra) {
            first.extend(extra);
        }
        let mut count = 0_u64;
        if lines.send(format!("{first}\n")).await.is_err() {
            return Ok(count);
        }
        for table in tables::kept(version) {
            let mut after: Option<Vec<Value>> = None;
            loop {
                let page = page(&tx, &table, after.take()).await?;
                for row in &page {
                    let line = json!({ "table": table.name, "row": object(&table, row)? });
                    if lines.send(format!("{line}\n")).await.is_err() {
                        return Ok(count);
                    }
                    count += 1;
                }
                match page.last() {
                    Some(last) if page.len() == PAGE => after = Some(key_of(&table, last)?),
                    _ => break,
                }
            }
        }
        tx.rollback().await?;
        let _ = lines.send(format!("{}\n", json!({ "end": true, "rows": count }))).await;
        Ok(count)
    }
}

async fn page<C: ConnectionTrait>(
    on: &C,
    table: &Table,
    after: Option<Vec<Value>>,
) -> Result<Vec<QueryResult>, CatalogError> {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    let (columns, key) = (columns.join(", "), table.key.join(", "));
    let values = after.unwrap_or_default();
    let condition = if values.is_empty() {
        String::new()
    } else {
        format!("WHERE ({key}) > ({})", crate::sql::list(1, values.len()))
    };
    let select =
        format!("SELECT {columns} FROM {} {condition} ORDER BY {key} LIMIT {PAGE}", table.name);
    rows(on, &select, values).await
}

fn object(
    table: &Table,
    row: &QueryResult,
) -> Result<Map<String, serde_json::Value>, CatalogError> {
    let mut object = Map::new();
    for (name, kind) in &table.columns {
        let value = match kind {
            Kind::Text => json!(row.try_get::<Option<String>>("", name)?),
            Kind::Number => json!(row.try_get::<Option<i64>>("", name)?),
        };
        object.insert(name.clone(), value);
    }
    Ok(object)
}

fn key_of(table: &Table, row: &QueryResult) -> Result<Vec<Value>, CatalogError> {
    let kind = |name: &String| table.columns.iter().find(|(known, _)| known == name);
    table
        .key
        .iter()
        .map(|name| match kind(name) {
            Some((_, Kind::Number)) => Ok(row.try_get::<i64>("", name)?.into()),
            _ => Ok(row.try_get::<String>("", name)?.into()),
        })
        .collect()
}
