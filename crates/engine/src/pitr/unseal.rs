//! Pieces as they were put, proven by the hash in their names.

use std::io::{self, Read};

use artifact::{Identities, OpenError};
use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _};
use model::WalPiece;
use ring::digest::{Context, SHA256};
use store::{ByteStream, StoreError};
use tokio::sync::mpsc;

use super::archive::{WalStream, hash_text};
use crate::EngineError;

/// Chunks on their way.
const WAITING: usize = 4;
/// Plain bytes handed out at once.
const CHUNK: usize = 256 << 10;

/// The plain bytes of what is `stored`.
pub(super) fn open(
    stored: ByteStream,
    is_encrypted: bool,
    identities: Identities,
    piece: WalPiece,
) -> WalStream {
    let (feed, chunks) = mpsc::channel(WAITING);
    let (plain, out) = mpsc::channel(WAITING);
    tokio::spawn(fetch(stored, feed));
    tokio::task::spawn_blocking(move || {
        if let Err(error) = undo(chunks, is_encrypted, &identities, &piece, &plain) {
            // Nobody may want it any more.
            let _ = plain.blocking_send(Err(error));
        }
    });
    futures::stream::unfold(out, |mut out| async move { Some((out.recv().await?, out)) }).boxed()
}

async fn fetch(mut stored: ByteStream, feed: mpsc::Sender<Result<Bytes, StoreError>>) {
    loop {
        let chunk = stored.try_next().await.transpose();
        let Some(chunk) = chunk else { return };
        let is_last = chunk.is_err();
        if feed.send(chunk).await.is_err() || is_last {
            return;
        }
    }
}

fn undo(
    chunks: mpsc::Receiver<Result<Bytes, StoreError>>,
    is_encrypted: bool,
    identities: &Identities,
    piece: &WalPiece,
    plain: &mpsc::Sender<Result<Bytes, EngineError>>,
) -> Result<(), EngineError> {
    let stored = Stored { chunks, rest: Bytes::new() };
    let damaged =
        |how: &str| EngineError::damaged(format!("{} is not what was put there: {how}", piece.key));
    let opened = if is_encrypted {
        artifact::unseal(stored, identities)
    } else {
        artifact::decompress(stored)
    };
    let mut opened = opened.map_err(|error| match error {
        OpenError::Locked { reason } => EngineError::locked(format!("{}: {reason}", piece.key)),
        other => damaged(&other.to_string()),
    })?;
    let mut context = Context::new(&SHA256);
    loop {
        let mut chunk = vec![0; CHUNK];
        let count = opened.read(&mut chunk).map_err(|error| match in_store(&error) {
            Some(error) => EngineError::Store(error),
            None => damaged(&error.to_string()),
        })?;
        if count == 0 {
            break;
        }
        chunk.truncate(count);
        context.update(&chunk);
        if plain.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
        }
    }
    if hash_text(context.finish().as_ref()) != piece.hash {
        return Err(damaged("its SHA-256 is another one"));
    }
    Ok(())
}

/// The store's fault in what a reader tells.
fn in_store(error: &io::Error) -> Option<StoreError> {
    let text = error.to_string();
    text.contains(AWAY).then(|| StoreError::new(store::StoreErrorKind::Unavailable, text))
}

/// Marks a fault of the store on its way through readers, which keep no more than its words.
const AWAY: &str = "the destination:";

/// Chunks as a reader.
struct Stored {
    chunks: mpsc::Receiver<Result<Bytes, StoreError>>,
    rest: Bytes,
}

impl Read for Stored {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(error)) => return Err(io::Error::other(format!("{AWAY} {error}"))),
            }
        }
        let count = into.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
