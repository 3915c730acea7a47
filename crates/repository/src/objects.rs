//! Named streams in a repository, each of them a snapshot of one file, as a [`Store`]. Of a tar the
//! snapshot has the files that are in it, and what it takes to give back the same tar.
//!
//! What writes and reads objects elsewhere does so here unchanged: it deduplicates and is sealed
//! on the way, and stock restic lists, checks and restores each object under its name. An object
//! exists when its snapshot does, which is written last, when its writer has said that all is well.

mod content;
mod hold;
mod known;
mod upload;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store, StoreError,
    StoreErrorKind, Swept, Upload,
};

pub use self::hold::{Alone, Hold};
use self::{content::Content, hold::Holder, known::Known};
use crate::{FileKind, Id, LockTimes, Reader, Repository, RepositoryError, write::WriteOptions};

/// The tag of snapshots that are objects of ours.
pub const OBJECT_TAG: &str = "backup-orchestrator";

/// How objects are kept.
#[derive(Debug, Clone)]
pub struct ObjectsOptions {
    /// The machine that snapshots name.
    pub hostname: String,
    /// The program that snapshots name.
    pub program: String,
    /// How is written.
    pub write: WriteOptions,
    /// Times of the lock.
    pub lock: LockTimes,
    /// How long the lock is kept after its last use.
    pub idle: Duration,
    /// How long is waited for others' locks.
    pub patience: Duration,
}

impl Default for ObjectsOptions {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            program: "backup-orchestrator".to_owned(),
            write: WriteOptions::default(),
            lock: LockTimes::default(),
            idle: Duration::from_secs(1),
            patience: Duration::from_secs(60),
        }
    }
}

/// A repository's objects. Cheap to clone; all clones share one lock.
#[derive(Debug, Clone)]
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    repository: Repository,
    options: ObjectsOptions,
    holder: Arc<Holder>,
    known: Known,
    /// One object at a time becomes visible, so that a name is given once.
    naming: tokio::sync::Mutex<()>,
}

impl Objects {
    /// The objects of `repository`.
    pub fn new(repository: Repository, options: ObjectsOptions) -> Self {
        Self(Arc::new(Inner {
            holder: Holder::new(repository.clone(), &options),
            repository,
            options,
            known: Known::default(),
            naming: tokio::sync::Mutex::default(),
        }))
    }

    /// The repository they lie in.
    pub fn repository(&self) -> &Repository {
        &self.0.repository
    }

    /// Takes the shared lock, or joins who has it. Waits a while for others.
    pub async fn shared(&self) -> Result<Hold, RepositoryError> {
        self.0.holder.hold().await
    }

    /// Takes the exclusive lock when nobody of this process has the shared one. Waits a while for
    /// others.
    pub async fn alone(&self) -> Result<Alone, RepositoryError> {
        self.0.holder.alone().await
    }

    /// The ids of every snapshot that is there.
    pub async fn snapshot_ids(&self) -> Result<Vec<Id>, RepositoryError> {
        let files = self.0.repository.list(FileKind::Snapshot).await?;
        Ok(files.into_iter().map(|file| file.id).collect())
    }

    /// The snapshots of `keys`, and which of those are not there.
    pub async fn snapshots_of(&self, keys: &[Key]) -> Result<(Vec<Id>, Vec<Key>), RepositoryError> {
        self.0.known.named(&self.0.repository, keys).await
    }

    /// Whether the last lock that was given back could not be removed: nothing can be deleted.
    pub fn locks_stay(&self) -> bool {
        self.0.holder.locks_stay()
    }

    /// Gives the lock back now, if nobody uses it.
    pub async fn rest(&self) {
        self.0.holder.rest().await;
    }
}

impl Inner {
    /// What `key` holds.
    async fn content(&self, reader: &Reader, key: &Key) -> Result<Content, StoreError> {
        let found = self.known.find(&self.repository, key).await.map_err(told)?;
        let object = found.ok_or_else(|| self.absent(key))?;
        let content = Content::of(reader, &object.tree, key).await.map_err(damaged)?;
        content.ok_or_else(|| self.absent(key))
    }

    fn absent(&self, key: &Key) -> StoreError {
        let location = self.repository.store().capability().location;
        StoreError::new(StoreErrorKind::NotFound, format!("{location}: {key} is not there"))
    }

    fn taken(&self, key: &Key) -> StoreError {
        let location = self.repository.store().capability().location;
        StoreError::new(
            StoreErrorKind::AlreadyExists,
            format!("{location}: {key} is there already"),
        )
    }
}

#[async_trait]
impl Store for Objects {
    fn capability(&self) -> Capability {
        Capability { ranges: true, ..self.0.repository.store().capability() }
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
        let hold = self.0.holder.hold().await.map_err(told)?;
        if self.0.known.find(&self.0.repository, key).await.map_err(told)?.is_some() {
            return Err(self.0.taken(key));
        }
        let upload = upload::Sending::begin(&self.0, hold, key, options.tags.clone());
        Ok(Box::new(upload.await.map_err(told)?))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let hold = self.0.holder.hold().await.map_err(told)?;
        let reader = Reader::new(self.0.repository.clone(), self.0.holder.index().await?);
        let content = match self.0.content(&reader, key).await {
            // It may be younger than the index.
            Err(error) if error.kind() == StoreErrorKind::Damaged => None,
            other => Some(other?),
        };
        let (reader, content) = match content.filter(|content| content.is_known_to(&reader)) {
            Some(content) => (reader, content),
            None => {
                let index = self.0.holder.fresh_index().await?;
                let reader = Reader::new(self.0.repository.clone(), index);
                let content = self.0.content(&reader, key).await?;
                (reader, content)
            }
        };
        let read = content.stream(&reader, range).map_err(damaged);
        // The lock is held for as long as somebody reads.
        Ok(read.inspect(move |_| _ = &hold).boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let found = self.0.known.find(&self.0.repository, key).await.map_err(told)?;
        Ok(found.ok_or_else(|| self.0.absent(key))?.meta())
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let all = self.0.known.all(&self.0.repository).await.map_err(told)?;
        let found: Vec<_> = all
            .into_iter()
            .filter(|object| prefix.contains(object.key.as_str()))
            .map(|object| Ok(object.meta()))
            .collect();
        Ok(stream::iter(found).boxed())
    }

    /// Forgets the object's snapshot; what only it needed is freed by the next
    /// [`Repository::prune`]. A shared lock does: what goes is nobody's base, and whoever reads all
    /// snapshots for a prune or a check holds an exclusive one.
    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        if self.0.known.ids(&self.0.repository, key).await.map_err(told)?.is_empty() {
            return Ok(());
        }
        let hold = self.0.holder.hold().await.map_err(told)?;
        for id in self.0.known.ids(&self.0.repository, key).await.map_err(told)? {
            hold.lock.ensure().await.map_err(told)?;
            self.0.repository.remove(FileKind::Snapshot, &id).await.map_err(told)?;
        }
        Ok(())
    }

    async fn sweep(
        &self,
        _: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        self.0.repository.store().sweep(&Prefix::root(), older_than, now).await
    }
}

/// An error of the repository, as stores tell theirs.
fn told(error: RepositoryError) -> StoreError {
    use RepositoryError as E;
    let kind = match &error {
        E::Store(_) => {
            let E::Store(error) = error else { return StoreError::internal("an error changed") };
            return error;
        }
        E::Damaged { .. } | E::MissingBlob { .. } | E::Malformed { .. } | E::NotInSnapshot(_) => {
            StoreErrorKind::Damaged
        }
        E::Locked { .. } | E::LockLost(_) => StoreErrorKind::Unavailable,
        E::NoRepository(_)
        | E::AlreadyThere(_)
        | E::WrongPassword { .. }
        | E::Version(_)
        | E::KeyInUse => StoreErrorKind::Config,
        E::Name { .. } => StoreErrorKind::InvalidKey,
        E::TooLarge { .. } | E::WhichSnapshot { .. } | E::Io { .. } | E::Internal(_) => {
            StoreErrorKind::Internal
        }
    };
    StoreError::new(kind, error.to_string())
}

/// The same where something that a snapshot needs is read: that it is not there is damage.
fn damaged(error: RepositoryError) -> StoreError {
    match error {
        RepositoryError::Store(error) if error.is_not_found() => {
            StoreError::new(StoreErrorKind::Damaged, error.to_string())
        }
        other => told(other),
    }
}

impl From<RepositoryError> for StoreError {
    fn from(error: RepositoryError) -> Self {
        told(error)
    }
}
