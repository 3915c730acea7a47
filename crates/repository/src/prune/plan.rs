//! What is needed, what goes, what waits.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{PruneOptions, Pruned};
use crate::{
    BlobKind, FileKind, Id, Index, IndexedPack, Location, Reader, Repository, RepositoryError,
    visit::{BlobSet, Met, each_tree},
};

/// What a prune does.
#[derive(Debug, Default)]
pub struct PrunePlan {
    /// Blobs that are written anew.
    pub(super) rewrite: Vec<Location>,
    /// What the new index files tell beside what is written anew.
    pub(super) index: Vec<IndexedPack>,
    /// Index files that go.
    pub(super) replaced: Vec<Id>,
    /// Packs that go, with their size.
    pub(super) delete: Vec<(Id, u64)>,
    told: Pruned,
}

impl PrunePlan {
    /// What it comes to.
    pub fn told(&self) -> Pruned {
        self.told
    }
}

/// What the index files tell.
#[derive(Default)]
struct Known {
    /// Which packs each file tells of as being there.
    files: BTreeMap<Id, Vec<Id>>,
    /// Files that tell of marked packs.
    marking: HashSet<Id>,
    packs: HashMap<Id, IndexedPack>,
    marked: HashMap<Id, IndexedPack>,
}

async fn known(repository: &Repository) -> Result<Known, RepositoryError> {
    let mut known = Known::default();
    for entry in repository.list(FileKind::Index).await? {
        let file = repository.load_index_file(&entry.id).await?;
        known.files.insert(entry.id, file.packs.iter().map(|pack| pack.id).collect());
        for pack in file.packs {
            let is_less =
                known.packs.get(&pack.id).is_some_and(|told| told.blobs.len() >= pack.blobs.len());
            if !is_less {
                known.packs.insert(pack.id, pack);
            }
        }
        if !file.packs_to_delete.is_empty() {
            known.marking.insert(entry.id);
        }
        for pack in file.packs_to_delete {
            // Told twice, the later mark counts.
            let time = known.marked.get(&pack.id).map(|told| told.time);
            if time.is_none_or(|time| time < pack.time) {
                known.marked.insert(pack.id, pack);
            }
        }
    }
    // A pack that some index tells of as being there is there: somebody took it back.
    known.marked.retain(|id, _| !known.packs.contains_key(id));
    Ok(known)
}

/// The blobs that snapshots need, by their numbers in the index.
struct Needed {
    reader: Reader,
    trees: BlobSet,
    data: BlobSet,
}

impl Needed {
    fn has(&self, location: &Location) -> bool {
        let (kind, id) = (location.blob.kind, &location.blob.id);
        let Some(number) = self.reader.index().number(kind, id) else { return false };
        let set = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        // Of a blob that lies in several packs, one place is enough.
        set.contains(kind, number) && self.reader.index().get(kind, id) == Some(*location)
    }
}

async fn needed(
    repository: &Repository,
    roots: Vec<Id>,
    packs: impl Iterator<Item = &IndexedPack>,
) -> Result<Needed, RepositoryError> {
    let mut index = Index::new();
    for pack in packs {
        index.load(std::slice::from_ref(pack));
    }
    index.settle();
    let reader = Reader::new(repository.clone(), Arc::new(index));
    let (mut trees, mut data) = (BlobSet::new(reader.index()), BlobSet::new(reader.index()));
    each_tree(&reader, roots, &mut trees, |met| {
        let tree = match met {
            Met::Tree(tree) => tree,
            Met::Unreadable(_, error) => return Err(error),
            Met::Missing(id) => {
                return Err(RepositoryError::MissingBlob { kind: BlobKind::Tree, id });
            }
        };
        for id in tree.content {
            let number = reader.index().number(BlobKind::Data, &id);
            let number = number.ok_or(RepositoryError::MissingBlob { kind: BlobKind::Data, id })?;
            data.insert(BlobKind::Data, number);
        }
        Ok(())
    })
    .await?;
    Ok(Needed { reader, trees, data })
}

pub(super) async fn make(
    repository: &Repository,
    options: &PruneOptions,
) -> Result<PrunePlan, RepositoryError> {
    let snapshots = repository.snapshots().await?;
    if let Some(id) = options.expected.iter().find(|id| !snapshots.iter().any(|(of, _)| of == *id))
    {
        return Err(RepositoryError::damaged(FileKind::Snapshot, id, "it is not there"));
    }
    let roots: Vec<_> = snapshots.into_iter().map(|(_, snapshot)| snapshot.tree).collect();
    let known = known(repository).await?;
    let there: HashMap<Id, u64> = repository
        .list(FileKind::Pack)
        .await?
        .into_iter()
        .map(|file| (file.id, file.size_bytes))
        .collect();
    // Marked packs come last: they are needed only for what is nowhere else. A pack that is not
    // there counts for nothing.
    let packs = sorted(&known.packs, &there).chain(sorted(&known.marked, &there));
    let needed = needed(repository, roots, packs).await?;
    let now = repository.surroundings().now();
    let mut plan = PrunePlan::default();
    let mut changed = HashSet::new();
    let mut fresh = Vec::new();
    let judged = judge(&known, &needed, &there, options);
    for (pack, fate) in judged {
        let size = there.get(&pack.id).copied().unwrap_or_default();
        if fate != Fate::Keep {
            changed.insert(pack.id);
        }
        match fate {
            Fate::Keep => plan.told.kept += 1,
            Fate::Gone => {}
            Fate::Rewrite | Fate::Mark => {
                if fate == Fate::Rewrite {
                    plan.told.rewritten += 1;
                    plan.rewrite.extend(locations(pack).filter(|location| needed.has(location)));
                }
                fresh.push(marked(pack.clone(), now, size));
            }
        }
    }
    // Packs that nobody tells of: what an interrupted writer left.
    for (id, size) in &there {
        if !known.packs.contains_key(id) && !known.marked.contains_key(id) {
            fresh.push(marked(IndexedPack::new(*id, Vec::new()), now, *size));
        }
    }
    plan.told.marked = fresh.len() as u64;
    plan.told.marked_bytes =
        fresh.iter().map(|pack| there.get(&pack.id).copied().unwrap_or_default()).sum();
    let has_new = !fresh.is_empty();
    let mut marks_changed = false;
    let mut waiting = fresh;
    for pack in sorted(&known.marked, &there) {
        if locations(pack).any(|location| needed.has(&location)) {
            plan.told.taken_back += 1;
            marks_changed = true;
            plan.index.push(IndexedPack::new(pack.id, pack.blobs.clone()));
        } else {
            waiting.push(pack.clone());
        }
    }
    for pack in waiting {
        let size = there.get(&pack.id).copied().unwrap_or_default();
        if now.duration_since(pack.time.unwrap_or(now)) >= options.grace {
            marks_changed = true;
            plan.told.deleted += 1;
            plan.told.deleted_bytes += size;
            plan.delete.push((pack.id, size));
        } else {
            plan.told.waiting += 1;
            plan.index.push(pack);
        }
    }
    marks_changed |= known.marked.keys().any(|id| !there.contains_key(id));
    replace(&mut plan, &known, &changed, marks_changed || has_new);
    Ok(plan)
}

/// What becomes of a pack that an index tells of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Rewrite,
    Mark,
    /// It is not there, and nothing needs it.
    Gone,
}

fn locations(pack: &IndexedPack) -> impl Iterator<Item = Location> {
    pack.blobs.iter().map(|blob| Location { pack: pack.id, blob: *blob })
}

fn marked(pack: IndexedPack, now: Timestamp, size: u64) -> IndexedPack {
    IndexedPack { time: Some(now), size: u32::try_from(size).ok(), ..pack }
}

/// Packs with the largest share of what is not needed are written anew, until what is left of that
/// is little.
fn judge<'a>(
    known: &'a Known,
    needed: &Needed,
    there: &HashMap<Id, u64>,
    options: &PruneOptions,
) -> Vec<(&'a IndexedPack, Fate)> {
    let (mut judged, mut mixed) = (Vec::new(), Vec::new());
    let (mut needed_bytes, mut unneeded_bytes) = (0_u64, 0_u64);
    let mut packs: Vec<_> = known.packs.values().collect();
    packs.sort_unstable_by_key(|pack| pack.id);
    for pack in packs {
        if !there.contains_key(&pack.id) {
            judged.push((pack, Fate::Gone));
            continue;
        }
        let total: u64 = pack.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        let used: u64 = locations(pack)
            .filter(|location| needed.has(location))
            .map(|location| u64::from(location.blob.length))
            .sum();
        needed_bytes += used;
        if used == 0 {
            judged.push((pack, Fate::Mark));
        } else if used == total {
            judged.push((pack, Fate::Keep));
        } else {
            unneeded_bytes += total - used;
            mixed.push((pack, used, total));
        }
    }
    let most = needed_bytes.saturating_mul(options.max_unused_percent.into()) / 100;
    mixed.sort_by(|(_, a, all_a), (_, b, all_b)| {
        (u128::from(*a) * u128::from(*all_b)).cmp(&(u128::from(*b) * u128::from(*all_a)))
    });
    for (pack, used, total) in mixed {
        if unneeded_bytes > most {
            unneeded_bytes -= total - used;
            judged.push((pack, Fate::Rewrite));
        } else {
            judged.push((pack, Fate::Keep));
        }
    }
    judged
}

/// Index files that tell of a pack that changes are replaced, and all that tell of marked packs if
/// any of those changes; what else they tell is told anew.
fn replace(plan: &mut PrunePlan, known: &Known, changed: &HashSet<Id>, marks_changed: bool) {
    let mut kept: HashSet<&Id> = HashSet::new();
    let mut moved = Vec::new();
    for (file, packs) in &known.files {
        let marks = marks_changed && known.marking.contains(file);
        if marks || packs.iter().any(|id| changed.contains(id)) {
            plan.replaced.push(*file);
            moved.extend(packs.iter().filter(|id| !changed.contains(id)));
        } else {
            kept.extend(packs);
        }
    }
    let mut told = HashSet::new();
    for id in moved {
        if !kept.contains(id) && told.insert(id) {
            plan.index.extend(known.packs.get(id).cloned());
        }
    }
    if !marks_changed {
        // The marks stay where they are told.
        let replaced: HashSet<_> = plan.replaced.iter().collect();
        if !known.marking.iter().any(|file| replaced.contains(file)) {
            plan.index.retain(|pack| pack.time.is_none());
        }
    }
}

fn sorted<'a>(
    packs: &'a HashMap<Id, IndexedPack>,
    there: &HashMap<Id, u64>,
) -> impl Iterator<Item = &'a IndexedPack> + use<'a> {
    let mut packs: Vec<_> = packs.values().filter(|pack| there.contains_key(&pack.id)).collect();
    packs.sort_unstable_by_key(|pack| pack.id);
    packs.into_iter()
}
