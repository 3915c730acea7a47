//! Unpacks archives that nobody vouches for: everything is looked at before anything is written,
//! and what is written stays under one folder.

mod inspect;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use archive::{Limits, Options, Packing, Report, TarError, UnpackError};

const BLOCK: usize = 512;

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtractError {
    #[error("the archive was refused and nothing was written: `{entry}` {why}")]
    Hostile { entry: String, why: String },
    #[error("the archive holds {needed} bytes and {folder} has room for {room}: free some space")]
    TooLarge { needed: u64, room: u64, folder: String },
    #[error("{0} is there already: nothing is replaced")]
    There(String),
    #[error("it cannot be unpacked: {0}")]
    Unpack(#[from] UnpackError),
    #[error("it cannot be unpacked: {0}")]
    Io(#[from] io::Error),
}

impl ExtractError {
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Hostile { .. } | Self::TooLarge { .. } | Self::There(_) => true,
            Self::Unpack(error) => {
                matches!(error, UnpackError::Refused { .. } | UnpackError::TooMuch(_))
            }
            Self::Io(_) => false,
        }
    }

    fn hostile(entry: &Path, why: impl Into<String>) -> Self {
        let entry = entry.display().to_string().replace(|c: char| c.is_control(), "\u{fffd}");
        Self::Hostile { entry, why: why.into() }
    }
}

impl From<TarError> for ExtractError {
    fn from(error: TarError) -> Self {
        UnpackError::from(error).into()
    }
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

/// The bytes of a file, until somebody says stop.
struct Source {
    file: File,
    stop: Stop,
}

impl Source {
    fn open(path: &Path, stop: &Stop) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, stop: stop.clone() })
    }

    /// Unpacked, whatever it is compressed with.
    fn plain(path: &Path, stop: &Stop) -> io::Result<Box<dyn Read + Send>> {
        let mut first = Vec::with_capacity(6);
        File::open(path)?.take(6).read_to_end(&mut first)?;
        let file = io::BufReader::with_capacity(256 << 10, Self::open(path, stop)?);
        Packing::of(&first).open(file, None)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_set() {
            // Not `Interrupted`: that would be tried again.
            return Err(io::Error::other("interrupted"));
        }
        self.file.read(buffer)
    }
}

fn is_tar(path: &Path) -> io::Result<bool> {
    let mut block = [0; BLOCK];
    // What does not even unpack is no archive; its bytes are proven already.
    let read = Source::plain(path, &Stop::default())?.read_exact(&mut block);
    Ok(read.is_ok() && archive::is_header(&block))
}

/// Unpacks the archive at `file` into `folder` and tells what came of it; `None` where it is no
/// archive.
pub(super) fn extract(
    file: &Path,
    folder: &Path,
    stop: &Stop,
) -> Result<Option<Report>, ExtractError> {
    if !is_tar(file)? {
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
    let options = Options {
        // There is room for it, however well it was compressed.
        limits: Limits { ratio: None, ..Limits::default() },
        privileges: nix::unistd::geteuid().is_root(),
        ..Options::default()
    };
    let from = Source::open(file, stop)?;
    let report = archive::unpack(from, staging.path(), options, &mut |_| !stop.is_set())?;
    for name in &found.top {
        let from = staging.path().join(name);
        if from.symlink_metadata().is_ok() {
            std::fs::rename(from, folder.join(name))?;
        }
    }
    Ok(Some(report))
}

/// Bytes that may still be written at `folder`.
fn room(folder: &Path) -> Result<u64, ExtractError> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(io::Error::from)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// What an archive would write.
#[derive(Debug, Default)]
struct Found {
    bytes: u64,
    /// First parts of its paths.
    top: std::collections::BTreeSet<PathBuf>,
}

#[cfg(test)]
mod tests;
