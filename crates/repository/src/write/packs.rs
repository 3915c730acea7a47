//! Packs: filled by all threads, hashed, and on their way to the store.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    pipeline::{Shared, lock},
    upload,
};
use crate::{
    BlobKind, Id, IndexBuilder, IndexFile, IndexedPack, Lock, PackBuilder, PackedBlob,
    RepositoryError, hash::Hashing,
};

/// Packs that are hashed at once, in lanes: few of them, for they are held in memory.
const IN_LANES: usize = 4;

/// A pack that is complete but for its name.
struct Full {
    bytes: Vec<u8>,
    blobs: Vec<PackedBlob>,
}

/// What is packed, and on its way.
pub(super) struct Packs {
    shared: Arc<Shared>,
    data: Mutex<PackBuilder>,
    trees: Mutex<PackBuilder>,
    unnamed: Mutex<Vec<Full>>,
    index: Mutex<IndexBuilder>,
    /// One permit for each upload at once.
    uploads: Arc<Semaphore>,
    cancel: CancellationToken,
    runtime: Handle,
}

impl Packs {
    pub(super) fn new(shared: Arc<Shared>, cancel: CancellationToken, runtime: Handle) -> Self {
        let uploads = Arc::new(Semaphore::new(shared.options.uploads.max(1)));
        Self {
            data: Mutex::default(),
            trees: Mutex::default(),
            unnamed: Mutex::default(),
            index: Mutex::default(),
            shared,
            uploads,
            cancel,
            runtime,
        }
    }

    /// Adds a sealed blob to the open pack of its kind. Waits where uploads are behind.
    pub(super) fn add(
        self: &Arc<Self>,
        kind: BlobKind,
        id: Id,
        plain_length: Option<u32>,
        sealed: &[u8],
    ) -> Result<(), RepositoryError> {
        let full = {
            let mut open = lock(self.open(kind));
            if open.is_empty() {
                *open = PackBuilder::with_capacity(self.shared.options.pack_bytes);
            }
            open.add_parts(kind, id, plain_length, sealed)?;
            let is_full = open.finished_len() >= self.shared.options.pack_bytes;
            is_full.then(|| std::mem::take(&mut *open))
        };
        full.map_or(Ok(()), |full| self.complete(full))
    }

    fn open(&self, kind: BlobKind) -> &Mutex<PackBuilder> {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Writes what is left, whole or not.
    pub(super) fn flush(self: &Arc<Self>) -> Result<(), RepositoryError> {
        for kind in [BlobKind::Data, BlobKind::Tree] {
            let open = std::mem::take(&mut *lock(self.open(kind)));
            if !open.is_empty() {
                self.complete(open)?;
            }
        }
        let unnamed = std::mem::take(&mut *lock(&self.unnamed));
        self.name(unnamed);
        Ok(())
    }

    fn complete(self: &Arc<Self>, pack: PackBuilder) -> Result<(), RepositoryError> {
        let (bytes, blobs) =
            pack.finish(self.shared.key(), self.shared.surroundings().random()?)?;
        let full = Full { bytes, blobs };
        if self.shared.options.hashing != Hashing::Lanes {
            self.name(vec![full]);
            return Ok(());
        }
        let ready = {
            let mut unnamed = lock(&self.unnamed);
            unnamed.push(full);
            if unnamed.len() >= IN_LANES { std::mem::take(&mut *unnamed) } else { Vec::new() }
        };
        self.name(ready);
        Ok(())
    }

    fn name(self: &Arc<Self>, packs: Vec<Full>) {
        let bytes: Vec<&[u8]> = packs.iter().map(|pack| &pack.bytes[..]).collect();
        let ids = self.shared.options.hashing.digests(&bytes);
        for (pack, id) in packs.into_iter().zip(ids) {
            self.upload(Id::new(id), pack);
        }
    }

    /// Sends a pack on its way once there is room among those under way.
    fn upload(self: &Arc<Self>, id: Id, pack: Full) {
        let Ok(permit) = self.runtime.block_on(Arc::clone(&self.uploads).acquire_owned()) else {
            return;
        };
        if self.shared.check().is_err() {
            return;
        }
        let this = Arc::clone(self);
        self.runtime.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = this.cancel.cancelled() => {}
                done = this.uploaded(id, pack) => if let Err(error) = done {
                    this.shared.fail(error);
                },
            }
        });
    }

    async fn uploaded(&self, id: Id, pack: Full) -> Result<(), RepositoryError> {
        upload::pack(&self.shared.repository, id, Bytes::from(pack.bytes)).await?;
        let file = lock(&self.index).add(IndexedPack::new(id, pack.blobs));
        self.save_index(file).await
    }

    async fn save_index(&self, file: Option<IndexFile>) -> Result<(), RepositoryError> {
        if let Some(file) = file {
            upload::index(&self.shared.repository, &file).await?;
        }
        Ok(())
    }

    /// Waits until every pack is durable, and writes what the index still lacks.
    pub(super) async fn settle(&self, lock: &Lock) -> Result<(), RepositoryError> {
        let all = u32::try_from(self.shared.options.uploads.max(1)).unwrap_or(u32::MAX);
        let idle = self.uploads.acquire_many(all).await;
        drop(idle.map_err(|e| RepositoryError::Internal(e.to_string()))?);
        self.shared.check().map_err(|_| self.shared.reason())?;
        lock.ensure().await?;
        let rest = self.index.lock().unwrap_or_else(PoisonError::into_inner).finish();
        self.save_index(rest).await
    }
}
