//! Unpacks archives that nobody vouches for: everything is looked at before anything is written,
//! and what is written stays under one folder.

mod archive;
mod inspect;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtractError {
    #[error("the archive was refused and nothing was written: `{entry}` {why}")]
    Hostile { entry: String, why: &'static str },
    #[error("the archive holds {needed} bytes and {folder} has room for {room}: free some space")]
    TooLarge { needed: u64, room: u64, folder: String },
    #[error("{0} is there already: nothing is replaced")]
    There(String),
    #[error("it cannot be unpacked: {}", chain(.0))]
    Io(#[from] io::Error),
}

impl ExtractError {
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io(_))
    }

    fn hostile(entry: &Path, why: &'static str) -> Self {
        let entry = entry.display().to_string().replace(|c: char| c.is_control(), "\u{fffd}");
        Self::Hostile { entry, why }
    }
}

/// An error with what it came from: `tar` tells only where.
fn chain(error: &io::Error) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

/// Ends an unpacking from outside.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

/// Ends the unpacking when it goes.
pub(super) struct StopOnDrop(Stop);

impl Stop {
    pub(super) fn guard(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Unpacks the archive at `file` into `folder` and gives the number of its entries; `None` where
/// it is no archive.
pub(super) fn extract(
    file: &Path,
    folder: &Path,
    stop: &Stop,
) -> Result<Option<u64>, ExtractError> {
    if !archive::is_tar(file)? {
        return Ok(None);
    }
    let found = inspect::inspect(file, stop)?;
    std::fs::create_dir_all(folder)?;
    let room = room(folder)?;
    if found.bytes > room {
        let folder = folder.display().to_string();
        return Err(ExtractError::TooLarge { needed: found.bytes, room, folder });
    }
    for name in &found.top {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(ExtractError::There(path.display().to_string()));
        }
    }
    // Into a folder of its own first: what lies in `folder` cannot lead astray.
    let staging = tempfile::Builder::new().prefix(".restoring-").tempdir_in(folder)?;
    let mut tar = archive::open(file, stop)?;
    let is_root = nix::unistd::geteuid().is_root();
    // As tar does: owners, modes and attributes are kept where we may set them.
    tar.set_preserve_permissions(is_root);
    tar.set_preserve_ownerships(is_root && !found.has_nameless);
    tar.set_unpack_xattrs(is_root);
    tar.unpack(staging.path())?;
    for name in &found.top {
        let from = staging.path().join(name);
        if from.symlink_metadata().is_ok() {
            std::fs::rename(from, folder.join(name))?;
        }
    }
    Ok(Some(found.entries))
}

/// Bytes that may still be written at `folder`.
fn room(folder: &Path) -> Result<u64, ExtractError> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(io::Error::from)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// What an archive would write.
#[derive(Debug, Default)]
struct Found {
    entries: u64,
    bytes: u64,
    /// Some entry does not say whose it is.
    has_nameless: bool,
    /// First parts of its paths.
    top: std::collections::BTreeSet<PathBuf>,
}

#[cfg(test)]
mod tests;
