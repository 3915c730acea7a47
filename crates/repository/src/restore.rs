//! Restoring a tree into a folder: what is in it is read pack by pack, some files at a time.

mod meta;

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    BlobKind, Id, Location, Node, NodeKind, Reader, RepositoryError,
    browse::Found,
    read::{READ_AHEAD, batches},
    walk::{Visit, Walk},
};

/// How many files, and how many blobs, are planned before they are read.
const WINDOW_FILES: usize = 20_000;
const WINDOW_BLOBS: usize = 50_000;
/// How much the disk's cache is given at once, in bytes: from 128 KiB on Linux may take large folios
/// for it, which were measured to cost several times the processor time.
const WRITE_PIECE: usize = 64 << 10;
/// How many things are told one by one.
const MAX_WARNINGS: usize = 1_000;

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files, hard links included.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links, pipes, devices.
    pub others: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// What could not be made as it was, by path.
    pub warnings: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    pub(crate) fn push(&self, path: &Path, what: impl std::fmt::Display) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_WARNINGS {
            lines.push(format!("{}: {what}", path.display()));
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A file whose blobs are read.
#[derive(Debug)]
struct Planned {
    path: PathBuf,
    node: Box<Node>,
    /// Blobs that are still to come.
    remaining: AtomicUsize,
    /// Whoever writes: two at once would wait for each other within the kernel, and not asleep.
    writing: Mutex<()>,
}

/// A blob's place in a file of the window.
#[derive(Debug, Clone, Copy)]
struct Place {
    location: Location,
    file: usize,
    offset: u64,
}

#[derive(Debug, Default)]
struct Window {
    files: Vec<Arc<Planned>>,
    places: Vec<Place>,
    /// Another name, and the first one.
    links: Vec<(PathBuf, PathBuf)>,
    /// Folders whose end was met, innermost first.
    left: Vec<(PathBuf, Box<Node>)>,
}

/// The first name of a file that has several, and what was in it.
type FirstName = (PathBuf, Option<Vec<Id>>);

struct Restore {
    reader: Reader,
    restored: Restored,
    warnings: Arc<Warnings>,
    /// Files with several names: the first, and how it was.
    names: HashMap<(u64, u64), FirstName>,
    window: Window,
}

impl Reader {
    /// Restores what `path` leads to into the folder `to`, which is made, or is there and empty: of
    /// a folder what is in it, of anything else itself under its name.
    pub async fn restore(
        &self,
        root: &Id,
        path: &[u8],
        to: &Path,
    ) -> Result<Restored, RepositoryError> {
        let found = self.resolve(root, path).await?;
        begin(to)?;
        let mut restore = Restore {
            reader: self.clone(),
            restored: Restored::default(),
            warnings: Arc::default(),
            names: HashMap::new(),
            window: Window::default(),
        };
        let own = match (found.tree(), found) {
            (Some(tree), found) => {
                restore.folder(&tree, to).await?;
                match found {
                    Found::Root(_) => None,
                    Found::Node(node) => Some(node),
                }
            }
            (None, Found::Node(node)) => {
                restore.enter(to, node.name.clone(), node).await?;
                None
            }
            (None, Found::Root(_)) => None,
        };
        restore.window.left.extend(own.map(|node| (to.to_owned(), node)));
        restore.flush().await?;
        restore.restored.warnings = restore.warnings.take();
        Ok(restore.restored)
    }
}

fn begin(to: &Path) -> Result<(), RepositoryError> {
    let failed = |error| RepositoryError::io("creating", to, error);
    match fs::read_dir(to) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(failed(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                "there is something in it; choose an empty folder",
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

impl Restore {
    async fn folder(&mut self, tree: &Id, to: &Path) -> Result<(), RepositoryError> {
        let mut walk = Walk::begin(&self.reader, tree).await?;
        while let Some(visit) = walk.next().await? {
            match visit {
                Visit::Enter { path, node } => self.enter(to, path, node).await?,
                Visit::Leave { path, node } => self.window.left.push((place(to, &path), node)),
            }
            if self.window.files.len() >= WINDOW_FILES || self.window.places.len() >= WINDOW_BLOBS {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn enter(
        &mut self,
        to: &Path,
        path: Vec<u8>,
        node: Box<Node>,
    ) -> Result<(), RepositoryError> {
        let path = place(to, &path);
        match node.kind {
            NodeKind::Dir => {
                self.restored.folders += 1;
                fs::DirBuilder::new()
                    .mode(0o700)
                    .create(&path)
                    .map_err(|e| RepositoryError::io("creating", &path, e))
            }
            NodeKind::File => self.file(path, node),
            _ => {
                self.restored.others += 1;
                let warnings = self.warnings.clone();
                tokio::task::spawn_blocking(move || meta::special(&path, &node, &warnings)).await?
            }
        }
    }

    fn file(&mut self, path: PathBuf, node: Box<Node>) -> Result<(), RepositoryError> {
        self.restored.files += 1;
        if node.links > 1 && node.inode != 0 {
            let identity = (node.inode, node.device_id);
            match self.names.get(&identity) {
                Some((first, content)) if *content == node.content => {
                    self.window.links.push((path, first.clone()));
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    self.names.insert(identity, (path.clone(), node.content.clone()));
                }
            }
        }
        let (file, mut offset) = (self.window.files.len(), 0);
        for id in node.blobs() {
            let location = self.reader.locate(BlobKind::Data, id)?;
            self.window.places.push(Place { location, file, offset });
            offset += u64::from(location.blob.plain_length());
        }
        self.restored.bytes += offset;
        let remaining = AtomicUsize::new(node.blobs().len());
        self.window.files.push(Arc::new(Planned {
            path,
            node,
            remaining,
            writing: Mutex::default(),
        }));
        Ok(())
    }

    /// Reads and writes what is planned.
    async fn flush(&mut self) -> Result<(), RepositoryError> {
        let Window { files, mut places, links, left } = std::mem::take(&mut self.window);
        places.sort_by_key(|place| (place.location.pack, place.location.blob.offset));
        let files = Arc::new(files);
        let (empty, warnings) = (files.clone(), self.warnings.clone());
        tokio::task::spawn_blocking(move || {
            empty.iter().try_for_each(|file| file.create(&warnings))
        })
        .await??;
        // Each blob is read once, for all its places.
        let mut unique: Vec<Location> = Vec::with_capacity(places.len());
        let mut of: Vec<Vec<Place>> = Vec::with_capacity(places.len());
        for place in places {
            if unique.last() == Some(&place.location)
                && let Some(last) = of.last_mut()
            {
                last.push(place);
            } else {
                unique.push(place.location);
                of.push(vec![place]);
            }
        }
        let mut of = of.into_iter();
        let work: Vec<_> = batches(unique)
            .map(|batch| (of.by_ref().take(batch.len()).collect::<Vec<_>>(), batch))
            .collect();
        stream::iter(work)
            .map(|(places, batch)| {
                let (reader, files) = (self.reader.clone(), files.clone());
                let warnings = self.warnings.clone();
                async move {
                    let read = reader.plain(&batch).await?;
                    let write = move || write(&files, places.into_iter().zip(read), &warnings);
                    tokio::task::spawn_blocking(write).await?
                }
            })
            .buffer_unordered(READ_AHEAD)
            .try_collect::<()>()
            .await?;
        let warnings = self.warnings.clone();
        tokio::task::spawn_blocking(move || {
            for (path, first) in links {
                fs::hard_link(&first, &path)
                    .map_err(|e| RepositoryError::io("linking", &path, e))?;
            }
            for (path, node) in left {
                let folder = File::open(&path);
                let folder = folder.map_err(|e| RepositoryError::io("opening", &path, e))?;
                meta::apply(&folder, &path, &node, &warnings);
            }
            Ok(())
        })
        .await?
    }
}

/// Where an entry is made. Its names were judged when its tree was read.
fn place(to: &Path, path: &[u8]) -> PathBuf {
    to.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path))
}

impl Planned {
    /// One blob is written when it comes; for more, there has to be a file to write to.
    fn create(&self, warnings: &Warnings) -> Result<(), RepositoryError> {
        let blobs = self.node.blobs().len();
        if blobs == 1 {
            return Ok(());
        }
        let file = self.open_new()?;
        if blobs == 0 {
            meta::apply(&file, &self.path, &self.node, warnings);
        }
        Ok(())
    }

    fn open_new(&self) -> Result<File, RepositoryError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path);
        file.map_err(|e| RepositoryError::io("creating", &self.path, e))
    }

    fn open(&self) -> Result<File, RepositoryError> {
        if self.node.blobs().len() == 1 {
            return self.open_new();
        }
        let file = OpenOptions::new().write(true).open(&self.path);
        file.map_err(|e| RepositoryError::io("opening", &self.path, e))
    }
}

fn write(
    files: &[Arc<Planned>],
    read: impl Iterator<Item = (Vec<Place>, Bytes)>,
    warnings: &Warnings,
) -> Result<(), RepositoryError> {
    let mut last: Option<(usize, File)> = None;
    for (places, bytes) in read {
        // What is all zeros stays a hole.
        let is_hole = bytes.len() >= 4096 && bytes.iter().all(|byte| *byte == 0);
        for place in places {
            let planned = &files[place.file];
            let failed = |e| RepositoryError::io("writing", &planned.path, e);
            let file = match &mut last {
                Some((at, file)) if *at == place.file => file,
                other => &mut other.insert((place.file, planned.open()?)).1,
            };
            let _alone = planned.writing.lock().unwrap_or_else(PoisonError::into_inner);
            if is_hole {
                let end = place.offset + bytes.len() as u64;
                // Others may have made it longer already, and two do so at once only upwards.
                if file.metadata().map_err(failed)?.len() < end {
                    file.write_all_at(&[0], end - 1).map_err(failed)?;
                }
            } else {
                let pieces = bytes.chunks(WRITE_PIECE).zip((place.offset..).step_by(WRITE_PIECE));
                for (piece, at) in pieces {
                    file.write_all_at(piece, at).map_err(failed)?;
                }
            }
            if planned.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
                meta::apply(file, &planned.path, &planned.node, warnings);
            }
        }
    }
    Ok(())
}
