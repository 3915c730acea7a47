//! What is in a file, exactly as long as it was when it was opened.

use std::{
    fs::{File, Metadata},
    io::{self, Write},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    unistd::{Whence, lseek},
};

use crate::Bounds;

/// How much is read at once, in bytes.
const BLOCK: usize = 256 << 10;

/// An open file. What it loses meanwhile is filled with zeros, what it gains is left out, so
/// that the archive stays valid.
#[derive(Debug)]
pub struct Content {
    file: File,
    /// What it was when it was opened.
    pub meta: Metadata,
    is_short: bool,
    block: Vec<u8>,
}

impl Content {
    /// `None` where it is no longer a plain file.
    pub(crate) fn open(
        path: &Path,
        follow: bool,
        bounds: Option<&Bounds>,
    ) -> io::Result<Option<Self>> {
        // A FIFO that has taken the name meanwhile would wait for a writer.
        let mut flags = OFlag::O_NONBLOCK;
        if !follow {
            flags |= OFlag::O_NOFOLLOW;
        }
        let file = match File::options().read(true).custom_flags(flags.bits()).open(path) {
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => return Ok(None),
            file => file?,
        };
        if let Some(bounds) = bounds {
            bounds.check(&file)?;
        }
        let meta = file.metadata()?;
        let block = vec![0; usize::try_from(meta.len()).unwrap_or(BLOCK).clamp(1, BLOCK)];
        Ok(meta.is_file().then_some(Self { file, meta, is_short: false, block }))
    }

    /// Where data is; `None` where there is no hole, or nobody knows.
    pub fn data(&self) -> Option<Vec<Range<u64>>> {
        let length = self.meta.len();
        if self.meta.blocks() * 512 >= length {
            return None;
        }
        let mut found = Vec::new();
        let mut at = 0;
        while at < length {
            let first = match lseek(&self.file, i64::try_from(at).ok()?, Whence::SeekData) {
                Ok(first) => u64::try_from(first).ok()?.min(length),
                Err(Errno::ENXIO) => break,
                Err(_) => return None,
            };
            let end = match lseek(&self.file, i64::try_from(first).ok()?, Whence::SeekHole) {
                Ok(end) => u64::try_from(end).ok()?.min(length),
                // Cut off meanwhile.
                Err(Errno::ENXIO) => break,
                Err(_) => return None,
            };
            if first < end {
                found.push(first..end);
            }
            at = end.max(at + 1);
        }
        let is_whole = found.first() == Some(&(0..length));
        (!is_whole).then_some(found)
    }

    /// Writes a part of it.
    pub fn copy(&mut self, part: Range<u64>, to: &mut dyn Write) -> io::Result<()> {
        let mut at = part.start;
        while at < part.end {
            let left = usize::try_from(part.end - at).unwrap_or(usize::MAX);
            let room = left.min(self.block.len());
            let read =
                if self.is_short { Ok(0) } else { self.file.read_at(&mut self.block[..room], at) };
            let count = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let count = if count == 0 {
                self.is_short = true;
                self.block[..room].fill(0);
                room
            } else {
                count
            };
            to.write_all(&self.block[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    /// What happened to it while it was read.
    pub fn changed(&self) -> Option<&'static str> {
        let now = self.file.metadata().ok()?;
        let times = |meta: &Metadata| (meta.mtime(), meta.mtime_nsec());
        if self.is_short || now.len() < self.meta.len() {
            Some("it shrank while it was read; what was lost is zeros")
        } else if now.len() > self.meta.len() {
            Some("it grew while it was read; what was added is left out")
        } else if times(&now) != times(&self.meta) {
            Some("it changed while it was read; old and new may be mixed")
        } else {
            None
        }
    }
}
