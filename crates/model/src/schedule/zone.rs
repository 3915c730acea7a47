//! Time zones by name.

use std::{fmt, str::FromStr, sync::LazyLock};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::Fact;

/// The rules that come with the program.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The name of a time zone that exists, as IANA spells it (`Europe/Berlin`).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZoneName(String);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no time zone: use a name such as `Europe/Madrid` or `UTC`", .0.escape_debug())]
pub struct UnknownTimeZoneError(String);

impl From<UnknownTimeZoneError> for Fact {
    fn from(error: UnknownTimeZoneError) -> Self {
        Self::NoTimeZone { text: error.0.escape_debug().to_string() }
    }
}

impl TimeZoneName {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self("UTC".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its rules.
    pub fn zone(&self) -> TimeZone {
        ZONES.get(&self.0).unwrap_or(TimeZone::UTC)
    }

    /// All names, for a list to choose from.
    pub fn all() -> Vec<String> {
        ZONES.available().map(|name| name.to_string()).collect()
    }
}

impl Default for TimeZoneName {
    fn default() -> Self {
        Self::utc()
    }
}

impl FromStr for TimeZoneName {
    type Err = UnknownTimeZoneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownTimeZoneError(text.chars().take(64).collect());
        let zone = ZONES.get(text.trim()).map_err(|_| unknown())?;
        // Spelled as the database spells it, whatever the case it was typed in.
        Ok(Self(zone.iana_name().unwrap_or("UTC").to_owned()))
    }
}

impl TryFrom<String> for TimeZoneName {
    type Error = UnknownTimeZoneError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TimeZoneName> for String {
    fn from(name: TimeZoneName) -> Self {
        name.0
    }
}

impl fmt::Display for TimeZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TimeZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
