//! Alerts: what is wrong now, what was, what was sent, and through which channels and routes.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Html,
};
use catalog::{AlertQuery, DeliveryQuery};
use engine::{DeliveryShown, Usual};
use jiff::SignedDuration;
use model::{
    Alert, AlertChannel, AlertRoute, AppId, ChannelId, DeliveryState, DigestEvery, Severity,
};
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    filters,
    format::When,
    lang::Lang,
    mark::Mark,
    page::{Nav, Page},
    visitor::Visitor,
    wording::{about, advice, page_of, what_is},
};

/// How many open alerts the page shows.
const OPEN: u64 = 200;
/// How many that are over.
const OVER: u64 = 10;
/// How many messages.
const SENT: u64 = 20;

/// An alert as the pages show it.
pub(super) struct AlertRow {
    pub(super) mark: Mark,
    pub(super) about: String,
    pub(super) what: String,
    pub(super) sentence: String,
    pub(super) advice: Option<String>,
    pub(super) href: String,
    pub(super) since: When,
    pub(super) until: Option<When>,
}

impl AlertRow {
    pub(super) fn new(alert: &Alert, visitor: &Visitor) -> Self {
        let lang = visitor.lang;
        let state =
            |class, word: &str| Mark { class, word: lang.t(&format!("alert-state-{word}")) };
        let mark = match (alert.closed_at, alert.withdrawn) {
            (None, _) => severity(lang, alert.severity),
            (Some(_), true) => state("disabled", "withdrawn"),
            (Some(_), false) if alert.kind.is_moment() => state("never", "told"),
            (Some(_), false) => state("good", "over"),
        };
        let (path, id) = page_of(alert);
        Self {
            mark,
            about: about(lang, alert),
            what: what_is(lang, alert),
            sentence: visitor.sentence(&alert.sentence),
            advice: alert.closed_at.is_none().then(|| advice(lang, alert.kind)),
            href: id.map_or_else(|| format!("/{path}"), |id| format!("/{path}/{id}")),
            since: visitor.when(alert.opened_at),
            until: alert
                .closed_at
                .filter(|_| !alert.kind.is_moment())
                .map(|until| visitor.when(until)),
        }
    }
}

fn severity(lang: Lang, severity: Severity) -> Mark {
    let class = match severity {
        Severity::Error => "failed",
        Severity::Warning => "partial",
        Severity::Info => "never",
    };
    Mark { class, word: lang.t(&format!("severity-{severity}")) }
}

/// A message as the page shows it.
struct DeliveryRow {
    mark: Mark,
    channel: String,
    tells: Vec<String>,
    when: When,
    tries: Option<String>,
    next: Option<String>,
    problem: Option<String>,
}

impl DeliveryRow {
    fn new(shown: &DeliveryShown, visitor: &Visitor) -> Self {
        let (lang, one) = (visitor.lang, &shown.delivery);
        let class = match one.state {
            DeliveryState::Held => "queued",
            DeliveryState::Queued if one.attempts > 0 => "late",
            DeliveryState::Queued => "running",
            DeliveryState::Sent => "good",
            DeliveryState::Failed => "failed",
        };
        let relative = visitor.when(one.not_before).relative;
        let tells = one.items.iter().zip(&shown.alerts).map(|(item, alert)| {
            let change = lang.t(&format!("change-{}", item.change));
            format!("{}: {} ({change})", about(lang, alert), what_is(lang, alert))
        });
        Self {
            mark: Mark { class, word: lang.t(&format!("delivery-{}", one.state)) },
            channel: shown.channel.clone(),
            tells: tells.collect(),
            when: visitor.when(one.ended_at.unwrap_or(one.created_at)),
            tries: (one.attempts > 1).then(|| lang.with("delivery-tries", "count", one.attempts)),
            next: match one.state {
                DeliveryState::Held => Some(lang.with("delivery-until", "when", relative)),
                DeliveryState::Queued if one.attempts > 0 => {
                    Some(lang.with("delivery-next", "when", relative))
                }
                _ => None,
            },
            problem: one.wrong().map(|wrong| visitor.sentence(&wrong)),
        }
    }
}

/// A channel as the pages show it.
pub(super) struct ChannelRow {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) mark: Mark,
    pub(super) tried: Option<When>,
    pub(super) problem: Option<String>,
    pub(super) routes: Vec<String>,
    pub(super) managed: Option<&'static str>,
}

impl ChannelRow {
    pub(super) fn new(one: &AlertChannel, routes: &[AlertRoute], visitor: &Visitor) -> Self {
        let lang = visitor.lang;
        let (class, word) = match &one.last_try {
            _ if !one.enabled => ("disabled", lang.t("channel-off")),
            None => ("never", lang.t("channel-untested")),
            Some(tried) if tried.problem.is_some() => ("failed", lang.t("channel-problem")),
            Some(_) => ("good", lang.t("channel-tested")),
        };
        let leads = |route: &&AlertRoute| route.channels.contains(&one.id);
        Self {
            name: one.name.to_string(),
            kind: lang.t(&format!("channel-kind-{}", one.kind)),
            mark: Mark { class, word },
            tried: one.last_try.as_ref().map(|tried| visitor.when(tried.at)),
            problem: one
                .last_try
                .as_ref()
                .and_then(|tried| Some(visitor.sentence(&tried.wrong()?))),
            routes: routes.iter().filter(leads).map(|route| route.name.to_string()).collect(),
            managed: one.managed_by.map(Into::into),
        }
    }
}

/// A route in words.
struct RouteRow {
    name: String,
    enabled: bool,
    apps: String,
    kinds: String,
    least: String,
    channels: Vec<String>,
    when: Vec<String>,
    managed: Option<&'static str>,
}

/// What ids are called.
pub(super) struct Names {
    pub(super) apps: HashMap<AppId, String>,
    pub(super) channels: HashMap<ChannelId, String>,
}

impl Names {
    pub(super) async fn read(web: &Web) -> Result<Self, Fault> {
        let apps = web.engine.catalog().all_apps().await?;
        let channels = web.engine.alert_channels().await?;
        Ok(Self {
            apps: apps.into_iter().map(|app| (app.id, app.name.to_string())).collect(),
            channels: channels.into_iter().map(|one| (one.id, one.name.to_string())).collect(),
        })
    }

    pub(super) fn app(&self, id: AppId) -> String {
        self.apps.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    pub(super) fn channel(&self, id: ChannelId) -> String {
        self.channels.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

impl RouteRow {
    fn new(route: &AlertRoute, names: &Names, lang: Lang) -> Self {
        let listed = |words: Vec<String>, all: String| {
            if words.is_empty() { all } else { words.join(", ") }
        };
        let zone = route.time_zone.to_string();
        let mut when = Vec::new();
        if let Some(quiet) = &route.quiet {
            let clock = |time: jiff::civil::Time| time.strftime("%H:%M").to_string();
            let values = [
                ("from", clock(quiet.from).into()),
                ("to", clock(quiet.to).into()),
                ("zone", zone.clone().into()),
            ];
            when.push(lang.fill("route-quiet-told", values));
        }
        let hour = format!("{:02}", route.digest_hour);
        let digest = |key: &str| {
            lang.fill(key, [("hour", hour.clone().into()), ("zone", zone.clone().into())])
        };
        match route.digest {
            DigestEvery::None => {}
            DigestEvery::Daily => when.push(digest("route-digest-daily-told")),
            DigestEvery::Weekly => when.push(digest("route-digest-weekly-told")),
        }
        if let Some(hours) = route.remind_every_hours {
            when.push(lang.with("route-reminds", "count", hours));
        }
        let apps = route.apps.iter().map(|id| {
            let gone = || format!("{} ({})", id, lang.t("route-app-gone"));
            names.apps.get(id).cloned().unwrap_or_else(gone)
        });
        Self {
            name: route.name.to_string(),
            enabled: route.enabled,
            apps: listed(apps.collect(), lang.t("route-apps-all")),
            kinds: listed(
                route.kinds.iter().map(|kind| kind_word(lang, *kind)).collect(),
                lang.t("route-kinds-all"),
            ),
            least: lang.t(&format!("route-least-{}", route.least)),
            channels: route.channels.iter().map(|id| names.channel(*id)).collect(),
            when,
            managed: route.managed_by.map(Into::into),
        }
    }
}

/// What a kind of alert is called.
pub(super) fn kind_word(lang: Lang, kind: model::AlertKind) -> String {
    lang.t(&format!("alert-kind-{}", kind.to_string().replace('_', "-")))
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    page: Page,
    open: Vec<AlertRow>,
    over: Vec<AlertRow>,
    sent: Vec<DeliveryRow>,
    channels: Vec<ChannelRow>,
    routes: Vec<RouteRow>,
}

pub(super) async fn page(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    let engine = &web.engine;
    let open =
        engine.alerts(AlertQuery { open: true, limit: OPEN, ..AlertQuery::default() }).await?;
    let over = AlertQuery { offset: open.len() as u64, limit: OVER, ..AlertQuery::default() };
    let over = engine.alerts(over).await?;
    let sent = engine.deliveries(DeliveryQuery { limit: SENT, ..DeliveryQuery::default() }).await?;
    let (channels, routes) = (engine.alert_channels().await?, engine.alert_routes().await?);
    let names = Names::read(&web).await?;
    Ok(show(&AlertsPage {
        page: visitor.page(visitor.t("nav-alerts"), Nav::Alerts),
        open: open.iter().map(|alert| AlertRow::new(alert, &visitor)).collect(),
        over: over
            .iter()
            .filter(|alert| alert.closed_at.is_some())
            .map(|alert| AlertRow::new(alert, &visitor))
            .collect(),
        sent: sent.iter().map(|one| DeliveryRow::new(one, &visitor)).collect(),
        channels: channels.iter().map(|one| ChannelRow::new(one, &routes, &visitor)).collect(),
        routes: routes.iter().map(|one| RouteRow::new(one, &names, visitor.lang)).collect(),
    }))
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    page: u64,
}

#[derive(Template)]
#[template(path = "alerts_all.html")]
struct AllPage {
    page: Page,
    rows: Vec<AlertRow>,
    before: Option<String>,
    after: Option<String>,
}

pub(super) async fn all(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    const PER_PAGE: u64 = 100;
    let number = asked.page.min(1 << 32);
    let query =
        AlertQuery { offset: number * PER_PAGE, limit: PER_PAGE + 1, ..AlertQuery::default() };
    let mut alerts = web.engine.alerts(query).await?;
    let more = alerts.len() as u64 > PER_PAGE;
    alerts.truncate(usize::try_from(PER_PAGE).unwrap_or(usize::MAX));
    Ok(show(&AllPage {
        page: visitor.page(visitor.t("alerts-all"), Nav::Alerts),
        rows: alerts.iter().map(|alert| AlertRow::new(alert, &visitor)).collect(),
        before: number.checked_sub(1).map(|page| format!("?page={page}")),
        after: more.then(|| format!("?page={}", number + 1)),
    }))
}

/// What an app's snapshots usually are, and how much is known of it.
pub(super) struct UsualPanel {
    pub(super) figures: Vec<(String, String)>,
    pub(super) sentence: String,
}

impl UsualPanel {
    pub(super) fn new(usual: &Usual, lang: Lang) -> Self {
        let secs = |secs: u64| {
            lang.measured(SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX)))
        };
        let figures = [
            (lang.t("usual-size"), usual.size_bytes.map(|bytes| lang.size(bytes))),
            (lang.t("usual-duration"), usual.duration_secs.map(secs)),
            (lang.t("usual-files"), usual.files.map(|files| lang.number(files))),
        ];
        let needed = usual.needed;
        Self {
            figures: figures.into_iter().filter_map(|(word, value)| Some((word, value?))).collect(),
            sentence: if usual.is_learned() {
                lang.with("usual-learned", "needed", needed)
            } else {
                let learned = usual.learned;
                lang.fill(
                    "usual-learning",
                    [("learned", learned.into()), ("needed", needed.into())],
                )
            },
        }
    }
}
