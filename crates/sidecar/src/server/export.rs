//! `POST /backup/export`: streamed, spooled or as a job.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use contract::{ExportRequest, Prefer};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{answer, job};
use crate::{
    config::Config,
    export::{self, ExportError},
    jobs::{Jobs, Streaming, Turn, WAITING_CHUNKS},
};

/// Longest `run_id`, in bytes.
const MAX_RUN_ID: usize = 200;

pub(super) async fn export(State(jobs): State<Arc<Jobs>>, body: Bytes) -> Response {
    let request = match asked(&jobs.config, &body) {
        Ok(request) => request,
        Err(detail) => return answer::problem(StatusCode::UNPROCESSABLE_ENTITY, detail),
    };
    // A file is sent when it is whole: until then a stream would be silent, longer than a client
    // may wait.
    let otherwise = if jobs.config.leaves_a_file() { Prefer::Async } else { Prefer::Stream };
    let prefer = request.prefer.unwrap_or(otherwise);
    if prefer == Prefer::Stream {
        return match jobs.stream(&request) {
            Ok(Streaming::Begins(turn)) => streamed(&jobs, request, turn),
            Ok(Streaming::Made(made)) => {
                job::ended(&jobs, &HeaderMap::new(), &made, made.state()).await
            }
            Err(refusal) => answer::refused(&jobs.config, refusal),
        };
    }
    let begun = match jobs.begin(request) {
        Ok(begun) => begun,
        Err(refusal) => return answer::refused(&jobs.config, refusal),
    };
    if prefer == Prefer::Async {
        begun.promise();
        return job::accepted(&jobs, &begun);
    }
    let waiting = begun.wait();
    let state = begun.ended().await;
    let response = job::ended(&jobs, &HeaderMap::new(), &begun, state).await;
    drop(waiting);
    response
}

fn asked(config: &Config, body: &[u8]) -> Result<ExportRequest, String> {
    let request: ExportRequest = match body {
        [] => ExportRequest::default(),
        body => serde_json::from_slice(body).map_err(|error| error.to_string())?,
    };
    let types = &config.capabilities.types;
    if let Some(wanted) = &request.r#type
        && !types.is_empty()
        && !types.contains(wanted)
    {
        return Err(format!("there is no type `{wanted}` here"));
    }
    match &request.run_id {
        Some(id) if id.is_empty() || id.len() > MAX_RUN_ID => {
            Err(format!("a run_id has 1 to {MAX_RUN_ID} bytes"))
        }
        _ => Ok(request),
    }
}

/// Sends the artifact while it is made. A failure breaks the framing: no last chunk, no trailers.
fn streamed(jobs: &Arc<Jobs>, request: ExportRequest, turn: Turn) -> Response {
    let mut head = answer::head(&jobs.config);
    head.push((header::TRAILER, "x-checksum-sha256, x-size".to_owned()));
    let (frames_in, frames) = mpsc::channel::<Result<Frame<Bytes>, ExportError>>(2);
    let (sink, chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
    let exporting = Arc::clone(jobs);
    jobs.tasks.spawn(async move {
        let jobs = exporting;
        let folder_id = request.drive_folder_id.as_deref();
        let exporting = export::run(&jobs.config, folder_id, sink, &turn.cancel);
        // In a task of its own: a chunk is hashed while the next is read.
        let passing = pass_on(chunks, frames_in.clone(), turn.cancel.clone());
        let passing = AbortOnDropHandle::new(tokio::spawn(passing));
        let (done, passed) = tokio::join!(exporting, passing);
        let (hash, size) = match passed {
            Ok(passed) => passed,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let is_empty = size == 0 && !jobs.config.strategy.config.allow_empty;
        let done = done.and(if is_empty { Err(ExportError::Empty) } else { Ok(()) });
        let last = done.map(|()| Frame::trailers(trailers(&hex::encode(hash.finish()), size)));
        let last = last.inspect_err(|error| drop(jobs.log(error)));
        // The turn ends with the export: a client that has the end may ask again at once.
        drop(turn);
        let _ = frames_in.send(last).await;
    });
    answer::answer(head, Body::new(StreamBody::new(ReceiverStream::new(frames))))
}

/// Passes chunks on until there are no more or nobody takes them. A client that went away ends
/// the export with it.
async fn pass_on(
    mut chunks: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Result<Frame<Bytes>, ExportError>>,
    cancel: CancellationToken,
) -> (ring::digest::Context, u64) {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut size = 0_u64;
    loop {
        let chunk = tokio::select! {
            biased;
            () = to.closed() => break,
            () = cancel.cancelled() => break,
            chunk = chunks.recv() => chunk,
        };
        let Some(chunk) = chunk else { return (hash, size) };
        hash.update(&chunk);
        size += chunk.len() as u64;
        if to.send(Ok(Frame::data(chunk))).await.is_err() {
            break;
        }
    }
    cancel.cancel();
    (hash, size)
}

fn trailers(sha256: &str, size: u64) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Ok(sha256) = HeaderValue::from_str(sha256) {
        trailers.insert(contract::header::CHECKSUM, sha256);
    }
    trailers.insert(contract::header::SIZE, HeaderValue::from(size));
    trailers
}
