//! Index files: JSON that tells which packs there are and what is in them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BlobKind, Id, PackedBlob, RepositoryError, snapshot::null_is_empty};

/// How many blobs an index file has at most when we write it; what restic does.
const MAX_BLOBS: usize = 50_000;

/// A pack and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedPack {
    /// The pack.
    pub id: Id,
    /// Its blobs.
    #[serde(with = "blobs")]
    pub blobs: Vec<PackedBlob>,
    /// Since when it is to go, in [`IndexFile::packs_to_delete`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Its size in bytes, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

impl IndexedPack {
    /// A pack that is there.
    pub fn new(id: Id, blobs: Vec<PackedBlob>) -> Self {
        Self { id, blobs, time: None, size: None }
    }
}

/// An index file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IndexFile {
    /// Files that this one replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub supersedes: Vec<Id>,
    /// Packs.
    #[serde(deserialize_with = "null_is_empty")]
    pub packs: Vec<IndexedPack>,
    /// Packs that nothing needs and that are to be deleted later. restic does not know of these;
    /// rustic writes the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub packs_to_delete: Vec<IndexedPack>,
}

impl IndexFile {
    /// Reads the JSON of an index file.
    pub fn parse(json: &[u8]) -> Result<Self, RepositoryError> {
        serde_json::from_slice(json).map_err(|e| RepositoryError::malformed("an index file", e))
    }

    /// As it is stored, before compression and sealing.
    pub fn to_json(&self) -> Result<Vec<u8>, RepositoryError> {
        serde_json::to_vec(self).map_err(|e| RepositoryError::Internal(e.to_string()))
    }

    /// Whether it tells nothing.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.packs_to_delete.is_empty()
    }
}

/// Gathers packs into index files of a good size.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    file: IndexFile,
    blobs: usize,
}

impl IndexBuilder {
    /// Adds a pack. Gives a file to be saved when there is enough for one.
    #[must_use]
    pub fn add(&mut self, pack: IndexedPack) -> Option<IndexFile> {
        self.blobs += pack.blobs.len();
        if pack.time.is_some() {
            self.file.packs_to_delete.push(pack);
        } else {
            self.file.packs.push(pack);
        }
        if self.blobs >= MAX_BLOBS { self.finish() } else { None }
    }

    /// What is left, as a file to be saved.
    #[must_use]
    pub fn finish(&mut self) -> Option<IndexFile> {
        self.blobs = 0;
        let file = std::mem::take(&mut self.file);
        (!file.is_empty()).then_some(file)
    }
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    id: Id,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncompressed_length: Option<u32>,
}

mod blobs {
    use serde::{Deserializer, Serializer, de::Error as _};

    use super::{BlobJson, PackedBlob, null_is_empty};

    pub(super) fn serialize<S: Serializer>(blobs: &[PackedBlob], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(blobs.iter().map(|blob| BlobJson {
            id: blob.id,
            kind: blob.kind,
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed_length,
        }))
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Vec<PackedBlob>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let blobs: Vec<BlobJson> = null_is_empty(from)?;
        let told = blobs.into_iter().map(|blob| {
            if blob.offset.checked_add(blob.length).is_none() {
                return Err(D::Error::custom("a blob lies beyond 4 GiB"));
            }
            Ok(PackedBlob {
                kind: blob.kind,
                id: blob.id,
                offset: blob.offset,
                length: blob.length,
                uncompressed_length: blob.uncompressed_length.filter(|length| *length != 0),
            })
        });
        told.collect()
    }
}
