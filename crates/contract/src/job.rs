//! Exports that take long: watched, downloaded, and downloaded on where a download is cut.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    ArtifactMeta, ArtifactStream, ContractClient, ContractError, Declared, JobAccepted, JobState,
    JobStatus, SourceOutcome,
    artifact::Pace,
    connect::{Answer, within},
};

/// Failed looks at a job, one after the other, before it is given up.
const MAX_FAILED_POLLS: u32 = 5;
/// Cut downloads without a new byte between them before it is given up.
const MAX_CUTS: u32 = 5;
/// Longest wait for the answer to a look, a cancel or a range.
const ANSWER: Duration = Duration::from_secs(30);

/// An artifact on its way, directly or from a job. What [`ArtifactStream`] promises holds here.
pub struct Download {
    meta: ArtifactMeta,
    stream: Option<ArtifactStream>,
    resume: Option<Resume>,
    outcome: Option<SourceOutcome>,
}

/// What a cut download is gone on with.
struct Resume {
    client: ContractClient,
    url: Url,
    declared: Declared,
    deadline: Instant,
    received: u64,
    hash: ring::digest::Context,
    /// Whether the checksum is compared here.
    hashes: bool,
    cuts: u32,
}

impl Download {
    pub(crate) fn direct(stream: ArtifactStream) -> Self {
        Self { meta: stream.meta().clone(), stream: Some(stream), resume: None, outcome: None }
    }

    /// What was told before the first byte.
    pub fn meta(&self) -> &ArtifactMeta {
        &self.meta
    }

    /// Leaves comparing the SHA-256 to the caller, who hashes the bytes anyway: the outcome then
    /// tells what the app declared, and everything else is proven here as ever. To be called
    /// before the first chunk.
    pub fn leave_checksum_to_caller(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.leave_checksum();
        }
        if let Some(resume) = &mut self.resume {
            resume.hashes = false;
        }
    }

    /// How it ended; known only after [`Self::chunk`] has given `Ok(None)`.
    pub fn outcome(&self) -> Option<&SourceOutcome> {
        self.outcome.as_ref()
    }

    /// The next bytes; `None` once the end has come and everything declared has held.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ContractError> {
        if self.outcome.is_some() {
            return Ok(None);
        }
        loop {
            let Some(stream) = &mut self.stream else {
                match &mut self.resume {
                    Some(resume) => match resume.go_on().await {
                        Ok(Some(stream)) => {
                            self.stream = Some(stream);
                            continue;
                        }
                        Ok(None) => {
                            self.outcome = Some(resume.conclude()?);
                            return Ok(None);
                        }
                        Err(error) if error.is_retryable() && resume.may_go_on() => continue,
                        Err(error) => return Err(resume.client.redacted(error)),
                    },
                    None => return Ok(None),
                }
            };
            match (stream.chunk().await, &mut self.resume) {
                (Ok(Some(bytes)), resume) => {
                    if let Some(resume) = resume {
                        resume.take(&bytes)?;
                    }
                    return Ok(Some(bytes));
                }
                (Ok(None), None) => {
                    self.outcome = stream.outcome().cloned();
                    self.stream = None;
                    return Ok(None);
                }
                (Ok(None), Some(resume)) => {
                    self.stream = None;
                    self.outcome = Some(resume.conclude()?);
                    return Ok(None);
                }
                (Err(error), Some(resume)) if is_cut(&error) => {
                    if !resume.may_go_on() {
                        return Err(error);
                    }
                    self.stream = None;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }
}

/// Whether the rest can still make the artifact whole.
fn is_cut(error: &ContractError) -> bool {
    matches!(error, ContractError::Truncated { .. } | ContractError::Timeout { .. })
}

impl Resume {
    fn take(&mut self, bytes: &Bytes) -> Result<(), ContractError> {
        self.received += bytes.len() as u64;
        self.cuts = 0;
        if self.hashes {
            self.hash.update(bytes);
        }
        if self.received > self.declared.size_bytes {
            return Err(ContractError::Mismatch("more bytes came than X-Size tells".to_owned()));
        }
        Ok(())
    }

    fn may_go_on(&mut self) -> bool {
        self.cuts += 1;
        self.cuts <= MAX_CUTS && Instant::now() < self.deadline
    }

    /// Asks for the rest; `None` where nothing is left.
    async fn go_on(&mut self) -> Result<Option<ArtifactStream>, ContractError> {
        if self.received == self.declared.size_bytes {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(200) * self.cuts).await;
        let range = [(header::RANGE, format!("bytes={}-", self.received))];
        let client = &self.client;
        let answer = client.authorized(&self.url, Method::GET, None, &range, ANSWER).await?;
        if answer.response.status() == StatusCode::OK {
            let reason = "it does not know Range: a cut download cannot be resumed".to_owned();
            return Err(ContractClient::protocol(&self.url, reason));
        }
        let answer = client.expect(&self.url, answer, &[StatusCode::PARTIAL_CONTENT]).await?;
        client
            .part(&self.url, answer, self.received, self.declared.size_bytes, self.deadline)
            .map(Some)
    }

    fn conclude(&self) -> Result<SourceOutcome, ContractError> {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        if self.received != self.declared.size_bytes {
            return Err(ContractError::Truncated {
                received_bytes: self.received,
                reason: format!("X-Size is {}", self.declared.size_bytes),
            });
        }
        if self.hashes && sha256 != self.declared.sha256 {
            return Err(ContractError::Mismatch("its SHA-256 differs".to_owned()));
        }
        Ok(SourceOutcome {
            size_bytes: self.received,
            sha256: hex::encode(self.declared.sha256),
            verified_by_source: true,
        })
    }
}

impl ContractClient {
    /// The part of an artifact of `size` bytes that begins at `from`, out of a 206.
    pub(crate) fn part(
        &self,
        url: &Url,
        mut answer: Answer,
        from: u64,
        size: u64,
        deadline: Instant,
    ) -> Result<ArtifactStream, ContractError> {
        let wanted = format!("bytes {from}-{}/{size}", size.saturating_sub(1));
        let headers = answer.response.headers_mut();
        let told = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        if told != Some(wanted.as_str()) {
            return Err(Self::protocol(url, "it sent another range than asked".to_owned()));
        }
        // Size and checksum of the whole do not fit the part: the whole is proven at its end.
        for name in [crate::header::SIZE, crate::header::CHECKSUM, header::TRAILER] {
            headers.remove(name);
        }
        let pace = Pace { accept_unverified: true, is_part: true, ..self.pace(deadline) };
        let mut part = ArtifactStream::begin(url.as_str(), answer, pace)?;
        part.leave_checksum();
        Ok(part)
    }

    /// Watches a job to its end and opens its artifact.
    pub(crate) async fn follow(
        &self,
        job: &JobAccepted,
        first_wait: Option<Duration>,
        deadline: Instant,
        cancel: CancellationToken,
    ) -> Result<Download, ContractError> {
        let status_url = self.given(&job.status_url)?;
        let opening = async {
            let download = self.given(&job.download)?;
            self.watch(&status_url, first_wait, deadline).await?;
            let answer = self.authorized(&download, Method::GET, None, &[], ANSWER).await?;
            let answer = self.expect(&download, answer, &[StatusCode::OK]).await?;
            let stream = ArtifactStream::begin(download.as_str(), answer, self.pace(deadline))?;
            Ok((stream, download))
        };
        let opened = tokio::select! {
            () = cancel.cancelled() => Err(ContractError::Cancelled),
            opened = opening => opened,
        };
        let (mut stream, download) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.give_up(&status_url).await;
                return Err(error);
            }
        };
        let meta = stream.meta().clone();
        let resume = meta.declared.map(|declared| Resume {
            client: self.clone(),
            url: download,
            declared,
            deadline,
            received: 0,
            hash: ring::digest::Context::new(&ring::digest::SHA256),
            hashes: true,
            cuts: 0,
        });
        if resume.is_some() {
            // What can be cut and resumed is hashed as a whole.
            stream.leave_checksum();
        }
        Ok(Download { meta, stream: Some(stream), resume, outcome: None })
    }

    /// Cancels a job, whether or not it hears: an abandoned one expires by itself.
    pub(crate) async fn give_up(&self, status_url: &Url) {
        let gone = self.authorized(status_url, Method::DELETE, None, &[], ANSWER);
        let _ = tokio::time::timeout(ANSWER, gone).await;
    }

    /// Watches a job to its good end; gives its last words.
    pub(crate) async fn watch(
        &self,
        url: &Url,
        first_wait: Option<Duration>,
        deadline: Instant,
    ) -> Result<Option<String>, ContractError> {
        let (shortest, longest) = self.limits.poll;
        let mut wait = first_wait.unwrap_or(shortest).clamp(shortest, longest);
        let mut failed = 0;
        let what = || format!("the job of {url}");
        let left = deadline.saturating_duration_since(Instant::now());
        within(left, what, async {
            loop {
                tokio::time::sleep(wait).await;
                match self.look(url).await {
                    Ok((status, asked)) => {
                        failed = 0;
                        wait = asked.unwrap_or(shortest).clamp(shortest, longest);
                        let message = || {
                            let text = status.message.clone().unwrap_or_default();
                            let text = text.chars().filter(|c| !c.is_control());
                            text.take(1_000).collect::<String>()
                        };
                        match status.state {
                            JobState::Succeeded => {
                                return Ok(Some(message()).filter(|text| !text.is_empty()));
                            }
                            JobState::Failed => return Err(ContractError::JobFailed(message())),
                            JobState::Cancelled => {
                                let told = "the app cancelled it".to_owned();
                                return Err(ContractError::JobFailed(told));
                            }
                            JobState::Queued | JobState::Running => {}
                        }
                    }
                    Err(error) => {
                        failed += 1;
                        if failed >= MAX_FAILED_POLLS
                            || !(error.is_retryable()
                                || matches!(error, ContractError::Unauthorized { .. }))
                        {
                            return Err(error);
                        }
                    }
                }
            }
        })
        .await
    }

    async fn look(&self, url: &Url) -> Result<(JobStatus, Option<Duration>), ContractError> {
        let answer = self.authorized(url, Method::GET, None, &[], ANSWER).await?;
        let answer = self.expect(url, answer, &[StatusCode::OK]).await?;
        let wait = crate::client::retry_after(&answer);
        Ok((self.json(url, answer).await?, wait))
    }
}
