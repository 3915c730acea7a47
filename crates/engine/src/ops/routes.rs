//! Which alerts go where: adding, editing and removing routes; and what was told.

use std::collections::{HashMap, hash_map::Entry};

use catalog::{AlertQuery, DeliveryQuery};
use jiff::civil::Time;
use model::{
    Alert, AlertChannel, AlertKind, AlertRoute, App, Delivery, DigestEvery, Fact, Name, QuietHours,
    RouteId, Severity, schedule::TimeZoneName,
};
use serde::{Deserialize, Serialize};

use super::{managed::refuse_if_managed, validate};
use crate::{Engine, EngineError, FieldError};

/// Longest time between two reminders, in hours.
const MAX_REMIND_HOURS: u32 = 24 * 30;
const MAX_POSITION: u32 = 10_000;

/// A route as somebody describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RouteDraft {
    /// Unique name.
    pub name: String,
    /// Routes are looked at from the lowest; a channel is told by the first that leads there.
    pub position: u32,
    /// Whether it leads anywhere.
    pub enabled: bool,
    /// Names of the apps it is for; empty is all, and what concerns no app.
    pub apps: Vec<String>,
    /// What it is for; empty is everything.
    pub kinds: Vec<String>,
    /// What matters less does not go this way: `info`, `warning` or `error`.
    pub least: String,
    /// Names of the channels it leads to.
    pub channels: Vec<String>,
    /// Whether people are told when it is over.
    pub recoveries: bool,
    /// Hours between two messages of what lasts; `null` tells it once.
    pub remind_every_hours: Option<u32>,
    /// When messages begin to wait, as `22:00`; empty is never.
    pub quiet_from: String,
    /// When they end to, as `07:00`.
    pub quiet_to: String,
    /// Errors do not wait.
    pub urgent_breaks_quiet: bool,
    /// Whether messages are gathered: `none`, `daily` or `weekly`.
    pub digest: String,
    /// The hour at which what was gathered goes out, 0 to 23.
    pub digest_hour: u8,
    /// Whose wall clock quiet hours and digests follow; empty is UTC.
    pub time_zone: String,
}

impl Default for RouteDraft {
    fn default() -> Self {
        Self {
            name: String::new(),
            position: 0,
            enabled: true,
            apps: Vec::new(),
            kinds: Vec::new(),
            least: Severity::Warning.to_string(),
            channels: Vec::new(),
            recoveries: true,
            remind_every_hours: None,
            quiet_from: String::new(),
            quiet_to: String::new(),
            urgent_breaks_quiet: true,
            digest: DigestEvery::None.to_string(),
            digest_hour: 8,
            time_zone: String::new(),
        }
    }
}

/// A message, with what it tells.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryShown {
    /// The message.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The channel's name, also of one that was removed.
    pub channel: String,
    /// The alerts it tells of, one for each item.
    pub alerts: Vec<Alert>,
}

impl Engine {
    /// Every route, in the order in which they are looked at.
    pub async fn alert_routes(&self) -> Result<Vec<AlertRoute>, EngineError> {
        Ok(self.0.catalog.alert_routes().await?)
    }

    /// A route by its name or id.
    pub async fn alert_route(&self, name: &str) -> Result<AlertRoute, EngineError> {
        Ok(self.0.catalog.alert_route_by_name(name).await?)
    }

    /// Adds a route.
    pub async fn add_alert_route(&self, draft: RouteDraft) -> Result<AlertRoute, EngineError> {
        let route = self.described_route(self.blank_route()?, draft).await?;
        self.0.catalog.insert_alert_route(&route).await?;
        Ok(route)
    }

    /// Changes a route that was read at `version`.
    pub async fn edit_alert_route(
        &self,
        id: RouteId,
        version: i64,
        draft: RouteDraft,
    ) -> Result<AlertRoute, EngineError> {
        let current = AlertRoute { version, ..self.0.catalog.alert_route(id).await? };
        refuse_if_managed(&current.name, current.managed_by)?;
        let route = self.described_route(current, draft).await?;
        Ok(self.0.catalog.update_alert_route(&route, self.now()).await?)
    }

    /// Removes a route. What it held goes out with the next look.
    pub async fn remove_alert_route(&self, id: RouteId) -> Result<(), EngineError> {
        let route = self.0.catalog.alert_route(id).await?;
        refuse_if_managed(&route.name, route.managed_by)?;
        Ok(self.0.catalog.remove_alert_route(id, self.now()).await?)
    }

    /// Alerts, open ones first, then the newest first.
    pub async fn alerts(&self, query: AlertQuery) -> Result<Vec<Alert>, EngineError> {
        Ok(self.0.catalog.alerts(query).await?)
    }

    /// Messages, newest first.
    pub async fn deliveries(
        &self,
        query: DeliveryQuery,
    ) -> Result<Vec<DeliveryShown>, EngineError> {
        let catalog = &self.0.catalog;
        let mut names: HashMap<_, String> = HashMap::new();
        let mut shown = Vec::new();
        for delivery in catalog.deliveries(query).await? {
            let channel = match names.entry(delivery.channel_id) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(unknown) => {
                    let channel = catalog.alert_channel(delivery.channel_id).await?;
                    unknown.insert(channel.name.to_string()).clone()
                }
            };
            let mut alerts = Vec::new();
            for item in &delivery.items {
                alerts.push(catalog.alert(item.alert_id).await?);
            }
            shown.push(DeliveryShown { delivery, channel, alerts });
        }
        Ok(shown)
    }

    pub(super) fn blank_route(&self) -> Result<AlertRoute, EngineError> {
        let now = self.now();
        Ok(AlertRoute {
            id: self.new_id(RouteId::generate),
            name: "x".parse().map_err(|error| EngineError::invalid("name", error))?,
            position: 0,
            enabled: true,
            apps: Vec::new(),
            kinds: Vec::new(),
            least: Severity::Warning,
            channels: Vec::new(),
            recoveries: true,
            remind_every_hours: None,
            quiet: None,
            digest: DigestEvery::None,
            digest_hour: 8,
            time_zone: TimeZoneName::utc(),
            managed_by: None,
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    async fn described_route(
        &self,
        route: AlertRoute,
        draft: RouteDraft,
    ) -> Result<AlertRoute, EngineError> {
        let catalog = &self.0.catalog;
        described_among(route, &draft, &catalog.all_apps().await?, &catalog.alert_channels().await?)
    }
}

/// `route` as `draft` has it, among these apps and channels.
pub(super) fn described_among(
    mut route: AlertRoute,
    draft: &RouteDraft,
    apps: &[App],
    channels: &[AlertChannel],
) -> Result<AlertRoute, EngineError> {
    let mut errors = Vec::new();
    if let Some(name) = validate::name("name", &draft.name, &mut errors) {
        route.name = name;
    }
    route.enabled = draft.enabled;
    route.recoveries = draft.recoveries;
    route.position = draft.position;
    route.digest_hour = draft.digest_hour;
    route.remind_every_hours = draft.remind_every_hours;
    let mut wrong = |is_wrong: bool, field: &str, what: Fact| {
        if is_wrong {
            errors.push(FieldError::new(field, what));
        }
    };
    let position = Fact::NumberWithin { least: 0, most: u64::from(MAX_POSITION) };
    wrong(draft.position > MAX_POSITION, "position", position);
    wrong(draft.digest_hour > 23, "digest_hour", Fact::HourOfDay {});
    let is_time = |hours| !(1..=MAX_REMIND_HOURS).contains(&hours);
    let hours = Fact::HoursWithin { least: 1, most: u64::from(MAX_REMIND_HOURS) };
    wrong(draft.remind_every_hours.is_some_and(is_time), "remind_every_hours", hours);
    wrong(draft.channels.is_empty(), "channels", Fact::OneChannel {});
    settle(&mut route.least, &draft.least, ("least", Fact::LeastSeverity {}), &mut errors);
    let words = ("digest", Fact::DigestWords {});
    settle(&mut route.digest, &draft.digest, words, &mut errors);
    route.time_zone = TimeZoneName::utc();
    if !draft.time_zone.trim().is_empty() {
        match draft.time_zone.parse() {
            Ok(zone) => route.time_zone = zone,
            Err(error) => errors.push(FieldError::new("time_zone", error)),
        }
    }
    route.quiet = quiet(draft, &mut errors);
    route.kinds.clear();
    for (n, kind) in draft.kinds.iter().enumerate() {
        match kind.trim().parse::<AlertKind>() {
            Ok(kind) if route.kinds.contains(&kind) => {}
            Ok(kind) => route.kinds.push(kind),
            Err(_) => {
                errors.push(FieldError::new(format!("kinds[{n}]"), Fact::NoAlertKind {}));
            }
        }
    }
    route.apps.clear();
    for (n, name) in draft.apps.iter().enumerate() {
        match apps.iter().find(|one| is_meant(&one.name, one.id, name)) {
            Some(app) if route.apps.contains(&app.id) => {}
            Some(app) => route.apps.push(app.id),
            None => {
                let told = Fact::NoSuchApp { name: quoted(name) };
                errors.push(FieldError::new(format!("apps[{n}]"), told));
            }
        }
    }
    route.channels.clear();
    for (n, name) in draft.channels.iter().enumerate() {
        match channels.iter().find(|one| is_meant(&one.name, one.id, name)) {
            Some(channel) if route.channels.contains(&channel.id) => {}
            Some(channel) => route.channels.push(channel.id),
            None => {
                let told = Fact::NoSuchChannel { name: quoted(name) };
                errors.push(FieldError::new(format!("channels[{n}]"), told));
            }
        }
    }
    if errors.is_empty() { Ok(route) } else { Err(EngineError::Invalid(errors)) }
}

fn is_meant(name: &Name, id: impl ToString, wanted: &str) -> bool {
    let wanted = wanted.trim();
    name.as_str().eq_ignore_ascii_case(wanted) || id.to_string() == wanted.to_lowercase()
}

/// What somebody wrote, short and without what would steer a terminal.
fn quoted(text: &str) -> String {
    text.trim().chars().take(64).collect::<String>().escape_debug().to_string()
}

fn settle<T: std::str::FromStr>(
    value: &mut T,
    text: &str,
    (field, words): (&str, Fact),
    errors: &mut Vec<FieldError>,
) {
    match text.trim().parse() {
        Ok(parsed) => *value = parsed,
        Err(_) => errors.push(FieldError::new(field, words)),
    }
}

fn quiet(draft: &RouteDraft, errors: &mut Vec<FieldError>) -> Option<QuietHours> {
    let (from, to) = (draft.quiet_from.trim(), draft.quiet_to.trim());
    if from.is_empty() && to.is_empty() {
        return None;
    }
    let mut time = |field: &str, text: &str| -> Option<Time> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            errors.push(FieldError::new(field, Fact::TimeOfDay {}));
        }
        parsed
    };
    let (from, to) = (time("quiet_from", from), time("quiet_to", to));
    let (from, to) = (from?, to?);
    if from == to {
        errors.push(FieldError::new("quiet_to", Fact::OtherTime {}));
        return None;
    }
    Some(QuietHours { from, to, urgent_breaks_quiet: draft.urgent_breaks_quiet })
}
