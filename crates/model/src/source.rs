//! Sources: each gives one stream, or one for each of its parts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Name, SealedSecret};

/// One source inside an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Unique within the app.
    pub name: Name,
    /// What it is and how it is reached.
    pub kind: SourceKind,
}

/// How a source is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceKind {
    /// An app or sidecar that serves backup contract v1.
    Contract(ContractSource),
    /// Something the orchestrator reads by itself.
    Direct(DirectSource),
}

impl Source {
    /// Its kind in one word: `contract`, or that of a direct source.
    pub fn word(&self) -> &'static str {
        match &self.kind {
            SourceKind::Contract(_) => "contract",
            SourceKind::Direct(direct) => direct.what.into(),
        }
    }
}

/// A server of backup contract v1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContractSource {
    /// Base address, for example `http://shop-sidecar:8080`.
    pub url: Url,
    /// Bearer token.
    pub token: SealedSecret,
    /// The token before the last rotation, tried once where the new one is not yet accepted.
    pub previous_token: Option<SealedSecret>,
    /// Which of the app's export types to ask for; `None` lets the app choose.
    pub export_type: Option<String>,
    /// Passed to the app's commands as `SIDE_CAR_DRIVE_FOLDER_ID`.
    pub drive_folder_id: Option<String>,
    /// Accept an export that carries neither size nor checksum. Its snapshots say "unverified by
    /// source".
    pub accept_unverified: bool,
    /// Accept an export of no bytes.
    pub allow_empty: bool,
}

/// A database, a volume or files that the orchestrator reads by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectSource {
    /// What it is.
    pub what: DirectKind,
    /// Settings that may be shown, by the kind's own keys.
    pub settings: BTreeMap<String, String>,
    /// Settings that may not.
    pub secrets: BTreeMap<String, SealedSecret>,
}

impl DirectSource {
    /// A setting that is there and not empty.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

words! {
    /// Kinds of direct source.
    #[derive(PartialOrd, Ord)]
    pub enum DirectKind {
        /// PostgreSQL.
        Postgres,
        /// MariaDB or MySQL.
        Mysql,
        /// Redis or Valkey.
        Redis,
        /// A SQLite file.
        Sqlite,
        /// A Docker volume.
        Volume,
        /// Files and folders of this machine.
        Files,
    }
}
