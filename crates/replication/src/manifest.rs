//! A base backup's manifest: which files, how large, with which checksums, and which WAL they need.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use ring::digest;
use serde::Deserialize;

use crate::{Error, Lsn, Timeline};

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Below the data directory; tablespaces are below `pg_tblspc/OID`.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// `CRC32C`, `SHA256` and so on; `None` without a checksum.
    pub algorithm: Option<String>,
    /// The checksum.
    pub checksum: Vec<u8>,
}

/// WAL without which the backup is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalRange {
    /// The timeline.
    pub timeline: Timeline,
    /// From here on.
    pub start: Lsn,
    /// Up to here.
    pub end: Lsn,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The cluster; from PostgreSQL 17 on.
    pub system: Option<u64>,
    /// All files.
    pub files: Vec<ManifestFile>,
    /// The WAL they need.
    pub wal: Vec<WalRange>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    version: u32,
    #[serde(rename = "System-Identifier")]
    system: Option<u64>,
    #[serde(rename = "Files")]
    files: Vec<WrittenFile>,
    #[serde(rename = "WAL-Ranges")]
    wal: Vec<WrittenRange>,
}

#[derive(Deserialize)]
struct WrittenFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    /// A name that is no UTF-8, in hexadecimal.
    #[serde(rename = "Encoded-Path")]
    encoded: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct WrittenRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

impl Manifest {
    /// Reads a manifest and proves its own checksum.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let bad = |how: String| Error::Unsound(format!("its manifest: {how}"));
        own_checksum(bytes).map_err(|how| bad(how.into()))?;
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if !(1..=2).contains(&written.version) {
            return Err(bad(format!("version {} is not known", written.version)));
        }
        let files = written.files.into_iter().map(file).collect::<Result<_, _>>().map_err(bad)?;
        let wal = written
            .wal
            .iter()
            .map(|range| {
                let timeline =
                    Timeline::new(range.timeline).ok_or_else(|| bad("a timeline of 0".into()))?;
                Ok(WalRange { timeline, start: range.start.parse()?, end: range.end.parse()? })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { system: written.system, files, wal })
    }
}

fn file(written: WrittenFile) -> Result<ManifestFile, String> {
    let path = match (written.path, written.encoded) {
        (Some(path), None) => PathBuf::from(path),
        (None, Some(encoded)) => {
            let bytes = hex::decode(&encoded).map_err(|_| "a path that is no hexadecimal")?;
            PathBuf::from(OsString::from_vec(bytes))
        }
        _ => return Err("a file without a path".into()),
    };
    let checksum = hex::decode(written.checksum.unwrap_or_default())
        .map_err(|_| format!("the checksum of {} is no hexadecimal", path.display()))?;
    Ok(ManifestFile { path, size: written.size, algorithm: written.algorithm, checksum })
}

/// The last line holds the SHA-256 of all lines before.
fn own_checksum(bytes: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8")?;
    let at = text.rfind("\"Manifest-Checksum\"").ok_or("it has no checksum: it is cut off")?;
    let told = text[at..].split('"').nth(3).ok_or("its checksum cannot be read")?;
    let told = hex::decode(told).map_err(|_| "its checksum is no hexadecimal")?;
    let found = digest::digest(&digest::SHA256, &bytes[..at]);
    if found.as_ref() == told { Ok(()) } else { Err("it is not what the server wrote") }
}
