//! Files on their way to the store, again where it was only busy.

use std::time::Duration;

use bytes::Bytes;

use crate::{FileKind, Id, IndexFile, Repository, RepositoryError, Snapshot};

/// How long is waited before each further try, in seconds.
const WAITS: [u64; 3] = [1, 4, 15];

async fn again<T, F>(mut once: impl FnMut() -> F) -> Result<T, RepositoryError>
where
    F: Future<Output = Result<T, RepositoryError>>,
{
    for wait in WAITS {
        match once().await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
            other => return other,
        }
    }
    once().await
}

/// Writes a pack. Its name is its content's: one that is there after a lost answer is the same.
pub(super) async fn pack(
    repository: &Repository,
    id: Id,
    bytes: Bytes,
) -> Result<(), RepositoryError> {
    again(|| repository.save(FileKind::Pack, id, bytes.clone())).await
}

pub(super) async fn index(
    repository: &Repository,
    file: &IndexFile,
) -> Result<(), RepositoryError> {
    again(|| repository.save_index(file)).await.map(drop)
}

pub(super) async fn snapshot(
    repository: &Repository,
    snapshot: &Snapshot,
) -> Result<Id, RepositoryError> {
    // Once: sealed anew it would have another name, and be there twice after a lost answer.
    repository.save_snapshot(snapshot).await
}
