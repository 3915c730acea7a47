//! Adding, editing, removing and trying the channels that alerts go through.

use std::collections::BTreeMap;

use model::{AlertChannel, ChannelId, ChannelKind, ChannelTry, Fact};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{managed::refuse_if_managed, validate};
use crate::{
    Engine, EngineError, FieldError,
    alerts::{Notice, opened},
    vault::Purpose,
};

/// A channel as somebody describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelDraft {
    /// Unique name.
    pub name: String,
    /// `email`, `telegram`, `webhook`, `ntfy`, `slack`, `discord`, `gotify` or `healthchecks`;
    /// cannot be changed later.
    pub kind: String,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// The language of its messages; empty is English.
    pub language: String,
    /// Settings that may be shown.
    pub settings: BTreeMap<String, String>,
    /// Settings that may not. When editing, one left out stays as it is.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = BTreeMap<String, String>, write_only, default = json!({}))
    )]
    pub secrets: BTreeMap<String, SecretString>,
    /// When editing: names of stored secrets to forget.
    pub forget_secrets: Vec<String>,
}

impl Default for ChannelDraft {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: String::new(),
            enabled: true,
            language: String::new(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            forget_secrets: Vec::new(),
        }
    }
}

impl Engine {
    /// Every channel, by name.
    pub async fn alert_channels(&self) -> Result<Vec<AlertChannel>, EngineError> {
        Ok(self.0.catalog.alert_channels().await?)
    }

    /// A channel by its name or id.
    pub async fn alert_channel(&self, name: &str) -> Result<AlertChannel, EngineError> {
        Ok(self.0.catalog.alert_channel_by_name(name).await?)
    }

    /// Adds a channel. Nothing is sent there before a route leads to it.
    pub async fn add_alert_channel(
        &self,
        draft: ChannelDraft,
    ) -> Result<AlertChannel, EngineError> {
        let kind = draft.kind.parse::<ChannelKind>();
        let kind = kind.map_err(|error| EngineError::invalid("kind", error))?;
        let channel = self.described_channel(self.blank_channel(kind)?, draft)?;
        self.0.catalog.insert_alert_channel(&channel).await?;
        Ok(channel)
    }

    /// Changes a channel that was read at `version`.
    pub async fn edit_alert_channel(
        &self,
        id: ChannelId,
        version: i64,
        draft: ChannelDraft,
    ) -> Result<AlertChannel, EngineError> {
        let current = AlertChannel { version, ..self.0.catalog.alert_channel(id).await? };
        refuse_if_managed(&current.name, current.managed_by)?;
        if !draft.kind.is_empty() && draft.kind != current.kind.to_string() {
            return Err(EngineError::invalid("kind", Fact::ChannelKindStays {}));
        }
        let channel = self.described_channel(current, draft)?;
        let changed = self.0.catalog.update_alert_channel(&channel, self.now()).await?;
        // What waits there may have waited for just this.
        self.0.catalog.hurry_deliveries(id, self.now()).await?;
        Ok(changed)
    }

    /// Removes a channel that no route leads to, with its secrets. What still waited for it is
    /// given up.
    pub async fn remove_alert_channel(&self, id: ChannelId) -> Result<(), EngineError> {
        let channel = self.0.catalog.alert_channel(id).await?;
        refuse_if_managed(&channel.name, channel.managed_by)?;
        Ok(self.0.catalog.remove_alert_channel(id, self.now()).await?)
    }

    /// Sends a message of trial there now, and notes what came of it. Where it is taken, what
    /// waits for the channel follows at once.
    pub async fn test_alert_channel(&self, id: ChannelId) -> Result<ChannelTry, EngineError> {
        let channel = self.0.catalog.alert_channel(id).await?;
        let message_id = self.new_id(model::DeliveryId::generate).to_string();
        let sent = self.send_notice(&channel, message_id, self.now(), &Notice::Test).await;
        let wrong = sent.err().map(|untaken| untaken.sentence());
        let tried = ChannelTry::new(self.now(), wrong);
        self.0.catalog.note_channel_try(id, &tried).await?;
        if tried.problem.is_none() {
            self.0.catalog.hurry_deliveries(id, self.now()).await?;
        }
        Ok(tried)
    }

    pub(super) fn blank_channel(&self, kind: ChannelKind) -> Result<AlertChannel, EngineError> {
        let now = self.now();
        Ok(AlertChannel {
            id: self.new_id(ChannelId::generate),
            name: "x".parse().map_err(|error| EngineError::invalid("name", error))?,
            kind,
            enabled: true,
            language: String::new(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            managed_by: None,
            created_at: now,
            updated_at: now,
            version: 1,
            last_try: None,
        })
    }

    pub(super) fn described_channel(
        &self,
        mut channel: AlertChannel,
        draft: ChannelDraft,
    ) -> Result<AlertChannel, EngineError> {
        let mut errors = Vec::new();
        if let Some(name) = validate::name("name", &draft.name, &mut errors) {
            channel.name = name;
        }
        channel.enabled = draft.enabled;
        let languages = self.0.wording.languages();
        channel.language = match draft.language.trim() {
            "" => languages.first().copied().unwrap_or("en").to_owned(),
            known if languages.contains(&known) => known.to_owned(),
            _ => {
                let words = languages.join(", ");
                errors.push(FieldError::new("language", Fact::OneOfThese { words }));
                String::new()
            }
        };
        let settings =
            draft.settings.into_iter().map(|(key, value)| (key, value.trim().to_owned()));
        channel.settings = settings.filter(|(_, value)| !value.is_empty()).collect();
        for key in draft.forget_secrets {
            channel.secrets.remove(&key);
        }
        for (key, secret) in draft.secrets {
            // An empty field of a form: the stored one stays.
            if !secret.expose_secret().is_empty() {
                channel.secrets.insert(key, self.seal(Purpose::ChannelSecret, &secret));
            }
        }
        if let Err(EngineError::Invalid(wrong)) = opened(&self.0, &channel) {
            errors.extend(wrong);
        }
        if errors.is_empty() { Ok(channel) } else { Err(EngineError::Invalid(errors)) }
    }
}
