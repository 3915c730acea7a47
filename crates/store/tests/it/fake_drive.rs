//! A small Google Drive: what rclone asks of it, behind a proxy that answers for Google's names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const FOLDER: &str = "application/vnd.google-apps.folder";
pub(crate) const REFRESH: &str = "the refresh token";

/// A file or folder.
#[derive(Debug, Clone, Default)]
struct Item {
    name: String,
    parent: String,
    mime: String,
    modified: String,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Kept {
    items: BTreeMap<String, Item>,
    /// Uploads under way, by their ids.
    uploads: BTreeMap<String, Item>,
    next: u64,
    /// Methods and paths, in order.
    asked: Vec<String>,
    hosts: Vec<String>,
    /// How many access tokens were given out.
    refreshed: u64,
    /// What the next listings are answered with.
    listing_fails: Option<u16>,
    full: bool,
}

/// The drive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drive(Arc<Mutex<Kept>>);

/// A drive that can be reached through a proxy.
pub(crate) struct FakeDrive {
    pub(crate) drive: Drive,
    folder: tempfile::TempDir,
    port: u16,
}

type Asked = Query<BTreeMap<String, String>>;

fn refused(status: u16, reason: &str) -> Response {
    let body = json!({"error": {"code": status, "message": reason,
        "errors": [{"domain": "global", "reason": reason, "message": reason}]}});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

impl Item {
    fn shown(&self, id: &str) -> Value {
        let mut shown = json!({
            "id": id, "name": self.name, "mimeType": self.mime, "parents": [self.parent],
            "modifiedTime": self.modified, "createdTime": self.modified, "trashed": false,
        });
        if self.mime != FOLDER {
            shown["size"] = self.bytes.len().to_string().into();
            shown["md5Checksum"] = format!("{:x}", md5::compute(&self.bytes)).into();
        }
        shown
    }

    fn described(told: &Value) -> Self {
        let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
        let mime = text("mimeType");
        Self {
            name: text("name"),
            parent: told["parents"][0].as_str().unwrap_or("root").to_owned(),
            mime: if mime.is_empty() { "application/octet-stream".to_owned() } else { mime },
            modified: told["modifiedTime"]
                .as_str()
                .map_or_else(|| jiff::Timestamp::now().to_string(), str::to_owned),
            bytes: Vec::new(),
        }
    }
}

impl Drive {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    pub(crate) fn hosts(&self) -> Vec<String> {
        self.lock().hosts.clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    pub(crate) fn refreshed(&self) -> u64 {
        self.lock().refreshed
    }

    /// Names of everything that is kept.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().items.values().map(|item| item.name.clone()).collect()
    }

    /// Listings fail from now on, or no longer.
    pub(crate) fn fail_listings(&self, status: Option<u16>) {
        self.lock().listing_fails = status;
    }

    pub(crate) fn be_full(&self) {
        self.lock().full = true;
    }

    fn may(&self, headers: &HeaderMap) -> bool {
        let told = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // One that was given out counts for its hour, whatever came after it.
        told.and_then(|told| told.strip_prefix("Bearer access ")?.parse::<u64>().ok())
            .is_some_and(|number| (1..=self.lock().refreshed).contains(&number))
    }

    fn add(&self, item: Item) -> Value {
        let mut kept = self.lock();
        kept.next += 1;
        let id = format!("id{:08}", kept.next);
        let shown = item.shown(&id);
        kept.items.insert(id, item);
        shown
    }
}

/// `name='…'` of a query, with its escapes taken away.
fn name_in(query: &str) -> Option<String> {
    let rest = query.split_once("name='")?.1;
    let (mut name, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '\'' => return Some(name),
            c => name.push(c),
        }
    }
    None
}

async fn list(State(drive): State<Drive>, Query(asked): Asked) -> Response {
    let kept = drive.lock();
    if let Some(status) = kept.listing_fails {
        return refused(status, "backendError");
    }
    let query = asked.get("q").cloned().unwrap_or_default();
    let name = name_in(&query);
    let folders_only = query.contains(&format!("mimeType='{FOLDER}'"));
    let files_only = query.contains(&format!("mimeType!='{FOLDER}'"));
    let by_parent = query.contains(" in parents");
    let found: Vec<_> = kept
        .items
        .iter()
        .filter(|(_, item)| !by_parent || query.contains(&format!("'{}' in parents", item.parent)))
        .filter(|(_, item)| name.as_ref().is_none_or(|name| *name == item.name))
        .filter(|(_, item)| !(folders_only && item.mime != FOLDER))
        .filter(|(_, item)| !(files_only && item.mime == FOLDER))
        .map(|(id, item)| item.shown(id))
        .collect();
    // Pages of three, so that rclone has to go on.
    let from: usize = asked.get("pageToken").and_then(|token| token.parse().ok()).unwrap_or(0);
    let page: Vec<_> = found.iter().skip(from).take(3).cloned().collect();
    let mut answer = json!({"kind": "drive#fileList", "files": page, "incompleteSearch": false});
    if from + 3 < found.len() {
        answer["nextPageToken"] = (from + 3).to_string().into();
    }
    Json(answer).into_response()
}

async fn make(State(drive): State<Drive>, Json(told): Json<Value>) -> Json<Value> {
    Json(drive.add(Item::described(&told)))
}

async fn file(
    State(drive): State<Drive>,
    Path(id): Path<String>,
    Query(asked): Asked,
    headers: HeaderMap,
) -> Response {
    if id == "root" {
        return Json(json!({"id": "root"})).into_response();
    }
    let Some(item) = drive.lock().items.get(&id).cloned() else { return refused(404, "notFound") };
    if asked.get("alt").is_none_or(|alt| alt != "media") {
        return Json(item.shown(&id)).into_response();
    }
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some((from, to)) = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-')) else {
        return item.bytes.into_response();
    };
    let from: usize = from.parse().unwrap();
    let to = to.parse::<usize>().map_or(item.bytes.len(), |to| (to + 1).min(item.bytes.len()));
    let told = format!("bytes {from}-{}/{}", to - 1, item.bytes.len());
    let part = item.bytes[from..to].to_vec();
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, told)], part).into_response()
}

async fn change(
    State(drive): State<Drive>,
    Path(id): Path<String>,
    Query(asked): Asked,
    Json(told): Json<Value>,
) -> Response {
    let mut kept = drive.lock();
    if told["trashed"] == true {
        return match kept.items.remove(&id) {
            Some(item) => Json(item.shown(&id)).into_response(),
            None => refused(404, "notFound"),
        };
    }
    let Some(item) = kept.items.get_mut(&id) else { return refused(404, "notFound") };
    if let Some(name) = told["name"].as_str() {
        name.clone_into(&mut item.name);
    }
    if let Some(modified) = told["modifiedTime"].as_str() {
        modified.clone_into(&mut item.modified);
    }
    if let Some(parent) = asked.get("addParents") {
        item.parent.clone_from(parent);
    }
    Json(item.shown(&id)).into_response()
}

async fn remove(State(drive): State<Drive>, Path(id): Path<String>) -> Response {
    match drive.lock().items.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => refused(404, "notFound"),
    }
}

/// A small object in one request, or the beginning of a large one.
async fn upload(
    State(drive): State<Drive>,
    Query(asked): Asked,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if drive.lock().full {
        return refused(403, "storageQuotaExceeded");
    }
    if asked.get("uploadType").is_some_and(|kind| kind == "resumable") {
        let mut kept = drive.lock();
        kept.next += 1;
        let id = format!("upload{}", kept.next);
        let item = Item::described(&serde_json::from_slice(&body).unwrap());
        kept.uploads.insert(id.clone(), item);
        let to = format!("https://www.googleapis.com/upload/session/{id}");
        return (StatusCode::OK, [(header::LOCATION, to)]).into_response();
    }
    // multipart/related: a description, then the bytes.
    let kind = headers.get(header::CONTENT_TYPE).unwrap().to_str().unwrap();
    let mark = kind.split("boundary=").nth(1).unwrap().trim_matches('"');
    let mark = format!("--{mark}");
    let find = |from: usize, what: &[u8]| {
        body[from..].windows(what.len()).position(|w| w == what).map(|at| from + at)
    };
    let description = find(0, b"\r\n\r\n").unwrap() + 4;
    let next = find(description, mark.as_bytes()).unwrap();
    let media = find(next, b"\r\n\r\n").unwrap() + 4;
    let end = find(media, format!("\r\n{mark}--").as_bytes()).unwrap();
    let mut item = Item::described(&serde_json::from_slice(&body[description..next]).unwrap());
    item.bytes = body[media..end].to_vec();
    Json(drive.add(item)).into_response()
}

/// A chunk of a large object; the last one tells the length.
async fn chunk(
    State(drive): State<Drive>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let range = headers.get(header::CONTENT_RANGE).unwrap().to_str().unwrap().to_owned();
    let mut kept = drive.lock();
    let Some(item) = kept.uploads.get_mut(&id) else { return refused(404, "notFound") };
    item.bytes.extend_from_slice(&body);
    let have = item.bytes.len();
    if range.ends_with("/*") {
        let told = format!("bytes=0-{}", have.saturating_sub(1));
        return (StatusCode::PERMANENT_REDIRECT, [(header::RANGE, told)]).into_response();
    }
    assert!(range.ends_with(&format!("/{have}")), "{range}, and {have} came");
    let item = kept.uploads.remove(&id).unwrap();
    drop(kept);
    Json(drive.add(item)).into_response()
}

async fn token(State(drive): State<Drive>, body: String) -> Response {
    let told: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    if told.get("refresh_token").is_none_or(|token| token != REFRESH) {
        let body = json!({"error": "invalid_grant", "error_description": "Bad Request"});
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    }
    let mut kept = drive.lock();
    kept.refreshed += 1;
    let access = format!("access {}", kept.refreshed);
    let answer = json!({"access_token": access, "expires_in": 3599, "token_type": "Bearer"});
    Json(answer).into_response()
}

async fn about() -> Json<Value> {
    Json(json!({"user": {"emailAddress": "backup@example.org"},
        "storageQuota": {"limit": "16106127360", "usage": "1000", "usageInDrive": "1000"}}))
}

async fn seen(
    State(drive): State<Drive>,
    request: Request<Body>,
    next: axum::middleware::Next,
) -> Response {
    let path = request.uri().path().to_owned();
    drive.lock().asked.push(format!("{} {path}", request.method()));
    if path != "/token" && !drive.may(request.headers()) {
        return refused(401, "authError");
    }
    next.run(request).await
}

impl FakeDrive {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let names = ["www.googleapis.com", "oauth2.googleapis.com"].map(str::to_owned);
        let leaf = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let drive = Drive::default();
        let app = Router::new()
            .route("/token", post(token))
            .route("/drive/v3/about", get(about))
            .route("/drive/v3/files", get(list).post(make))
            .route("/drive/v3/files/{id}", get(file).patch(change).delete(remove))
            .route("/upload/drive/v3/files", post(upload))
            .route("/upload/session/{id}", put(chunk).post(chunk))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .layer(axum::middleware::from_fn_with_state(drive.clone(), seen))
            .with_state(drive.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, told) = (TlsAcceptor::from(Arc::new(tls)), drive.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, app, told) = (acceptor.clone(), app.clone(), told.clone());
                tokio::spawn(async move {
                    let Some(stream) = connected(stream, &told).await else { return };
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
                        .await;
                });
            }
        });
        Self { drive, folder, port }
    }

    /// What rclone needs to come here instead of to Google.
    pub(crate) fn env(&self) -> Vec<(String, secrecy::SecretString)> {
        let ca = self.folder.path().join("ca.pem").display().to_string();
        vec![
            ("HTTPS_PROXY".to_owned(), format!("http://127.0.0.1:{}", self.port).into()),
            ("RCLONE_CA_CERT".to_owned(), ca.into()),
        ]
    }
}

/// Answers `CONNECT`, for Google's names alone.
async fn connected(mut stream: TcpStream, drive: &Drive) -> Option<TcpStream> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let host = head.strip_prefix("CONNECT ")?.split(':').next()?.to_owned();
    drive.lock().hosts.push(host.clone());
    if !host.ends_with(".googleapis.com") {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.ok()?;
        return None;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    Some(stream)
}
