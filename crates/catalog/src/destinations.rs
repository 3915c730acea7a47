//! Destinations.

use jiff::Timestamp;
use model::{Destination, DestinationId, destination::DestinationCheck};

use crate::{
    Catalog, CatalogError,
    sql::{doc, execute, json, micros, row, rows},
};

impl Catalog {
    /// Adds a destination.
    pub async fn insert_destination(&self, one: &Destination) -> Result<(), CatalogError> {
        let write = self.write().await?;
        self.destination_name_is_free(&write.tx, one).await?;
        let insert = "INSERT INTO destination (id, name_key, version, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![
            one.id.to_string().into(),
            one.name.as_str().to_lowercase().into(),
            one.version.into(),
            json(one)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// Replaces a destination that was read at `one.version`.
    pub async fn update_destination(
        &self,
        one: &Destination,
        now: Timestamp,
    ) -> Result<Destination, CatalogError> {
        let next = Destination { version: one.version + 1, updated_at: now, ..one.clone() };
        let write = self.write().await?;
        self.destination_name_is_free(&write.tx, one).await?;
        let update = "UPDATE destination SET name_key = $1, version = $2, doc = $3 WHERE id = $4 AND version = $5 AND removed_at IS NULL";
        let values = vec![
            next.name.as_str().to_lowercase().into(),
            next.version.into(),
            json(&next)?.into(),
            one.id.to_string().into(),
            one.version.into(),
        ];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::Stale { name: one.name.to_string() });
        }
        write.commit().await?;
        Ok(next)
    }

    async fn destination_name_is_free<C: sea_orm::ConnectionTrait>(
        &self,
        on: &C,
        one: &Destination,
    ) -> Result<(), CatalogError> {
        let select =
            "SELECT id FROM destination WHERE name_key = $1 AND id <> $2 AND removed_at IS NULL";
        let values = vec![one.name.as_str().to_lowercase().into(), one.id.to_string().into()];
        let name = one.name.to_string();
        match row(on, select, values).await? {
            Some(_) => Err(CatalogError::NameTaken { what: "destination", name }),
            None => Ok(()),
        }
    }

    /// A destination, also a removed one: copies of removed apps are still read.
    pub async fn destination(&self, id: DestinationId) -> Result<Destination, CatalogError> {
        let select = "SELECT doc FROM destination WHERE id = $1";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("destination", id))?)
    }

    /// A destination that is not removed, by its name (without regard to case) or id.
    pub async fn destination_by_name(&self, name: &str) -> Result<Destination, CatalogError> {
        let select =
            "SELECT doc FROM destination WHERE (name_key = $1 OR id = $1) AND removed_at IS NULL";
        let found = row(&self.db, select, vec![name.to_lowercase().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("destination", name))?)
    }

    /// Every destination that is not removed, by name.
    pub async fn all_destinations(&self) -> Result<Vec<Destination>, CatalogError> {
        let select = "SELECT doc FROM destination WHERE removed_at IS NULL ORDER BY name_key";
        rows(&self.db, select, vec![]).await?.iter().map(doc).collect()
    }

    /// Marks a destination as removed; refused while an app sends copies there.
    pub async fn remove_destination(
        &self,
        id: DestinationId,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let one = self.destination(id).await?;
        let write = self.write().await?;
        let apps = rows(&write.tx, "SELECT doc FROM app WHERE removed_at IS NULL", vec![]).await?;
        for app in &apps {
            let app: model::App = doc(app)?;
            if app.destinations.iter().any(|binding| binding.destination_id == id) {
                let by = format!("the app `{}`", app.name);
                return Err(CatalogError::InUse { name: one.name.to_string(), by });
            }
        }
        let update = "UPDATE destination SET removed_at = $1 WHERE id = $2 AND removed_at IS NULL";
        execute(&write.tx, update, vec![micros(now).into(), id.to_string().into()]).await?;
        write.commit().await
    }

    /// Notes what the last canary found. Not an edit: the version stays.
    pub async fn set_destination_check(
        &self,
        id: DestinationId,
        check: &DestinationCheck,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let select = "SELECT doc FROM destination WHERE id = $1";
        let found = row(&write.tx, select, vec![id.to_string().into()]).await?;
        let found: Destination =
            doc(&found.ok_or_else(|| CatalogError::not_found("destination", id))?)?;
        let next = Destination { last_check: Some(check.clone()), ..found };
        let update = "UPDATE destination SET doc = $1 WHERE id = $2";
        execute(&write.tx, update, vec![json(&next)?.into(), id.to_string().into()]).await?;
        write.commit().await
    }
}
