//! Why a connection or a stream ended.

use std::{io, path::PathBuf, time::Duration};

use crate::{Lsn, ServerError, Timeline};

/// Something failed between us and a PostgreSQL server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// The server cannot be reached, or the connection broke.
    #[error("{doing}: {source}; look whether PostgreSQL runs there and listens on that address")]
    Network {
        /// What was tried.
        doing: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("{doing}: nothing came within {}; the server or the network hangs", seconds(*after))]
    Timeout {
        /// What was waited for.
        doing: String,
        /// How long.
        after: Duration,
    },
    /// TLS could not be agreed upon.
    #[error("TLS with {server}: {how}")]
    Tls {
        /// The server.
        server: String,
        /// What is wrong, and what to do.
        how: String,
    },
    /// The server asks for a way to prove who we are that is refused or unknown.
    #[error("{0}")]
    Authentication(String),
    /// The server said no.
    #[error(transparent)]
    Server(#[from] Box<ServerError>),
    /// What came is no answer of PostgreSQL.
    #[error("the server does not speak PostgreSQL's replication protocol: {0}")]
    Protocol(String),
    /// Another cluster answers at the same address.
    #[error(
        "the server is another cluster (system identifier {found}, {expected} is expected): \
         its WAL does not continue what is stored; take a new base backup of it"
    )]
    OtherCluster {
        /// Whose WAL is stored.
        expected: u64,
        /// Who answers.
        found: u64,
    },
    /// The server's WAL ends before what is stored, or its history left ours.
    #[error(
        "the server's WAL does not continue what is stored (timeline {timeline} up to {at}): \
         {how}; begin a new lineage with a new base backup"
    )]
    Diverged {
        /// The timeline that is stored.
        timeline: Timeline,
        /// Up to where.
        at: Lsn,
        /// What the server has instead.
        how: String,
    },
    /// A base backup is not what its manifest says.
    #[error("the base backup is not sound: {0}; take another one")]
    Unsound(String),
    /// The spool cannot be written.
    #[error("writing a segment into the spool {}: {source}; see that the folder is there and has room", folder.display())]
    Spool {
        /// The spool.
        folder: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Who took a piece of WAL gave it back without having kept it.
    #[error("WAL up to {0} was not kept; it will be received again")]
    NotKept(Lsn),
    /// Nobody takes what is received any more.
    #[error("nobody takes the WAL any more")]
    Gone,
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

impl Error {
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    pub(crate) fn network(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Network { doing: doing.into(), source }
    }

    /// Whether the same may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Network { .. }
            | Self::Timeout { .. }
            | Self::NotKept(_)
            | Self::Spool { .. }
            | Self::Unsound(_) => true,
            Self::Server(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// What the server said, where it was the server.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }
}
