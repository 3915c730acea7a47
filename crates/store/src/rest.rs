//! A server of restic's repositories: restic's REST protocol, version 2, as spoken by rest-server and
//! `rclone serve restic`.
//!
//! Such a server knows the names of a repository's files and no others, so it is a store for that
//! layout alone. An object is sent when it is whole, in one request with its length: packs are
//! small, and what was never begun leaves nothing behind.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, StatusCode, header};
use reqwest::Response;
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    ByteStream, Capability, CreateOptions, Key, Limits, Listing, ObjectMeta, Prefix, Store,
    StoreError, StoreErrorKind, Swept, Upload,
    web::{self, Site},
};

/// What version 2 is asked for by, and answered with.
const VERSION: &str = "application/vnd.x.restic.rest.v2";
/// The folders of a repository.
const FOLDERS: [&str; 5] = ["data", "keys", "locks", "snapshots", "index"];
/// The one file that lies in none of them.
const CONFIG: &str = "config";
/// Longest listing of one folder, in bytes: more than a million files.
const MAX_LISTING: usize = 128 << 20;
/// Longest file that is written, in bytes.
const MAX_FILE: usize = 1 << 30;
/// How long it may take to send one.
const SENDING: Duration = Duration::from_secs(300);

/// A server of restic's repositories.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// The repository's address, for example `https://backup.example.org:8000/shop`.
    pub url: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
}

/// A repository's files at such a server.
#[derive(Debug, Clone)]
pub struct Rest {
    site: Site,
    limits: Limits,
}

/// A file as a listing tells of it.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    size: u64,
}

impl Rest {
    /// Checks the settings. No request is made.
    pub fn open(config: &RestConfig) -> Result<Self, StoreError> {
        let login = (config.username.as_deref(), config.password.as_ref());
        let site = Site::open("REST server's", &config.url, login)?;
        Ok(Self { site, limits: Limits::default() })
    }

    fn path(&self, place: &str) -> String {
        if self.site.base.is_empty() {
            return place.to_owned();
        }
        format!("{}/{place}", self.site.base)
    }

    /// The answer to a request without a body.
    async fn asked(
        &self,
        what: &str,
        method: &Method,
        place: &str,
        range: Option<&str>,
    ) -> Result<Response, StoreError> {
        let ask = || async {
            let mut request = self
                .site
                .request(method.clone(), &self.path(place))
                .header(header::ACCEPT, VERSION);
            // What is read may take its time; others watch that it goes on.
            if method != Method::GET {
                request = request.timeout(self.limits.request);
            }
            if let Some(range) = range {
                request = request.header(header::RANGE, range);
            }
            let response = self.site.sent(what, request).await?;
            self.unless_passing(what, response)
        };
        self.limits.retried(ask).await
    }

    /// An error where the server may answer otherwise a little later.
    fn unless_passing(&self, what: &str, response: Response) -> Result<Response, StoreError> {
        let error = self.site.refused(what, response.status());
        let passes = !response.status().is_success() && error.is_retryable();
        if passes { Err(error) } else { Ok(response) }
    }

    /// What is known of the file at `place`; `None` where there is none.
    async fn look(&self, key: &Key, place: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let what = format!("looking at {key}");
        let response = self.asked(&what, &Method::HEAD, place, None).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(self.site.refused(&what, status)),
        }
        let told = response.headers().get(header::CONTENT_LENGTH);
        let size = told.and_then(|value| value.to_str().ok()?.parse().ok());
        let size_bytes = size.ok_or_else(|| self.site.unclear(&what, "it tells no size"))?;
        let modified_at = web::modified_at(&response);
        Ok(Some(ObjectMeta { key: key.clone(), size_bytes, modified_at, sha256: None }))
    }

    /// Makes the folders of a repository, where the server has none.
    async fn make(&self) -> Result<(), StoreError> {
        let what = "making the repository's folders";
        let make = || async {
            let request = self
                .site
                .request(Method::POST, &self.path(""))
                .query(&[("create", "true")])
                .timeout(self.limits.request);
            self.unless_passing(what, self.site.sent(what, request).await?)
        };
        match self.limits.retried(make).await?.status() {
            status if status.is_success() => Ok(()),
            status => Err(self.site.refused(what, status)),
        }
    }

    /// The files in `folder`. A folder that is not there is one of a repository that is not
    /// there, which is an error wherever a repository was.
    async fn files(&self, folder: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let what = format!("listing {folder}");
        let response = self.asked(&what, &Method::GET, &format!("{folder}/"), None).await?;
        match response.status() {
            StatusCode::OK => {}
            status => return Err(self.site.refused(&what, status)),
        }
        let told = response.headers().get(header::CONTENT_TYPE);
        if told.is_none_or(|value| value != VERSION) {
            let how = "it does not speak version 2 of restic's protocol: see whether the address \
                       is a REST server's";
            return Err(StoreError::config(format!("{}: {what}: {how}", self.site.location())));
        }
        let body = self.site.body(&what, response, MAX_LISTING).await?;
        let entries: Option<Vec<Entry>> = serde_json::from_slice(&body)
            .map_err(|error| self.site.unclear(&what, &format!("its list: {error}")))?;
        let metas = entries.unwrap_or_default().into_iter().filter_map(|entry| {
            let key = is_id(&entry.name).then(|| key_of(folder, &entry.name))?.ok()?;
            Some(ObjectMeta { key, size_bytes: entry.size, modified_at: None, sha256: None })
        });
        Ok(metas.collect())
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn key_of(folder: &str, id: &str) -> Result<Key, crate::InvalidKey> {
    if folder == "data" {
        return Key::new(&format!("data/{}/{id}", &id[..2]));
    }
    Key::new(&format!("{folder}/{id}"))
}

/// Where the server has the file that is called `key`; `None` for names that no repository has.
fn place(key: &Key) -> Option<String> {
    let parts: Vec<_> = key.as_str().split('/').collect();
    match parts[..] {
        [CONFIG] => Some(CONFIG.to_owned()),
        ["data", two, id] if is_id(id) && id.starts_with(two) => Some(format!("data/{id}")),
        [folder, id] if folder != "data" && FOLDERS.contains(&folder) && is_id(id) => {
            Some(format!("{folder}/{id}"))
        }
        _ => None,
    }
}

#[async_trait]
impl Store for Rest {
    fn capability(&self) -> Capability {
        Capability { kind: "rest", location: self.site.location(), ranges: true }
    }

    async fn create(&self, key: &Key, _: &CreateOptions) -> Result<Box<dyn Upload>, StoreError> {
        let place = place(key).ok_or_else(|| {
            StoreError::config(format!(
                "{}: a REST server keeps the files of a restic repository and no others, and \
                 {key} is none: choose the layout `repository`",
                self.site.location()
            ))
        })?;
        if self.look(key, &place).await?.is_some() {
            let what = format!("{}: {key} is there already", self.site.location());
            return Err(StoreError::new(StoreErrorKind::AlreadyExists, what));
        }
        // The first file of a new repository is a key. A repository that was is never made anew.
        if place.starts_with("keys/") {
            let config = Key::new(CONFIG)?;
            if self.look(&config, CONFIG).await?.is_none() {
                self.make().await?;
            }
        }
        Ok(Box::new(RestUpload {
            store: self.clone(),
            key: key.clone(),
            place,
            chunks: Vec::new(),
            size: 0,
        }))
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(stream::empty().boxed());
        }
        let what = format!("reading {key}");
        let Some(place) = place(key) else {
            return Err(self.site.refused(&what, StatusCode::NOT_FOUND));
        };
        let asked = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let response = self.asked(&what, &Method::GET, &place, asked.as_deref()).await?;
        match (response.status(), &range) {
            (StatusCode::OK, None) => {}
            (StatusCode::PARTIAL_CONTENT, Some(range)) => {
                let told = response.headers().get(header::CONTENT_RANGE);
                let told = told.and_then(|v| v.to_str().ok()).unwrap_or_default();
                if !told.starts_with(&format!("bytes {}-", range.start)) {
                    return Err(self.site.unclear(&what, "it gives another part than was asked"));
                }
                // rclone answers so beyond a file's end, without a length: `bytes 99-16/17`.
                let total = told.rsplit('/').next().and_then(|total| total.parse::<u64>().ok());
                if total.is_some_and(|total| total <= range.start) {
                    return Ok(stream::empty().boxed());
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => return Ok(stream::empty().boxed()),
            (StatusCode::OK, Some(_)) => {
                return Err(self.site.unclear(&what, "the server gives no ranges"));
            }
            (status, _) => return Err(self.site.refused(&what, status)),
        }
        let length = response.content_length();
        let length = length.ok_or_else(|| self.site.unclear(&what, "it tells no length"))?;
        if range.is_some_and(|range| length > range.end - range.start) {
            return Err(self.site.unclear(&what, "it gives more than was asked"));
        }
        Ok(web::stream(self.site.clone(), what, response, length))
    }

    async fn stat(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let absent = || self.site.refused(&format!("looking at {key}"), StatusCode::NOT_FOUND);
        let place = place(key).ok_or_else(absent)?;
        self.look(key, &place).await?.ok_or_else(absent)
    }

    async fn list(&self, prefix: &Prefix) -> Result<Listing, StoreError> {
        let wanted = prefix.as_str();
        let mut found = Vec::new();
        if wanted.is_empty() {
            found.extend(self.look(&Key::new(CONFIG)?, CONFIG).await?);
        }
        let first = wanted.split('/').next().unwrap_or_default();
        for folder in FOLDERS.into_iter().filter(|one| first.is_empty() || *one == first) {
            found.extend(self.files(folder).await?);
        }
        found.retain(|meta| prefix.contains(meta.key.as_str()));
        Ok(stream::iter(found).map(Ok).boxed())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let Some(place) = place(key) else { return Ok(()) };
        let what = format!("deleting {key}");
        match self.asked(&what, &Method::DELETE, &place, None).await?.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(self.site.refused(&what, status)),
        }
    }

    /// Nothing is begun before it is whole, and what a server itself left is its own.
    async fn sweep(
        &self,
        _: &Prefix,
        _: Duration,
        _: SystemTime,
    ) -> Result<Vec<Swept>, StoreError> {
        Ok(Vec::new())
    }
}

struct RestUpload {
    store: Rest,
    key: Key,
    place: String,
    chunks: Vec<Bytes>,
    size: usize,
}

impl RestUpload {
    async fn send(&self) -> Result<(), StoreError> {
        let (site, what) = (&self.store.site, format!("writing {}", self.key));
        let send = || async {
            let chunks = stream::iter(self.chunks.clone()).map(Ok::<_, std::io::Error>);
            let request = site
                .request(Method::POST, &self.store.path(&self.place))
                .header(header::ACCEPT, VERSION)
                .header(header::CONTENT_TYPE, "binary/octet-stream")
                .header(header::CONTENT_LENGTH, self.size)
                .timeout(SENDING)
                .body(reqwest::Body::wrap_stream(chunks.into_stream()));
            self.store.unless_passing(&what, site.sent(&what, request).await?)
        };
        match self.store.limits.retried(send).await?.status() {
            status if status.is_success() => Ok(()),
            status => Err(site.refused(&what, status)),
        }
    }
}

#[async_trait]
impl Upload for RestUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.size += chunk.len();
        if self.size > MAX_FILE {
            let what = format!("{} is larger than a repository's files can be", self.key);
            return Err(StoreError::internal(what));
        }
        self.chunks.push(chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let sent = self.send().await;
        // What is there decides: a lost answer may hide a success, and append-only servers refuse
        // what came by an earlier try. The name is that of the content, but for the config.
        let there = match (self.store.look(&self.key, &self.place).await, sent) {
            (Ok(Some(there)), Ok(())) => there,
            (Ok(Some(there)), Err(_)) if self.place != CONFIG => there,
            (_, Err(error)) | (Err(error), Ok(())) => return Err(error),
            (Ok(None), Ok(())) => {
                let how = "it was taken, and is not there";
                return Err(self.store.site.unclear(&format!("writing {}", self.key), how));
            }
        };
        if there.size_bytes != self.size as u64 {
            let how = format!("has {} bytes there, {} were sent", there.size_bytes, self.size);
            let _ = self.store.delete(&self.key).await;
            return Err(StoreError::mismatch(&self.key, &how));
        }
        Ok(there)
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_repository_have_a_place_and_others_have_none() {
        let id = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let at = |name: &str| place(&Key::new(name).unwrap());
        assert_eq!(at("config").unwrap(), "config");
        assert_eq!(at(&format!("data/ba/{id}")).unwrap(), format!("data/{id}"));
        assert_eq!(at(&format!("locks/{id}")).unwrap(), format!("locks/{id}"));
        for other in [
            "shop/a.sql",
            "locks",
            "keys/x",
            &format!("data/{id}"),
            &format!("data/bb/{id}"),
            &format!("else/{id}"),
            &format!("keys/{}", id.to_uppercase()),
        ] {
            assert_eq!(at(other), None, "{other}");
        }
        for folder in FOLDERS {
            let key = key_of(folder, id).unwrap();
            assert_eq!(place(&key).unwrap(), format!("{folder}/{id}"));
        }
    }
}
