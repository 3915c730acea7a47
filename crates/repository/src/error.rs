//! Why a repository did not do what it was asked.

use store::StoreError;

use crate::{BlobKind, FileKind, Id};

/// An operation on a repository failed.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no repository.
    #[error("there is no repository at {0}: check the destination, or initialise it")]
    NoRepository(String),
    /// There is one already.
    #[error("there is a repository at {0} already: open it, or choose another folder")]
    AlreadyThere(String),
    /// No key file opens with the password.
    #[error("none of the {keys} keys opens with this password: check the password")]
    WrongPassword {
        /// How many keys were tried.
        keys: usize,
    },
    /// The last key may not go.
    #[error("this is the key that the repository was opened with: open it with another one first")]
    KeyInUse,
    /// A format of later days.
    #[error("repository format {0} is not known: versions 1 and 2 are")]
    Version(u64),
    /// A file is not what was written.
    #[error("{file} is damaged: {how}; {}", crate::guidance::DAMAGED)]
    Damaged {
        /// Its name.
        file: String,
        /// What is wrong.
        how: String,
    },
    /// A blob that something needs is in no index.
    #[error("the {kind:?} blob {id} is in no index; {}", crate::guidance::MISSING_BLOB)]
    MissingBlob {
        /// Its kind.
        kind: BlobKind,
        /// Its id.
        id: Id,
    },
    /// Bytes that cannot be what they are said to be.
    #[error("{what} cannot be read: {how}")]
    Malformed {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        how: String,
    },
    /// A name that could reach elsewhere.
    #[error("an entry called `{}` is refused: {why}", .name.escape_debug())]
    Name {
        /// The name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// Somebody else holds a lock.
    #[error("the repository is locked {how} by {who}: wait, or clear the lock if they are gone")]
    Locked {
        /// `exclusively` or not.
        how: &'static str,
        /// Whose lock it is.
        who: String,
    },
    /// Our lock is gone.
    #[error("our lock on the repository is gone ({0}): nothing more was written; start again")]
    LockLost(String),
    /// Something larger than any honest one.
    #[error("{what} would take {bytes} bytes; at most {most}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// What it would take.
        bytes: u64,
        /// What is allowed.
        most: u64,
    },
    /// Nothing has this name.
    #[error("{0} is not in the snapshot: browse it for what is there")]
    NotInSnapshot(String),
    /// No snapshot has this id, or more than one.
    #[error("{count} snapshots begin with `{prefix}`: give the id of exactly one")]
    WhichSnapshot {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        count: usize,
    },
    /// A file operation on this machine.
    #[error("{doing} {path}: {error}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// On what.
        path: String,
        /// What came of it.
        #[source]
        error: std::io::Error,
    },
    /// A fault of our own.
    #[error("{0}: this is a fault of the orchestrator; please report it")]
    Internal(String),
}

impl RepositoryError {
    /// A file is not what was written.
    pub(crate) fn damaged(kind: FileKind, id: &Id, how: impl ToString) -> Self {
        Self::Damaged { file: kind.path(id), how: how.to_string() }
    }

    pub(crate) fn malformed(what: &'static str, how: impl ToString) -> Self {
        Self::Malformed { what, how: how.to_string() }
    }

    pub(crate) fn io(doing: &'static str, path: &std::path::Path, error: std::io::Error) -> Self {
        Self::Io { doing, path: path.display().to_string(), error }
    }

    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Locked { .. } | Self::LockLost(_) => true,
            _ => false,
        }
    }
}

/// A task of ours ended by a panic.
impl From<tokio::task::JoinError> for RepositoryError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}
