//! One object on its way into a container.
//!
//! Blocks are sent as they fill; nothing is under the name before `Put Block List`, which is told
//! not to replace anything. Blocks of an upload that is given up are dropped by the service after
//! a week, or when another upload to the same name is finished; there is nothing to abort.

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Method;
use tokio::{sync::oneshot, task::JoinSet};

use super::{Azblob, OURS, requests::Ask};
use crate::{
    CreateOptions, Key, ObjectMeta, PartSizes, StoreError, StoreErrorKind, Upload, blocks::Blocks,
};

/// Blocks on their way at once.
const BLOCKS_AT_ONCE: usize = 2;

pub(super) struct AzblobUpload {
    store: Azblob,
    key: Key,
    /// Ours alone; begins the names of our blocks and is kept with the object.
    id: String,
    waiting: Blocks,
    sizes: PartSizes,
    /// Ended when this is dropped.
    sending: JoinSet<Result<(), StoreError>>,
    count: u32,
    sent_bytes: u64,
}

/// What is under a name after an upload.
enum There {
    Ours(ObjectMeta),
    Anothers,
    Nothing,
}

impl AzblobUpload {
    pub(super) fn begin(store: &Azblob, key: &Key, options: &CreateOptions) -> Self {
        let sizes = store.requests.limits().parts;
        Self {
            store: store.clone(),
            key: key.clone(),
            id: format!("{:032x}", rand::random::<u128>()),
            waiting: Blocks::default(),
            sizes: options.most_bytes.map_or(sizes, |bytes| sizes.within(bytes)),
            sending: JoinSet::new(),
            count: 0,
            sent_bytes: 0,
        }
    }

    /// The name of a block: all of an object's are of one length.
    fn block(id: &str, at: u32) -> String {
        BASE64_STANDARD.encode(format!("{id}-{at:06}"))
    }

    async fn one_sent(&mut self) -> Result<(), StoreError> {
        match self.sending.join_next().await {
            Some(Ok(sent)) => sent,
            Some(Err(error)) => Err(StoreError::internal(error.to_string())),
            None => Ok(()),
        }
    }

    /// Sends what waits as one block.
    async fn send_waiting(&mut self) -> Result<(), StoreError> {
        if self.count >= self.sizes.most {
            return Err(StoreError::new(
                StoreErrorKind::Config,
                format!("{}: {} is larger than an object can be", self.store.location, self.key),
            ));
        }
        while self.sending.len() >= BLOCKS_AT_ONCE {
            self.one_sent().await?;
        }
        let mut ask = Ask::of(Method::PUT, &self.store.name(&self.key));
        ask.query.push(("comp", "block".to_owned()));
        ask.query.push(("blockid", Self::block(&self.id, self.count)));
        self.count += 1;
        self.sent_bytes += self.waiting.len() as u64;
        ask.body = self.waiting.take();
        let (store, what) = (self.store.clone(), format!("writing {}", self.key));
        self.sending.spawn(async move {
            store.requests.done(&ask).await.map(drop).map_err(|error| store.lost(&what, error))
        });
        Ok(())
    }
}

/// An upload whose blocks are all there.
struct Whole {
    store: Azblob,
    key: Key,
    id: String,
    count: u32,
    sent_bytes: u64,
}

impl Whole {
    async fn there(&self) -> Result<There, StoreError> {
        let found = match self.store.looked_at(&self.key).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(There::Nothing),
            Err(error) => return Err(error),
        };
        let told = found.headers().get(OURS);
        let ours = told.is_some_and(|id| id.as_bytes() == self.id.as_bytes());
        if !ours {
            return Ok(There::Anothers);
        }
        Ok(There::Ours(self.store.meta(&self.key, &found)?))
    }

    /// Makes the object visible. A lost reply may hide that it is: what is there decides.
    async fn put(&self) -> Result<ObjectMeta, StoreError> {
        let mut list = "<?xml version=\"1.0\"?><BlockList>".to_owned();
        for at in 0..self.count {
            list.push_str("<Uncommitted>");
            list.push_str(&AzblobUpload::block(&self.id, at));
            list.push_str("</Uncommitted>");
        }
        list.push_str("</BlockList>");
        let mut ask = Ask::of(Method::PUT, &self.store.name(&self.key))
            .header("if-none-match", "*")
            .header("x-ms-blob-content-type", "application/octet-stream")
            .header(OURS, &self.id);
        ask.query.push(("comp", "blocklist".to_owned()));
        ask.body = vec![Bytes::from(list)];
        let what = format!("finishing {}", self.key);
        let said = self.store.requests.done(&ask).await;
        match (self.there().await, said) {
            (Ok(There::Ours(meta)), _) if meta.size_bytes == self.sent_bytes => Ok(meta),
            (Ok(There::Ours(meta)), _) => {
                let how =
                    format!("has {} bytes there, {} were sent", meta.size_bytes, self.sent_bytes);
                self.store.remove(&self.key).await?;
                Err(StoreError::mismatch(&self.key, &how))
            }
            (Ok(There::Anothers), _) => Err(StoreError::new(
                StoreErrorKind::AlreadyExists,
                format!("{}: {} was put there by another", self.store.location, self.key),
            )),
            (_, Err(error)) => Err(self.store.lost(&what, error)),
            (Err(error), Ok(_)) => Err(error),
            (Ok(There::Nothing), Ok(_)) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{}: {what}: done, it said, and nothing is there", self.store.location),
            )),
        }
    }
}

#[async_trait]
impl Upload for AzblobUpload {
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
        if self.waiting.len() > 0 {
            self.send_waiting().await?;
        }
        while !self.sending.is_empty() {
            self.one_sent().await?;
        }
        let whole = Whole {
            store: self.store.clone(),
            key: self.key.clone(),
            id: self.id.clone(),
            count: self.count,
            sent_bytes: self.sent_bytes,
        };
        let (tell, told) = oneshot::channel();
        // In a task of its own: what becomes visible while nobody waits any more is removed.
        tokio::spawn(async move {
            if let Err(Ok(_)) = tell.send(whole.put().await) {
                let _ = whole.store.remove(&whole.key).await;
            }
        });
        told.await.unwrap_or_else(|_| Err(StoreError::internal("an upload lost its end")))
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
