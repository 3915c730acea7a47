//! A folder on this machine.
//!
//! An object is written under a temporary name in its own folder, synced, linked to its final
//! name (which fails where the name is taken), and the folder is synced, with those above that were
//! made for it: after a power loss the object is there whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    ByteStream, Capability, CreateOptions, Here, Key, Listing, ObjectMeta, Prefix, Store,
    StoreError, StoreErrorKind, Swept, Upload,
    closed::{self, Closed, Folder},
    folders::{Folders, sync_above},
    key::{finished_name, is_partial},
};

/// How much is read at once, in bytes.
const READ_CHUNK: usize = 256 << 10;
/// How much is gathered before the disk is written, in bytes.
const WRITE_CHUNK: usize = 512 << 10;
/// How much the disk's cache is given at once, in bytes. From 128 KiB on Linux may take large folios
/// for it, which were measured to cost six times the processor time.
const WRITE_PIECE: usize = 64 << 10;
/// Smaller chunks are copied together, larger ones are written from where they lie; in bytes.
const SMALL_CHUNK: usize = 16 << 10;
/// How much is written before the disk is told to begin with it, in bytes. Left to the end, all
/// of it would wait for the disk after the last byte has come.
const SYNC_EVERY: usize = 32 << 20;

/// Objects as files under a folder.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
    closed: Option<Closed>,
    folders: Folders,
}

impl Local {
    /// Opens `root`, which is made if it is not there.
    pub async fn open(root: &Path) -> Result<Self, StoreError> {
        let root = root.to_owned();
        blocking(move || {
            let folders = Folders::default();
            folders.make(&root).map_err(|e| StoreError::io("creating", &show(&root), &e))?;
            Ok(Self { root, closed: None, folders })
        })
        .await
    }

    /// The same, with folders that count as one object each.
    #[must_use]
    pub fn closing(self, closed: Option<Closed>) -> Self {
        Self { closed, ..self }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(StoreError::internal(format!("a file operation ended: {panic}")))
    })
}

fn meta_of(key: &Key, meta: &fs::Metadata) -> ObjectMeta {
    ObjectMeta {
        key: key.clone(),
        size_bytes: meta.len(),
        modified_at: meta.modified().ok(),
        sha256: None,
    }
}

struct LocalUpload {
    key: Key,
    partial: PathBuf,
    path: PathBuf,
    folders: Folders,
    /// `None` while a write is under way, and after the end.
    file: Option<File>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    small: BytesMut,
    unsynced: usize,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl LocalUpload {
    fn gather(&mut self, chunk: Bytes) {
        self.gathered_bytes += chunk.len();
        if chunk.len() < SMALL_CHUNK {
            self.small.extend_from_slice(&chunk);
        } else {
            self.gather_small();
            self.gathered.push(chunk);
        }
    }

    fn gather_small(&mut self) {
        if !self.small.is_empty() {
            self.gathered.push(self.small.split().freeze());
        }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.gather_small();
        let chunks = std::mem::take(&mut self.gathered);
        self.unsynced += std::mem::take(&mut self.gathered_bytes);
        let Some(mut file) = self.file.take() else {
            return Err(StoreError::internal("an upload was used after it failed"));
        };
        let path = show(&self.partial);
        let file = blocking(move || {
            for piece in chunks.iter().flat_map(|chunk| chunk.chunks(WRITE_PIECE)) {
                file.write_all(piece).map_err(|e| StoreError::io("writing", &path, &e))?;
            }
            Ok(file)
        })
        .await?;
        if self.unsynced >= SYNC_EVERY && self.syncing.as_ref().is_none_or(JoinHandle::is_finished)
        {
            self.synced().await?;
            let same = file
                .try_clone()
                .map_err(|e| StoreError::io("writing", &show(&self.partial), &e))?;
            self.syncing = Some(spawn_blocking(move || same.sync_data()));
            self.unsynced = 0;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Waits for the sync under way. Its error counts: the kernel tells it once only, so that a
    /// later sync of the same file would pass.
    async fn synced(&mut self) -> Result<(), StoreError> {
        let Some(syncing) = self.syncing.take() else { return Ok(()) };
        let told = |e: io::Error| StoreError::io("syncing", &show(&self.partial), &e);
        syncing.await.map_err(|panic| StoreError::internal(panic.to_string()))?.map_err(told)
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        // Unlinking a file is quick; whoever drops an upload may have no runtime left.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Makes the file that an upload writes to, and its folder.
fn begin(path: &Path, partial: &Path, folders: &Folders) -> Result<fs::File, StoreError> {
    let mut tries = 3;
    loop {
        if let Some(folder) = path.parent() {
            folders.make(folder).map_err(|e| StoreError::io("creating", &show(folder), &e))?;
        }
        tries -= 1;
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial) {
            Ok(file) => return Ok(file),
            // Somebody has just removed the folder as an empty one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => {}
            Err(error) => return Err(StoreError::io("creating", &show(partial), &error)),
        }
    }
}

#[async_trait]
impl Store for Local {
    fn capability(&self) -> Capability {
        Capability { kind: "local", location: show(&self.root), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        let path = self.path(key.as_str());
        let partial = self.path(&key.partial(rand::random()));
        let (key, folders) = (key.clone(), self.folders.clone());
        blocking(move || {
            if path.symlink_metadata().is_ok() {
                return Err(StoreError::new(
                    StoreErrorKind::AlreadyExists,
                    format!("{} is there already", show(&path)),
                ));
            }
            let file = begin(&path, &partial, &folders)?;
            Ok(Box::new(LocalUpload {
                key,
                partial,
                path,
                folders,
                file: Some(file),
                gathered: Vec::new(),
                gathered_bytes: 0,
                small: BytesMut::new(),
                unsynced: 0,
                syncing: None,
            }) as Box<dyn Upload>)
        })
        .await
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let path = self.path(key.as_str());
        let (mut file, mut left) = blocking({
            let path = path.clone();
            move || {
                let told = |e: io::Error| StoreError::io("reading", &show(&path), &e);
                let mut file = File::open(&path).map_err(told)?;
                let size = file.metadata().map_err(told)?.len();
                let range = range.unwrap_or(0..size);
                file.seek(SeekFrom::Start(range.start)).map_err(told)?;
                Ok((file, range.end.min(size).saturating_sub(range.start)))
            }
        })
        .await?;
        let (sink, chunks) = mpsc::channel(4);
        spawn_blocking(move || {
            while left > 0 {
                let take = usize::try_from(left).map_or(READ_CHUNK, |left| left.min(READ_CHUNK));
                let mut chunk = BytesMut::zeroed(take);
                let read = file.read_exact(&mut chunk);
                left -= take as u64;
                let item = match read {
                    Ok(()) => Ok(chunk.freeze()),
                    Err(error) => {
                        left = 0;
                        Err(StoreError::io("reading", &show(&path), &error))
                    }
                };
                if sink.blocking_send(item).is_err() {
                    return; // Nobody reads on.
                }
            }
        });
        Ok(ReceiverStream::new(chunks).boxed())
    }

    fn here(&self, key: &Key) -> Option<Here> {
        Some(Here::new(self.path(key.as_str())))
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let (path, key) = (self.path(key.as_str()), key.clone());
        blocking(move || {
            let told = |e: io::Error| StoreError::io("looking at", &show(&path), &e);
            let meta = fs::symlink_metadata(&path).map_err(told)?;
            if !meta.is_file() {
                return Err(StoreError::new(
                    StoreErrorKind::NotFound,
                    format!("{} is no file", show(&path)),
                ));
            }
            Ok(meta_of(&key, &meta))
        })
        .await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let root = self.root.clone();
        let disk = blocking(move || disk(&root)).await?;
        // One folder is held at a time, however many objects there are.
        let state = (self.clone(), vec![prefix.as_str().to_owned()], Vec::new());
        let found = stream::try_unfold(state, move |(local, mut folders, mut here)| async move {
            loop {
                if let Some(object) = here.pop() {
                    return Ok(Some((object, (local, folders, here))));
                }
                let (root, closed) = (local.root.clone(), local.closed);
                let Some(folder) = folders.pop() else {
                    return blocking(move || same(&root, disk)).await.map(|()| None);
                };
                let (objects, more) = blocking(move || look(&root, &folder, closed)).await?;
                here = objects;
                folders.extend(more);
            }
        });
        Ok(found.boxed())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key.as_str());
        let root = self.root.clone();
        blocking(move || {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Its absence counts only where the root itself is there.
                    fs::metadata(&root)
                        .map_err(|e| StoreError::io("deleting in", &show(&root), &e))?;
                    return Ok(());
                }
                Err(error) => return Err(StoreError::io("deleting", &show(&path), &error)),
            }
            sync_folder(&path)
        })
        .await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        let (root, key) = (self.root.clone(), key.clone());
        blocking(move || {
            let (folder, finished) = key.split();
            for (name, meta) in entries(&root, folder.unwrap_or_default())? {
                if meta.is_file() && finished_name(&name) == Some(finished) {
                    let path = root.join(&name);
                    fs::remove_file(&path)
                        .map_err(|e| StoreError::io("removing", &show(&path), &e))?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn remove_empty(&self, folder: &Prefix) -> Result<(), StoreError> {
        if folder.as_str().is_empty() {
            return Ok(());
        }
        let path = self.path(folder.as_str());
        blocking(move || {
            use io::ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
            match fs::remove_dir(&path) {
                Err(error)
                    if !matches!(error.kind(), DirectoryNotEmpty | NotFound | ResourceBusy) =>
                {
                    Err(StoreError::io("removing", &show(&path), &error))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        let (root, prefix, closed) = (self.root.clone(), prefix.clone(), self.closed);
        blocking(move || {
            let mut swept = Vec::new();
            sweep_folder(&root, prefix.as_str(), closed, (older_than, now), &mut swept)?;
            Ok(swept)
        })
        .await
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.gather(chunk);
        if self.gathered_bytes >= WRITE_CHUNK { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        self.flush().await?;
        self.synced().await?;
        let (key, partial, path) = (self.key.clone(), self.partial.clone(), self.path.clone());
        let folders = self.folders.clone();
        let Some(file) = self.file.take() else {
            return Err(StoreError::internal("an upload was finished after it failed"));
        };
        blocking(move || {
            let told = |e: io::Error| StoreError::io("finishing", &show(&path), &e);
            file.sync_all().map_err(told)?;
            let meta = file.metadata().map_err(told)?;
            // A link, unlike a rename, does not replace what is there.
            fs::hard_link(&partial, &path).map_err(told)?;
            let _ = fs::remove_file(&partial);
            sync_folder(&path)?;
            folders.settle(path.parent().unwrap_or(&path)).map_err(told)?;
            Ok(meta_of(&key, &meta))
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    sync_above(path).map_err(|e| StoreError::io("syncing the folder of", &show(path), &e))
}

/// Entries of `folder`; a folder that is not there has none.
fn entries(root: &Path, folder: &str) -> Result<Vec<(String, fs::Metadata)>, StoreError> {
    let path = root.join(folder);
    let told = |e: io::Error| StoreError::io("listing", &show(&path), &e);
    let read = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(told)?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry.map_err(told)?;
        let meta = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // Gone meanwhile.
            meta => meta.map_err(told)?,
        };
        // Names that are not Unicode are not ours.
        if let Ok(name) = entry.file_name().into_string() {
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            found.push((name, meta));
        }
    }
    Ok(found)
}

/// Which disk and folder `root` is. One that went away is an unmounted disk, not an empty
/// destination.
fn disk(root: &Path) -> Result<(u64, u64), StoreError> {
    let told = |e: io::Error| StoreError::io("listing", &show(root), &e);
    fs::read_dir(root).map_err(told)?;
    let meta = fs::metadata(root).map_err(told)?;
    Ok((meta.dev(), meta.ino()))
}

/// Errs where `root` is not the one that a listing began with: what it has shown is not all.
fn same(root: &Path, before: (u64, u64)) -> Result<(), StoreError> {
    if disk(root)? == before {
        return Ok(());
    }
    let message = format!("{}: the folder was exchanged while it was listed", root.display());
    Err(StoreError::new(StoreErrorKind::Unavailable, message))
}

/// Objects and folders right in `folder`.
fn look(
    root: &Path,
    folder: &str,
    closed: Option<Closed>,
) -> Result<(Vec<ObjectMeta>, Vec<String>), StoreError> {
    let (mut objects, mut folders) = (Vec::new(), Vec::new());
    for (name, meta) in entries(root, folder)? {
        let kind = closed::kind(closed, &name);
        if meta.is_dir() && kind == Folder::Open {
            folders.push(name);
        } else if (meta.is_file() || meta.is_dir() && kind == Folder::Object)
            && let Ok(key) = Key::new(&name)
        {
            let size_bytes = if meta.is_dir() { 0 } else { meta.len() };
            objects.push(ObjectMeta { size_bytes, ..meta_of(&key, &meta) });
        }
    }
    Ok((objects, folders))
}

fn sweep_folder(
    root: &Path,
    folder: &str,
    closed: Option<Closed>,
    (older_than, now): (Duration, SystemTime),
    swept: &mut Vec<Swept>,
) -> Result<(), StoreError> {
    for (name, meta) in entries(root, folder)? {
        if meta.is_dir() {
            if closed::kind(closed, &name) == Folder::Open {
                sweep_folder(root, &name, closed, (older_than, now), swept)?;
            }
        } else if meta.is_file() && is_partial(&name) {
            let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age >= older_than) {
                let path = root.join(&name);
                fs::remove_file(&path).map_err(|e| StoreError::io("sweeping", &show(&path), &e))?;
                swept.push(Swept { name });
            }
        }
    }
    Ok(())
}
