//! S3 and compatible services, through OpenDAL.
//!
//! An object becomes visible when its multipart upload is completed; until then there is nothing
//! under its name. Whoever gives up aborts the upload, so that no parts stay behind.

mod listing;
mod lock;
mod requests;
mod unfinished;
mod upload;

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use opendal::{
    ErrorKind, Operator,
    layers::{RetryLayer, TimeoutLayer},
    services,
};
use secrecy::ExposeSecret as _;

use requests::Requests;
use upload::{Busy, S3Upload};

use crate::{
    ByteStream, Capability, CreateOptions, Key, Limits, Listing, Locking, ObjectLock, ObjectMeta,
    Prefix, S3Config, Store, StoreError, StoreErrorKind, Swept, Upload,
};

/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 2;
/// The metadata that keeps an upload's own id with its object.
const OURS: &str = "upload-id";
/// What services say when no room is left: `InsufficientStorage` of the protocol, `QuotaExceeded`
/// of Ceph, `XMinioStorageFull` of `MinIO`, a sentence of Backblaze.
const FULL: &[&str] = &[
    "insufficientstorage",
    "quotaexceeded",
    "storagefull",
    "storage cap exceeded",
    "no space left",
];

/// A bucket, or a folder in it.
#[derive(Debug, Clone)]
pub struct S3 {
    operator: Operator,
    requests: Requests,
    limits: Limits,
    /// Keys in the bucket of the uploads that are under way here.
    busy: Busy,
    location: String,
    /// Folder in the bucket, without slashes around it.
    root: String,
    object_lock: Option<ObjectLock>,
}

impl S3 {
    /// Opens a bucket. No request is made.
    pub fn open(config: &S3Config) -> Result<Self, StoreError> {
        Self::with_limits(config, Limits::default())
    }

    /// Opens a bucket with other limits than the usual ones.
    pub fn with_limits(config: &S3Config, limits: Limits) -> Result<Self, StoreError> {
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
        if config.object_lock.is_some() {
            // Buckets with a lock take nothing without a checksum.
            builder = builder.checksum_algorithm("crc32c");
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
            .layer(TimeoutLayer::new().with_timeout(limits.request).with_io_timeout(limits.part))
            .layer(
                RetryLayer::new()
                    .with_jitter()
                    .with_min_delay(limits.first_pause)
                    .with_max_times(limits.retries as usize),
            );
        let requests = Requests::to(config, region, &limits)?;
        let location = format!("s3://{}/{root}", config.bucket);
        Ok(Self {
            operator,
            requests,
            limits,
            busy: Busy::default(),
            location,
            root: root.to_owned(),
            object_lock: config.object_lock.clone(),
        })
    }

    fn told(&self, what: &str, error: &opendal::Error) -> StoreError {
        // The whole error lists requests and headers; its beginning is what a person can use.
        let message: String = error.to_string().chars().take(300).collect();
        StoreError::new(kind_of(error), format!("{}: {what}: {message}", self.location))
    }

    /// An error during an upload: that what is being written is not found means that the upload
    /// was lost.
    fn lost(&self, what: &str, error: &opendal::Error) -> StoreError {
        let told = self.told(what, error);
        if told.is_not_found() {
            let what = format!("{}: {what}: the service lost the upload", self.location);
            return StoreError::new(StoreErrorKind::Unavailable, what);
        }
        told
    }

    async fn delete_quietly(&self, key: &Key) -> Result<(), StoreError> {
        let deleted = self.operator.delete(key.as_str()).await;
        deleted.map_err(|error| self.told(&format!("deleting {key}"), &error))
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

#[async_trait]
impl Store for S3 {
    fn capability(&self) -> Capability {
        Capability { kind: "s3", location: self.location.clone(), ranges: true }
    }

    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError> {
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
        Ok(Box::new(S3Upload::begin(self, key, options).await?))
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

    fn locking(&self) -> Option<&dyn Locking> {
        self.object_lock.as_ref().map(|_| self as &dyn Locking)
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let found = self.operator.stat(key.as_str()).await;
        let found = found.map_err(|error| self.told(&format!("looking at {key}"), &error))?;
        Ok(Self::meta(key.clone(), &found))
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let root = inside(&self.root);
        let folder = format!("{root}{}", inside(prefix.as_str()));
        Ok(listing::list(self.requests.clone(), folder, root))
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.delete_quietly(key).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        let whole = format!("{}{key}", inside(&self.root));
        for begun in unfinished::list(&self.requests, &whole).await? {
            if begun.key == whole && !self.busy.has(&begun.key) {
                unfinished::abort(&self.requests, &begun).await?;
            }
        }
        Ok(())
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        let folder = inside(&self.root) + &inside(prefix.as_str());
        if folder.is_empty() {
            // An upload bears no mark of ours before it is complete, and the bucket may be shared.
            return Ok(Vec::new());
        }
        let mut swept = Vec::new();
        for begun in unfinished::list(&self.requests, &folder).await? {
            // A large one of ours may take days.
            if begun.is_older_than(older_than, now) && !self.busy.has(&begun.key) {
                unfinished::abort(&self.requests, &begun).await?;
                swept.push(Swept { name: begun.key });
            }
        }
        Ok(swept)
    }
}

/// What every key in `folder` begins with.
fn inside(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

/// What an answer of the service means.
fn kind_of(error: &opendal::Error) -> StoreErrorKind {
    let text = error.to_string().to_lowercase();
    match error.kind() {
        _ if is_full(error.message()) || text.contains("status: 507") => StoreErrorKind::Full,
        ErrorKind::NotFound => StoreErrorKind::NotFound,
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => StoreErrorKind::AlreadyExists,
        ErrorKind::PermissionDenied => StoreErrorKind::PermissionDenied,
        _ if text.contains("status: 401") => StoreErrorKind::PermissionDenied,
        ErrorKind::RateLimited => StoreErrorKind::Throttled,
        ErrorKind::ConfigInvalid | ErrorKind::Unsupported => StoreErrorKind::Config,
        _ => StoreErrorKind::Unavailable,
    }
}

/// Whether an error's text says that no room is left.
fn is_full(said: &str) -> bool {
    let said = said.to_lowercase();
    FULL.iter().any(|word| said.contains(word))
}
