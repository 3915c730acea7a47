//! The tree of a tar, put together as entries come: in any order, the last of a name counting.
//!
//! Folders are handed over when they were left long ago, so that few entries are in memory; what
//! comes for one of those later is in the tar only.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender},
    },
};

use bytes::Bytes;

use super::{Archived, contents, skeleton::Skeleton};
use crate::{
    BlobKind, Id, Node, NodeKind,
    chunk::MAX_BYTES,
    write::{
        collect::tree,
        contents::Failure,
        pipeline::Job,
        receipt::{Piece, Promise},
    },
};

/// How many entries are held before folders are handed over.
const WINDOW: usize = 1 << 16;
/// How many places in the order of leaving are kept, those of before among them.
const MAX_LEFT: usize = 4 * WINDOW;
/// Of how many files that were handed over it is known what they hold, for links to them.
const MAX_KNOWN: usize = 4 << 20;
/// With so many blobs that are in no file, what follows stays a stream: its blobs are larger.
const MAX_REST: usize = 1 << 20;

/// An entry and where it belongs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: Vec<Vec<u8>>,
    pub(super) node: Node,
}

/// What is found in a tar, in its order.
#[derive(Debug)]
pub(super) enum Step {
    /// An entry begins, with this checksum.
    Begin(u32),
    /// Bytes of the tar.
    Raw(Bytes),
    /// Content: of a file, or of none. Before some of the pieces the file has holes, of so many
    /// bytes.
    Content { place: Option<Box<Place>>, pieces: Vec<Piece>, holes: Vec<(usize, u64)>, size: u64 },
    /// What has no content.
    Other(Box<Place>),
    /// Another name for the file at a path.
    Link(Box<Place>, Vec<Vec<u8>>),
    /// An entry that is not understood.
    LeftOut,
}

#[derive(Debug)]
enum Entry {
    /// What is complete; folders that were handed over among them.
    Node(Box<Node>),
    /// A folder in memory.
    Folder(usize),
}

#[derive(Debug)]
struct Folder {
    /// Itself; its name is that of the slot above.
    node: Node,
    above: usize,
    name: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Entry>,
    /// When it was last in use.
    stamp: u64,
}

/// What has a name already.
enum There {
    Nothing,
    Folder(usize),
    /// With its tree.
    HandedOver(Option<Id>),
    Other,
}

/// What a file of a folder that was handed over holds.
#[derive(Debug)]
enum Known {
    One(u64, Id),
    Many(u64, Box<[Id]>),
}

pub(super) struct Gathering {
    jobs: SyncSender<Job>,
    skeleton: Skeleton,
    folders: Vec<Folder>,
    unused: Vec<usize>,
    /// The folder of the last entry.
    current: usize,
    stamp: u64,
    /// Folders in the order in which they were left.
    left: VecDeque<(usize, u64)>,
    /// How many entries are in memory.
    held: usize,
    known: HashMap<u128, Known>,
    zeros: HashMap<usize, Id>,
    rest: Vec<Id>,
    rest_bytes: u64,
    files: u64,
    folders_seen: u64,
    left_out: u64,
    /// Says that what follows is to stay as it is.
    is_full: Arc<AtomicBool>,
}

const ROOT: usize = 0;
/// The stamp of what is no folder any more.
const GONE: u64 = u64::MAX;

/// A folder that the tar does not tell of.
fn untold(name: &[u8]) -> Node {
    let mut node = Node::new(name, NodeKind::Dir);
    node.set_unix_mode(0o755);
    let begin = Some(jiff::Timestamp::default());
    (node.mtime, node.atime, node.ctime) = (begin, begin, begin);
    node
}

/// By which names are known when their folders are gone.
fn key(path: &[Vec<u8>]) -> u128 {
    let id = Id::of(&path.join(&b'/'));
    id.as_bytes().first_chunk().map_or(0, |first| u128::from_le_bytes(*first))
}

/// A number by which names of one file are known: the same in every tar.
fn number(path: &[Vec<u8>]) -> u64 {
    let id = Id::of(&path.join(&b'/'));
    // JSON of others may hold no more than 53 bits.
    id.as_bytes().first_chunk().map_or(1, |first| (u64::from_le_bytes(*first) >> 11).max(1))
}

impl Gathering {
    pub(super) fn new(jobs: SyncSender<Job>, is_full: Arc<AtomicBool>) -> Self {
        let root = Folder {
            node: untold(b""),
            above: ROOT,
            name: Vec::new(),
            entries: BTreeMap::new(),
            stamp: 0,
        };
        Self {
            skeleton: Skeleton::new(jobs.clone()),
            jobs,
            folders: vec![root],
            unused: Vec::new(),
            current: ROOT,
            stamp: 0,
            left: VecDeque::new(),
            held: 0,
            known: HashMap::new(),
            zeros: HashMap::new(),
            rest: Vec::new(),
            rest_bytes: 0,
            files: 0,
            folders_seen: 0,
            left_out: 0,
            is_full,
        }
    }

    pub(super) fn all(mut self, steps: &Receiver<Step>) -> Result<Archived, Failure> {
        for step in steps {
            match step {
                Step::Begin(checksum) => self.skeleton.begin(checksum)?,
                Step::Raw(bytes) => self.skeleton.raw(&bytes)?,
                Step::Content { place, pieces, holes, size } => {
                    let ids: Vec<_> = pieces.iter().map(Piece::id).collect::<Result<_, _>>()?;
                    let missing: u64 = holes.iter().map(|(_, bytes)| bytes).sum();
                    self.skeleton.content(&ids, size - missing)?;
                    let Some(mut place) = place else {
                        self.keep(&ids, size);
                        continue;
                    };
                    place.node.size = size;
                    place.node.links = 1;
                    place.node.content = Some(self.filled(ids, &holes)?);
                    self.files += 1;
                    self.insert(*place)?;
                }
                Step::Other(place) => self.insert(*place)?,
                Step::Link(place, target) => self.link(*place, &target)?,
                Step::LeftOut => self.left_out += 1,
            }
        }
        let folder = self.seal(ROOT)?;
        let (skeleton, offsets) = self.skeleton.finish()?;
        Ok(Archived {
            folder,
            skeleton,
            offsets,
            rest: contents(self.rest, self.rest_bytes),
            size_bytes: 0,
            files: self.files,
            folders: self.folders_seen,
            left_out: self.left_out,
        })
    }

    /// Content with zeros in its holes.
    fn filled(&mut self, ids: Vec<Id>, holes: &[(usize, u64)]) -> Result<Vec<Id>, Failure> {
        if holes.is_empty() {
            return Ok(ids);
        }
        let (mut filled, mut done) = (Vec::with_capacity(ids.len()), 0);
        for (at, bytes) in holes {
            filled.extend_from_slice(&ids[done..*at]);
            done = *at;
            let mut left = *bytes;
            while left > 0 {
                // Of few lengths: all holes share a few blobs.
                let length = usize::try_from(left).map_or(MAX_BYTES, |left| left.min(MAX_BYTES));
                let length = 1 << length.ilog2();
                filled.push(self.zeros(length)?);
                left -= length as u64;
            }
        }
        filled.extend_from_slice(&ids[done..]);
        Ok(filled)
    }

    /// A blob of so many zeros.
    fn zeros(&mut self, length: usize) -> Result<Id, Failure> {
        if let Some(id) = self.zeros.get(&length) {
            return Ok(*id);
        }
        let blob = vec![0; length];
        let id = Id::of(&blob);
        let job = Job {
            kind: BlobKind::Data,
            blobs: vec![Bytes::from(blob)],
            ids: Some(vec![id]),
            promise: Promise::default(),
        };
        self.jobs.send(job).map_err(|_| Failure::Stopped)?;
        self.zeros.insert(length, id);
        Ok(id)
    }

    /// What is in no file has to be named by something, or it would be deleted.
    fn keep(&mut self, ids: &[Id], size: u64) {
        self.rest.extend_from_slice(ids);
        self.rest_bytes += size;
        if self.rest.len() > MAX_REST {
            self.is_full.store(true, Ordering::Relaxed);
        }
    }

    fn leave_out(&mut self, node: &Node) {
        self.left_out += 1;
        self.keep(node.blobs(), node.size);
    }

    fn add_folder(&mut self, above: usize, mut node: Node) -> usize {
        let name = std::mem::take(&mut node.name);
        let folder =
            Folder { node, above, name: name.clone(), entries: BTreeMap::new(), stamp: self.stamp };
        let at = match self.unused.pop() {
            Some(at) => {
                self.folders[at] = folder;
                at
            }
            None => {
                self.folders.push(folder);
                self.folders.len() - 1
            }
        };
        self.folders[above].entries.insert(name, Entry::Folder(at));
        self.folders_seen += 1;
        self.held += 1;
        at
    }

    /// The folder at `path`, made where there is none. `None` where a file is in the way, or where
    /// it was handed over.
    fn folder(&mut self, path: &[Vec<u8>]) -> Option<usize> {
        let mut at = ROOT;
        for name in path {
            at = match self.folders[at].entries.get(name) {
                Some(Entry::Folder(folder)) => *folder,
                Some(Entry::Node(_)) => return None,
                None => self.add_folder(at, untold(name)),
            };
        }
        Some(at)
    }

    /// Notes which folders were left for `to`, and hands over those that nobody came back to.
    fn go_to(&mut self, to: usize) -> Result<(), Failure> {
        if to == self.current {
            return Ok(());
        }
        self.stamp += 1;
        let mut at = to;
        loop {
            self.folders[at].stamp = self.stamp;
            if at == ROOT {
                break;
            }
            at = self.folders[at].above;
        }
        let mut at = self.current;
        while self.folders[at].stamp != self.stamp {
            self.left.push_back((at, self.folders[at].stamp));
            at = self.folders[at].above;
        }
        self.current = to;
        if self.left.len() > MAX_LEFT {
            let folders = &self.folders;
            self.left.retain(|(at, stamp)| folders[*at].stamp == *stamp);
        }
        while self.held > WINDOW
            && let Some((at, stamp)) = self.left.pop_front()
        {
            let folder = &self.folders[at];
            if folder.stamp != stamp || folder.stamp == self.stamp {
                continue;
            }
            let (above, name) = (folder.above, folder.name.clone());
            let node = self.seal(at)?;
            self.folders[above].entries.insert(name, Entry::Node(Box::new(node)));
        }
        Ok(())
    }

    fn path(&self, mut at: usize) -> Vec<Vec<u8>> {
        let mut path = Vec::new();
        while at != ROOT {
            path.push(self.folders[at].name.clone());
            at = self.folders[at].above;
        }
        path.reverse();
        path
    }

    /// Hands over a folder with all that is in it.
    fn seal(&mut self, at: usize) -> Result<Node, Failure> {
        let mut path = self.path(at);
        let entries = std::mem::take(&mut self.folders[at].entries);
        let mut nodes = Vec::with_capacity(entries.len());
        self.held -= entries.len();
        for (name, entry) in entries {
            let mut node = match entry {
                Entry::Node(node) => *node,
                Entry::Folder(at) => self.seal(at)?,
            };
            // What ends here is linked to by nobody.
            let is_wanted = at != ROOT && self.known.len() < MAX_KNOWN;
            if node.kind == NodeKind::File && is_wanted {
                path.push(name.clone());
                let known = match node.blobs() {
                    [one] => Known::One(node.size, *one),
                    many => Known::Many(node.size, many.into()),
                };
                self.known.insert(key(&path), known);
                path.pop();
            }
            node.name = name;
            nodes.push(node);
        }
        let subtree = tree(nodes, &self.jobs)?;
        let folder = &mut self.folders[at];
        let mut node = std::mem::replace(&mut folder.node, Node::new(b"", NodeKind::Dir));
        // Nothing in the queue means it any more.
        folder.stamp = GONE;
        node.subtree = Some(subtree);
        if at != ROOT {
            self.unused.push(at);
        }
        Ok(node)
    }

    fn insert(&mut self, place: Place) -> Result<(), Failure> {
        let Place { path, mut node } = place;
        let is_folder = node.kind == NodeKind::Dir;
        let Some((name, above)) = path.split_last() else {
            if is_folder {
                self.folders[ROOT].node = node;
            } else {
                self.leave_out(&node);
            }
            return Ok(());
        };
        let Some(above) = self.folder(above) else {
            self.leave_out(&node);
            return Ok(());
        };
        self.go_to(above)?;
        let there = match self.folders[above].entries.get(name) {
            None => There::Nothing,
            Some(Entry::Folder(at)) => There::Folder(*at),
            Some(Entry::Node(old)) if old.kind == NodeKind::Dir => There::HandedOver(old.subtree),
            Some(Entry::Node(_)) => There::Other,
        };
        match there {
            There::Nothing => {}
            There::Folder(at) if is_folder => {
                self.folders[at].node = node;
                return Ok(());
            }
            There::Folder(at) if self.folders[at].entries.is_empty() => {
                self.folders[at].stamp = GONE;
                self.unused.push(at);
            }
            There::HandedOver(subtree) if is_folder => node.subtree = subtree,
            // As `tar` does: a folder with something in it stays.
            There::Folder(_) | There::HandedOver(_) => {
                self.leave_out(&node);
                return Ok(());
            }
            There::Other => {
                if let Some(Entry::Node(old)) = self.folders[above].entries.remove(name) {
                    self.held -= 1;
                    self.leave_out(&old);
                }
            }
        }
        if is_folder && node.subtree.is_none() {
            node.name.clone_from(name);
            self.add_folder(above, node);
            return Ok(());
        }
        let entry = Entry::Node(Box::new(node));
        if self.folders[above].entries.insert(name.clone(), entry).is_none() {
            self.held += 1;
        }
        Ok(())
    }

    /// The entry at `path`, if it is in memory and no folder.
    fn find(&mut self, path: &[Vec<u8>]) -> Option<&mut Node> {
        let (name, above) = path.split_last()?;
        let mut at = ROOT;
        for name in above {
            let Entry::Folder(next) = self.folders[at].entries.get(name)? else { return None };
            at = *next;
        }
        match self.folders[at].entries.get_mut(name)? {
            Entry::Node(node) if node.kind != NodeKind::Dir => Some(node),
            _ => None,
        }
    }

    fn link(&mut self, place: Place, target: &[Vec<u8>]) -> Result<(), Failure> {
        let Place { path, mut node } = place;
        if path == target {
            self.left_out += 1;
            return Ok(());
        }
        let known = key(target);
        match self.find(target) {
            Some(first) => {
                if first.kind == NodeKind::File {
                    first.links = 2;
                    if first.inode == 0 {
                        first.inode = number(target);
                    }
                }
                // Two names of one: the same in everything.
                node = first.clone();
            }
            // Its first name was handed over as one that has no other: it is a file of its own.
            None => match self.known.get(&known) {
                Some(Known::One(size, id)) => {
                    (node.size, node.links, node.content) = (*size, 1, Some(vec![*id]));
                }
                Some(Known::Many(size, ids)) => {
                    (node.size, node.links, node.content) = (*size, 1, Some(ids.to_vec()));
                }
                None => {
                    self.left_out += 1;
                    return Ok(());
                }
            },
        }
        self.files += u64::from(node.kind == NodeKind::File);
        self.insert(Place { path, node })
    }
}
