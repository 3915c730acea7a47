//! Folders made for objects: the name of a new one is on the disk once the folder above is synced.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Folders whose names a power loss may still take away. All clones are one: who finds a folder
/// there that another has just made has to wait for its name as well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folders(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Folders {
    fn unsure(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `folder` and all above it that are missing.
    pub(crate) fn make(&self, folder: &Path) -> io::Result<()> {
        let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty());
        let missing = missing.take_while(|path| !path.exists()).map(Path::to_owned);
        self.unsure().extend(missing);
        fs::create_dir_all(folder)
    }

    /// Sees to it that `folder` itself cannot get lost, nor what is above it.
    pub(crate) fn settle(&self, folder: &Path) -> io::Result<()> {
        for path in folder.ancestors() {
            if !self.unsure().contains(path) {
                continue;
            }
            match sync_above(path) {
                // Removed as an empty one, and so no folder of anything.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced?,
            }
            self.unsure().remove(path);
        }
        Ok(())
    }
}

/// Brings the name of `path` to the disk, or that it has none any more.
pub(crate) fn sync_above(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_settled_once_and_by_whoever_needs_it() {
        let root = tempfile::tempdir().unwrap();
        let folders = Folders::default();
        let (one, other) = (root.path().join("a/b/c"), root.path().join("a/d"));
        folders.make(&one).unwrap();
        folders.make(&other).unwrap();
        assert_eq!(folders.unsure().len(), 4);
        folders.clone().settle(&other).unwrap();
        let left: Vec<_> = folders.unsure().iter().cloned().collect();
        assert_eq!(left, [root.path().join("a/b"), one.clone()]);
        fs::remove_dir_all(root.path().join("a")).unwrap();
        folders.settle(&one).unwrap();
        assert!(folders.unsure().is_empty());
    }
}
