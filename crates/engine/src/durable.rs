//! Files and folders that a power loss leaves: a name is on the disk once its folder is synced.

use std::{fs, io, path::Path};

/// Brings a file's content, or the names in a folder, to the disk.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Brings the name of `path` to the disk.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => sync(Path::new(".")),
        Some(above) => sync(above),
        None => Ok(()),
    }
}

/// Makes `folder` and all above it that are missing, for good.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    let above = folder.ancestors().take_while(|path| !path.as_os_str().is_empty());
    let missing: Vec<_> = above.take_while(|path| !path.exists()).collect();
    fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(sync_name)
}

/// Gives the whole file `from` the name `to`.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_name(to)
}
