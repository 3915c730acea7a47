//! Which blob lies where, in memory: sorted arrays, 48 bytes for a blob.

mod file;

use std::collections::HashMap;

pub use file::{IndexBuilder, IndexFile, IndexedPack};

use crate::{BlobKind, Id, PackedBlob};

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Id,
    /// The place in it.
    pub blob: PackedBlob,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    /// 0 if it is not compressed.
    plain: u32,
}

/// New entries wait in a map until there are as many as this share of the sorted ones.
const MERGE_SHARE: usize = 4;
const MERGE_LEAST: usize = 1 << 16;

#[derive(Debug, Default)]
struct Table {
    sorted: Vec<Entry>,
    fresh: HashMap<Id, Entry>,
}

impl Table {
    /// Ids are spread evenly, so that an id tells about where it is; from there it is looked for in
    /// steps that double, which finds it among ids that somebody chose, too.
    fn position(&self, id: &Id) -> Option<usize> {
        let guess = (u128::from(id.head()) * self.sorted.len() as u128) >> 64;
        let guess = usize::try_from(guess).ok().filter(|at| *at < self.sorted.len())?;
        let is_before = |at: usize| self.sorted[at].id < *id;
        let (mut step, mut low, mut high) = (4, guess, guess);
        while low > 0 && !is_before(low) {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 4;
        while high < self.sorted.len() && is_before(high) {
            high = self.sorted.len().min(high + step);
            step *= 2;
        }
        let within = &self.sorted[low..high.max(low + 1).min(self.sorted.len())];
        let at = low + within.partition_point(|entry| entry.id < *id);
        (self.sorted.get(at)?.id == *id).then_some(at)
    }

    fn get(&self, id: &Id) -> Option<&Entry> {
        self.fresh.get(id).or_else(|| self.position(id).map(|at| &self.sorted[at]))
    }

    fn insert(&mut self, entry: Entry) {
        self.fresh.insert(entry.id, entry);
        if self.fresh.len() >= MERGE_LEAST.max(self.sorted.len() / MERGE_SHARE) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let fresh = std::mem::take(&mut self.fresh);
        self.sorted.reserve_exact(fresh.len());
        self.sorted.extend(fresh.into_values());
        self.sort();
    }

    /// A blob that lies in several packs keeps the first place that was told.
    fn sort(&mut self) {
        self.sorted.sort_by_key(|entry| (entry.id.head(), entry.id));
        self.sorted.dedup_by(|later, first| later.id == first.id);
    }
}

/// Which blob lies where.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<Id>,
    data: Table,
    trees: Table,
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn table(&self, kind: BlobKind) -> &Table {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    fn table_mut(&mut self, kind: BlobKind) -> &mut Table {
        match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        }
    }

    fn add_pack_number(&mut self, pack: Id) -> u32 {
        self.packs.push(pack);
        u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a pack that was just written.
    pub fn add_pack(&mut self, pack: Id, blobs: &[PackedBlob]) {
        let number = self.add_pack_number(pack);
        for blob in blobs {
            self.table_mut(blob.kind).insert(Entry::new(number, blob));
        }
    }

    /// Adds many packs at once; call [`Index::settle`] after the last.
    pub fn load(&mut self, packs: &[IndexedPack]) {
        for pack in packs {
            let number = self.add_pack_number(pack.id);
            for blob in &pack.blobs {
                self.table_mut(blob.kind).sorted.push(Entry::new(number, blob));
            }
        }
    }

    /// Sorts what [`Index::load`] added.
    pub fn settle(&mut self) {
        for table in [&mut self.data, &mut self.trees] {
            table.sort();
            table.settle();
            table.sorted.shrink_to_fit();
        }
    }

    /// Whether a blob is there.
    pub fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.table(kind).get(id).is_some()
    }

    /// Where a blob lies.
    pub fn get(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        self.table(kind).get(id).map(|entry| self.location(kind, entry))
    }

    /// How many blobs of a kind there are.
    pub fn len(&self, kind: BlobKind) -> usize {
        let table = self.table(kind);
        table.sorted.len() + table.fresh.len()
    }

    /// Whether no blob is there.
    pub fn is_empty(&self) -> bool {
        self.len(BlobKind::Data) + self.len(BlobKind::Tree) == 0
    }

    /// The packs, in the order in which they were told; one can be told more than once.
    pub fn packs(&self) -> &[Id] {
        &self.packs
    }

    /// The number of a blob among the blobs of its kind that were loaded; below
    /// [`Index::len`]. For sets of blobs.
    pub fn number(&self, kind: BlobKind, id: &Id) -> Option<usize> {
        self.table(kind).position(id)
    }

    /// Every blob that was loaded, by id, with the numbers of [`Index::number`].
    pub fn iter(&self, kind: BlobKind) -> impl Iterator<Item = Location> {
        self.table(kind).sorted.iter().map(move |entry| self.location(kind, entry))
    }

    fn location(&self, kind: BlobKind, entry: &Entry) -> Location {
        let blob = PackedBlob {
            kind,
            id: entry.id,
            offset: entry.offset,
            length: entry.length,
            uncompressed_length: (entry.plain != 0).then_some(entry.plain),
        };
        Location { pack: self.packs[entry.pack as usize], blob }
    }
}

impl Entry {
    fn new(pack: u32, blob: &PackedBlob) -> Self {
        Self {
            id: blob.id,
            pack,
            offset: blob.offset,
            length: blob.length,
            plain: blob.uncompressed_length.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: BlobKind, number: u32) -> PackedBlob {
        let id = Id::of(&number.to_le_bytes());
        PackedBlob { kind, id, offset: number, length: 100, uncompressed_length: Some(7) }
    }

    #[test]
    fn blobs_are_found_however_they_came() {
        let mut index = Index::new();
        let pack = |n: u8| Id::new([n; 32]);
        index.load(&[IndexedPack::new(
            pack(1),
            (0..1000).map(|n| blob(BlobKind::Data, n)).collect(),
        )]);
        index.settle();
        for n in 0..200_u8 {
            let blobs: Vec<_> =
                (0..1000).map(|i| blob(BlobKind::Data, 1000 + u32::from(n) * 1000 + i)).collect();
            index.add_pack(pack(n), &blobs);
        }
        index.add_pack(pack(9), &[blob(BlobKind::Tree, 5)]);
        assert_eq!(index.len(BlobKind::Data), 201_000);
        assert_eq!(index.len(BlobKind::Tree), 1);
        for n in [0, 999, 1000, 77_777, 200_999] {
            let found = index.get(BlobKind::Data, &Id::of(&u32::to_le_bytes(n))).unwrap();
            assert_eq!(found.blob, blob(BlobKind::Data, n));
        }
        assert!(!index.contains(BlobKind::Data, &Id::of(b"else")));
        assert!(!index.contains(BlobKind::Tree, &Id::of(&6_u32.to_le_bytes())));
    }

    #[test]
    fn an_entry_takes_48_bytes() {
        assert_eq!(size_of::<Entry>(), 48);
    }
}
