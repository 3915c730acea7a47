//! What can go wrong with sending.

use std::time::Duration;

/// A message was not taken. Names the server, never a path, a token or an address that is itself
/// a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The address is one that nothing is sent to.
    #[error("{place} is refused: {reason}")]
    Refused {
        /// Scheme, host and port.
        place: String,
        /// Why.
        reason: String,
    },
    /// No connection, or it broke before an answer.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        place: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("{place} did not answer within {limit_secs} s")]
    Timeout {
        /// Scheme, host and port.
        place: String,
        /// The limit.
        limit_secs: u64,
    },
    /// It wants fewer messages.
    #[error("{place} wants fewer messages; it is tried again later")]
    Throttled {
        /// Scheme, host and port.
        place: String,
        /// When to come back, where it said so.
        retry_after: Option<Duration>,
    },
    /// It has trouble of its own.
    #[error("{place} answered {status}: it has trouble of its own, and is tried again later")]
    Troubled {
        /// Scheme, host and port.
        place: String,
        /// HTTP status.
        status: u16,
        /// When to come back, where it said so.
        retry_after: Option<Duration>,
    },
    /// It will not take this message, whenever it comes.
    #[error("{place} does not take it: {reason}")]
    Rejected {
        /// Scheme, host and port.
        place: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// It is there and wants it later.
    #[error("{place} does not take it now: {reason}")]
    Postponed {
        /// Scheme, host and port.
        place: String,
        /// What it said.
        reason: String,
    },
    /// It answered well, but not as its kind does: nobody may have got it.
    #[error("{place} answered {status}, but not as {kind} does; check the address")]
    Unexpected {
        /// Scheme, host and port.
        place: String,
        /// HTTP status.
        status: u16,
        /// Whose answer was expected.
        kind: &'static str,
    },
}

impl SendError {
    /// Whether the same message may be taken later without a change.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Throttled { .. }
            | Self::Troubled { .. }
            | Self::Postponed { .. }
            // A page of a proxy or of maintenance goes away again.
            | Self::Unexpected { .. } => true,
            Self::Refused { .. } | Self::Rejected { .. } => false,
        }
    }

    /// When to come back, where the server said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Troubled { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}
