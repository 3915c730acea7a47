//! Snapshots from one repository into another: what is there already is not read.

use std::collections::HashMap;

use crate::{
    BlobKind, Id, IndexBuilder, Location, Lock, LockKind, Reader, Repository, RepositoryError,
    Version,
    packer::{PACK_BYTES, Packer},
    read::{Want, batches},
    visit::{BlobSet, Met, each_tree},
};

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The snapshots that are there now, with the ids they have there.
    pub snapshots: Vec<(Id, Id)>,
    /// Blobs that were not there.
    pub blobs: u64,
    /// Plain bytes of those.
    pub bytes: u64,
}

impl Reader {
    /// Copies snapshots to `to`, of which `lock` is one. One that was copied before is not copied
    /// again. Packs, index and snapshots are written in this order.
    pub async fn copy(
        &self,
        snapshots: &[Id],
        to: &Repository,
        lock: &Lock,
    ) -> Result<Copied, RepositoryError> {
        lock.ensure_kind(LockKind::Shared).await?;
        let mut copied = Copied::default();
        let mut there: HashMap<(Id, Id), Id> = HashMap::new();
        for (id, snapshot) in to.snapshots().await? {
            let original = snapshot.original.unwrap_or(id);
            there.insert((original, snapshot.tree), id);
        }
        let mut wanted = Vec::new();
        for id in snapshots {
            let mut snapshot = self.repository().load_snapshot(id).await?;
            let original = *snapshot.original.get_or_insert(*id);
            match there.get(&(original, snapshot.tree)) {
                Some(known) => copied.snapshots.push((*id, *known)),
                None => wanted.push((*id, snapshot)),
            }
        }
        let roots: Vec<_> = wanted.iter().map(|(_, snapshot)| snapshot.tree).collect();
        let blobs = self.missing(&roots, to).await?;
        self.copy_blobs(blobs, to, lock, &mut copied).await?;
        for (id, mut snapshot) in wanted {
            // The snapshot on which it was based need not be there.
            snapshot.parent = None;
            lock.ensure().await?;
            copied.snapshots.push((id, to.save_snapshot(&snapshot).await?));
        }
        Ok(copied)
    }

    /// The blobs below `roots` that are not in `to`, by their place here.
    async fn missing(
        &self,
        roots: &[Id],
        to: &Repository,
    ) -> Result<Vec<Location>, RepositoryError> {
        let there = to.load_index().await?.index;
        let mut trees = BlobSet::new(self.index());
        let mut data = BlobSet::new(self.index());
        let mut missing = Vec::new();
        each_tree(self, roots.iter().copied(), &mut trees, |met| {
            let tree = match met {
                Met::Tree(tree) => tree,
                Met::Unreadable(_, error) => return Err(error),
                Met::Missing(id) => {
                    return Err(RepositoryError::MissingBlob { kind: BlobKind::Tree, id });
                }
            };
            if !there.contains(BlobKind::Tree, &tree.id) {
                missing.push(self.locate(BlobKind::Tree, &tree.id)?);
            }
            for id in &tree.content {
                let location = self.locate(BlobKind::Data, id)?;
                let number = self.index().number(BlobKind::Data, id);
                let is_new = number.is_some_and(|number| data.insert(BlobKind::Data, number));
                if is_new && !there.contains(BlobKind::Data, id) {
                    missing.push(location);
                }
            }
            Ok(())
        })
        .await?;
        missing.sort_unstable_by_key(|location| (location.pack, location.blob.offset));
        Ok(missing)
    }

    async fn copy_blobs(
        &self,
        blobs: Vec<Location>,
        to: &Repository,
        lock: &Lock,
        copied: &mut Copied,
    ) -> Result<(), RepositoryError> {
        let (mut packer, mut index) = (Packer::new(to, PACK_BYTES), IndexBuilder::default());
        // What is compressed stays so where the format knows of it.
        let want = if to.version() == Version::V2 { Want::Payload } else { Want::Plain };
        for batch in batches(blobs) {
            let read = self.fetch(&batch, want).await;
            for (location, opened) in batch.iter().zip(read) {
                let blob = location.blob;
                let sealed = to.seal(&opened?.bytes)?;
                let plain = blob.uncompressed_length.filter(|_| want == Want::Payload);
                packer.add(blob.kind, blob.id, plain, &sealed).await?;
                copied.blobs += 1;
                copied.bytes += u64::from(blob.plain_length());
            }
            for pack in packer.written() {
                if let Some(file) = index.add(pack) {
                    lock.ensure().await?;
                    to.save_index(&file).await?;
                }
            }
        }
        packer.finish().await?;
        let mut files: Vec<_> =
            packer.written().into_iter().filter_map(|pack| index.add(pack)).collect();
        files.extend(index.finish());
        for file in files {
            lock.ensure().await?;
            to.save_index(&file).await?;
        }
        Ok(())
    }
}
