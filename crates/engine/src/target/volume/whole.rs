//! Docker's unpacker knows no holes: on their way there, files that have some are written out whole.

use std::io::{self, Write as _};

use archive::{DenseError, Sink};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use model::{Fact, Failure, FailureCode};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::super::refused;
use crate::index::Incoming;

/// Chunks that may wait to be taken.
const WAITING_CHUNKS: usize = 8;
/// Holes that are written out, in bytes: beyond this they may fill the disk of whoever runs Docker,
/// whose room nobody tells.
const MAX_HOLES: u64 = 64 << 30;

/// A tar on its way through [`archive::dense`].
pub(super) struct Passing {
    /// Takes the tar; an error in it breaks off what comes out.
    pub(super) to: mpsc::Sender<io::Result<Bytes>>,
    work: JoinHandle<Result<u64, DenseError>>,
}

/// Where a tar goes in, and what comes out: it ends without an error only where the tar did.
pub(super) fn passing() -> (Passing, impl Stream<Item = io::Result<Bytes>> + Send + 'static) {
    let (to, from) = mpsc::channel(WAITING_CHUNKS);
    let (out, chunks) = mpsc::channel(WAITING_CHUNKS);
    let (good, ended) = oneshot::channel();
    let work = tokio::task::spawn_blocking(move || {
        let mut sink = Sink::new(out);
        let zeros = archive::dense(Incoming::new(from), &mut sink, MAX_HOLES)?;
        sink.flush().map_err(DenseError::Write)?;
        let _ = good.send(());
        Ok(zeros)
    });
    let chunks = futures::stream::unfold(chunks, |mut chunks| async move {
        chunks.recv().await.map(|chunk| (Ok(chunk), chunks))
    });
    let end = futures::stream::once(ended).filter_map(|ended| async move {
        ended.is_err().then(|| Err(io::Error::other("the archive broke off")))
    });
    (Passing { to, work }, chunks.chain(end))
}

impl Passing {
    /// Why it broke off, but for what went in or was not taken: others tell that.
    pub(super) async fn end(self) -> Result<(), Failure> {
        drop(self.to);
        match self.work.await {
            Ok(Ok(_) | Err(DenseError::Write(_))) => Ok(()),
            Ok(Err(DenseError::TooLong { name })) => {
                Err(refused(Fact::HolesTooLong { file: name, gib: MAX_HOLES >> 30 }))
            }
            Ok(Err(error)) => Err(refused(error.to_string())),
            Err(panic) => Err(Failure::new(FailureCode::Internal, panic.to_string())),
        }
    }
}
