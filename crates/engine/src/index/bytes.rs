//! Stretches of an artifact from where it lies, and streams as what blocking code reads.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use artifact::{
    Identities, Manifest, RangeOpener,
    manifest::{MAX_SIZE_BYTES, ManifestArtifact},
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use model::{Artifact, StoredCopy};
use store::{Key, Store};
use tokio::{runtime::Handle, sync::mpsc};

use crate::run::commit::read_small;

/// Chunks that may wait between who reads and who takes.
const WAITING_CHUNKS: usize = 8;

/// An artifact's copy, of which stretches can be read.
#[derive(Clone)]
pub(crate) struct ArtifactBytes {
    store: Arc<dyn Store>,
    /// Objects and their sizes, in order.
    objects: Vec<(Key, u64)>,
    told: Arc<ManifestArtifact>,
    identities: Identities,
}

impl ArtifactBytes {
    /// `artifact` in `copy`, as its manifest there tells of it. The catalog's own word on what it
    /// is counts more: a manifest lies where others can write.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        copy: &StoredCopy,
        artifact: &Artifact,
        identities: Identities,
    ) -> io::Result<Self> {
        let key = Key::new(&copy.manifest_key).map_err(io::Error::other)?;
        let bytes = read_small(store.as_ref(), &key, MAX_SIZE_BYTES as u64).await;
        let manifest =
            Manifest::from_bytes(&bytes.map_err(io::Error::other)?).map_err(io::Error::other)?;
        let told = manifest
            .artifacts
            .into_iter()
            .find(|told| told.source == artifact.source.as_str())
            .filter(|told| told.plain.sha256.to_string() == artifact.sha256)
            .ok_or_else(|| io::Error::other(format!("{key} tells of another snapshot")))?;
        let objects = copy
            .objects
            .iter()
            .filter(|object| object.source == artifact.source)
            .map(|object| Ok((Key::new(&object.key)?, object.stored_size_bytes)))
            .collect::<Result<Vec<_>, store::InvalidKey>>()
            .map_err(io::Error::other)?;
        let sizes = told.objects.iter().map(|object| object.stored.size_bytes);
        if !objects.iter().map(|(_, size)| *size).eq(sizes) {
            return Err(io::Error::other(format!("{key} tells of other objects")));
        }
        Ok(Self { store, objects, told: Arc::new(told), identities })
    }

    /// Reads the plain bytes `wanted`, from no more of what is stored than they take. What comes
    /// counts only when the stream has ended without an error.
    pub(crate) fn read(&self, wanted: Range<u64>) -> Incoming {
        let (sink, chunks) = mpsc::channel(WAITING_CHUNKS);
        let this = self.clone();
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let read = this.run(&runtime, wanted, &sink);
            if let Err(error) = read {
                drop(sink.blocking_send(Err(error)));
            }
        });
        Incoming::new(chunks)
    }

    fn run(
        &self,
        runtime: &Handle,
        wanted: Range<u64>,
        sink: &mpsc::Sender<io::Result<Bytes>>,
    ) -> io::Result<()> {
        let mut opener =
            RangeOpener::new(&self.told, wanted, &self.identities).map_err(io::Error::other)?;
        let mut is_heard = true;
        let mut out = |bytes: Bytes| is_heard = is_heard && sink.blocking_send(Ok(bytes)).is_ok();
        while let Some(needs) = opener.needs() {
            if sink.is_closed() {
                return Ok(());
            }
            let (key, range) = self.piece(&needs).ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut skip = 0;
            let ranged = self.store.capability().ranges;
            let asked = if ranged { Some(range.clone()) } else { None };
            if !ranged {
                skip = usize::try_from(range.start).unwrap_or(usize::MAX);
            }
            let mut stream =
                runtime.block_on(self.store.read(key, asked)).map_err(io::Error::other)?;
            let mut at = range.start;
            while at < range.end && !sink.is_closed() {
                let chunk = runtime.block_on(stream.try_next()).map_err(io::Error::other)?;
                let mut chunk = chunk.ok_or(io::ErrorKind::UnexpectedEof)?;
                let passed = skip.min(chunk.len());
                skip -= passed;
                chunk = chunk.slice(passed..);
                at += chunk.len() as u64;
                opener.push(chunk, &mut out).map_err(io::Error::other)?;
                // It may have seen enough, or go on elsewhere.
                let follows = needs.start + (at - range.start);
                if opener.needs().is_none_or(|next| next.start != follows) {
                    break;
                }
            }
        }
        opener.finish(&mut out).map(drop).map_err(io::Error::other)
    }

    /// The first object that holds something of `needs`, and what of it.
    fn piece(&self, needs: &Range<u64>) -> Option<(&Key, Range<u64>)> {
        let mut begins = 0;
        for (key, size) in &self.objects {
            let end = begins + size;
            if needs.start < end {
                return Some((key, needs.start - begins..needs.end.min(end) - begins));
            }
            begins = end;
        }
        None
    }
}

/// Chunks that come, for blocking code.
pub(crate) struct Incoming {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Incoming {
    pub(crate) fn new(chunks: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { chunks, rest: Bytes::new() }
    }

    /// What a stream gives.
    pub(crate) fn of<E>(
        stream: impl futures::Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let (sink, chunks) = mpsc::channel(WAITING_CHUNKS);
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(chunk) = stream.next().await {
                if sink.send(chunk.map_err(io::Error::other)).await.is_err() {
                    return;
                }
            }
        });
        Self::new(chunks)
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.rest = chunk?,
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
