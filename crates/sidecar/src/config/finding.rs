//! What is wrong with a configuration, and where.

use std::fmt;

use serde::Serialize;
use serde_saphyr::Error;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// The sidecar cannot work so.
    Error,
    /// It can, but look at it.
    Warning,
    /// How it will work.
    Note,
}

/// One thing to know about a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// Line in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    /// Key, with dots; empty for the whole file.
    pub(crate) key: String,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(level: Level, key: &str, message: impl Into<String>) -> Self {
        Self { level, line: None, key: key.to_owned(), message: message.into() }
    }

    pub(crate) fn error(key: &str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, key, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "line {line}: ")?;
        }
        match self.level {
            Level::Error => {}
            Level::Warning => out.write_str("warning: ")?,
            Level::Note => out.write_str("note: ")?,
        }
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.message)
    }
}

/// What the parser did not like.
pub(crate) fn from_yaml(error: &Error) -> Finding {
    let (line, message) = handwritten::parser_says(error);
    Finding { line, ..Finding::error("", message) }
}
