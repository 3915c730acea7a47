//! Positions in a WAL.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::Error as _};

use crate::Fact;

/// A position in a server's WAL: bytes since its beginning. Written as PostgreSQL does: `16/B374D848`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no position in a WAL: write it as PostgreSQL does, such as 16/B374D848")]
pub struct LsnError(String);

impl From<LsnError> for Fact {
    fn from(error: LsnError) -> Self {
        Self::NoWalPosition { text: error.0 }
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |text: &str| {
            let is_hex = !text.is_empty() && text.len() <= 8;
            let is_hex = is_hex && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let parsed = text.split_once('/').and_then(|(high, low)| {
            let (high, low) = (part(high)?, part(low)?);
            Some(Self(high << 32 | low))
        });
        parsed.ok_or_else(|| LsnError(text.chars().take(40).collect()))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Lsn {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("A position in a WAL, such as 16/B374D848."))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Lsn {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_postgresql_does() {
        for (text, number) in
            [("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("FFFFFFFF/FFFFFFFF", u64::MAX)]
        {
            assert_eq!(text.parse::<Lsn>().unwrap(), Lsn(number));
            assert_eq!(Lsn(number).to_string(), text);
        }
        for text in
            ["", "/", "0", "0/", "/0", "0/-1", "0/+1", "0/123456789", "x/0", "0/0/0", " 0/0"]
        {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
        let json = serde_json::to_string(&Lsn(0x10)).unwrap();
        assert_eq!(json, "\"0/10\"");
        assert_eq!(serde_json::from_str::<Lsn>(&json).unwrap(), Lsn(0x10));
    }
}
