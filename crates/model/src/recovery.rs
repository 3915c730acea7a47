//! Point-in-time recovery of a PostgreSQL server: what an app asks for, what is stored, and how far
//! back and forward it can go.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AppId, DestinationId, Name, Sentence, SnapshotId, lsn::Lsn};

/// What an app's continuous archive of WAL does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryPlan {
    /// The source, a PostgreSQL server, of the app.
    pub source: Name,
    /// How WAL comes.
    #[serde(default)]
    pub way: WalWay,
    /// Where base backups and WAL go: one of the app's destinations, in its folder there.
    pub destination: DestinationId,
    /// Hours from one base backup to the next.
    #[serde(default = "base_every_hours")]
    pub base_every_hours: u32,
    /// How many days back any moment can be restored.
    #[serde(default = "window_days")]
    pub window_days: u32,
    /// Whether a row is written in the server every minute, by which drills prove the moment.
    #[serde(default)]
    pub heartbeat: bool,
    /// WAL that the server may keep for us, in bytes, before its slot is let go of so that its disk
    /// does not fill; `None` is 10 GiB. Never more than is still free there, where that is known.
    #[serde(default)]
    pub most_kept_bytes: Option<u64>,
}

fn base_every_hours() -> u32 {
    24
}

fn window_days() -> u32 {
    7
}

words! {
    /// How WAL comes.
    #[derive(Default)]
    pub enum WalWay {
        /// The orchestrator receives it as the server writes it.
        #[default]
        Stream,
        /// The server's `archive_command` hands segments over, through the sidecar's `wal-push`.
        Push,
    }
}

/// What a base backup is for WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BaseFacts {
    /// The cluster, as `initdb` numbered it; in text, since it does not fit into JSON's numbers.
    pub system: String,
    /// The timeline it was taken on.
    pub timeline: u32,
    /// Where replay begins.
    pub start: Lsn,
    /// From where on it is consistent.
    pub end: Lsn,
    /// Size of a WAL segment, in bytes.
    pub segment_bytes: u64,
    /// The server's major version.
    pub major: u32,
}

/// A span that any moment of can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryWindow {
    /// The base backup that it begins with.
    pub base: SnapshotId,
    /// The cluster.
    pub system: String,
    /// The timeline at its end.
    pub timeline: u32,
    /// The first position: the base's end.
    pub start: Lsn,
    /// When that was.
    pub start_at: Timestamp,
    /// The last position that is stored.
    pub end: Lsn,
    /// The last moment that is known to be within: of the last commit, or of the last word that
    /// nothing new was written.
    pub end_at: Timestamp,
    /// When the last transaction within was committed, where one was.
    pub last_commit_at: Option<Timestamp>,
}

/// WAL that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WalGap {
    /// The cluster.
    pub system: String,
    /// The timeline.
    pub timeline: u32,
    /// The first byte that is missing.
    pub start: Lsn,
    /// The first that is there again.
    pub end: Lsn,
    /// The last moment before it that can be restored.
    pub from_at: Option<Timestamp>,
    /// The first moment after it that can be restored; `None` as long as no base backup follows.
    pub until_at: Option<Timestamp>,
}

/// A moment with a name, in the WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestorePoint {
    /// As `pg_create_restore_point` was given it.
    pub name: String,
    /// Where.
    pub at: Lsn,
    /// When.
    pub made_at: Timestamp,
    /// The cluster.
    pub system: String,
    /// The timeline.
    pub timeline: u32,
}

/// How the archive of WAL stands now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArchiveStanding {
    /// Whether WAL is coming, or the server was heard and has nothing new.
    pub is_live: bool,
    /// What stands against it.
    pub trouble: Option<Sentence>,
    /// When the server, or its `archive_command`, was heard last.
    pub heard_at: Option<Timestamp>,
    /// When the server sent its last word, by its own clock.
    #[serde(default)]
    pub said_at: Option<Timestamp>,
    /// Where the server's WAL ends, by its last word.
    pub server_at: Option<Lsn>,
    /// Up to where WAL is durable at the destination.
    pub stored_to: Option<Lsn>,
    /// Age of the oldest byte that is not stored yet, in seconds; 0 where all is.
    pub lag_secs: u64,
    /// WAL that the server keeps for us, in bytes.
    pub kept_bytes: Option<u64>,
    /// How much it may keep before its slot is let go of, in bytes.
    #[serde(default)]
    pub kept_limit: Option<u64>,
    /// Bytes that are free where the server keeps it, where that is known.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// `pg_replication_slots.wal_status` of our slot.
    pub slot_status: Option<String>,
}

/// Everything that is known of an app's point-in-time recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryState {
    /// How it stands.
    pub standing: ArchiveStanding,
    /// What can be restored, oldest first; they neither touch nor overlap on one timeline.
    pub windows: Vec<RecoveryWindow>,
    /// What cannot, between the oldest window's start and now.
    pub gaps: Vec<WalGap>,
    /// Named moments within the windows.
    pub restore_points: Vec<RestorePoint>,
    /// Bytes of WAL at the destination.
    pub stored_bytes: u64,
}

words! {
    /// What an object of the archive holds.
    pub enum WalPieceKind {
        /// A whole segment.
        Segment,
        /// The beginning of a segment that is not whole yet, or never will be.
        Beginning,
        /// From which timelines a timeline came.
        History,
        /// Anything else that `archive_command` hands over: labels of backups.
        Label,
    }

    /// How an object of the archive stands.
    #[derive(Default)]
    pub enum WalPieceState {
        /// It was durable when it was stored, and nothing was found wrong with it since.
        #[default]
        Good,
        /// It was read, and is not what was stored.
        Damaged,
        /// The destination does not show it any more.
        Missing,
    }
}

/// One object of the archive of WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalPiece {
    /// Whose it is.
    pub app_id: AppId,
    /// The cluster, as `initdb` numbered it.
    pub system: String,
    /// The timeline.
    pub timeline: u32,
    /// What it holds.
    pub kind: WalPieceKind,
    /// The file's name as PostgreSQL's; of a beginning that of its segment.
    pub name: String,
    /// Its first byte's position.
    pub start: Lsn,
    /// The position after its last byte.
    pub end: Lsn,
    /// Size of a segment of this cluster, in bytes.
    pub segment_bytes: u64,
    /// The first 16 hex digits of the SHA-256 of what it holds.
    pub hash: String,
    /// Its key at the destination.
    pub key: String,
    /// Its size there.
    pub stored_bytes: u64,
    /// When it was durable there.
    pub stored_at: Timestamp,
    /// When the destination says that it was written.
    #[serde(default)]
    pub modified_at: Option<Timestamp>,
    /// When the last transaction in it was committed.
    #[serde(default)]
    pub last_commit: Option<Timestamp>,
    /// What a history file says.
    #[serde(default)]
    pub history: Option<String>,
    /// How it stands.
    #[serde(default)]
    pub state: WalPieceState,
}

/// A moment to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "moment", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Moment {
    /// The state just after the last transaction that was committed at or before a time.
    Time {
        /// The time.
        at: Timestamp,
    },
    /// The state at a position.
    Lsn {
        /// The position.
        at: Lsn,
    },
    /// The state at a named restore point.
    RestorePoint {
        /// Its name.
        name: String,
    },
    /// The last state that is stored.
    Latest,
}

/// Which state of a server to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MomentOrder {
    /// The moment.
    #[serde(flatten)]
    pub moment: Moment,
    /// The timeline to follow; `None` is the one that the newest WAL is on.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// Replay stops there and waits to be promoted by people.
    #[serde(default)]
    pub pause: bool,
}

/// Where a restore to a moment landed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Landing {
    /// The base backup it began with.
    pub base: Option<SnapshotId>,
    /// Up to where WAL was replayed.
    pub replayed_to: Option<Lsn>,
    /// Where replay is to end, where that is known.
    pub replay_end: Option<Lsn>,
    /// The last transaction replayed.
    pub last_commit_at: Option<Timestamp>,
    /// The timeline of the new server, once it is promoted.
    pub timeline: Option<u32>,
    /// Whether it is promoted; if not, it waits.
    pub is_promoted: bool,
}
