//! One object on its way to one destination.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use store::{CreateOptions, Key, ObjectMeta, Store, StoreError, Upload};
use tokio::{sync::mpsc, task::JoinHandle};

/// Chunks that may wait for a slow destination. With chunks of at most 128 KiB this bounds what
/// one destination holds back to half a MiB.
const WAITING_CHUNKS: usize = 4;

/// An object being sent. Dropping it leaves nothing under the object's name.
pub(crate) struct Sending {
    pub(crate) key: Key,
    feed: Option<mpsc::Sender<Bytes>>,
    task: JoinHandle<Result<Box<dyn Upload>, StoreError>>,
}

impl Sending {
    /// Begins to send to `key`, which must be free.
    pub(crate) async fn begin(
        store: &Arc<dyn Store>,
        key: Key,
        written: Arc<AtomicU64>,
        options: &CreateOptions,
    ) -> Result<Self, StoreError> {
        let mut upload = store.create(&key, options).await?;
        let (feed, mut chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
        let task = tokio::spawn(async move {
            while let Some(chunk) = chunks.recv().await {
                let count = chunk.len() as u64;
                if let Err(error) = upload.write(chunk).await {
                    // What the store says of the failed write is the news; a failed clean-up
                    // leaves an orphan, which the sweep finds.
                    let _ = upload.abort().await;
                    return Err(error);
                }
                written.fetch_add(count, Ordering::Relaxed);
            }
            Ok(upload)
        });
        Ok(Self { key, feed: Some(feed), task })
    }

    /// Where chunks go in. Taken once.
    pub(crate) fn feed(&mut self) -> Option<mpsc::Sender<Bytes>> {
        self.feed.take()
    }

    /// Waits until everything fed has been taken, then makes the object visible.
    pub(crate) async fn finish(self) -> Result<ObjectMeta, StoreError> {
        self.into_upload().await?.finish().await
    }

    /// Gives the object up.
    pub(crate) async fn abort(mut self) {
        self.feed = None;
        self.task.abort();
        if let Ok(Ok(upload)) = (&mut self.task).await {
            let _ = upload.abort().await;
        }
    }

    /// Waits until everything fed has been taken.
    pub(crate) async fn into_upload(mut self) -> Result<Box<dyn Upload>, StoreError> {
        self.feed = None;
        match (&mut self.task).await {
            Ok(done) => done,
            Err(panic) => Err(StoreError::internal(format!("an upload ended by itself: {panic}"))),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}
