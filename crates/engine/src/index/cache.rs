//! The folder of indexes: bounded, and each made once however many ask.

use std::{
    collections::HashMap,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{Index, IndexError, Making};

/// Bytes that all indexes together may take; the ones unused for longest go first.
const MAX_BYTES: u64 = 2 << 30;
const SUFFIX: &str = ".index";
/// What is being made ends in this instead.
const PARTIAL: &str = "partial";

/// The folder of indexes.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// One at a time: making one reads a whole artifact.
    making: tokio::sync::Mutex<()>,
    /// Those that are being made, and those that could not be until somebody was told.
    under_way: Mutex<HashMap<PathBuf, Arc<Making>>>,
}

impl Cache {
    /// The one that belongs to a spool.
    pub(crate) fn beside(spool: &Path) -> Self {
        let mut name = spool.file_name().unwrap_or_default().to_owned();
        name.push("-index");
        Self {
            folder: spool.with_file_name(name),
            making: tokio::sync::Mutex::new(()),
            under_way: Mutex::default(),
        }
    }

    /// Those that are being made.
    pub(crate) fn under_way(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Making>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it may make one.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// Where the index of a snapshot's artifact is.
    pub(crate) fn path(&self, snapshot: &str, source: &str) -> PathBuf {
        self.folder.join(format!("{snapshot}.{source}{SUFFIX}"))
    }

    /// The index at `path`, if it is there. It counts as used `now`.
    pub(crate) fn open(path: &Path, now: SystemTime) -> Option<Index> {
        if !path.exists() {
            return None;
        }
        // One that cannot be read is made anew.
        let index = Index::open(path).ok().flatten();
        match &index {
            Some(_) => {
                let touched = std::fs::File::open(path).and_then(|file| file.set_modified(now));
                drop(touched);
            }
            None => drop(std::fs::remove_file(path)),
        }
        index
    }

    /// Makes the index at `path` as `make` makes it.
    pub(crate) fn make(
        path: &Path,
        make: impl FnOnce(&Path) -> Result<(), IndexError>,
    ) -> Result<Option<Index>, IndexError> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let partial = path.with_extension(PARTIAL);
        drop(std::fs::remove_file(&partial));
        if let Err(error) = make(&partial) {
            drop(std::fs::remove_file(&partial));
            return Err(error);
        }
        std::fs::rename(&partial, path)?;
        Index::open(path)
    }

    /// The snapshots that have an index.
    pub(crate) fn snapshots(&self) -> Vec<(String, PathBuf)> {
        let Ok(held) = self.folder.read_dir() else { return Vec::new() };
        let names = held.flatten().map(|entry| entry.path());
        names
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?;
                let snapshot = name.strip_suffix(SUFFIX)?.split_once('.')?.0;
                Some((snapshot.to_owned(), path.clone()))
            })
            .collect()
    }

    /// Removes what a crash left half made, and the ones unused for longest where all are too
    /// large. Nothing may be in the making.
    pub(crate) fn bound(&self) {
        for entry in self.folder.read_dir().into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == PARTIAL) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
        let mut all: Vec<_> = self
            .snapshots()
            .into_iter()
            .filter_map(|(_, path)| {
                let meta = path.metadata().ok()?;
                Some((meta.modified().ok()?, meta.len(), path))
            })
            .collect();
        all.sort();
        let mut sum: u64 = all.iter().map(|(_, length, _)| length).sum();
        // The one that was just made stays, however large: somebody waits for it.
        all.pop();
        for (_, length, path) in all {
            if sum <= MAX_BYTES {
                return;
            }
            if std::fs::remove_file(path).is_ok() {
                sum -= length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        time::Duration,
    };

    use super::*;

    #[test]
    fn what_is_unused_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::beside(&folder.path().join("spool"));
        fs::create_dir_all(&cache.folder).unwrap();
        let put = |snapshot: &str, length: u64, used: u64| {
            let file = File::create(cache.path(snapshot, "db")).unwrap();
            file.set_len(length).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(used)).unwrap();
        };
        let held = || {
            let mut held: Vec<_> = cache.snapshots().into_iter().map(|(held, _)| held).collect();
            held.sort();
            held
        };
        put("a", MAX_BYTES / 2, 30);
        put("b", MAX_BYTES / 2, 10);
        cache.bound();
        assert_eq!(held(), ["a", "b"]);
        fs::write(cache.folder.join("c.db.partial"), "").unwrap();
        put("c", 1, 20);
        cache.bound();
        assert_eq!(held(), ["a", "c"]);
        put("d", MAX_BYTES * 2, 40);
        cache.bound();
        assert_eq!(held(), ["d"]);
        assert!(!cache.folder.join("c.db.partial").exists());
    }

    #[test]
    fn what_is_no_index_is_not_opened_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.index");
        fs::write(&path, "rubbish").unwrap();
        assert!(Cache::open(&path, SystemTime::UNIX_EPOCH).is_none());
        assert!(!path.exists());
    }
}
