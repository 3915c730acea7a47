//! Which objects there are: what the snapshots tell, each read once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store::{Key, ObjectMeta};

use super::{OBJECT_TAG, content::Content};
use crate::{FileKind, Id, Reader, Repository, RepositoryError, Snapshot};

/// How many snapshots are read at once.
const READERS: usize = 16;

/// An object, as its snapshot tells of it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) key: Key,
    pub(super) tree: Id,
    size_bytes: u64,
    at: jiff::Timestamp,
}

impl Object {
    pub(super) fn meta(&self) -> ObjectMeta {
        ObjectMeta {
            key: self.key.clone(),
            size_bytes: self.size_bytes,
            modified_at: Some(SystemTime::from(self.at)),
            sha256: None,
        }
    }
}

/// Snapshots that were read, by id; `None` for those that are no objects of ours. A snapshot never
/// changes, so that only the list of them is read anew.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Id, Option<Object>>>);

impl Known {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Option<Object>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is new, and forgets what is gone.
    async fn refresh(&self, repository: &Repository) -> Result<(), RepositoryError> {
        let there: Vec<_> =
            repository.list(FileKind::Snapshot).await?.into_iter().map(|file| file.id).collect();
        let new: Vec<_> = {
            let mut known = self.lock();
            let kept: std::collections::HashSet<_> = there.iter().collect();
            known.retain(|id, _| kept.contains(id));
            there.into_iter().filter(|id| !known.contains_key(id)).collect()
        };
        let mut read =
            stream::iter(new).map(|id| read(repository.clone(), id)).buffer_unordered(READERS);
        while let Some(found) = read.try_next().await? {
            self.lock().extend(found);
        }
        Ok(())
    }

    /// Every object; of two with one name the older one counts.
    pub(super) async fn all(
        &self,
        repository: &Repository,
    ) -> Result<Vec<Object>, RepositoryError> {
        self.refresh(repository).await?;
        let mut all: Vec<_> = self.lock().values().flatten().cloned().collect();
        all.sort_by(|one, other| (&one.key, one.at).cmp(&(&other.key, other.at)));
        all.dedup_by(|later, first| later.key == first.key);
        Ok(all)
    }

    /// What is called `key`.
    pub(super) async fn find(
        &self,
        repository: &Repository,
        key: &Key,
    ) -> Result<Option<Object>, RepositoryError> {
        self.refresh(repository).await?;
        let known = self.lock();
        let named = known.values().flatten().filter(|object| object.key == *key);
        Ok(named.min_by_key(|object| object.at).cloned())
    }

    /// The snapshots of `keys`, and which of those are not there.
    pub(super) async fn named(
        &self,
        repository: &Repository,
        keys: &[Key],
    ) -> Result<(Vec<Id>, Vec<Key>), RepositoryError> {
        self.refresh(repository).await?;
        let known = self.lock();
        let by_key: HashMap<_, _> = known
            .iter()
            .filter_map(|(id, object)| object.as_ref().map(|object| (&object.key, *id)))
            .collect();
        let (mut ids, mut absent) = (Vec::new(), Vec::new());
        for key in keys {
            match by_key.get(key) {
                Some(id) => ids.push(*id),
                None => absent.push(key.clone()),
            }
        }
        Ok((ids, absent))
    }

    /// Every snapshot that is called `key`.
    pub(super) async fn ids(
        &self,
        repository: &Repository,
        key: &Key,
    ) -> Result<Vec<Id>, RepositoryError> {
        self.refresh(repository).await?;
        let named = |object: &Option<Object>| object.as_ref().is_some_and(|o| o.key == *key);
        Ok(self.lock().iter().filter(|(_, object)| named(object)).map(|(id, _)| *id).collect())
    }
}

/// What the snapshot `id` is; `None` where it is gone since it was listed.
async fn read(
    repository: Repository,
    id: Id,
) -> Result<Option<(Id, Option<Object>)>, RepositoryError> {
    match repository.load_snapshot(&id).await {
        Ok(snapshot) => Ok(Some((id, object(&repository, &snapshot).await?))),
        Err(RepositoryError::Store(error)) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The object that a snapshot is, if it is one of ours.
async fn object(
    repository: &Repository,
    snapshot: &Snapshot,
) -> Result<Option<Object>, RepositoryError> {
    let [path] = &snapshot.paths[..] else { return Ok(None) };
    let key = path.strip_prefix('/').and_then(|name| Key::new(name).ok());
    let Some(key) = key.filter(|_| snapshot.tags.iter().any(|tag| tag == OBJECT_TAG)) else {
        return Ok(None);
    };
    let told = snapshot.other.get("summary").and_then(|all| all.get("total_bytes_processed"));
    let size_bytes = match told.and_then(serde_json::Value::as_u64) {
        Some(size) => size,
        // Older versions of restic leave it out when they rewrite a snapshot.
        None => {
            let reader = Reader::open(repository).await?;
            match Content::of(&reader, &snapshot.tree, &key).await? {
                Some(content) => content.size(&reader).await?,
                None => return Ok(None),
            }
        }
    };
    Ok(Some(Object { key, tree: snapshot.tree, size_bytes, at: snapshot.time }))
}
