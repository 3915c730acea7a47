//! Deadlines around every operation, so that a hung mount or server is an error.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{
    ByteStream, Capability, CreateOptions, Here, Key, Listing, Locked, Locking, ObjectMeta, Prefix,
    Prolonged, Store, StoreError, StoreErrorKind, Swept, Upload,
};

/// A store whose operations end in time.
#[derive(Debug)]
pub struct Deadlines {
    inner: Arc<dyn Store>,
    /// For one request, one chunk, or the silence between two chunks.
    step: Duration,
    /// For making an object durable, listing and sweeping.
    long: Duration,
}

impl Deadlines {
    /// Gives `inner` `step` for each request or chunk and `long` for what may take its time.
    pub fn new(inner: Arc<dyn Store>, step: Duration, long: Duration) -> Self {
        Self { inner, step, long }
    }
}

pub(crate) async fn within<T>(
    limit: Duration,
    what: impl std::fmt::Display,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(StoreError::new(
            StoreErrorKind::Timeout,
            format!("{what} took more than {} s", limit.as_secs()),
        ))
    })
}

struct Timed {
    inner: Box<dyn Upload>,
    key: Key,
    step: Duration,
    long: Duration,
}

#[async_trait]
impl Store for Deadlines {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
        let inner = within(self.step, key, self.inner.create(key, options)).await?;
        Ok(Box::new(Timed { inner, key: key.clone(), step: self.step, long: self.long }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let stream = within(self.step, key, self.inner.read(key, range)).await?;
        let (key, step) = (key.clone(), self.step);
        Ok(futures::stream::try_unfold(stream, move |mut stream| {
            let key = key.clone();
            async move {
                let next = within(step, format!("reading {key}"), stream.try_next()).await?;
                Ok(next.map(|chunk| (chunk, stream)))
            }
        })
        .boxed())
    }

    fn here(&self, key: &Key) -> Option<Here> {
        self.inner.here(key).map(|here| here.within(self.step))
    }

    fn locking(&self) -> Option<&dyn Locking> {
        self.inner.locking().map(|_| self as &dyn Locking)
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        within(self.step, format!("looking at {key}"), self.inner.stat(key)).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        within(self.long, "listing", self.inner.list(prefix)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        within(self.step, format!("deleting {key}"), self.inner.delete(key)).await
    }

    async fn remove_empty(&self, folder: &Prefix) -> Result<(), StoreError> {
        within(self.step, "removing an empty folder", self.inner.remove_empty(folder)).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        within(self.long, format!("clearing {key}"), self.inner.abandon(key)).await
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        within(self.long, "sweeping", self.inner.sweep(prefix, older_than, now)).await
    }
}

#[async_trait]
impl Locking for Deadlines {
    fn length(&self) -> Duration {
        self.inner.locking().map_or(Duration::ZERO, Locking::length)
    }

    async fn lock_of(&self, key: &Key) -> Result<Option<Locked>, StoreError> {
        let Some(inner) = self.inner.locking() else { return Ok(None) };
        within(self.step, format!("looking at the lock of {key}"), inner.lock_of(key)).await
    }

    async fn prolong(
        &self,
        key: &Key,
        need: SystemTime,
        until: SystemTime,
    ) -> Result<Prolonged, StoreError> {
        let inner = self.inner.locking().ok_or_else(|| {
            StoreError::config(format!("{}: nothing is locked here", self.capability().location))
        })?;
        within(self.step, format!("locking {key}"), inner.prolong(key, need, until)).await
    }
}

#[async_trait]
impl Upload for Timed {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        within(self.step, format!("writing {}", self.key), self.inner.write(chunk)).await
    }

    async fn finish(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        within(self.long, format!("finishing {}", self.key), self.inner.finish()).await
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        within(self.step, format!("giving up {}", self.key), self.inner.abort()).await
    }
}
