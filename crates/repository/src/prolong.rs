//! Longer locks for what newer snapshots need: an object is locked from when it was written, and what
//! was written long ago for another snapshot may be what a new one stands on.
//!
//! What a snapshot needs is to be locked as long as its own object: from when the store says that it was
//! written. Snapshots are gone through from the newest on, so that what several need has the latest
//! end of all.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use store::{Key, Prolonged, StoreError};

use crate::{
    BlobKind, FileKind, Id, Index, Reader, Repository, RepositoryError,
    repository::path,
    visit::{BlobSet, Met, each_tree},
};

const DAY: Duration = Duration::from_secs(86_400);
/// How many objects are looked at at once.
const AT_ONCE: usize = 16;
/// A lock that is prolonged gets this part of its length on top, and a day at least, so that not all
/// that lives is prolonged every day.
const AHEAD: u32 = 8;

/// What is known of the locks of what snapshots need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocksProlonged {
    /// Objects that snapshots need.
    pub objects: u64,
    /// Those of them that are locked for longer now.
    pub prolonged: u64,
    /// What is needed and could not be found or read; a check tells of it.
    pub missing: u64,
    /// Until when all that the newest snapshot needs is locked.
    pub newest_until: Option<Timestamp>,
    /// When the last of the locks ends.
    pub last_until: Option<Timestamp>,
}

/// Until when objects have to be locked.
#[derive(Default)]
struct Needs {
    files: HashMap<(FileKind, Id), SystemTime>,
    newest: Option<SystemTime>,
    missing: u64,
}

impl Needs {
    fn add(&mut self, kind: FileKind, id: Id, until: SystemTime) {
        let need = self.files.entry((kind, id)).or_insert(until);
        *need = (*need).max(until);
    }
}

/// How much longer than needed an object is locked that is locked anew, where `length` is what a new
/// object gets. Whatever is to be deleted has to wait for that much more.
pub fn locked_ahead(length: Duration) -> Duration {
    DAY.max(length / AHEAD)
}

impl Repository {
    /// Sees to it that everything that a snapshot needs is locked for as long as the snapshot itself,
    /// where the store locks objects; `None` where it does not. Wants a lock of any kind, so that
    /// nothing is freed meanwhile.
    pub async fn prolong_locks(&self) -> Result<Option<LocksProlonged>, RepositoryError> {
        let store = Arc::clone(self.store());
        let Some(locking) = store.locking() else { return Ok(None) };
        let needs = self.lock_needs(locking.length()).await?;
        let ahead = locked_ahead(locking.length());
        let mut told = LocksProlonged { missing: needs.missing, ..LocksProlonged::default() };
        let mut keys = Vec::with_capacity(needs.files.len() + 1);
        for ((kind, id), need) in &needs.files {
            keys.push((path(*kind, id)?, *need));
        }
        if let Some(newest) = needs.newest {
            keys.push((Key::new(crate::repository::CONFIG).map_err(StoreError::from)?, newest));
        }
        let mut asked =
            stream::iter(keys)
                .map(|(key, need)| async move {
                    (need, locking.prolong(&key, need, need + ahead).await)
                })
                .buffer_unordered(AT_ONCE);
        while let Some((need, done)) = asked.next().await {
            let Prolonged { until, is_longer } = match done {
                Err(error) if error.is_not_found() => {
                    told.missing += 1;
                    continue;
                }
                other => other?,
            };
            told.objects += 1;
            told.prolonged += u64::from(is_longer);
            let Ok(until) = Timestamp::try_from(until) else { continue };
            told.last_until = told.last_until.max(Some(until));
            if Some(need) == needs.newest {
                let earliest = told.newest_until.map_or(until, |other| other.min(until));
                told.newest_until = Some(earliest);
            }
        }
        Ok(Some(told))
    }

    async fn lock_needs(&self, length: Duration) -> Result<Needs, RepositoryError> {
        let mut needs = Needs::default();
        // Before the index, so that nothing of a snapshot is missing there.
        let mut snapshots: Vec<(SystemTime, Id)> = self
            .list_with_meta(FileKind::Snapshot)
            .await?
            .into_iter()
            .filter_map(|(id, meta)| Some((meta.modified_at? + length, id)))
            .collect();
        snapshots.sort_unstable_by(|one, other| other.cmp(one));
        // Older ones are locked no more, and what only they need does not have to be. Clocks differ.
        let now = SystemTime::from(self.surroundings().now());
        snapshots.retain(|(until, _)| *until + DAY > now);
        let (reader, tells) = self.with_index_files().await?;
        let mut trees = BlobSet::new(reader.index());
        let mut packs: HashMap<Id, SystemTime> = HashMap::new();
        for (until, id) in snapshots {
            let tree = match self.load_snapshot(&id).await {
                Ok(snapshot) => snapshot.tree,
                Err(RepositoryError::Store(error)) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            needs.newest.get_or_insert(until);
            needs.add(FileKind::Snapshot, id, until);
            let mut missing = 0;
            each_tree(&reader, [tree], &mut trees, |met| {
                let Met::Tree(tree) = met else {
                    missing += 1;
                    return Ok(());
                };
                let data = tree.content.iter().map(|id| (BlobKind::Data, id));
                for (kind, id) in data.chain([(BlobKind::Tree, &tree.id)]) {
                    match reader.index().get(kind, id) {
                        Some(location) => {
                            packs.entry(location.pack).or_insert(until);
                        }
                        None => missing += 1,
                    }
                }
                Ok(())
            })
            .await?;
            needs.missing += missing;
        }
        for (file, told) in tells {
            if let Some(until) = told.iter().filter_map(|pack| packs.get(pack)).max() {
                needs.add(FileKind::Index, file, *until);
            }
        }
        for (pack, until) in packs {
            needs.add(FileKind::Pack, pack, until);
        }
        if let Some(newest) = needs.newest {
            for key in self.list(FileKind::Key).await? {
                needs.add(FileKind::Key, key.id, newest);
            }
        }
        Ok(needs)
    }

    /// The index, and which packs each of its files tells of.
    async fn with_index_files(&self) -> Result<(Reader, Vec<(Id, Vec<Id>)>), RepositoryError> {
        let (mut index, mut tells) = (Index::new(), Vec::new());
        for entry in self.list(FileKind::Index).await? {
            let file = self.load_index_file(&entry.id).await?;
            index.load(&file.packs);
            tells.push((entry.id, file.packs.iter().map(|pack| pack.id).collect()));
        }
        index.settle();
        Ok((Reader::new(self.clone(), Arc::new(index)), tells))
    }
}
