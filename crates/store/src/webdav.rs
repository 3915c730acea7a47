//! A folder of a WebDAV server.
//!
//! Requests of our own, because general clients hold the whole object in memory. An object is
//! streamed to a temporary name (`PUT` of unknown length) and moved (`MOVE`, which must not
//! overwrite) when it is whole.

mod answer;

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode, header};
use secrecy::SecretString;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store, StoreError,
    StoreErrorKind, Swept, Upload,
    tree::{self, Entry, Tree},
    web::{self, Site},
};

/// Longest listing of one folder, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Chunks of an upload that may wait for the network.
const CHUNKS_AHEAD: usize = 4;
/// How often, and after which pause, the removal of a file that the server still holds is tried.
const LOCKED_TIMES: usize = 50;
const LOCKED: Duration = Duration::from_millis(200);

/// A folder of a WebDAV server.
#[derive(Debug, Clone)]
pub struct WebdavConfig {
    /// Its address, for example `https://cloud.example.org/remote.php/dav/files/me`.
    pub url: String,
    /// Folder below the address; made where it is not there.
    pub path: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
}

/// Objects as files of a WebDAV server.
#[derive(Debug, Clone)]
pub struct Webdav {
    /// The destination's folder.
    site: Site,
    /// How many parts of it are made where they are not there.
    own_parts: usize,
}

impl Webdav {
    /// Checks the settings. No request is made.
    pub fn open(config: &WebdavConfig) -> Result<Self, StoreError> {
        let login = (config.username.as_deref(), config.password.as_ref());
        let mut site = Site::open("WebDAV", &config.url, login)?;
        let path = config.path.as_deref().unwrap_or_default().trim_matches('/');
        if path.is_empty() {
            return Ok(Self { site, own_parts: 0 });
        }
        Prefix::new(path)?;
        site.base = tree::join(&site.base, path);
        Ok(Self { site, own_parts: path.split('/').count() })
    }

    /// The decoded path of `name` on the server, without slashes around it.
    fn path(&self, name: &str) -> String {
        let base = &self.site.base;
        if name.is_empty() { base.clone() } else { tree::join(base, name) }
    }

    /// What the server tells about `name` and, at depth 1, what lies in it; `None` where nothing
    /// is called so.
    async fn asked(
        &self,
        name: &str,
        depth: &'static str,
    ) -> Result<Option<Vec<answer::Told>>, StoreError> {
        let what = format!("looking at {}", if name.is_empty() { "the folder" } else { name });
        let method = Method::from_bytes(b"PROPFIND")
            .map_err(|error| StoreError::internal(error.to_string()))?;
        let request = self
            .site
            .request(method, &self.path(name))
            .header("depth", depth)
            .header(header::CONTENT_TYPE, "application/xml; charset=utf-8")
            .body(answer::QUESTION);
        let response = self.site.sent(&what, request).await?;
        match response.status() {
            StatusCode::MULTI_STATUS => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(self.site.refused(&what, status)),
        }
        let body = self.site.body(&what, response, MAX_ANSWER).await?;
        let body = std::str::from_utf8(&body)
            .map_err(|error| self.site.unclear(&what, &error.to_string()))?;
        let told = answer::parsed(body).map_err(|how| self.site.unclear(&what, &how))?;
        // An answer that does not tell of what it was asked for is not about it.
        if !told.iter().any(|one| one.path == self.path(name)) {
            return Err(self.site.unclear(&what, "its answer tells of something else"));
        }
        Ok(Some(told))
    }

    /// Makes the folder with this path, whose parent is there.
    async fn make(&self, path: &str) -> Result<(), StoreError> {
        let what = format!("making the folder {path}");
        let method = Method::from_bytes(b"MKCOL")
            .map_err(|error| StoreError::internal(error.to_string()))?;
        // Some servers want a folder's slash.
        let response =
            self.site.sent(&what, self.site.request(method, &format!("{path}/"))).await?;
        match response.status() {
            // 405: it is there already.
            status if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            status => Err(self.site.refused(&what, status)),
        }
    }
}

#[async_trait]
impl Tree for Webdav {
    fn location(&self) -> String {
        self.site.location()
    }

    async fn entry(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        let path = self.path(name);
        let told = self.asked(name, "0").await?;
        Ok(told.and_then(|told| told.into_iter().find(|one| one.path == path)).map(|one| Entry {
            name: name.to_owned(),
            is_folder: one.is_folder,
            size_bytes: one.size_bytes,
            modified_at: one.modified_at,
        }))
    }

    async fn entries(&self, folder: &str) -> Result<Option<Vec<Entry>>, StoreError> {
        let path = self.path(folder);
        let Some(told) = self.asked(folder, "1").await? else { return Ok(None) };
        if told.iter().any(|one| one.path == path && !one.is_folder) {
            return Ok(None);
        }
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries = told.into_iter().filter_map(|one| {
            let last = one.path.strip_prefix(&below)?;
            (!last.is_empty() && !last.contains('/')).then(|| Entry {
                name: tree::join(folder, last),
                is_folder: one.is_folder,
                size_bytes: one.size_bytes,
                modified_at: one.modified_at,
            })
        });
        Ok(Some(entries.collect()))
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let what = format!("deleting {name}");
        let response =
            self.site.sent(&what, self.site.request(Method::DELETE, &self.path(name))).await?;
        match response.status() {
            // A reply of many statuses tells of failures.
            StatusCode::MULTI_STATUS => {
                Err(self.site.unclear(&what, "the server did not delete it"))
            }
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(self.site.refused(&what, status)),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let what = format!("renaming to {to}");
        let method =
            Method::from_bytes(b"MOVE").map_err(|error| StoreError::internal(error.to_string()))?;
        let request = self
            .site
            .request(method, &self.path(from))
            .header("destination", self.site.address(&self.path(to)))
            .header("overwrite", "F");
        match self.site.sent(&what, request).await?.status() {
            StatusCode::MULTI_STATUS => Err(self.site.unclear(&what, "the server did not move it")),
            status if status.is_success() => Ok(()),
            status => Err(self.site.refused(&what, status)),
        }
    }

    async fn make_folder(&self, folder: &str) -> Result<(), StoreError> {
        if !folder.is_empty() {
            return self.make(&self.path(folder)).await;
        }
        let parts: Vec<_> = self.site.base.split('/').collect();
        for count in parts.len() - self.own_parts..parts.len() {
            self.make(&parts[..=count].join("/")).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Webdav {
    fn capability(&self) -> Capability {
        Capability { kind: "webdav", location: self.location(), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        tree::prepare(self, key).await?;
        let partial = key.partial(rand::random());
        let (sink, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let request = self
            .site
            .request(Method::PUT, &self.path(&partial))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(reqwest::Body::wrap_stream(ReceiverStream::new(chunks)));
        let (store, what) = (self.clone(), format!("writing {key}"));
        let request = tokio::spawn(async move {
            match store.site.sent(&what, request).await?.status() {
                status if status.is_success() => Ok(()),
                status => Err(store.site.refused(&what, status)),
            }
        });
        Ok(Box::new(WebdavUpload {
            store: self.clone(),
            key: key.clone(),
            partial,
            sending: Some(Sending { sink, request }),
            written: 0,
        }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let size = tree::stat(self, key).await?.size_bytes;
        let asked = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        if asked.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let what = format!("reading {key}");
        let mut request = self.site.request(Method::GET, &self.path(key.as_str()));
        let part = asked != (0..size);
        if part {
            let range = format!("bytes={}-{}", asked.start, asked.end - 1);
            request = request.header(header::RANGE, range);
        }
        let response = self.site.sent(&what, request).await?;
        match response.status() {
            StatusCode::OK if !part => {}
            StatusCode::PARTIAL_CONTENT if part => {}
            StatusCode::OK => return Err(self.site.unclear(&what, "the server gives no ranges")),
            status => return Err(self.site.refused(&what, status)),
        }
        Ok(web::stream(self.site.clone(), what, response, asked.end - asked.start))
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        tree::stat(self, key).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        tree::list(self, prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        tree::delete(self, key).await
    }

    async fn abandon(&self, key: &Key) -> Result<(), StoreError> {
        tree::abandon(self, key).await
    }

    async fn sweep(
        &self,
        prefix: &Prefix,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        tree::sweep(self, prefix, older_than, now).await
    }
}

struct WebdavUpload {
    store: Webdav,
    key: Key,
    partial: String,
    sending: Option<Sending>,
    written: u64,
}

/// The request at work.
struct Sending {
    sink: mpsc::Sender<Result<Bytes, std::io::Error>>,
    request: JoinHandle<Result<(), StoreError>>,
}

impl WebdavUpload {
    /// Ends the request, which must not reach its end, and removes what it left.
    async fn clean_up(
        store: Webdav,
        partial: String,
        mut sending: Sending,
    ) -> Result<(), StoreError> {
        // Ends the connection: the sink stays open until then, so that the body is never whole.
        sending.request.abort();
        let _ = (&mut sending.request).await;
        drop(sending);
        for _ in 0..LOCKED_TIMES {
            match store.remove(&partial).await {
                // The server has not missed us yet.
                Err(error) if error.kind() == StoreErrorKind::Throttled => {
                    tokio::time::sleep(LOCKED).await;
                }
                done => return done,
            }
        }
        store.remove(&partial).await
    }

    fn taken(&mut self) -> Option<impl Future<Output = Result<(), StoreError>> + Send + 'static> {
        let sending = self.sending.take()?;
        Some(Self::clean_up(self.store.clone(), self.partial.clone(), sending))
    }
}

impl Drop for WebdavUpload {
    fn drop(&mut self) {
        if let Some(rest) = self.taken()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(rest);
        }
    }
}

#[async_trait]
impl Upload for WebdavUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let Some(sending) = &mut self.sending else {
            return Err(StoreError::internal("an upload was used after it failed"));
        };
        if chunk.is_empty() {
            return Ok(());
        }
        self.written += chunk.len() as u64;
        if sending.sink.send(Ok(chunk)).await.is_ok() {
            return Ok(());
        }
        // It went away: its own words say why.
        let ended = (&mut sending.request).await;
        self.sending = None;
        let _ = self.store.remove(&self.partial).await;
        match ended {
            Ok(Err(error)) => Err(tree::lost_if_absent(&self.store, &self.key, error)),
            Ok(Ok(())) => Err(self.store.site.unclear("writing", "the server answered too early")),
            Err(error) => Err(StoreError::internal(error.to_string())),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let Some(Sending { sink, request }) = self.sending.take() else {
            return Err(StoreError::internal("an upload was finished after it failed"));
        };
        let (store, key) = (self.store.clone(), self.key.clone());
        let (partial, written) = (self.partial.clone(), self.written);
        drop(sink);
        // In a task of its own: who stops waiting leaves it whole or removed.
        let finishing = tokio::spawn(async move {
            match request.await {
                Ok(Ok(())) => tree::place(&store, &key, &partial, written).await,
                Ok(Err(error)) => {
                    let _ = store.remove(&partial).await;
                    Err(tree::lost_if_absent(&store, &key, error))
                }
                Err(error) => Err(StoreError::internal(error.to_string())),
            }
        });
        finishing.await.unwrap_or_else(|error| Err(StoreError::internal(error.to_string())))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StoreError> {
        match self.taken() {
            Some(rest) => rest.await,
            None => Ok(()),
        }
    }
}
