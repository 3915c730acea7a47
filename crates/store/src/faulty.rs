//! A store that misbehaves on request, for tests of everything above.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store, StoreError,
    StoreErrorKind, Swept, Upload,
};

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Store::create`].
    Create,
    /// [`Upload::write`].
    Write,
    /// [`Upload::finish`].
    Finish,
    /// [`Store::read`].
    Read,
    /// [`Store::stat`].
    Stat,
    /// [`Store::list`].
    List,
    /// [`Store::delete`].
    Delete,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With an error, before anything is done.
    Error(StoreErrorKind),
    /// With an error, after it was done: the reply was lost.
    LostReply,
    /// Never answers.
    Stall,
    /// Answers only after this long.
    Delay(Duration),
    /// Says that it is done, and loses the last byte; of a read, all after its first chunk.
    Short,
    /// One bit of what is read is flipped.
    FlippedBit,
    /// The listing ends with an error after its first entry.
    FailsOnSecondPage,
    /// The listing shows nothing.
    Empty,
    /// The listing lacks one entry.
    DropsOne,
}

/// Another store, with faults in front of it.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    script: Arc<Mutex<VecDeque<(Operation, Fault)>>>,
    calls: Arc<Mutex<HashMap<Operation, u64>>>,
}

impl Faulty {
    /// Behaves like `inner` until told otherwise.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, script: Arc::default(), calls: Arc::default() }
    }

    /// Lets the next `operation` that no earlier fault is waiting for go wrong.
    pub fn inject(&self, operation: Operation, fault: Fault) {
        self.lock().push_back((operation, fault));
    }

    /// Takes all waiting faults back.
    pub fn behave(&self) {
        self.lock().clear();
    }

    /// How many injected faults have not happened yet.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// How often it was asked for `operation`.
    pub fn calls(&self, operation: Operation) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&operation).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Operation, Fault)>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(operation).or_default() += 1;
        drop(calls);
        let mut script = self.lock();
        let at = script.iter().position(|(one, _)| *one == operation)?;
        script.remove(at).map(|(_, fault)| fault)
    }

    async fn before(&self, operation: Operation) -> Result<Option<Fault>, StoreError> {
        match self.next(operation) {
            Some(Fault::Error(kind)) => Err(injected(kind)),
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::Delay(length)) => {
                tokio::time::sleep(length).await;
                Ok(None)
            }
            other => Ok(other),
        }
    }
}

fn injected(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "an injected fault")
}

fn lost<T>(fault: Option<Fault>, done: T) -> Result<T, StoreError> {
    match fault {
        Some(Fault::LostReply) => Err(injected(StoreErrorKind::Unavailable)),
        _ => Ok(done),
    }
}

struct FaultyUpload {
    store: Faulty,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Store for Faulty {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
        let fault = self.before(Operation::Create).await?;
        let inner = self.inner.create(key, options).await?;
        lost(fault, Box::new(FaultyUpload { store: self.clone(), inner }) as Box<dyn Upload>)
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let fault = self.before(Operation::Read).await?;
        let stream = self.inner.read(key, range).await?;
        if fault == Some(Fault::Short) {
            return Ok(stream.take(1).boxed());
        }
        if fault != Some(Fault::FlippedBit) {
            return lost(fault, stream);
        }
        let mut flipped = false;
        Ok(stream
            .map_ok(move |chunk| {
                if std::mem::replace(&mut flipped, true) || chunk.is_empty() {
                    return chunk;
                }
                let mut bytes = BytesMut::from(chunk);
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                bytes.freeze()
            })
            .boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let fault = self.before(Operation::Stat).await?;
        lost(fault, self.inner.stat(key).await?)
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let fault = self.before(Operation::List).await?;
        let listing = self.inner.list(prefix).await?;
        Ok(match fault {
            Some(Fault::FailsOnSecondPage) => listing
                .take(1)
                .chain(futures::stream::iter([Err(injected(StoreErrorKind::Unavailable))]))
                .boxed(),
            Some(Fault::Empty) => futures::stream::empty().boxed(),
            Some(Fault::DropsOne) => listing.skip(1).boxed(),
            _ => listing,
        })
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let fault = self.before(Operation::Delete).await?;
        self.inner.delete(key).await?;
        lost(fault, ())
    }

    async fn remove_empty(&self, folder: &Prefix) -> Result<(), StoreError> {
        self.inner.remove_empty(folder).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.abandon(key).await
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

#[async_trait]
impl Upload for FaultyUpload {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        let fault = self.store.before(Operation::Write).await?;
        if fault == Some(Fault::Short) {
            chunk.truncate(chunk.len().saturating_sub(1));
        }
        self.inner.write(chunk).await?;
        lost(fault, ())
    }

    async fn finish(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let fault = self.store.before(Operation::Finish).await?;
        let meta = self.inner.finish().await?;
        lost(fault, meta)
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.abort().await
    }
}
