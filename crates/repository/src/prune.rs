//! Freeing what no snapshot needs, in two phases: what is not needed is marked, and deleted when it
//! was marked for long enough that nobody can still rely on it.
//!
//! The order makes every moment a good one to be interrupted: new packs, new index, the old index
//! goes, and packs go last. Marked packs are in no index that restic knows; they are told in
//! `packs_to_delete`, as rustic does. One that turns out to be needed is taken back.

mod plan;

use std::sync::Arc;

use jiff::SignedDuration;

pub use plan::PrunePlan;

use crate::{
    FileKind, Id, IndexBuilder, IndexFile, IndexedPack, Location, Lock, LockKind, Reader,
    Repository, RepositoryError,
    packer::{PACK_BYTES, Packer},
    read::{Want, batches},
};

/// How is freed.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// How long packs are marked before they are deleted.
    pub grace: SignedDuration,
    /// How many unneeded bytes may stay within packs that are needed, in hundredths of all that is
    /// needed: writing packs anew costs more than a little room.
    pub max_unused_percent: u32,
    /// Snapshots that have to be there, as whoever keeps a catalog knows: a listing that lacks one
    /// would free what it needs.
    pub expected: Vec<Id>,
    /// How large packs are that are written anew, in bytes.
    pub pack_bytes: usize,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            grace: SignedDuration::from_hours(24),
            max_unused_percent: 5,
            expected: Vec::new(),
            pack_bytes: PACK_BYTES,
        }
    }
}

/// What was freed, and what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Packs that are as they were.
    pub kept: u64,
    /// Packs whose needed blobs were written anew.
    pub rewritten: u64,
    /// Packs that were marked now.
    pub marked: u64,
    /// Bytes of those.
    pub marked_bytes: u64,
    /// Packs that were deleted.
    pub deleted: u64,
    /// Bytes of those.
    pub deleted_bytes: u64,
    /// Packs that had been marked and are needed.
    pub taken_back: u64,
    /// Packs that are marked and wait.
    pub waiting: u64,
}

impl Repository {
    /// What a prune would do now.
    pub async fn plan_prune(&self, options: &PruneOptions) -> Result<PrunePlan, RepositoryError> {
        plan::make(self, options).await
    }

    /// Frees what no snapshot needs. Needs an exclusive lock. Refuses when a blob is missing that a
    /// snapshot needs, and when anything cannot be read.
    pub async fn prune(
        &self,
        lock: &Lock,
        options: &PruneOptions,
    ) -> Result<Pruned, RepositoryError> {
        lock.ensure_kind(LockKind::Exclusive).await?;
        lock.guard(async {
            let mut plan = plan::make(self, options).await?;
            let fresh = self.rewrite(&mut plan, options).await?;
            self.replace_index(lock, &plan, fresh).await?;
            for (id, _) in &plan.delete {
                lock.ensure().await?;
                self.remove(FileKind::Pack, id).await?;
            }
            Ok(plan.told())
        })
        .await
    }

    /// Writes the needed blobs of packs that are to go into new ones.
    async fn rewrite(
        &self,
        plan: &mut PrunePlan,
        options: &PruneOptions,
    ) -> Result<Vec<IndexedPack>, RepositoryError> {
        let reader = Reader::new(self.clone(), Arc::default());
        let mut packer = Packer::new(self, options.pack_bytes);
        let mut blobs: Vec<Location> = std::mem::take(&mut plan.rewrite);
        blobs.sort_unstable_by_key(|location| (location.pack, location.blob.offset));
        for batch in batches(blobs) {
            // Sealed bytes go as they are; each blob is proven before.
            let read = reader.fetch(&batch, Want::Sealed).await;
            for (location, opened) in batch.iter().zip(read) {
                let blob = location.blob;
                let sealed = opened?.bytes;
                packer.add(blob.kind, blob.id, blob.uncompressed_length, &sealed).await?;
            }
        }
        packer.finish().await?;
        Ok(packer.written())
    }

    /// Index files in which nothing changes stay.
    async fn replace_index(
        &self,
        lock: &Lock,
        plan: &PrunePlan,
        fresh: Vec<IndexedPack>,
    ) -> Result<(), RepositoryError> {
        if plan.replaced.is_empty() && plan.index.is_empty() && fresh.is_empty() {
            return Ok(());
        }
        let mut builder = IndexBuilder::default();
        let mut written: Vec<Id> = Vec::new();
        let packs = plan.index.iter().cloned().chain(fresh);
        let mut files: Vec<IndexFile> = packs.filter_map(|pack| builder.add(pack)).collect();
        files.extend(builder.finish());
        for file in files {
            lock.ensure().await?;
            written.push(self.save_index(&file).await?);
        }
        lock.ensure().await?;
        for id in plan.replaced.iter().filter(|id| !written.contains(id)) {
            self.remove(FileKind::Index, id).await?;
        }
        Ok(())
    }
}
