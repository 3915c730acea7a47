//! Nouns that have a name, count their edits and can be removed: one row each, the same columns.

use jiff::Timestamp;
use model::{AlertChannel, AlertRoute, App, Destination, Name};
use sea_orm::ConnectionTrait;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    CatalogError,
    sql::{doc, execute, json, micros, row, rows},
};

/// One of them.
pub(crate) trait Named: Serialize + DeserializeOwned + Sync {
    /// The table of its rows.
    const TABLE: &'static str;
    /// What people call it.
    const WHAT: &'static str;

    fn id(&self) -> String;
    fn name(&self) -> &Name;
    fn version(&self) -> i64;
    /// As it is after an edit at `now`.
    fn edited(&self, now: Timestamp) -> Self;
}

macro_rules! named {
    ($kind:ty, $table:literal, $what:literal) => {
        impl Named for $kind {
            const TABLE: &'static str = $table;
            const WHAT: &'static str = $what;

            fn id(&self) -> String {
                self.id.to_string()
            }

            fn name(&self) -> &Name {
                &self.name
            }

            fn version(&self) -> i64 {
                self.version
            }

            fn edited(&self, now: Timestamp) -> Self {
                Self { version: self.version + 1, updated_at: now, ..self.clone() }
            }
        }
    };
}

named!(App, "app", "app");
named!(Destination, "destination", "destination");
named!(AlertChannel, "alert_channel", "channel");
named!(AlertRoute, "alert_route", "route");

/// Adds one.
pub(crate) async fn insert<N: Named, C: ConnectionTrait>(
    on: &C,
    one: &N,
) -> Result<(), CatalogError> {
    name_is_free(on, one).await?;
    let insert =
        format!("INSERT INTO {} (id, name_key, version, doc) VALUES ($1, $2, $3, $4)", N::TABLE);
    let values = vec![
        one.id().into(),
        key(one.name().as_str()).into(),
        one.version().into(),
        json(one)?.into(),
    ];
    execute(on, &insert, values).await.map(drop)
}

/// Replaces one that was read at `one.version()`; gives it with its new version.
pub(crate) async fn replace<N: Named, C: ConnectionTrait>(
    on: &C,
    one: &N,
    now: Timestamp,
) -> Result<N, CatalogError> {
    name_is_free(on, one).await?;
    let next = one.edited(now);
    let update = format!(
        "UPDATE {} SET name_key = $1, version = $2, doc = $3 WHERE id = $4 AND version = $5 AND removed_at IS NULL",
        N::TABLE
    );
    let values = vec![
        key(next.name().as_str()).into(),
        next.version().into(),
        json(&next)?.into(),
        one.id().into(),
        one.version().into(),
    ];
    if execute(on, &update, values).await?.rows_affected() == 0 {
        return Err(CatalogError::Stale { name: one.name().to_string() });
    }
    Ok(next)
}

/// One by its id, also a removed one.
pub(crate) async fn even_removed<N: Named, C: ConnectionTrait>(
    on: &C,
    id: impl ToString,
) -> Result<N, CatalogError> {
    let select = format!("SELECT doc FROM {} WHERE id = $1", N::TABLE);
    let found = row(on, &select, vec![id.to_string().into()]).await?;
    doc(&found.ok_or_else(|| CatalogError::not_found(N::WHAT, id))?)
}

/// One that is not removed, by its name (without regard to case) or id.
pub(crate) async fn by_name<N: Named, C: ConnectionTrait>(
    on: &C,
    name: &str,
) -> Result<N, CatalogError> {
    let select = format!(
        "SELECT doc FROM {} WHERE (name_key = $1 OR id = $1) AND removed_at IS NULL",
        N::TABLE
    );
    let found = row(on, &select, vec![key(name).into()]).await?;
    doc(&found.ok_or_else(|| CatalogError::not_found(N::WHAT, name))?)
}

/// Every one that is not removed, by name.
pub(crate) async fn all<N: Named, C: ConnectionTrait>(on: &C) -> Result<Vec<N>, CatalogError> {
    let select = format!("SELECT doc FROM {} WHERE removed_at IS NULL ORDER BY name_key", N::TABLE);
    rows(on, &select, vec![]).await?.iter().map(doc).collect()
}

/// Marks one as removed; whether it was not already.
pub(crate) async fn remove<N: Named, C: ConnectionTrait>(
    on: &C,
    id: impl ToString,
    now: Timestamp,
) -> Result<bool, CatalogError> {
    let update =
        format!("UPDATE {} SET removed_at = $1 WHERE id = $2 AND removed_at IS NULL", N::TABLE);
    let values = vec![micros(now).into(), id.to_string().into()];
    Ok(execute(on, &update, values).await?.rows_affected() > 0)
}

/// A name as it is compared.
fn key(name: &str) -> String {
    name.to_lowercase()
}

async fn name_is_free<N: Named, C: ConnectionTrait>(on: &C, one: &N) -> Result<(), CatalogError> {
    let select = format!(
        "SELECT id FROM {} WHERE name_key = $1 AND id <> $2 AND removed_at IS NULL",
        N::TABLE
    );
    match row(on, &select, vec![key(one.name().as_str()).into(), one.id().into()]).await? {
        Some(_) => Err(CatalogError::NameTaken { what: N::WHAT, name: one.name().to_string() }),
        None => Ok(()),
    }
}
