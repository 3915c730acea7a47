//! Objects at a destination, behind one small trait.
//!
//! A [`Store`] puts whole objects under names that were free, reads, lists and deletes them.
//! Nothing exists under a name before [`Upload::finish`] has said so.

mod azblob;
mod blocks;
mod closed;
mod config;
mod deadline;
mod error;
mod faulty;
mod folders;
mod here;
mod key;
mod limits;
mod local;
mod locking;
mod memory;
mod parts;
mod rclone;
mod rest;
mod s3;
mod sftp;
mod tree;
mod web;
mod webdav;
mod xml;

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use azblob::{Azblob, AzblobConfig};
pub use closed::Closed;
pub use config::{
    LocalConfig, LockMode, ObjectLock, RcloneConfig, S3Config, StoreConfig, open, open_within,
};
pub use deadline::Deadlines;
pub use error::{StoreError, StoreErrorKind};
pub use faulty::{Fault, Faulty, Operation};
pub use here::Here;
pub use key::{InvalidKey, Key, Prefix};
pub use limits::Limits;
pub use local::Local;
pub use locking::{Locked, Locking, Prolonged};
pub use memory::Memory;
pub use parts::PartSizes;
pub use rclone::{DriveConfig, Rclone};
pub use rest::{Rest, RestConfig};
pub use s3::S3;
pub use sftp::{Sftp, SftpConfig, key_in_lines};
pub use webdav::{Webdav, WebdavConfig};

/// The bytes of an object, in order. An error ends it; a short end is an error.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// What lies under a prefix. An error anywhere means that the whole listing is unknown.
pub type Listing = BoxStream<'static, Result<ObjectMeta, StoreError>>;

/// What a store can do, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// As destinations call it, or `memory`.
    pub kind: &'static str,
    /// Where it is, for people; without secrets.
    pub location: String,
    /// Whether part of an object can be read without the rest.
    pub ranges: bool,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub key: Key,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// When it was written, where the store tells.
    pub modified_at: Option<SystemTime>,
    /// SHA-256 as the store tells it, 64 hex digits.
    pub sha256: Option<String>,
}

impl ObjectMeta {
    /// Whether the store's own SHA-256, if it tells one, is `sha256`.
    pub fn agrees_with_sha256(&self, sha256: &str) -> bool {
        self.sha256.as_ref().is_none_or(|told| told.eq_ignore_ascii_case(sha256))
    }
}

/// How an object is to be created.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// Expected size in bytes, where known; a hint only.
    pub size_hint_bytes: Option<u64>,
    /// Size that it will not pass, in bytes, where one is known: it may save memory.
    pub most_bytes: Option<u64>,
    /// Words on it for people, where the store keeps such.
    pub tags: Vec<String>,
}

/// A partial upload that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// What it was called.
    pub name: String,
}

/// Objects at a destination.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What it can do.
    fn capability(&self) -> Capability;

    /// Begins an object under a free name; [`StoreErrorKind::AlreadyExists`] otherwise.
    async fn create(
        &self,
        key: &Key,
        options: &CreateOptions,
    ) -> Result<Box<dyn Upload>, StoreError>;

    /// Reads an object, or the bytes of `range`.
    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError>;

    /// The object as a file of this machine, where objects are such files; whether it is there, its
    /// reader finds out.
    fn here(&self, key: &Key) -> Option<Here> {
        let _ = key;
        None
    }

    /// What locks objects here, where the destination says that they are to be locked.
    fn locking(&self) -> Option<&dyn Locking> {
        None
    }

    /// What is known of an object; [`StoreErrorKind::NotFound`] where it is not.
    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError>;

    /// Every object under `prefix`, in no particular order; unfinished ones are not shown.
    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError>;

    /// Deletes exactly `key`. Deleting what is not there succeeds.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// Frees what unfinished uploads towards exactly `key` hold, whoever began them: for a name
    /// that nobody writes to any more. What a store cannot tell apart waits for the sweep.
    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        let _ = key;
        Ok(())
    }

    /// Removes `folder` where nothing is in it; stores without folders have nothing to remove.
    async fn remove_empty(&self, folder: &Prefix) -> Result<(), StoreError> {
        let _ = folder;
        Ok(())
    }

    /// Removes unfinished uploads of ours under `prefix` that are older than `older_than`.
    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError>;
}

/// An object being written. Dropping it leaves nothing under its name.
#[async_trait]
pub trait Upload: Send {
    /// Takes the next bytes.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError>;

    /// Makes the object durable and visible.
    async fn finish(self: Box<Self>) -> Result<ObjectMeta, StoreError>;

    /// Gives the object up and removes what was written.
    async fn abort(self: Box<Self>) -> Result<(), StoreError>;
}
