//! Why an archive is not unpacked.

use std::{io, path::PathBuf};

use crate::{TarError, quoted};

/// Why an archive is not unpacked, or not to its end. What was written by then stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The target cannot be used.
    #[error("{} cannot be unpacked into: {why}", quoted(.path))]
    Target {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The archive cannot be read as a tar.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The archive cannot be read as a zip.
    #[error("the archive cannot be read: {0}")]
    Zip(String),
    /// A member is what no archive may hold.
    #[error("the archive holds {name}, which is refused: {why}")]
    Refused {
        /// Its name, quoted.
        name: String,
        /// Why.
        why: Refusal,
    },
    /// The archive holds more than is allowed.
    #[error("the archive is refused: {0}")]
    TooMuch(Excess),
    /// Something cannot be written.
    #[error("{name} cannot be written: {source}")]
    Write {
        /// What, quoted.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever asked for it has called it off.
    #[error("it was called off")]
    Cancelled,
}

impl UnpackError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Tar(error) => error.is_retryable(),
            Self::Write { .. } => true,
            _ => false,
        }
    }
}

/// Why a member is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its path begins at the root.
    #[error("its path is absolute")]
    Absolute,
    /// Its path goes up.
    #[error("its path has a `..`")]
    Parent,
    /// Its path has a NUL.
    #[error("its path has a NUL byte")]
    Nul,
    /// Its path names nothing.
    #[error("its path is empty")]
    Empty,
    /// A link or a file is where its folder should be.
    #[error("on its way is something that is no folder, such as a link")]
    Through,
    /// Something has its name already.
    #[error("something of that name is there already")]
    Twice,
    /// It would be a name of something that is not in the archive before it.
    #[error("it links to what the archive has not given before")]
    LinkTarget,
    /// A device.
    #[error("it is a device")]
    Device,
    /// Encrypted within the archive.
    #[error("it is encrypted within the archive")]
    Encrypted,
}

/// Of what there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Excess {
    /// Content.
    #[error("it holds more than {0} bytes")]
    Bytes(u64),
    /// One file's length.
    #[error("it holds a file of more than {0} bytes")]
    FileBytes(u64),
    /// Members.
    #[error("it holds more than {0} members")]
    Members(u64),
    /// Folders within folders.
    #[error("it has a path of more than {0} parts")]
    Depth(usize),
    /// A name.
    #[error("it has a path of more than {0} bytes")]
    NameBytes(usize),
    /// Folders, with their names and attributes.
    #[error("its folders with their names and attributes need more than {0} bytes of memory")]
    FolderMemory(u64),
    /// Growth.
    #[error("it grows to more than {0} times its size, as a bomb does")]
    Ratio(u64),
}
