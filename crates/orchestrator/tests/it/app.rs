//! An app that serves the contract, at the pace a test wants.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;

pub(crate) const TOKEN: &str = "token-of-the-app-under-test";

/// How an app behaves.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    name: &'static str,
    content: Bytes,
    /// What it serves instead, since it changed.
    changed: Arc<Mutex<Option<Bytes>>>,
    pause_ms: Arc<AtomicU64>,
    exports: Arc<AtomicU64>,
}

impl App {
    /// Serves `size` bytes of a made-up dump.
    pub(crate) async fn serve(size: usize) -> Self {
        // A tar's worth of lines that differ, so that nothing shrinks to nothing.
        let mut content = Vec::with_capacity(size + 64);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        while content.len() < size {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            content.extend_from_slice(format!("{state:016x}\n").as_bytes());
        }
        content.truncate(size);
        Self::serve_file("shop.dump", content).await
    }

    /// Serves these very bytes.
    pub(crate) async fn serve_file(name: &'static str, content: Vec<u8>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self {
            name,
            address: listener.local_addr().unwrap(),
            content: content.into(),
            changed: Arc::default(),
            pause_ms: Arc::default(),
            exports: Arc::default(),
        };
        let router = Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/backup/capabilities", get(capabilities))
            .route("/backup/export", post(export))
            .with_state(app.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        app
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves something else from now on.
    pub(crate) fn change(&self, content: Vec<u8>) {
        *self.changed.lock().unwrap() = Some(content.into());
    }

    /// Rests this long after each sixteenth of the export.
    pub(crate) fn pause(&self, length: Duration) {
        self.pause_ms.store(u64::try_from(length.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn exports(&self) -> u64 {
        self.exports.load(Ordering::Relaxed)
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(crate) fn sha256(&self) -> String {
        sha256(&self.content)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

fn allowed(headers: &HeaderMap) -> bool {
    let wanted = format!("Bearer {TOKEN}");
    headers.get(header::AUTHORIZATION).is_some_and(|value| value == wanted.as_str())
}

async fn capabilities(State(app): State<App>, headers: HeaderMap) -> Response {
    if !allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let size = app.content.len();
    Json(json!({ "version": "v1", "types": ["db"], "est_seconds": 1, "est_size": size }))
        .into_response()
}

async fn export(State(app): State<App>, headers: HeaderMap) -> Response {
    if !allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    app.exports.fetch_add(1, Ordering::Relaxed);
    let pause = Duration::from_millis(app.pause_ms.load(Ordering::Relaxed));
    let content = app.changed.lock().unwrap().clone().unwrap_or_else(|| app.content.clone());
    let digest = sha256(&content);
    let size = content.len();
    let is_script = std::path::Path::new(app.name).extension().is_some_and(|end| end == "sql");
    let chunks = futures::stream::unfold(content, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let chunk = rest.split_to((size / 16).max(1).min(rest.len()));
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Some((Ok::<_, std::io::Error>(chunk), rest))
    });
    Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", app.name))
        .header(header::CONTENT_LENGTH, size)
        .header("X-Size", size)
        .header("X-Checksum-SHA256", digest)
        .header("X-Format", if is_script { "pg_dump_Fp" } else { "lines" })
        .body(Body::from_stream(chunks))
        .unwrap()
}
