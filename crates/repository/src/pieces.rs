//! Bytes and parts of blobs, in order, as a stream of bytes: read ahead, many blobs at once.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};

use crate::{
    Location, Reader, RepositoryError,
    read::{BATCH_BLOBS, BATCH_BYTES, READ_AHEAD},
};

/// A piece of a stream.
#[derive(Debug)]
pub(crate) enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// These of a blob.
    Blob(Location, Range<usize>),
}

impl Piece {
    /// All of a blob.
    pub(crate) fn whole(blob: Location) -> Self {
        Self::Blob(blob, 0..blob.blob.plain_length() as usize)
    }

    /// How many bytes it is.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Blob(_, part) => part.len(),
        }
    }

    /// A part of it.
    pub(crate) fn part(self, part: Range<usize>) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(part)),
            Self::Blob(blob, of) => Self::Blob(blob, of.start + part.start..of.start + part.end),
        }
    }
}

/// The bytes of `pieces`.
pub(crate) fn filled(
    reader: &Reader,
    pieces: stream::BoxStream<'static, Result<Piece, RepositoryError>>,
) -> impl Stream<Item = Result<Bytes, RepositoryError>> + Send + use<> {
    let reader = reader.clone();
    gathered(pieces)
        .map_ok(move |batch| {
            let reader = reader.clone();
            let read = tokio::spawn(async move { fill(&reader, batch).await });
            async move { read.await? }
        })
        .try_buffered(READ_AHEAD)
        .map_ok(|bytes| stream::iter(bytes.into_iter().map(Ok)))
        .try_flatten()
}

/// Pieces in goes of a good size.
fn gathered(
    pieces: stream::BoxStream<'static, Result<Piece, RepositoryError>>,
) -> impl Stream<Item = Result<Vec<Piece>, RepositoryError>> {
    stream::try_unfold(pieces, |mut pieces| async move {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES && batch.len() < BATCH_BLOBS {
            let Some(piece) = pieces.try_next().await? else { break };
            bytes += match &piece {
                Piece::Bytes(own) => own.len() as u64,
                Piece::Blob(location, _) => u64::from(location.blob.plain_length()),
            };
            batch.push(piece);
        }
        Ok((!batch.is_empty()).then_some((batch, pieces)))
    })
}

async fn fill(reader: &Reader, batch: Vec<Piece>) -> Result<Vec<Bytes>, RepositoryError> {
    let wanted: Vec<_> = batch
        .iter()
        .filter_map(|piece| match piece {
            Piece::Blob(location, _) => Some(*location),
            Piece::Bytes(_) => None,
        })
        .collect();
    let mut read = reader.plain(&wanted).await?.into_iter();
    Ok(batch
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Blob(_, part) => read.next().map(|blob| blob.slice(part)),
        })
        .collect())
}
