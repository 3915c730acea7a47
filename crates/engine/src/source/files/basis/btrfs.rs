//! Btrfs: a read-only snapshot inside the subvolume itself, which is on the same file system
//! wherever it is mounted.

use std::{
    ffi::OsStr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use model::{Duty, Fact, Failure};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, statfs};

use super::{PREFIX, Volume, failed, told, unfit};
use crate::{Engine, doctor::said, duty::Owed, run::RunContext};

/// The inode of every subvolume's top.
const TOP: u64 = 256;

/// The subvolume that `real` lies in.
pub(super) fn volume(real: &Path) -> Result<Volume, Failure> {
    let looked =
        |error: &dyn std::fmt::Display| failed(said(format!("{}: {error}", real.display())));
    let kind = statfs(real).map_err(|error| looked(&error))?.filesystem_type();
    if kind != BTRFS_SUPER_MAGIC {
        return Err(unfit(Fact::NotOnBtrfs { path: real.display().to_string() }));
    }
    let device = real.symlink_metadata().map_err(|error| looked(&error))?.dev();
    for top in real.ancestors() {
        let meta = top.symlink_metadata().map_err(|error| looked(&error))?;
        if meta.dev() != device {
            break;
        }
        if meta.ino() == TOP {
            let id = top.to_string_lossy().into_owned();
            return Ok(Volume { top: top.to_owned(), id, within: PathBuf::new() });
        }
    }
    Err(unfit(Fact::SubvolumeHidden { path: real.display().to_string() }))
}

/// Takes the snapshot; gives where it is.
pub(super) async fn take(
    context: &RunContext,
    volume: &Volume,
    name: &str,
) -> Result<(PathBuf, Owed), Failure> {
    // Hidden, and known to every walk as none of what is protected.
    let place = volume.top.join(format!(".{name}"));
    let owed = context.owe(Duty::DeleteSubvolume { path: place.clone() }).await?;
    let words = ["subvolume", "snapshot", "-r", "--"].map(OsStr::new);
    let args = [&words[..], &[volume.top.as_os_str(), place.as_os_str()]].concat();
    told(&context.engine, "btrfs", &args).await?;
    Ok((place, owed))
}

/// Deletes the snapshot at `path`, and nothing that is no snapshot of ours.
pub(super) async fn remove(engine: &Engine, path: &Path) -> Result<(), Failure> {
    let meta = match tokio::fs::symlink_metadata(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(|error| failed(format!("{}: {error}", path.display())))?,
    };
    let is_named = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(&format!(".{PREFIX}")));
    if !is_named || !meta.is_dir() || meta.ino() != TOP {
        return Err(failed(format!("{} is no snapshot of ours", path.display())));
    }
    let words = ["subvolume", "delete", "--"].map(OsStr::new);
    told(engine, "btrfs", &[&words[..], &[path.as_os_str()]].concat()).await.map(drop)
}
