//! What is put into an archive: read twice, once for its hash and once to be stored.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use replication::Body;
use tokio::task::spawn_blocking;

/// Bytes that are read from a file at once.
const BLOCK: usize = 1 << 20;

/// Bytes that can be read again; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// As the receiver holds it.
    Received(Body),
    /// In memory.
    Small(Option<Bytes>),
    /// In a file without a name, from this position on.
    File(Arc<File>, u64, u64),
}

impl Content {
    pub(crate) fn small(bytes: impl Into<Bytes>) -> Self {
        Self::Small(Some(bytes.into()))
    }

    /// The next bytes; `None` after the last.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Received(body) => body.next().await,
            Self::Small(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
            Self::File(file, at, len) => {
                let from = *at;
                let count = usize::try_from(*len - from).unwrap_or(BLOCK).min(BLOCK);
                if count == 0 {
                    return Ok(None);
                }
                *at += count as u64;
                let file = Arc::clone(file);
                let read = move || {
                    let mut bytes = vec![0; count];
                    file.read_exact_at(&mut bytes, from)?;
                    Ok(Some(bytes.into()))
                };
                spawn_blocking(read).await.map_err(io::Error::other)?
            }
        }
    }
}
