//! What is in an artifact that is an archive: an index of its members, made in one pass over its
//! bytes, and kept as a file of SQLite for as long as it is used and its snapshot is there.
//!
//! The destination is the truth: an index can be thrown away at any time, and is made anew when it
//! is needed.

mod blocks;
mod bytes;
mod cache;
mod diff;
mod entries;
pub(crate) mod make;
mod making;
pub(crate) mod zipped;

pub(crate) use blocks::Blocks;
pub(crate) use bytes::{ArtifactBytes, Incoming};
pub(crate) use cache::Cache;
pub(crate) use diff::compare;
pub use entries::{ArchiveEntry, EntryKind, Listing};
pub(crate) use entries::{Index, Place};
pub use making::Reading;
pub(crate) use making::{Counted, Making, NotMade};

/// Why an index cannot be made or asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The bytes cannot be read or are no archive.
    #[error("the archive cannot be read: {0}")]
    Archive(#[from] archive::TarError),
    /// It cannot be unpacked.
    #[error("the archive cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The file of the index.
    #[error("the index of the archive: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
