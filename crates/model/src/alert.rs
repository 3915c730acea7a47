//! What people are told of when something is wrong: alerts, the channels they go through, and the
//! routes that lead there.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    AlertId, AppId, ChannelId, DeliveryId, DestinationId, EventKind, Fact, ManagedBy, Name,
    RouteId, RunId, SealedSecret, Sentence, Severity, SnapshotId, schedule::TimeZoneName,
};

words! {
    /// What is wrong.
    #[derive(PartialOrd, Ord)]
    pub enum AlertKind {
        /// An app's last backup failed, with all its retries.
        BackupFailed,
        /// An app's last backup left a destination without a copy.
        BackupPartial,
        /// An app's newest good snapshot is older than its objective.
        Overdue,
        /// Retention of an app was refused or failed.
        RetentionFailed,
        /// A destination is full.
        DestinationFull,
        /// A destination cannot be reached or used.
        DestinationUnreachable,
        /// Copies at a destination, or its repository, are damaged or missing.
        CopyDamaged,
        /// An app's last drill failed.
        DrillFailed,
        /// An app's newest snapshot is of another size than usual.
        SizeAnomaly,
        /// An app's last backup took much longer than usual.
        DurationAnomaly,
        /// An app's newest snapshot has far more or far fewer files than usual.
        FileCountAnomaly,
        /// A part of a database's write-ahead log is missing.
        WalGap,
        /// The catalog's own copy could not be made or put somewhere.
        CatalogCopyFailed,
        /// Nobody has stored the recovery kit as it is now.
        RecoveryKitDue,
        /// The catalog was rebuilt, and waits for somebody to look.
        RecoveryHold,
        /// Fire times passed while nothing ran.
        FiresMissed,
        /// The clock moved in a way that no schedule can trust.
        ClockSkew,
        /// Something on this host is in no app.
        Uncovered,
        /// What a run stopped, paused or made on this host could not be put back.
        NotPutBack,
        /// `backups.yml` cannot be used.
        ConfigRejected,
        /// Labels of a container asked for what labels may not have.
        LabelsRefused,
    }
}

impl AlertKind {
    /// What an event of `kind` is told as, where the event is all there is of it. What lasts (a run
    /// that failed, a copy that is damaged) is seen from what is, and ends with it.
    pub fn of_event(kind: EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::FiresMissed => Self::FiresMissed,
            EventKind::ClockSkew => Self::ClockSkew,
            EventKind::Uncovered => Self::Uncovered,
            EventKind::NotPutBack => Self::NotPutBack,
            EventKind::ConfigRejected => Self::ConfigRejected,
            EventKind::LabelsRefused => Self::LabelsRefused,
            EventKind::WalGap => Self::WalGap,
            _ => return None,
        })
    }

    /// What tells an alert of this kind from others that last.
    pub fn key(self, app: Option<AppId>, destination: Option<DestinationId>) -> String {
        let part = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
        let app = part(app.map(|id| id.to_string()));
        let destination = part(destination.map(|id| id.to_string()));
        format!("{self} {app} {destination}")
    }

    /// Whether it is over as soon as it is told: nothing ends it, and nobody is told of an end.
    pub fn is_moment(self) -> bool {
        matches!(
            self,
            Self::WalGap
                | Self::FiresMissed
                | Self::ClockSkew
                | Self::Uncovered
                | Self::NotPutBack
                | Self::ConfigRejected
                | Self::LabelsRefused
        )
    }
}

/// One thing that is or was wrong: opened when it begins, closed when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Identity.
    pub id: AlertId,
    /// What is wrong.
    pub kind: AlertKind,
    /// How much it matters.
    pub severity: Severity,
    /// The app it concerns.
    pub app_id: Option<AppId>,
    /// That app's name at the time.
    pub app: Option<String>,
    /// The destination it concerns.
    pub destination_id: Option<DestinationId>,
    /// That destination's name at the time.
    pub destination: Option<String>,
    /// The run that shows it.
    pub run_id: Option<RunId>,
    /// The snapshot that shows it.
    pub snapshot_id: Option<SnapshotId>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it ended; `None` while it lasts.
    pub closed_at: Option<Timestamp>,
    /// Nobody looks any more (the app was disabled or removed): whether it is over is not known,
    /// and nobody is told that it is.
    #[serde(default)]
    pub withdrawn: bool,
    /// One sentence without secrets.
    #[serde(flatten)]
    pub sentence: Sentence,
    /// Through which routes people were told, and who is told when it ends.
    #[serde(default)]
    pub told: Vec<ToldThrough>,
}

impl Alert {
    /// What tells it from the others that are open: kind, app and destination; of moments each is
    /// its own.
    pub fn key(&self) -> String {
        if self.kind.is_moment() {
            return self.id.to_string();
        }
        self.kind.key(self.app_id, self.destination_id)
    }
}

/// A way that an alert took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToldThrough {
    /// The route.
    pub route_id: RouteId,
    /// The channel it leads to.
    pub channel_id: ChannelId,
    /// When people were last told.
    pub at: Timestamp,
}

words! {
    /// Where messages go.
    #[strum(parse_err_ty = UnknownChannelKind, parse_err_fn = unknown_kind)]
    pub enum ChannelKind {
        /// E-mail, by SMTP.
        Email,
        /// A Telegram chat.
        Telegram,
        /// JSON to an address of one's own.
        Webhook,
        /// A topic of ntfy.
        Ntfy,
        /// A Slack channel.
        Slack,
        /// A Discord channel.
        Discord,
        /// An application of Gotify.
        Gotify,
        /// A check of Healthchecks, which also hears that all is well.
        Healthchecks,
    }
}

/// A word that is not a kind of channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kind of channel: use email, telegram, webhook, ntfy, slack, discord, gotify \
     or healthchecks"
)]
pub struct UnknownChannelKind(pub String);

impl From<UnknownChannelKind> for Fact {
    fn from(error: UnknownChannelKind) -> Self {
        Self::NoChannelKind { word: error.0 }
    }
}

fn unknown_kind(word: &str) -> UnknownChannelKind {
    UnknownChannelKind(word.chars().take(64).collect())
}

/// A place that people are told at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChannel {
    /// Identity; stays when the channel is renamed.
    pub id: ChannelId,
    /// Unique among channels, compared without case.
    pub name: Name,
    /// What it is.
    pub kind: ChannelKind,
    /// A disabled channel gets nothing.
    pub enabled: bool,
    /// The language of its messages, such as `en`.
    pub language: String,
    /// Settings that may be shown, by the kind's own keys.
    pub settings: BTreeMap<String, String>,
    /// Settings that may not.
    pub secrets: BTreeMap<String, SealedSecret>,
    /// Who keeps it as it is, where that is not people.
    #[serde(default)]
    pub managed_by: Option<ManagedBy>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// Counts edits.
    pub version: i64,
    /// What came of the last try to send something.
    #[serde(default)]
    pub last_try: Option<ChannelTry>,
}

/// What came of a try to send something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelTry {
    /// When.
    pub at: Timestamp,
    /// What was wrong; `None` when it was taken.
    pub problem: Option<String>,
    /// The same without its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Box<Fact>>,
}

impl ChannelTry {
    /// A try that ended well, or with what was `wrong`.
    pub fn new(at: Timestamp, wrong: Option<Sentence>) -> Self {
        let (problem, fact) = apart(wrong);
        Self { at, problem, fact }
    }

    /// What was wrong, for pages.
    pub fn wrong(&self) -> Option<Sentence> {
        together(self.problem.as_ref(), self.fact.as_deref())
    }
}

fn apart(wrong: Option<Sentence>) -> (Option<String>, Option<Box<Fact>>) {
    wrong.map_or((None, None), |wrong| (Some(wrong.message), wrong.fact.map(Box::new)))
}

fn together(problem: Option<&String>, fact: Option<&Fact>) -> Option<Sentence> {
    Some(Sentence { message: problem?.clone(), fact: fact.cloned() })
}

/// Which alerts go where, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertRoute {
    /// Identity; stays when the route is renamed.
    pub id: RouteId,
    /// Unique among routes, compared without case.
    pub name: Name,
    /// Routes are looked at from the lowest; a channel is told by the first route that leads there.
    pub position: u32,
    /// A disabled route leads nowhere.
    pub enabled: bool,
    /// Apps it is for; empty is all, and what concerns no app.
    pub apps: Vec<AppId>,
    /// What it is for; empty is everything.
    pub kinds: Vec<AlertKind>,
    /// What matters less does not go this way.
    pub least: Severity,
    /// Where it leads.
    pub channels: Vec<ChannelId>,
    /// Whether people are told when it is over.
    pub recoveries: bool,
    /// Hours between two messages of what lasts; `None` tells it once.
    pub remind_every_hours: Option<u32>,
    /// When messages wait.
    pub quiet: Option<QuietHours>,
    /// Whether messages are gathered.
    pub digest: DigestEvery,
    /// The hour at which what was gathered goes out, 0 to 23.
    pub digest_hour: u8,
    /// Whose wall clock quiet hours and digests follow.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "Europe/Madrid"))]
    pub time_zone: TimeZoneName,
    /// Who keeps it as it is, where that is not people.
    #[serde(default)]
    pub managed_by: Option<ManagedBy>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// Counts edits.
    pub version: i64,
}

/// A part of the day, over midnight where it ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuietHours {
    /// The first minute of it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "22:00:00"))]
    pub from: Time,
    /// The first minute after it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "07:00:00"))]
    pub to: Time,
    /// Errors do not wait.
    pub urgent_breaks_quiet: bool,
}

words! {
    /// How often gathered messages go out.
    #[derive(Default)]
    pub enum DigestEvery {
        /// Each goes out by itself.
        #[default]
        None,
        /// Every day.
        Daily,
        /// Every Monday.
        Weekly,
    }
}

impl QuietHours {
    /// When it is over, where `now` is in it.
    pub fn until(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = now.to_zoned(zone.clone());
        let (time, today) = (local.time(), local.date());
        let over_midnight = self.to <= self.from;
        let day = if over_midnight && time >= self.from {
            today.tomorrow().ok()?
        } else if time < self.to && (over_midnight || time >= self.from) {
            today
        } else {
            return None;
        };
        let end = day.to_datetime(self.to).to_zoned(zone.clone()).ok()?.timestamp();
        (end > now).then_some(end)
    }
}

impl AlertRoute {
    /// Whether `alert` goes this way.
    pub fn fits(&self, alert: &Alert) -> bool {
        self.enabled
            && alert.severity >= self.least
            && (self.kinds.is_empty() || self.kinds.contains(&alert.kind))
            && (self.apps.is_empty() || alert.app_id.is_some_and(|id| self.apps.contains(&id)))
    }

    /// Until when a message of `severity` waits; `None` goes out now.
    pub fn holds_until(&self, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        let zone = self.time_zone.zone();
        if self.digest != DigestEvery::None {
            return self.next_digest(now, &zone);
        }
        let quiet = self.quiet?;
        if quiet.urgent_breaks_quiet && severity == Severity::Error {
            return None;
        }
        quiet.until(now, &zone)
    }

    /// The next time that a digest goes out.
    fn next_digest(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let at = Time::new(i8::try_from(self.digest_hour).ok()?, 0, 0, 0).ok()?;
        let mut day = now.to_zoned(zone.clone()).date();
        // Eight days hold every weekday, also where today's hour has passed.
        for _ in 0..=8 {
            let is_day =
                self.digest != DigestEvery::Weekly || day.weekday() == jiff::civil::Weekday::Monday;
            let fire = day.to_datetime(at).to_zoned(zone.clone()).ok()?.timestamp();
            if is_day && fire > now {
                return Some(fire);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

/// A message to one channel: queued until it is taken or given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Identity; the message has the same one on each try.
    pub id: DeliveryId,
    /// Where it goes.
    pub channel_id: ChannelId,
    /// The route that led there.
    pub route_id: RouteId,
    /// What it tells; several where it was held or gathered.
    pub items: Vec<DeliveryItem>,
    /// Whether it is a digest, however few items it has.
    pub digest: bool,
    /// Where it stands.
    pub state: DeliveryState,
    /// How many times it was tried.
    pub attempts: u32,
    /// Not to be tried earlier.
    pub not_before: Timestamp,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was taken or given up.
    pub ended_at: Option<Timestamp>,
    /// What was wrong at the last try.
    pub problem: Option<String>,
    /// The same without its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Box<Fact>>,
}

impl Delivery {
    /// The same after a try that ended well, or with what was `wrong`.
    #[must_use]
    pub fn tried(self, wrong: Option<Sentence>) -> Self {
        let (problem, fact) = apart(wrong);
        Self { problem, fact, ..self }
    }

    /// What was wrong at the last try, for pages.
    pub fn wrong(&self) -> Option<Sentence> {
        together(self.problem.as_ref(), self.fact.as_deref())
    }
}

/// One thing that a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryItem {
    /// Of which alert.
    pub alert_id: AlertId,
    /// What of it.
    pub change: AlertChange,
}

words! {
    /// What is told of an alert.
    pub enum AlertChange {
        /// It began.
        Opened,
        /// It still lasts.
        Lasts,
        /// It is over.
        Closed,
    }
}

words! {
    /// Where a message stands.
    pub enum DeliveryState {
        /// Waits for the end of quiet hours or for its digest.
        Held,
        /// Waits for the sender, or for the next try.
        Queued,
        /// Taken by the channel.
        Sent,
        /// Given up.
        Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn route(digest: DigestEvery, quiet: Option<(&str, &str)>) -> AlertRoute {
        let mut rng = rand::rng();
        AlertRoute {
            id: RouteId::generate(Timestamp::UNIX_EPOCH, &mut rng),
            name: "all".parse().unwrap(),
            position: 0,
            enabled: true,
            apps: vec![],
            kinds: vec![],
            least: Severity::Warning,
            channels: vec![],
            recoveries: true,
            remind_every_hours: None,
            quiet: quiet.map(|(from, to)| QuietHours {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                urgent_breaks_quiet: true,
            }),
            digest,
            digest_hour: 8,
            time_zone: "Europe/Madrid".parse().unwrap(),
            managed_by: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version: 1,
        }
    }

    #[test]
    fn quiet_hours_go_over_midnight_and_errors_break_them() {
        let night = route(DigestEvery::None, Some(("22:00", "07:00")));
        let held = |text| night.holds_until(Severity::Warning, at(text));
        // In winter Madrid is an hour ahead.
        assert_eq!(held("2026-01-10T20:59:59Z"), None);
        assert_eq!(held("2026-01-10T21:00:00Z"), Some(at("2026-01-11T06:00:00Z")));
        assert_eq!(held("2026-01-11T05:59:59Z"), Some(at("2026-01-11T06:00:00Z")));
        assert_eq!(held("2026-01-11T06:00:00Z"), None);
        assert_eq!(night.holds_until(Severity::Error, at("2026-01-10T23:00:00Z")), None);
        let noon = route(DigestEvery::None, Some(("12:00", "13:00")));
        let held = |text| noon.holds_until(Severity::Warning, at(text));
        assert_eq!(held("2026-01-10T10:59:00Z"), None);
        assert_eq!(held("2026-01-10T11:30:00Z"), Some(at("2026-01-10T12:00:00Z")));
        assert_eq!(held("2026-01-10T12:00:00Z"), None);
        // The night that the clock is set back is an hour longer, and ends as any other.
        let held = night.holds_until(Severity::Warning, at("2026-10-24T21:00:00Z"));
        assert_eq!(held, Some(at("2026-10-25T06:00:00Z")));
    }

    #[test]
    fn an_hour_that_the_clock_skips_or_repeats_holds_nothing_twice() {
        // On the 29th of March it goes from two to three: the end that is not there is passed.
        let short = route(DigestEvery::None, Some(("22:00", "02:30")));
        let held = |text| short.holds_until(Severity::Warning, at(text));
        assert_eq!(held("2026-03-28T22:00:00Z"), Some(at("2026-03-29T01:30:00Z")));
        assert_eq!(held("2026-03-29T01:30:00Z"), None);
        // It begins in the hour that is not there: who is past it is in it.
        let early = route(DigestEvery::None, Some(("02:15", "07:00")));
        let held = |text| early.holds_until(Severity::Warning, at(text));
        assert_eq!(held("2026-03-29T00:59:59Z"), None);
        assert_eq!(held("2026-03-29T01:00:00Z"), Some(at("2026-03-29T05:00:00Z")));
        // On the 25th of October half past two is twice: quiet ends by the first, for good.
        let held = |text| short.holds_until(Severity::Warning, at(text));
        assert_eq!(held("2026-10-25T00:29:00Z"), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(held("2026-10-25T00:30:00Z"), None);
        assert_eq!(held("2026-10-25T01:10:00Z"), None);
        // A digest goes out by the wall clock, and once, on both days.
        let mut daily = route(DigestEvery::Daily, None);
        let next = |route: &AlertRoute, text| route.holds_until(Severity::Error, at(text));
        assert_eq!(next(&daily, "2026-03-28T12:00:00Z"), Some(at("2026-03-29T06:00:00Z")));
        assert_eq!(next(&daily, "2026-10-24T12:00:00Z"), Some(at("2026-10-25T07:00:00Z")));
        daily.digest_hour = 2;
        assert_eq!(next(&daily, "2026-03-28T12:00:00Z"), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(next(&daily, "2026-03-29T01:00:00Z"), Some(at("2026-03-30T00:00:00Z")));
        assert_eq!(next(&daily, "2026-10-24T12:00:00Z"), Some(at("2026-10-25T00:00:00Z")));
        assert_eq!(next(&daily, "2026-10-25T00:00:00Z"), Some(at("2026-10-26T01:00:00Z")));
    }

    #[test]
    fn digests_go_out_at_their_hour() {
        let daily = route(DigestEvery::Daily, None);
        let next = |text| daily.holds_until(Severity::Error, at(text));
        assert_eq!(next("2026-01-10T06:59:00Z"), Some(at("2026-01-10T07:00:00Z")));
        assert_eq!(next("2026-01-10T07:00:00Z"), Some(at("2026-01-11T07:00:00Z")));
        let weekly = route(DigestEvery::Weekly, None);
        // A Monday.
        let next = |text| weekly.holds_until(Severity::Error, at(text));
        assert_eq!(next("2026-01-12T06:00:00Z"), Some(at("2026-01-12T07:00:00Z")));
        assert_eq!(next("2026-01-12T07:00:00Z"), Some(at("2026-01-19T07:00:00Z")));
    }
}
