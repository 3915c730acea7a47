//! `POST /backup/import`: an artifact taken in whole, proven, and only then restored.

use std::{sync::Arc, sync::atomic::AtomicU64, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header as http_header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use contract::{ImportReport, header};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answer;
use crate::{
    config::Config,
    export::ExportError,
    jobs::{Importing, Jobs, WAITING_CHUNKS},
    restore,
    spool::Artifact,
};

/// Longest silence while the artifact comes.
const IDLE: Duration = Duration::from_secs(60);
/// How long what was refused is still read, so that the client gets to read why.
const DRAIN: Duration = Duration::from_secs(10);
/// Longest id of an import, in bytes.
const MAX_RUN_ID: usize = 200;

/// What the headers tell of the artifact.
struct Told {
    size_bytes: u64,
    sha256: String,
    format: Option<String>,
    run_id: Option<String>,
}

pub(super) async fn import(
    State(jobs): State<Arc<Jobs>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let config = &jobs.config;
    if !config.restore.enabled {
        return refused(
            body,
            StatusCode::FORBIDDEN,
            "it takes nothing back: SIDECAR_RESTORE is off",
        );
    }
    let told = match read(config, &headers) {
        Ok(told) => told,
        Err(why) => return refused(body, StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    if let Some(report) = told.run_id.as_deref().and_then(|id| jobs.imported(id)) {
        drain(body);
        return Json(report).into_response();
    }
    let importing = match jobs.import() {
        Ok(importing) => importing,
        Err(refusal) => {
            drain(body);
            return answer::refused(config, refusal);
        }
    };
    let artifact = match take(&jobs, body, &told, &importing.cancel).await {
        Ok(artifact) => artifact,
        Err((status, why)) => {
            tracing::warn!("an import was refused: {why}");
            return answer::problem(status, format!("{why}; nothing was changed"));
        }
    };
    // A client that goes away drops this; the task ends what it has begun.
    let _gone = importing.cancel.clone().drop_guard();
    let (working, run_id) = (Arc::clone(&jobs), told.run_id.clone());
    let restoring = jobs.tasks.spawn(async move {
        let restored = restored(&working.config, &artifact, &told, &importing).await;
        if let Ok(report) = &restored {
            working.remember(run_id, report);
            tracing::info!("{}", report.message.as_deref().unwrap_or("an artifact was restored"));
        }
        drop(importing);
        restored.map_err(|error| working.log(&error))
    });
    match restoring.await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(why)) => answer::problem(StatusCode::INTERNAL_SERVER_ERROR, why),
        Err(panic) => answer::problem(StatusCode::INTERNAL_SERVER_ERROR, panic.to_string()),
    }
}

async fn restored(
    config: &Arc<Config>,
    artifact: &Artifact,
    told: &Told,
    importing: &Importing,
) -> Result<ImportReport, ExportError> {
    let given = restore::Given {
        file: artifact.path(),
        format: told.format.as_deref(),
        tag: &importing.tag,
    };
    restore::run(config, &given, &importing.cancel).await
}

/// Reads the headers, as strictly as the contract's client does.
fn read(config: &Config, headers: &HeaderMap) -> Result<Told, String> {
    let size = header::size(headers).map_err(|error| error.to_string())?;
    let checksum = header::checksum(headers).map_err(|error| error.to_string())?;
    let (Some(size_bytes), Some(sha256)) = (size, checksum) else {
        return Err("X-Size and X-Checksum-SHA256 are needed".to_owned());
    };
    if headers.contains_key(http_header::CONTENT_ENCODING) {
        return Err("the artifact is content-encoded".to_owned());
    }
    let text = |name: http_header::HeaderName| header::text(headers, &name);
    match text(header::TARGET).as_deref() {
        Some("replace") => {}
        Some(other) if other.starts_with("beside:") => {
            return Err(
                "this sidecar restores in the place of what is there: X-Target is `replace`"
                    .to_owned(),
            );
        }
        _ => return Err("X-Target is `replace`".to_owned()),
    }
    if let Some(length) = text(http_header::CONTENT_LENGTH)
        && length != size_bytes.to_string()
    {
        return Err("Content-Length and X-Size differ".to_owned());
    }
    let (format, own) = (text(header::FORMAT), &config.strategy.artifact.format);
    if let (Some(format), Some(own)) = (&format, own)
        && format != own
    {
        return Err(format!("it is `{format}`, and this sidecar restores `{own}`"));
    }
    if size_bytes == 0 && !config.strategy.config.allow_empty {
        return Err("the artifact is empty".to_owned());
    }
    let run_id = text(header::RUN_ID);
    if run_id.as_ref().is_some_and(|id| id.len() > MAX_RUN_ID) {
        return Err(format!("X-Run-Id has at most {MAX_RUN_ID} bytes"));
    }
    Ok(Told { size_bytes, sha256: hex::encode(sha256), format, run_id })
}

/// Spools the whole body and proves it.
async fn take(
    jobs: &Jobs,
    body: Body,
    told: &Told,
    cancel: &CancellationToken,
) -> Result<Artifact, (StatusCode, String)> {
    let (sink, chunks) = mpsc::channel(WAITING_CHUNKS);
    let counted = AtomicU64::new(0);
    let reading = receive(body, told.size_bytes, sink);
    let writing = jobs.spool().take(chunks, &counted, cancel);
    let (read, written) = tokio::join!(reading, writing);
    let unusable = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, why);
    // Where the disk is full, the body was cut because nobody took its bytes.
    let artifact = written.map_err(|error| {
        let why = format!("{}: {error}", jobs.spool().folder().display());
        (StatusCode::INSUFFICIENT_STORAGE, why)
    })?;
    read.map_err(unusable)?;
    if cancel.is_cancelled() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "the sidecar ends".to_owned()));
    }
    if artifact.size_bytes != told.size_bytes {
        let (came, size) = (artifact.size_bytes, told.size_bytes);
        return Err(unusable(format!("{came} bytes came, X-Size is {size}")));
    }
    if artifact.sha256 != told.sha256 {
        return Err(unusable("its SHA-256 is not that of X-Checksum-SHA256".to_owned()));
    }
    Ok(artifact)
}

async fn receive(mut body: Body, size: u64, sink: mpsc::Sender<Bytes>) -> Result<(), String> {
    let mut received = 0;
    loop {
        let frame = match tokio::time::timeout(IDLE, body.frame()).await {
            Err(_) => return Err(format!("nothing came for {} s", IDLE.as_secs())),
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => return Err(format!("the body was cut: {error}")),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(chunk) = frame.into_data() else { continue };
        received += chunk.len() as u64;
        if received > size {
            return Err(format!("more bytes came than the {size} of X-Size"));
        }
        if sink.send(chunk).await.is_err() {
            return Err("nobody takes it any more".to_owned());
        }
    }
}

fn refused(body: Body, status: StatusCode, why: &str) -> Response {
    drain(body);
    answer::problem(status, format!("{why}; nothing was changed"))
}

/// Reads on for a while: a connection that is closed over unread bytes loses the answer too.
fn drain(mut body: Body) {
    tokio::spawn(tokio::time::timeout(DRAIN, async move {
        while let Some(Ok(_)) = body.frame().await {}
    }));
}
