//! Threads that turn blobs into packs: hash, look up, compress, seal, pack.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use bytes::Bytes;

use super::{
    WriteOptions,
    packs::Packs,
    probe::{Looks, Probe},
    receipt::{Promise, Stopped},
};
use crate::{
    BlobKind, Id, Index, Location, MasterKey, Repository, RepositoryError, Surroundings, Version,
    compress::{Compressor, DEFAULT_LEVEL},
    hash::Hashing,
};

/// Blobs of one kind that go the way together.
pub(super) struct Job {
    pub(super) kind: BlobKind,
    pub(super) blobs: Vec<Bytes>,
    /// Where they are known already.
    pub(super) ids: Option<Vec<Id>>,
    pub(super) promise: Promise,
}

/// What the threads count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) blobs_new: AtomicU64,
    pub(super) blobs_known: AtomicU64,
    pub(super) bytes_new: AtomicU64,
    pub(super) bytes_packed: AtomicU64,
}

/// What all of them share.
pub(super) struct Shared {
    pub(super) repository: Repository,
    pub(super) options: WriteOptions,
    pub(super) counters: Counters,
    index: Arc<Index>,
    /// Blobs of this writer: packed, or about to be.
    claimed: Mutex<HashSet<(BlobKind, Id)>>,
    failed: AtomicBool,
    failure: Mutex<Option<RepositoryError>>,
}

/// A lock that outlives a panic: whoever panicked has failed the whole writer.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(repository: Repository, index: Arc<Index>, options: WriteOptions) -> Self {
        Self {
            repository,
            options,
            counters: Counters::default(),
            index,
            claimed: Mutex::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    pub(super) fn key(&self) -> &MasterKey {
        self.repository.key()
    }

    pub(super) fn surroundings(&self) -> &Surroundings {
        self.repository.surroundings()
    }

    /// Stops everything; the first reason is the one that is told.
    pub(super) fn fail(&self, error: RepositoryError) {
        lock(&self.failure).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn check(&self) -> Result<(), Stopped> {
        if self.failed.load(Ordering::Acquire) { Err(Stopped) } else { Ok(()) }
    }

    /// Why it stopped; told once.
    pub(super) fn reason(&self) -> RepositoryError {
        lock(&self.failure).take().unwrap_or_else(|| {
            RepositoryError::Internal("the writer was stopped before".to_owned())
        })
    }

    /// Whether the blob is nowhere yet: then it is the caller's to store.
    fn claim(&self, kind: BlobKind, id: Id) -> bool {
        !self.index.contains(kind, &id) && lock(&self.claimed).insert((kind, id))
    }

    /// Where a blob lies that was there before this writer.
    pub(super) fn location(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        self.index.get(kind, id)
    }

    /// Whether a blob is in the repository, or will be when this writer has ended.
    pub(super) fn has(&self, kind: BlobKind, id: &Id) -> bool {
        self.index.contains(kind, id) || lock(&self.claimed).contains(&(kind, *id))
    }
}

/// The threads.
pub(super) struct Pipeline {
    jobs: SyncSender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipeline {
    pub(super) fn start(shared: &Arc<Shared>, packs: &Arc<Packs>) -> Result<Self, RepositoryError> {
        let workers = shared.options.workers.max(1);
        // One batch waits for each that is worked on; large ones do not.
        let waiting = if shared.options.hashing == Hashing::Lanes { 1 } else { workers };
        let (jobs, queue) = sync_channel(waiting);
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..workers)
            .map(|_| {
                let mut worker = Worker::new(Arc::clone(shared), Arc::clone(packs))?;
                let queue = Arc::clone(&queue);
                std::thread::Builder::new()
                    .name("repository".to_owned())
                    .spawn(move || worker.run(&queue))
                    .map_err(|e| RepositoryError::Internal(format!("starting a thread: {e}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { jobs, threads })
    }

    pub(super) fn jobs(&self) -> SyncSender<Job> {
        self.jobs.clone()
    }

    /// Waits until everything that was handed over is packed. All senders have to be gone.
    pub(super) fn finish(self, shared: &Shared) {
        drop(self.jobs);
        for thread in self.threads {
            if thread.join().is_err() {
                shared.fail(RepositoryError::Internal("a thread of the writer ended".to_owned()));
            }
        }
    }
}

/// One thread, and what it uses again and again.
struct Worker {
    shared: Arc<Shared>,
    packs: Arc<Packs>,
    compressor: Compressor,
    /// The one for text, where no level was asked for.
    quick: Option<Compressor>,
    probe: Probe,
    compressed: Vec<u8>,
    sealed: Vec<u8>,
}

impl Worker {
    fn new(shared: Arc<Shared>, packs: Arc<Packs>) -> Result<Self, RepositoryError> {
        let failed = |e: std::io::Error| RepositoryError::Internal(format!("zstd: {e}"));
        Ok(Self {
            compressor: Compressor::new(shared.options.level)?,
            quick: (shared.options.level == DEFAULT_LEVEL)
                .then(Compressor::for_text)
                .transpose()?,
            probe: Probe::new().map_err(failed)?,
            shared,
            packs,
            compressed: Vec::new(),
            sealed: Vec::new(),
        })
    }

    fn run(&mut self, queue: &Mutex<Receiver<Job>>) {
        loop {
            let next = lock(queue).recv();
            let Ok(job) = next else { return };
            if self.shared.check().is_err() {
                continue;
            }
            // A job's promise that is dropped instead of kept stops whoever waits for it.
            match self.work(&job) {
                Ok(ids) => job.promise.keep(ids),
                Err(error) => self.shared.fail(error),
            }
        }
    }

    fn work(&mut self, job: &Job) -> Result<Vec<Id>, RepositoryError> {
        let ids = match &job.ids {
            Some(ids) => ids.clone(),
            None => {
                let plain: Vec<&[u8]> = job.blobs.iter().map(AsRef::as_ref).collect();
                self.shared.options.hashing.digests(&plain).into_iter().map(Id::new).collect()
            }
        };
        let shared = Arc::clone(&self.shared);
        let counters = &shared.counters;
        for (plain, id) in job.blobs.iter().zip(&ids) {
            if shared.claim(job.kind, *id) {
                counters.blobs_new.fetch_add(1, Ordering::Relaxed);
                counters.bytes_new.fetch_add(plain.len() as u64, Ordering::Relaxed);
                self.store(job.kind, *id, plain)?;
            } else {
                counters.blobs_known.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(ids)
    }

    fn store(&mut self, kind: BlobKind, id: Id, plain: &[u8]) -> Result<(), RepositoryError> {
        let nonce = self.shared.surroundings().random()?;
        let length = u32::try_from(plain.len()).map_err(|_| RepositoryError::TooLarge {
            what: "a blob",
            bytes: plain.len() as u64,
            most: u64::from(u32::MAX),
        })?;
        let compressed = self.compress(plain)?;
        let content = if compressed { &self.compressed[..] } else { plain };
        self.sealed.clear();
        self.shared.key().seal_into(nonce, content, &mut self.sealed);
        self.shared.counters.bytes_packed.fetch_add(self.sealed.len() as u64, Ordering::Relaxed);
        self.packs.add(kind, id, compressed.then_some(length), &self.sealed)
    }

    /// Compresses into the buffer; false where that is of no use.
    fn compress(&mut self, plain: &[u8]) -> Result<bool, RepositoryError> {
        if self.shared.repository.version() == Version::V1 {
            return Ok(false);
        }
        let compressor = match (self.probe.look(plain), &mut self.quick) {
            (Looks::Noise, _) => return Ok(false),
            (Looks::Text, Some(quick)) => quick,
            _ => &mut self.compressor,
        };
        compressor.compress_to(plain, &mut self.compressed)?;
        Ok(self.compressed.len() < plain.len())
    }
}
