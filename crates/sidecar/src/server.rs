//! The contract's endpoints.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use contract::{Capabilities, ExportRequest, Prefer, Problem};
use http_body::Frame;
use http_body_util::StreamBody;
use secrecy::ExposeSecret as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    config::Config,
    export::{self, ExportError},
};

/// Chunks that may wait for a slow client.
const WAITING_CHUNKS: usize = 8;
/// Largest request body, in bytes.
const MAX_BODY: usize = 64 << 10;

struct Shared {
    config: Arc<Config>,
    /// One export at a time: two dumps of one database slow each other and the app.
    turn: Arc<Semaphore>,
}

/// Serves until SIGTERM or Ctrl-C.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    let address = (config.app.host.clone(), config.app.port);
    let shared = Arc::new(Shared { config: Arc::new(config), turn: Arc::new(Semaphore::new(1)) });
    let guarded = Router::new()
        .route("/backup/capabilities", get(capabilities))
        .route("/backup/export", post(export))
        .layer(from_fn_with_state(Arc::clone(&shared), authorize));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared);
    let listener = tokio::net::TcpListener::bind(&address)
        .await
        .with_context(|| format!("{}:{} cannot be listened on", address.0, address.1))?;
    tracing::info!("serving the contract on {}", listener.local_addr()?);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await?;
    Ok(())
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    let secrets = &shared.config.secrets;
    let tokens = std::iter::once(&secrets.api_token).chain(&secrets.previous_api_token);
    // Every token is compared, and every byte of it: the time tells nothing.
    let fits =
        tokens.fold(false, |fits, token| fits | same(token.expose_secret().as_bytes(), given));
    if fits { next.run(request).await } else { StatusCode::UNAUTHORIZED.into_response() }
}

/// Compares digests, whose length and order tell nothing of the token.
fn same(token: &[u8], given: &[u8]) -> bool {
    let digest = |bytes| ring::digest::digest(&ring::digest::SHA256, bytes);
    let (token_digest, given) = (digest(token), digest(given));
    let differences = token_digest
        .as_ref()
        .iter()
        .zip(given.as_ref())
        .fold(0_u8, |differences, (a, b)| differences | (a ^ b));
    differences == 0 && !token.is_empty()
}

async fn capabilities(State(shared): State<Arc<Shared>>) -> Json<Capabilities> {
    let config = &shared.config;
    Json(Capabilities {
        version: contract::wire::VERSION.to_owned(),
        types: config.capabilities.types.clone(),
        est_seconds: config.capabilities.est_seconds,
        est_size: config.capabilities.est_size,
        formats: config.strategy.artifact.format.iter().cloned().collect(),
        restore: false,
        is_async: false,
        streaming: true,
        app: config.app.name.clone(),
        strategy: Some(config.strategy.r#type.as_str().to_owned()),
        max_concurrent: Some(1),
    })
}

fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let problem = Problem {
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail: Some(detail.into()),
    };
    let mut response = (status, Json(problem)).into_response();
    let media = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

async fn export(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request = if body.is_empty() {
        Ok(ExportRequest::default())
    } else {
        serde_json::from_slice::<ExportRequest>(&body)
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    };
    let types = &shared.config.capabilities.types;
    if let Some(wanted) = &request.r#type
        && !types.is_empty()
        && !types.contains(wanted)
    {
        let detail = format!("there is no type `{wanted}` here");
        return problem(StatusCode::UNPROCESSABLE_ENTITY, detail);
    }
    let Ok(turn) = Arc::clone(&shared.turn).try_acquire_owned() else {
        return problem(StatusCode::CONFLICT, "another export is under way");
    };
    match request.prefer {
        Some(Prefer::Spool) => spooled(&shared, request, turn).await,
        _ => streamed(&shared, request, turn),
    }
}

fn head(config: &Config) -> Vec<(header::HeaderName, String)> {
    let artifact = &config.strategy.artifact;
    let name: String = artifact
        .filename
        .chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/'))
        .collect();
    let media = artifact.content_type.clone();
    let mut head = vec![
        (header::CONTENT_TYPE, media.unwrap_or_else(|| "application/octet-stream".to_owned())),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    head.extend(artifact.format.clone().map(|format| (contract::header::FORMAT, format)));
    head
}

fn answer(head: Vec<(header::HeaderName, String)>, body: Body) -> Response {
    let mut response = Response::new(body);
    for (name, value) in head {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Sends the artifact while it is made. A failure breaks the framing: no last chunk, no trailers.
fn streamed(shared: &Shared, request: ExportRequest, turn: OwnedSemaphorePermit) -> Response {
    let config = Arc::clone(&shared.config);
    let mut head = head(&config);
    head.push((header::TRAILER, "x-checksum-sha256, x-size".to_owned()));
    let (frames_in, frames) = mpsc::channel::<Result<Frame<Bytes>, ExportError>>(2);
    let (sink, mut chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
    tokio::spawn(async move {
        let exporting = async {
            // The first thing to end decides: a client that went away ends the export with it.
            tokio::select! {
                done = export::run(&config, request.drive_folder_id.as_deref(), sink) => done,
                () = frames_in.closed() => Err(ExportError::Gone),
            }
        };
        let passing = async {
            let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
            let mut size = 0_u64;
            while let Some(chunk) = chunks.recv().await {
                hash.update(&chunk);
                size += chunk.len() as u64;
                if frames_in.send(Ok(Frame::data(chunk))).await.is_err() {
                    break;
                }
            }
            (hash, size)
        };
        let (done, (hash, size)) = tokio::join!(exporting, passing);
        let allow_empty = config.strategy.config.allow_empty;
        let done =
            done.and(if size == 0 && !allow_empty { Err(ExportError::Empty) } else { Ok(()) });
        let last = match done {
            Ok(()) => Ok(Frame::trailers(trailers(&hex::encode(hash.finish().as_ref()), size))),
            Err(error) => {
                tracing::error!("{error}");
                Err(error)
            }
        };
        let _ = frames_in.send(last).await;
        drop(turn);
    });
    answer(head, Body::new(StreamBody::new(ReceiverStream::new(frames))))
}

fn trailers(sha256: &str, size: u64) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Ok(sha256) = HeaderValue::from_str(sha256) {
        trailers.insert(contract::header::CHECKSUM, sha256);
    }
    trailers.insert(contract::header::SIZE, HeaderValue::from(size));
    trailers
}

/// Makes the artifact first, then sends it with its size and checksum in headers.
async fn spooled(shared: &Shared, request: ExportRequest, turn: OwnedSemaphorePermit) -> Response {
    match spool(&shared.config, &request).await {
        Ok((file, sha256, size)) => {
            let mut head = head(&shared.config);
            head.push((contract::header::CHECKSUM, sha256));
            head.push((contract::header::SIZE, size.to_string()));
            head.push((header::CONTENT_LENGTH, size.to_string()));
            let stream = tokio_util::io::ReaderStream::with_capacity(file, 256 << 10);
            drop(turn);
            answer(head, Body::from_stream(stream))
        }
        Err(error) => {
            tracing::error!("{error}");
            problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

async fn spool(
    config: &Arc<Config>,
    request: &ExportRequest,
) -> Result<(tokio::fs::File, String, u64), ExportError> {
    use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
    let told = |error: std::io::Error| {
        ExportError::Failed(format!("{}: {error}", config.paths.artifacts.display()))
    };
    // Without a name: gone with the answer, whatever happens to this process.
    let file = tempfile::tempfile_in(&config.paths.artifacts).map_err(told)?;
    let mut file = tokio::fs::File::from_std(file);
    let (sink, mut chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
    let writing = async {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let mut size = 0_u64;
        while let Some(chunk) = chunks.recv().await {
            hash.update(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(told)?;
        }
        file.flush().await.map_err(told)?;
        file.rewind().await.map_err(told)?;
        Ok((hex::encode(hash.finish().as_ref()), size))
    };
    let exporting = export::run(config, request.drive_folder_id.as_deref(), sink);
    let (done, written) = tokio::join!(exporting, writing);
    let (sha256, size) = written?;
    done?;
    if size == 0 && !config.strategy.config.allow_empty {
        return Err(ExportError::Empty);
    }
    Ok((file, sha256, size))
}
