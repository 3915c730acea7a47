//! The kinds of channels and the settings each takes.

use serde::{Deserialize, Serialize};

/// Where messages go.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Mail over SMTP.
    Email,
    /// A chat that a Telegram bot writes to.
    Telegram,
    /// JSON to an address of one's own, signed where a secret is set.
    Webhook,
    /// A topic of ntfy.
    Ntfy,
    /// An incoming webhook of Slack, or of what speaks like it.
    Slack,
    /// A webhook of a Discord channel.
    Discord,
    /// An application of a Gotify server.
    Gotify,
    /// A check of Healthchecks: told when something is wrong, and when all is well again.
    Healthchecks,
}

/// One setting of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in settings, forms and requests.
    pub key: &'static str,
    /// It is stored sealed and never shown.
    pub secret: bool,
    /// Nothing works without it.
    pub required: bool,
    /// What holds where nothing is given.
    pub default: Option<&'static str>,
    /// The words it may be; empty where it is free.
    pub choices: &'static [&'static str],
    /// It has several lines.
    pub long: bool,
}

impl Field {
    const fn new(key: &'static str) -> Self {
        Self { key, secret: false, required: false, default: None, choices: &[], long: false }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn long(self) -> Self {
        Self { long: true, ..self }
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn one_of(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }
}

/// For servers of one's own, whose authority no system knows.
const CA: Field = Field::new("ca_certificate").long();

const EMAIL: &[Field] = &[
    Field::new("host").required(),
    Field::new("port"),
    Field::new("encryption").or("starttls").one_of(&["starttls", "tls", "none"]),
    Field::new("username"),
    Field::new("password").secret(),
    Field::new("from").required(),
    Field::new("to").required(),
    CA,
];

const TELEGRAM: &[Field] = &[
    Field::new("token").secret().required(),
    Field::new("chat_id").required(),
    Field::new("thread_id"),
    Field::new("api").or("https://api.telegram.org"),
];

const WEBHOOK: &[Field] = &[
    Field::new("url").required(),
    Field::new("token").secret(),
    Field::new("secret").secret(),
    Field::new("headers").secret().long(),
    CA,
];

const NTFY: &[Field] = &[
    Field::new("url").or("https://ntfy.sh"),
    Field::new("topic").required(),
    Field::new("token").secret(),
    Field::new("username"),
    Field::new("password").secret(),
    CA,
];

const GOTIFY: &[Field] =
    &[Field::new("url").required(), Field::new("token").secret().required(), CA];

/// The address is the credential.
const SECRET_URL: &[Field] = &[Field::new("url").secret().required()];

const HEALTHCHECKS: &[Field] = &[Field::new("url").secret().required(), CA];

impl Kind {
    /// The settings it takes, in the order people fill them in.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::Email => EMAIL,
            Self::Telegram => TELEGRAM,
            Self::Webhook => WEBHOOK,
            Self::Ntfy => NTFY,
            Self::Slack | Self::Discord => SECRET_URL,
            Self::Gotify => GOTIFY,
            Self::Healthchecks => HEALTHCHECKS,
        }
    }

    pub(crate) fn field(self, key: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.key == key)
    }
}
