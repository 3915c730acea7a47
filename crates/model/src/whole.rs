//! A whole app as one restorable point: how it is brought to stand still while its sources are
//! read, and what was noted of it then.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// Longest time an app stands still where its plan says nothing else, in seconds.
pub const QUIESCE_SECS: u64 = 300;
/// Longest time of a hook that says nothing else, in seconds.
pub const HOOK_SECS: u64 = 60;

/// How an app is brought to stand still while its sources are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuiescePlan {
    /// By what.
    pub mode: QuiesceMode,
    /// The app's containers, by name, and never its database's; empty: those that use its volumes.
    pub containers: Vec<String>,
    /// Longest time that it stands still, in seconds; then it goes on, and the grade falls.
    pub max_secs: Option<u64>,
    /// Commands before, one after the other.
    pub pre: Vec<Hook>,
    /// Commands after, whatever happened since the first of those before.
    pub post: Vec<Hook>,
}

words! {
    /// By what an app is brought to stand still.
    #[derive(Default)]
    pub enum QuiesceMode {
        /// Nothing: it is read as it runs.
        #[default]
        None,
        /// Its own commands.
        Hooks,
        /// Its containers are paused.
        Pause,
        /// Its containers are stopped.
        Stop,
        /// Its containers are paused until its databases are read and its files have a snapshot of
        /// their file system, from which they are read while it goes on.
        Filesystem,
    }
}

/// A command before or after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hook {
    /// The container that it runs in, by name; `None` runs it on the orchestrator's machine.
    pub container: Option<String>,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Longest time it may take, in seconds; a minute where it is not said.
    pub timeout_secs: Option<u64>,
}

/// Where an app's code is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodePlan {
    /// The top of a git work tree on the orchestrator's machine.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub path: PathBuf,
}

impl QuiescePlan {
    /// Whether it asks for anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether containers wait.
    pub fn holds(&self) -> bool {
        matches!(self.mode, QuiesceMode::Pause | QuiesceMode::Stop | QuiesceMode::Filesystem)
    }

    /// All its commands.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.pre.iter().chain(&self.post)
    }
}

/// How far a snapshot's artifacts belong together.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Grade {
    /// Read while the app wrote: parts may not agree.
    #[default]
    Live,
    /// As after a loss of power: of one moment.
    CrashConsistent,
    /// Nothing of the app wrote meanwhile.
    Quiesced,
    /// The app itself had brought it to an orderly state.
    ApplicationConsistent,
}

/// What was noted of an app when its sources were read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppState {
    /// How far the artifacts belong together.
    pub grade: Grade,
    /// Milliseconds between the first and the last moment that artifacts show.
    pub skew_ms: u64,
    /// By what it stood still.
    pub mode: QuiesceMode,
    /// Milliseconds for which containers waited.
    pub paused_ms: u64,
    /// It went on before all was read, because its longest time had passed.
    pub cut_short: bool,
    /// Which deployment the snapshot was taken before, in the pipeline's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// By source: where a PostgreSQL server's log was.
    pub database_wal_position: BTreeMap<String, WalPosition>,
    /// By source: the snapshot of a file system that it was read from. It is gone by now.
    pub volume_snapshots: BTreeMap<String, VolumeSnapshot>,
    /// The app's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeState>,
    /// The app's containers.
    pub containers: Vec<ContainerState>,
}

/// Where a PostgreSQL server's log was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WalPosition {
    /// As PostgreSQL writes it: `0/3000148`.
    pub lsn: String,
    /// The cluster.
    pub system_identifier: String,
    /// Its history.
    pub timeline: u32,
    /// When it was asked.
    pub at: Timestamp,
}

/// A snapshot of a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VolumeSnapshot {
    /// `btrfs`, `zfs` or `lvm`.
    pub kind: String,
    /// Its name there.
    pub id: String,
    /// When it was there.
    pub at: Timestamp,
}

/// A git work tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeState {
    /// Where it is.
    pub path: String,
    /// What is checked out.
    pub git_commit: String,
    /// The branch, where it is on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether files that git knows differ from the commit.
    pub dirty: bool,
}

/// A container of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContainerState {
    /// Its name.
    pub name: String,
    /// What its image is called.
    pub image: String,
    /// The image's id: `sha256:…`.
    pub image_id: String,
    /// The image by the digest of a registry, where one gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it ran.
    pub running: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_ordered_and_named_as_people_say_them() {
        assert!(Grade::ApplicationConsistent > Grade::Quiesced);
        assert!(Grade::Quiesced > Grade::CrashConsistent && Grade::CrashConsistent > Grade::Live);
        assert_eq!(Grade::CrashConsistent.to_string(), "crash-consistent");
        assert_eq!(serde_json::to_string(&Grade::Live).unwrap(), "\"live\"");
    }

    #[test]
    fn a_plan_that_says_nothing_asks_for_nothing() {
        let plan: QuiescePlan = serde_json::from_str("{}").unwrap();
        assert!(plan.is_empty() && !plan.holds());
        let plan: QuiescePlan = serde_json::from_str(r#"{"mode":"filesystem"}"#).unwrap();
        assert!(plan.holds());
    }
}
