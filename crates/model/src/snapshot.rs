//! A restorable point: the artifacts of one run, and where their copies are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

use crate::{AppId, AppState, BaseFacts, Contents, DestinationId, Name, Proof, RunId, SnapshotId};

/// A restorable point. It exists in the catalog only when at least one copy was proven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Snapshot {
    /// Identity.
    pub id: SnapshotId,
    /// Whose it is.
    pub app_id: AppId,
    /// The run that made it.
    pub run_id: RunId,
    /// When its sources were opened.
    pub taken_at: Timestamp,
    /// What it was made for.
    pub kind: SnapshotKind,
    /// The user's own words about it.
    pub label: Option<String>,
    /// Commit of the app's code at the time.
    pub git_commit: Option<String>,
    /// A pinned snapshot is never expired.
    pub pinned: bool,
    /// Whether every source sent a size and a checksum that held.
    pub verified_by_source: bool,
    /// Looks unlike the ones before it (size); retention waits for a human or a normal one.
    pub anomalous: bool,
    /// Things to know that are not failures (files that vanished while being read).
    pub warnings: Vec<String>,
    /// What was noted of the app when its sources were read; `None` of older ones.
    #[serde(default)]
    pub app_state: Option<AppState>,
    /// Its last drill.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// One for each source.
    pub artifacts: Vec<Artifact>,
    /// One for each destination that holds it.
    pub copies: Vec<StoredCopy>,
}

impl Snapshot {
    /// Bytes of all artifacts as the sources sent them.
    pub fn size_bytes(&self) -> u64 {
        self.artifacts.iter().map(|artifact| artifact.size_bytes).sum()
    }

    /// Takes in what was noted of the app; its commit stands in for one that nobody gave.
    pub fn note(&mut self, state: AppState, troubles: Vec<String>) {
        let commit = state.code.as_ref().map(|code| code.git_commit.clone());
        self.git_commit = self.git_commit.take().or(commit);
        self.warnings.extend(troubles);
        self.app_state = Some(state);
    }

    /// Seconds between the beginnings of its first and its last stream: how far apart in time its
    /// artifacts are. `None` with fewer than two.
    pub fn skew_secs(&self) -> Option<i64> {
        let began = || self.artifacts.iter().filter_map(|artifact| artifact.began_at);
        let (first, last) = (began().min()?, began().max()?);
        (self.artifacts.len() > 1).then(|| last.duration_since(first).as_secs())
    }

    /// Whether it is a base backup, which comes back to a moment only.
    pub fn is_base(&self) -> bool {
        self.kind == SnapshotKind::Base
    }

    /// Whether any destination holds a copy believed good.
    pub fn is_good(&self) -> bool {
        self.copies.iter().any(|copy| copy.state == CopyState::Good)
    }
}

/// What a snapshot was made for.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
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
pub enum SnapshotKind {
    /// Asked for by somebody.
    Manual,
    /// Asked for by a schedule.
    #[default]
    Automatic,
    /// Taken before a deployment.
    PreDeploy,
    /// A base backup, from which WAL is replayed to any moment after it.
    Base,
}

/// What one source sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// The source's name within the app; where a source gave several streams, that name and the
    /// part's, joined by a dot. Unique within the snapshot.
    pub source: Name,
    /// Which part of the source it is, in the source's own word (the name of a database), where it
    /// gave several.
    #[serde(default)]
    pub part: Option<String>,
    /// When its stream was begun: for a database dump the moment whose state it shows.
    #[serde(default)]
    pub began_at: Option<Timestamp>,
    /// When its stream had ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// File name the source gave, made safe.
    pub file_name: String,
    /// Format as the contract words it (`pg_dump_Fc`), if given.
    pub format: Option<String>,
    /// Media type, if given.
    pub content_type: Option<String>,
    /// Size in bytes, before compression.
    pub size_bytes: u64,
    /// SHA-256 of those bytes, 64 hex digits.
    pub sha256: String,
    /// What was counted in it while it was stored, where its format can be read.
    #[serde(default)]
    pub contents: Option<Contents>,
    /// What it is for WAL, where it is a base backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseFacts>,
    /// The image of the server it is from, by digest, where that ran in a container of our Docker.
    #[serde(default)]
    pub image: Option<String>,
}

/// A snapshot's copy at one destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredCopy {
    /// Where.
    pub destination_id: DestinationId,
    /// Its state as last known.
    pub state: CopyState,
    /// Key of its manifest within the destination.
    pub manifest_key: String,
    /// The objects that hold its artifacts.
    pub objects: Vec<StoredObject>,
    /// When it was proven and its manifest written.
    pub committed_at: Timestamp,
    /// When all its bytes were last re-read and found right.
    pub verified_at: Option<Timestamp>,
    /// When it was marked to expire; it is deleted after the grace period. A damaged or missing
    /// copy that is marked keeps its state.
    pub expiring_since: Option<Timestamp>,
    /// Key of the run's log, where it was put there as well; deleted with the copy.
    #[serde(default)]
    pub log_key: Option<String>,
}

impl StoredCopy {
    /// Whether reading it takes a key.
    pub fn is_encrypted(&self) -> bool {
        self.objects.iter().any(|object| object.encryption != "none")
    }

    /// When its bytes were last known to be right: re-read, or proven when it was made.
    pub fn checked_at(&self) -> Timestamp {
        self.verified_at.map_or(self.committed_at, |at| at.max(self.committed_at))
    }

    /// The folders of its trees of files.
    pub fn trees(&self) -> impl Iterator<Item = &String> {
        self.objects.iter().filter_map(|object| object.tree.as_ref())
    }

    /// Bytes it takes at the destination, manifests aside.
    pub fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.stored_size_bytes).sum()
    }
}

impl CopyState {
    /// Whether a restore may read from it.
    pub fn is_restorable(self) -> bool {
        matches!(self, Self::Good | Self::Expiring)
    }
}

words! {
    /// State of a copy.
    pub enum CopyState {
        /// Proven at commit and never found otherwise.
        Good,
        /// Its bytes differ from the manifest.
        Damaged,
        /// Its objects are not there.
        Missing,
        /// A retention plan marked it; still restorable until the grace period ends.
        Expiring,
        /// Its grace period has ended and its objects are being deleted; no way back.
        Deleting,
        /// Deleted by a retention plan.
        Expired,
    }
}

/// One object at a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredObject {
    /// The artifact's source.
    pub source: Name,
    /// Key within the destination.
    pub key: String,
    /// Size as stored, in bytes.
    pub stored_size_bytes: u64,
    /// SHA-256 as stored, 64 hex digits.
    pub stored_sha256: String,
    /// `none`, `gzip` or `zstd`.
    pub compression: String,
    /// `none` or `age`.
    #[serde(default = "not_encrypted")]
    pub encryption: String,
    /// Where it is the listing of a tree of files: the tree's folder within the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
}

/// What records from before encryption mean.
fn not_encrypted() -> String {
    "none".to_owned()
}
