//! Where copies go.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DestinationId, Fact, ManagedBy, Name, SealedSecret, Sentence};

/// A place that holds snapshots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Identity; stays when the destination is renamed.
    pub id: DestinationId,
    /// Unique among destinations, compared without case.
    pub name: Name,
    /// Which kind of store it is.
    pub kind: DestinationKind,
    /// Settings that may be shown, by the kind's own keys (`path`, `bucket`, `endpoint`, `remote`),
    /// and for all kinds `encryption` (`age` or absent) and `age_recipients`.
    pub settings: BTreeMap<String, String>,
    /// Settings that may not; for all kinds `age_identity` and `age_passphrase`.
    pub secrets: BTreeMap<String, SealedSecret>,
    /// Its keys cannot delete: snapshots are kept, never expired, by us.
    pub append_only: bool,
    /// How often every copy is re-read, in days; `None` is only when asked.
    #[serde(default)]
    pub verify_every_days: Option<u32>,
    /// Who keeps it as it is, where that is not people.
    #[serde(default)]
    pub managed_by: Option<ManagedBy>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// Counts edits.
    pub version: i64,
    /// Outcome of the last `doctor` canary: when, and what was wrong if anything.
    pub last_check: Option<DestinationCheck>,
}

/// What the last canary found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DestinationCheck {
    /// When.
    pub at: Timestamp,
    /// What was wrong; `None` when all was well.
    pub problem: Option<String>,
    /// The same without its language, where it is a sentence of ours with a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Box<Fact>>,
}

impl DestinationCheck {
    /// What was wrong, for pages and alerts.
    pub fn wrong(&self) -> Option<Sentence> {
        let message = self.problem.clone()?;
        Some(Sentence { message, fact: self.fact.as_deref().cloned() })
    }
}

words! {
    /// Kinds of destination.
    #[strum(parse_err_ty = UnknownKind, parse_err_fn = unknown_kind)]
    pub enum DestinationKind {
        /// A folder on this machine. Settings: `path`.
        Local,
        /// S3 or compatible. Settings: `bucket`, `region`, `endpoint`, `prefix`, `path_style`,
        /// `storage_class`; secrets: `access_key_id`, `secret_access_key`, `session_token`.
        S3,
        /// A remote of the `rclone` program. Settings: `remote`, `path`.
        Rclone,
        /// An SSH server. Settings: `host`, `username`, `host_key`, `path`, `port`; secrets:
        /// `private_key`, `passphrase`, `password`.
        Sftp,
        /// A WebDAV server. Settings: `url`, `path`, `username`; secrets: `password`.
        Webdav,
        /// Backblaze B2. Settings: `bucket`, `region`, `prefix`; secrets: `application_key_id`,
        /// `application_key`.
        B2,
        /// Azure Blob Storage. Settings: `account`, `container`, `endpoint`, `prefix`; secrets:
        /// `account_key` or `sas_token`.
        Azblob,
        /// Google Cloud Storage. Settings: `bucket`, `prefix`, `storage_class`; secrets:
        /// `hmac_key_id`, `hmac_secret`.
        Gcs,
        /// Google Drive, through the `rclone` program. Settings: `path`, `folder_id`, `team_drive`,
        /// `client_id`, `folder_is_drive_id`; secrets: `client_secret`, `token`, or
        /// `service_account`.
        Gdrive,
        /// A folder of this machine or of an SSH server where files are kept as trees of files that
        /// share with each other what did not change. Settings: `path`, and for a server `host`,
        /// `username`, `host_key`, `port`; secret: `private_key`.
        Tree,
        /// A server of restic's repositories (rest-server, `rclone serve restic`), for the layout
        /// `repository` alone. Settings: `url`, `username`; secrets: `password`.
        Rest,
    }
}

/// A word that is not a kind of destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kind of destination: use local, s3, rclone, sftp, webdav, b2, azblob, gcs, \
     gdrive, tree or rest"
)]
pub struct UnknownKind(pub String);

impl From<UnknownKind> for Fact {
    fn from(error: UnknownKind) -> Self {
        Self::NoDestinationKind { word: error.0 }
    }
}

fn unknown_kind(word: &str) -> UnknownKind {
    UnknownKind(word.chars().take(64).collect())
}
