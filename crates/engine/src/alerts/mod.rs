//! Alerts: seen from what is, told once, and told again when they are over.
//!
//! [`watch`] looks at what is wrong and compares it with the alerts that are open. What begins or
//! ends is written together with the messages that tell of it, in one transaction; [`send`] works
//! those off.

mod anomalies;
mod conditions;
mod messages;
mod send;
mod usual;
mod watch;
mod wording;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use model::{AlertChannel, ChannelKind, Sentence};
use tokio_util::sync::CancellationToken;

pub use usual::Usual;
pub use wording::{DigestEntry, Notice, PlainWording, Wording};

use crate::{Engine, EngineError, FieldError, Inner, vault::Purpose, wrong};

/// Looks at what is wrong and sends messages until `shutdown`.
pub(crate) async fn follow(engine: &Engine, shutdown: CancellationToken) {
    tokio::join!(watch::watch(engine, shutdown.clone()), send::send(engine, shutdown));
}

/// A channel could not take a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    /// What the channel said.
    #[error(transparent)]
    Sending(#[from] notify::SendError),
    /// Its settings cannot be used.
    #[error(transparent)]
    Settings(#[from] EngineError),
}

impl Untaken {
    /// What went wrong, for pages.
    pub(crate) fn sentence(&self) -> Sentence {
        match self {
            Self::Sending(error) => wrong::of_sending(error).into(),
            Self::Settings(error) => error.sentence(),
        }
    }
}

impl Engine {
    /// Sends `notice` to `channel` now, as the message `id` of `at`.
    pub(crate) async fn send_notice(
        &self,
        channel: &AlertChannel,
        id: String,
        at: Timestamp,
        notice: &Notice,
    ) -> Result<(), Untaken> {
        let open = opened(&self.0, channel)?;
        let mut message = self.0.wording.message(&channel.language, notice);
        message.id = id;
        message.at = at;
        Ok(open.send(&message).await?)
    }
}

/// The channel as the crate that sends knows it.
pub(crate) fn opened(
    inner: &Inner,
    channel: &AlertChannel,
) -> Result<notify::Channel, EngineError> {
    let mut secrets = BTreeMap::new();
    for (key, sealed) in &channel.secrets {
        secrets.insert(key.clone(), inner.vault.open(Purpose::ChannelSecret, sealed)?);
    }
    let clock = Arc::clone(&inner.clock);
    let limits =
        notify::Limits { clock: Arc::new(move || clock.now()), ..notify::Limits::default() };
    let kind = kind_of(channel.kind);
    notify::Channel::open(kind, &channel.settings, &secrets, limits).map_err(|error| {
        let is_secret =
            |key: &str| kind.fields().iter().any(|field| field.secret && field.key == key);
        let told = error.problems.into_iter().map(|one| {
            let group = if is_secret(&one.key) { "secrets" } else { "settings" };
            FieldError::new(format!("{group}.{}", one.key), wrong::of_channel(one.problem))
        });
        EngineError::Invalid(told.collect())
    })
}

/// The same kind, in the words of the crate that sends.
pub(crate) fn kind_of(kind: ChannelKind) -> notify::Kind {
    match kind {
        ChannelKind::Email => notify::Kind::Email,
        ChannelKind::Telegram => notify::Kind::Telegram,
        ChannelKind::Webhook => notify::Kind::Webhook,
        ChannelKind::Ntfy => notify::Kind::Ntfy,
        ChannelKind::Slack => notify::Kind::Slack,
        ChannelKind::Discord => notify::Kind::Discord,
        ChannelKind::Gotify => notify::Kind::Gotify,
        ChannelKind::Healthchecks => notify::Kind::Healthchecks,
    }
}
