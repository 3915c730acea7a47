//! What is in a snapshot's archives, and single files of them.

use std::{
    io::{self, Read, Write as _},
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use archive::{Kind, Members, Packing, Sink};
use artifact::Identities;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use model::{Artifact, Fact, Snapshot, SnapshotId};
use tokio::sync::mpsc;

use crate::{
    Engine, EngineError,
    index::{
        ArchiveEntry, ArtifactBytes, Blocks, Cache, EntryKind, Incoming, Index, Listing, Place,
        zipped,
    },
    run::restore,
    trees::listed,
};

/// Entries of a folder that are told at once.
const PAGE: usize = 500;
/// Finds that are told at all.
const MAX_FOUND: usize = 500;
/// Links to links that are followed to a file's content.
const MAX_LINKS: usize = 8;

/// A file of a snapshot, or a folder of it as a tar.
pub struct MemberStream {
    /// What is read.
    pub entry: ArchiveEntry,
    /// What it is to be called, without its folder.
    pub file_name: String,
    /// Its length in bytes, where it is known.
    pub size_bytes: Option<u64>,
    chunks: BoxStream<'static, io::Result<Bytes>>,
}

impl MemberStream {
    fn new(
        entry: ArchiveEntry,
        source: &str,
        chunks: BoxStream<'static, io::Result<Bytes>>,
    ) -> Self {
        let is_folder = entry.kind == EntryKind::Folder;
        let file_name = if is_folder {
            format!("{}.tar", if entry.name.is_empty() { source } else { &entry.name })
        } else {
            entry.name.clone()
        };
        let size_bytes = (!is_folder).then_some(entry.size_bytes);
        Self { entry, file_name, size_bytes, chunks }
    }
}

/// What blocking code writes, as a stream.
fn written(
    write: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static,
) -> BoxStream<'static, io::Result<Bytes>> {
    let (sink, chunks) = mpsc::channel(4);
    let writing = tokio::task::spawn_blocking(move || {
        let mut to = Sink::new(sink);
        write(&mut to)?;
        to.flush()
    });
    let chunks = futures::stream::unfold((chunks, Some(writing)), async |state| {
        let (mut chunks, mut writing) = state;
        if let Some(chunk) = chunks.recv().await {
            return Some((Ok(chunk), (chunks, writing)));
        }
        // Only an end without a word is an end.
        match writing.take()?.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Err(error), (chunks, None))),
            Err(fault) => Some((Err(io::Error::other(fault)), (chunks, None))),
        }
    });
    chunks.boxed()
}

impl Stream for MemberStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

impl Engine {
    /// A page of the folder `path` in the archive that `source` gave to the snapshot; the page
    /// after `next`, as the one before told it. The first call makes the index of the archive,
    /// which reads all of it.
    pub async fn browse(
        &self,
        id: SnapshotId,
        source: &str,
        path: &str,
        next: Option<String>,
    ) -> Result<Listing, EngineError> {
        let path = path.trim_matches('/').to_owned();
        let wanted = path.clone();
        let listed =
            self.ask(id, source, move |index| index.list(&wanted, next.as_deref(), PAGE)).await?;
        listed.ok_or_else(|| EngineError::not_found("folder", path))
    }

    /// Members of that archive whose names hold `words`, or match them where they have a `*` or a
    /// `?`; at most 500.
    pub async fn search(
        &self,
        id: SnapshotId,
        source: &str,
        words: &str,
    ) -> Result<Vec<ArchiveEntry>, EngineError> {
        let words = words.to_owned();
        self.ask(id, source, move |index| index.search(&words, MAX_FOUND)).await
    }

    /// What is at `path` of that archive: a file's content, or a folder as a tar. No more of the
    /// artifact is read than that takes, where it was stored so that it can be.
    pub async fn read_path(
        &self,
        id: SnapshotId,
        source: &str,
        path: &str,
    ) -> Result<MemberStream, EngineError> {
        let path = path.trim_matches('/').to_owned();
        let wanted = path.clone();
        let found =
            self.ask(id, source, move |index| Ok((index.packing()?, found(index, &wanted)?)));
        let (packing, found) = found.await?;
        let Some((entry, places)) = found else {
            return Err(EngineError::not_found("file", path));
        };
        let is_folder = entry.kind == EntryKind::Folder;
        if !is_folder && entry.kind != EntryKind::File {
            return Err(EngineError::invalid("path", Fact::NeitherFile {}));
        }
        let Some(whole) = places
            .first()
            .map(|first| first.start..places.last().map_or(first.end, |last: &Place| last.end))
        else {
            return Err(EngineError::not_found("file", path));
        };
        let (snapshot, artifact) = self.artifact_of(id, source).await?;
        if packing == zipped::PACKING {
            let from = self.stretches(&snapshot, &artifact).await?;
            let from = Blocks::new(from, artifact.size_bytes);
            let chunks = written(move |to| {
                if is_folder {
                    zipped::folder(from, &places, to)
                } else {
                    zipped::file(from, whole.start, to)
                }
            });
            return Ok(MemberStream::new(entry, source, chunks));
        }
        if packing == listed::PACKING {
            let part = self.read_part(&snapshot, source, &entry.path).await?;
            if is_folder {
                let chunks = part.map_err(io::Error::other).boxed();
                return Ok(MemberStream::new(entry, source, chunks));
            }
            let (from, path) = (Incoming::of(part), entry.path.clone());
            let chunks = written(move |to| named(from, &path, to));
            return Ok(MemberStream::new(entry, source, chunks));
        }
        let (incoming, begins) = if packing == "none" {
            let stretched = self.stretches(&snapshot, &artifact).await?;
            (Some(stretched.read(whole.clone())), whole.start)
        } else {
            (None, 0)
        };
        let incoming = match incoming {
            Some(incoming) => incoming,
            None => Incoming::of(self.read_artifact(&snapshot, source, None).await?),
        };
        let chunks = written(move |to| {
            if is_folder {
                folder(incoming, begins, &places, to)
            } else {
                file(incoming, begins, &whole, to)
            }
        });
        Ok(MemberStream::new(entry, source, chunks))
    }

    pub(super) async fn artifact_of(
        &self,
        id: SnapshotId,
        source: &str,
    ) -> Result<(Snapshot, Artifact), EngineError> {
        let snapshot = self.0.catalog.snapshot(id).await?;
        let artifact = snapshot.artifacts.iter().find(|one| one.source.as_str() == source);
        let artifact =
            artifact.cloned().ok_or_else(|| EngineError::not_found("artifact", source))?;
        Ok((snapshot, artifact))
    }

    /// The index of that archive, which is made where it is not there.
    pub(super) async fn indexed(
        &self,
        id: SnapshotId,
        source: &str,
    ) -> Result<PathBuf, EngineError> {
        let (snapshot, artifact) = self.artifact_of(id, source).await?;
        let path = self.0.indexes.path(&id.to_string(), artifact.source.as_str());
        if !snapshot.copies.iter().any(|copy| copy.state.is_restorable()) {
            drop(std::fs::remove_file(&path));
            return Err(EngineError::damaged(Fact::NoGoodCopyOf { snapshot: id.to_string() }));
        }
        if !path.exists() {
            self.index(&snapshot, &artifact, &path).await?;
        }
        Ok(path)
    }

    /// Asks the index of that archive, which is made where it is not there.
    async fn ask<T: Send + 'static>(
        &self,
        id: SnapshotId,
        source: &str,
        question: impl FnOnce(&Index) -> Result<T, crate::index::IndexError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let path = self.indexed(id, source).await?;
        let now = SystemTime::from(self.now());
        let asked = tokio::task::spawn_blocking(move || match Cache::open(&path, now) {
            Some(index) => question(&index).map(Some),
            None => Ok(None),
        });
        let lost = || EngineError::conflict(Fact::IndexGone {});
        let asked = asked.await.map_err(|_| lost())?;
        asked.map_err(|error| EngineError::damaged(error.to_string()))?.ok_or_else(lost)
    }

    /// The artifact in the first copy that can be read.
    pub(super) async fn stretches(
        &self,
        snapshot: &Snapshot,
        artifact: &Artifact,
    ) -> Result<ArtifactBytes, EngineError> {
        let mut refusal =
            EngineError::damaged(Fact::NoGoodCopyOf { snapshot: snapshot.id.to_string() });
        for copy in &restore::candidates(snapshot, None) {
            let opened = async {
                let destination = self.0.catalog.destination(copy.destination_id).await?;
                let store = self.0.store_for(&destination).await?;
                let identities = if copy.is_encrypted() {
                    let locked = |failure: model::Failure| EngineError::locked(failure);
                    self.0.identities_of(&destination).map_err(locked)?
                } else {
                    Identities::default()
                };
                ArtifactBytes::open(store, copy, artifact, identities).await.map_err(|error| {
                    EngineError::damaged(Fact::At {
                        place: format!("`{}`", destination.name),
                        why: error.to_string().into(),
                    })
                })
            };
            match opened.await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

/// The member at `path`, by its first name, and where it lies with all that is below it.
fn found(
    index: &Index,
    path: &str,
) -> Result<Option<(ArchiveEntry, Vec<Place>)>, crate::index::IndexError> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if path.is_empty() {
            let entry = ArchiveEntry {
                path: String::new(),
                name: String::new(),
                kind: EntryKind::Folder,
                size_bytes: 0,
                mode: 0,
                uid: 0,
                gid: 0,
                modified_at: 0,
                link: None,
            };
            return Ok(Some((entry, index.below("")?)));
        }
        let Some((entry, place)) = index.find(&path)? else { return Ok(None) };
        match (entry.kind, &entry.link) {
            (EntryKind::Folder, _) => {
                let places = index.below(&path)?;
                return Ok(Some((entry, places)));
            }
            (EntryKind::Link, Some(link)) => link.trim_matches('/').clone_into(&mut path),
            _ => return Ok(Some((entry, place.into_iter().collect()))),
        }
    }
    Ok(None)
}

/// What comes, unpacked, from `at` on, of which `begins` is the first byte's place.
fn from(incoming: Incoming, begins: u64, at: u64) -> io::Result<Box<dyn Read + Send>> {
    if begins == at && begins > 0 {
        return Ok(Box::new(incoming));
    }
    let mut incoming = incoming;
    let mut first = Vec::new();
    incoming.by_ref().take(6).read_to_end(&mut first)?;
    let packing = Packing::of(&first);
    let mut plain = packing.open(io::Cursor::new(first).chain(incoming), None)?;
    pass(&mut plain, at - begins)?;
    Ok(plain)
}

fn pass(from: &mut impl Read, bytes: u64) -> io::Result<()> {
    let passed = io::copy(&mut from.take(bytes), &mut io::sink())?;
    if passed == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The content of the member at `place`, its holes as zeros.
fn file(incoming: Incoming, begins: u64, place: &Place, to: &mut Sink) -> io::Result<()> {
    let mut members = Members::new(from(incoming, begins, place.start)?);
    let member = members.next_member().map_err(io::Error::other)?;
    let member = member.filter(|member| member.kind == Kind::File);
    let member = member.ok_or_else(|| io::Error::other("the archive is not what was indexed"))?;
    members.copy_content(&member, to).map_err(io::Error::other)?;
    // What is left proves what came.
    members.drain().map_err(io::Error::other)
}

/// The content of the file at `path` of the tar that comes.
fn named(incoming: Incoming, path: &str, to: &mut Sink) -> io::Result<()> {
    let mut members = Members::new(incoming);
    while let Some(member) = members.next_member().map_err(io::Error::other)? {
        let Ok(parts) = archive::parts_of(&member.name) else { continue };
        if String::from_utf8_lossy(&parts.join(&b'/')) != path {
            continue;
        }
        if member.kind != Kind::File {
            return Err(io::Error::other("it is another name of a file: take that one"));
        }
        members.copy_content(&member, to).map_err(io::Error::other)?;
        return members.drain().map_err(io::Error::other);
    }
    Err(io::Error::other("the tree is not what was indexed"))
}

/// The members at `places` as a tar of their own.
fn folder(incoming: Incoming, begins: u64, places: &[Place], to: &mut Sink) -> io::Result<()> {
    let Some(first) = places.first() else { return Ok(()) };
    let mut plain = from(incoming, begins, first.start)?;
    let mut at = first.start;
    for place in places {
        pass(&mut plain, place.start - at)?;
        let length = place.end - place.start;
        let copied = io::copy(&mut plain.by_ref().take(length), to)?;
        if copied != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at = place.end;
    }
    io::copy(&mut plain, &mut io::sink())?;
    to.write_all(&[0; 1024])
}
