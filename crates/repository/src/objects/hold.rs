//! One lock for everybody of this process, and the index that is good while it is held.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep, timeout_at},
};

use super::ObjectsOptions;
use crate::{FileKind, Id, Index, Lock, LockKind, LockTimes, Repository, RepositoryError};

/// How often it is looked whether others' locks are gone.
const RETRY: Duration = Duration::from_secs(2);
/// How long a lock is kept after its last use where it cannot be removed: others wait for it to
/// become stale anyway, and a new one each time would be one more that stays. Shorter than the time
/// after which it would be refreshed.
const IDLE_WHERE_LOCKS_STAY: Duration = Duration::from_secs(4 * 60);

#[derive(Debug)]
pub(super) struct Holder {
    repository: Repository,
    times: LockTimes,
    idle: Duration,
    patience: Duration,
    held: Arc<Mutex<Option<Arc<Lock>>>>,
    /// Nothing can be deleted, not even locks.
    locks_stay: AtomicBool,
    loaded: Mutex<Loaded>,
}

/// An index, and what it was read from.
#[derive(Debug, Default)]
struct Loaded {
    index: Arc<Index>,
    files: HashSet<Id>,
    /// The lock under which it was read: nothing of it goes while that one is held.
    under: std::sync::Weak<Lock>,
}

/// The lock in use. When the last is gone for a while, the lock is given back.
#[derive(Debug)]
pub struct Hold {
    pub(super) lock: Arc<Lock>,
    holder: Arc<Holder>,
}

impl Hold {
    /// The lock.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
}

/// The exclusive lock, while nobody else of this process can take any.
#[derive(Debug)]
pub struct Alone {
    lock: Lock,
    _others_wait: OwnedMutexGuard<Option<Arc<Lock>>>,
}

impl Alone {
    /// The lock.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Gives it back.
    pub async fn release(self) -> Result<(), RepositoryError> {
        self.lock.release().await.map(drop)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let holder = Arc::clone(&self.holder);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let idle = if holder.locks_stay() { IDLE_WHERE_LOCKS_STAY } else { holder.idle };
                sleep(idle).await;
                holder.rest().await;
            });
        }
    }
}

impl Holder {
    pub(super) fn new(repository: Repository, options: &ObjectsOptions) -> Arc<Self> {
        Arc::new(Self {
            repository,
            times: options.lock,
            idle: options.idle,
            patience: options.patience,
            held: Arc::default(),
            locks_stay: AtomicBool::new(false),
            loaded: Mutex::default(),
        })
    }

    /// The shared lock, taken if it is not held.
    pub(super) async fn hold(self: &Arc<Self>) -> Result<Hold, RepositoryError> {
        let until = Instant::now() + self.patience;
        let mut held = timeout_at(until, self.held.lock()).await.map_err(|_| busy())?;
        if let Some(lock) = &*held
            && lock.ensure().await.is_ok()
        {
            return Ok(Hold { lock: Arc::clone(lock), holder: Arc::clone(self) });
        }
        // One that was lost is left to whoever still has it.
        *held = None;
        let lock = Arc::new(self.take(LockKind::Shared, until).await?);
        *held = Some(Arc::clone(&lock));
        Ok(Hold { lock, holder: Arc::clone(self) })
    }

    /// The exclusive lock, when nobody of this process uses the shared one.
    pub(super) async fn alone(&self) -> Result<Alone, RepositoryError> {
        let until = Instant::now() + self.patience;
        loop {
            let owned = Arc::clone(&self.held).lock_owned();
            let mut held = timeout_at(until, owned).await.map_err(|_| busy())?;
            let unused = match held.take().map(Arc::try_unwrap) {
                None => true,
                Some(Ok(lock)) => {
                    lock.release().await?;
                    true
                }
                Some(Err(lock)) => {
                    *held = Some(lock);
                    false
                }
            };
            if unused {
                let lock = self.take(LockKind::Exclusive, until).await?;
                return Ok(Alone { lock, _others_wait: held });
            }
            drop(held);
            if Instant::now() + RETRY > until {
                return Err(busy());
            }
            sleep(RETRY).await;
        }
    }

    async fn take(&self, kind: LockKind, until: Instant) -> Result<Lock, RepositoryError> {
        loop {
            match self.repository.lock_with(kind, self.times).await {
                Err(error @ RepositoryError::Locked { .. }) => {
                    if Instant::now() + RETRY > until {
                        return Err(error);
                    }
                    sleep(RETRY).await;
                }
                other => return other,
            }
        }
    }

    /// Gives the lock back, if nobody uses it.
    pub(super) async fn rest(&self) {
        let mut held = self.held.lock().await;
        if let Some(lock) = held.take() {
            match Arc::try_unwrap(lock) {
                // One that stays becomes stale.
                Ok(lock) => {
                    if let Ok(is_gone) = lock.release().await {
                        self.locks_stay.store(!is_gone, Ordering::Relaxed);
                    }
                }
                Err(lock) => *held = Some(lock),
            }
        }
    }

    /// Whether the last lock that was given back could not be removed.
    pub(super) fn locks_stay(&self) -> bool {
        self.locks_stay.load(Ordering::Relaxed)
    }

    /// The index as it was read under the lock that is held, or as it is now.
    pub(super) async fn index(&self) -> Result<Arc<Index>, RepositoryError> {
        self.load(false).await
    }

    /// The index as it is now.
    pub(super) async fn fresh_index(&self) -> Result<Arc<Index>, RepositoryError> {
        self.load(true).await
    }

    async fn load(&self, anew: bool) -> Result<Arc<Index>, RepositoryError> {
        let under = self.held.lock().await.as_ref().map(Arc::downgrade).unwrap_or_default();
        let mut loaded = self.loaded.lock().await;
        let is_same = under.upgrade().is_some() && loaded.under.ptr_eq(&under);
        if is_same && !anew {
            return Ok(Arc::clone(&loaded.index));
        }
        let there: HashSet<_> = self.list().await?;
        if !loaded.files.is_subset(&there) {
            // Something was put elsewhere.
            *loaded = Loaded::default();
        }
        let new: Vec<_> = there.difference(&loaded.files).copied().collect();
        if !new.is_empty() {
            if let Some(index) = Arc::get_mut(&mut loaded.index) {
                for id in &new {
                    index.load(&self.repository.load_index_file(id).await?.packs);
                }
                index.settle();
                loaded.files = there;
            } else {
                let read = self.repository.load_index().await?;
                loaded.index = Arc::new(read.index);
                loaded.files = read.files.into_iter().collect();
            }
        }
        loaded.under = under;
        Ok(Arc::clone(&loaded.index))
    }

    async fn list(&self) -> Result<HashSet<Id>, RepositoryError> {
        let files = self.repository.list(FileKind::Index).await?;
        Ok(files.into_iter().map(|file| file.id).collect())
    }
}

fn busy() -> RepositoryError {
    RepositoryError::Locked { how: "and in use", who: "other work of this process".to_owned() }
}
