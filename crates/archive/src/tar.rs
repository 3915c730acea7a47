//! tar: GNU headers, with PAX records for what those cannot hold.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{self, Write},
    ops::Range,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::PathBuf,
};

use nix::sys::stat::{major, minor};
use tar::{Builder, EntryType, GnuExtSparseHeader, Header};

use crate::{Format, Item, Warnings, content::Extended, names};

const BLOCK: usize = 512;

/// Writes a tar.
pub struct Tar<W: Write> {
    builder: Builder<W>,
    /// Files with several names: the first, and how many are still to come.
    links: HashMap<(u64, u64), (PathBuf, u64)>,
    keeps_devices: bool,
}

impl<W: Write> Tar<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { builder: Builder::new(to), links: HashMap::new(), keeps_devices: false }
    }

    /// Keeps devices as well, which are left out otherwise.
    pub fn keeping_devices(mut self) -> Self {
        self.keeps_devices = true;
        self
    }

    /// Where the archive goes.
    pub fn inner(&self) -> &W {
        self.builder.get_ref()
    }

    /// Writes its end.
    pub fn finish(self) -> io::Result<W> {
        self.builder.into_inner()
    }

    fn file(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        let identity = (item.meta.dev(), item.meta.ino());
        if let Some(first) = self.first_name(identity) {
            let mut header = header_of(item, EntryType::Link);
            self.link_name(&mut header, first.as_os_str())?;
            return self.head(&mut header, item);
        }
        let Some(mut content) = item.open()? else {
            warnings.push(&item.path, "it is no longer a file; left out");
            return Ok(());
        };
        let records = records(item, content.extended()?, warnings);
        self.pax(&records)?;
        let length = content.meta.len();
        let mut header = header_of(item, EntryType::Regular);
        header.set_size(length);
        let whole = 0..length;
        let (parts, size) = match content.data() {
            None => {
                self.head(&mut header, item)?;
                (vec![whole], length)
            }
            Some(data) => {
                let size = data.iter().map(|part| part.end - part.start).sum();
                self.sparse_head(&mut header, item, &data, size)?;
                (data, size)
            }
        };
        for part in parts {
            content.copy(part, self.builder.get_mut())?;
        }
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        self.builder.get_mut().write_all(&[0; BLOCK][..padding])?;
        if let Some(what) = content.changed() {
            warnings.push(&item.path, what);
        }
        if content.meta.nlink() > 1 {
            let identity = (content.meta.dev(), content.meta.ino());
            self.links.insert(identity, (item.name.clone(), content.meta.nlink() - 1));
        }
        Ok(())
    }

    /// The name under which the archive has a file already. Forgotten with the last of its names:
    /// a tree of hard links takes no memory for what is behind.
    fn first_name(&mut self, identity: (u64, u64)) -> Option<PathBuf> {
        let (first, to_come) = self.links.get_mut(&identity)?;
        *to_come -= 1;
        if *to_come > 0 {
            return Some(first.clone());
        }
        self.links.remove(&identity).map(|(first, _)| first)
    }

    /// A file with holes, as GNU tar has long written it: where data is, then the data.
    fn sparse_head(
        &mut self,
        header: &mut Header,
        item: &Item,
        data: &[Range<u64>],
        size: u64,
    ) -> io::Result<()> {
        let length = header.size()?;
        let mut parts = data.to_vec();
        if data.last().is_none_or(|last| last.end < length) {
            // A hole at the end ends with nothing.
            parts.push(length..length);
        }
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(size);
        let gnu = header.as_gnu_mut().ok_or(io::ErrorKind::InvalidInput)?;
        gnu.set_real_size(length);
        let (here, mut rest) = parts.split_at(parts.len().min(gnu.sparse.len()));
        for (slot, part) in gnu.sparse.iter_mut().zip(here) {
            slot.set_offset(part.start);
            slot.set_length(part.end - part.start);
        }
        gnu.set_is_extended(!rest.is_empty());
        self.head(header, item)?;
        while !rest.is_empty() {
            let mut more = GnuExtSparseHeader::new();
            let (here, later) = rest.split_at(rest.len().min(more.sparse.len()));
            for (slot, part) in more.sparse.iter_mut().zip(here) {
                slot.set_offset(part.start);
                slot.set_length(part.end - part.start);
            }
            more.set_is_extended(!later.is_empty());
            self.builder.get_mut().write_all(more.as_bytes())?;
            rest = later;
        }
        Ok(())
    }

    fn pax(&mut self, records: &[(String, Vec<u8>)]) -> io::Result<()> {
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(records)
    }

    fn head(&mut self, header: &mut Header, item: &Item) -> io::Result<()> {
        names::append_header(&mut self.builder, header, item.name.as_os_str().as_bytes())
    }

    fn link_name(&mut self, header: &mut Header, target: &OsStr) -> io::Result<()> {
        names::link_to(&mut self.builder, header, target.as_bytes())
    }
}

impl<W: Write> Format for Tar<W> {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        let kind = item.meta.file_type();
        if kind.is_file() {
            return self.file(item, warnings);
        }
        let kind = if kind.is_dir() {
            EntryType::Directory
        } else if kind.is_symlink() {
            EntryType::Symlink
        } else if kind.is_fifo() {
            EntryType::Fifo
        } else if self.keeps_devices && kind.is_block_device() {
            EntryType::Block
        } else if self.keeps_devices && kind.is_char_device() {
            EntryType::Char
        } else {
            let what = if kind.is_socket() { "a socket; left out" } else { "a device; left out" };
            warnings.push(&item.path, what);
            return Ok(());
        };
        let target = match kind {
            EntryType::Symlink => Some(std::fs::read_link(&item.path)?),
            _ => None,
        };
        let records = records(item, extended(item)?, warnings);
        self.pax(&records)?;
        let mut header = header_of(item, kind);
        if let Some(target) = target {
            self.link_name(&mut header, target.as_os_str())?;
        }
        if matches!(kind, EntryType::Block | EntryType::Char) {
            let number = item.meta.rdev();
            let part = |part: u64| u32::try_from(part).map_err(io::Error::other);
            header.set_device_major(part(major(number))?)?;
            header.set_device_minor(part(minor(number))?)?;
        }
        self.head(&mut header, item)
    }
}

/// The extended attributes of what is no plain file.
fn extended(item: &Item) -> io::Result<Extended> {
    let path = &item.path;
    let is_followed = item.follow && !item.meta.is_symlink();
    let names = if is_followed { xattr::list_deref(path) } else { xattr::list(path) };
    let names = match names {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        names => names?,
    };
    let mut all = Vec::new();
    for name in names {
        let value =
            if is_followed { xattr::get_deref(path, &name) } else { xattr::get(path, &name) };
        // `None`: removed meanwhile.
        if let Some(value) = value? {
            all.push((name, value));
        }
    }
    Ok(all)
}

/// What a header cannot hold: the whole time, and extended attributes.
fn records(item: &Item, extended: Extended, warnings: &mut Warnings) -> Vec<(String, Vec<u8>)> {
    let mut records = Vec::new();
    let (secs, nanos) = (item.meta.mtime(), item.meta.mtime_nsec());
    if let Some(time) = fractional(secs, nanos) {
        records.push(("mtime".to_owned(), time.into_bytes()));
    }
    for (name, value) in extended {
        let Some(key) = name.to_str() else {
            let what = "an extended attribute whose name is no text is left out";
            warnings.push(&item.path, what);
            continue;
        };
        records.push((attribute_key(key), value));
    }
    records
}

/// The key of an extended attribute's record, as GNU tar has it: a key ends at the first `=`.
pub(crate) fn attribute_key(name: &str) -> String {
    format!("SCHILY.xattr.{}", name.replace('%', "%25").replace('=', "%3D"))
}

/// A time that no header can hold; `None` for one that it can.
pub(crate) fn fractional(secs: i64, nanos: i64) -> Option<String> {
    (nanos != 0 || secs < 0).then(|| decimal(secs, nanos))
}

/// Owners are numbers: the names of this machine are not those of the one that restores.
fn header_of(item: &Item, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(item.meta.mode() & 0o7777);
    header.set_uid(item.meta.uid().into());
    header.set_gid(item.meta.gid().into());
    header.set_mtime(u64::try_from(item.meta.mtime()).unwrap_or_default());
    header
}

/// Seconds with their fraction; before 1970, both count down.
fn decimal(secs: i64, nanos: i64) -> String {
    if secs < 0 && nanos > 0 {
        return format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos);
    }
    format!("{secs}.{nanos:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimal() {
        assert_eq!(decimal(5, 1), "5.000000001");
        assert_eq!(decimal(-1, 750_000_000), "-0.250000000");
        assert_eq!(decimal(-2, 0), "-2.000000000");
    }
}
