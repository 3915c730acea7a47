//! The road back: stored objects in, proven plain bytes out.
//!
//! Verify, download and restore read through here, so that what one of them proves holds for
//! the others.

use std::sync::Arc;

use artifact::{Digest, Identities, Method, OpenError, Opener, Sha256, manifest::Encryption};
use bytes::Bytes;
use futures::TryStreamExt as _;
use model::{Artifact, Failure, FailureCode, StoredCopy, StoredObject};
use store::{Key, Store, StoreError};
use tokio::sync::mpsc;

use super::failure;
use crate::keyring;

/// Chunks that may wait between reading, opening and the consumer.
const WAITING_CHUNKS: usize = 8;

/// Why plain bytes could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the record of this copy is not complete: {0}")]
    Record(String),
    #[error("reading ended by a fault of the orchestrator")]
    Gone,
}

impl ReadError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Store(error) if error.is_not_found() => {
                Failure::new(FailureCode::Missing, error.to_string())
            }
            Self::Store(error) => failure::of_store(error),
            Self::Open(error @ OpenError::Locked { .. }) => {
                Failure::new(FailureCode::SecretUnreadable, format!("{error}: {}", keyring::ADVICE))
            }
            Self::Open(error) => Failure::new(FailureCode::Damaged, error.to_string()),
            Self::Record(_) | Self::Gone => Failure::new(FailureCode::Internal, self.to_string()),
        }
    }
}

/// The plain bytes of an artifact, chunk by chunk. They count only when [`Plain::chunk`] has
/// given `Ok(None)`.
pub(crate) struct Plain {
    chunks: mpsc::Receiver<Bytes>,
    opening: Option<tokio::task::JoinHandle<Result<(), ReadError>>>,
}

impl Plain {
    /// Starts to read `artifact` from `copy`, whose objects are in `store`. Without the right
    /// keys it ends as soon as that is known.
    pub(crate) fn read(
        store: Arc<dyn Store>,
        copy: &StoredCopy,
        artifact: &Artifact,
        identities: &Identities,
    ) -> Result<Self, ReadError> {
        Self::begin(store, copy, artifact, identities, false)
    }

    /// The same, reading every stored byte also without the right keys: what it then ends with
    /// tells damage before it tells of keys.
    pub(crate) fn prove(
        store: Arc<dyn Store>,
        copy: &StoredCopy,
        artifact: &Artifact,
        identities: &Identities,
    ) -> Result<Self, ReadError> {
        Self::begin(store, copy, artifact, identities, true)
    }

    fn begin(
        store: Arc<dyn Store>,
        copy: &StoredCopy,
        artifact: &Artifact,
        identities: &Identities,
        to_its_end: bool,
    ) -> Result<Self, ReadError> {
        let objects: Vec<_> =
            copy.objects.iter().filter(|o| o.source == artifact.source).cloned().collect();
        let opener = opener_for(artifact, &objects, identities)?;
        if let Some(locked) = opener.locked().filter(|_| !to_its_end) {
            return Err(locked.into());
        }
        let keys = keys_of(&objects)?;
        let (stored_in, stored) = mpsc::channel(WAITING_CHUNKS);
        let (plain_in, chunks) = mpsc::channel(WAITING_CHUNKS);
        let reading = tokio::spawn(async move { fetch(store, keys, stored_in).await });
        let opening = tokio::spawn(async move {
            let opened =
                tokio::task::spawn_blocking(move || open(opener, stored, &plain_in, to_its_end))
                    .await;
            let opened = opened.unwrap_or(Err(ReadError::Gone));
            // A failed read also looks like an early end to the opener: the read's own words
            // are the cause.
            match (reading.await.unwrap_or(Err(ReadError::Gone)), opened) {
                (Err(cause), Err(_)) => Err(cause),
                (_, opened) => opened,
            }
        });
        Ok(Self { chunks, opening: Some(opening) })
    }

    /// The next chunk; `None` once all bytes were handed out and proven.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ReadError> {
        if let Some(chunk) = self.chunks.recv().await {
            return Ok(Some(chunk));
        }
        match self.opening.take() {
            Some(opening) => opening.await.unwrap_or(Err(ReadError::Gone)).map(|()| None),
            None => Ok(None),
        }
    }
}

async fn fetch(
    store: Arc<dyn Store>,
    keys: Vec<Key>,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), ReadError> {
    for key in keys {
        let mut stream = store.read(&key, None).await?;
        while let Some(chunk) = stream.try_next().await? {
            if sink.send(chunk).await.is_err() {
                return Ok(()); // Nobody wants more.
            }
        }
    }
    Ok(())
}

fn open(
    mut opener: Opener,
    mut stored: mpsc::Receiver<Bytes>,
    sink: &mpsc::Sender<Bytes>,
    to_its_end: bool,
) -> Result<(), ReadError> {
    let mut wanted = true;
    let mut deliver = |chunk: Bytes| wanted = wanted && sink.blocking_send(chunk).is_ok();
    while let Some(chunk) = stored.blocking_recv() {
        opener.push(chunk, &mut deliver)?;
        if let Some(locked) = opener.locked().filter(|_| !to_its_end) {
            return Err(locked.into());
        }
    }
    opener.finish(&mut deliver)?;
    Ok(())
}

fn opener_for(
    artifact: &Artifact,
    objects: &[StoredObject],
    identities: &Identities,
) -> Result<Opener, ReadError> {
    let record = |error: &dyn std::fmt::Display| ReadError::Record(error.to_string());
    let first = objects.first().ok_or_else(|| {
        ReadError::Record(format!("no object holds the source `{}`", artifact.source))
    })?;
    let method: Method = first.compression.parse().map_err(|e| record(&e))?;
    let encryption: Encryption = first.encryption.parse().map_err(|e| record(&e))?;
    let digest = |size_bytes: u64, sha256: &str| -> Result<Digest, ReadError> {
        Ok(Digest { size_bytes, sha256: sha256.parse::<Sha256>().map_err(|e| record(&e))? })
    };
    let parts = objects
        .iter()
        .map(|object| digest(object.stored_size_bytes, &object.stored_sha256))
        .collect::<Result<Vec<_>, _>>()?;
    let opener = Opener::new(method, digest(artifact.size_bytes, &artifact.sha256)?, parts)?;
    Ok(opener.encrypted(encryption, identities))
}

fn keys_of(objects: &[StoredObject]) -> Result<Vec<Key>, ReadError> {
    objects
        .iter()
        .map(|object| Key::new(&object.key).map_err(|e| ReadError::Record(e.to_string())))
        .collect()
}
