//! Writing: streams, host folders and tars into snapshots.
//!
//! What is given is cut on one thread for each stream; all other work (hashing, looking up,
//! compressing, sealing, packing) is done by threads of the writer's own, one for each processor,
//! and several packs are on their way to the store at once. Everybody waits for whoever is behind,
//! so that little is in memory.
//!
//! The order is the one that keeps a repository sound whenever a writer dies: packs are durable,
//! then index files tell of them ([`Writer::finish`]), then the caller knows that the source ended
//! well, then there is a snapshot ([`Written::commit`]). Without the last step nothing of it is
//! seen by anybody, and the next one to prune removes it.

mod collect;
mod contents;
mod feeder;
mod folder;
mod metadata;
mod packs;
mod parent;
mod pipeline;
mod probe;
mod receipt;
pub(crate) mod tar;
mod upload;

use std::{
    num::NonZero,
    sync::{Arc, atomic::Ordering},
    thread::available_parallelism,
};

use tokio::{io::AsyncRead, runtime::Handle, task::spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::{
    collect::{Problem, Problems, Stored},
    contents::Contents,
    folder::{Folder, Wanted},
    tar::Archived,
};
use self::{
    feeder::Feeder,
    packs::Packs,
    pipeline::{Pipeline, Shared},
};
use crate::{
    Id, Index, Lock, Node, NodeKind, Repository, RepositoryError, Snapshot,
    chunk::{Chunking, Polynomial},
    compress::DEFAULT_LEVEL,
    hash::Hashing,
};

/// How a writer works.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Level of zstd, 1 to 19.
    pub level: i32,
    /// How many threads hash, compress and seal.
    pub workers: usize,
    /// How large packs become, in bytes: larger ones suit stores where each object costs.
    pub pack_bytes: usize,
    /// How many packs are on their way at once, each of them in memory: two keep a disk busy, a
    /// store that is far away wants more.
    pub uploads: usize,
    /// How SHA-256 is computed.
    pub hashing: Hashing,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            level: DEFAULT_LEVEL,
            workers: available_parallelism().map_or(1, NonZero::get),
            pack_bytes: 16 << 20,
            uploads: 2,
            hashing: Hashing::of_this_processor(),
        }
    }
}

/// What a writer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Blobs that the repository did not have.
    pub blobs_new: u64,
    /// Blobs that it had.
    pub blobs_known: u64,
    /// Plain bytes of the new ones.
    pub bytes_new: u64,
    /// The same, compressed and sealed.
    pub bytes_stored: u64,
}

/// Writes into a repository. The caller holds a [`Lock`] on it for as long as the writer and what
/// comes of it live, and runs it under [`Lock::guard`]. Dropping the writer, or what it is doing,
/// stops everything; nothing is seen of what it wrote.
pub struct Writer {
    shared: Arc<Shared>,
    packs: Arc<Packs>,
    pipeline: Pipeline,
    chunking: Chunking,
    cancel: CancellationToken,
    _stop: DropGuard,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// Stops a writer from elsewhere, such as where its lock is watched.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>, CancellationToken);

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stopper")
    }
}

impl Stopper {
    /// Nothing more is written; whoever uses the writer is told why.
    pub fn stop(&self, why: RepositoryError) {
        self.0.fail(why);
        self.1.cancel();
    }
}

impl Writer {
    /// Begins to write. `index` is what the repository has, read under the caller's lock.
    pub fn begin(
        repository: &Repository,
        index: Arc<Index>,
        options: WriteOptions,
    ) -> Result<Self, RepositoryError> {
        let polynomial = Polynomial::new(repository.config().polynomial()?)
            .map_err(|e| RepositoryError::malformed("config", e))?;
        let shared = Arc::new(Shared::new(repository.clone(), index, options));
        let cancel = CancellationToken::new();
        let packs = Arc::new(Packs::new(Arc::clone(&shared), cancel.clone(), Handle::current()));
        let pipeline = Pipeline::start(&shared, &packs)?;
        Ok(Self {
            shared,
            packs,
            pipeline,
            chunking: Chunking::content(polynomial),
            _stop: cancel.clone().drop_guard(),
            cancel,
        })
    }

    /// What stops it from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared), self.cancel.clone())
    }

    /// How restic cuts files in this repository.
    pub fn chunking(&self) -> &Chunking {
        &self.chunking
    }

    fn feeder(&self) -> Feeder {
        Feeder::new(self.pipeline.jobs(), self.shared.options.hashing)
    }

    /// Stores the content of one file. Nothing of an earlier snapshot is taken for it: a stream
    /// cannot tell that it is unchanged. A source that fails is [`RepositoryError::Io`].
    pub async fn contents(
        &self,
        name: &str,
        source: impl AsyncRead + Unpin + Send + 'static,
        chunking: &Chunking,
    ) -> Result<Contents, RepositoryError> {
        let (feeder, cutter) = (self.feeder(), chunking.cutter());
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        let cancel = self.cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        spawn_blocking(move || contents::of_stream(source, &name, cutter, feeder, &shared, &cancel))
            .await?
    }

    /// Stores the entries of a folder, in any order; gives its tree.
    pub async fn tree(&self, nodes: Vec<Node>) -> Result<Id, RepositoryError> {
        let (jobs, shared) = (self.pipeline.jobs(), Arc::clone(&self.shared));
        spawn_blocking(move || collect::tree(nodes, &jobs).map_err(|e| e.told(&shared))).await?
    }

    /// Stores a stream as the only file of a tree, called `name`.
    pub async fn stream(
        &self,
        name: &str,
        source: impl AsyncRead + Unpin + Send + 'static,
    ) -> Result<Stored, RepositoryError> {
        let contents = self.contents(name, source, &self.chunking).await?;
        let mut node = Node::new(name.as_bytes(), NodeKind::File);
        node.set_unix_mode(0o644);
        let now = self.shared.surroundings().now();
        (node.mtime, node.atime, node.ctime) = (Some(now), Some(now), Some(now));
        node.size = contents.size_bytes;
        node.content = Some(contents.blobs);
        let bytes_read = node.size;
        let tree = self.tree(vec![node]).await?;
        Ok(Stored { tree, files: 1, bytes_read, ..Stored::empty() })
    }

    /// Stores a folder of this machine, with the folders above it, as restic does.
    pub async fn folder(&self, folder: Folder) -> Result<Stored, RepositoryError> {
        let (shared, chunking) = (Arc::clone(&self.shared), self.chunking.clone());
        let (jobs, feeder) = (self.pipeline.jobs(), self.feeder());
        let cancel = self.cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        spawn_blocking(move || folder::store(&folder, &shared, &chunking, jobs, feeder, &cancel))
            .await?
    }

    /// Stores a tar: what is in it as a tree, the rest as its skeleton. Whatever is given can be
    /// had again byte for byte, whether or not it is a tar.
    pub async fn tar(
        &self,
        source: impl AsyncRead + Unpin + Send + 'static,
    ) -> Result<Archived, RepositoryError> {
        let (shared, chunking) = (Arc::clone(&self.shared), self.chunking.clone());
        let (jobs, feeder) = (self.pipeline.jobs(), self.feeder());
        let cancel = self.cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        spawn_blocking(move || tar::store(source, &shared, &chunking, jobs, feeder, &cancel))
            .await?
    }

    /// Waits until everything is durable and indexed, under a lock that is still held. What comes
    /// of it is seen by nobody before [`Written::commit`].
    pub async fn finish(self, lock: &Lock) -> Result<Written, RepositoryError> {
        let Self { shared, packs, pipeline, _stop, .. } = self;
        let (inner, open) = (Arc::clone(&shared), Arc::clone(&packs));
        spawn_blocking(move || {
            pipeline.finish(&inner);
            inner.check().map_err(|_| inner.reason())?;
            open.flush()
        })
        .await??;
        packs.settle(lock).await?;
        let counters = &shared.counters;
        let statistics = Statistics {
            blobs_new: counters.blobs_new.load(Ordering::Relaxed),
            blobs_known: counters.blobs_known.load(Ordering::Relaxed),
            bytes_new: counters.bytes_new.load(Ordering::Relaxed),
            bytes_stored: counters.bytes_packed.load(Ordering::Relaxed),
        };
        Ok(Written { repository: shared.repository.clone(), statistics })
    }
}

/// Blobs that are durable and indexed, and that no snapshot needs yet. Dropping it leaves it so.
#[derive(Debug)]
#[must_use = "without a snapshot nothing was kept"]
pub struct Written {
    repository: Repository,
    /// What the writer did.
    pub statistics: Statistics,
}

impl Written {
    /// Makes it a snapshot, if the lock is still held. Only for a source that is known to have
    /// ended well.
    pub async fn commit(self, lock: &Lock, snapshot: &Snapshot) -> Result<Id, RepositoryError> {
        lock.ensure().await?;
        upload::snapshot(&self.repository, snapshot).await
    }
}
