//! How much a repository keeps, and how much room it takes.

use std::collections::HashMap;

use crate::{
    BlobKind, FileKind, Id, Reader, Repository, RepositoryError,
    visit::{BlobSet, Met, TreeNeeds, each_tree},
};

/// How much a repository keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Snapshots.
    pub snapshots: u64,
    /// Files, added up over all snapshots.
    pub files: u64,
    /// Bytes of those: what restoring every snapshot would write.
    pub raw_bytes: u64,
    /// Plain bytes of the blobs that snapshots need, each once.
    pub unique_bytes: u64,
    /// Bytes of those as they lie there.
    pub packed_bytes: u64,
    /// Bytes of all files of the repository.
    pub stored_bytes: u64,
    /// Bytes of blobs that no snapshot needs, as they lie there.
    pub unused_bytes: u64,
    /// Blobs that snapshots need.
    pub blobs: u64,
}

impl Statistics {
    /// How many times less deduplication leaves; 1 where there is nothing.
    pub fn deduplication(&self) -> f64 {
        ratio(self.raw_bytes, self.unique_bytes)
    }

    /// How many times less compression leaves; 1 where there is nothing.
    pub fn compression(&self) -> f64 {
        ratio(self.unique_bytes, self.packed_bytes)
    }
}

fn ratio(of: u64, to: u64) -> f64 {
    if to == 0 { 1.0 } else { of as f64 / to as f64 }
}

#[derive(Clone, Copy, Default)]
struct Sum {
    files: u64,
    bytes: u64,
}

impl Repository {
    /// Adds up what the repository keeps. Reads every tree once.
    pub async fn statistics(&self) -> Result<Statistics, RepositoryError> {
        let snapshots = self.snapshots().await?;
        let reader = Reader::open(self).await?;
        let mut used = BlobSet::new(reader.index());
        let mut data = BlobSet::new(reader.index());
        let mut trees: HashMap<Id, TreeNeeds> = HashMap::new();
        let roots: Vec<_> = snapshots.iter().map(|(_, snapshot)| snapshot.tree).collect();
        each_tree(&reader, roots.clone(), &mut used, |met| match met {
            Met::Tree(mut tree) => {
                for id in std::mem::take(&mut tree.content) {
                    let number = reader.index().number(BlobKind::Data, &id);
                    let number =
                        number.ok_or(RepositoryError::MissingBlob { kind: BlobKind::Data, id })?;
                    data.insert(BlobKind::Data, number);
                }
                trees.insert(tree.id, tree);
                Ok(())
            }
            Met::Unreadable(_, error) => Err(error),
            Met::Missing(id) => Err(RepositoryError::MissingBlob { kind: BlobKind::Tree, id }),
        })
        .await?;
        let mut statistics =
            Statistics { snapshots: snapshots.len() as u64, ..Statistics::default() };
        let sums = sums(&trees, &roots);
        for root in &roots {
            let sum = sums.get(root).copied().unwrap_or_default();
            statistics.files += sum.files;
            statistics.raw_bytes += sum.bytes;
        }
        for (kind, used) in [(BlobKind::Data, &data), (BlobKind::Tree, &used)] {
            for (number, location) in reader.index().iter(kind).enumerate() {
                let stored = u64::from(location.blob.length);
                if used.contains(kind, number) {
                    statistics.blobs += 1;
                    statistics.unique_bytes += u64::from(location.blob.plain_length());
                    statistics.packed_bytes += stored;
                } else {
                    statistics.unused_bytes += stored;
                }
            }
        }
        for kind in FileKind::ALL {
            let files = self.list(kind).await?;
            statistics.stored_bytes += files.iter().map(|file| file.size_bytes).sum::<u64>();
        }
        Ok(statistics)
    }
}

/// What is in each tree with all below, each counted wherever it is used.
fn sums(trees: &HashMap<Id, TreeNeeds>, roots: &[Id]) -> HashMap<Id, Sum> {
    let mut sums: HashMap<Id, Sum> = HashMap::with_capacity(trees.len());
    let mut stack: Vec<(Id, bool)> = roots.iter().map(|id| (*id, false)).collect();
    while let Some((id, is_below_done)) = stack.pop() {
        if sums.contains_key(&id) {
            continue;
        }
        let Some(tree) = trees.get(&id) else { continue };
        if !is_below_done {
            stack.push((id, true));
            stack.extend(tree.subtrees.iter().map(|below| (*below, false)));
            continue;
        }
        let mut sum = Sum { files: tree.files, bytes: tree.bytes };
        for below in tree.subtrees.iter().filter_map(|below| sums.get(below)) {
            sum.files = sum.files.saturating_add(below.files);
            sum.bytes = sum.bytes.saturating_add(below.bytes);
        }
        sums.insert(id, sum);
    }
    sums
}
