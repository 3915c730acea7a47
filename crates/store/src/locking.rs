//! Locks of objects: what nobody can delete before a moment (S3 Object Lock).

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::{Key, LockMode, StoreError};

/// How an object is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked {
    /// Who may shorten it.
    pub mode: LockMode,
    /// When it ends.
    pub until: SystemTime,
}

/// What came of asking for a longer lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prolonged {
    /// When the lock ends now.
    pub until: SystemTime,
    /// Whether it ended earlier before, or there was none.
    pub is_longer: bool,
}

/// A store that locks what is written there, and can lock it for longer.
#[async_trait]
pub trait Locking: Send + Sync {
    /// How long an object is locked from when it was written.
    fn length(&self) -> Duration;

    /// How an object is locked now; `None` where it is not. An object that is not there is an error.
    async fn lock_of(&self, key: &Key) -> Result<Option<Locked>, StoreError>;

    /// Locks an object until `until` where its lock ends before `need`, or there is none. No lock
    /// becomes shorter or weaker. An object that is not there is an error.
    async fn prolong(
        &self,
        key: &Key,
        need: SystemTime,
        until: SystemTime,
    ) -> Result<Prolonged, StoreError>;
}
