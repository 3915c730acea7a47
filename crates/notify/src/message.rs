//! What is sent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::{block, line};

/// How much it matters.
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
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Level {
    /// All is well again.
    Recovery,
    /// Good to know; nothing has to be done.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Somebody has to do something.
    Error,
}

/// A message, worded already and without secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The same on each try, so that whoever gets it twice can tell.
    pub id: String,
    /// How much it matters.
    pub level: Level,
    /// One line that says it all.
    pub title: String,
    /// Plain text, few lines.
    pub body: String,
    /// Labels and values, in the reader's language.
    pub facts: Vec<(String, String)>,
    /// Where to read on.
    pub link: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// For programs; `kind` is `test` where somebody tries the channel.
    pub data: serde_json::Value,
}

impl Message {
    /// Without characters that could make it look like another message: what others have named
    /// is in it.
    pub(crate) fn harmless(&self) -> Self {
        Self {
            id: line(&self.id),
            level: self.level,
            title: line(&self.title),
            body: block(&self.body),
            facts: self.facts.iter().map(|(name, value)| (line(name), line(value))).collect(),
            link: self.link.as_deref().map(line),
            at: self.at,
            data: self.data.clone(),
        }
    }

    /// Whether somebody tries the channel.
    pub(crate) fn is_test(&self) -> bool {
        self.data["kind"] == "test"
    }

    /// Body, facts and link as lines of plain text.
    pub(crate) fn plain(&self) -> String {
        let mut text = self.body.clone();
        if !self.facts.is_empty() {
            text.push('\n');
        }
        for (name, value) in &self.facts {
            text.extend(["\n", name, ": ", value]);
        }
        if let Some(link) = &self.link {
            text.extend(["\n\n", link]);
        }
        text.trim().to_owned()
    }
}
