//! A lock of ours: taken, refreshed, looked after, given back.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{LockFile, LockKind};
use crate::{FileKind, Id, Repository, RepositoryError};

/// How often things are done with a lock; the default is what restic does.
#[derive(Debug, Clone, Copy)]
pub struct LockTimes {
    /// How long is waited, after a lock was written, for others that were written meanwhile.
    pub settle: Duration,
    /// How often a lock is refreshed.
    pub refresh: Duration,
    /// How often it is looked whether the lock is still there.
    pub look: Duration,
    /// Age after which a lock that could not be refreshed is lost: before others call it stale.
    pub lost_after: SignedDuration,
}

impl Default for LockTimes {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(200),
            refresh: Duration::from_secs(5 * 60),
            look: Duration::from_secs(30),
            lost_after: SignedDuration::from_secs(22 * 60 + 30),
        }
    }
}

/// What is known of the lock by everybody who asks.
#[derive(Debug)]
struct State {
    id: Id,
    refreshed_at: Timestamp,
}

/// A lock that we hold. Give it back with [`Lock::release`]; one that is dropped is removed when
/// there is time for it, or becomes stale.
#[derive(Debug)]
pub struct Lock {
    repository: Repository,
    kind: LockKind,
    times: LockTimes,
    state: Arc<Mutex<State>>,
    lost: watch::Receiver<Option<String>>,
    keeper: Option<JoinHandle<()>>,
}

struct Keeper {
    repository: Repository,
    kind: LockKind,
    times: LockTimes,
    state: Arc<Mutex<State>>,
}

fn state(state: &Mutex<State>) -> (Id, Timestamp) {
    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
    (state.id, state.refreshed_at)
}

async fn write(repository: &Repository, kind: LockKind) -> Result<State, RepositoryError> {
    let lock = LockFile::ours(kind, repository.surroundings());
    let json = serde_json::to_vec(&lock).map_err(|e| RepositoryError::Internal(e.to_string()))?;
    let id = repository.save_json(FileKind::Lock, &json).await?;
    Ok(State { id, refreshed_at: lock.time })
}

/// restic asks whether the process of a lock is alive by sending it SIGHUP, which ends a process
/// that does not expect it. From here on, this one does.
fn survive_being_asked() -> Result<(), RepositoryError> {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    hangup.map(drop).map_err(|e| RepositoryError::Internal(format!("handling SIGHUP: {e}")))
}

impl Repository {
    /// Takes a lock, or says who is in the way.
    pub async fn lock(&self, kind: LockKind) -> Result<Lock, RepositoryError> {
        self.lock_with(kind, LockTimes::default()).await
    }

    /// The same with other times.
    pub async fn lock_with(
        &self,
        kind: LockKind,
        times: LockTimes,
    ) -> Result<Lock, RepositoryError> {
        survive_being_asked()?;
        self.check_locks(kind, None).await?;
        let written = write(self, kind).await?;
        let id = written.id;
        sleep(times.settle).await;
        if let Err(error) = self.check_locks(kind, Some(id)).await {
            self.removed(&id).await?;
            return Err(error);
        }
        let state = Arc::new(Mutex::new(written));
        let (tell, lost) = watch::channel(None);
        let keeper = Keeper { repository: self.clone(), kind, times, state: state.clone() };
        let keeper = tokio::spawn(async move {
            let why = keeper.keep().await;
            let _ = tell.send(Some(why));
        });
        Ok(Lock { repository: self.clone(), kind, times, state, lost, keeper: Some(keeper) })
    }
}

impl Keeper {
    /// Ends when the lock is lost, with the reason.
    async fn keep(&self) -> String {
        let mut since_refresh = Duration::ZERO;
        loop {
            sleep(self.times.look).await;
            since_refresh += self.times.look;
            if since_refresh >= self.times.refresh {
                // One that fails is tried again at the next look; how long that may go on is
                // what `check` knows.
                if self.refresh().await.is_ok() {
                    since_refresh = Duration::ZERO;
                }
            }
            if let Err(RepositoryError::LockLost(why)) =
                check(&self.repository, &self.state, self.times).await
            {
                return why;
            }
        }
    }

    /// Writes the new lock before the old one goes: somebody is always told. A lock that somebody
    /// removed is never made anew: whoever removed it relies on that.
    async fn refresh(&self) -> Result<(), RepositoryError> {
        check(&self.repository, &self.state, self.times).await?;
        let fresh = write(&self.repository, self.kind).await?;
        let old = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, fresh)
        };
        // One that stays becomes stale.
        let _ = self.repository.remove(FileKind::Lock, &old.id).await;
        Ok(())
    }
}

/// Whether the lock is there and young enough.
async fn check(
    repository: &Repository,
    shared: &Mutex<State>,
    times: LockTimes,
) -> Result<(), RepositoryError> {
    let (mut id, refreshed_at) = state(shared);
    let age = repository.surroundings().now().duration_since(refreshed_at);
    if age > times.lost_after {
        let why = format!("it could not be refreshed for {} minutes", age.as_mins());
        return Err(RepositoryError::LockLost(why));
    }
    loop {
        match repository.stat(FileKind::Lock, &id).await {
            Ok(_) => return Ok(()),
            Err(RepositoryError::Store(error)) if error.is_not_found() => {
                // It may have been refreshed under our eyes.
                let (now, _) = state(shared);
                if now == id {
                    return Err(RepositoryError::LockLost("somebody removed it".to_owned()));
                }
                id = now;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Lock {
    /// How it is shared.
    pub fn kind(&self) -> LockKind {
        self.kind
    }

    /// Its id at this moment.
    pub fn id(&self) -> Id {
        state(&self.state).0
    }

    /// Looks whether the lock is still there: before anything is written that others rely on.
    pub async fn ensure(&self) -> Result<(), RepositoryError> {
        if let Some(why) = self.lost.borrow().clone() {
            return Err(RepositoryError::LockLost(why));
        }
        check(&self.repository, &self.state, self.times).await
    }

    /// The same, for work that needs this kind of lock, or the stronger one.
    pub(crate) async fn ensure_kind(&self, kind: LockKind) -> Result<(), RepositoryError> {
        if kind == LockKind::Exclusive && self.kind != LockKind::Exclusive {
            let what = "an exclusive lock is needed, and a shared one was given";
            return Err(RepositoryError::Internal(what.to_owned()));
        }
        self.ensure().await
    }

    /// Waits until the lock is lost, and says why.
    pub async fn lost(&self) -> RepositoryError {
        let mut lost = self.lost.clone();
        let why = match lost.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "whoever looked after it is gone".to_owned(),
        };
        RepositoryError::LockLost(why)
    }

    /// Runs `work` for as long as the lock is held.
    pub async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, RepositoryError>>,
    ) -> Result<T, RepositoryError> {
        tokio::select! {
            done = work => done,
            lost = self.lost() => Err(lost),
        }
    }

    /// Gives the lock back; whether it is gone. Where nothing can be deleted it stays and becomes
    /// stale.
    pub async fn release(mut self) -> Result<bool, RepositoryError> {
        self.stop().await;
        let id = self.id();
        self.repository.removed(&id).await
    }

    async fn stop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
            let _ = keeper.await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(keeper) = self.keeper.take() else { return };
        keeper.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (repository, state) = (self.repository.clone(), self.state.clone());
        runtime.spawn(async move {
            let _ = keeper.await;
            let id = self::state(&state).0;
            let _ = repository.remove(FileKind::Lock, &id).await;
        });
    }
}
