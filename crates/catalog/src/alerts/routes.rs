//! Routes.

use jiff::Timestamp;
use model::{AlertRoute, ChannelId, RouteId};
use sea_orm::ConnectionTrait;

use crate::{
    Catalog, CatalogError, named,
    sql::{execute, micros, row},
};

impl Catalog {
    /// Adds a route.
    pub async fn insert_alert_route(&self, one: &AlertRoute) -> Result<(), CatalogError> {
        let write = self.write().await?;
        channels_are_there(&write.tx, &one.channels).await?;
        named::insert(&write.tx, one).await?;
        write.commit().await
    }

    /// Replaces a route that was read at `one.version`.
    pub async fn update_alert_route(
        &self,
        one: &AlertRoute,
        now: Timestamp,
    ) -> Result<AlertRoute, CatalogError> {
        let write = self.write().await?;
        channels_are_there(&write.tx, &one.channels).await?;
        let next = named::replace(&write.tx, one, now).await?;
        write.commit().await?;
        Ok(next)
    }

    /// A route, also a removed one.
    pub async fn alert_route(&self, id: RouteId) -> Result<AlertRoute, CatalogError> {
        named::even_removed(&self.db, id).await
    }

    /// A route that is not removed, by its name (without regard to case) or id.
    pub async fn alert_route_by_name(&self, name: &str) -> Result<AlertRoute, CatalogError> {
        named::by_name(&self.db, name).await
    }

    /// Every route that is not removed, in their order.
    pub async fn alert_routes(&self) -> Result<Vec<AlertRoute>, CatalogError> {
        let mut routes: Vec<AlertRoute> = named::all(&self.db).await?;
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
        named::remove::<AlertRoute, _>(&write.tx, id, now).await?;
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
