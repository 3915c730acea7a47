//! The manifest: what a snapshot consists of, put last, and proof of its own wholeness.
//!
//! `FORMAT.md` describes the file for people with stock tools.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Digest, Method, Sha256};

/// First member of every manifest.
pub const FORMAT: &str = "backup-orchestrator-snapshot";
/// Version that this code writes and reads.
pub const VERSION: u32 = 1;
/// A manifest longer than this is refused unread; real ones take a few kilobytes.
pub const MAX_SIZE_BYTES: usize = 16 << 20;

/// Start of the line that holds the checksum of all bytes before it.
const CHECKSUM_LINE: &str = "  \"sha256\": \"";
/// What follows the checksum.
const CHECKSUM_END: &str = "\"\n}\n";
/// Length of a SHA-256 in hex.
const HEX_LEN: usize = 64;

/// Why a manifest was not accepted. Another try reads the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not the bytes that were written.
    #[error("the manifest is damaged: {0}; restore it from another copy of the snapshot")]
    Damaged(&'static str),
    /// Written by a newer program.
    #[error("the manifest has version {0}, this program reads version {VERSION}: upgrade it")]
    Version(u32),
    /// Another kind of file.
    #[error("this is no snapshot manifest")]
    Foreign,
    /// Whole, but not by the rules.
    #[error("the manifest is not valid: {0}")]
    Invalid(String),
}

impl ManifestError {
    /// Whether the same bytes may do better; they never do.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Version 1 of the manifest. Readers ignore members that they do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Program and version that wrote it, for people.
    pub producer: String,
    /// Identifier of the snapshot.
    pub snapshot_id: String,
    /// Identifier of the run that made it.
    pub run_id: String,
    /// Whose it is.
    pub app: AppRef,
    /// When its sources were opened (RFC 3339, UTC).
    pub taken_at: Timestamp,
    /// When its bytes were proven and this manifest written.
    pub committed_at: Timestamp,
    /// `manual`, `automatic` or `pre-deploy`.
    pub kind: String,
    /// The user's own words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Commit of the app's code at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Whether every source sent a size and a checksum that held.
    pub verified_by_source: bool,
    /// Looks unlike the ones before it.
    #[serde(default)]
    pub anomalous: bool,
    /// Things to know that are not failures.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What was noted of the app when its sources were read: how far the artifacts belong together,
    /// its code, its containers. Opaque here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_state: Option<serde_json::Value>,
    /// One for each source; at least one.
    pub artifacts: Vec<ManifestArtifact>,
    /// The app as it was set up, without secrets: what a lost catalog is rebuilt from. Opaque
    /// here.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub settings: serde_json::Value,
}

/// The app a snapshot belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRef {
    /// Identifier; stays when the app is renamed.
    pub id: String,
    /// Name at the time.
    pub name: String,
}

/// What one source sent, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestArtifact {
    /// The source's name within the app, and the part's where a source gave several streams.
    pub source: String,
    /// Which part of the source it is, in the source's own word (the name of a database).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// When its stream was begun (RFC 3339, UTC): for a database dump the moment it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When its stream had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Name to restore it under: one path component.
    pub file_name: String,
    /// Format as the source worded it, for example `pg_dump_Fc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Size and SHA-256 as the source sent it.
    pub plain: Digest,
    /// How it is compressed.
    pub compression: Method,
    /// How the compressed stream is encrypted.
    #[serde(default)]
    pub encryption: Encryption,
    /// Fingerprints of those who can decrypt it, see [`crate::Recipients::fingerprints`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// What was counted in it while it was stored. Opaque here.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub contents: serde_json::Value,
    /// What it is for WAL, where it is a base backup. Opaque here.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub base: serde_json::Value,
    /// The image of the server it is from, by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The objects whose concatenation is the stored stream; at least one.
    pub objects: Vec<Object>,
    /// Where reading can begin, in order, the first at the beginning; empty where it is the only
    /// one, or unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Restart>,
}

/// Where a frame (zstd) or a member (gzip) begins that can be read without those before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// How many bytes of the source come before it.
    pub plain_offset: u64,
    /// Where it begins in the compressed stream, before encryption.
    pub packed_offset: u64,
    /// SHA-256 of its compressed bytes, up to the next or to the end. Absent where the stream did
    /// not shrink by half: a second hash would cost too much there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// How an artifact is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// A file of `age` (version 1, binary).
    Age,
}

impl Encryption {
    /// Its word in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Age => "age",
        }
    }

    /// What an object's name ends with, after the compression's part.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Age => ".age",
        }
    }
}

/// A word that is no encryption.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no encryption: use `none` or `age`", .0.escape_debug())]
pub struct ParseEncryptionError(String);

impl std::str::FromStr for Encryption {
    type Err = ParseEncryptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "age" => Ok(Self::Age),
            _ => Err(ParseEncryptionError(text.chars().take(32).collect())),
        }
    }
}

/// One stored object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name relative to the manifest's own folder, `/`-separated.
    pub key: String,
    /// Size and SHA-256 as stored.
    #[serde(flatten)]
    pub stored: Digest,
    /// Where it is the listing of a tree of files: the tree's folder, named as objects are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
}

/// The file: the manifest between its header and (added as text) its checksum.
#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

impl Manifest {
    /// The file's bytes; the same manifest always gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let document = Document { format: FORMAT, version: VERSION, manifest: self };
        let mut bytes = serde_json::to_vec_pretty(&document)
            .map_err(|error| ManifestError::Invalid(error.to_string()))?;
        // Pretty JSON of an object ends with "\n}": the checksum becomes its last member.
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(b",\n");
        let sha256 = Sha256::of(&bytes);
        bytes.extend_from_slice(format!("{CHECKSUM_LINE}{sha256}{CHECKSUM_END}").as_bytes());
        if bytes.len() > MAX_SIZE_BYTES {
            return Err(ManifestError::Invalid(format!("it takes {} bytes", bytes.len())));
        }
        Ok(bytes)
    }

    /// Reads what [`Manifest::to_bytes`] wrote. A single changed, missing or added byte anywhere
    /// is [`ManifestError::Damaged`] (or [`ManifestError::Foreign`] where little is left).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_SIZE_BYTES {
            return Err(ManifestError::Foreign);
        }
        let tail_len = CHECKSUM_LINE.len() + HEX_LEN + CHECKSUM_END.len();
        let split = bytes.len().checked_sub(tail_len).ok_or(ManifestError::Foreign)?;
        let (body, tail) = bytes.split_at(split);
        // Compared as bytes: a checksum in upper case, or after other spaces, was not ours.
        let expected = format!("{CHECKSUM_LINE}{}{CHECKSUM_END}", Sha256::of(body));
        if tail != expected.as_bytes() {
            let is_ours = bytes.windows(FORMAT.len()).take(64).any(|w| w == FORMAT.as_bytes());
            return Err(if is_ours {
                ManifestError::Damaged("its own checksum does not match")
            } else {
                ManifestError::Foreign
            });
        }
        let header: Header = serde_json::from_slice(bytes).map_err(|_| ManifestError::Foreign)?;
        if header.format != FORMAT {
            return Err(ManifestError::Foreign);
        }
        if header.version != VERSION {
            return Err(ManifestError::Version(header.version));
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Invalid(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// All objects of all artifacts.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.artifacts.iter().flat_map(|artifact| &artifact.objects)
    }

    /// Whoever can write a destination can write a manifest with a right checksum: its names are
    /// not to reach outside the folder.
    fn check(&self) -> Result<(), ManifestError> {
        let invalid = |text: String| Err(ManifestError::Invalid(text));
        if self.artifacts.is_empty() {
            return invalid("it names no artifact".into());
        }
        let mut keys = std::collections::HashSet::new();
        for artifact in &self.artifacts {
            if !is_safe_component(&artifact.file_name) {
                return invalid(format!("`{}` is no file name", artifact.file_name.escape_debug()));
            }
            if artifact.objects.is_empty() {
                return invalid(format!("`{}` has no object", artifact.source.escape_debug()));
            }
            let first = artifact.restarts.first();
            let is_first = first.is_none_or(|one| one.plain_offset == 0 && one.packed_offset == 0);
            let is_rising = |pair: &[Restart]| {
                pair[0].plain_offset < pair[1].plain_offset
                    && pair[0].packed_offset < pair[1].packed_offset
            };
            let last = artifact.restarts.last().map_or(0, |one| one.plain_offset);
            let is_in_order = artifact.restarts.windows(2).all(is_rising);
            if !is_first || !is_in_order || last > artifact.plain.size_bytes {
                let source = artifact.source.escape_debug();
                return invalid(format!("the restarts of `{source}` are in no order"));
            }
            for object in &artifact.objects {
                if !object.key.split('/').all(is_safe_component) {
                    return invalid(format!("`{}` is no key", object.key.escape_debug()));
                }
                if !keys.insert(&object.key) {
                    return invalid(format!("`{}` is named twice", object.key.escape_debug()));
                }
            }
        }
        Ok(())
    }
}

/// One component of a path that stays where it is put, on any system.
fn is_safe_component(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.len() <= 255
        && !text.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':'))
}
