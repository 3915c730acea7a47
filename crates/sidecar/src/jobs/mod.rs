//! Exports under way and exports that wait to be fetched.

mod job;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use contract::{ExportRequest, ImportReport};
use ring::rand::SecureRandom as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    export::{self, ExportError},
    redact::Redactor,
    spool::{Artifact, Spool},
};

pub(crate) use job::{Job, Reading, State};

/// Chunks that may wait for a slow client or disk.
pub(crate) const WAITING_CHUNKS: usize = 8;
/// Ended jobs that are remembered; the oldest go first.
const MAX_ENDED: usize = 16;

/// Why no export begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another one is under way.
    Busy,
    /// This very one is under way, and cannot be joined as asked.
    Running,
    /// The run id belongs to another request.
    Unlike,
    /// No random numbers.
    Random,
}

#[derive(Default)]
struct Known {
    jobs: HashMap<String, Arc<Job>>,
    /// Run ids of exports that are streamed.
    streaming: HashSet<String>,
}

pub(crate) struct Jobs {
    pub(crate) config: Arc<Config>,
    pub(crate) redactor: Redactor,
    /// Every task of an export.
    pub(crate) tasks: TaskTracker,
    spool: Spool,
    random: ring::rand::SystemRandom,
    /// Cancelled when the sidecar ends.
    end: CancellationToken,
    /// One export at a time: two dumps of one database slow each other and the app.
    turn: Arc<Semaphore>,
    known: Mutex<Known>,
    /// The last import that had an id, and what came of it.
    imported: Mutex<Option<(String, ImportReport)>>,
}

/// The right to stream an export; given back when dropped.
pub(crate) struct Turn {
    jobs: Arc<Jobs>,
    run_id: Option<String>,
    pub(crate) cancel: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(run_id) = &self.run_id {
            self.jobs.known().streaming.remove(run_id);
        }
    }
}

/// The right to import; given back when dropped.
pub(crate) struct Importing {
    /// A word for the names of what is made.
    pub(crate) tag: String,
    pub(crate) cancel: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// What a request to stream comes to.
pub(crate) enum Streaming {
    Begins(Turn),
    /// The run has already been exported into a file.
    Made(Arc<Job>),
}

impl Jobs {
    pub(crate) fn new(config: Arc<Config>, redactor: Redactor) -> Self {
        Self {
            spool: Spool::within(&config.paths.artifacts),
            config,
            redactor,
            tasks: TaskTracker::new(),
            random: ring::rand::SystemRandom::new(),
            end: CancellationToken::new(),
            turn: Arc::new(Semaphore::new(1)),
            known: Mutex::default(),
            imported: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(self.config.server.job_ttl_secs)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.known().jobs.get(id).cloned()
    }

    /// Forgets a job; its artifact goes when nobody reads it.
    pub(crate) fn forget(&self, id: &str) {
        self.known().jobs.remove(id);
    }

    /// Begins to stream, unless the run has an artifact or is under way.
    pub(crate) fn stream(self: &Arc<Self>, request: &ExportRequest) -> Result<Streaming, Refusal> {
        let mut known = self.known();
        match known.of_run(request)? {
            Some(job) if job.is_running() => return Err(Refusal::Running),
            Some(job) => return Ok(Streaming::Made(job)),
            None => {}
        }
        let permit = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        known.streaming.extend(request.run_id.clone());
        Ok(Streaming::Begins(Turn {
            jobs: Arc::clone(self),
            run_id: request.run_id.clone(),
            cancel: self.end.child_token(),
            _permit: permit,
        }))
    }

    /// The right to import: nothing is exported meanwhile.
    pub(crate) fn import(&self) -> Result<Importing, Refusal> {
        let permit = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let mut tag = [0; 4];
        self.random.fill(&mut tag).map_err(|_| Refusal::Random)?;
        let (tag, cancel) = (hex::encode(tag), self.end.child_token());
        Ok(Importing { tag, cancel, _permit: permit })
    }

    /// What came of the import `run_id`, where that was the last.
    pub(crate) fn imported(&self, run_id: &str) -> Option<ImportReport> {
        let imported = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        imported.as_ref().filter(|(id, _)| id == run_id).map(|(_, report)| report.clone())
    }

    /// Remembers what came of an import; one without an id ends what is remembered.
    pub(crate) fn remember(&self, run_id: Option<String>, report: &ImportReport) {
        let mut imported = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        *imported = run_id.map(|id| (id, report.clone()));
    }

    pub(crate) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Begins an export into a file, or joins the one of the same run.
    pub(crate) fn begin(self: &Arc<Self>, request: ExportRequest) -> Result<Arc<Job>, Refusal> {
        let mut known = self.known();
        if let Some(job) = known.of_run(&request)? {
            return Ok(job);
        }
        let permit = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        known.make_room();
        let mut id = [0; 16];
        self.random.fill(&mut id).map_err(|_| Refusal::Random)?;
        let job = Arc::new(Job::new(
            hex::encode(id),
            request,
            self.end.child_token(),
            self.config.capabilities.est_size,
            self.ttl(),
        ));
        known.jobs.insert(job.id.clone(), Arc::clone(&job));
        let (jobs, running) = (Arc::clone(self), Arc::clone(&job));
        self.tasks.spawn(async move { jobs.run(&running, permit).await });
        Ok(job)
    }

    async fn run(self: Arc<Self>, job: &Arc<Job>, permit: OwnedSemaphorePermit) {
        let (jobs, running) = (Arc::clone(&self), Arc::clone(job));
        let made = tokio::spawn(async move { jobs.make(&running).await }).await;
        let made = made.unwrap_or_else(|panic| Err(ExportError::Failed(panic.to_string())));
        let state = match made {
            Ok(artifact) => State::Succeeded(Arc::new(artifact)),
            Err(ExportError::Cancelled) => State::Cancelled,
            Err(error) => State::Failed(self.log(&error)),
        };
        drop(permit);
        job.end(state);
    }

    async fn make(&self, job: &Job) -> Result<Artifact, ExportError> {
        let (sink, chunks) = mpsc::channel(WAITING_CHUNKS);
        let folder_id = job.request.drive_folder_id.as_deref();
        let exporting = export::run(&self.config, folder_id, sink, &job.cancel);
        let writing = self.spool.take(chunks, &job.bytes, &job.cancel);
        let (done, artifact) = tokio::join!(exporting, writing);
        if job.cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        // Where the disk is full, the export has failed because nobody took its bytes.
        let artifact = artifact.map_err(|error| {
            ExportError::Failed(format!("{}: {error}", self.spool.folder().display()))
        })?;
        done?;
        if artifact.size_bytes == 0 && !self.config.strategy.config.allow_empty {
            return Err(ExportError::Empty);
        }
        Ok(artifact)
    }

    /// Logs why an export failed; gives it without secrets.
    pub(crate) fn log(&self, error: &ExportError) -> String {
        let told = self.redactor.clean(&error.to_string());
        tracing::error!("{told}");
        told
    }

    /// Removes what an earlier sidecar has left behind.
    pub(crate) async fn sweep(&self) {
        match self.spool.sweep().await {
            Ok(0) => {}
            Ok(count) => tracing::info!("{count} artifacts of an earlier start removed"),
            Err(error) => tracing::warn!("{}: {error}", self.spool.folder().display()),
        }
        if self.config.leaves_a_file() {
            self.remove_temp_dump().await;
        }
    }

    /// Only a file is ours: a FIFO may be the user's.
    async fn remove_temp_dump(&self) {
        let path = &self.config.paths.temp_dump;
        let is_file = tokio::fs::symlink_metadata(path).await.is_ok_and(|meta| meta.is_file());
        if is_file && let Err(error) = export::remove(path).await {
            tracing::warn!("{error}");
        }
    }

    /// Forgets what has waited too long, for ever.
    pub(crate) async fn expire(&self) {
        let period = (self.ttl() / 4).clamp(Duration::from_millis(250), Duration::from_secs(30));
        loop {
            tokio::time::sleep(period).await;
            let now = Instant::now();
            self.known().jobs.retain(|_, job| job.expires().is_none_or(|at| at > now));
        }
    }

    /// Cancels what is under way and removes what waits.
    pub(crate) async fn shut_down(&self, patience: Duration) {
        self.end.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        let jobs = std::mem::take(&mut self.known().jobs);
        drop(jobs);
    }
}

impl Known {
    /// The job that a run id names, where it can still be of use.
    fn of_run(&self, request: &ExportRequest) -> Result<Option<Arc<Job>>, Refusal> {
        let Some(run_id) = &request.run_id else { return Ok(None) };
        if self.streaming.contains(run_id) {
            return Err(Refusal::Running);
        }
        let useful = |job: &&Arc<Job>| {
            job.request.run_id.as_ref() == Some(run_id)
                && matches!(job.state(), State::Running | State::Succeeded(_))
        };
        let Some(job) = self.jobs.values().find(useful) else { return Ok(None) };
        let of =
            |request: &ExportRequest| (request.r#type.clone(), request.drive_folder_id.clone());
        if of(&job.request) == of(request) {
            Ok(Some(Arc::clone(job)))
        } else {
            Err(Refusal::Unlike)
        }
    }

    fn make_room(&mut self) {
        while self.jobs.len() >= MAX_ENDED {
            let ended = self.jobs.values().filter_map(|job| Some((job.expires()?, &job.id)));
            let Some((_, oldest)) = ended.min() else { return };
            let oldest = oldest.clone();
            self.jobs.remove(&oldest);
        }
    }
}
