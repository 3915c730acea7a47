//! Remotes of the rclone program: Google Drive and 70 more.
//!
//! Every operation is one process with an argument list (never a shell), a scrubbed environment
//! and a process group of its own. `rcat` streams an object; where the remote can rename it is
//! written under a temporary name first, elsewhere (object stores) it appears only when it is
//! whole. A source that fails has rclone killed before the end of its input, so that it cannot
//! take a short stream for a whole one.

mod drive;
mod process;

use std::{
    ops::Range,
    process::Stdio,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin},
};
use tokio_util::io::ReaderStream;

use crate::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, RcloneConfig, Store,
    StoreError, StoreErrorKind, Swept, Upload,
    key::{finished_name, is_partial},
};
pub use drive::DriveConfig;
use process::{Stderr, failed};

/// How much of an object is read at once, in bytes.
const READ_CHUNK: usize = 256 << 10;

/// A folder of an rclone remote.
#[derive(Debug, Clone)]
pub struct Rclone {
    config: RcloneConfig,
    renames: bool,
}

#[derive(Deserialize)]
struct Features {
    #[serde(rename = "Features")]
    features: FeatureFlags,
}

#[derive(Deserialize)]
struct FeatureFlags {
    #[serde(rename = "Move", default)]
    moves: bool,
}

/// One entry of `rclone lsjson`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    path: String,
    size: i64,
    #[serde(default)]
    mod_time: String,
    #[serde(default)]
    is_dir: bool,
    #[serde(default)]
    hashes: std::collections::HashMap<String, String>,
}

impl Entry {
    fn meta(self, key: Key) -> Result<ObjectMeta, StoreError> {
        let size_bytes = u64::try_from(self.size).map_err(|_| {
            StoreError::new(StoreErrorKind::Config, format!("{key} has no size at this remote"))
        })?;
        Ok(ObjectMeta {
            key,
            size_bytes,
            modified_at: jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%:z", &self.mod_time)
                .or_else(|_| self.mod_time.parse())
                .ok()
                .map(SystemTime::from),
            sha256: self.hashes.get("sha256").or_else(|| self.hashes.get("SHA-256")).cloned(),
        })
    }
}

impl Rclone {
    /// Asks rclone what the remote can do.
    pub async fn open(config: RcloneConfig) -> Result<Self, StoreError> {
        let remote = &config.remote;
        let fits = !remote.is_empty()
            && !remote.starts_with('-')
            && remote.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+@ ".contains(c));
        if !fits || config.path.starts_with('-') || config.path.chars().any(char::is_control) {
            return Err(StoreError::config(format!(
                "`{}` is no name of an rclone remote (`rclone listremotes` shows them)",
                remote.escape_debug()
            )));
        }
        let mut store = Self { config, renames: false };
        let remote = format!("{}:", store.config.remote);
        let told = store.output("looking at the remote", &["backend", "features", &remote]).await?;
        let features: Features = serde_json::from_slice(&told)
            .map_err(|error| StoreError::config(format!("rclone backend features: {error}")))?;
        store.renames = features.features.moves;
        Ok(store)
    }

    fn location(&self) -> String {
        format!("{}:{}", self.config.remote, self.config.path)
    }

    /// `name` as rclone takes it. Begins with the remote's name, so never with a dash.
    fn target(&self, name: &str) -> String {
        let path = self.config.path.trim_end_matches('/');
        match (path, name) {
            ("", name) => format!("{}:{name}", self.config.remote),
            (path, "") => format!("{}:{path}", self.config.remote),
            (path, name) => format!("{}:{path}/{name}", self.config.remote),
        }
    }

    fn spawn(&self, arguments: &[&str]) -> Result<Child, StoreError> {
        process::command(&self.config, arguments).spawn().map_err(|error| {
            StoreError::config(format!("{} cannot be run: {error}", self.config.program.display()))
        })
    }

    /// Runs rclone to its end and gives its output.
    async fn output(&self, doing: &str, arguments: &[&str]) -> Result<Vec<u8>, StoreError> {
        let mut command = process::command(&self.config, arguments);
        let done = command.stdin(Stdio::null()).output().await.map_err(|error| {
            StoreError::config(format!("{} cannot be run: {error}", self.config.program.display()))
        })?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(failed(&format!("{}: {doing}", self.location()), done.status, &stderr))
    }

    async fn entries(&self, name: &str, more: &[&str]) -> Result<Vec<Entry>, StoreError> {
        let target = self.target(name);
        let mut arguments = vec!["lsjson", "--no-mimetype"];
        arguments.extend_from_slice(more);
        arguments.extend_from_slice(&["--", &target]);
        let told = self.output(&format!("listing {name}"), &arguments).await?;
        serde_json::from_slice(&told).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{}: rclone's listing cannot be read: {error}", self.location()),
            )
        })
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let target = self.target(name);
        match self.output(&format!("deleting {name}"), &["deletefile", "--", &target]).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }
}

impl Rclone {
    /// The file called `name`, if it is there.
    async fn file(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        let found = match self.entries(name, &[]).await {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        // The listing of a folder has its entries; of a file, the file alone.
        let last = name.rsplit('/').next().unwrap_or(name);
        Ok(found.into_iter().next().filter(|entry| !entry.is_dir && entry.path == last))
    }

    /// Makes what was written to `name` visible as `key`, if it is whole.
    async fn place(&self, key: &Key, name: &str, written: u64) -> Result<ObjectMeta, StoreError> {
        let whole = |size: Option<i64>| {
            if size.and_then(|size| u64::try_from(size).ok()) == Some(written) {
                return Ok(());
            }
            let there = size.unwrap_or_default();
            let how = format!("has {there} bytes there, {written} were sent");
            Err(StoreError::mismatch(key, &how))
        };
        let found = self.file(name).await?.map(|entry| entry.size);
        if name == key.as_str() {
            if let Err(error) = whole(found) {
                self.remove(name).await?;
                return Err(error);
            }
            return self.stat(key).await;
        }
        whole(found)?;
        if self.file(key.as_str()).await?.is_some() {
            return Err(StoreError::new(
                StoreErrorKind::AlreadyExists,
                format!("{}: {key} is there already", self.location()),
            ));
        }
        let (from, to) = (self.target(name), self.target(key.as_str()));
        let renaming = format!("renaming to {key}");
        let renamed = self.output(&renaming, &["moveto", "--", &from, &to]).await;
        let meta = self.stat(key).await;
        match (renamed, meta) {
            (Ok(_), meta) => meta,
            // Its reply may be lost, and the renaming done.
            (Err(error), Ok(meta)) => match self.file(name).await {
                Ok(None) if meta.size_bytes == written => Ok(meta),
                _ => Err(error),
            },
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Ends an upload that is given up, and removes what it left.
    async fn clean_up(&self, name: &str, mut running: Running) -> Result<(), StoreError> {
        process::kill(&mut running.child);
        let _ = running.child.wait().await;
        drop(running);
        self.remove(name).await
    }
}

/// An error during an upload: that what is being written is not found means that it was lost.
fn lost(what: &str, error: StoreError) -> StoreError {
    if error.is_not_found() {
        return StoreError::new(StoreErrorKind::Unavailable, format!("{what}: it was lost"));
    }
    error
}

struct RcloneUpload {
    store: Rclone,
    key: Key,
    /// What `rcat` writes to: the final name, or a temporary one.
    name: String,
    running: Option<Running>,
    written: u64,
}

/// rclone at work. Killed before its input is closed, so that it never takes what was given up
/// for a whole object.
struct Running {
    input: ChildStdin,
    child: Child,
    stderr: Stderr,
}

impl Drop for RcloneUpload {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            process::kill(&mut running.child);
            let (store, name) = (self.store.clone(), self.name.clone());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { store.clean_up(&name, running).await });
            }
        }
    }
}

#[async_trait]
impl Store for Rclone {
    fn capability(&self) -> Capability {
        Capability { kind: "rclone", location: self.location(), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        match self.stat(key).await {
            Ok(_) => {
                return Err(StoreError::new(
                    StoreErrorKind::AlreadyExists,
                    format!("{}: {key} is there already", self.location()),
                ));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let name = if self.renames { key.partial(rand::random()) } else { key.as_str().to_owned() };
        let target = self.target(&name);
        let mut child = self.spawn(&["rcat", "--", &target])?;
        let (Some(input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(StoreError::internal("rclone has no input"));
        };
        Ok(Box::new(RcloneUpload {
            store: self.clone(),
            key: key.clone(),
            name,
            running: Some(Running { input, child, stderr: Stderr::gather(errors) }),
            written: 0,
        }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let size = self.stat(key).await?.size_bytes;
        let range = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        let count = (range.end - range.start).to_string();
        let offset = range.start.to_string();
        let target = self.target(key.as_str());
        let mut child =
            self.spawn(&["cat", "--offset", &offset, "--count", &count, "--", &target])?;
        drop(child.stdin.take());
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(StoreError::internal("rclone has no output"));
        };
        let reading = Reading {
            stream: ReaderStream::with_capacity(output, READ_CHUNK),
            child,
            stderr: Stderr::gather(errors),
            what: format!("{}: reading {key}", self.location()),
        };
        Ok(futures::stream::try_unfold(reading, |mut reading| async move {
            match reading.stream.next().await {
                Some(Ok(chunk)) => Ok(Some((chunk, reading))),
                Some(Err(error)) => Err(StoreError::io("", &reading.what, &error)),
                // The end of its output is not success: its exit code decides.
                None => {
                    let Reading { mut child, stderr, what, .. } = reading;
                    process::succeed(&what, &mut child, stderr).await.map(|()| None)
                }
            }
        })
        .boxed())
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        match self.file(key.as_str()).await? {
            Some(entry) => entry.meta(key.clone()),
            None => Err(StoreError::new(
                StoreErrorKind::NotFound,
                format!("{}: {key} is not there", self.location()),
            )),
        }
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let folder = prefix.as_str();
        let found = match self.entries(folder, &["--recursive", "--files-only"]).await {
            // A folder that nothing was put into yet; the remote's own root must be there.
            Err(error) if error.is_not_found() => match self.entries("", &["--files-only"]).await {
                Err(root) if !root.is_not_found() => return Err(root),
                _ => Vec::new(),
            },
            found => found?,
        };
        let metas: Vec<_> = found
            .into_iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| {
                let name = if folder.is_empty() {
                    entry.path.clone()
                } else {
                    format!("{folder}/{}", entry.path)
                };
                Key::new(&name).ok().map(|key| entry.meta(key))
            })
            .collect();
        Ok(futures::stream::iter(metas).boxed())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.remove(key.as_str()).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        let (folder, finished) = key.split();
        let folder = folder.unwrap_or_default();
        for entry in self.entries(folder, &["--files-only"]).await? {
            if finished_name(&entry.path) == Some(finished) {
                let name = if folder.is_empty() {
                    entry.path.clone()
                } else {
                    format!("{folder}/{}", entry.path)
                };
                self.remove(&name).await?;
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
        let folder = prefix.as_str();
        let mut swept = Vec::new();
        let found = match self.entries(folder, &["--recursive", "--files-only"]).await {
            // Nothing was put there yet.
            Err(error) if error.is_not_found() => Vec::new(),
            found => found?,
        };
        for entry in found {
            let name = if folder.is_empty() {
                entry.path.clone()
            } else {
                format!("{folder}/{}", entry.path)
            };
            let modified: Option<SystemTime> =
                entry.mod_time.parse::<jiff::Timestamp>().ok().map(Into::into);
            let age = modified.and_then(|at| now.duration_since(at).ok());
            if is_partial(&name) && age.is_some_and(|age| age >= older_than) {
                self.remove(&name).await?;
                swept.push(Swept { name });
            }
        }
        Ok(swept)
    }
}

struct Reading {
    stream: ReaderStream<tokio::process::ChildStdout>,
    child: Child,
    stderr: Stderr,
    what: String,
}

#[async_trait]
impl Upload for RcloneUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let Some(running) = &mut self.running else {
            return Err(StoreError::internal("an upload was used after it failed"));
        };
        self.written += chunk.len() as u64;
        if running.input.write_all(&chunk).await.is_ok() {
            return Ok(());
        }
        // It went away: its own words say why.
        let what = format!("{}: writing {}", self.store.location(), self.key);
        let stderr = std::mem::take(&mut running.stderr);
        match process::succeed(&what, &mut running.child, stderr).await {
            Err(error) => Err(lost(&what, error)),
            Ok(()) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{what}: rclone ended before its input did"),
            )),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let (store, key, name) = (self.store.clone(), self.key.clone(), self.name.clone());
        let what = format!("{}: finishing {key}", store.location());
        let Some(Running { mut input, mut child, stderr }) = self.running.take() else {
            return Err(StoreError::internal("an upload was finished after it failed"));
        };
        let closed = input.shutdown().await;
        drop(input);
        let done = match process::succeed(&what, &mut child, stderr).await {
            Ok(()) => closed.map_err(|error| StoreError::io("", &what, &error)),
            Err(error) => Err(error),
        };
        let placed = match done {
            Ok(()) => store.place(&key, &name, self.written).await,
            Err(error) => Err(error),
        };
        if placed.is_err() && name != key.as_str() {
            // What failed is the news; what cannot be removed now is swept later.
            let _ = store.remove(&name).await;
        }
        placed.map_err(|error| lost(&what, error))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.running.take() {
            Some(running) => self.store.clean_up(&self.name, running).await,
            None => Ok(()),
        }
    }
}
