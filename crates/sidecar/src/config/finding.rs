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

/// What the parser did not like. Values are never repeated: one may be a token.
pub(crate) fn from_yaml(error: &Error) -> Finding {
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("there is no key `{field}` here{}", suggestion(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is none of the words known here{}", suggestion(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("{expected} was expected here")
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with('u') => {
            "a whole number was expected here".to_owned()
        }
        Error::InvalidScalar { ty, .. } => format!("a {ty} was expected here"),
        Error::DuplicateMappingKey { .. } => "this key is here twice".to_owned(),
        other => {
            let text = other.render();
            // The line is told already.
            text.split(" at line").next().unwrap_or_default().trim().to_owned()
        }
    };
    Finding { level: Level::Error, line, key: String::new(), message }
}

/// The nearest word, or all of them.
fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, candidate)) => format!(": did you mean `{candidate}`?"),
        None if known.is_empty() => String::new(),
        None => format!(": {}", known.join(", ")),
    }
}
