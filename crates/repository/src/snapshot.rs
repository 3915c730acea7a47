//! Snapshots: which tree, of what, when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Id, RepositoryError};

/// Begins the tag that carries the id of our manifest.
pub const MANIFEST_TAG: &str = "manifest=";

/// A snapshot as it lies in `snapshots/`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was begun.
    pub time: Timestamp,
    /// The snapshot on which it was based, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The tree at its root.
    pub tree: Id,
    /// What was read.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub paths: Vec<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Owner, where it is told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Group, where it is told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub excludes: Vec<String>,
    /// Free words; one of them is our manifest's.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub tags: Vec<String>,
    /// The first of the snapshots from which this one was rewritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// The program that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What others wrote there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Go writes an empty list as `null`.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Snapshot {
    /// A snapshot of `tree` without anything else.
    pub fn new(time: Timestamp, tree: Id) -> Self {
        Self {
            time,
            parent: None,
            tree,
            paths: Vec::new(),
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            excludes: Vec::new(),
            tags: Vec::new(),
            original: None,
            program_version: String::new(),
            other: Map::new(),
        }
    }

    /// Reads the JSON of a snapshot.
    pub fn parse(json: &[u8]) -> Result<Self, RepositoryError> {
        serde_json::from_slice(json).map_err(|e| RepositoryError::malformed("a snapshot", e))
    }

    /// As it is stored, before compression and sealing.
    pub fn to_json(&self) -> Result<Vec<u8>, RepositoryError> {
        serde_json::to_vec(self).map_err(|e| RepositoryError::Internal(e.to_string()))
    }

    /// The id of our manifest, if it carries one.
    pub fn manifest(&self) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(MANIFEST_TAG))
    }

    /// Sets the id of our manifest.
    pub fn set_manifest(&mut self, id: &str) {
        self.tags.retain(|tag| !tag.starts_with(MANIFEST_TAG));
        self.tags.push(format!("{MANIFEST_TAG}{id}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_kept() {
        let json = br#"{"time":"2024-01-02T03:04:05.006+01:00","tree":"2da81727b6585232894cfbb8f8bdab8d1eccd3d8f7c92bc934d62e62e618ffdf","paths":["/srv"],"hostname":"h","tags":null,"program_version":"restic 0.18.0","summary":{"files_new":3}}"#;
        let mut snapshot = Snapshot::parse(json).unwrap();
        snapshot.set_manifest("01A");
        snapshot.set_manifest("01B");
        assert_eq!(snapshot.tags, ["manifest=01B"]);
        let again = Snapshot::parse(&snapshot.to_json().unwrap()).unwrap();
        assert_eq!(again, snapshot);
        assert_eq!(again.other["summary"]["files_new"], 3);
        assert_eq!(again.manifest(), Some("01B"));
        assert_eq!(again.time.to_string(), "2024-01-02T02:04:05.006Z");
    }
}
