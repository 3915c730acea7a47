//! What is protected.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use crate::{
    AppId, CodePlan, DestinationId, DrillPlan, Name, QuiescePlan, RecoveryPlan, Source,
    layout::Template, retention::RetentionPolicy, schedule::Schedule,
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
    /// What its drills do.
    #[serde(default)]
    pub drill: DrillPlan,
    /// How it is brought to stand still while its sources are read.
    #[serde(default)]
    pub quiesce: QuiescePlan,
    /// Its code, where the orchestrator is to know of it.
    #[serde(default)]
    pub code: Option<CodePlan>,
    /// Its continuous archive of WAL, where it is to go back to any moment.
    #[serde(default)]
    pub recovery: Option<RecoveryPlan>,
    /// Who keeps it as it is, where that is not people.
    #[serde(default)]
    pub managed_by: Option<ManagedBy>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// Counts edits; an edit names the version it saw, so that two editors do not overwrite
    /// each other.
    pub version: i64,
}

/// What an app, a destination, a channel or a route is declared in. It is changed there and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ManagedBy {
    /// `backups.yml`.
    File,
    /// Labels on containers.
    Labels,
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
    /// Whether the log of each run is put there as well, as `logs/backup_YYYYMMDD_HHMMSS_NAME.log`.
    #[serde(default)]
    pub logs: bool,
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
    /// Longest time that a restore may take, in seconds; `None` is none.
    pub restore_objective_secs: Option<u64>,
}
