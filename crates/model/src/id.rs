//! Identifiers: one type per noun, so that a run is never taken for a snapshot.
//!
//! Each is a ULID (time-ordered text of 26 characters, github.com/ulid/spec). The 80 random
//! bits keep them unique when the clock stands still or goes back.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::Fact;

/// A text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an identifier: it takes 26 letters and digits, as the lists print them")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
}

impl From<ParseIdError> for Fact {
    fn from(error: ParseIdError) -> Self {
        Self::NoIdentifier { text: error.text }
    }
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(Ulid);

        impl $name {
            /// A new identifier stamped `now`, made unique by `rng`.
            pub fn generate(now: Timestamp, rng: &mut impl Rng) -> Self {
                let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
                Self(Ulid::from_parts(millis, rng.random()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Lower case: easier to read and to type; parsing takes both.
                f.write_str(&self.0.to_string().to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ulid::from_string(&text.to_ascii_uppercase())
                    .map(Self)
                    .map_err(|_| ParseIdError { text: text.chars().take(64).collect() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )+};
}

identifiers! {
    /// An [`App`](crate::App).
    AppId,
    /// A [`Destination`](crate::Destination).
    DestinationId,
    /// A [`Run`](crate::Run).
    RunId,
    /// A [`Snapshot`](crate::Snapshot).
    SnapshotId,
    /// An [`Event`](crate::Event).
    EventId,
    /// A recorded retention plan.
    PlanId,
    /// A person who can log in.
    UserId,
    /// A login session.
    SessionId,
    /// An API token.
    TokenId,
    /// An [`AuditEntry`](crate::AuditEntry).
    AuditId,
    /// An [`Alert`](crate::Alert).
    AlertId,
    /// An [`AlertChannel`](crate::AlertChannel).
    ChannelId,
    /// An [`AlertRoute`](crate::AlertRoute).
    RouteId,
    /// A [`Delivery`](crate::Delivery).
    DeliveryId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_millisecond_gives_different_ids() {
        let now = Timestamp::UNIX_EPOCH;
        let mut rng = rand::rng();
        assert_ne!(RunId::generate(now, &mut rng), RunId::generate(now, &mut rng));
    }

    #[test]
    fn text_round_trips_in_either_case() {
        let id = RunId::generate(Timestamp::UNIX_EPOCH, &mut rand::rng());
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert_eq!(id.to_string().to_uppercase().parse::<RunId>().unwrap(), id);
        assert!("not-an-id".parse::<RunId>().is_err());
    }
}
