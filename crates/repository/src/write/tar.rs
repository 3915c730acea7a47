//! A tar as it streams by, such as Docker gives of a volume.

use std::io::{self, Read};

use jiff::Timestamp;
use tar::{Archive, Entry, EntryType};
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use std::sync::mpsc::SyncSender;

use super::{
    collect::{Collector, Found, Stored},
    contents::{Failure, cut, fill_from},
    feeder::Feeder,
    pipeline::{Job, Shared},
};
use crate::{
    ExtendedAttribute, Node, NodeKind, RepositoryError,
    chunk::{Chunking, Cutter},
};

/// Begins the PAX records that are extended attributes.
const ATTRIBUTE: &str = "SCHILY.xattr.";
/// How much is asked of the source at once, in bytes.
const READ: usize = 256 << 10;

/// The source as something that is read from.
struct Source<F> {
    fill: F,
    buffer: Vec<u8>,
    at: usize,
    /// Somebody wanted more than there was.
    ended: bool,
}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<usize>> Read for Source<F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            self.ended = (self.fill)(&mut self.buffer)? == 0;
        }
        let length = to.len().min(self.buffer.len() - self.at);
        to[..length].copy_from_slice(&self.buffer[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

struct Unpack<'a> {
    collector: &'a Collector,
    feeder: Feeder,
    cutter: Cutter,
    /// The folders that the last entry lies in.
    folders: Vec<Vec<u8>>,
    stored: Stored,
}

/// Stores what is in a tar.
pub(super) fn store(
    mut source: impl AsyncRead + Unpin,
    shared: &Shared,
    chunking: &Chunking,
    jobs: SyncSender<Job>,
    feeder: Feeder,
    cancel: &CancellationToken,
) -> Result<Stored, RepositoryError> {
    let collector = Collector::start(jobs)?;
    let mut unpack = Unpack {
        collector: &collector,
        feeder,
        cutter: chunking.cutter(),
        folders: Vec::new(),
        stored: Stored::empty(),
    };
    let fill = fill_from(&mut source, cancel);
    let unpacked =
        unpack.all(Source { fill, buffer: Vec::with_capacity(READ), at: 0, ended: false });
    let Unpack { feeder, mut stored, .. } = unpack;
    let done = match unpacked {
        Ok(()) => collector.finish(feeder),
        Err(failure) => {
            drop(feeder);
            Err(collector.abandon(failure))
        }
    };
    stored.tree = done.map_err(|failure| match failure {
        Failure::Source(_) if shared.check().is_err() => shared.reason(),
        Failure::Source(error) => RepositoryError::io("reading", "the tar".as_ref(), error),
        other => other.told(shared),
    })?;
    Ok(stored)
}

impl Unpack<'_> {
    fn tell(&mut self, found: Found) -> Result<(), Failure> {
        self.collector.tell(found, &mut self.feeder)
    }

    fn all<F>(&mut self, source: Source<F>) -> Result<(), Failure>
    where
        F: FnMut(&mut Vec<u8>) -> io::Result<usize>,
    {
        let mut archive = Archive::new(source);
        for entry in archive.entries().map_err(Failure::Source)? {
            self.entry(entry.map_err(Failure::Source)?)?;
        }
        let mut source = archive.into_inner();
        // Two blocks of zeros end a tar; one that ends without them was cut off.
        if source.ended {
            return Err(Failure::Source(io::ErrorKind::UnexpectedEof.into()));
        }
        // Whoever writes it may fill up what follows, and would miss a reader.
        io::copy(&mut source, &mut io::sink()).map_err(Failure::Source)?;
        self.leave_to(0)
    }

    fn leave_to(&mut self, depth: usize) -> Result<(), Failure> {
        while self.folders.len() > depth {
            self.folders.pop();
            self.tell(Found::Leave)?;
        }
        Ok(())
    }

    /// Leaves and enters folders until the walk is in those of `path`; gives the name in it.
    fn go_to<'p>(&mut self, path: &'p [Vec<u8>]) -> Result<&'p [u8], Failure> {
        let (name, above) = path.split_last().ok_or_else(|| bad("an entry without a name"))?;
        let same = self.folders.iter().zip(above).take_while(|(a, b)| a == b).count();
        self.leave_to(same)?;
        for folder in &above[same..] {
            // A folder that the tar does not tell of.
            let mut node = Node::new(folder, NodeKind::Dir);
            node.set_unix_mode(0o755);
            self.enter(node)?;
        }
        Ok(name)
    }

    fn enter(&mut self, node: Node) -> Result<(), Failure> {
        self.folders.push(node.name.clone());
        self.stored.folders += 1;
        self.tell(Found::Enter(node))
    }

    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), Failure> {
        let path = parts(&entry.path_bytes())?;
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Link => {
                NodeKind::File
            }
            EntryType::Directory => NodeKind::Dir,
            EntryType::Symlink => NodeKind::Symlink,
            EntryType::Block => NodeKind::Dev,
            EntryType::Char => NodeKind::Chardev,
            EntryType::Fifo => NodeKind::Fifo,
            // Headers of the whole archive.
            _ => return Ok(()),
        };
        if path.is_empty() {
            // The folder itself, as `./`: the tree's root has no entry.
            return Ok(());
        }
        let name = self.go_to(&path)?;
        let mut node = described(name, kind, &mut entry)?;
        if entry.header().entry_type() == EntryType::Link {
            let target = entry.link_name_bytes().ok_or_else(|| bad("a link without a target"))?;
            self.stored.files += 1;
            return self.tell(Found::Link(node, parts(&target)?.join(&b'/')));
        }
        match node.kind {
            NodeKind::Dir => self.enter(node),
            NodeKind::File => {
                self.stored.files += 1;
                // A number of its own, by which links to it are known.
                (node.inode, node.links) = (self.stored.files, 1);
                let told = entry.size();
                let fill = |segment: &mut Vec<u8>| {
                    let room = (segment.capacity() - segment.len()) as u64;
                    entry.by_ref().take(room).read_to_end(segment)
                };
                let (pieces, size) = cut(fill, Some(told), &mut self.cutter, &mut self.feeder)?;
                if size != told {
                    return Err(Failure::Source(io::ErrorKind::UnexpectedEof.into()));
                }
                node.size = size;
                self.stored.bytes_read += size;
                self.tell(Found::File(node, pieces))?;
                self.tell(Found::Name(path.join(&b'/')))
            }
            _ => self.tell(Found::Other(node)),
        }
    }
}

fn bad(how: &str) -> RepositoryError {
    RepositoryError::malformed("the tar", how)
}

/// The names in a path; `.` is nothing, and `..` is refused.
fn parts(path: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && part != b".");
    parts
        .map(|part| {
            crate::check_name(part)?;
            Ok(part.to_vec())
        })
        .collect()
}

fn described(
    name: &[u8],
    kind: NodeKind,
    entry: &mut Entry<'_, impl Read>,
) -> Result<Node, Failure> {
    let header = entry.header();
    let mut node = Node::new(name, kind);
    node.set_unix_mode(header.mode().map_err(Failure::Source)?);
    let number = |id: u64| u32::try_from(id).map_err(|_| bad("an owner beyond 32 bits"));
    node.uid = number(header.uid().map_err(Failure::Source)?)?;
    node.gid = number(header.gid().map_err(Failure::Source)?)?;
    node.user = header.username().ok().flatten().unwrap_or_default().to_owned();
    node.group = header.groupname().ok().flatten().unwrap_or_default().to_owned();
    let seconds = header.mtime().map_err(Failure::Source)?;
    node.mtime = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
    if matches!(node.kind, NodeKind::Dev | NodeKind::Chardev) {
        let part = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
        let major = part(header.device_major()).map_err(Failure::Source)?;
        let minor = part(header.device_minor()).map_err(Failure::Source)?;
        node.device = nix::sys::stat::makedev(u64::from(major), u64::from(minor));
    }
    if node.kind == NodeKind::Symlink {
        let target = entry.link_name_bytes().ok_or_else(|| bad("a link without a target"))?;
        node.set_link_target(&target);
    }
    pax(&mut node, entry)?;
    node.atime = node.mtime;
    if node.ctime.is_none() {
        node.ctime = node.mtime;
    }
    Ok(node)
}

/// What the extended header tells more exactly.
fn pax(node: &mut Node, entry: &mut Entry<'_, impl Read>) -> Result<(), Failure> {
    let Some(records) = entry.pax_extensions().map_err(Failure::Source)? else { return Ok(()) };
    for record in records {
        let record = record.map_err(Failure::Source)?;
        let Ok(key) = record.key() else { continue };
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            let value = record.value_bytes().to_vec();
            node.extended_attributes.push(ExtendedAttribute { name: name.to_owned(), value });
            continue;
        }
        let Ok(value) = record.value() else { continue };
        let id = || value.parse().map_err(|_| bad("an owner that is no number"));
        match key {
            "mtime" => node.mtime = time(value).or(node.mtime),
            "ctime" => node.ctime = time(value),
            "uid" => node.uid = id()?,
            "gid" => node.gid = id()?,
            "uname" => value.clone_into(&mut node.user),
            "gname" => value.clone_into(&mut node.group),
            _ => {}
        }
    }
    node.extended_attributes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// Seconds with a fraction, as PAX writes them.
fn time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = Timestamp::from_second(seconds.parse().ok()?).ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds = jiff::SignedDuration::from_nanos(digits.parse().ok()?);
    if seconds.starts_with('-') {
        whole.checked_sub(nanoseconds).ok()
    } else {
        whole.checked_add(nanoseconds).ok()
    }
}
