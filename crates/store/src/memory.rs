//! Objects in memory, for tests of everything above.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};

use crate::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store, StoreError,
    StoreErrorKind, Swept, Upload,
};

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A store that forgets everything when it goes.
#[derive(Debug, Clone, Default)]
pub struct Memory(Objects);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(key: &Key) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, format!("{key} is not there"))
}

fn taken(key: &Key) -> StoreError {
    StoreError::new(StoreErrorKind::AlreadyExists, format!("{key} is there already"))
}

fn meta(key: &Key, bytes: &Bytes) -> ObjectMeta {
    ObjectMeta { key: key.clone(), size_bytes: bytes.len() as u64, modified_at: None, sha256: None }
}

struct MemoryUpload {
    objects: Memory,
    key: Key,
    bytes: BytesMut,
}

#[async_trait]
impl Store for Memory {
    fn capability(&self) -> Capability {
        Capability { kind: "memory", location: "memory".to_owned(), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        if self.lock().contains_key(key.as_str()) {
            return Err(taken(key));
        }
        Ok(Box::new(MemoryUpload {
            objects: self.clone(),
            key: key.clone(),
            bytes: BytesMut::new(),
        }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let bytes = self.lock().get(key.as_str()).cloned().ok_or_else(|| not_found(key))?;
        let bytes = match range {
            Some(range) => {
                let at =
                    |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(at(range.start)..at(range.end).max(at(range.start)))
            }
            None => bytes,
        };
        Ok(stream::iter([Ok(bytes)]).boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        self.lock().get(key.as_str()).map(|bytes| meta(key, bytes)).ok_or_else(|| not_found(key))
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let found: Vec<_> = self
            .lock()
            .iter()
            .filter(|(name, _)| prefix.contains(name))
            .map(|(name, bytes)| Ok(meta(&Key::new(name)?, bytes)))
            .collect();
        Ok(stream::iter(found).boxed())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.lock().remove(key.as_str());
        Ok(())
    }

    async fn sweep(
        &self,
        _: &Prefix,
        _: Duration,
        _: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let bytes = self.bytes.freeze();
        let mut objects = self.objects.lock();
        if objects.contains_key(self.key.as_str()) {
            return Err(taken(&self.key));
        }
        let meta = meta(&self.key, &bytes);
        objects.insert(self.key.as_str().to_owned(), bytes);
        Ok(meta)
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
