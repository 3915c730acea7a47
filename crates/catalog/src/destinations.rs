//! Destinations.

use jiff::Timestamp;
use model::{App, Destination, DestinationId, Fact, destination::DestinationCheck};

use crate::{
    Catalog, CatalogError, named,
    sql::{execute, json},
};

impl Catalog {
    /// Adds a destination.
    pub async fn insert_destination(&self, one: &Destination) -> Result<(), CatalogError> {
        let write = self.write().await?;
        named::insert(&write.tx, one).await?;
        write.commit().await
    }

    /// Replaces a destination that was read at `one.version`.
    pub async fn update_destination(
        &self,
        one: &Destination,
        now: Timestamp,
    ) -> Result<Destination, CatalogError> {
        let write = self.write().await?;
        let next = named::replace(&write.tx, one, now).await?;
        write.commit().await?;
        Ok(next)
    }

    /// A destination, also a removed one: copies of removed apps are still read.
    pub async fn destination(&self, id: DestinationId) -> Result<Destination, CatalogError> {
        named::even_removed(&self.db, id).await
    }

    /// A destination that is not removed, by its name (without regard to case) or id.
    pub async fn destination_by_name(&self, name: &str) -> Result<Destination, CatalogError> {
        named::by_name(&self.db, name).await
    }

    /// Every destination that is not removed, by name.
    pub async fn all_destinations(&self) -> Result<Vec<Destination>, CatalogError> {
        named::all(&self.db).await
    }

    /// Marks a destination as removed; refused while an app sends copies there.
    pub async fn remove_destination(
        &self,
        id: DestinationId,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let one: Destination = named::even_removed(&write.tx, id).await?;
        for app in named::all::<App, _>(&write.tx).await? {
            if app.destinations.iter().any(|binding| binding.destination_id == id) {
                let by = Fact::UsedByApp { app: app.name.to_string() }.into();
                return Err(CatalogError::InUse { name: one.name.to_string(), by });
            }
        }
        named::remove::<Destination, _>(&write.tx, id, now).await?;
        write.commit().await
    }

    /// Notes what the last canary found. Not an edit: the version stays.
    pub async fn set_destination_check(
        &self,
        id: DestinationId,
        check: &DestinationCheck,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let found: Destination = named::even_removed(&write.tx, id).await?;
        let next = Destination { last_check: Some(check.clone()), ..found };
        let update = "UPDATE destination SET doc = $1 WHERE id = $2";
        execute(&write.tx, update, vec![json(&next)?.into(), id.to_string().into()]).await?;
        write.commit().await
    }
}
