//! Names that people give to apps, sources and destinations.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Fact;

/// Longest name, in characters; short enough for a file name with a date and an extension.
pub const MAX_LEN: usize = 64;

/// A name safe in file names, object keys, argument lists and logs: 1 to 64 ASCII letters,
/// digits, `-`, `_` and `.`, beginning with a letter or digit and without `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Name(String);

/// Why a text cannot be a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// More than [`MAX_LEN`] characters.
    #[error("a name takes at most {MAX_LEN} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed ones.
    #[error(
        "`{}` cannot be in a name: use letters, digits, `-`, `_` and `.`, and begin with a letter or digit",
        .0.escape_default()
    )]
    Character(char),
    /// `..`, which means the parent folder in paths.
    #[error("`..` cannot be in a name")]
    DotDot,
}

impl From<NameError> for Fact {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Empty => Self::NameEmpty {},
            NameError::TooLong(has) => Self::NameTooLong { most: MAX_LEN as u64, has: has as u64 },
            NameError::Character(sign) => {
                Self::NameSign { sign: sign.escape_default().to_string() }
            }
            NameError::DotDot => Self::NameDots {},
        }
    }
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
        let length = text.chars().count();
        if length > MAX_LEN {
            return Err(NameError::TooLong(length));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::Character(first));
        }
        if let Some(bad) =
            text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
        {
            return Err(NameError::Character(bad));
        }
        if text.contains("..") {
            return Err(NameError::DotDot);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in [
            "",
            "-x",
            "--config",
            "a b",
            "a/b",
            "a\\b",
            "a\nb",
            "a\0b",
            "..",
            "a..b",
            ".hidden",
            "$(id)",
            "host=evil dbname=x",
            "ñ",
            "a\u{202e}b",
            "<b>",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?} was accepted");
        }
        assert!("x".repeat(65).parse::<Name>().is_err());
    }

    #[test]
    fn ordinary_names_are_kept_as_given() {
        for good in ["shop", "postgres-data", "App_2.prod", "7zip", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
    }
}
