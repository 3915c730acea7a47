//! Routes.

use jiff::Timestamp;
use model::{AlertRoute, ChannelId, RouteId};
use sea_orm::ConnectionTrait;

use crate::{
    Catalog, CatalogError,
    sql::{doc, execute, json, micros, row, rows},
};

impl Catalog {
    /// Adds a route.
    pub async fn insert_alert_route(&self, one: &AlertRoute) -> Result<(), CatalogError> {
        let write = self.write().await?;
        name_is_free(&write.tx, one).await?;
        channels_are_there(&write.tx, &one.channels).await?;
        let insert = "INSERT INTO alert_route (id, name_key, version, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![
            one.id.to_string().into(),
            one.name.as_str().to_lowercase().into(),
            one.version.into(),
            json(one)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// Replaces a route that was read at `one.version`.
    pub async fn update_alert_route(
        &self,
        one: &AlertRoute,
        now: Timestamp,
    ) -> Result<AlertRoute, CatalogError> {
        let next = AlertRoute { version: one.version + 1, updated_at: now, ..one.clone() };
        let write = self.write().await?;
        name_is_free(&write.tx, one).await?;
        channels_are_there(&write.tx, &one.channels).await?;
        let update = "UPDATE alert_route SET name_key = $1, version = $2, doc = $3 WHERE id = $4 AND version = $5 AND removed_at IS NULL";
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

    /// A route, also a removed one.
    pub async fn alert_route(&self, id: RouteId) -> Result<AlertRoute, CatalogError> {
        let select = "SELECT doc FROM alert_route WHERE id = $1";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("route", id))?)
    }

    /// A route that is not removed, by its name (without regard to case) or id.
    pub async fn alert_route_by_name(&self, name: &str) -> Result<AlertRoute, CatalogError> {
        let select =
            "SELECT doc FROM alert_route WHERE (name_key = $1 OR id = $1) AND removed_at IS NULL";
        let found = row(&self.db, select, vec![name.to_lowercase().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("route", name))?)
    }

    /// Every route that is not removed, in their order.
    pub async fn alert_routes(&self) -> Result<Vec<AlertRoute>, CatalogError> {
        let select = "SELECT doc FROM alert_route WHERE removed_at IS NULL ORDER BY name_key";
        let found = rows(&self.db, select, vec![]).await?;
        let mut routes: Vec<AlertRoute> = found.iter().map(doc).collect::<Result<_, _>>()?;
        routes.sort_by_key(|route| route.position);
        Ok(routes)
    }

    /// Removes a route; what it held may go out.
    pub async fn remove_alert_route(
        &self,
        id: RouteId,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let update = "UPDATE alert_route SET removed_at = $1 WHERE id = $2 AND removed_at IS NULL";
        execute(&write.tx, update, vec![micros(now).into(), id.to_string().into()]).await?;
        let free = "UPDATE delivery SET not_before = $1 WHERE route_id = $2 AND state = 'held'";
        execute(&write.tx, free, vec![micros(now).into(), id.to_string().into()]).await?;
        write.commit().await
    }
}

/// A route leads nowhere that was removed meanwhile.
async fn channels_are_there<C: ConnectionTrait>(
    on: &C,
    channels: &[ChannelId],
) -> Result<(), CatalogError> {
    for id in channels {
        let select = "SELECT 1 FROM alert_channel WHERE id = $1 AND removed_at IS NULL";
        if row(on, select, vec![id.to_string().into()]).await?.is_none() {
            return Err(CatalogError::not_found("channel", id));
        }
    }
    Ok(())
}

async fn name_is_free<C: ConnectionTrait>(on: &C, one: &AlertRoute) -> Result<(), CatalogError> {
    let select =
        "SELECT id FROM alert_route WHERE name_key = $1 AND id <> $2 AND removed_at IS NULL";
    let values = vec![one.name.as_str().to_lowercase().into(), one.id.to_string().into()];
    match row(on, select, values).await? {
        Some(_) => {
            let name = one.name.to_string();
            Err(CatalogError::NameTaken { what: "route", name })
        }
        None => Ok(()),
    }
}
