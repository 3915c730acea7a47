//! What is protected.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    AppId, DestinationId, Name, SealedSecret, layout::Template, retention::RetentionPolicy,
    schedule::Schedule,
};

/// One application: its sources, where their copies go, how often, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Identity; stays when the app is renamed.
    pub id: AppId,
    /// Unique among apps, compared without case.
    pub name: Name,
    /// A disabled app keeps its snapshots and does not run.
    pub enabled: bool,
    /// At least one; several make one snapshot.
    pub sources: Vec<Source>,
    /// Where copies go; the order is the user's.
    pub destinations: Vec<Binding>,
    /// When it runs; `None` runs by hand only.
    pub schedule: Option<Schedule>,
    /// Which snapshots are kept, where a destination says nothing else.
    pub retention: RetentionPolicy,
    /// Bounds and permissions of a run.
    pub limits: Limits,
    /// How artifacts are compressed, as `none`, `gzip:9` or `zstd:3`; `None` chooses by the
    /// stream's first bytes.
    #[serde(default)]
    pub compression: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// Counts edits; an edit names the version it saw, so that two editors do not overwrite
    /// each other.
    pub version: i64,
}

/// A destination of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Binding {
    /// The destination.
    pub destination_id: DestinationId,
    /// Folder inside it, relative and `/`-separated; a folder id where the destination is a
    /// Google Drive. Empty means the destination's root.
    pub folder: String,
    /// Overrides the app's retention policy at this destination.
    pub retention: Option<RetentionPolicy>,
    /// How objects are named; `None` is `NAME_YYYYmmdd_HHMM`.
    pub template: Option<Template>,
}

/// One stream inside an app.
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

/// Bounds of one run; `None` takes the orchestrator's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Longest time for one source, in seconds.
    pub timeout_secs: Option<u64>,
    /// Largest accepted export, in bytes.
    pub max_size_bytes: Option<u64>,
    /// How many times a failed run is tried again; 0 never.
    pub retries: Option<u32>,
    /// Age at which the app counts as overdue, in seconds; `None` is 24 h or twice the schedule's
    /// interval, whichever is longer.
    pub objective_secs: Option<u64>,
}
