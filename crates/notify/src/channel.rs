//! A channel: opened from its settings, and then sent to.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    Kind, Message, SendError, SettingsError, Wrong,
    discord::Discord,
    email::Email,
    gotify::Gotify,
    healthchecks::Healthchecks,
    http::Http,
    ntfy::Ntfy,
    settings::{Given, SettingProblem},
    slack::Slack,
    telegram::Telegram,
    webhook::Webhook,
};

/// What time it is; signatures of webhooks say so.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long sending may take, and whose clock it goes by.
#[derive(Clone)]
pub struct Limits {
    /// For the connection.
    pub connect: Duration,
    /// For one message, connection and answer included.
    pub total: Duration,
    /// The clock.
    pub clock: Clock,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(30),
            clock: Arc::new(Timestamp::now),
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("connect", &self.connect)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

enum Way {
    Mail(Box<Email>),
    Http(Box<Http>),
}

/// A channel that messages can be sent to.
pub struct Channel {
    kind: Kind,
    way: Way,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("kind", &self.kind)
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Judges the settings. Nothing is connected to.
    pub fn open(
        kind: Kind,
        settings: &BTreeMap<String, String>,
        secrets: &BTreeMap<String, SecretString>,
        limits: Limits,
    ) -> Result<Self, SettingsError> {
        let mut given = Given::new(kind, settings, secrets);
        if kind == Kind::Email {
            let email = Email::read(&mut given, limits);
            let way = Way::Mail(Box::new(given.finish(email)?));
            return Ok(Self { kind, way });
        }
        let certificates = crate::certificates::for_http(&mut given);
        let read = match kind {
            Kind::Telegram => Telegram::read(&mut given),
            Kind::Webhook => Webhook::read(&mut given),
            Kind::Ntfy => Ntfy::read(&mut given),
            Kind::Slack => Slack::read(&mut given),
            Kind::Discord => Discord::read(&mut given),
            Kind::Gotify => Gotify::read(&mut given),
            Kind::Email | Kind::Healthchecks => Healthchecks::read(&mut given),
        };
        let (service, place) = given.finish(read)?;
        let secrets = secrets.values().cloned().collect();
        let http = Http::new(service, &place, certificates, secrets, limits);
        let http = http.map_err(|problem| {
            let key = "url".to_owned();
            SettingsError { problems: vec![SettingProblem { key, problem: Wrong::Said(problem) }] }
        })?;
        Ok(Self { kind, way: Way::Http(Box::new(http)) })
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Scheme, host and port that are connected to.
    pub fn place(&self) -> &str {
        match &self.way {
            Way::Mail(email) => email.place(),
            Way::Http(http) => http.place(),
        }
    }

    /// Sends a message. Where the answer was lost it may have arrived all the same: its id tells
    /// that a second one is the same.
    pub async fn send(&self, message: &Message) -> Result<(), SendError> {
        let message = message.harmless();
        match &self.way {
            Way::Mail(email) => email.send(&message).await,
            Way::Http(http) => http.send(&message).await,
        }
    }
}
