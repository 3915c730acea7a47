//! Azure Blob Storage, by requests of our own.

mod listing;
mod requests;
mod sign;
mod upload;

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::StreamExt as _;
use http::{Method, StatusCode, header};
use reqwest::Response;
use secrecy::SecretString;

use crate::{
    ByteStream, Capability, CreateOptions, Key, Limits, Listing, ObjectMeta, PartSizes, Prefix,
    Store, StoreError, StoreErrorKind, Swept, Upload,
};
use requests::{Ask, Requests};
use upload::AzblobUpload;

/// The header that keeps an upload's own id with its object.
const OURS: &str = "x-ms-meta-upload_id";
/// Blocks that an object can have.
const MOST_BLOCKS: u32 = 50_000;

/// Azure Blob Storage.
#[derive(Debug, Clone, Default)]
pub struct AzblobConfig {
    /// Name of the storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// Address of the account, where it is not `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Folder inside the container.
    pub prefix: Option<String>,
    /// Key of the account.
    pub account_key: Option<SecretString>,
    /// A shared access signature, instead of the key.
    pub sas_token: Option<SecretString>,
}

/// A container, or a folder in it.
#[derive(Debug, Clone)]
pub struct Azblob {
    requests: Requests,
    location: String,
    /// What the name of every object of ours begins with: empty, or a folder and a slash.
    root: String,
}

impl Azblob {
    /// Opens a container. No request is made.
    pub fn open(config: &AzblobConfig) -> Result<Self, StoreError> {
        let parts = PartSizes { most: MOST_BLOCKS, ..PartSizes::default() };
        Self::with_limits(config, Limits { parts, ..Limits::default() })
    }

    /// Opens a container with other limits than the usual ones.
    pub fn with_limits(config: &AzblobConfig, limits: Limits) -> Result<Self, StoreError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prefix = config.prefix.as_deref().unwrap_or_default().trim_matches('/');
        if !prefix.is_empty() {
            Prefix::new(prefix)?;
        }
        Ok(Self {
            requests: Requests::to(config, limits)?,
            location: format!("azblob://{}/{}/{prefix}", config.account, config.container),
            root: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        })
    }

    /// The object's name in the container.
    fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.root)
    }

    fn told(&self, what: &str, error: &StoreError) -> StoreError {
        StoreError::new(error.kind(), format!("{}: {what}: {}", self.location, error.what()))
    }

    /// An error during an upload: what is not found or there already was lost, or is looked at.
    fn lost(&self, what: &str, error: StoreError) -> StoreError {
        if error.is_not_found() {
            let what = format!("{}: {what}: the service lost the upload", self.location);
            return StoreError::new(StoreErrorKind::Unavailable, what);
        }
        self.told(what, &error)
    }

    async fn looked_at(&self, key: &Key) -> Result<Response, StoreError> {
        let found = self.requests.done(&Ask::of(Method::HEAD, &self.name(key))).await;
        found.map_err(|error| self.told(&format!("looking at {key}"), &error))
    }

    fn meta(&self, key: &Key, found: &Response) -> Result<ObjectMeta, StoreError> {
        let text = |name: header::HeaderName| {
            found.headers().get(name).and_then(|value| value.to_str().ok())
        };
        let size = text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
        let size_bytes = size.ok_or_else(|| {
            let what = format!("{}: no size of {key} was told", self.location);
            StoreError::new(StoreErrorKind::Unavailable, what)
        })?;
        let modified_at = text(header::LAST_MODIFIED).and_then(time);
        Ok(ObjectMeta { key: key.clone(), size_bytes, modified_at, sha256: None })
    }

    async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        match self.requests.done(&Ask::of(Method::DELETE, &self.name(key))).await {
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(self.told(&format!("deleting {key}"), &error)),
            Ok(_) => Ok(()),
        }
    }
}

/// A time as HTTP tells it.
fn time(text: &str) -> Option<SystemTime> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|at| at.timestamp().into())
}

/// An object being read.
struct Reading {
    store: Azblob,
    key: Key,
    /// What was there when reading began; another's bytes are never mixed in.
    tag: String,
    rest: Range<u64>,
    answer: Option<Response>,
    /// How often it may still be taken up again.
    tries: u32,
}

impl Reading {
    async fn begin(&self) -> Result<Response, StoreError> {
        let Range { start, end } = self.rest;
        let mut ask = Ask::of(Method::GET, &self.store.name(&self.key))
            .header("range", &format!("bytes={start}-{}", end - 1));
        if !self.tag.is_empty() {
            ask = ask.header("if-match", &self.tag);
        }
        let answer = self.store.requests.done(&ask).await.map_err(|error| self.told(&error))?;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(self.told(&self.store.requests.broken(&"it gives no ranges")));
        }
        Ok(answer)
    }

    fn told(&self, error: &StoreError) -> StoreError {
        let what = format!("reading {}", self.key);
        if error.is_already_exists() {
            let how = format!("{}: {what}: it was replaced meanwhile", self.store.location);
            return StoreError::new(StoreErrorKind::Unavailable, how);
        }
        self.store.told(&what, error)
    }

    /// The next bytes; taken up again where a connection breaks.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, StoreError> {
        while !self.rest.is_empty() {
            let mut answer = match self.answer.take() {
                Some(answer) => answer,
                None => self.begin().await?,
            };
            let requests = &self.store.requests;
            let broken = match requests.chunk(&mut answer).await {
                Ok(Some(chunk)) => {
                    self.answer = Some(answer);
                    self.rest.start += chunk.len() as u64;
                    if self.rest.start > self.rest.end {
                        return Err(self.told(&requests.broken(&"more came than was asked for")));
                    }
                    return Ok(Some(chunk));
                }
                Ok(None) => requests.broken(&"it ended early"),
                Err(error) => error,
            };
            if self.tries == 0 {
                return Err(self.told(&broken));
            }
            self.tries -= 1;
            tokio::time::sleep(requests.limits().first_pause).await;
        }
        Ok(None)
    }
}

#[async_trait]
impl Store for Azblob {
    fn capability(&self) -> Capability {
        Capability { kind: "azblob", location: self.location.clone(), ranges: true }
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
        match self.looked_at(key).await {
            Ok(_) => Err(StoreError::new(
                StoreErrorKind::AlreadyExists,
                format!("{}: {key} is there already", self.location),
            )),
            Err(error) if error.is_not_found() => {
                Ok(Box::new(AzblobUpload::begin(self, key, options)))
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let found = self.looked_at(key).await?;
        let size = self.meta(key, &found)?.size_bytes;
        let tag = found.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let mut reading = Reading {
            store: self.clone(),
            key: key.clone(),
            tag: tag.unwrap_or_default().to_owned(),
            rest: range.map_or(0..size, |range| range.start.min(size)..range.end.min(size)),
            answer: None,
            tries: self.requests.limits().retries,
        };
        if !reading.rest.is_empty() {
            reading.answer = Some(reading.begin().await?);
        }
        Ok(futures::stream::try_unfold(reading, |mut reading| async move {
            let chunk = reading.next().await?;
            Ok(chunk.map(|chunk| (chunk, reading)))
        })
        .boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let found = self.looked_at(key).await?;
        self.meta(key, &found)
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let folder = match prefix.as_str() {
            "" => self.root.clone(),
            prefix => format!("{}{prefix}/", self.root),
        };
        Ok(listing::list(self.requests.clone(), folder, self.root.clone()))
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.remove(key).await
    }

    /// The service drops the blocks of unfinished uploads itself, after a week.
    async fn sweep(
        &self,
        _: &Prefix,
        _: Duration,
        _: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        Ok(Vec::new())
    }
}
