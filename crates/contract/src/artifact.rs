//! A stream of bytes that proves itself: it ends well only when framing, size and checksum say so.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    ContractError,
    connect::{Answer, Connection, chain, within},
    header,
};

/// What is told of an artifact before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactMeta {
    /// A safe base name.
    pub file_name: String,
    /// Media type.
    pub content_type: Option<String>,
    /// Format as the app words it.
    pub format: Option<String>,
    /// Size and checksum, where they came in headers.
    pub declared: Option<Declared>,
}

impl ArtifactMeta {
    /// Size, where it is known before the end.
    pub fn declared_size(&self) -> Option<u64> {
        self.declared.map(|declared| declared.size_bytes)
    }
}

/// Size and SHA-256 as the app declared them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOutcome {
    /// Bytes that came.
    pub size_bytes: u64,
    /// Their SHA-256, 64 hex digits. Where comparing was left to the caller it is what the app
    /// declared, empty where it declared nothing.
    pub sha256: String,
    /// Whether the app declared size and checksum, and they held.
    pub verified_by_source: bool,
}

/// How the end of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

/// Bounds that hold while bytes come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
    pub(crate) total: Duration,
    pub(crate) min_bytes_per_sec: u64,
    pub(crate) rate_after: Duration,
    pub(crate) max_size_bytes: u64,
    pub(crate) accept_unverified: bool,
    /// What comes is a part: whatever is declared is of the whole.
    pub(crate) is_part: bool,
}

/// An artifact on its way. Dropping it closes the connection.
pub struct ArtifactStream {
    meta: ArtifactMeta,
    url: String,
    framing: Framing,
    /// `Trailer` names the checksum: an end without it is no end.
    announced: bool,
    body: Incoming,
    _connection: Connection,
    pace: Pace,
    started: Instant,
    received: u64,
    hash: ring::digest::Context,
    /// Whether the checksum is compared here.
    hashes: bool,
    trailers: Option<HeaderMap>,
    outcome: Option<SourceOutcome>,
}

impl ArtifactStream {
    /// Reads the head of a 200.
    pub(crate) fn begin(url: &str, answer: Answer, pace: Pace) -> Result<Self, ContractError> {
        let Answer { response, connection } = answer;
        let (head, body) = response.into_parts();
        let headers = head.headers;
        let protocol = |reason: String| ContractError::Protocol { url: url.to_owned(), reason };
        let told = |error: header::BadHeader| ContractError::header(url, &error);
        if headers.contains_key(http::header::CONTENT_ENCODING) {
            return Err(protocol("the artifact is content-encoded".to_owned()));
        }
        let coded = headers.contains_key(http::header::TRANSFER_ENCODING);
        if coded && !header::only_chunked(&headers) {
            return Err(protocol("its Transfer-Encoding is not `chunked` alone".to_owned()));
        }
        let framing = if coded {
            Framing::Chunked
        } else if let Some(length) = hyper::body::Body::size_hint(&body).exact()
            && headers.contains_key(http::header::CONTENT_LENGTH)
        {
            Framing::Length(length)
        } else {
            // The end of the connection would be the end of the artifact, cut or not.
            return Err(protocol(
                "the answer has neither Content-Length nor chunks: its end cannot be told from a cut"
                    .to_owned(),
            ));
        };
        let declared = match (
            header::size(&headers).map_err(told)?,
            header::checksum(&headers).map_err(told)?,
        ) {
            (Some(size_bytes), Some(sha256)) => Some(Declared { size_bytes, sha256 }),
            (None, None) => None,
            _ => return Err(protocol("X-Size and X-Checksum-SHA256 come together".to_owned())),
        };
        if let (Framing::Length(length), Some(declared)) = (framing, declared)
            && length != declared.size_bytes
        {
            return Err(ContractError::Mismatch(format!(
                "Content-Length is {length}, X-Size is {}",
                declared.size_bytes
            )));
        }
        let announced = declared.map(|d| d.size_bytes).or(match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        });
        if announced.is_some_and(|size| size > pace.max_size_bytes) {
            return Err(ContractError::TooLarge { limit_bytes: pace.max_size_bytes });
        }
        let meta = ArtifactMeta {
            file_name: header::file_name(&headers).unwrap_or_else(|| "artifact.bin".to_owned()),
            content_type: header::text(&headers, &http::header::CONTENT_TYPE),
            format: header::text(&headers, &header::FORMAT),
            declared,
        };
        Ok(Self {
            meta,
            url: url.to_owned(),
            framing,
            announced: header::announces_checksum(&headers),
            body,
            _connection: connection,
            pace,
            started: Instant::now(),
            received: 0,
            hash: ring::digest::Context::new(&ring::digest::SHA256),
            hashes: true,
            trailers: None,
            outcome: None,
        })
    }

    /// What was told before the first byte.
    pub fn meta(&self) -> &ArtifactMeta {
        &self.meta
    }

    /// How it ended; known only after [`Self::chunk`] has given `Ok(None)`.
    pub fn outcome(&self) -> Option<&SourceOutcome> {
        self.outcome.as_ref()
    }

    /// Leaves hashing and comparing to the caller; before the first chunk.
    pub(crate) fn leave_checksum(&mut self) {
        self.hashes = false;
    }

    /// Bytes that have come so far.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// The next bytes; `None` once the end has come and everything declared has held.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ContractError> {
        if self.outcome.is_some() {
            return Ok(None);
        }
        loop {
            match self.frame().await? {
                Some(frame) => {
                    if let Some(bytes) = self.take(frame)? {
                        return Ok(Some(bytes));
                    }
                }
                None => {
                    self.outcome = Some(self.conclude()?);
                    return Ok(None);
                }
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<hyper::body::Frame<Bytes>>, ContractError> {
        let left = self.pace.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ContractError::Timeout {
                what: format!("the export of {}", self.url),
                limit_secs: self.pace.total.as_secs(),
            });
        }
        let (idle, received) = (self.pace.idle, self.received);
        let body = &mut self.body;
        let url = &self.url;
        let next = async {
            body.frame().await.transpose().map_err(|error| ContractError::Truncated {
                received_bytes: received,
                reason: chain(&error),
            })
        };
        within(idle.min(left), || format!("silence of {url}"), next).await
    }

    fn take(&mut self, frame: hyper::body::Frame<Bytes>) -> Result<Option<Bytes>, ContractError> {
        let bytes = match frame.into_data() {
            Ok(bytes) => bytes,
            Err(frame) => {
                self.trailers = frame.into_trailers().ok();
                return Ok(None);
            }
        };
        self.received += bytes.len() as u64;
        if self.received > self.pace.max_size_bytes {
            return Err(ContractError::TooLarge { limit_bytes: self.pace.max_size_bytes });
        }
        if let Some(declared) = self.meta.declared
            && self.received > declared.size_bytes
        {
            return Err(ContractError::Mismatch(format!(
                "more bytes came than the {} that X-Size tells",
                declared.size_bytes
            )));
        }
        let passed = self.started.elapsed();
        let rate = self.received / passed.as_secs().max(1);
        if passed > self.pace.rate_after && rate < self.pace.min_bytes_per_sec {
            return Err(ContractError::Timeout {
                what: format!("{} sends {rate} bytes a second; the export", self.url),
                limit_secs: passed.as_secs(),
            });
        }
        if self.hashes {
            self.hash.update(&bytes);
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn conclude(&self) -> Result<SourceOutcome, ContractError> {
        if let Framing::Length(length) = self.framing
            && length != self.received
        {
            return Err(ContractError::Truncated {
                received_bytes: self.received,
                reason: format!("Content-Length is {length}"),
            });
        }
        let trailed = match &self.trailers {
            Some(trailers) if !self.pace.is_part => self.declared_in(trailers)?,
            _ => None,
        };
        let declared = match (self.meta.declared, trailed) {
            (Some(declared), Some(trailed)) if declared != trailed => {
                return Err(ContractError::Mismatch(
                    "its headers and its trailers differ".to_owned(),
                ));
            }
            (declared, trailed) => declared.or(trailed),
        };
        if self.announced && declared.is_none() {
            return Err(ContractError::Protocol {
                url: self.url.clone(),
                reason: "the trailers that it announced did not come".to_owned(),
            });
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        match declared {
            Some(declared) if declared.size_bytes != self.received => Err(ContractError::Mismatch(
                format!("{} bytes came, X-Size is {}", self.received, declared.size_bytes),
            )),
            Some(declared) if self.hashes && declared.sha256 != sha256 => {
                Err(ContractError::Mismatch("its SHA-256 differs".to_owned()))
            }
            None if !self.pace.accept_unverified => Err(ContractError::Protocol {
                url: self.url.clone(),
                reason: "the export carries neither X-Size nor X-Checksum-SHA256; allow that for \
                         this app if it cannot do better"
                    .to_owned(),
            }),
            _ => Ok(SourceOutcome {
                size_bytes: self.received,
                sha256: if self.hashes {
                    hex::encode(sha256)
                } else {
                    declared.map(|declared| hex::encode(declared.sha256)).unwrap_or_default()
                },
                verified_by_source: declared.is_some(),
            }),
        }
    }

    fn declared_in(&self, trailers: &HeaderMap) -> Result<Option<Declared>, ContractError> {
        let told = |error: header::BadHeader| ContractError::header(&self.url, &error);
        match (header::size(trailers).map_err(told)?, header::checksum(trailers).map_err(told)?) {
            (Some(size_bytes), Some(sha256)) => Ok(Some(Declared { size_bytes, sha256 })),
            (None, None) => Ok(None),
            _ => Err(ContractError::Protocol {
                url: self.url.clone(),
                reason: "X-Size and X-Checksum-SHA256 come together".to_owned(),
            }),
        }
    }
}
