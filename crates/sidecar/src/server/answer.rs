//! Answers: problems, and artifacts whole or in part.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use contract::Problem;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::range::{self, Part};
use crate::{
    config::Config,
    export::READ_CHUNK,
    jobs::{Jobs, Reading, Refusal},
    spool::Artifact,
};

pub(super) fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
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

/// When to ask again, in seconds: about a tenth of what an export takes.
pub(super) fn retry_after(config: &Config) -> (HeaderName, HeaderValue) {
    let secs = (config.capabilities.est_seconds.unwrap_or(10) / 10).clamp(1, 30);
    (header::RETRY_AFTER, HeaderValue::from(secs))
}

pub(super) fn refused(config: &Config, refusal: Refusal) -> Response {
    let (status, detail) = match refusal {
        Refusal::Busy => (StatusCode::CONFLICT, "another export or import is under way"),
        Refusal::Running => (StatusCode::CONFLICT, "the export of this run_id is under way"),
        Refusal::Unlike => {
            (StatusCode::UNPROCESSABLE_ENTITY, "this run_id was used for another request")
        }
        Refusal::Random => (StatusCode::INTERNAL_SERVER_ERROR, "there are no random numbers"),
    };
    let mut response = problem(status, detail);
    if status == StatusCode::CONFLICT {
        response.headers_mut().extend([retry_after(config)]);
    }
    response
}

/// What is told of every artifact.
pub(super) fn head(config: &Config) -> Vec<(HeaderName, String)> {
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

pub(super) fn answer(head: Vec<(HeaderName, String)>, body: Body) -> Response {
    let mut response = Response::new(body);
    for (name, value) in head {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A finished artifact, or the part of it that is asked for.
pub(super) async fn artifact(
    jobs: &Arc<Jobs>,
    headers: &HeaderMap,
    artifact: &Artifact,
    reading: Reading,
) -> Response {
    let (size, etag) = (artifact.size_bytes, format!("\"{}\"", artifact.sha256));
    let part = range::asked(headers, &etag, size);
    if part == Part::None {
        let mut response = problem(StatusCode::RANGE_NOT_SATISFIABLE, "beyond the artifact's end");
        if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        return response;
    }
    let (first, length) = match part {
        Part::Bytes(first, last) => (first, last - first + 1),
        _ => (0, size),
    };
    let opened = async {
        let mut file = artifact.open().await?;
        file.seek(std::io::SeekFrom::Start(first)).await?;
        Ok::<_, std::io::Error>(file)
    };
    let file = match opened.await {
        Ok(file) => file,
        Err(error) => {
            tracing::error!("a spooled artifact cannot be read: {error}");
            let told = format!("the spooled artifact cannot be read: {}", error.kind());
            return problem(StatusCode::INTERNAL_SERVER_ERROR, told);
        }
    };
    let mut head = head(&jobs.config);
    head.extend([
        (contract::header::CHECKSUM, artifact.sha256.clone()),
        (contract::header::SIZE, size.to_string()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ETAG, etag),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ]);
    let is_part = matches!(part, Part::Bytes(..));
    if is_part {
        let range = format!("bytes {first}-{}/{size}", first + length - 1);
        head.push((header::CONTENT_RANGE, range));
    }
    let sending = Sending {
        file,
        left: length,
        reaches_end: first + length == size,
        held: Held { jobs: Arc::clone(jobs), reading },
    };
    let mut response = answer(head, Body::from_stream(stream::try_unfold(sending, Sending::next)));
    if is_part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

struct Sending {
    file: tokio::fs::File,
    left: u64,
    reaches_end: bool,
    held: Held,
}

impl Sending {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let room = usize::try_from(self.left).unwrap_or(READ_CHUNK).min(READ_CHUNK);
        let mut chunk = BytesMut::with_capacity(room);
        let count = (&mut self.file).take(room as u64).read_buf(&mut chunk).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.held.reading.is_served |= self.left == 0 && self.reaches_end;
        Ok(Some((chunk.freeze(), self)))
    }
}

/// Forgets the job with its only reader, where nobody else can ask for it.
struct Held {
    jobs: Arc<Jobs>,
    reading: Reading,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.reading.job.is_private() {
            self.jobs.forget(&self.reading.job.id);
        }
    }
}
