//! Locks: who works on the repository, by restic's rules, so that restic and we keep out of each
//! other's way.

mod held;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use store::ObjectMeta;

pub use held::{Lock, LockTimes};

use crate::{FileKind, Id, Repository, RepositoryError, Surroundings};

/// Age from which a lock is stale; restic's.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// By how much the store's clock and a locker's may differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(15);

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Beside others that are shared: for all that reads or adds.
    Shared,
    /// Alone: for all that removes.
    Exclusive,
}

/// A lock as it lies in `locks/`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was taken or refreshed.
    pub time: Timestamp,
    /// Whether nobody else may hold one.
    #[serde(default)]
    pub exclusive: bool,
    /// On which machine.
    #[serde(default)]
    pub hostname: String,
    /// By whom.
    #[serde(default)]
    pub username: String,
    /// By which process.
    #[serde(default)]
    pub pid: u32,
    /// As which user.
    #[serde(default)]
    pub uid: u32,
    /// As which group.
    #[serde(default)]
    pub gid: u32,
}

impl LockFile {
    /// A lock of ours, taken now.
    fn ours(kind: LockKind, surroundings: &Surroundings) -> Self {
        Self {
            time: surroundings.now(),
            exclusive: kind == LockKind::Exclusive,
            hostname: surroundings.hostname.clone(),
            username: surroundings.username.clone(),
            pid: surroundings.pid,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
        }
    }

    /// Reads the JSON of a lock.
    pub fn parse(json: &[u8]) -> Result<Self, RepositoryError> {
        serde_json::from_slice(json).map_err(|e| RepositoryError::malformed("a lock", e))
    }

    /// Whether whoever took it is gone: it was not refreshed for 30 minutes, or its process is not
    /// alive on this machine.
    pub fn is_stale(&self, surroundings: &Surroundings) -> bool {
        let age = surroundings.now().duration_since(self.time);
        let is_here = !self.hostname.is_empty() && self.hostname == surroundings.hostname;
        age > STALE_AFTER || (is_here && !surroundings.is_alive(self.pid))
    }

    /// Whose it is, for people.
    fn who(&self) -> String {
        format!("{}@{} (process {}) since {}", self.username, self.hostname, self.pid, self.time)
    }
}

/// A lock that lies in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLock {
    /// Its id.
    pub id: Id,
    /// What it tells; `None` if it cannot be read.
    pub lock: Option<LockFile>,
    /// Whether whoever took it is gone.
    pub is_stale: bool,
}

impl Repository {
    /// Every lock that lies in the repository.
    pub async fn locks(&self) -> Result<Vec<FoundLock>, RepositoryError> {
        let mut found = Vec::new();
        for (id, meta) in self.list_with_meta(FileKind::Lock).await? {
            // A lock is never written again: what lies there for so long needs no reading. Where
            // none can be removed there are many.
            if self.is_old(&meta, STALE_AFTER + CLOCKS_DIFFER) {
                found.push(FoundLock { id, lock: None, is_stale: true });
                continue;
            }
            found.extend(self.look_at_lock(id).await?);
        }
        Ok(found)
    }

    /// `None` if it went in the meantime. One that nobody can read counts until its object is as
    /// old as a stale lock: somebody may just be writing it.
    async fn look_at_lock(&self, id: Id) -> Result<Option<FoundLock>, RepositoryError> {
        let read = match self.load_json(FileKind::Lock, &id).await {
            Ok(json) => LockFile::parse(&json),
            Err(error) => Err(error),
        };
        match read {
            Ok(lock) => {
                let is_stale = lock.is_stale(self.surroundings());
                Ok(Some(FoundLock { id, lock: Some(lock), is_stale }))
            }
            Err(RepositoryError::Store(error)) if error.is_not_found() => Ok(None),
            Err(RepositoryError::Store(error)) => Err(error.into()),
            Err(_) => match self.stat(FileKind::Lock, &id).await {
                Ok(meta) => {
                    let is_stale = self.is_old(&meta, STALE_AFTER);
                    Ok(Some(FoundLock { id, lock: None, is_stale }))
                }
                Err(RepositoryError::Store(error)) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    fn is_old(&self, meta: &ObjectMeta, age: SignedDuration) -> bool {
        let written = meta.modified_at.and_then(|time| Timestamp::try_from(time).ok());
        written.is_some_and(|time| self.surroundings().now().duration_since(time) > age)
    }

    /// Removes stale locks, or with `all` every lock: then nobody may be at work. Says how many.
    pub async fn clear_locks(&self, all: bool) -> Result<usize, RepositoryError> {
        let mut removed = 0;
        for found in self.locks().await? {
            if all || found.is_stale {
                self.remove(FileKind::Lock, &found.id).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes a lock; whether it is gone, or nothing can be deleted there.
    async fn removed(&self, id: &Id) -> Result<bool, RepositoryError> {
        match self.remove(FileKind::Lock, id).await {
            Ok(()) => Ok(true),
            Err(RepositoryError::Store(error))
                if error.kind() == store::StoreErrorKind::PermissionDenied =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a lock of `kind` can stand beside those that are there; stale ones are removed.
    async fn check_locks(&self, kind: LockKind, own: Option<Id>) -> Result<(), RepositoryError> {
        let mut may_remove = true;
        for found in self.locks().await? {
            if Some(found.id) == own {
                continue;
            }
            if found.is_stale {
                // Where nothing can be deleted a stale lock stays, and is in nobody's way.
                may_remove = may_remove && self.removed(&found.id).await?;
                continue;
            }
            let Some(lock) = found.lock else {
                let who = format!("a lock that cannot be read, {}", found.id.short());
                return Err(RepositoryError::Locked { how: "by all appearance", who });
            };
            if kind == LockKind::Exclusive || lock.exclusive {
                let how = if lock.exclusive { "exclusively" } else { "and in use" };
                return Err(RepositoryError::Locked { how, who: lock.who() });
            }
        }
        Ok(())
    }
}
