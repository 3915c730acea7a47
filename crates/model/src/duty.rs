//! What a run owes the world once it has begun: written down before it acts, done at its end, and
//! done by whoever takes over where it was killed in between.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{AppId, Name, RunId};

/// Something to put back or to clear away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "duty", rename_all = "snake_case")]
pub enum Duty {
    /// Start a container that was stopped for its backup.
    StartContainer {
        /// Its id.
        container: String,
    },
    /// Let a container go on that was paused for its backup.
    UnpauseContainer {
        /// Its id.
        container: String,
    },
    /// Remove a container that was made for its mounts only and never started.
    RemoveContainer {
        /// Its id.
        container: String,
    },
    /// Remove a container that a drill has made, with the volumes that nobody named.
    RemoveScratch {
        /// Its name, which no other has.
        container: String,
    },
    /// Remove a network that a drill has made, once nobody is in it.
    RemoveNetwork {
        /// Its name, which no other has.
        network: String,
    },
    /// Remove a volume that a drill has made.
    RemoveVolume {
        /// Its name, which no other has.
        volume: String,
    },
    /// End a command begun inside a container.
    EndExec {
        /// The container's id.
        container: String,
        /// A word in the command's environment that no other command has.
        marker: String,
    },
    /// Run the command that a container's labels ask for after its backup.
    ExecPost {
        /// The container's id.
        container: String,
        /// The program and its arguments.
        argv: Vec<String>,
        /// A word in the command's environment that no other command has.
        marker: String,
        /// How long it may take.
        timeout_secs: u64,
    },
    /// Run a command of an app's own after its backup.
    RunHook {
        /// The container it runs in; `None` is the machine itself.
        container: Option<String>,
        /// The program and its arguments.
        argv: Vec<String>,
        /// A word in the command's environment that no other command has.
        marker: String,
        /// How long it may take.
        timeout_secs: u64,
    },
    /// Delete a Btrfs snapshot.
    DeleteSubvolume {
        /// Where it is.
        path: PathBuf,
    },
    /// Destroy a ZFS snapshot.
    DestroyZfsSnapshot {
        /// `POOL/DATASET@NAME`.
        name: String,
    },
    /// Unmount and remove an LVM snapshot.
    RemoveLogicalVolume {
        /// `GROUP/NAME`.
        name: String,
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// Let databases be connected to again that were closed while their names changed.
    AllowConnections {
        /// The app whose source knows the server.
        app: AppId,
        /// That source.
        source: Name,
        /// Names of databases; those that are not there are left alone.
        databases: Vec<String>,
    },
    /// Remove a folder of ours.
    RemoveFolder {
        /// Where it is.
        path: PathBuf,
    },
}

/// A duty as it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedDuty {
    /// Whose.
    pub run_id: RunId,
    /// Order within the run; later ones are done first.
    pub seq: i64,
    /// Name of the machine that can do it.
    pub host: String,
    /// What to do.
    pub duty: Duty,
}
