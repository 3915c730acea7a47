//! Files as one stream: the way through them, a tar that keeps all they are, and the way back.

mod ahead;
mod bounds;
mod content;
pub mod names;
mod packed;
mod read;
mod roots;
mod sink;
mod tar;
mod unpack;
mod walk;

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt as _, path::Path};

pub use bounds::Bounds;
pub use content::Content;
pub use glob::PatternError;
pub use packed::Packing;
pub use read::{Attributes, DenseError, Kind, Member, Members, TarError, dense, is_header};
pub use roots::{check_pattern, distinct, find, without_parents};
pub use sink::Sink;
pub use tar::Tar;
pub use unpack::{
    Excess, Limits, Only, Options, Refusal, Report, UnpackError, Watch, unpack, unpack_zip,
};
pub use walk::{Format, Item, Root, Walk};

/// Most warnings that are told one by one.
const MAX_WARNINGS: usize = 1_000;

/// Why an archive did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Something cannot be read.
    #[error("{0}")]
    Failed(String),
    /// Whoever reads the archive has left.
    #[error("nobody reads the archive any more")]
    Gone,
}

impl ArchiveError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Gone,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// What was left out or is not as it was.
#[derive(Debug, Default)]
pub struct Warnings {
    lines: Vec<String>,
    more: usize,
}

impl Warnings {
    /// Adds one.
    pub fn push(&mut self, path: &Path, what: &str) {
        if self.lines.len() >= MAX_WARNINGS {
            self.more += 1;
            return;
        }
        let line = format!("{}: {what}", quoted(path));
        // A folder that vanishes is missed twice: itself, and what was in it.
        if self.lines.last() != Some(&line) {
            self.lines.push(line);
        }
    }

    /// All of them, for people.
    pub fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("{} more files are not as they were", self.more));
        }
        self.lines
    }
}

/// A name may hold anything, line ends too.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().escape_debug())
}

fn path_of(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// The components of a member's name, and why it has none that may be used. A name may hold a line
/// end: files do.
pub fn parts_of(name: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    if name[0] == b'/' {
        return Err(Refusal::Absolute);
    }
    if name.contains(&0) {
        return Err(Refusal::Nul);
    }
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<_> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) { Err(Refusal::Parent) } else { Ok(parts) }
}
