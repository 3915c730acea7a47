//! Every tree of many snapshots, each once: what check, statistics, prune and copy go by.

use std::collections::HashSet;

use futures::{StreamExt as _, stream};

use crate::{
    BlobKind, Id, Index, Location, Reader, RepositoryError,
    read::{READ_AHEAD, Want},
    tree,
};

/// How many trees are read in one go.
const TREES: usize = 128;
/// About how many bytes of them.
const BYTES: u64 = 4 << 20;

/// A set of blobs that are in an index: a bit for each.
#[derive(Debug)]
pub(crate) struct BlobSet {
    data: Vec<u64>,
    trees: Vec<u64>,
}

impl BlobSet {
    pub(crate) fn new(index: &Index) -> Self {
        let bits = |kind| vec![0; index.len(kind).div_ceil(64)];
        Self { data: bits(BlobKind::Data), trees: bits(BlobKind::Tree) }
    }

    fn bits(&mut self, kind: BlobKind) -> &mut Vec<u64> {
        match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        }
    }

    /// Adds the blob with this number; whether it was not in the set.
    pub(crate) fn insert(&mut self, kind: BlobKind, number: usize) -> bool {
        let word = &mut self.bits(kind)[number / 64];
        let bit = 1 << (number % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(crate) fn contains(&self, kind: BlobKind, number: usize) -> bool {
        let bits = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        bits[number / 64] & (1 << (number % 64)) != 0
    }

    pub(crate) fn len(&self, kind: BlobKind) -> usize {
        let bits = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        bits.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// What a tree needs.
#[derive(Debug)]
pub(crate) struct TreeNeeds {
    pub(crate) id: Id,
    pub(crate) subtrees: Vec<Id>,
    pub(crate) content: Vec<Id>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// What is met on the way.
pub(crate) enum Met {
    Tree(TreeNeeds),
    /// A tree that cannot be read.
    Unreadable(Id, RepositoryError),
    /// A tree that is in no index.
    Missing(Id),
}

fn needs(id: Id, json: &[u8]) -> Result<TreeNeeds, RepositoryError> {
    let mut needs = TreeNeeds { id, subtrees: Vec::new(), content: Vec::new(), files: 0, bytes: 0 };
    for node in tree::references(json)? {
        if node.is_file() {
            needs.files += 1;
            needs.bytes += node.size;
        }
        needs.content.extend(node.content);
        needs.subtrees.extend(node.subtree);
    }
    Ok(needs)
}

/// Meets every tree below `roots` once; those in `seen` are left out, and those met are put there.
pub(crate) async fn each_tree(
    reader: &Reader,
    roots: impl IntoIterator<Item = Id>,
    seen: &mut BlobSet,
    mut each: impl FnMut(Met) -> Result<(), RepositoryError>,
) -> Result<(), RepositoryError> {
    let mut missing = HashSet::new();
    let mut pending: Vec<Location> = Vec::new();
    let mut add = |id: Id, pending: &mut Vec<Location>| {
        let Some(number) = reader.index().number(BlobKind::Tree, &id) else {
            return missing.insert(id).then_some(Met::Missing(id));
        };
        if seen.insert(BlobKind::Tree, number) {
            pending.extend(reader.index().get(BlobKind::Tree, &id));
        }
        None
    };
    for root in roots {
        add(root, &mut pending).map_or(Ok(()), &mut each)?;
    }
    let mut under_way = stream::FuturesUnordered::new();
    loop {
        while under_way.len() < READ_AHEAD && !pending.is_empty() {
            under_way.push(read(reader.clone(), take(&mut pending)));
        }
        let Some(met) = under_way.next().await else { return Ok(()) };
        for met in met? {
            if let Met::Tree(tree) = &met {
                for id in &tree.subtrees {
                    add(*id, &mut pending).map_or(Ok(()), &mut each)?;
                }
            }
            each(met)?;
        }
    }
}

/// The last come first, which keeps few waiting.
fn take(pending: &mut Vec<Location>) -> Vec<Location> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < TREES
        && bytes < BYTES
        && let Some(location) = pending.pop()
    {
        bytes += u64::from(location.blob.plain_length());
        batch.push(location);
    }
    batch
}

async fn read(reader: Reader, batch: Vec<Location>) -> Result<Vec<Met>, RepositoryError> {
    let read = reader.fetch(&batch, Want::Plain).await;
    let parse = move || {
        let mut met = Vec::with_capacity(batch.len());
        for (location, read) in batch.iter().zip(read) {
            let id = location.blob.id;
            met.push(match read.and_then(|opened| needs(id, &opened.bytes)) {
                Ok(tree) => Met::Tree(tree),
                // A store that does not answer says nothing of the tree.
                Err(error @ RepositoryError::Store(_)) => return Err(error),
                Err(error) => Met::Unreadable(id, error),
            });
        }
        Ok(met)
    };
    tokio::task::spawn_blocking(parse).await?
}
