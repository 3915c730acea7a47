//! Destinations as the API shows them: of their secrets, only which there are.

use std::collections::BTreeMap;

use engine::DestinationDraft;
use jiff::Timestamp;
use model::{
    Destination, DestinationId, DestinationKind, ManagedBy, Name, destination::DestinationCheck,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A place that holds snapshots, without its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Destination)]
pub(in crate::api) struct DestinationShown {
    /// Identity; stays when the destination is renamed.
    id: DestinationId,
    /// Unique among destinations, compared without case.
    name: Name,
    /// Which kind of store it is.
    kind: DestinationKind,
    /// Settings by the kind's own keys (`path`, `bucket`, `endpoint`, `remote`).
    settings: BTreeMap<String, String>,
    /// Which secrets it has.
    secrets: Vec<String>,
    /// Its keys cannot delete: snapshots are kept, never expired, by us.
    append_only: bool,
    /// How often every copy there is re-read, in days; `null` is only when asked.
    verify_every_days: Option<u32>,
    /// What it is declared in, where that is not here; it is changed there.
    managed_by: Option<ManagedBy>,
    /// When it was added.
    created_at: Timestamp,
    /// When it was last edited.
    updated_at: Timestamp,
    /// Counts edits; an edit names the version it saw.
    version: i64,
    /// What the last test found.
    last_check: Option<DestinationCheck>,
}

/// A destination just written. The one reply that holds an identity or a password that
/// was made for it.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct DestinationMade {
    #[serde(flatten)]
    shown: DestinationShown,
    /// The `age` identity that was made, shown now and never again; left out where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    generated_identity: Option<String>,
    /// The password that was made for a repository, shown now and never again; left out where none
    /// was.
    #[serde(skip_serializing_if = "Option::is_none")]
    generated_password: Option<String>,
}

impl DestinationMade {
    pub(in crate::api) fn new(
        one: Destination,
        identity: Option<SecretString>,
        password: Option<SecretString>,
    ) -> Self {
        let shown = |secret: SecretString| secret.expose_secret().to_owned();
        Self {
            shown: one.into(),
            generated_identity: identity.map(shown),
            generated_password: password.map(shown),
        }
    }
}

/// An edit of a destination; it names the version it saw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DestinationEdit {
    /// The version that was edited.
    pub(in crate::api) version: i64,
    #[serde(flatten)]
    pub(in crate::api) draft: DestinationDraft,
}

impl From<Destination> for DestinationShown {
    fn from(one: Destination) -> Self {
        Self {
            id: one.id,
            name: one.name,
            kind: one.kind,
            settings: one.settings,
            secrets: one.secrets.into_keys().collect(),
            append_only: one.append_only,
            verify_every_days: one.verify_every_days,
            managed_by: one.managed_by,
            created_at: one.created_at,
            updated_at: one.updated_at,
            version: one.version,
            last_check: one.last_check,
        }
    }
}
