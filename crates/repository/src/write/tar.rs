//! A tar as it streams by: its files become files of a tree, and everything else of it becomes its
//! skeleton, from which it comes back byte for byte.
//!
//! What is not understood stays as it is, and so does all that follows something that is no tar.

mod entry;
mod gather;
mod holes;
mod skeleton;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
};

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use self::{
    entry::{Told, path_of},
    gather::{Gathering, Place, Step},
    holes::Map,
};
use super::{
    collect::Collector,
    contents::{Contents, Failure, cut, fill_from},
    feeder::Feeder,
    pipeline::{Job, Shared},
    receipt::Piece,
};
use crate::{
    Id, Node, NodeKind, RepositoryError,
    chunk::{Chunking, Cutter, RELATION_BYTES},
};

/// Headers begin where a multiple of it does.
const BLOCK: usize = 512;
/// How much is asked of the source at once, in bytes.
const READ: usize = 256 << 10;
/// Up to so many bytes stay in the skeleton; more are content that is in none of the files.
const RAW_BYTES: usize = 16 << 10;
/// Longest extended header that is understood, in bytes.
const MAX_EXTENDED: u64 = 1 << 20;

/// A tar, stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Archived {
    /// The folder that it is of: its tree, and what the tar tells of it.
    pub folder: Node,
    /// What the tar is beside the content of its files.
    pub skeleton: Contents,
    /// Where in the tar each blob of a long skeleton begins.
    pub offsets: Contents,
    /// Content that is in the tar and in none of the files: it is kept by this.
    pub rest: Contents,
    /// Bytes of the tar.
    pub size_bytes: u64,
    /// How many files.
    pub files: u64,
    /// How many folders.
    pub folders: u64,
    /// Entries that are in the tar only.
    pub left_out: u64,
}

/// Whether `block`, 512 bytes, is the header of a tar of today: with a magic word, and a checksum
/// that is right.
pub(crate) fn is_tar(block: &[u8]) -> bool {
    header(block).is_some_and(|header| header.as_ustar().is_some() || header.as_gnu().is_some())
}

/// A header with a checksum that is right.
fn header(block: &[u8]) -> Option<&Header> {
    if block.len() != BLOCK || block.iter().all(|byte| *byte == 0) {
        return None;
    }
    let header = Header::from_byte_slice(block);
    let mut again = header.clone();
    again.set_cksum();
    (again.cksum().ok()? == header.cksum().ok()?).then_some(header)
}

/// The source as something that is read from.
struct Source<F> {
    fill: F,
    buffer: Vec<u8>,
    at: usize,
    /// How many bytes it gave.
    given: u64,
}

impl<F: FnMut(&mut Vec<u8>, usize) -> io::Result<usize>> Source<F> {
    /// Appends at most `most` bytes; nothing at the end.
    fn give(&mut self, most: usize, to: &mut Vec<u8>) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            (self.fill)(&mut self.buffer, READ)?;
        }
        let length = most.min(self.buffer.len() - self.at);
        to.extend_from_slice(&self.buffer[self.at..self.at + length]);
        self.at += length;
        self.given += length as u64;
        Ok(length)
    }

    /// As many bytes, or fewer at the end.
    fn up_to(&mut self, bytes: usize) -> Result<Vec<u8>, Failure> {
        let mut read = Vec::with_capacity(bytes);
        while read.len() < bytes {
            if self.give(bytes - read.len(), &mut read).map_err(Failure::Source)? == 0 {
                break;
            }
        }
        Ok(read)
    }
}

struct Split<'a, F> {
    source: Source<F>,
    collector: &'a Collector<Step, Archived>,
    feeder: Feeder,
    cutter: Cutter,
    /// For relation files of PostgreSQL, which are changed in place.
    evenly: Cutter,
    /// Whether what follows is to stay as it is.
    is_full: Arc<AtomicBool>,
}

/// Stores a tar.
pub(super) fn store(
    mut source: impl AsyncRead + Unpin,
    shared: &Shared,
    chunking: &Chunking,
    jobs: SyncSender<Job>,
    feeder: Feeder,
    cancel: &CancellationToken,
) -> Result<Archived, RepositoryError> {
    let is_full = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_full);
    let collector = Collector::start(move |steps| Gathering::new(jobs, told).all(steps))?;
    let mut split = Split {
        source: Source {
            fill: fill_from(&mut source, cancel),
            buffer: Vec::with_capacity(READ),
            at: 0,
            given: 0,
        },
        collector: &collector,
        feeder,
        cutter: chunking.cutter(),
        evenly: Chunking::Fixed(RELATION_BYTES).cutter(),
        is_full,
    };
    let done = split.all();
    let Split { feeder, source: Source { given, .. }, .. } = split;
    let done = match done {
        Ok(()) => collector.finish(feeder),
        Err(failure) => {
            drop(feeder);
            Err(collector.abandon(failure))
        }
    };
    let archived = done.map_err(|failure| match failure {
        Failure::Source(_) if shared.check().is_err() => shared.reason(),
        Failure::Source(error) => RepositoryError::io("reading", "the tar".as_ref(), error),
        other => other.told(shared),
    })?;
    Ok(Archived { size_bytes: given, ..archived })
}

impl<F: FnMut(&mut Vec<u8>, usize) -> io::Result<usize>> Split<'_, F> {
    fn tell(&mut self, step: Step) -> Result<(), Failure> {
        self.collector.tell(step, &mut self.feeder)
    }

    /// Bytes of the tar that are no file's.
    fn raw(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() <= RAW_BYTES {
            return self.tell(Step::Raw(Bytes::from(bytes)));
        }
        let size = bytes.len() as u64;
        let piece = self.feeder.push(Bytes::from(bytes))?;
        self.tell(Step::Content { place: None, pieces: vec![piece], holes: Vec::new(), size })
    }

    /// The next `size` bytes, which are no file's.
    fn unplaced(&mut self, size: u64) -> Result<(), Failure> {
        match usize::try_from(size) {
            Ok(bytes) if bytes <= RAW_BYTES => {
                let bytes = self.source.up_to(bytes)?;
                self.raw(bytes)
            }
            _ => self.content(None, size),
        }
    }

    /// The next `size` bytes, as the content of a file.
    fn content(&mut self, place: Option<Box<Place>>, size: u64) -> Result<(), Failure> {
        let is_even = place.as_ref().is_some_and(|place| is_relation(&place.path));
        let (pieces, size) = self.pieces(size, is_even)?;
        self.tell(Step::Content { place, pieces, holes: Vec::new(), size })
    }

    fn pieces(&mut self, size: u64, is_even: bool) -> Result<(Vec<Piece>, u64), Failure> {
        let (source, mut left) = (&mut self.source, size);
        let fill = |segment: &mut Vec<u8>, room: usize| {
            let most = usize::try_from(left).map_or(room, |left| left.min(room));
            let given = if most == 0 { 0 } else { source.give(most, segment)? };
            left -= given as u64;
            Ok(given)
        };
        let cutter = if is_even { &mut self.evenly } else { &mut self.cutter };
        cut(fill, Some(size), cutter, &mut self.feeder)
    }

    /// A file with holes, of which `size` bytes of data come.
    fn with_holes(
        &mut self,
        header: &Header,
        size: u64,
        place: Option<Box<Place>>,
    ) -> Result<(), Failure> {
        let (mut map, mut goes_on) = Map::of(header);
        while goes_on {
            let block = self.source.up_to(BLOCK)?;
            goes_on = map.more(&block);
            self.raw(block)?;
        }
        let (Some(place), Some(map)) = (place, map.checked(header, size)) else {
            self.tell(Step::LeftOut)?;
            return self.unplaced(size);
        };
        let (mut pieces, mut holes, mut whole) = (Vec::new(), Vec::new(), 0);
        for (hole, length) in map.parts {
            holes.push((pieces.len(), hole));
            let (more, read) = self.pieces(length, false)?;
            pieces.extend(more);
            whole += hole + read;
        }
        holes.push((pieces.len(), map.end));
        let size = whole + map.end;
        self.tell(Step::Content { place: Some(place), pieces, holes, size })
    }

    /// Everything, from `block` on, as it is.
    fn as_it_is(&mut self, block: Vec<u8>) -> Result<(), Failure> {
        self.raw(block)?;
        let begin = self.source.up_to(RAW_BYTES)?;
        if begin.len() < RAW_BYTES {
            return self.raw(begin);
        }
        // The first of it by itself, so that it is cut where the same bytes are cut elsewhere.
        self.raw(begin)?;
        self.content(None, u64::MAX)
    }

    fn all(&mut self) -> Result<(), Failure> {
        let mut told = Told::default();
        // The first header of an entry decides whether the skeleton may be cut before it.
        let mut begins = true;
        loop {
            let block = self.source.up_to(BLOCK)?;
            // The end, or what is no tar.
            let header = header(&block).filter(|_| !self.is_full.load(Ordering::Relaxed));
            let Some(header) = header.cloned() else { return self.as_it_is(block) };
            if begins {
                self.tell(Step::Begin(header.cksum().unwrap_or_default()))?;
            }
            let kind = header.entry_type();
            let size = match told.size(&header) {
                Some(size) if kind != EntryType::Link || size == 0 => size,
                // Some have content behind a link, others only say so.
                _ => return self.as_it_is(block),
            };
            begins = !entry::is_extension(kind);
            if !begins {
                if size > MAX_EXTENDED {
                    return self.as_it_is(block);
                }
                self.raw(block)?;
                let length = usize::try_from(size).unwrap_or_default();
                let mut body = self.source.up_to(length.next_multiple_of(BLOCK))?;
                told.extension(kind, &body[..length.min(body.len())]);
                body.shrink_to_fit();
                self.raw(body)?;
                continue;
            }
            self.raw(block)?;
            self.entry(&header, size, &told)?;
            told.next();
            let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
            let padding = self.source.up_to(padding)?;
            self.raw(padding)?;
        }
    }

    fn entry(&mut self, header: &Header, size: u64, told: &Told) -> Result<(), Failure> {
        let kind = told.kind(header, size);
        let described = kind.and_then(|kind| {
            let path = path_of(&told.path(header))?;
            Some((path, told.node(header, kind.clone())?, kind))
        });
        if header.entry_type() == EntryType::GNUSparse {
            let place = described.map(|(path, node, _)| Box::new(Place { path, node }));
            return self.with_holes(header, size, place);
        }
        let Some((path, node, kind)) = described else {
            self.tell(Step::LeftOut)?;
            return self.unplaced(size);
        };
        if header.entry_type() == EntryType::Link {
            let target = told.target(header).and_then(|target| path_of(&target));
            return match target {
                Some(target) => self.tell(Step::Link(Box::new(Place { path, node }), target)),
                None => self.tell(Step::LeftOut),
            };
        }
        let place = Box::new(Place { path, node });
        if kind == NodeKind::File {
            self.content(Some(place), size)
        } else {
            self.tell(Step::Other(place))?;
            self.unplaced(size)
        }
    }
}

/// Whether it is a relation file in a data directory of PostgreSQL, wherever in the tar that is:
/// `base/5/16384.1`, `global/1262_fsm`, `pg_tblspc/16390/PG_15_202209061/5/16391`.
fn is_relation(path: &[Vec<u8>]) -> bool {
    let [.., above, folder, name] = path else {
        return matches!(path, [folder, name] if folder == b"global" && is_relation_name(name));
    };
    let of_database = (above == b"base" || above.starts_with(b"PG_")) && is_number(folder);
    (of_database || folder == b"global") && is_relation_name(name)
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// A number, which fork of it, and which gigabyte of that.
fn is_relation_name(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == b'.');
    let (first, part) = (parts.next().unwrap_or_default(), parts.next());
    let fork = [&b"_fsm"[..], b"_vm", b"_init"].iter().find_map(|fork| first.strip_suffix(*fork));
    is_number(fork.unwrap_or(first)) && part.is_none_or(is_number)
}

/// What `ids` hold, as content.
fn contents(blobs: Vec<Id>, size_bytes: u64) -> Contents {
    Contents { blobs, size_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relation_files_are_known_by_their_place() {
        let is = |path: &str| {
            let parts: Vec<_> = path.split('/').map(|part| part.as_bytes().to_vec()).collect();
            is_relation(&parts)
        };
        for path in [
            "base/5/16384",
            "base/5/16384.12",
            "global/1262_fsm",
            "var/lib/postgresql/data/base/16385/2619_vm",
            "data/global/1260",
            "pg_tblspc/16390/PG_15_202209061/5/16391_init",
        ] {
            assert!(is(path), "{path}");
        }
        for path in [
            "base/5/PG_VERSION",
            "base/5/pg_filenode.map",
            "global/pg_control",
            "base/pgsql_tmp/16384",
            "photos/2026/1234",
            "base/5/16384.x",
            "16384",
        ] {
            assert!(!is(path), "{path}");
        }
    }
}
