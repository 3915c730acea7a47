//! The client: capabilities, health, exports.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    ArtifactStream, Capabilities, ContractError, Download, ExportRequest, JobAccepted, NetPolicy,
    Problem,
    artifact::Pace,
    connect::{self, Answer, within},
    wire,
};

/// Largest JSON body, in bytes.
const MAX_JSON: usize = 256 << 10;
/// Longest wait for the head of anything but an export.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

/// Bounds of a client.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection.
    pub connect_timeout: Duration,
    /// Longest silence while bytes come.
    pub idle_timeout: Duration,
    /// For a whole export, jobs and waits included.
    pub total_timeout: Duration,
    /// Largest export, in bytes.
    pub max_size_bytes: u64,
    /// Slowest bearable rate, in bytes a second.
    pub min_bytes_per_sec: u64,
    /// How long an export may be slower than that before it is given up.
    pub min_rate_after: Duration,
    /// Accept an export with neither size nor checksum.
    pub accept_unverified: bool,
    /// Shortest and longest wait between two looks at a job.
    pub poll: (Duration, Duration),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(900),
            max_size_bytes: 20_480 << 20,
            min_bytes_per_sec: 100,
            min_rate_after: Duration::from_secs(120),
            accept_unverified: false,
            poll: (Duration::from_secs(1), Duration::from_secs(300)),
        }
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct ContractClient {
    base: Url,
    token: SecretString,
    previous_token: Option<SecretString>,
    pub(crate) policy: NetPolicy,
    pub(crate) limits: Limits,
}

impl ContractClient {
    /// A client of the server at `base`.
    pub fn new(
        base: Url,
        token: SecretString,
        policy: NetPolicy,
        limits: Limits,
    ) -> Result<Self, ContractError> {
        policy
            .check_url(&base)
            .map_err(|source| ContractError::Refused { url: presentable(&base), source })?;
        Ok(Self { base, token, previous_token: None, policy, limits })
    }

    /// Also tries `token`, once, where the present one is refused: a rotation may have reached
    /// only one side.
    #[must_use]
    pub fn with_previous_token(self, token: SecretString) -> Self {
        Self { previous_token: Some(token), ..self }
    }

    /// `GET /healthz`.
    pub async fn health(&self) -> Result<(), ContractError> {
        let asked = async {
            let url = self.at("healthz")?;
            let answer = self.request(&url, Method::GET, None, None, &[], ANSWER).await?;
            self.expect(&url, answer, &[StatusCode::OK, StatusCode::NO_CONTENT]).await.map(drop)
        };
        asked.await.map_err(|error| self.redacted(error))
    }

    /// `GET /backup/capabilities`.
    pub async fn capabilities(&self) -> Result<Capabilities, ContractError> {
        self.ask_capabilities().await.map_err(|error| self.redacted(error))
    }

    async fn ask_capabilities(&self) -> Result<Capabilities, ContractError> {
        let url = self.at("backup/capabilities")?;
        let answer = self.authorized(&url, Method::GET, None, &[], ANSWER).await?;
        self.read_capabilities(&url, answer).await
    }

    /// The capabilities, and the token that they were told to: what cannot be sent twice goes with
    /// that.
    pub(crate) async fn capabilities_and_token(
        &self,
    ) -> Result<(Capabilities, &SecretString), ContractError> {
        let url = self.at("backup/capabilities")?;
        let first = self.request(&url, Method::GET, None, Some(&self.token), &[], ANSWER).await?;
        match &self.previous_token {
            Some(previous) if first.response.status() == StatusCode::UNAUTHORIZED => {
                let answer =
                    self.request(&url, Method::GET, None, Some(previous), &[], ANSWER).await?;
                Ok((self.read_capabilities(&url, answer).await?, previous))
            }
            _ => Ok((self.read_capabilities(&url, first).await?, &self.token)),
        }
    }

    async fn read_capabilities(
        &self,
        url: &Url,
        answer: Answer,
    ) -> Result<Capabilities, ContractError> {
        let answer = self.expect(url, answer, &[StatusCode::OK]).await?;
        let found: Capabilities = self.json(url, answer).await?;
        if found.version == wire::VERSION {
            Ok(found)
        } else {
            Err(Self::protocol(url, format!("version `{}`, this is `v1`", found.version)))
        }
    }

    /// `POST /backup/export`, and what follows from it: a stream at once, or a job that is
    /// watched to its end and downloaded. Cancelling also cancels the job.
    pub async fn open(
        &self,
        request: &ExportRequest,
        cancel: CancellationToken,
    ) -> Result<Download, ContractError> {
        self.ask_export(request, cancel).await.map_err(|error| self.redacted(error))
    }

    async fn ask_export(
        &self,
        request: &ExportRequest,
        cancel: CancellationToken,
    ) -> Result<Download, ContractError> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let url = self.at("backup/export")?;
        let body =
            serde_json::to_vec(request).map_err(|error| Self::protocol(&url, error.to_string()))?;
        let wait = self.limits.total_timeout;
        // An app that spools first may think for long before it answers.
        let asked = self.authorized(&url, Method::POST, Some(body.into()), &[], wait);
        let answer = tokio::select! {
            () = cancel.cancelled() => return Err(ContractError::Cancelled),
            answer = asked => answer?,
        };
        let answer = self.expect(&url, answer, &[StatusCode::OK, StatusCode::ACCEPTED]).await?;
        if answer.response.status() == StatusCode::OK {
            let stream = ArtifactStream::begin(url.as_str(), answer, self.pace(deadline))?;
            return Ok(Download::direct(stream));
        }
        let retry_after = retry_after(&answer);
        let accepted: JobAccepted = self.json(&url, answer).await?;
        self.follow(&accepted, retry_after, deadline, cancel).await
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    pub(crate) fn token(&self) -> &SecretString {
        &self.token
    }

    /// `text` without the tokens: a server may say back what it was sent.
    pub(crate) fn redact(&self, text: &str) -> String {
        std::iter::once(&self.token)
            .chain(&self.previous_token)
            .map(secrecy::ExposeSecret::expose_secret)
            .filter(|token| !token.is_empty())
            .fold(text.to_owned(), |text, token| text.replace(token, "[token]"))
    }

    pub(crate) fn redacted(&self, error: ContractError) -> ContractError {
        error.map_text(|text| self.redact(&text))
    }

    pub(crate) fn pace(&self, deadline: Instant) -> Pace {
        Pace {
            idle: self.limits.idle_timeout,
            deadline,
            total: self.limits.total_timeout,
            min_bytes_per_sec: self.limits.min_bytes_per_sec,
            rate_after: self.limits.min_rate_after,
            max_size_bytes: self.limits.max_size_bytes,
            accept_unverified: self.limits.accept_unverified,
            is_part: false,
        }
    }

    /// `path` below the base address.
    pub(crate) fn at(&self, path: &str) -> Result<Url, ContractError> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}"))
            .map_err(|error| Self::protocol(&self.base, error.to_string()))
    }

    /// A URL that the server gave: an absolute path or of the same origin, nothing else.
    pub(crate) fn given(&self, text: &str) -> Result<Url, ContractError> {
        let foreign = || Self::protocol(&self.base, "it gave a URL of another origin".to_owned());
        let url = if text.starts_with('/') && !text.starts_with("//") {
            self.base.join(text).map_err(|_| foreign())?
        } else {
            Url::parse(text).map_err(|_| foreign())?
        };
        let same = url.origin() == self.base.origin()
            && url.username().is_empty()
            && url.password().is_none();
        if same { Ok(url) } else { Err(foreign()) }
    }

    /// Sends a request with the token, and once more with the previous one after a 401.
    pub(crate) async fn authorized(
        &self,
        url: &Url,
        method: Method,
        body: Option<Bytes>,
        headers: &[(header::HeaderName, String)],
        wait: Duration,
    ) -> Result<Answer, ContractError> {
        let first = self
            .request(url, method.clone(), body.clone(), Some(&self.token), headers, wait)
            .await?;
        match &self.previous_token {
            Some(previous) if first.response.status() == StatusCode::UNAUTHORIZED => {
                self.request(url, method, body, Some(previous), headers, wait).await
            }
            _ => Ok(first),
        }
    }

    pub(crate) async fn request(
        &self,
        url: &Url,
        method: Method,
        body: Option<Bytes>,
        token: Option<&SecretString>,
        headers: &[(header::HeaderName, String)],
        wait: Duration,
    ) -> Result<Answer, ContractError> {
        let content_type = body.is_some().then_some("application/json");
        let request = self
            .head(url, method, content_type, token, headers)?
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| Self::protocol(url, error.to_string()))?;
        connect::send(url, &self.policy, request, self.limits.connect_timeout, wait).await
    }

    /// A request but for its body.
    pub(crate) fn head(
        &self,
        url: &Url,
        method: Method,
        content_type: Option<&str>,
        token: Option<&SecretString>,
        headers: &[(header::HeaderName, String)],
    ) -> Result<http::request::Builder, ContractError> {
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::TE, "trailers")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close, TE");
        if let Some(content_type) = content_type {
            builder = builder.header(header::CONTENT_TYPE, content_type);
        }
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        if let Some(token) = token {
            let text = format!("Bearer {}", token.expose_secret());
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                Self::protocol(url, "the token has characters that no header can carry".to_owned())
            })?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        Ok(builder)
    }

    /// Turns every status but those in `wanted` into its error.
    pub(crate) async fn expect(
        &self,
        url: &Url,
        answer: Answer,
        wanted: &[StatusCode],
    ) -> Result<Answer, ContractError> {
        let status = answer.response.status();
        if wanted.contains(&status) {
            return Ok(answer);
        }
        let at = url.to_string();
        if status.is_redirection() {
            return Err(Self::protocol(
                url,
                format!("it redirects ({status}); that is not followed"),
            ));
        }
        match status {
            StatusCode::UNAUTHORIZED => Err(ContractError::Unauthorized { url: at }),
            StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE => Err(ContractError::Busy {
                url: at,
                status: status.as_u16(),
                retry_after_secs: retry_after(&answer).map(|wait| wait.as_secs()),
            }),
            _ => {
                let problem: Option<Problem> = self.json(url, answer).await.ok();
                let detail = problem.and_then(|problem| {
                    let text = problem.detail.unwrap_or(problem.title);
                    let text: String =
                        text.chars().filter(|c| !c.is_control()).take(1_000).collect();
                    (!text.is_empty()).then_some(text)
                });
                Err(ContractError::Status { url: at, status: status.as_u16(), detail })
            }
        }
    }

    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        url: &Url,
        answer: Answer,
    ) -> Result<T, ContractError> {
        let bytes = self.bytes(url, answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| Self::protocol(url, error.to_string()))
    }

    /// A whole body, which is never an artifact.
    pub(crate) async fn bytes(&self, url: &Url, answer: Answer) -> Result<Bytes, ContractError> {
        let Answer { response, connection: _open } = answer;
        let body = Limited::new(response.into_body(), MAX_JSON);
        let read =
            async { body.collect().await.map_err(|error| Self::protocol(url, error.to_string())) };
        let read = within(ANSWER, || format!("reading the answer of {url}"), read).await?;
        Ok(read.to_bytes())
    }

    pub(crate) fn protocol(url: &Url, reason: String) -> ContractError {
        ContractError::Protocol { url: url.to_string(), reason }
    }
}

/// A URL without the parts in which people write secrets.
fn presentable(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// `Retry-After` in seconds, within what is sensible.
pub(crate) fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let secs: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(secs.clamp(1, 300)))
}
