//! The conformance checker: what the contract asks of a server, asked of a running one.
//!
//! It exports for real, several times, and keeps nothing of what comes. It imports nothing: where
//! the server takes artifacts back, it is only given what it has to refuse.

mod access;
mod exports;
mod import;
mod jobs;
mod load;
mod refusals;
mod report;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode};
use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use crate::{
    ArtifactStream, Capabilities, ContractClient, ContractError, Limits, NetPolicy, Problem,
    connect::Answer,
};
pub use report::{Check, CheckReport, CheckState};
use report::{Finding, Reporter};

/// Longest wait for the answer to anything but an export.
const ANSWER: Duration = Duration::from_secs(30);

/// Asks a server for everything that the contract tells of it.
#[derive(Debug, Clone)]
pub struct Checker {
    client: ContractClient,
    /// How long a server may take to be free again.
    settle: Duration,
}

impl From<ContractClient> for Checker {
    fn from(mut client: ContractClient) -> Self {
        client.limits.accept_unverified = false;
        Self { client, settle: Duration::from_secs(30) }
    }
}

impl Checker {
    /// A checker of the server at `base`. Every export has the bounds of `limits`.
    pub fn new(
        base: Url,
        token: SecretString,
        policy: NetPolicy,
        limits: Limits,
    ) -> Result<Self, ContractError> {
        ContractClient::new(base, token, policy, limits).map(Self::from)
    }

    /// How long a server may need to be free again after an export was cut; 30 s at first.
    #[must_use]
    pub fn with_settle_time(self, settle: Duration) -> Self {
        Self { settle, ..self }
    }

    /// Runs every check, one after the other.
    pub async fn run(&self) -> CheckReport {
        let mut report = Reporter::new(self);
        let alive = access::health(self).await;
        let reached = alive.is_ok();
        report.add("health", alive);
        if !reached
            && let Err(error) = self.client.capabilities().await
            && matches!(error, ContractError::Unreachable { .. } | ContractError::Refused { .. })
        {
            report.skip_rest("the server cannot be reached");
            return report.finish();
        }
        report.add("token-missing", access::token_missing(self).await);
        report.add("token-wrong", access::token_wrong(self).await);
        let (capabilities, finding) = access::capabilities(self).await;
        report.add("capabilities", finding);
        report.add("not-found", refusals::not_found(self).await);
        report.add("method-not-allowed", refusals::method_not_allowed(self).await);
        report.add("unusable-request", refusals::unusable_request(self).await);
        let Some(capabilities) = capabilities else {
            report.skip_rest("without capabilities nothing is exported");
            return report.finish();
        };
        exports::all(self, &capabilities, &mut report).await;
        jobs::all(self, &capabilities, &mut report).await;
        report.add("concurrent-exports", load::concurrent(self).await);
        report.add("abort", load::abort(self).await);
        import::all(self, &capabilities, &mut report).await;
        report.finish()
    }

    /// One request with the token.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        headers: &[(HeaderName, String)],
    ) -> Result<(Url, Answer), ContractError> {
        let url = self.client.at(path)?;
        let answer = self.client.authorized(&url, method, body, headers, ANSWER).await?;
        Ok((url, answer))
    }

    /// Asks for an export, again where the server is still busy with the one before.
    async fn export(&self, body: Option<&str>) -> Result<(Url, Answer), ContractError> {
        let url = self.client.at("backup/export")?;
        let until = Instant::now() + self.settle;
        loop {
            let body = body.map(|text| Bytes::copy_from_slice(text.as_bytes()));
            let wait = self.client.limits.total_timeout;
            let answer = self.client.authorized(&url, Method::POST, body, &[], wait).await?;
            if !is_busy(answer.response.status()) || Instant::now() >= until {
                return Ok((url, answer));
            }
            drop(answer);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn stream(&self, url: &Url, answer: Answer) -> Result<ArtifactStream, ContractError> {
        let deadline = Instant::now() + self.client.limits.total_timeout;
        ArtifactStream::begin(url.as_str(), answer, self.client.pace(deadline))
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// Reads a stream to its end; gives how many bytes came.
async fn drain(stream: &mut ArtifactStream) -> Result<u64, ContractError> {
    while stream.chunk().await?.is_some() {}
    Ok(stream.received_bytes())
}

/// Whether an error's body is a problem document of this status. No body is none either.
async fn problem(
    checker: &Checker,
    url: &Url,
    answer: Answer,
    needed: bool,
) -> Result<String, Finding> {
    let status = answer.response.status();
    let media = answer.response.headers().get(http::header::CONTENT_TYPE);
    let media = media.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let advice = "send error bodies as application/problem+json (RFC 9457): {\"title\": …, \
                  \"status\": …, \"detail\": …}";
    let body = checker.client.bytes(url, answer).await?;
    if body.is_empty() {
        return if needed {
            Err(Finding::failed(format!("{status} came without a body"), advice))
        } else {
            Ok(format!("{status}, no body"))
        };
    }
    if media.split(';').next() != Some("application/problem+json") {
        return Err(Finding::failed(format!("the body of {status} is `{media}`"), advice));
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if problem.status == 0 || problem.status == status.as_u16() => {
            Ok(format!("{status}, a problem document"))
        }
        Ok(problem) => {
            let told = format!("{status}, but the document says {}", problem.status);
            Err(Finding::failed(told, advice))
        }
        Err(error) => Err(Finding::failed(format!("the body of {status}: {error}"), advice)),
    }
}

/// The types that an export may be asked for, as a request's member.
fn request(capabilities: &Capabilities, rest: serde_json::Value) -> String {
    let mut members = serde_json::Map::new();
    if let Some(first) = capabilities.types.first() {
        members.insert("type".to_owned(), first.as_str().into());
    }
    if let serde_json::Value::Object(rest) = rest {
        members.extend(rest);
    }
    serde_json::Value::Object(members).to_string()
}
