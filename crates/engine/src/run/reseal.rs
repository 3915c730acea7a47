//! Brings one artifact to a destination that wants it encrypted differently.

use std::sync::Arc;

use artifact::{Compression, Digest, Method, Recipe, Recipients, Restart, SealError, Sealer};
use bytes::Bytes;
use model::{Artifact, DestinationId, Failure, FailureCode, StoredObject};
use store::{Key, Store};
use tokio::sync::mpsc;

use super::{RunContext, copy, failure, outlet::Outlet, place::encryption_for, plain::Plain};

/// Chunks that may wait for the sealing thread.
const WAITING_CHUNKS: usize = 4;

/// Where an artifact goes.
pub(crate) struct Target<'a> {
    pub(crate) id: DestinationId,
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) recipients: Option<&'a Recipients>,
    /// The object's key there.
    pub(crate) key: Key,
}

/// `key` of what was compressed by `was`, as it is called with `method` and `recipients`.
pub(crate) fn named(
    key: &str,
    was: Method,
    method: Method,
    recipients: Option<&Recipients>,
) -> String {
    let plain = key.strip_suffix(".age").unwrap_or(key);
    let plain = plain.strip_suffix(was.suffix()).unwrap_or(plain);
    format!("{plain}{}{}", method.suffix(), encryption_for(recipients).suffix())
}

/// Reads `artifact` as `plain` gives it and stores it at `target` with `compression`.
pub(crate) async fn reseal(
    context: &RunContext,
    mut plain: Plain,
    artifact: &Artifact,
    compression: Compression,
    target: Target<'_>,
) -> Result<(StoredObject, Vec<Restart>), Failure> {
    // What cannot be read touches nothing.
    let mut chunk = next(context, &mut plain).await?;
    // What cannot be compressed grows by less than this when it is compressed and encrypted.
    let most_bytes = artifact.size_bytes.saturating_add(artifact.size_bytes / 64 + (1 << 20));
    let mut sending =
        copy::begin(context, target.store, target.id, &target.key, most_bytes).await?;
    let (chunks_in, chunks) = mpsc::channel(WAITING_CHUNKS);
    let (feed, recipients) = (sending.feed(), target.recipients.cloned());
    let mut sealing = tokio::task::spawn_blocking(move || {
        seal(Recipe::new(compression), recipients.as_ref(), chunks, feed)
    });
    while let Some(bytes) = chunk {
        if chunks_in.send(bytes).await.is_err() {
            break; // The thread has ended and says why.
        }
        chunk = match next(context, &mut plain).await {
            Ok(chunk) => chunk,
            Err(failure) => {
                sending.abort().await;
                return Err(failure);
            }
        };
    }
    drop(chunks_in);
    let sealed = tokio::select! {
        biased;
        failure = context.stopped() => Err(failure),
        sealed = &mut sealing => match sealed {
            Ok(Ok(sealed)) => Ok(sealed),
            Ok(Err(error)) => Err(Failure::new(FailureCode::Internal, error.to_string())),
            Err(panic) => Err(Failure::new(
                FailureCode::Internal,
                format!("the sealing thread ended by itself: {panic}"),
            )),
        },
    };
    let (stored, restarts) = match sealed {
        Ok(sealed) => sealed,
        Err(failure) => {
            sending.abort().await;
            return Err(failure);
        }
    };
    let upload = sending.into_upload().await.map_err(|e| failure::of_store(&e))?;
    copy::publish(context, target.store.as_ref(), upload, &target.key, &stored).await?;
    let object = StoredObject {
        source: artifact.source.clone(),
        key: target.key.to_string(),
        stored_size_bytes: stored.size_bytes,
        stored_sha256: stored.sha256.to_string(),
        compression: compression.method().to_string(),
        encryption: encryption_for(target.recipients).as_str().to_owned(),
        tree: None,
    };
    Ok((object, restarts))
}

async fn next(context: &RunContext, plain: &mut Plain) -> Result<Option<Bytes>, Failure> {
    let chunk = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        chunk = plain.chunk() => chunk.map_err(|error| error.failure())?,
    };
    if let Some(bytes) = &chunk {
        context.journal.add_bytes(bytes.len());
    }
    Ok(chunk)
}

/// The sealing thread; gives what is stored, and where reading it can begin.
fn seal(
    recipe: Recipe,
    recipients: Option<&Recipients>,
    mut chunks: mpsc::Receiver<Bytes>,
    feed: Option<mpsc::Sender<Bytes>>,
) -> Result<(Digest, Vec<Restart>), SealError> {
    let mut outlet = feed.map(|feed| Outlet::new(feed, recipients)).transpose()?;
    let mut failed = None;
    let mut out = |chunk: Bytes| match outlet.as_mut().map(|open| open.push(chunk)) {
        None | Some(Ok(true)) => {}
        Some(Ok(false)) => outlet = None, // The upload failed; finishing it says why.
        Some(Err(error)) => failed = Some(error),
    };
    let mut sealer = Sealer::new(recipe)?;
    while let Some(chunk) = chunks.blocking_recv() {
        sealer.push(chunk, &mut out)?;
    }
    let sealed = sealer.finish(&mut out)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let stored = outlet.map(Outlet::finish).transpose()?.flatten();
    Ok((stored.unwrap_or(sealed.stored), sealed.restarts))
}
