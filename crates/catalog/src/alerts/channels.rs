//! Channels.

use jiff::{SignedDuration, Timestamp};
use model::{AlertChannel, AlertRoute, ChannelId, ChannelTry, Fact};
use sea_orm::ConnectionTrait;

use super::deliveries;
use crate::{
    Catalog, CatalogError, named,
    sql::{execute, json, micros, row},
};

impl Catalog {
    /// Adds a channel.
    pub async fn insert_alert_channel(&self, one: &AlertChannel) -> Result<(), CatalogError> {
        let write = self.write().await?;
        named::insert(&write.tx, one).await?;
        write.commit().await
    }

    /// Replaces a channel that was read at `one.version`.
    pub async fn update_alert_channel(
        &self,
        one: &AlertChannel,
        now: Timestamp,
    ) -> Result<AlertChannel, CatalogError> {
        let write = self.write().await?;
        let next = named::replace(&write.tx, one, now).await?;
        write.commit().await?;
        Ok(next)
    }

    /// A channel, also a removed one, whose name its messages still have.
    pub async fn alert_channel(&self, id: ChannelId) -> Result<AlertChannel, CatalogError> {
        named::even_removed(&self.db, id).await
    }

    /// A channel that is not removed, by its name (without regard to case) or id.
    pub async fn alert_channel_by_name(&self, name: &str) -> Result<AlertChannel, CatalogError> {
        named::by_name(&self.db, name).await
    }

    /// Every channel that is not removed, by name.
    pub async fn alert_channels(&self) -> Result<Vec<AlertChannel>, CatalogError> {
        named::all(&self.db).await
    }

    /// Removes a channel and its secrets, and gives up what waits for it; refused while a route
    /// leads there.
    pub async fn remove_alert_channel(
        &self,
        id: ChannelId,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let one: AlertChannel = named::even_removed(&write.tx, id).await?;
        for route in named::all::<AlertRoute, _>(&write.tx).await? {
            if route.channels.contains(&id) {
                let by = Fact::UsedByRoute { route: route.name.to_string() }.into();
                return Err(CatalogError::InUse { name: one.name.to_string(), by });
            }
        }
        let bare = AlertChannel { secrets: std::collections::BTreeMap::new(), ..one };
        let update = "UPDATE alert_channel SET removed_at = $1, doc = $2 WHERE id = $3 AND removed_at IS NULL";
        let values = vec![micros(now).into(), json(&bare)?.into(), id.to_string().into()];
        execute(&write.tx, update, values).await?;
        deliveries::give_up_all(&write.tx, id, now).await?;
        write.commit().await
    }

    /// Notes what came of the last try to send something. Not an edit: the version stays.
    pub async fn note_channel_try(
        &self,
        id: ChannelId,
        tried: &ChannelTry,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        note_try(&write.tx, id, tried).await?;
        write.commit().await
    }

    /// Whether a channel that wants to hear regularly is to hear now: once in `every`, whoever
    /// asks.
    pub async fn is_beat_due(
        &self,
        id: ChannelId,
        now: Timestamp,
        every: SignedDuration,
    ) -> Result<bool, CatalogError> {
        let before = now.saturating_sub(every).unwrap_or(Timestamp::MIN);
        let due =
            "id = $1 AND removed_at IS NULL AND (beat_at IS NULL OR beat_at <= $2 OR beat_at > $3)";
        let which = || vec![id.to_string().into(), micros(before).into(), micros(now).into()];
        // Looking is free, writing is not.
        let select = format!("SELECT 1 FROM alert_channel WHERE {due}");
        if row(&self.db, &select, which()).await?.is_none() {
            return Ok(false);
        }
        let write = self.write().await?;
        let update = format!("UPDATE alert_channel SET beat_at = $3 WHERE {due}");
        let is_due = execute(&write.tx, &update, which()).await?.rows_affected() == 1;
        write.commit().await?;
        Ok(is_due)
    }
}

pub(super) async fn note_try<C: ConnectionTrait>(
    on: &C,
    id: ChannelId,
    tried: &ChannelTry,
) -> Result<(), CatalogError> {
    let found: AlertChannel = named::even_removed(on, id).await?;
    // Where it is edited at the same time, the edit stands.
    let update = "UPDATE alert_channel SET doc = $1 WHERE id = $2 AND version = $3";
    let version = found.version;
    let next = AlertChannel { last_try: Some(tried.clone()), ..found };
    let values = vec![json(&next)?.into(), id.to_string().into(), version.into()];
    execute(on, update, values).await.map(drop)
}
