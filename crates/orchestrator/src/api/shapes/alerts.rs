//! Channels and routes of alerts as the API shows them: of secrets, only which there are; apps and
//! channels by their names.

use std::collections::BTreeMap;

use engine::{ChannelDraft, RouteDraft};
use jiff::Timestamp;
use model::{
    AlertChannel, AlertKind, AlertRoute, AppId, ChannelId, ChannelKind, ChannelTry, DigestEvery,
    ManagedBy, Name, RouteId, Severity,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A place that people are told at, without its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertChannel)]
pub(in crate::api) struct ChannelShown {
    /// Identity; stays when the channel is renamed.
    id: ChannelId,
    /// Unique among channels, compared without case.
    name: Name,
    /// What it is.
    kind: ChannelKind,
    /// A disabled channel gets nothing.
    enabled: bool,
    /// The language of its messages, such as `en`.
    language: String,
    /// Settings by the kind's own keys.
    settings: BTreeMap<String, String>,
    /// Which secrets it has.
    secrets: Vec<String>,
    /// Who keeps it as it is, where that is not people.
    managed_by: Option<ManagedBy>,
    /// When it was added.
    created_at: Timestamp,
    /// When it was last edited.
    updated_at: Timestamp,
    /// Counts edits; an edit names the version it saw.
    version: i64,
    /// What came of the last try to send something.
    last_try: Option<ChannelTry>,
}

impl From<AlertChannel> for ChannelShown {
    fn from(one: AlertChannel) -> Self {
        Self {
            id: one.id,
            name: one.name,
            kind: one.kind,
            enabled: one.enabled,
            language: one.language,
            settings: one.settings,
            secrets: one.secrets.into_keys().collect(),
            managed_by: one.managed_by,
            created_at: one.created_at,
            updated_at: one.updated_at,
            version: one.version,
            last_try: one.last_try,
        }
    }
}

/// An edit of a channel; it names the version it saw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ChannelEdit {
    /// The version that was edited.
    pub(in crate::api) version: i64,
    #[serde(flatten)]
    pub(in crate::api) draft: ChannelDraft,
}

/// A kind of channel, and what it takes.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ChannelKindShown {
    /// The kind.
    kind: ChannelKind,
    /// Its settings and secrets.
    fields: Vec<ChannelFieldShown>,
}

/// A setting of a kind of channel.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ChannelFieldShown {
    /// Its name.
    key: &'static str,
    /// It belongs into `secrets`, and is never shown.
    secret: bool,
    /// Nothing works without it.
    required: bool,
    /// What holds where nothing is given.
    default: Option<&'static str>,
    /// The words it may be; empty where it is free.
    choices: Vec<&'static str>,
}

impl ChannelKindShown {
    pub(in crate::api) fn new(kind: ChannelKind) -> Self {
        let fields = kind.to_string().parse::<notify::Kind>().map(notify::Kind::fields);
        let shown = |field: &notify::Field| ChannelFieldShown {
            key: field.key,
            secret: field.secret,
            required: field.required,
            default: field.default,
            choices: field.choices.to_vec(),
        };
        Self { kind, fields: fields.unwrap_or_default().iter().map(shown).collect() }
    }
}

/// Which alerts go where, and when. Its members are those of a draft.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertRoute)]
pub(in crate::api) struct RouteShown {
    /// Identity; stays when the route is renamed.
    id: RouteId,
    /// Unique among routes, compared without case.
    name: Name,
    /// Routes are looked at from the lowest; a channel is told by the first that leads there.
    position: u32,
    /// A disabled route leads nowhere.
    enabled: bool,
    /// Names of the apps it is for; empty is all, and what concerns no app.
    apps: Vec<String>,
    /// What it is for; empty is everything.
    kinds: Vec<AlertKind>,
    /// What matters less does not go this way.
    least: Severity,
    /// Names of the channels it leads to.
    channels: Vec<String>,
    /// Whether people are told when it is over.
    recoveries: bool,
    /// Hours between two messages of what lasts; `null` tells it once.
    remind_every_hours: Option<u32>,
    /// When messages begin to wait, as `22:00`; empty is never.
    quiet_from: String,
    /// When they end to.
    quiet_to: String,
    /// Errors do not wait.
    urgent_breaks_quiet: bool,
    /// Whether messages are gathered.
    digest: DigestEvery,
    /// The hour at which what was gathered goes out, 0 to 23.
    digest_hour: u8,
    /// Whose wall clock quiet hours and digests follow.
    time_zone: String,
    /// Who keeps it as it is, where that is not people.
    managed_by: Option<ManagedBy>,
    /// When it was added.
    created_at: Timestamp,
    /// When it was last edited.
    updated_at: Timestamp,
    /// Counts edits; an edit names the version it saw.
    version: i64,
}

impl RouteShown {
    pub(in crate::api) fn new(
        one: &AlertRoute,
        app: impl Fn(AppId) -> String,
        channel: impl Fn(ChannelId) -> String,
    ) -> Self {
        let draft = draft_of(one, app, channel);
        Self {
            id: one.id,
            name: one.name.clone(),
            position: one.position,
            enabled: one.enabled,
            apps: draft.apps,
            kinds: one.kinds.clone(),
            least: one.least,
            channels: draft.channels,
            recoveries: one.recoveries,
            remind_every_hours: one.remind_every_hours,
            quiet_from: draft.quiet_from,
            quiet_to: draft.quiet_to,
            urgent_breaks_quiet: draft.urgent_breaks_quiet,
            digest: one.digest,
            digest_hour: one.digest_hour,
            time_zone: draft.time_zone,
            managed_by: one.managed_by,
            created_at: one.created_at,
            updated_at: one.updated_at,
            version: one.version,
        }
    }
}

/// An edit of a route; it names the version it saw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RouteEdit {
    /// The version that was edited.
    pub(in crate::api) version: i64,
    #[serde(flatten)]
    pub(in crate::api) draft: RouteDraft,
}

/// A route as somebody would describe it, its apps and channels by their names.
pub(crate) fn draft_of(
    one: &AlertRoute,
    app: impl Fn(AppId) -> String,
    channel: impl Fn(ChannelId) -> String,
) -> RouteDraft {
    let clock = |time: jiff::civil::Time| time.strftime("%H:%M").to_string();
    RouteDraft {
        name: one.name.to_string(),
        position: one.position,
        enabled: one.enabled,
        apps: one.apps.iter().map(|id| app(*id)).collect(),
        kinds: one.kinds.iter().map(ToString::to_string).collect(),
        least: one.least.to_string(),
        channels: one.channels.iter().map(|id| channel(*id)).collect(),
        recoveries: one.recoveries,
        remind_every_hours: one.remind_every_hours,
        quiet_from: one.quiet.map(|quiet| clock(quiet.from)).unwrap_or_default(),
        quiet_to: one.quiet.map(|quiet| clock(quiet.to)).unwrap_or_default(),
        urgent_breaks_quiet: one.quiet.is_none_or(|quiet| quiet.urgent_breaks_quiet),
        digest: one.digest.to_string(),
        digest_hour: one.digest_hour,
        time_zone: one.time_zone.to_string(),
    }
}
