//! An object on its way.

use std::{io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use store::{Key, ObjectMeta, StoreError, Upload};
use tokio::{io::AsyncReadExt as _, sync::mpsc, task::JoinHandle};
use tokio_util::io::StreamReader;

use super::{Inner, OBJECT_TAG, hold::Hold, told};
use crate::{
    Id, Node, NodeKind, RepositoryError, Snapshot,
    skeleton::{OFFSETS_SUFFIX, REST_SUFFIX, SUFFIX},
    write::{Archived, Contents, Writer, tar::is_tar},
};

/// How much shows whether it is a tar, in bytes.
const BLOCK: usize = 512;
/// Chunks that may wait for whoever cuts them.
const WAITING_CHUNKS: usize = 4;

/// What came of the stream, when all of it was taken.
type Taken = Result<(Writer, Id, u64), RepositoryError>;

/// A stream into a snapshot that is not there yet.
pub(super) struct Sending {
    objects: Arc<Inner>,
    hold: Hold,
    key: Key,
    tags: Vec<String>,
    began_at: jiff::Timestamp,
    feed: Option<mpsc::Sender<Bytes>>,
    task: JoinHandle<Taken>,
}

impl Sending {
    pub(super) async fn begin(
        objects: &Arc<Inner>,
        hold: Hold,
        key: &Key,
        tags: Vec<String>,
    ) -> Result<Self, RepositoryError> {
        let repository = &objects.repository;
        let index = objects.holder.fresh_index().await?;
        let writer = Writer::begin(repository, index, objects.options.write.clone())?;
        let (feed, chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
        let (name, began_at) = (key.clone(), repository.surroundings().now());
        let (stopper, lock) = (writer.stopper(), Arc::clone(&hold.lock));
        let task = tokio::spawn(async move {
            let taken = take(writer, &name, chunks, began_at);
            tokio::select! {
                taken = taken => taken,
                lost = lock.lost() => {
                    let why = lost.to_string();
                    stopper.stop(lost);
                    Err(RepositoryError::LockLost(why))
                }
            }
        });
        let (objects, key) = (Arc::clone(objects), key.clone());
        Ok(Self { objects, hold, key, tags, began_at, feed: Some(feed), task })
    }

    /// What the task ended with, when everything was fed.
    async fn taken(&mut self) -> Taken {
        self.feed = None;
        (&mut self.task).await?
    }

    fn snapshot(&self, tree: Id, size_bytes: u64, stored: crate::write::Statistics) -> Snapshot {
        let repository = &self.objects.repository;
        let mut snapshot = Snapshot::new(self.began_at, tree);
        snapshot.paths = vec![format!("/{}", self.key)];
        snapshot.hostname.clone_from(&self.objects.options.hostname);
        snapshot.username.clone_from(&repository.surroundings().username);
        snapshot.tags = vec![OBJECT_TAG.to_owned()];
        snapshot.tags.extend(self.tags.iter().cloned());
        snapshot.program_version.clone_from(&self.objects.options.program);
        let summary = serde_json::json!({
            "backup_start": self.began_at,
            "backup_end": repository.surroundings().now(),
            "files_new": 1,
            "data_blobs": stored.blobs_new,
            "data_added": stored.bytes_new,
            "data_added_packed": stored.bytes_stored,
            "total_files_processed": 1,
            "total_bytes_processed": size_bytes,
        });
        snapshot.other.insert("summary".to_owned(), summary);
        snapshot
    }

    async fn commit(&mut self) -> Result<ObjectMeta, StoreError> {
        let (writer, tree, size_bytes) = self.taken().await.map_err(told)?;
        let lock = Arc::clone(&self.hold.lock);
        let written = lock.guard(writer.finish(&lock)).await.map_err(told)?;
        let snapshot = self.snapshot(tree, size_bytes, written.statistics);
        let _naming = self.objects.naming.lock().await;
        let (known, repository) = (&self.objects.known, &self.objects.repository);
        if known.find(repository, &self.key).await.map_err(told)?.is_some() {
            return Err(self.objects.taken(&self.key));
        }
        lock.guard(written.commit(&lock, &snapshot)).await.map_err(told)?;
        Ok(ObjectMeta {
            key: self.key.clone(),
            size_bytes,
            modified_at: Some(self.began_at.into()),
            sha256: None,
        })
    }
}

/// Stores what `chunks` bring under its name, in the folders of its name: a tar as the files that
/// are in it, anything else as a file.
async fn take(
    writer: Writer,
    key: &Key,
    chunks: mpsc::Receiver<Bytes>,
    at: jiff::Timestamp,
) -> Taken {
    let source = stream::unfold(chunks, |mut chunks| async move {
        chunks.recv().await.map(|chunk| (Ok::<_, io::Error>(chunk), chunks))
    });
    let mut source = StreamReader::new(Box::pin(source));
    let mut begin = Vec::with_capacity(BLOCK);
    let read = (&mut source).take(BLOCK as u64).read_to_end(&mut begin).await;
    read.map_err(|e| RepositoryError::io("reading", key.as_str().as_ref(), e))?;
    let is_tar = is_tar(&begin);
    let source = io::Cursor::new(begin).chain(source);
    let mut names = key.as_str().rsplit('/');
    let name = names.next().unwrap_or_default();
    let (nodes, size_bytes) = if is_tar {
        let archived = writer.tar(source).await?;
        let size_bytes = archived.size_bytes;
        (archive(name, archived, at), size_bytes)
    } else {
        let chunking = writer.chunking().clone();
        let contents = writer.contents(key.as_str(), source, &chunking).await?;
        let size_bytes = contents.size_bytes;
        (vec![file(name, contents, at)], size_bytes)
    };
    let mut tree = writer.tree(nodes).await?;
    for name in names {
        let mut folder = entry(name, NodeKind::Dir, at);
        folder.subtree = Some(tree);
        tree = writer.tree(vec![folder]).await?;
    }
    Ok((writer, tree, size_bytes))
}

/// The folder of a tar, and beside it what it takes to give back the tar.
fn archive(name: &str, archived: Archived, at: jiff::Timestamp) -> Vec<Node> {
    let Archived { mut folder, skeleton, offsets, rest, .. } = archived;
    folder.name = name.as_bytes().to_vec();
    let mut nodes = vec![folder, file(&format!("{name}{SUFFIX}"), skeleton, at)];
    for (suffix, contents) in [(OFFSETS_SUFFIX, offsets), (REST_SUFFIX, rest)] {
        if !contents.blobs.is_empty() {
            nodes.push(file(&format!("{name}{suffix}"), contents, at));
        }
    }
    nodes
}

fn file(name: &str, contents: Contents, at: jiff::Timestamp) -> Node {
    let mut node = entry(name, NodeKind::File, at);
    node.size = contents.size_bytes;
    node.content = Some(contents.blobs);
    node
}

fn entry(name: &str, kind: NodeKind, at: jiff::Timestamp) -> Node {
    let mode = if kind == NodeKind::Dir { 0o755 } else { 0o644 };
    let mut node = Node::new(name.as_bytes(), kind);
    node.set_unix_mode(mode);
    (node.mtime, node.atime, node.ctime) = (Some(at), Some(at), Some(at));
    node
}

#[async_trait]
impl Upload for Sending {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if let Some(feed) = &self.feed
            && feed.send(chunk).await.is_ok()
        {
            return Ok(());
        }
        match self.taken().await {
            Err(error) => Err(told(error)),
            Ok(_) => Err(StoreError::internal(format!("{}: nobody took its bytes", self.key))),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        self.commit().await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        self.task.abort();
        let _ = (&mut self.task).await;
        Ok(())
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}
