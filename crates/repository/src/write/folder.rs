//! A folder of this machine, walked depth first in the order of names.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata, OpenOptions},
    io::Read as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, mpsc::SyncSender},
};

use nix::libc;
use tokio_util::sync::CancellationToken;

use super::{
    collect::{Collector, Found, Stored, collect},
    contents::{Failure, cut},
    feeder::Feeder,
    metadata::{self, Owners},
    parent::Parent,
    pipeline::{Job, Shared},
    receipt::Stopped,
};
use crate::{
    Id, Node, NodeKind, RepositoryError,
    chunk::{Chunking, Cutter, RELATION_BYTES},
};

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is stored; files are cut by their content.
    Stored,
    /// It is stored, and cut evenly if it is a file: it is changed in place, as the relation files
    /// of a database are.
    Evenly,
    /// It is left out, with everything in it.
    Not,
}

/// Decides by the path and whether it is a folder.
type Decide = Arc<dyn Fn(&Path, bool) -> Wanted + Send + Sync>;

/// A folder that is to be stored.
#[derive(Clone)]
pub struct Folder {
    path: PathBuf,
    parent: Option<Id>,
    decide: Decide,
    one_file_system: bool,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Folder {
    /// Everything under `path`, which is absolute.
    pub fn new(path: &Path) -> Self {
        let decide = Arc::new(|_: &Path, _| Wanted::Stored);
        Self { path: path.to_owned(), parent: None, decide, one_file_system: false }
    }

    /// Files that are as they were in the snapshot with this tree are not read again. It has to
    /// be a snapshot of this folder on this machine.
    pub fn parent(mut self, tree: Id) -> Self {
        self.parent = Some(tree);
        self
    }

    /// Asks what to do with each entry: its path, and whether it is a folder.
    pub fn decide(mut self, with: impl Fn(&Path, bool) -> Wanted + Send + Sync + 'static) -> Self {
        self.decide = Arc::new(with);
        self
    }

    /// Stays in the file system of the folder; other ones are empty folders.
    pub fn one_file_system(mut self) -> Self {
        self.one_file_system = true;
        self
    }
}

struct Walk<'a> {
    folder: &'a Folder,
    shared: &'a Shared,
    parent: Parent<'a>,
    by_content: Cutter,
    evenly: Cutter,
    feeder: Feeder,
    collector: &'a Collector<Found, Id>,
    owners: Owners,
    device: Option<u64>,
    stored: Stored,
    cancel: &'a CancellationToken,
}

/// Stores a folder.
pub(super) fn store(
    folder: &Folder,
    shared: &Shared,
    chunking: &Chunking,
    jobs: SyncSender<Job>,
    feeder: Feeder,
    cancel: &CancellationToken,
) -> Result<Stored, RepositoryError> {
    let above = names_above(&folder.path)?;
    let collector = Collector::start(move |found| collect(found, &jobs))?;
    let mut walk = Walk {
        parent: Parent::new(shared, folder.parent),
        folder,
        shared,
        by_content: chunking.cutter(),
        evenly: Chunking::Fixed(RELATION_BYTES).cutter(),
        feeder,
        collector: &collector,
        owners: Owners::default(),
        device: None,
        stored: Stored::empty(),
        cancel,
    };
    let walked = walk.root(&above);
    let Walk { feeder, mut stored, .. } = walk;
    match walked {
        Ok(()) => {
            stored.tree = collector.finish(feeder).map_err(|failure| failure.told(shared))?;
            Ok(stored)
        }
        Err(failure) => {
            drop(feeder);
            Err(collector.abandon(failure).told(shared))
        }
    }
}

/// The names of the folders from the root on.
fn names_above(path: &Path) -> Result<Vec<OsString>, RepositoryError> {
    use std::path::Component as C;
    let refused = || RepositoryError::Name {
        name: path.display().to_string(),
        why: "the path of a folder is absolute and without `..`",
    };
    let mut components = path.components();
    if components.next() != Some(C::RootDir) {
        return Err(refused());
    }
    components
        .map(|part| match part {
            C::Normal(name) => Ok(name.to_owned()),
            _ => Err(refused()),
        })
        .collect()
}

impl Walk<'_> {
    fn tell(&mut self, found: Found) -> Result<(), Failure> {
        self.collector.tell(found, &mut self.feeder)
    }

    /// The folders above are entries too; of them only the one is walked.
    fn root(&mut self, names: &[OsString]) -> Result<(), Failure> {
        let root = &self.folder.path;
        let mut path = PathBuf::from("/");
        let mut entered = 0;
        for name in names {
            path.push(name);
            let metadata =
                path.symlink_metadata().map_err(|e| RepositoryError::io("reading", &path, e))?;
            if path == *root && !metadata.is_dir() {
                self.device = Some(metadata.dev());
                self.entry(name, &path, &metadata)?;
                break;
            }
            let node = self.described(name, &path, &metadata);
            self.tell(Found::Enter(node))?;
            self.parent.enter(name.as_bytes());
            self.stored.folders += 1;
            entered += 1;
        }
        if path == *root && root.is_dir() {
            self.device = root.metadata().ok().map(|metadata| metadata.dev());
            // A root that cannot be read is no problem of an entry: there is nothing.
            let entries = names_in(root).map_err(|e| RepositoryError::io("reading", root, e))?;
            self.entries(root, entries)?;
        }
        for _ in 0..entered {
            self.parent.leave();
            self.tell(Found::Leave)?;
        }
        Ok(())
    }

    fn described(&mut self, name: &OsStr, path: &Path, metadata: &Metadata) -> Node {
        let mut node = metadata::node(name, metadata, &mut self.owners);
        match metadata::attributes(path) {
            Ok(attributes) => node.extended_attributes = attributes,
            Err(error) => {
                self.stored.problems.add(path, format!("reading its attributes: {error}"));
            }
        }
        node
    }

    fn entries(&mut self, folder: &Path, names: Vec<OsString>) -> Result<(), Failure> {
        for name in names {
            if self.cancel.is_cancelled() || self.shared.check().is_err() {
                return Err(Stopped.into());
            }
            let path = folder.join(&name);
            match path.symlink_metadata() {
                Ok(metadata) => self.entry(&name, &path, &metadata)?,
                Err(error) => self.stored.problems.add(&path, error),
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &OsStr, path: &Path, metadata: &Metadata) -> Result<(), Failure> {
        let wanted = (self.folder.decide)(path, metadata.is_dir());
        if wanted == Wanted::Not {
            return Ok(());
        }
        let mut node = self.described(name, path, metadata);
        match node.kind {
            NodeKind::Dir => self.folder(node, path, metadata),
            NodeKind::File => self.file(node, path, wanted),
            NodeKind::Symlink => match path.read_link() {
                Ok(target) => {
                    node.set_link_target(target.as_os_str().as_bytes());
                    self.tell(Found::Other(node))
                }
                Err(error) => {
                    self.stored.problems.add(path, error);
                    Ok(())
                }
            },
            _ => self.tell(Found::Other(node)),
        }
    }

    fn folder(&mut self, node: Node, path: &Path, metadata: &Metadata) -> Result<(), Failure> {
        let elsewhere = self.device.is_some_and(|device| device != metadata.dev());
        let names = if self.folder.one_file_system && elsewhere {
            Vec::new()
        } else {
            names_in(path).unwrap_or_else(|error| {
                self.stored.problems.add(path, error);
                Vec::new()
            })
        };
        self.parent.enter(&node.name);
        self.stored.folders += 1;
        self.tell(Found::Enter(node))?;
        self.entries(path, names)?;
        self.parent.leave();
        self.tell(Found::Leave)
    }

    fn file(&mut self, mut node: Node, path: &Path, wanted: Wanted) -> Result<(), Failure> {
        if let Some(content) = self.parent.unchanged(&node) {
            node.content = Some(content);
            self.stored.files += 1;
            self.stored.files_unchanged += 1;
            return self.tell(Found::Other(node));
        }
        // It may have become a pipe or a link since it was looked at.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let cutter = match wanted {
            Wanted::Evenly => &mut self.evenly,
            _ => &mut self.by_content,
        };
        let read = opened.map_err(Failure::Source).and_then(|mut file| {
            let fill = |segment: &mut Vec<u8>, most| fill(&mut file, segment, most);
            cut(fill, Some(node.size), cutter, &mut self.feeder)
        });
        match read {
            Ok((pieces, size)) => {
                node.size = size;
                self.stored.files += 1;
                self.stored.bytes_read += size;
                self.tell(Found::File(node, pieces))
            }
            Err(Failure::Source(error)) => {
                self.stored.problems.add(path, error);
                Ok(())
            }
            Err(stopped) => Err(stopped),
        }
    }
}

/// Reads into the room that is there, and nowhere in between.
fn fill(file: &mut File, segment: &mut Vec<u8>, most: usize) -> std::io::Result<usize> {
    file.by_ref().take(most as u64).read_to_end(segment)
}

/// The names in a folder, by their bytes.
fn names_in(folder: &Path) -> std::io::Result<Vec<OsString>> {
    let mut names = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}
