//! What stores of files and folders behind a protocol have in common: an object is written under
//! a temporary name in its own folder and renamed when it is whole.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};

use crate::{
    Key, Listing, ObjectMeta, Prefix, StoreError, StoreErrorKind, Swept,
    closed::{self, Closed, Folder},
    key::{finished_name, is_partial},
};

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name below the store's root.
    pub(crate) name: String,
    pub(crate) is_folder: bool,
    pub(crate) size_bytes: u64,
    pub(crate) modified_at: Option<SystemTime>,
}

impl Entry {
    fn meta(&self, key: Key) -> ObjectMeta {
        ObjectMeta { key, size_bytes: self.size_bytes, modified_at: self.modified_at, sha256: None }
    }
}

/// Files and folders. Names are relative; the root's is empty.
#[async_trait]
pub(crate) trait Tree: Clone + Send + Sync + 'static {
    /// Where it is, for people.
    fn location(&self) -> String;

    /// What folders are called that count as one object each.
    fn closed(&self) -> Option<Closed> {
        None
    }

    /// What is called `name`, if anything is.
    async fn entry(&self, name: &str) -> Result<Option<Entry>, StoreError>;

    /// What lies in `folder`; `None` where there is no such folder.
    async fn entries(&self, folder: &str) -> Result<Option<Vec<Entry>>, StoreError>;

    /// Removes the file `name`. One that is gone already is no error.
    async fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Gives a file another name, if that is free.
    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Makes `folder` in a folder that is there, if it is not there already.
    async fn make_folder(&self, folder: &str) -> Result<(), StoreError>;
}

/// `name` in `folder`.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

pub(crate) async fn stat(tree: &impl Tree, key: &Key) -> Result<ObjectMeta, StoreError> {
    match tree.entry(key.as_str()).await? {
        Some(entry) if !entry.is_folder => Ok(entry.meta(key.clone())),
        _ => Err(StoreError::new(
            StoreErrorKind::NotFound,
            format!("{}: {key} is not there", tree.location()),
        )),
    }
}

/// Makes room for `key`: its folders, and no object of its name.
pub(crate) async fn prepare(tree: &impl Tree, key: &Key) -> Result<(), StoreError> {
    if tree.entry(key.as_str()).await?.is_some() {
        return Err(taken(tree, key));
    }
    let (folder, _) = key.split();
    let folder = folder.unwrap_or_default();
    if tree.entry(folder).await?.is_some_and(|entry| entry.is_folder) {
        return Ok(());
    }
    tree.make_folder("").await?;
    let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
    for end in ends.filter(|end| *end > 0) {
        tree.make_folder(&folder[..end]).await?;
    }
    Ok(())
}

fn taken(tree: &impl Tree, key: &Key) -> StoreError {
    StoreError::new(
        StoreErrorKind::AlreadyExists,
        format!("{}: {key} is there already", tree.location()),
    )
}

/// Makes what was written to `partial` visible as `key`, if it is whole. What cannot be is removed.
pub(crate) async fn place(
    tree: &impl Tree,
    key: &Key,
    partial: &str,
    written: u64,
) -> Result<ObjectMeta, StoreError> {
    let placed = try_place(tree, key, partial, written).await;
    if placed.is_err() {
        // What failed is the news; what cannot be removed now is swept later.
        let _ = tree.remove(partial).await;
    }
    placed
}

async fn try_place(
    tree: &impl Tree,
    key: &Key,
    partial: &str,
    written: u64,
) -> Result<ObjectMeta, StoreError> {
    match tree.entry(partial).await? {
        Some(entry) if entry.size_bytes == written => {}
        Some(entry) => {
            let how = format!("has {} bytes there, {written} were sent", entry.size_bytes);
            return Err(StoreError::mismatch(key, &how));
        }
        None => return Err(lost(tree, key)),
    }
    if tree.entry(key.as_str()).await?.is_some() {
        return Err(taken(tree, key));
    }
    let renamed = tree.rename(partial, key.as_str()).await;
    let found = tree.entry(key.as_str()).await?;
    match (renamed, found) {
        (Ok(()), Some(entry)) if entry.size_bytes == written => Ok(entry.meta(key.clone())),
        (Ok(()), _) => Err(lost(tree, key)),
        // Its reply may be lost, and the renaming done.
        (Err(_), Some(entry))
            if entry.size_bytes == written && tree.entry(partial).await?.is_none() =>
        {
            Ok(entry.meta(key.clone()))
        }
        (Err(_), Some(_)) => Err(taken(tree, key)),
        (Err(error), None) => Err(lost_if_absent(tree, key, error)),
    }
}

/// An error during an upload: that what is being written is not found means that it was lost.
pub(crate) fn lost_if_absent(tree: &impl Tree, key: &Key, error: StoreError) -> StoreError {
    if error.is_not_found() { lost(tree, key) } else { error }
}

fn lost(tree: &impl Tree, key: &Key) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("{}: writing {key}: the server lost what was written", tree.location()),
    )
}

/// Every object under `prefix`, one folder after another.
pub(crate) async fn list<T: Tree>(tree: &T, prefix: &Prefix) -> Result<Listing, StoreError> {
    let first = folder(tree, prefix.as_str()).await?;
    let state = (tree.clone(), first, Vec::new());
    let found = stream::try_unfold(state, |(tree, mut here, mut folders)| async move {
        loop {
            if let Some(entry) = here.pop() {
                let kind = match closed::kind(tree.closed(), &entry.name) {
                    kind if entry.is_folder => kind,
                    _ => Folder::Object,
                };
                if kind == Folder::Open {
                    folders.push(entry.name);
                } else if kind == Folder::Object
                    && let Ok(key) = Key::new(&entry.name)
                {
                    return Ok(Some((entry.meta(key), (tree, here, folders))));
                }
            } else if let Some(next) = folders.pop() {
                // Gone meanwhile: it has nothing.
                here = tree.entries(&next).await?.unwrap_or_default();
            } else {
                return Ok(None);
            }
        }
    });
    Ok(found.boxed())
}

/// What lies in `name`. A folder that is not there has nothing, but the root must be there: one
/// that went away is an unmounted disk, not an empty destination.
async fn folder(tree: &impl Tree, name: &str) -> Result<Vec<Entry>, StoreError> {
    if let Some(found) = tree.entries(name).await? {
        return Ok(found);
    }
    if !name.is_empty() && tree.entry("").await?.is_some_and(|root| root.is_folder) {
        return Ok(Vec::new());
    }
    Err(StoreError::new(
        StoreErrorKind::NotFound,
        format!("{}: the destination's own folder is not there", tree.location()),
    ))
}

/// Removes exactly `key`, which is no folder.
pub(crate) async fn delete(tree: &impl Tree, key: &Key) -> Result<(), StoreError> {
    match tree.entry(key.as_str()).await? {
        Some(entry) if !entry.is_folder => tree.remove(key.as_str()).await,
        _ if tree.entry("").await?.is_some() => Ok(()),
        // Its absence counts only where the root itself is there.
        _ => folder(tree, "").await.map(drop),
    }
}

pub(crate) async fn abandon(tree: &impl Tree, key: &Key) -> Result<(), StoreError> {
    let (folder, finished) = key.split();
    for entry in tree.entries(folder.unwrap_or_default()).await?.unwrap_or_default() {
        if !entry.is_folder && finished_name(&entry.name) == Some(finished) {
            tree.remove(&entry.name).await?;
        }
    }
    Ok(())
}

pub(crate) async fn sweep(
    tree: &impl Tree,
    prefix: &Prefix,
    older_than: Duration,
    now: SystemTime,
) -> Result<Vec<Swept>, StoreError> {
    let mut swept = Vec::new();
    let mut folders = vec![prefix.as_str().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in tree.entries(&next).await?.unwrap_or_default() {
            let age = entry.modified_at.and_then(|at| now.duration_since(at).ok());
            if entry.is_folder {
                if closed::kind(tree.closed(), &entry.name) == Folder::Open {
                    folders.push(entry.name);
                }
            } else if is_partial(&entry.name) && age.is_some_and(|age| age >= older_than) {
                tree.remove(&entry.name).await?;
                swept.push(Swept { name: entry.name });
            }
        }
    }
    Ok(swept)
}
