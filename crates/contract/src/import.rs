//! Imports: an artifact on its way back into the app.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use http::{Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    ContractClient, ContractError, Declared, ImportAccepted, ImportReport,
    client::retry_after,
    connect::{self, Answer},
};

/// Longest text kept of a report, in characters.
const MAX_TEXT: usize = 1_000;
/// Most notes kept of a report.
const MAX_NOTES: usize = 20;

/// Where an import is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportTarget {
    /// In the place of what the app has.
    Replace,
    /// Next to it, under this name.
    Beside(String),
}

impl fmt::Display for ImportTarget {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Replace => out.write_str("replace"),
            Self::Beside(name) => write!(out, "beside:{name}"),
        }
    }
}

/// What is told of an import before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRequest {
    /// Size and checksum of the artifact: nothing else is ever sent whole.
    pub declared: Declared,
    /// Format, as the export told it.
    pub format: Option<String>,
    /// Where it is to go.
    pub target: ImportTarget,
    /// The same id again gives the finished result, where the server remembers it.
    pub run_id: Option<String>,
}

impl ContractClient {
    /// `POST /backup/import`, and what follows from it. The last byte is sent only once `artifact`
    /// has ended well, and its bytes are those declared. Cancelling breaks the request off, or
    /// cancels the job. Errs where the app does not offer it.
    pub async fn import(
        &self,
        request: &ImportRequest,
        artifact: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
        cancel: CancellationToken,
    ) -> Result<ImportReport, ContractError> {
        let importing = self.send_import(request, artifact, &cancel);
        importing.await.map_err(|error| self.redacted(error))
    }

    async fn send_import(
        &self,
        request: &ImportRequest,
        artifact: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
        cancel: &CancellationToken,
    ) -> Result<ImportReport, ContractError> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let url = self.at("backup/import")?;
        let asking = self.capabilities_and_token();
        let (capabilities, token) =
            cancel.run_until_cancelled(asking).await.unwrap_or(Err(ContractError::Cancelled))?;
        if !capabilities.restore {
            return Err(ContractError::NotOffered { url: url.into() });
        }
        let mut headers = vec![
            (crate::header::CHECKSUM, hex::encode(request.declared.sha256)),
            (crate::header::SIZE, request.declared.size_bytes.to_string()),
            (crate::header::TARGET, request.target.to_string()),
        ];
        headers.extend(request.format.clone().map(|format| (crate::header::FORMAT, format)));
        headers.extend(request.run_id.clone().map(|id| (crate::header::RUN_ID, id)));
        let passing = Arc::new(Passing::default());
        let body = Outgoing {
            artifact,
            left: request.declared.size_bytes,
            declared: request.declared,
            hash: ring::digest::Context::new(&ring::digest::SHA256),
            last: None,
            passing: Arc::clone(&passing),
        };
        if request.declared.size_bytes == 0 {
            passing.is_whole.store(true, Ordering::SeqCst);
        }
        let media = Some("application/octet-stream");
        let head = self.head(&url, Method::POST, media, Some(token), &headers)?;
        let sent = head.body(body).map_err(|error| Self::protocol(&url, error.to_string()))?;
        let connect = self.limits.connect_timeout;
        let wait = deadline.saturating_duration_since(Instant::now());
        let answer = tokio::select! {
            () = cancel.cancelled() => return Err(ContractError::Cancelled),
            () = passing.stalled(self.limits.idle_timeout) => Err(ContractError::Timeout {
                what: format!("{url} takes no more bytes; the wait for it"),
                limit_secs: self.limits.idle_timeout.as_secs(),
            }),
            answer = connect::send(&url, &self.policy, sent, connect, wait) => answer,
        };
        // What broke the body off also broke the connection, and is its cause.
        let answer = match (answer, passing.failure()) {
            (Err(_), Some(why)) => return Err(ContractError::Unreadable(why)),
            (answer, _) => answer?,
        };
        let answer = self.expect(&url, answer, &[StatusCode::OK, StatusCode::ACCEPTED]).await?;
        if !passing.is_whole.load(Ordering::SeqCst) {
            let reason = "it answered before it had the whole artifact".to_owned();
            return Err(Self::protocol(&url, reason));
        }
        if answer.response.status() == StatusCode::OK {
            return self.report(&url, answer).await;
        }
        let first_wait = retry_after(&answer);
        let job: ImportAccepted = self.json(&url, answer).await?;
        self.follow_import(&job, first_wait, deadline, cancel).await
    }

    async fn follow_import(
        &self,
        job: &ImportAccepted,
        first_wait: Option<Duration>,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<ImportReport, ContractError> {
        let status_url = self.given(&job.status_url)?;
        let watching = self.watch(&status_url, first_wait, deadline);
        let watched =
            cancel.run_until_cancelled(watching).await.unwrap_or(Err(ContractError::Cancelled));
        match watched {
            Ok(message) => Ok(ImportReport { message, ..ImportReport::default() }),
            Err(ContractError::JobFailed(why)) => Err(ContractError::ImportFailed(why)),
            Err(error) => {
                self.give_up(&status_url).await;
                Err(error)
            }
        }
    }

    /// The report of a 200. Any document will do, and none: the status has said it.
    async fn report(&self, url: &Url, answer: Answer) -> Result<ImportReport, ContractError> {
        let media = answer.response.headers().get(header::CONTENT_TYPE);
        let is_json = media.is_some_and(|media| media.as_bytes().starts_with(b"application/json"));
        let bytes = self.bytes(url, answer).await?;
        let report: ImportReport = if is_json {
            serde_json::from_slice(&bytes).unwrap_or_default()
        } else {
            ImportReport::default()
        };
        let clean = |text: String| {
            let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
            self.redact(&text)
        };
        Ok(ImportReport {
            message: report.message.map(clean),
            kept: report.kept.map(clean),
            notes: report.notes.into_iter().take(MAX_NOTES).map(clean).collect(),
        })
    }
}

/// How far a body is.
#[derive(Default)]
struct Passing {
    /// How often more was asked for.
    asked: AtomicU64,
    /// The connection wants more and the artifact has none yet.
    waits: AtomicBool,
    /// Everything was handed on.
    is_whole: AtomicBool,
    failure: std::sync::Mutex<Option<String>>,
}

impl Passing {
    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn fail(&self, why: impl Into<String>) -> io::Error {
        let why = why.into();
        let error = io::Error::other(why.clone());
        *self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(why);
        error
    }

    /// Ends when the server has taken nothing for `limit` although there is something to take.
    async fn stalled(&self, limit: Duration) {
        loop {
            let asked = self.asked.load(Ordering::SeqCst);
            tokio::time::sleep(limit).await;
            if self.is_whole.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let same = asked == self.asked.load(Ordering::SeqCst);
            if same && asked > 0 && !self.waits.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// The artifact as a request's body: of the declared length, or broken off.
struct Outgoing<S> {
    artifact: S,
    left: u64,
    declared: Declared,
    hash: ring::digest::Context,
    /// Held back until the artifact has ended well.
    last: Option<Bytes>,
    passing: Arc<Passing>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Outgoing<S> {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let passing = Arc::clone(&self.passing);
        loop {
            let chunk = match ready!(Pin::new(&mut self.artifact).poll_next(context)) {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(passing.fail(error.to_string())))),
                None if self.left > 0 => {
                    let why = format!("it ended {} bytes before its end", self.left);
                    return Poll::Ready(Some(Err(passing.fail(why))));
                }
                None => {
                    passing.is_whole.store(true, Ordering::SeqCst);
                    return Poll::Ready(self.last.take().map(Ok));
                }
            };
            self.hash.update(&chunk);
            let Some(left) = self.left.checked_sub(chunk.len() as u64) else {
                let why = passing.fail("it has more bytes than were declared");
                return Poll::Ready(Some(Err(why)));
            };
            self.left = left;
            if left > 0 {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if self.hash.clone().finish().as_ref() != self.declared.sha256 {
                let why = passing.fail("its SHA-256 is not the one declared");
                return Poll::Ready(Some(Err(why)));
            }
            self.last = Some(chunk);
        }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> http_body::Body for Outgoing<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.next(context);
        self.passing.waits.store(polled.is_pending(), Ordering::SeqCst);
        self.passing.asked.fetch_add(1, Ordering::SeqCst);
        polled.map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.last.as_ref().map_or(0, Bytes::len) as u64;
        SizeHint::with_exact(self.left + held)
    }
}
