//! The store of a destination of trees: an ordinary one that can remove a whole tree by its name.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use model::layout::TREE_SUFFIX;
use store::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store, StoreError,
    StoreErrorKind, Swept, Upload,
};

use super::Host;
use crate::EngineConfig;

/// Objects as its inner store has them, and trees that are listed and deleted like objects.
pub(crate) struct TreeStore {
    inner: Arc<dyn Store>,
    host: Host,
    config: EngineConfig,
}

impl TreeStore {
    /// `inner` passes over what is in trees.
    pub(crate) fn new(inner: Arc<dyn Store>, host: Host, config: EngineConfig) -> Self {
        Self { inner, host, config }
    }
}

#[async_trait]
impl Store for TreeStore {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.create(key, options).await
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.inner.read(key, range).await
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        self.inner.stat(key).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        if !key.as_str().ends_with(TREE_SUFFIX) {
            return self.inner.delete(key).await;
        }
        let removed = self.host.remove(&self.config, key).await;
        removed.map_err(|failure| StoreError::new(StoreErrorKind::Unavailable, failure.message))
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.abandon(key).await
    }

    async fn remove_empty(&self, folder: &Prefix) -> Result<(), StoreError> {
        self.inner.remove_empty(folder).await
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        self.inner.sweep(prefix, older_than, now).await
    }
}

impl std::fmt::Debug for TreeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}
