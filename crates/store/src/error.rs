//! Why a store did not do what it was asked.

use strum::Display;

use crate::{InvalidKey, Key};

/// Kinds of error a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display)]
#[strum(serialize_all = "snake_case")]
pub enum StoreErrorKind {
    /// The object is not there.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The credentials or file permissions do not allow it.
    PermissionDenied,
    /// No room is left.
    Full,
    /// The service asks for fewer requests.
    Throttled,
    /// A deadline passed.
    Timeout,
    /// Not reachable, or broken for now.
    Unavailable,
    /// What is there is not what was sent.
    Mismatch,
    /// What is there is not what was written once.
    Damaged,
    /// The settings are wrong.
    Config,
    /// The name cannot be used.
    InvalidKey,
    /// A fault of our own.
    Internal,
}

/// An operation on a store failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {advice}")]
pub struct StoreError {
    kind: StoreErrorKind,
    what: String,
    advice: &'static str,
}

impl StoreError {
    /// An error of `kind`; `what` says what was done, on what, and what came of it.
    pub fn new(kind: StoreErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), advice: advice(kind) }
    }

    /// What is at `key` is not what was sent.
    pub fn mismatch(key: &Key, how: &str) -> Self {
        Self::new(StoreErrorKind::Mismatch, format!("{key} {how}"))
    }

    /// The settings are wrong.
    pub fn config(what: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Config, what)
    }

    /// A fault of our own.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Internal, what)
    }

    /// What kind of error it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What was done, on what, and what came of it; without advice.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        use StoreErrorKind as K;
        matches!(self.kind, K::Throttled | K::Timeout | K::Unavailable | K::Mismatch)
    }

    /// Whether the object was not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }

    /// Whether the name was taken.
    pub fn is_already_exists(&self) -> bool {
        self.kind == StoreErrorKind::AlreadyExists
    }

    /// An error of the operating system during `operation`.
    pub fn io(operation: &str, subject: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let kind = match error.kind() {
            E::NotFound => StoreErrorKind::NotFound,
            E::AlreadyExists => StoreErrorKind::AlreadyExists,
            E::PermissionDenied | E::ReadOnlyFilesystem => StoreErrorKind::PermissionDenied,
            E::StorageFull | E::QuotaExceeded | E::FileTooLarge => StoreErrorKind::Full,
            E::TimedOut => StoreErrorKind::Timeout,
            E::NotADirectory | E::IsADirectory | E::InvalidFilename => StoreErrorKind::Config,
            _ => StoreErrorKind::Unavailable,
        };
        Self::new(kind, format!("{operation} {subject}: {error}"))
    }
}

impl From<InvalidKey> for StoreError {
    fn from(error: InvalidKey) -> Self {
        Self::new(StoreErrorKind::InvalidKey, error.to_string())
    }
}

fn advice(kind: StoreErrorKind) -> &'static str {
    use StoreErrorKind as K;
    match kind {
        K::NotFound => "check the folder, and whether somebody removed it",
        K::AlreadyExists => "choose another name, or remove what is there yourself",
        K::PermissionDenied => "check the destination's credentials and permissions",
        K::Full => "free room at the destination, or keep fewer snapshots",
        K::Throttled => "the destination asks for patience; it is tried again",
        K::Timeout => "the destination did not answer in time; check the network or the mount",
        K::Unavailable => "check that the destination runs and can be reached",
        K::Mismatch => "the destination did not keep what it was sent; it is tried again",
        K::Damaged => "restore from another copy, and check the destination's disk or service",
        K::Config => "correct the destination's settings",
        K::InvalidKey => "choose another name or folder",
        K::Internal => "this is a fault of the orchestrator; please report it",
    }
}
