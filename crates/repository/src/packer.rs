//! Sealed blobs into packs at the store, one pack of each kind after the other: for prune and copy.

use crate::{BlobKind, FileKind, Id, IndexedPack, PackBuilder, Repository, RepositoryError};

/// How large packs are to be, in bytes; restic's default.
pub const PACK_BYTES: usize = 16 << 20;

pub(crate) struct Packer {
    repository: Repository,
    data: PackBuilder,
    trees: PackBuilder,
    pack_bytes: usize,
    /// What was written since the last time that was asked for.
    written: Vec<IndexedPack>,
}

impl Packer {
    pub(crate) fn new(repository: &Repository, pack_bytes: usize) -> Self {
        Self {
            repository: repository.clone(),
            data: PackBuilder::default(),
            trees: PackBuilder::default(),
            pack_bytes,
            written: Vec::new(),
        }
    }

    pub(crate) async fn add(
        &mut self,
        kind: BlobKind,
        id: Id,
        uncompressed_length: Option<u32>,
        sealed: &[u8],
    ) -> Result<(), RepositoryError> {
        let pack = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        };
        pack.add_parts(kind, id, uncompressed_length, sealed)?;
        if pack.len() >= self.pack_bytes {
            let pack = std::mem::take(pack);
            self.save(pack).await?;
        }
        Ok(())
    }

    async fn save(&mut self, pack: PackBuilder) -> Result<(), RepositoryError> {
        let nonce = self.repository.surroundings().random()?;
        let key = self.repository.key().clone();
        let (id, bytes, blobs) = tokio::task::spawn_blocking(move || {
            let (bytes, blobs) = pack.finish(&key, nonce)?;
            Ok::<_, RepositoryError>((Id::of(&bytes), bytes, blobs))
        })
        .await??;
        self.repository.save(FileKind::Pack, id, bytes.into()).await?;
        self.written.push(IndexedPack::new(id, blobs));
        Ok(())
    }

    /// Writes what is left.
    pub(crate) async fn finish(&mut self) -> Result<(), RepositoryError> {
        for pack in [std::mem::take(&mut self.data), std::mem::take(&mut self.trees)] {
            if !pack.is_empty() {
                self.save(pack).await?;
            }
        }
        Ok(())
    }

    /// The packs that are durable since the last call.
    pub(crate) fn written(&mut self) -> Vec<IndexedPack> {
        std::mem::take(&mut self.written)
    }
}
