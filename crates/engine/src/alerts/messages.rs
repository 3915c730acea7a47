//! Which messages a change makes: where it goes, and when.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use model::{
    Alert, AlertChange, AlertChannel, AlertId, AlertRoute, ChannelId, Delivery, DeliveryId,
    DeliveryItem, DeliveryState, DigestEvery, RouteId, Severity, ToldThrough,
};

use crate::{Engine, EngineError};

/// Where messages may go now.
pub(super) struct Ways {
    routes: Vec<AlertRoute>,
    channels: HashSet<ChannelId>,
    now: Timestamp,
}

impl Ways {
    pub(super) async fn of(engine: &Engine) -> Result<Self, EngineError> {
        let catalog = &engine.0.catalog;
        let channels = catalog.alert_channels().await?;
        let enabled = channels.iter().filter(|channel| channel.enabled);
        Ok(Self {
            routes: catalog.alert_routes().await?,
            channels: enabled.map(|channel: &AlertChannel| channel.id).collect(),
            now: engine.now(),
        })
    }

    /// Tells that `alert` begins, each channel by the first route that leads there.
    pub(super) fn open(&self, engine: &Engine, alert: &mut Alert) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for route in &self.routes {
            if !route.fits(alert) {
                continue;
            }
            for channel in route.channels.iter().filter(|id| self.channels.contains(id)) {
                if alert.told.iter().any(|told| told.channel_id == *channel) {
                    continue;
                }
                let (route_id, channel_id) = (route.id, *channel);
                alert.told.push(ToldThrough { route_id, channel_id, at: self.now });
                let item = DeliveryItem { alert_id: alert.id, change: AlertChange::Opened };
                deliveries.push(self.delivery(engine, route, channel_id, item, alert.severity));
            }
        }
        deliveries
    }

    /// Tells those who heard of `alert` that it is over.
    pub(super) fn close(&self, engine: &Engine, alert: &Alert) -> Vec<Delivery> {
        let item = DeliveryItem { alert_id: alert.id, change: AlertChange::Closed };
        let mut deliveries = Vec::new();
        for told in &alert.told {
            let Some(route) = self.way(alert, told).filter(|route| route.recoveries) else {
                continue;
            };
            // Nobody is woken for good news.
            let severity = Severity::Info;
            deliveries.push(self.delivery(engine, route, told.channel_id, item, severity));
        }
        deliveries
    }

    /// Reminds of `alert` where that was asked for and is due.
    pub(super) fn remind(&self, engine: &Engine, alert: &mut Alert) -> Vec<Delivery> {
        let item = DeliveryItem { alert_id: alert.id, change: AlertChange::Lasts };
        let mut deliveries = Vec::new();
        let mut all = std::mem::take(&mut alert.told);
        for told in &mut all {
            let Some(route) = self.way(alert, told) else { continue };
            let Some(hours) = route.remind_every_hours else { continue };
            let every = SignedDuration::from_hours(i64::from(hours));
            if self.now.duration_since(told.at).abs() < every {
                continue;
            }
            told.at = self.now;
            let channel = told.channel_id;
            deliveries.push(self.delivery(engine, route, channel, item, alert.severity));
        }
        alert.told = all;
        deliveries
    }

    /// The route that `told` took, while it and its channel are there; where it was removed, the
    /// first of the others that leads `alert` there.
    fn way(&self, alert: &Alert, told: &ToldThrough) -> Option<&AlertRoute> {
        if !self.channels.contains(&told.channel_id) {
            return None;
        }
        let taken = self.routes.iter().find(|route| route.id == told.route_id);
        let leads =
            |route: &&AlertRoute| route.fits(alert) && route.channels.contains(&told.channel_id);
        taken.or_else(|| self.routes.iter().find(leads)).filter(|route| route.enabled)
    }

    fn delivery(
        &self,
        engine: &Engine,
        route: &AlertRoute,
        channel_id: ChannelId,
        item: DeliveryItem,
        severity: Severity,
    ) -> Delivery {
        let until = route.holds_until(severity, self.now);
        Delivery {
            id: engine.new_id(DeliveryId::generate),
            channel_id,
            route_id: route.id,
            items: vec![item],
            digest: route.digest != DigestEvery::None,
            state: if until.is_some() { DeliveryState::Held } else { DeliveryState::Queued },
            attempts: 0,
            not_before: until.unwrap_or(self.now),
            created_at: self.now,
            ended_at: None,
            problem: None,
            fact: None,
        }
    }
}

/// Queues what was held until now, in one message for each route and channel; tells whether there
/// was any.
pub(super) async fn release(engine: &Engine) -> Result<bool, EngineError> {
    let now = engine.now();
    let mut ways: BTreeMap<(RouteId, ChannelId), Vec<Delivery>> = BTreeMap::new();
    for held in engine.0.catalog.held_until(now).await? {
        ways.entry((held.route_id, held.channel_id)).or_default().push(held);
    }
    for ((route_id, channel_id), held) in &ways {
        let merged = Delivery {
            id: engine.new_id(DeliveryId::generate),
            channel_id: *channel_id,
            route_id: *route_id,
            items: gathered(held),
            digest: held.iter().any(|one| one.digest),
            state: DeliveryState::Queued,
            attempts: 0,
            not_before: now,
            created_at: now,
            ended_at: None,
            problem: None,
            fact: None,
        };
        let ids: Vec<_> = held.iter().map(|one| one.id).collect();
        engine.0.catalog.release_held(&ids, &merged).await?;
    }
    Ok(!ways.is_empty())
}

/// The last word on each alert, in the order in which they were first told of.
fn gathered(held: &[Delivery]) -> Vec<DeliveryItem> {
    let mut items: Vec<DeliveryItem> = Vec::new();
    let mut known: HashSet<AlertId> = HashSet::new();
    for item in held.iter().flat_map(|one| &one.items) {
        if known.insert(item.alert_id) {
            items.push(*item);
        } else if item.change == AlertChange::Closed
            && let Some(before) = items.iter_mut().find(|one| one.alert_id == item.alert_id)
        {
            before.change = AlertChange::Closed;
        }
    }
    items
}
