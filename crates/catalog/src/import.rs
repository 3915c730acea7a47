//! The way back from a copy of a catalog, into an empty database of either kind.

use jiff::Timestamp;
use model::{CopyState, Failure, FailureCode, Run, RunState, StoredCopy};
use sea_orm::{ConnectionTrait, Value};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::{
    Catalog, CatalogError,
    connection::Write,
    portable::{COPY_FORMAT, COPY_VERSION},
    runs, schema,
    sql::{doc, execute, json, lists, micros, row, rows},
    tables::{self, Kind, Table},
    totals,
};

/// Rows that are written at once.
const BATCH: usize = 200;
/// Tables that are empty in a catalog nobody has used.
const TELLING: &[&str] = &["app", "destination", "snapshot", "user_account"];

#[derive(Deserialize)]
struct First {
    format: String,
    version: u64,
    schema: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Row { table: String, row: serde_json::Map<String, serde_json::Value> },
    End { end: bool, rows: u64 },
}

fn corrupt(why: impl ToString) -> CatalogError {
    CatalogError::Corrupt(why.to_string())
}

impl Catalog {
    /// Whether nobody has used it yet.
    pub async fn is_blank(&self) -> Result<bool, CatalogError> {
        for table in TELLING {
            if row(&self.db, &format!("SELECT 1 FROM {table} LIMIT 1"), vec![]).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens `url` and fills it with the copy whose lines come from `lines`, in one transaction:
    /// all of it or nothing. What it held before is emptied, and refused unless `replace`. Gives
    /// the catalog and how many rows it got.
    ///
    /// Runs that had not ended are ended as interrupted, and copies that were being deleted count
    /// as missing until somebody looks.
    pub async fn restore(
        url: &SecretString,
        replace: bool,
        now: Timestamp,
        mut lines: mpsc::Receiver<String>,
    ) -> Result<(Self, u64), CatalogError> {
        let first = lines.recv().await.ok_or_else(|| corrupt("the copy is empty"))?;
        let first: First =
            serde_json::from_str(&first).map_err(|_| corrupt("this is no copy of a catalog"))?;
        if first.format != COPY_FORMAT {
            return Err(corrupt("this is no copy of a catalog"));
        }
        let known = schema::VERSIONS.len();
        if first.version != COPY_VERSION || first.schema > known {
            return Err(CatalogError::Newer {
                found: i64::try_from(first.schema).unwrap_or(i64::MAX),
                known: known as i64,
            });
        }
        let catalog = Self::connect(url, 4).await?;
        let write = catalog.write().await?;
        let found = catalog.schema_version(&write.tx).await?;
        if found > 0 {
            catalog.clear(&write, usize::try_from(found).unwrap_or(known), replace).await?;
        }
        schema_up_to(&catalog, &write, first.schema).await?;
        let count = fill(&write, &tables::kept(first.schema), lines).await?;
        schema_up_to(&catalog, &write, known).await?;
        settle(&write, now).await?;
        write.commit().await?;
        Ok((catalog, count))
    }

    /// Makes the database as empty as one that was never used.
    async fn clear(
        &self,
        write: &Write<'_>,
        version: usize,
        replace: bool,
    ) -> Result<(), CatalogError> {
        for table in TELLING {
            let select = format!("SELECT 1 FROM {table} LIMIT 1");
            if !replace && row(&write.tx, &select, vec![]).await?.is_some() {
                return Err(CatalogError::InUse {
                    name: "the catalog's database".to_owned(),
                    by: "another catalog".into(),
                });
            }
        }
        for table in tables::all(version) {
            execute(&write.tx, &format!("DROP TABLE {}", table.name), vec![]).await?;
        }
        execute(&write.tx, "DELETE FROM schema_version", vec![]).await.map(drop)
    }

    /// Ends its connections: what waits in a write-ahead log goes into the file.
    pub async fn close(self) -> Result<(), CatalogError> {
        Ok(self.db.close().await?)
    }
}

async fn schema_up_to(
    catalog: &Catalog,
    write: &Write<'_>,
    wanted: usize,
) -> Result<(), CatalogError> {
    let found = catalog.schema_version(&write.tx).await?;
    for (number, statements) in (1_i64..).zip(&schema::VERSIONS[..wanted]) {
        if number > found {
            Catalog::apply(&write.tx, number, statements).await?;
        }
    }
    Ok(())
}

async fn fill(
    write: &Write<'_>,
    tables: &[Table],
    mut lines: mpsc::Receiver<String>,
) -> Result<u64, CatalogError> {
    let mut count = 0_u64;
    let mut waiting: Vec<Vec<Value>> = Vec::with_capacity(BATCH);
    let mut current: Option<&Table> = None;
    while let Some(line) = lines.recv().await {
        match serde_json::from_str(&line).map_err(|_| corrupt("a line of the copy is damaged"))? {
            Line::End { end, rows } => {
                flush(&write.tx, current, &mut waiting).await?;
                if !end || rows != count || lines.recv().await.is_some() {
                    return Err(corrupt("the copy's last line does not fit the others"));
                }
                return Ok(count);
            }
            Line::Row { table, row } => {
                if current.is_none_or(|known| known.name != table) || waiting.len() == BATCH {
                    flush(&write.tx, current, &mut waiting).await?;
                    current = tables.iter().find(|known| known.name == table);
                }
                let known = current.ok_or_else(|| {
                    let shown: String = table.chars().take(64).collect();
                    corrupt(format!("the copy has a table `{shown}`, which a catalog has not"))
                })?;
                waiting.push(values(known, row)?);
                count += 1;
            }
        }
    }
    Err(corrupt("the copy was cut"))
}

fn values(
    table: &Table,
    mut row: serde_json::Map<String, serde_json::Value>,
) -> Result<Vec<Value>, CatalogError> {
    let wrong = || corrupt(format!("a row of `{}` in the copy does not fit", table.name));
    if row.len() != table.columns.len() {
        return Err(wrong());
    }
    table
        .columns
        .iter()
        .map(|(name, kind)| match (kind, row.remove(name).ok_or_else(wrong)?) {
            (Kind::Text, serde_json::Value::String(text)) => Ok(Value::from(text)),
            (Kind::Text, serde_json::Value::Null) => Ok(Value::from(None::<String>)),
            (Kind::Number, serde_json::Value::Null) => Ok(Value::from(None::<i64>)),
            (Kind::Number, serde_json::Value::Number(number)) => {
                number.as_i64().map(Value::from).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        })
        .collect()
}

async fn flush<C: ConnectionTrait>(
    on: &C,
    table: Option<&Table>,
    waiting: &mut Vec<Vec<Value>>,
) -> Result<(), CatalogError> {
    let Some(table) = table.filter(|_| !waiting.is_empty()) else { return Ok(()) };
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    let width = columns.len();
    let insert = format!(
        "INSERT INTO {} ({}) VALUES {}",
        table.name,
        columns.join(", "),
        lists(waiting.len(), width)
    );
    execute(on, &insert, waiting.drain(..).flatten().collect()).await.map(drop)
}

/// What was under way when the copy was made is not any more.
async fn settle(write: &Write<'_>, now: Timestamp) -> Result<(), CatalogError> {
    let select = format!("SELECT {} FROM run WHERE state IN ('queued', 'running')", runs::COLUMNS);
    for found in rows(&write.tx, &select, vec![]).await? {
        let run = runs::read(&found)?;
        let failure = Failure::new(
            FailureCode::Interrupted,
            "the catalog was rebuilt from a copy that was made before this run ended",
        );
        let run = Run {
            state: RunState::Interrupted,
            finished_at: Some(now),
            failure: Some(failure),
            lease: None,
            ..run
        };
        let update = "UPDATE run SET state = $1, finished_at = $2, lease_owner = NULL, lease_expires_at = NULL, doc = $3 WHERE id = $4";
        let values = vec![
            run.state.to_string().into(),
            micros(now).into(),
            json(&run)?.into(),
            run.id.to_string().into(),
        ];
        execute(&write.tx, update, values).await?;
        totals::add(&write.tx, &run).await?;
    }
    let select =
        "SELECT snapshot_id, destination_id, doc FROM snapshot_copy WHERE state = 'deleting'";
    for found in rows(&write.tx, select, vec![]).await? {
        let copy = StoredCopy { state: CopyState::Missing, ..doc(&found)? };
        let update = "UPDATE snapshot_copy SET state = $1, doc = $2 WHERE snapshot_id = $3 AND destination_id = $4";
        let values = vec![
            copy.state.to_string().into(),
            json(&copy)?.into(),
            found.try_get::<String>("", "snapshot_id")?.into(),
            found.try_get::<String>("", "destination_id")?.into(),
        ];
        execute(&write.tx, update, values).await?;
    }
    Ok(())
}
