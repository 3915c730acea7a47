//! Zip: listed by its central directory, and read member by member.

use std::{
    io::{self, Read, Seek, Write},
    path::Path,
};

use archive::parts_of;
use zip::ZipArchive;

use super::{ArchiveEntry, EntryKind, Index, IndexError, Place, entries::split, make::text};

/// How an index says that its archive is a zip. Places are numbers of members then.
pub(crate) const PACKING: &str = "zip";
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
/// Permissions alone.
const RIGHTS: u32 = 0o7777;

/// Makes the index of the zip that `from` is, as a new file. Only the directory at its end is
/// read. Blocks.
pub(crate) fn make(from: impl Read + Seek, path: &Path) -> Result<(), IndexError> {
    let zip = ZipArchive::new(from).map_err(io::Error::other)?;
    let index = Index::create(path)?;
    for number in 0..zip.len() {
        let member = zip.by_index_data(number).map_err(io::Error::other)?;
        // What may not be unpacked is not offered either.
        let Ok(parts) = parts_of(member.name_raw()) else { continue };
        let path = text(&parts.join(&b'/'));
        if path.is_empty() {
            continue;
        }
        let mode = member.unix_mode();
        let kind = if member.name_raw().ends_with(b"/") || member.is_dir() {
            EntryKind::Folder
        } else if mode.is_some_and(|mode| mode & KIND == LINK) {
            EntryKind::Symlink
        } else if member.encrypted() {
            EntryKind::Other
        } else {
            EntryKind::File
        };
        let (folder, name) = split(&path);
        let entry = ArchiveEntry {
            name: name.to_owned(),
            kind,
            size_bytes: member.size(),
            mode: mode.unwrap_or_default() & RIGHTS,
            uid: 0,
            gid: 0,
            modified_at: member.last_modified().map_or(0, modified_at),
            link: None,
            path: path.clone(),
        };
        let folder = index.folder(folder)?;
        let place = number as u64;
        index.add(folder, &entry, &(place..place + 1))?;
    }
    index.folder("")?;
    index.finish(PACKING)
}

/// A time of DOS, which has no zone, taken for UTC.
fn modified_at(dos: zip::DateTime) -> i64 {
    let small = |number: u8| i8::try_from(number).unwrap_or_default();
    let civil = jiff::civil::DateTime::new(
        i16::try_from(dos.year()).unwrap_or_default(),
        small(dos.month()),
        small(dos.day()),
        small(dos.hour()),
        small(dos.minute()),
        small(dos.second()),
        0,
    );
    let at = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC));
    at.map_or(0, |at| at.timestamp().as_second())
}

/// The content of the member of that number.
pub(crate) fn file(from: impl Read + Seek, number: u64, to: &mut impl Write) -> io::Result<()> {
    let mut zip = ZipArchive::new(from).map_err(io::Error::other)?;
    let mut member = zip.by_index(position(number)?).map_err(io::Error::other)?;
    io::copy(&mut member, to).map(drop)
}

/// The members of these numbers as a tar.
pub(crate) fn folder(
    from: impl Read + Seek,
    places: &[Place],
    to: &mut impl Write,
) -> io::Result<()> {
    let mut zip = ZipArchive::new(from).map_err(io::Error::other)?;
    let mut tar = tar::Builder::new(to);
    for number in places.iter().flat_map(Clone::clone) {
        let member = zip.by_index(position(number)?).map_err(io::Error::other)?;
        let name = parts_of(member.name_raw()).map_err(io::Error::other)?.join(&b'/');
        let mode = member.unix_mode();
        let is_folder = member.is_dir();
        if mode.is_some_and(|mode| mode & KIND == LINK) {
            continue;
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode.map_or(if is_folder { 0o755 } else { 0o644 }, |m| m & RIGHTS));
        header.set_mtime(
            member.last_modified().map_or(0, modified_at).try_into().unwrap_or_default(),
        );
        header.set_size(if is_folder { 0 } else { member.size() });
        header.set_entry_type(if is_folder {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        let path: &Path =
            Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&name));
        if is_folder {
            tar.append_data(&mut header, path, io::empty())?;
        } else {
            tar.append_data(&mut header, path, member)?;
        }
    }
    tar.finish()
}

fn position(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        io::{Cursor, SeekFrom},
        rc::Rc,
    };

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// Counts what is read.
    struct Watched(Cursor<Vec<u8>>, Rc<Cell<u64>>);

    impl Read for Watched {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1.set(self.1.get() + count as u64);
            Ok(count)
        }
    }

    impl Seek for Watched {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    fn zipped() -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().unix_permissions(0o640);
        for name in ["a/deep/large", "a/small", "top", "../out"] {
            zip.start_file(name, options.compression_method(zip::CompressionMethod::Stored))
                .unwrap();
            let size = if name.ends_with("large") { 4 << 20 } else { 3 };
            zip.write_all(&vec![7; size]).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_zip_is_listed_without_reading_its_members() {
        let bytes = zipped();
        let read = Rc::new(Cell::new(0));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        make(Watched(Cursor::new(bytes.clone()), Rc::clone(&read)), &path).unwrap();
        assert!(read.get() < 256 << 10, "{} bytes of {} were read", read.get(), bytes.len());
        let index = Index::open(&path).unwrap().unwrap();
        let top = index.list("", None, 10).unwrap().unwrap();
        let names: Vec<_> = top.entries.iter().map(|one| (&*one.name, one.kind)).collect();
        assert_eq!(names, [("a", EntryKind::Folder), ("top", EntryKind::File)]);
        let (entry, place) = index.find("a/deep/large").unwrap().unwrap();
        assert_eq!((entry.size_bytes, entry.mode), (4 << 20, 0o640));
        let mut content = Vec::new();
        file(Cursor::new(bytes.clone()), place.unwrap().start, &mut content).unwrap();
        assert!(content == vec![7; 4 << 20]);
        let mut taken = Vec::new();
        folder_of(&bytes, &index, "a", &mut taken);
        let mut tar = tar::Archive::new(&*taken);
        let entries = tar.entries().unwrap();
        let names: Vec<_> = entries.map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("a/deep/large"), Path::new("a/small")]);
    }

    fn folder_of(bytes: &[u8], index: &Index, path: &str, to: &mut Vec<u8>) {
        folder(Cursor::new(bytes), &index.below(path).unwrap(), to).unwrap();
    }
}
