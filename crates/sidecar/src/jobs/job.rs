//! One export that is made into a file.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use contract::{ExportRequest, JobState, JobStatus};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::spool::Artifact;

/// How long an artifact stays after it was sent whole: the last bytes may have been cut off.
const SERVED_STAYS: Duration = Duration::from_secs(60);
/// How long an export with a run id goes on when nobody waits for it: its client may be on its
/// way back.
const REJOIN: Duration = Duration::from_secs(30);

/// Where a job stands.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Running,
    Succeeded(Arc<Artifact>),
    /// Why, without secrets.
    Failed(String),
    Cancelled,
}

/// Who has what of it.
#[derive(Debug)]
struct Holders {
    waiting: usize,
    reading: usize,
    /// Promised to somebody as a job.
    is_promised: bool,
    /// When it goes, if nobody reads; known once it has ended.
    expires: Option<Instant>,
}

pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) request: ExportRequest,
    pub(crate) cancel: CancellationToken,
    pub(crate) bytes: AtomicU64,
    est_size: Option<u64>,
    ttl: Duration,
    state: watch::Sender<State>,
    holders: Mutex<Holders>,
}

impl Job {
    pub(crate) fn new(
        id: String,
        request: ExportRequest,
        cancel: CancellationToken,
        est_size: Option<u64>,
        ttl: Duration,
    ) -> Self {
        let holders = Holders { waiting: 0, reading: 0, is_promised: false, expires: None };
        Self {
            id,
            request,
            cancel,
            bytes: AtomicU64::new(0),
            est_size,
            ttl,
            state: watch::Sender::new(State::Running),
            holders: Mutex::new(holders),
        }
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.state.borrow(), State::Running)
    }

    pub(crate) fn end(&self, state: State) {
        self.holders().expires = Some(Instant::now() + self.ttl);
        self.state.send_replace(state);
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&self) -> State {
        let mut changes = self.state.subscribe();
        match changes.wait_for(|state| !matches!(state, State::Running)).await {
            Ok(state) => state.clone(),
            Err(_) => State::Cancelled,
        }
    }

    /// Keeps it going although nobody waits.
    pub(crate) fn promise(&self) {
        self.holders().is_promised = true;
    }

    /// When it goes; `None` while it runs or somebody reads it.
    pub(crate) fn expires(&self) -> Option<Instant> {
        let holders = self.holders();
        holders.expires.filter(|_| holders.reading == 0)
    }

    /// Whether nobody can ask for it again.
    pub(crate) fn is_private(&self) -> bool {
        self.request.run_id.is_none() && !self.holders().is_promised
    }

    pub(crate) fn status(&self) -> JobStatus {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let (state, progress, message) = match self.state() {
            State::Running => {
                let share = |size: u64| (bytes as f64 / size as f64).min(0.99);
                (JobState::Running, self.est_size.filter(|size| *size > 0).map(share), None)
            }
            State::Succeeded(_) => (JobState::Succeeded, Some(1.0), None),
            State::Failed(why) => (JobState::Failed, None, Some(why)),
            State::Cancelled => (JobState::Cancelled, None, None),
        };
        JobStatus { job_id: self.id.clone(), state, progress, bytes: Some(bytes), message }
    }

    /// Waits for it as long as the guard lives. Where nobody waits and nobody was promised
    /// anything, the export ends.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.holders().waiting += 1;
        Waiting(Arc::clone(self))
    }

    fn give_up(&self) {
        let holders = self.holders();
        if holders.waiting == 0 && !holders.is_promised && self.is_running() {
            tracing::warn!("nobody waits for the export any more: it is cancelled");
            self.cancel.cancel();
        }
    }

    /// What is private and has no reader by now gets none.
    fn expire_unread(&self) {
        let mut holders = self.holders();
        if !holders.is_promised && holders.reading == 0 && holders.expires.is_some() {
            holders.expires = Some(Instant::now());
        }
    }

    pub(crate) fn read(self: &Arc<Self>) -> Reading {
        self.holders().reading += 1;
        Reading { job: Arc::clone(self), is_served: false }
    }
}

/// Somebody waits for the end of a job.
pub(crate) struct Waiting(Arc<Job>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.holders().waiting -= 1;
        if self.0.request.run_id.is_none() {
            self.0.give_up();
            return self.0.expire_unread();
        }
        let job = Arc::clone(&self.0);
        if let Ok(handle) = tokio::runtime::Handle::try_current()
            && job.is_running()
        {
            handle.spawn(async move {
                let late = tokio::time::timeout(REJOIN, job.ended()).await.is_err();
                if late {
                    job.give_up();
                }
            });
        }
    }
}

/// Somebody reads a job's artifact.
pub(crate) struct Reading {
    pub(crate) job: Arc<Job>,
    /// Whether the last byte was handed on.
    pub(crate) is_served: bool,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let ttl = self.job.ttl;
        let stays = if self.is_served { ttl.min(SERVED_STAYS) } else { ttl };
        let mut holders = self.job.holders();
        holders.reading -= 1;
        holders.expires = Some(Instant::now() + stays);
    }
}
