//! A destination whose apps each have a Google Drive folder id for a folder.
//!
//! A folder id is no path: rclone must be rooted at it. Here the first part of every key is the
//! id, so that the rest of the engine can treat it as any folder.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use store::{
    ByteStream, Capability, CreateOptions, Key, ObjectMeta, Prefix, Store, StoreConfig, StoreError,
    Swept, Upload,
};

type Opener = dyn Fn(String) -> StoreConfig + Send + Sync;

struct ByFolder {
    opener: Box<Opener>,
    capability: Capability,
    open: Mutex<HashMap<String, Arc<dyn Store>>>,
}

/// A store whose keys begin with the folder id; `opener` tells how one folder is opened.
pub(super) async fn open(
    opener: impl Fn(Option<String>) -> StoreConfig + Send + Sync + 'static,
) -> Result<Arc<dyn Store>, StoreError> {
    let root = store::open(opener(None)).await?;
    Ok(Arc::new(ByFolder {
        opener: Box::new(move |id| opener(Some(id))),
        capability: root.capability(),
        open: Mutex::default(),
    }))
}

impl ByFolder {
    async fn folder(&self, id: &str) -> Result<Arc<dyn Store>, StoreError> {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(store) = known {
            return Ok(store);
        }
        let store = store::open((self.opener)(id.to_owned())).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(open.entry(id.to_owned()).or_insert(store)))
    }

    async fn split(&self, key: &Key) -> Result<(Arc<dyn Store>, Key), StoreError> {
        let (id, rest) = key.as_str().split_once('/').ok_or_else(|| {
            StoreError::config(format!(
                "`{key}` is in no folder: give the app the id of its Drive folder"
            ))
        })?;
        Ok((self.folder(id).await?, Key::new(rest)?))
    }
}

#[async_trait]
impl Store for ByFolder {
    fn capability(&self) -> Capability {
        self.capability.clone()
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
        let (store, rest) = self.split(key).await?;
        store.create(&rest, options).await
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let (store, rest) = self.split(key).await?;
        store.read(&rest, range).await
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let (store, rest) = self.split(key).await?;
        Ok(ObjectMeta { key: key.clone(), ..store.stat(&rest).await? })
    }

    async fn list(
        &self,
        prefix: &Prefix,
    ) -> Result<BoxStream<'static, Result<ObjectMeta, StoreError>>, StoreError> {
        let Some(folder) =
            prefix.as_str().trim_matches('/').split('/').next().filter(|id| !id.is_empty())
        else {
            // The remote's own root: what lies in no app's folder is not ours.
            return Ok(futures::stream::empty().boxed());
        };
        let folder = folder.to_owned();
        let rest = prefix.as_str().trim_matches('/')[folder.len()..].trim_matches('/').to_owned();
        let inner = if rest.is_empty() { Prefix::root() } else { Prefix::new(&rest)? };
        let listing = self.folder(&folder).await?.list(&inner).await?;
        Ok(listing
            .and_then(move |meta| {
                let key = Key::new(&format!("{folder}/{}", meta.key));
                async move { Ok(ObjectMeta { key: key?, ..meta }) }
            })
            .boxed())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let (store, rest) = self.split(key).await?;
        store.delete(&rest).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        let (store, rest) = self.split(key).await?;
        store.abandon(&rest).await
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        let Some(folder) =
            prefix.as_str().trim_matches('/').split('/').next().filter(|id| !id.is_empty())
        else {
            return Ok(Vec::new());
        };
        self.folder(folder).await?.sweep(&Prefix::root(), older_than, now).await
    }
}

impl std::fmt::Debug for ByFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByFolder").field("capability", &self.capability).finish_non_exhaustive()
    }
}
