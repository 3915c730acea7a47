//! The content of one file, cut and handed over.

use std::io;

use bytes::{BufMut, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    runtime::Handle,
};
use tokio_util::sync::CancellationToken;

use super::{
    feeder::Feeder,
    pipeline::Shared,
    receipt::{Piece, Stopped},
};
use crate::{Id, RepositoryError, chunk::Cutter};

/// How much is read before it is cut, in bytes.
pub(super) const SEGMENT: usize = 4 << 20;
/// Files from this size on are read into buffers that are used again, in bytes.
const LARGE: usize = 256 << 10;

/// What a file holds, as blobs of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The blobs, in order.
    pub blobs: Vec<Id>,
    /// The size in bytes.
    pub size_bytes: u64,
}

/// Why a file was not stored.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be read.
    Source(io::Error),
    /// The writer has stopped.
    Stopped,
    /// What was given cannot be stored.
    Refused(RepositoryError),
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// What the caller is told; `Source` should have been given its path before.
    pub(super) fn told(self, shared: &Shared) -> RepositoryError {
        match self {
            Self::Source(error) => RepositoryError::io("reading", "the source".as_ref(), error),
            Self::Stopped => shared.reason(),
            Self::Refused(error) => error,
        }
    }
}

/// Cuts what `fill` appends, at most so many bytes at once, until it appends nothing. `expected`
/// bytes save memory where few come.
pub(super) fn cut(
    mut fill: impl FnMut(&mut Vec<u8>, usize) -> io::Result<usize>,
    expected: Option<u64>,
    cutter: &mut Cutter,
    feeder: &mut Feeder,
) -> Result<(Vec<Piece>, u64), Failure> {
    cutter.reset();
    let mut segment_bytes = expected
        .and_then(|bytes| usize::try_from(bytes).ok())
        .map_or(SEGMENT, |bytes| bytes.saturating_add(1).min(SEGMENT));
    let (mut pieces, mut size) = (Vec::new(), 0);
    let mut rest = Bytes::new();
    loop {
        let (end, is_large) = (rest.len() + segment_bytes, segment_bytes >= LARGE);
        let mut segment = if is_large { feeder.buffers().take() } else { Vec::with_capacity(end) };
        segment.extend_from_slice(&rest);
        let mut ended = false;
        while !ended && segment.len() < end {
            let most = end - segment.len();
            let read = fill(&mut segment, most).map_err(Failure::Source)?;
            size += read as u64;
            ended = read == 0;
        }
        rest = if is_large { feeder.buffers().lend(segment) } else { Bytes::from(segment) };
        while let Some(length) = cutter.cut(&rest) {
            pieces.push(feeder.push(rest.split_to(length))?);
        }
        if ended {
            break;
        }
        segment_bytes = SEGMENT;
    }
    if !rest.is_empty() {
        pieces.push(feeder.push(rest)?);
    }
    Ok((pieces, size))
}

/// Reads an asynchronous source on a thread that may wait.
pub(super) fn fill_from<R: AsyncRead + Unpin>(
    source: &mut R,
    cancel: &CancellationToken,
) -> impl FnMut(&mut Vec<u8>, usize) -> io::Result<usize> {
    let runtime = Handle::current();
    move |segment, most| {
        let mut segment = BufMut::limit(segment, most);
        runtime.block_on(async {
            tokio::select! {
                () = cancel.cancelled() => Err(io::Error::other("the writer was stopped")),
                read = source.read_buf(&mut segment) => read,
            }
        })
    }
}

/// Stores a stream.
pub(super) fn of_stream(
    mut source: impl AsyncRead + Unpin,
    name: &str,
    mut cutter: Cutter,
    mut feeder: Feeder,
    shared: &Shared,
    cancel: &CancellationToken,
) -> Result<Contents, RepositoryError> {
    let fill = fill_from(&mut source, cancel);
    let stored = cut(fill, None, &mut cutter, &mut feeder).and_then(|(pieces, size_bytes)| {
        feeder.flush()?;
        let blobs = pieces.iter().map(Piece::id).collect::<Result<_, _>>()?;
        Ok(Contents { blobs, size_bytes })
    });
    stored.map_err(|failure| match failure {
        // What stopped the writer is told before what came of it.
        Failure::Source(_) if shared.check().is_err() => shared.reason(),
        Failure::Source(error) => RepositoryError::io("reading", name.as_ref(), error),
        other => other.told(shared),
    })
}
