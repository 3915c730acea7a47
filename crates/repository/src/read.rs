//! Reading blobs: many at once, neighbours in one request, ahead of whoever takes them.

mod segment;

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};

use crate::{BlobKind, Id, Index, Location, Repository, RepositoryError, Tree};
pub(crate) use segment::{Opened, Segment, Want};

/// How many plain bytes are read in one go, about.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;
/// How many blobs are read in one go, at most.
pub(crate) const BATCH_BLOBS: usize = 1024;
/// How many goes are under way before the first of them is taken.
pub(crate) const READ_AHEAD: usize = 3;
/// How many requests one go makes at once.
const REQUESTS: usize = 4;

/// Reads blobs of a repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    repository: Repository,
    index: Arc<Index>,
}

/// What came of one blob.
pub(crate) type Read = Result<Opened, RepositoryError>;

impl Reader {
    /// A reader that finds blobs by `index`.
    pub fn new(repository: Repository, index: Arc<Index>) -> Self {
        Self { repository, index }
    }

    /// A reader with the repository's index as it is now.
    pub async fn open(repository: &Repository) -> Result<Self, RepositoryError> {
        let index = repository.load_index().await?.index;
        Ok(Self::new(repository.clone(), Arc::new(index)))
    }

    /// The repository that it reads.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Which blob lies where.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Where a blob lies.
    pub fn locate(&self, kind: BlobKind, id: &Id) -> Result<Location, RepositoryError> {
        self.index.get(kind, id).ok_or(RepositoryError::MissingBlob { kind, id: *id })
    }

    /// Each of the blobs, proven by its SHA-256, in the order asked for.
    pub(crate) async fn fetch(&self, wanted: &[Location], want: Want) -> Vec<Read> {
        let segments = segment::plan(wanted);
        let mut read: Vec<Option<Read>> = wanted.iter().map(|_| None).collect();
        let mut done = stream::iter(segments)
            .map(|segment| self.read_segment(segment, want))
            .buffer_unordered(REQUESTS);
        while let Some((segment, results)) = done.next().await {
            for (part, result) in segment.parts.iter().zip(results) {
                let (first, others) = part.asked.split_at(1);
                for again in others {
                    read[*again] = Some(same(&result, part.location));
                }
                read[first[0]] = Some(result);
            }
        }
        let lost = || Err(RepositoryError::Internal("a blob was not read".to_owned()));
        read.into_iter().map(|read| read.unwrap_or_else(lost)).collect()
    }

    async fn read_segment(&self, segment: Segment, want: Want) -> (Arc<Segment>, Vec<Read>) {
        let (segment, key) = (Arc::new(segment), self.repository.key().clone());
        let same = Arc::clone(&segment);
        let read = if let Some(here) = self.repository.pack_here(&segment.pack) {
            here.read(move |file| same.read_here(file, &key, want)).await.map_err(Into::into)
        } else {
            match segment.load(&self.repository).await {
                Ok(sealed) => on_a_thread(move || same.open(sealed, &key, want)).await,
                Err(error) => Err(error),
            }
        };
        let read = read.unwrap_or_else(|error| segment.failed(error));
        (segment, read)
    }

    /// The plain bytes of a blob.
    pub async fn blob(&self, kind: BlobKind, id: &Id) -> Result<Bytes, RepositoryError> {
        let location = self.locate(kind, id)?;
        let mut read = self.fetch(&[location], Want::Plain).await;
        read.remove(0).map(|opened| opened.bytes)
    }

    /// The plain bytes of blobs, in order.
    pub(crate) async fn plain(&self, wanted: &[Location]) -> Result<Vec<Bytes>, RepositoryError> {
        let read = self.fetch(wanted, Want::Plain).await;
        read.into_iter().map(|opened| opened.map(|opened| opened.bytes)).collect()
    }

    /// A folder.
    pub async fn tree(&self, id: &Id) -> Result<Tree, RepositoryError> {
        let json = self.blob(BlobKind::Tree, id).await?;
        tokio::task::spawn_blocking(move || Tree::parse(&json)).await?
    }

    /// The plain bytes of a file, from its blobs, read ahead.
    pub fn stream(
        &self,
        blobs: &[Id],
    ) -> impl Stream<Item = Result<Bytes, RepositoryError>> + Send + use<> {
        let locations: Result<Vec<_>, _> =
            blobs.iter().map(|id| self.locate(BlobKind::Data, id)).collect();
        let reader = self.clone();
        stream::once(async move { locations })
            .map_ok(move |locations| {
                let reader = reader.clone();
                stream::iter(batches(locations))
                    .map(move |batch| {
                        let reader = reader.clone();
                        tokio::spawn(async move { reader.plain(&batch).await })
                    })
                    .buffered(READ_AHEAD)
                    .map(|read| match read {
                        Ok(read) => read,
                        Err(error) => Err(error.into()),
                    })
                    .map_ok(|read| stream::iter(read.into_iter().map(Ok)))
                    .try_flatten()
            })
            .try_flatten()
    }
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RepositoryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        // A panic there is one here.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What a blob that was asked for twice is the second time.
fn same(first: &Read, location: Location) -> Read {
    match first {
        Ok(opened) => Ok(opened.clone()),
        Err(error) => Err(segment::damaged(&location, error)),
    }
}

/// The blobs in goes of a good size.
pub(crate) fn batches(locations: Vec<Location>) -> impl Iterator<Item = Vec<Location>> + Send {
    batches_of(locations, BATCH_BYTES)
}

/// Larger ones, where nothing is kept of them.
pub(crate) fn batches_for_proof(
    locations: Vec<Location>,
) -> impl Iterator<Item = Vec<Location>> + Send {
    batches_of(locations, segment::SEGMENT_BYTES)
}

fn batches_of(locations: Vec<Location>, most: u64) -> impl Iterator<Item = Vec<Location>> + Send {
    let mut rest = locations.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = rest.peek() {
            let length = u64::from(next.blob.plain_length());
            if !batch.is_empty() && (bytes + length > most || batch.len() >= BATCH_BLOBS) {
                break;
            }
            bytes += length;
            batch.extend(rest.next());
        }
        (!batch.is_empty()).then_some(batch)
    })
}
