//! What can go wrong with a server of the contract.

use crate::{AddressRefused, header::BadHeader};

/// A server of the contract did not do what it should. Messages name what failed and what to
/// do; never the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The address is not one an app may have.
    #[error("{url} is refused: {source}")]
    Refused {
        /// What was to be connected to.
        url: String,
        /// Why not.
        source: AddressRefused,
    },
    /// No connection, or it broke before an answer.
    #[error("{url} cannot be reached: {reason}; check that it runs and is on `backups_net`")]
    Unreachable {
        /// What was to be connected to.
        url: String,
        /// What happened.
        reason: String,
    },
    /// 401.
    #[error("{url} answered 401: the token does not match; paste the one the app expects")]
    Unauthorized {
        /// Who answered.
        url: String,
    },
    /// 409, 429 or 503.
    #[error("{url} is busy ({status}); it is tried again later")]
    Busy {
        /// Who answered.
        url: String,
        /// HTTP status.
        status: u16,
        /// When to ask again, in seconds.
        retry_after_secs: Option<u64>,
    },
    /// Any other status that is not a success.
    #[error("{url} answered {status}{}", .detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
    Status {
        /// Who answered.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        detail: Option<String>,
    },
    /// An answer outside the contract.
    #[error("{url} does not keep to the contract: {reason}")]
    Protocol {
        /// Who answered.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The stream ended before its end.
    #[error("the export was cut after {received_bytes} bytes: {reason}")]
    Truncated {
        /// Bytes that came.
        received_bytes: u64,
        /// What happened.
        reason: String,
    },
    /// Size or checksum differ from what was declared.
    #[error("the export is not what the app declared: {0}; nothing was kept")]
    Mismatch(String),
    /// Larger than allowed.
    #[error("the export is larger than the {limit_bytes} bytes allowed (BACKUP_MAX_SIZE_MB)")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// A deadline passed.
    #[error("{what} took more than {limit_secs} s")]
    Timeout {
        /// What took too long.
        what: String,
        /// The limit.
        limit_secs: u64,
    },
    /// The app's job failed.
    #[error("the app's export failed: {0}")]
    JobFailed(String),
    /// The app does not take artifacts back.
    #[error("{url} takes nothing back: its capabilities do not say `restore`")]
    NotOffered {
        /// Who answered.
        url: String,
    },
    /// What was to be imported cannot be read; the app has not got it whole.
    #[error("what was to be imported cannot be read: {0}")]
    Unreadable(String),
    /// The app's import failed.
    #[error("the app's import failed: {0}")]
    ImportFailed(String),
    /// The client was told to stop.
    #[error("cancelled")]
    Cancelled,
}

impl ContractError {
    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::Truncated { .. }
            | Self::Mismatch(_)
            | Self::Timeout { .. }
            | Self::JobFailed(_)
            | Self::Unreadable(_) => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Refused { .. }
            | Self::Unauthorized { .. }
            | Self::Protocol { .. }
            | Self::TooLarge { .. }
            | Self::NotOffered { .. }
            | Self::ImportFailed(_)
            | Self::Cancelled => false,
        }
    }

    /// Whether there was no connection at all.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. } | Self::Timeout { .. })
    }

    /// Passes every text that a server may have had a hand in through `change`.
    pub(crate) fn map_text(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Unreachable { url, reason } => {
                Self::Unreachable { url: change(url), reason: change(reason) }
            }
            Self::Unauthorized { url } => Self::Unauthorized { url: change(url) },
            Self::Busy { url, status, retry_after_secs } => {
                Self::Busy { url: change(url), status, retry_after_secs }
            }
            Self::Status { url, status, detail } => {
                Self::Status { url: change(url), status, detail: detail.map(change) }
            }
            Self::Protocol { url, reason } => {
                Self::Protocol { url: change(url), reason: change(reason) }
            }
            Self::Truncated { received_bytes, reason } => {
                Self::Truncated { received_bytes, reason: change(reason) }
            }
            Self::Timeout { what, limit_secs } => Self::Timeout { what: change(what), limit_secs },
            Self::JobFailed(message) => Self::JobFailed(change(message)),
            Self::ImportFailed(message) => Self::ImportFailed(change(message)),
            Self::NotOffered { url } => Self::NotOffered { url: change(url) },
            Self::Refused { .. }
            | Self::Mismatch(_)
            | Self::TooLarge { .. }
            | Self::Unreadable(_)
            | Self::Cancelled => self,
        }
    }

    pub(crate) fn header(url: &str, error: &BadHeader) -> Self {
        Self::Protocol { url: url.to_owned(), reason: error.to_string() }
    }
}
