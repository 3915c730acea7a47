//! What is in a file, exactly as long as it was when it was opened.

use std::{
    ffi::OsString,
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
use xattr::FileExt as _;

use crate::Bounds;

/// How much is read at once, in bytes.
const BLOCK: usize = 256 << 10;
/// How much of a file is read before its turn, in bytes.
pub(crate) const AHEAD: u64 = 128 << 10;

/// An open file. What it loses meanwhile is filled with zeros, what it gains is left out, so
/// that the archive stays valid.
#[derive(Debug)]
pub struct Content {
    /// `None` when all of it has been read.
    file: Option<File>,
    /// What it was when it was opened.
    pub meta: Metadata,
    is_short: bool,
    block: Vec<u8>,
    /// Its first bytes, where they were read before their turn.
    ahead: Vec<u8>,
    /// Extended attributes, where they were read before their turn.
    extended: Option<io::Result<Extended>>,
    /// What was found out before the file was closed.
    parts: Option<Vec<Range<u64>>>,
    changed: Option<&'static str>,
}

/// Names of extended attributes with their values.
pub(crate) type Extended = Vec<(OsString, Vec<u8>)>;

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
        Ok(meta.is_file().then_some(Self {
            file: Some(file),
            meta,
            is_short: false,
            block: Vec::new(),
            ahead: Vec::new(),
            extended: None,
            parts: None,
            changed: None,
        }))
    }

    /// Reads now what is asked for later: extended attributes, and the beginning of the file or
    /// all of it. A file that is whole in memory is closed.
    pub(crate) fn read_ahead(&mut self) -> io::Result<()> {
        self.extended = Some(self.extended_now());
        let length = self.meta.len();
        if length > AHEAD && self.meta.blocks() * 512 < length {
            return Ok(());
        }
        let mut ahead = vec![0; usize::try_from(length.min(AHEAD)).unwrap_or(0)];
        let mut at = 0;
        while at < ahead.len() && !self.is_short {
            let count = self.read(&mut ahead[at..], at as u64)?;
            self.is_short = count == 0;
            at += count;
        }
        self.ahead = ahead;
        if length <= AHEAD {
            self.parts = self.data();
            self.changed = self.changed();
            self.file = None;
        }
        Ok(())
    }

    /// Its extended attributes.
    pub(crate) fn extended(&mut self) -> io::Result<Extended> {
        self.extended.take().unwrap_or_else(|| self.extended_now())
    }

    fn extended_now(&self) -> io::Result<Extended> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let names = match file.list_xattr() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
            names => names?,
        };
        let mut all = Vec::new();
        for name in names {
            // `None`: removed meanwhile.
            if let Some(value) = file.get_xattr(&name)? {
                all.push((name, value));
            }
        }
        Ok(all)
    }

    fn read(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        loop {
            match file.read_at(to, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Where data is; `None` where there is no hole, or nobody knows.
    pub fn data(&self) -> Option<Vec<Range<u64>>> {
        let length = self.meta.len();
        let Some(file) = &self.file else { return self.parts.clone() };
        if self.meta.blocks() * 512 >= length {
            return None;
        }
        let mut found = Vec::new();
        let mut at = 0;
        while at < length {
            let first = match lseek(file, i64::try_from(at).ok()?, Whence::SeekData) {
                Ok(first) => u64::try_from(first).ok()?.min(length),
                Err(Errno::ENXIO) => break,
                Err(_) => return None,
            };
            let end = match lseek(file, i64::try_from(first).ok()?, Whence::SeekHole) {
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
        let ready = usize::try_from(at).ok().and_then(|first| self.ahead.get(first..));
        if let Some(ready) = ready.filter(|ready| !ready.is_empty()) {
            let wanted = usize::try_from(part.end - at).unwrap_or(usize::MAX);
            let ready = &ready[..wanted.min(ready.len())];
            to.write_all(ready)?;
            at += ready.len() as u64;
        }
        while at < part.end {
            let left = usize::try_from(part.end - at).unwrap_or(usize::MAX);
            let room = left.min(BLOCK);
            let mut block = std::mem::take(&mut self.block);
            block.resize(room.max(block.len()), 0);
            let count = if self.is_short { 0 } else { self.read(&mut block[..room], at)? };
            let count = if count == 0 {
                self.is_short = true;
                block[..room].fill(0);
                room
            } else {
                count
            };
            to.write_all(&block[..count])?;
            self.block = block;
            at += count as u64;
        }
        Ok(())
    }

    /// What happened to it while it was read.
    pub fn changed(&self) -> Option<&'static str> {
        let Some(file) = &self.file else { return self.changed };
        let now = file.metadata().ok()?;
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
