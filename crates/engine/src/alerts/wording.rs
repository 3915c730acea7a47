//! What is said, before it is in words.

use model::{Alert, AlertChange, Severity};
use notify::{Level, Message};

/// What a message tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something is wrong.
    Opened(Alert),
    /// It still is.
    Lasts(Alert),
    /// It is over.
    Closed(Alert),
    /// What was held or gathered, oldest first. What began and ended meanwhile is there once, as
    /// closed.
    Digest(Vec<DigestEntry>),
    /// A message of trial.
    Test,
    /// What is open among what the channel hears of, where nothing new is to be told: for channels
    /// that want to hear that all is well.
    Heartbeat(Vec<Alert>),
}

/// One thing in a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestEntry {
    /// What of it.
    pub change: AlertChange,
    /// The alert as it is now.
    pub alert: Alert,
}

/// Puts notices into words.
pub trait Wording: Send + Sync + std::fmt::Debug {
    /// Languages it knows, as channels name them; the first is the default.
    fn languages(&self) -> &'static [&'static str];

    /// `notice` in `language`. Whoever sends it sets its `id` and `at`.
    fn message(&self, language: &str, notice: &Notice) -> Message;
}

/// English without templates: for engines that send nothing to people.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainWording;

impl Wording for PlainWording {
    fn languages(&self) -> &'static [&'static str] {
        &["en"]
    }

    fn message(&self, _language: &str, notice: &Notice) -> Message {
        let mut message = Message {
            id: String::new(),
            level: notice.level(),
            title: String::new(),
            body: String::new(),
            facts: Vec::new(),
            link: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            data: serde_json::Value::Null,
        };
        match notice {
            Notice::Opened(alert) | Notice::Lasts(alert) | Notice::Closed(alert) => {
                let change = notice.change();
                message.title = title(change, alert);
                message.body = alert.sentence.to_string();
                message.data = serde_json::json!({ "change": change, "alert": alert });
            }
            Notice::Digest(entries) => {
                message.title = format!("{} alerts", entries.len());
                let lines = entries.iter().map(|one| title(Some(one.change), &one.alert));
                message.body = lines.collect::<Vec<_>>().join("\n");
                let told = entries.iter().map(|one| (one.change, &one.alert));
                message.data = serde_json::json!({ "digest": told.collect::<Vec<_>>() });
            }
            Notice::Test => {
                "test".clone_into(&mut message.title);
                message.data = serde_json::json!({ "kind": "test" });
            }
            Notice::Heartbeat(open) => message.title = format!("{} open alerts", open.len()),
        }
        message
    }
}

fn title(change: Option<AlertChange>, alert: &Alert) -> String {
    let change = change.map(|change| change.to_string()).unwrap_or_default();
    let about = alert.app.as_deref().or(alert.destination.as_deref()).unwrap_or("-");
    format!("{change} {} {about}", alert.kind)
}

impl Notice {
    /// What it tells of its alert, where it has one.
    pub fn change(&self) -> Option<AlertChange> {
        match self {
            Self::Opened(_) => Some(AlertChange::Opened),
            Self::Lasts(_) => Some(AlertChange::Lasts),
            Self::Closed(_) => Some(AlertChange::Closed),
            Self::Digest(_) | Self::Test | Self::Heartbeat(_) => None,
        }
    }

    /// How much it matters: of a digest as much as the worst that still lasts.
    pub fn level(&self) -> Level {
        let of = |alert: &Alert| match alert.severity {
            Severity::Info => Level::Info,
            Severity::Warning => Level::Warning,
            Severity::Error => Level::Error,
        };
        match self {
            Self::Opened(alert) | Self::Lasts(alert) => of(alert),
            Self::Closed(_) => Level::Recovery,
            Self::Digest(entries) => {
                let lasting = entries.iter().filter(|one| one.change != AlertChange::Closed);
                let worst = lasting.max_by_key(|one| one.alert.severity);
                worst.map_or(Level::Recovery, |one| of(&one.alert))
            }
            Self::Test => Level::Info,
            Self::Heartbeat(open) => {
                open.iter().max_by_key(|alert| alert.severity).map_or(Level::Recovery, of)
            }
        }
    }
}
