//! One object on its way into a bucket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use opendal::{Buffer, Metadata, Writer};
use tokio::task::JoinHandle;

use super::{OURS, S3};
use crate::{
    CreateOptions, Key, ObjectMeta, PartSizes, StoreError, StoreErrorKind, Upload, blocks::Blocks,
};

/// A writer and what came of its last call.
type Used<T> = (Writer, opendal::Result<T>);

/// The writer is used in tasks of its own: a call that is dropped half-way would leave it unable
/// to abort, and the parts would stay in the bucket.
enum State {
    Idle(Writer),
    Sending(JoinHandle<Used<()>>),
    Closing(JoinHandle<Used<Metadata>>),
    Ended,
}

/// Keys of the uploads under way, and how many of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<Mutex<HashMap<String, usize>>>);

/// One upload under way, until this is dropped.
struct Entered {
    busy: Busy,
    key: String,
}

impl Busy {
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    fn enter(&self, key: String) -> Arc<Entered> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *keys.entry(key.clone()).or_default() += 1;
        Arc::new(Entered { busy: self.clone(), key })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut keys = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = keys.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

pub(super) struct S3Upload {
    store: S3,
    key: Key,
    /// Ours alone; kept with the object, so that it is known again.
    id: String,
    state: State,
    entered: Arc<Entered>,
    waiting: Blocks,
    sizes: PartSizes,
    parts: u32,
    sent_bytes: u64,
}

/// What is under a name after an upload.
enum There {
    Ours(ObjectMeta),
    Anothers,
    Nothing,
    Unknown(StoreError),
}

impl S3Upload {
    pub(super) async fn begin(
        store: &S3,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Self, StoreError> {
        let sizes = store.limits.parts;
        let id = format!("{:032x}", rand::random::<u128>());
        let writer = store
            .operator
            .writer_with(key.as_str())
            .concurrent(super::PARTS_AT_ONCE)
            .user_metadata([(OURS.to_owned(), id.clone())])
            .await
            .map_err(|error| store.told(&format!("beginning {key}"), &error))?;
        Ok(Self {
            store: store.clone(),
            key: key.clone(),
            id,
            state: State::Idle(writer),
            entered: store.busy.enter(super::inside(&store.root) + key.as_str()),
            waiting: Blocks::default(),
            sizes: options.most_bytes.map_or(sizes, |bytes| sizes.within(bytes)),
            parts: 0,
            sent_bytes: 0,
        })
    }

    /// Sends what waits as one part.
    async fn send_waiting(&mut self) -> Result<(), StoreError> {
        let part = Buffer::from(self.waiting.take());
        let State::Idle(mut writer) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(StoreError::internal("an upload was used after its end"));
        };
        if self.parts >= self.sizes.most {
            self.state = State::Idle(writer);
            return Err(StoreError::new(
                StoreErrorKind::Config,
                format!("{}: {} is larger than an object can be", self.store.location, self.key),
            ));
        }
        let count = part.len() as u64;
        self.state = State::Sending(tokio::spawn(async move {
            let sent = writer.write(part).await;
            (writer, sent)
        }));
        let State::Sending(task) = &mut self.state else {
            return Err(StoreError::internal("an upload lost its part"));
        };
        let used = task.await;
        self.state = State::Ended;
        let (writer, sent) = used.map_err(|error| StoreError::internal(error.to_string()))?;
        self.state = State::Idle(writer);
        sent.map_err(|error| self.store.lost(&format!("writing {}", self.key), &error))?;
        self.parts += 1;
        self.sent_bytes += count;
        Ok(())
    }

    /// What is under the name: the object with our id is ours. A service that keeps no ids is
    /// asked for the size.
    async fn there(&self) -> There {
        let found = match self.store.operator.stat(self.key.as_str()).await {
            Ok(found) => found,
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => return There::Nothing,
            Err(error) => {
                return There::Unknown(
                    self.store.told(&format!("looking at {}", self.key), &error),
                );
            }
        };
        let told = found.user_metadata().and_then(|values| values.get(OURS).map(str::to_owned));
        let ours = match told {
            Some(id) => id == self.id,
            None => found.content_length() == self.sent_bytes,
        };
        if ours { There::Ours(S3::meta(self.key.clone(), &found)) } else { There::Anothers }
    }

    /// What the end of the upload came to. A lost reply may hide a completed upload, and a reply
    /// of 200 a failed one: what is there decides.
    async fn judge(
        &mut self,
        writer: Writer,
        closed: opendal::Result<Metadata>,
    ) -> Result<ObjectMeta, StoreError> {
        let what = format!("finishing {}", self.key);
        match (self.there().await, closed) {
            (There::Ours(meta), _) if meta.size_bytes == self.sent_bytes => Ok(meta),
            (There::Ours(meta), _) => {
                let how =
                    format!("has {} bytes there, {} were sent", meta.size_bytes, self.sent_bytes);
                self.store.operator.delete(self.key.as_str()).await.map_err(|error| {
                    self.store.told(&format!("removing {}, which {how},", self.key), &error)
                })?;
                Err(StoreError::mismatch(&self.key, &how))
            }
            (There::Anothers, closed) => {
                if closed.is_err() {
                    self.state = State::Idle(writer); // To be aborted when this is dropped.
                }
                Err(StoreError::new(
                    StoreErrorKind::AlreadyExists,
                    format!("{}: {} was put there by another", self.store.location, self.key),
                ))
            }
            (There::Nothing | There::Unknown(_), Err(error)) => {
                self.state = State::Idle(writer);
                Err(self.store.lost(&what, &error))
            }
            (There::Unknown(error), Ok(_)) => Err(error),
            (There::Nothing, Ok(_)) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{}: {what}: done, it said, and nothing is there", self.store.location),
            )),
        }
    }

    /// Ends what is under way and removes what it left.
    async fn give_up(mut self) -> Result<(), StoreError> {
        let mut writer = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Ok(()),
            State::Idle(writer) => writer,
            State::Sending(task) => match task.await {
                Ok((writer, _)) => writer,
                Err(error) => return Err(StoreError::internal(error.to_string())),
            },
            State::Closing(task) => match task.await {
                Ok((_, Ok(_))) => {
                    // It became visible while nobody waited for it any more.
                    if let There::Ours(_) = self.there().await {
                        self.store.delete_quietly(&self.key).await?;
                    }
                    return Ok(());
                }
                Ok((writer, Err(_))) => writer,
                Err(error) => return Err(StoreError::internal(error.to_string())),
            },
        };
        match writer.abort().await {
            Err(error) if error.kind() != opendal::ErrorKind::NotFound => {
                Err(self.store.told(&format!("giving up {}", self.key), &error))
            }
            _ => Ok(()),
        }
    }

    /// This upload, as something to be given up; nothing is left to do here.
    fn taken(&mut self) -> Option<Self> {
        if matches!(self.state, State::Ended) {
            return None;
        }
        Some(Self {
            store: self.store.clone(),
            key: self.key.clone(),
            id: std::mem::take(&mut self.id),
            state: std::mem::replace(&mut self.state, State::Ended),
            entered: Arc::clone(&self.entered),
            waiting: Blocks::default(),
            sizes: self.sizes,
            parts: self.parts,
            sent_bytes: self.sent_bytes,
        })
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        if let Some(rest) = self.taken()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(rest.give_up());
        }
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let size = self.sizes.next_bytes(self.sent_bytes);
            let missing = size.saturating_sub(self.waiting.len() as u64);
            let fits = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.len());
            self.waiting.push(&rest[..fits]);
            rest = &rest[fits..];
            if self.waiting.len() as u64 >= size {
                self.send_waiting().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        if self.waiting.len() > 0 || self.parts == 0 {
            self.send_waiting().await?;
        }
        let State::Idle(mut writer) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(StoreError::internal("an upload was finished after its end"));
        };
        self.state = State::Closing(tokio::spawn(async move {
            let closed = writer.close().await;
            (writer, closed)
        }));
        let State::Closing(task) = &mut self.state else {
            return Err(StoreError::internal("an upload lost its end"));
        };
        let used = task.await;
        self.state = State::Ended;
        let (writer, closed) = used.map_err(|error| StoreError::internal(error.to_string()))?;
        let judged = match self.judge(writer, closed).await {
            Ok(meta) => match self.store.protect(&self.key, &meta).await {
                Ok(()) => Ok(meta),
                Err(error) => {
                    // What is not locked is not what was asked for.
                    let _ = self.store.delete_quietly(&self.key).await;
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        if judged.is_err()
            && let Some(rest) = self.taken()
        {
            let _ = rest.give_up().await;
        }
        judged
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.taken() {
            // In a task of its own: who stops waiting does not stop it.
            Some(rest) => tokio::spawn(rest.give_up())
                .await
                .unwrap_or_else(|error| Err(StoreError::internal(error.to_string()))),
            None => Ok(()),
        }
    }
}
