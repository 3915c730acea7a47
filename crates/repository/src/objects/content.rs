//! What an object holds: the blobs of a file, or a tar that was taken apart.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use store::Key;

use crate::{
    BlobKind, Found, Id, Node, NodeKind, Reader, RepositoryError,
    pieces::{Piece, filled},
    skeleton::{OFFSETS_SUFFIX, Record, Records, SUFFIX, place},
};

/// Longest table of a skeleton that is read: there is a number for each of 32 entries.
const MAX_TABLE: usize = 64 << 20;

/// Where the bytes of an object are.
#[derive(Debug)]
pub(super) enum Content {
    /// In these blobs.
    Blobs(Vec<Id>),
    /// In a tree of files, and in the skeleton with these blobs; a long one has a table.
    Tar { skeleton: Vec<Id>, offsets: Vec<Id> },
}

impl Content {
    /// What the tree of an object's snapshot has under its name.
    pub(super) async fn of(
        reader: &Reader,
        tree: &Id,
        key: &Key,
    ) -> Result<Option<Self>, RepositoryError> {
        let Found::Node(node) = reader.resolve(tree, key.as_str().as_bytes()).await? else {
            return Ok(None);
        };
        let Node { kind, content, .. } = *node;
        if kind != NodeKind::Dir {
            return Ok(Some(Self::Blobs(content.unwrap_or_default())));
        }
        let name = format!("{key}{SUFFIX}");
        match reader.resolve(tree, name.as_bytes()).await? {
            Found::Root(_) => Ok(None),
            Found::Node(node) => {
                let skeleton = node.content.unwrap_or_default();
                let name = format!("{key}{OFFSETS_SUFFIX}");
                let offsets = match reader.resolve(tree, name.as_bytes()).await {
                    Ok(Found::Node(node)) => node.content.unwrap_or_default(),
                    Ok(Found::Root(_)) | Err(RepositoryError::NotInSnapshot(_)) => Vec::new(),
                    Err(error) => return Err(error),
                };
                Ok(Some(Self::Tar { skeleton, offsets }))
            }
        }
    }

    /// Whether the index knows all that is needed; of a tar that shows only when it is read.
    pub(super) fn is_known_to(&self, reader: &Reader) -> bool {
        match self {
            Self::Blobs(ids) => ids.iter().all(|id| reader.index().contains(BlobKind::Data, id)),
            Self::Tar { .. } => false,
        }
    }

    /// How many bytes it has.
    pub(super) async fn size(self, reader: &Reader) -> Result<u64, RepositoryError> {
        let pieces = self.pieces(reader);
        pieces.try_fold(0, |sum, piece| async move { Ok(sum + piece.len() as u64) }).await
    }

    fn pieces(self, reader: &Reader) -> stream::BoxStream<'static, Result<Piece, RepositoryError>> {
        let reader = reader.clone();
        match self {
            Self::Blobs(ids) => stream::iter(ids)
                .map(move |id| Ok(Piece::whole(reader.locate(BlobKind::Data, &id)?)))
                .boxed(),
            Self::Tar { skeleton, .. } => {
                tar_pieces(&reader, &skeleton, Records::default()).boxed()
            }
        }
    }

    /// Its bytes, or those of `range`.
    pub(super) fn stream(
        self,
        reader: &Reader,
        range: Option<Range<u64>>,
    ) -> impl Stream<Item = Result<Bytes, RepositoryError>> + Send + use<> {
        let pieces = match (range, self) {
            (None, content) => content.pieces(reader),
            (Some(range), Self::Tar { skeleton, offsets })
                if range.start > 0 && !offsets.is_empty() =>
            {
                let reader = reader.clone();
                let begin = async move {
                    let table = whole(&reader, &offsets, MAX_TABLE).await?;
                    // Without one that fits, everything before is read.
                    let (first, at) =
                        place(&table, skeleton.len(), range.start).unwrap_or_default();
                    let records = if first > 0 { Records::going_on() } else { Records::default() };
                    let pieces = tar_pieces(&reader, &skeleton[first..], records);
                    Ok::<_, RepositoryError>(within(
                        pieces,
                        range.start - at..range.end.saturating_sub(at),
                    ))
                };
                stream::once(begin).try_flatten().boxed()
            }
            (Some(range), content) => within(content.pieces(reader), range).boxed(),
        };
        filled(reader, pieces)
    }
}

/// What is in `ids`, which is to be small.
async fn whole(reader: &Reader, ids: &[Id], most: usize) -> Result<Vec<u8>, RepositoryError> {
    let mut read = reader.stream(ids).boxed();
    let mut bytes = Vec::new();
    while let Some(piece) = read.try_next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > most {
            let what = "the table of a skeleton";
            return Err(RepositoryError::TooLarge {
                what,
                bytes: bytes.len() as u64,
                most: most as u64,
            });
        }
    }
    Ok(bytes)
}

/// What the records of a skeleton lead to.
fn tar_pieces(
    reader: &Reader,
    skeleton: &[Id],
    records: Records,
) -> impl Stream<Item = Result<Piece, RepositoryError>> + Send + 'static + use<> {
    let of = reader.clone();
    self::records(reader, skeleton, records)
        .map_ok(move |record| stream::iter(pieces_of(&of, record)))
        .try_flatten()
}

fn pieces_of(reader: &Reader, record: Record) -> Vec<Result<Piece, RepositoryError>> {
    match record {
        Record::Raw(bytes) => vec![Ok(Piece::Bytes(bytes))],
        Record::Content(ids) => {
            ids.iter().map(|id| Ok(Piece::whole(reader.locate(BlobKind::Data, id)?))).collect()
        }
    }
}

/// The records of a skeleton.
fn records(
    reader: &Reader,
    skeleton: &[Id],
    begin: Records,
) -> impl Stream<Item = Result<Record, RepositoryError>> + Send + use<> {
    let begin = (reader.stream(skeleton).boxed(), begin);
    stream::try_unfold(begin, |(mut skeleton, mut records)| async move {
        loop {
            if let Some(record) = records.next()? {
                return Ok(Some((record, (skeleton, records))));
            }
            match skeleton.try_next().await? {
                Some(piece) => records.push(&piece),
                None => return records.end().map(|()| None),
            }
        }
    })
}

/// What of `pieces` lies in `range`.
fn within(
    pieces: impl Stream<Item = Result<Piece, RepositoryError>> + Send,
    range: Range<u64>,
) -> impl Stream<Item = Result<Piece, RepositoryError>> + Send {
    let mut at = 0;
    let Range { start, end } = range;
    pieces
        .try_take_while(move |piece| {
            let is_before_end = at < end;
            at += piece.len() as u64;
            std::future::ready(Ok(is_before_end))
        })
        .try_filter_map({
            let mut at = 0_u64;
            move |piece| {
                let begin = at;
                at += piece.len() as u64;
                let place = |offset: u64| {
                    usize::try_from(offset.saturating_sub(begin)).unwrap_or(usize::MAX)
                };
                let part = place(start).min(piece.len())..place(end).min(piece.len());
                let is_wanted = part.start < part.end;
                std::future::ready(Ok(is_wanted.then(|| piece.part(part))))
            }
        })
}
