//! Services that take HTTP: one request for one message, and what its answer means.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use reqwest::{Certificate, Client, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::{
    Limits, Message, SendError,
    address::{Judged, refusal},
    text::{CHARS, cut, line},
};

/// How much of an answer is read, in bytes.
const MAX_ANSWER: usize = 16 << 10;
/// How much of what a service says is told, in characters.
const MAX_SAID: usize = 200;
/// A shorter text is no secret that could be found in another.
const MIN_SECRET: usize = 4;
/// The longest wait that a service may ask for.
const MAX_WAIT: Duration = Duration::from_secs(6 * 3_600);

/// One request.
pub(crate) struct Post {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Post {
    pub(crate) fn json(url: &Url, body: &Value) -> Self {
        let media = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media)]);
        Self { url: url.clone(), headers, body: body.to_string().into_bytes() }
    }

    /// With a header whose value nobody may see.
    pub(crate) fn with_secret(mut self, name: HeaderName, value: &str) -> Self {
        // What is in settings was judged when they were read.
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn bearer(self, token: Option<&SecretString>) -> Self {
        match token {
            Some(token) => {
                let value = format!("Bearer {}", token.expose_secret());
                self.with_secret(header::AUTHORIZATION, &value)
            }
            None => self,
        }
    }
}

/// An answer, of which the beginning was read.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON, where it is.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// What a member of the answer says.
    pub(crate) fn member(&self, name: &str) -> Option<String> {
        Some(self.json()[name].as_str()?.to_owned())
    }
}

/// What an answer means to its service.
pub(crate) enum Meaning {
    Taken,
    Later(String),
    Never(String),
    /// Nobody may have got it.
    Unclear,
}

/// How a service wants a message, and what it answers.
pub(crate) trait Service: Send + Sync {
    /// As people know it.
    fn name(&self) -> &'static str;
    /// The request for a message; `now` is when it is sent.
    fn post(&self, message: &Message, now: Timestamp) -> Post;
    /// Whether an answer with a good status says that the message was taken.
    fn meaning(&self, reply: &Reply) -> Meaning;
    /// What an answer with a bad status says.
    fn said(&self, reply: &Reply) -> Option<String>;
    /// When it wants to be asked again, where its answer says so.
    fn wait(&self, _reply: &Reply) -> Option<Duration> {
        None
    }
}

/// A service and the way there.
pub(crate) struct Http {
    client: Client,
    limits: Limits,
    place: String,
    service: Box<dyn Service>,
    secrets: Vec<SecretString>,
}

impl Http {
    /// `place` is where the service is; `secrets` are kept out of everything that is told.
    pub(crate) fn new(
        service: Box<dyn Service>,
        place: &Url,
        certificates: Vec<Certificate>,
        secrets: Vec<SecretString>,
        limits: Limits,
    ) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent("Backup-Orchestrator")
            .dns_resolver(Judged)
            // A proxy would connect to where nobody here has judged.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .tls_certs_merge(certificates)
            .build()
            .map_err(|error| error.to_string())?;
        let place = place.origin().ascii_serialization();
        Ok(Self { client, limits, place, service, secrets })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) async fn send(&self, message: &Message) -> Result<(), SendError> {
        let reply = self.exchange(self.service.post(message, (self.limits.clock)())).await?;
        let place = self.place.clone();
        if !reply.status.is_success() {
            return Err(self.refused(&reply));
        }
        match self.service.meaning(&reply) {
            Meaning::Taken => Ok(()),
            Meaning::Later(said) => Err(SendError::Postponed { place, reason: self.told(&said) }),
            Meaning::Never(said) => Err(SendError::Rejected { place, reason: self.told(&said) }),
            Meaning::Unclear => {
                let (status, kind) = (reply.status.as_u16(), self.service.name());
                Err(SendError::Unexpected { place, status, kind })
            }
        }
    }

    async fn exchange(&self, post: Post) -> Result<Reply, SendError> {
        let request = self.client.post(post.url).headers(post.headers).body(post.body);
        let mut response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(seconds);
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // Its status tells enough.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(self.broken(error)),
            }
        }
        body.truncate(MAX_ANSWER);
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status, retry_after, body })
    }

    fn broken(&self, error: reqwest::Error) -> SendError {
        let place = self.place.clone();
        if let Some(reason) = refusal(&error) {
            return SendError::Refused { place, reason };
        }
        if error.is_timeout() {
            let limit_secs = self.limits.total.as_secs();
            return SendError::Timeout { place, limit_secs };
        }
        // The address may be a secret; it is in the error's text.
        let error = error.without_url();
        SendError::Unreachable { place, reason: self.told(&root(&error)) }
    }

    fn refused(&self, reply: &Reply) -> SendError {
        let (place, status) = (self.place.clone(), reply.status.as_u16());
        let retry_after = self.service.wait(reply).or(reply.retry_after);
        let retry_after = retry_after.map(|wait| wait.min(MAX_WAIT));
        if status == 429 {
            return SendError::Throttled { place, retry_after };
        }
        if matches!(status, 408 | 425) || status >= 500 {
            return SendError::Troubled { place, status, retry_after };
        }
        let advice = match status {
            300..=399 => "it leads elsewhere: give the address that it leads to",
            401 => "the token or password does not match: paste it anew",
            403 => "it is not allowed: check the token and what it may do",
            404 | 410 => "there is no such thing: check the address, and that it still exists",
            413 => "the message is too long",
            _ => "",
        };
        let said = self.service.said(reply).map(|said| self.told(&said));
        let parts = [format!("{status}"), said.unwrap_or_default(), advice.to_owned()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        SendError::Rejected { place, reason: parts.join(", ") }
    }

    /// What somebody else said, on one line, short, and without our secrets.
    fn told(&self, said: &str) -> String {
        cut(&line(&without(&self.secrets, said)), MAX_SAID, CHARS)
    }
}

/// `text` without what it has of `secrets`.
pub(crate) fn without(secrets: &[SecretString], text: &str) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        let secret = secret.expose_secret().trim();
        if secret.len() >= MIN_SECRET {
            text = text.replace(secret, "•••");
        }
    }
    text
}

/// What an error comes from at last: the layers above it only say that it was about a request.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |cause| cause.source());
    all.last().map(ToString::to_string).unwrap_or_default()
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let all = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
    let mut told: Vec<String> = Vec::new();
    for one in all {
        // Some errors repeat their cause.
        if !told.iter().any(|before| before.contains(&one)) {
            told.push(one);
        }
    }
    told.join(": ")
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    Some(Duration::from_secs(value.to_str().ok()?.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_what_others_say() {
        let secrets = ["hush-hush".into(), "ab".into()];
        assert_eq!(without(&secrets, "no bot hush-hush, ab"), "no bot •••, ab");
    }
}
