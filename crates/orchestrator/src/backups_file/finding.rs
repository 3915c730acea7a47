//! What there is to say about a file, and where in it.

use std::fmt;

use serde::Serialize;
use serde_saphyr::Error;
use strum::Display;
use utoipa::ToSchema;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Level {
    /// The file cannot be used so.
    Error,
    /// It can, but look at it.
    Warning,
}

/// One thing to know about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConfigFinding)]
pub(crate) struct Finding {
    /// How much it matters.
    pub(crate) level: Level,
    /// Line in the file, where there is one to name.
    pub(crate) line: Option<u64>,
    /// The key, as `apps[0].sources[1].kind`; empty for the file as a whole.
    pub(crate) key: String,
    /// What is wrong and what would be right, without secrets.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn error(key: &str, message: impl ToString) -> Self {
        let message = message.to_string();
        Self { level: Level::Error, line: None, key: key.to_owned(), message }
    }

    pub(crate) fn warning(key: &str, message: impl ToString) -> Self {
        Self { level: Level::Warning, ..Self::error(key, message) }
    }

    pub(crate) fn as_warning(&self) -> Self {
        Self { level: Level::Warning, ..self.clone() }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// As compilers tell it: `backups.yml:12: KEY: MESSAGE`.
    pub(crate) fn told(&self, file: &str) -> String {
        match self.line {
            Some(line) => format!("{file}:{line}: {self}"),
            None => format!("{file}: {self}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        if self.level == Level::Warning {
            out.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.message)
    }
}

/// What the parser did not like.
pub(super) fn from_yaml(error: &Error) -> Finding {
    let (line, message) = handwritten::parser_says(error);
    Finding { line, ..Finding::error("", message) }
}
