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
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::SecretString;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    ByteStream, Capability, CreateOptions, Key, Listing, ObjectMeta, Prefix, Store, StoreError,
    StoreErrorKind, Swept, Upload,
    tree::{self, Entry, Tree},
};

/// Every byte of a path but the ones that need no escape.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// Longest listing of one folder, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Chunks of an upload that may wait for the network.
const CHUNKS_AHEAD: usize = 4;
/// How often, and after which pause, the removal of a file that the server still holds is tried.
const LOCKED_TIMES: usize = 50;
const LOCKED: Duration = Duration::from_millis(200);
/// How long it may take to connect.
const CONNECTING: Duration = Duration::from_secs(20);

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
    http: Client,
    /// Scheme, host and port.
    origin: String,
    /// Decoded path of the destination's folder, without slashes around it.
    base: String,
    /// How many parts of it are made where they are not there.
    own_parts: usize,
    username: Option<String>,
    password: Option<SecretString>,
}

impl Webdav {
    /// Checks the settings. No request is made.
    pub fn open(config: &WebdavConfig) -> Result<Self, StoreError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |how: &str| StoreError::config(format!("the WebDAV address {how}"));
        let url = reqwest::Url::parse(&config.url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has a user or password in it: give them apart"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must end with its path"));
        }
        let base = percent_encoding::percent_decode_str(url.path())
            .decode_utf8()
            .map_err(|error| wrong(&error.to_string()))?
            .trim_matches('/')
            .to_owned();
        let path = config.path.as_deref().unwrap_or_default().trim_matches('/');
        if !path.is_empty() {
            Prefix::new(path)?;
        }
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECTING)
            .build()
            .map_err(|error| StoreError::config(format!("the HTTP client: {error}")))?;
        Ok(Self {
            http,
            origin: url.origin().ascii_serialization(),
            base: if path.is_empty() { base } else { tree::join(&base, path) },
            own_parts: if path.is_empty() { 0 } else { path.split('/').count() },
            username: config.username.clone(),
            password: config.password.clone(),
        })
    }

    /// The decoded path of `name` on the server, without slashes around it.
    fn path(&self, name: &str) -> String {
        if name.is_empty() { self.base.clone() } else { tree::join(&self.base, name) }
    }

    fn address(&self, path: &str) -> String {
        format!("{}/{}", self.origin, utf8_percent_encode(path, PATH))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.address(path));
        match (&self.username, &self.password) {
            (None, None) => request,
            (user, password) => request.basic_auth(
                user.as_deref().unwrap_or_default(),
                password.as_ref().map(secrecy::ExposeSecret::expose_secret),
            ),
        }
    }

    async fn sent(&self, what: &str, request: RequestBuilder) -> Result<Response, StoreError> {
        request.send().await.map_err(|error| self.broken(what, error))
    }

    fn broken(&self, what: &str, error: reqwest::Error) -> StoreError {
        let error = error.without_url();
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            said = format!("{said}: {deeper}");
            cause = deeper.source();
        }
        let kind =
            if error.is_timeout() { StoreErrorKind::Timeout } else { StoreErrorKind::Unavailable };
        StoreError::new(kind, format!("{}: {what}: {said}", self.location()))
    }

    fn refused(&self, what: &str, status: StatusCode) -> StoreError {
        let kind = match status.as_u16() {
            401 | 403 | 407 => StoreErrorKind::PermissionDenied,
            404 | 410 => StoreErrorKind::NotFound,
            412 => StoreErrorKind::AlreadyExists,
            413 | 507 => StoreErrorKind::Full,
            423 | 429 => StoreErrorKind::Throttled,
            300..=399 | 400 | 405 | 411 | 414 | 415 | 501 => StoreErrorKind::Config,
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, format!("{}: {what}: the server said {status}", self.location()))
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
            .request(method, &self.path(name))
            .header("depth", depth)
            .header(header::CONTENT_TYPE, "application/xml; charset=utf-8")
            .body(answer::QUESTION);
        let mut response = self.sent(&what, request).await?;
        match response.status() {
            StatusCode::MULTI_STATUS => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(self.refused(&what, status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&what, error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.unclear(&what, "the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        let body =
            std::str::from_utf8(&body).map_err(|error| self.unclear(&what, &error.to_string()))?;
        let told = answer::parsed(body).map_err(|how| self.unclear(&what, &how))?;
        // An answer that does not tell of what it was asked for is not about it.
        if !told.iter().any(|one| one.path == self.path(name)) {
            return Err(self.unclear(&what, "its answer tells of something else"));
        }
        Ok(Some(told))
    }

    fn unclear(&self, what: &str, how: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{}: {what}: {how}", self.location()))
    }

    /// Makes the folder with this path, whose parent is there.
    async fn make(&self, path: &str) -> Result<(), StoreError> {
        let what = format!("making the folder {path}");
        let method = Method::from_bytes(b"MKCOL")
            .map_err(|error| StoreError::internal(error.to_string()))?;
        // Some servers want a folder's slash.
        let response = self.sent(&what, self.request(method, &format!("{path}/"))).await?;
        match response.status() {
            // 405: it is there already.
            status if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            status => Err(self.refused(&what, status)),
        }
    }
}

#[async_trait]
impl Tree for Webdav {
    fn location(&self) -> String {
        format!("{}/{}", self.origin, self.base)
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
        let response = self.sent(&what, self.request(Method::DELETE, &self.path(name))).await?;
        match response.status() {
            // A reply of many statuses tells of failures.
            StatusCode::MULTI_STATUS => Err(self.unclear(&what, "the server did not delete it")),
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(self.refused(&what, status)),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let what = format!("renaming to {to}");
        let method =
            Method::from_bytes(b"MOVE").map_err(|error| StoreError::internal(error.to_string()))?;
        let request = self
            .request(method, &self.path(from))
            .header("destination", self.address(&self.path(to)))
            .header("overwrite", "F");
        match self.sent(&what, request).await?.status() {
            StatusCode::MULTI_STATUS => Err(self.unclear(&what, "the server did not move it")),
            status if status.is_success() => Ok(()),
            status => Err(self.refused(&what, status)),
        }
    }

    async fn make_folder(&self, folder: &str) -> Result<(), StoreError> {
        if !folder.is_empty() {
            return self.make(&self.path(folder)).await;
        }
        let parts: Vec<_> = self.base.split('/').collect();
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
            .request(Method::PUT, &self.path(&partial))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(reqwest::Body::wrap_stream(ReceiverStream::new(chunks)));
        let (store, what) = (self.clone(), format!("writing {key}"));
        let request = tokio::spawn(async move {
            match store.sent(&what, request).await?.status() {
                status if status.is_success() => Ok(()),
                status => Err(store.refused(&what, status)),
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
        let mut request = self.request(Method::GET, &self.path(key.as_str()));
        let part = asked != (0..size);
        if part {
            let range = format!("bytes={}-{}", asked.start, asked.end - 1);
            request = request.header(header::RANGE, range);
        }
        let response = self.sent(&what, request).await?;
        match response.status() {
            StatusCode::OK if !part => {}
            StatusCode::PARTIAL_CONTENT if part => {}
            StatusCode::OK => return Err(self.unclear(&what, "the server gives no ranges")),
            status => return Err(self.refused(&what, status)),
        }
        let state = (self.clone(), response, what, asked.end - asked.start);
        Ok(stream::try_unfold(state, |(store, mut response, what, left)| async move {
            match response.chunk().await.map_err(|error| store.broken(&what, error))? {
                Some(chunk) => match left.checked_sub(chunk.len() as u64) {
                    Some(left) => Ok(Some((chunk, (store, response, what, left)))),
                    None => Err(store.unclear(&what, "more came than the object has")),
                },
                None if left == 0 => Ok(None),
                None => Err(store.unclear(&what, "it ended early")),
            }
        })
        .boxed())
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
            Ok(Ok(())) => Err(self.store.unclear("writing", "the server answered too early")),
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
