//! The listing of a tree: a line of JSON for each file, after one for the tree itself.

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Failure, FailureCode};
use serde::{Deserialize, Serialize};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, BufWriter},
};

use super::work;

/// The format of an artifact that is a listing.
pub(crate) const FORMAT: &str = "file-tree";
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// [`FORMAT`].
    pub(super) format: String,
    pub(super) version: u32,
    /// The tree's folder, beside the listing.
    pub(super) tree: String,
    /// Folders above what was asked for: they only lead there.
    pub(super) above: Vec<Text>,
}

impl Head {
    pub(super) fn new(tree: &str, above: impl IntoIterator<Item = PathBuf>) -> Self {
        let tree = tree.rsplit('/').next().unwrap_or(tree).to_owned();
        let above = above.into_iter().map(|path| Text::of(path.as_os_str())).collect();
        Self { format: FORMAT.to_owned(), version: VERSION, tree, above }
    }
}

/// A path or a link's target: text, or base64 where it is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    Plain(String),
    Bytes { base64: String },
}

impl Text {
    pub(super) fn of(text: &OsStr) -> Self {
        match text.to_str() {
            Some(plain) => Self::Plain(plain.to_owned()),
            None => Self::Bytes { base64: STANDARD.encode(text.as_bytes()) },
        }
    }

    /// `None` where the base64 is none.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Plain(text) => Some(PathBuf::from(text)),
            Self::Bytes { base64 } => {
                let bytes = STANDARD.decode(base64).ok()?;
                Some(std::ffi::OsString::from_vec(bytes).into())
            }
        }
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Fifo,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) path: Text,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// Octal.
    pub(super) mode: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    pub(super) mtime_nanos: u32,
    /// Bytes of a file.
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    /// Where a link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<Text>,
}

impl Row {
    /// Whether `other` is a file of the same size and time: what rsync takes for unchanged.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.size == other.size
            && (self.mtime, self.mtime_nanos) == (other.mtime, other.mtime_nanos)
    }

    /// Its path, relative and without anything that leads up.
    pub(super) fn safe_path(&self) -> Result<PathBuf, Failure> {
        let path = self.path.path().ok_or_else(|| damaged("a path is no base64"))?;
        let is_safe = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if path.as_os_str().is_empty() || !is_safe || path.as_os_str().as_bytes().contains(&0) {
            return Err(damaged("a path leads out of the tree"));
        }
        Ok(path)
    }
}

pub(super) fn damaged(what: &str) -> Failure {
    Failure::new(FailureCode::Damaged, format!("the tree's listing is not valid: {what}"))
}

/// Reads rows from a file, one by one.
pub(super) struct Rows {
    from: BufReader<File>,
    line: Vec<u8>,
}

impl Rows {
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).await.map_err(|error| work::failed(path, &error))?;
        Ok(Self { from: BufReader::with_capacity(256 << 10, file), line: Vec::new() })
    }

    /// The first line of a listing.
    pub(super) async fn head(&mut self) -> Result<Head, Failure> {
        let head: Head = self.parsed().await?.ok_or_else(|| damaged("it is empty"))?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(damaged("it is of another version"));
        }
        Ok(head)
    }

    pub(super) async fn next(&mut self) -> Result<Option<Row>, Failure> {
        self.parsed().await
    }

    async fn parsed<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, Failure> {
        self.line.clear();
        let read = self.from.read_until(b'\n', &mut self.line).await;
        let count = read.map_err(|error| damaged(&error.to_string()))?;
        if count == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|error| damaged(&error.to_string()))
    }
}

/// Writes lines or names to a file of the spool folder.
pub(super) struct Lines {
    to: BufWriter<File>,
    path: PathBuf,
}

impl Lines {
    pub(super) async fn create(path: PathBuf) -> Result<Self, Failure> {
        let file = File::create(&path).await.map_err(|error| work::failed(&path, &error))?;
        Ok(Self { to: BufWriter::with_capacity(256 << 10, file), path })
    }

    /// Writes `value` as a line of JSON.
    pub(super) async fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value)
            .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
        line.push(b'\n');
        self.bytes(&line).await
    }

    /// Writes a path for a program that reads paths ended by a zero byte.
    pub(super) async fn name(&mut self, path: &Path) -> Result<(), Failure> {
        self.bytes(b"./").await?;
        self.bare(path).await
    }

    /// The same for one that takes no name for an option.
    pub(super) async fn bare(&mut self, path: &Path) -> Result<(), Failure> {
        self.bytes(path.as_os_str().as_bytes()).await?;
        self.bytes(b"\0").await
    }

    async fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.to.write_all(bytes).await;
        written.map_err(|error| work::failed(&self.path, &error))
    }

    pub(super) async fn finish(mut self) -> Result<PathBuf, Failure> {
        self.to.flush().await.map_err(|error| work::failed(&self.path, &error))?;
        Ok(self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &[u8]) -> Row {
        Row {
            path: Text::of(OsStr::from_bytes(path)),
            kind: Kind::File,
            mode: "644".to_owned(),
            uid: 0,
            gid: 0,
            mtime: 1,
            mtime_nanos: 5,
            size: 3,
            sha256: None,
            target: None,
        }
    }

    #[test]
    fn every_name_comes_back() {
        for name in [&b"a b\n\"c"[..], b"-rf", b"\xff\xfe", "ñ ☂".as_bytes()] {
            let line = serde_json::to_string(&row(name)).unwrap();
            assert!(!line.contains('\n'));
            let back: Row = serde_json::from_str(&line).unwrap();
            assert_eq!(back.safe_path().unwrap().as_os_str().as_bytes(), name);
        }
    }

    #[test]
    fn no_name_leads_out() {
        for name in ["", "/etc/passwd", "../x", "a/../../b", "a\0b"] {
            assert!(row(name.as_bytes()).safe_path().is_err(), "{name:?}");
        }
        let path = Text::Bytes { base64: "!".to_owned() };
        assert!(Row { path, ..row(b"a") }.safe_path().is_err());
    }
}
