//! S3 and compatible services, through OpenDAL.
//!
//! An object becomes visible when its multipart upload is completed; until then there is nothing
//! under its name. Whoever gives up aborts the upload, so that no parts stay behind.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use opendal::{
    Buffer, ErrorKind, Operator, Writer,
    layers::{RetryLayer, TimeoutLayer},
    services,
};
use secrecy::ExposeSecret as _;

use crate::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, S3Config, Store,
    StoreError, StoreErrorKind, Swept, Upload,
};

/// Size of the first parts, in bytes. S3 takes no smaller ones than 5 MiB.
const FIRST_PART: usize = 8 << 20;
/// After this many parts the size doubles: 10,000 parts, S3's limit, then hold far more than
/// S3's largest object (5 TiB).
const PARTS_PER_SIZE: u32 = 1_000;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 2;
/// One request; inside the retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// One part.
const PART_TIMEOUT: Duration = Duration::from_secs(50);
/// How often a request is tried again.
const RETRIES: usize = 4;

/// A bucket, or a folder in it.
#[derive(Debug, Clone)]
pub struct S3 {
    operator: Operator,
    location: String,
}

impl S3 {
    /// Opens a bucket. No request is made.
    pub fn open(config: &S3Config) -> Result<Self, StoreError> {
        // Where the process has chosen neither yet: TLS by ring, OpenDAL's requests by reqwest.
        let _ = rustls::crypto::ring::default_provider().install_default();
        opendal::install_default();
        opendal_http_transport_reqwest::install_default();
        let region = config.region.as_deref().unwrap_or("us-east-1");
        let root = config.prefix.as_deref().unwrap_or_default().trim_matches('/');
        let mut builder = services::S3::default()
            .bucket(&config.bucket)
            .region(region)
            .root(&format!("/{root}"))
            // Only what the destination says: not this machine's own files and roles.
            .disable_config_load()
            .disable_ec2_metadata();
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if !config.path_style {
            builder = builder.enable_virtual_host_style();
        }
        if let Some(class) = &config.storage_class {
            builder = builder.default_storage_class(class);
        }
        if let Some(id) = &config.access_key_id {
            builder = builder.access_key_id(id.expose_secret());
        }
        if let Some(key) = &config.secret_access_key {
            builder = builder.secret_access_key(key.expose_secret());
        }
        if let Some(token) = &config.session_token {
            builder = builder.session_token(token.expose_secret());
        }
        // The deadline lies inside the retries: outside it would end them all.
        let operator = Operator::new(builder)
            .map_err(|error| StoreError::config(format!("the S3 settings: {error}")))?
            .layer(TimeoutLayer::new().with_timeout(REQUEST_TIMEOUT).with_io_timeout(PART_TIMEOUT))
            .layer(RetryLayer::new().with_jitter().with_max_times(RETRIES));
        let location = format!("s3://{}/{root}", config.bucket);
        Ok(Self { operator, location })
    }

    fn told(&self, what: &str, error: &opendal::Error) -> StoreError {
        let kind = match error.kind() {
            ErrorKind::NotFound => StoreErrorKind::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => {
                StoreErrorKind::AlreadyExists
            }
            ErrorKind::PermissionDenied => StoreErrorKind::PermissionDenied,
            ErrorKind::RateLimited => StoreErrorKind::Throttled,
            ErrorKind::ConfigInvalid | ErrorKind::Unsupported => StoreErrorKind::Config,
            _ => StoreErrorKind::Unavailable,
        };
        // The whole error lists requests and headers; its message is what a person can use.
        let message: String = error.to_string().chars().take(300).collect();
        StoreError::new(kind, format!("{}: {what}: {message}", self.location))
    }

    fn meta(key: Key, meta: &opendal::Metadata) -> ObjectMeta {
        ObjectMeta {
            key,
            size_bytes: meta.content_length(),
            modified_at: meta.last_modified().map(|at| at.into_inner().into()),
            sha256: None,
        }
    }
}

struct S3Upload {
    store: S3,
    key: Key,
    /// `None` after the end.
    writer: Option<Writer>,
    gathered: BytesMut,
    part_bytes: usize,
    parts: u32,
    written: u64,
}

impl S3Upload {
    async fn send(&mut self, part: Bytes) -> Result<(), StoreError> {
        let writer = self
            .writer
            .as_mut()
            .ok_or_else(|| StoreError::internal("an upload was used after its end"))?;
        let sent = writer.write(Buffer::from(part)).await;
        sent.map_err(|error| self.store.told(&format!("writing {}", self.key), &error))?;
        self.parts += 1;
        if self.parts.is_multiple_of(PARTS_PER_SIZE) {
            self.part_bytes *= 2;
        }
        Ok(())
    }

    async fn give_up(mut writer: Writer) -> opendal::Result<()> {
        writer.abort().await
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(Self::give_up(writer));
        }
    }
}

#[async_trait]
impl Store for S3 {
    fn capability(&self) -> Capability {
        Capability { kind: "s3", location: self.location.clone(), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        match self.stat(key).await {
            Ok(_) => {
                return Err(StoreError::new(
                    StoreErrorKind::AlreadyExists,
                    format!("{}: {key} is there already", self.location),
                ));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let writer = self
            .operator
            .writer_with(key.as_str())
            .concurrent(PARTS_AT_ONCE)
            .await
            .map_err(|error| self.told(&format!("beginning {key}"), &error))?;
        Ok(Box::new(S3Upload {
            store: self.clone(),
            key: key.clone(),
            writer: Some(writer),
            gathered: BytesMut::new(),
            part_bytes: FIRST_PART,
            parts: 0,
            written: 0,
        }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let told = |error: opendal::Error| self.told(&format!("reading {key}"), &error);
        let size = self.stat(key).await?.size_bytes;
        let range = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let reader = self.operator.reader(key.as_str()).await.map_err(told)?;
        let stream = reader.into_bytes_stream(range).await.map_err(told)?;
        let what = format!("{}: reading {key}", self.location);
        Ok(stream.map_err(move |error| StoreError::io("", &what, &error)).boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let found = self.operator.stat(key.as_str()).await;
        let found = found.map_err(|error| self.told(&format!("looking at {key}"), &error))?;
        Ok(Self::meta(key.clone(), &found))
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let path = match prefix.as_str() {
            "" => "/".to_owned(),
            folder => format!("{folder}/"),
        };
        let lister = self.operator.lister_with(&path).recursive(true).await;
        let lister = lister.map_err(|error| self.told("listing", &error))?;
        let store = self.clone();
        Ok(lister
            .map_err(move |error| store.told("listing", &error))
            .try_filter_map(|entry| async move {
                let is_object = entry.metadata().is_file();
                // Names that cannot be ours are other people's.
                let key = Key::new(entry.path()).ok().filter(|_| is_object);
                Ok(key.map(|key| Self::meta(key, entry.metadata())))
            })
            .boxed())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let deleted = self.operator.delete(key.as_str()).await;
        deleted.map_err(|error| self.told(&format!("deleting {key}"), &error))
    }

    async fn sweep(
        &self,
        _: &Prefix,
        _: Duration,
        _: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        // Parts of an upload whose process was killed are not reachable through OpenDAL; the
        // guide tells the bucket's lifecycle rule that removes them.
        Ok(Vec::new())
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.written += chunk.len() as u64;
        self.gathered.extend_from_slice(&chunk);
        while self.gathered.len() >= self.part_bytes {
            let part = self.gathered.split_to(self.part_bytes).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let rest = self.gathered.split().freeze();
        if !rest.is_empty() || self.parts == 0 {
            self.send(rest).await?;
        }
        let Some(mut writer) = self.writer.take() else {
            return Err(StoreError::internal("an upload was finished after its end"));
        };
        let closed = writer.close().await;
        // A lost reply may hide a completed upload, and a reply of 200 a failed one: what is
        // there decides.
        match (self.store.stat(&self.key).await, closed) {
            (Ok(meta), _) if meta.size_bytes == self.written => Ok(meta),
            (Ok(meta), _) => Err(StoreError::mismatch(
                &self.key,
                &format!("has {} bytes there, {} were sent", meta.size_bytes, self.written),
            )),
            (Err(_), Err(error)) => {
                let told = self.store.told(&format!("finishing {}", self.key), &error);
                let _ = Self::give_up(writer).await;
                Err(told)
            }
            (Err(error), Ok(_)) => Err(error),
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.writer.take() {
            Some(writer) => Self::give_up(writer)
                .await
                .map_err(|error| self.store.told(&format!("giving up {}", self.key), &error)),
            None => Ok(()),
        }
    }
}
