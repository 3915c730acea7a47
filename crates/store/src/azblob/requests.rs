//! Requests to a container, tried again where that may help.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;

use super::{AzblobConfig, sign::Pass};
use crate::{Limits, StoreError, StoreErrorKind, xml};

/// Every byte but the ones that need no escape.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same, of a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');
/// Longest answer that is read, in bytes. The service gives 5,000 entries at once.
const MAX_ANSWER: usize = 16 << 20;

/// A container, as it is asked.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    http: reqwest::Client,
    pass: Pass,
    account: String,
    /// Of the container, without a slash at its end.
    address: String,
    limits: Limits,
}

/// One request.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// In the container; none for the container itself.
    pub(super) name: Option<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<Bytes>,
}

impl Ask {
    pub(super) fn of(method: Method, name: &str) -> Self {
        Self { method, name: Some(name.to_owned()), ..Self::default() }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl Requests {
    pub(super) fn to(config: &AzblobConfig, limits: Limits) -> Result<Self, StoreError> {
        let pass = match (&config.account_key, &config.sas_token) {
            (Some(key), None) => Pass::key(key)?,
            (None, Some(token)) => Pass::sas(token)?,
            _ => return Err(StoreError::config("give either the account key or a SAS token")),
        };
        let account = &config.account;
        let is_plain = |text: &str, more: &str| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            (3..=63).contains(&text.len()) && text.chars().all(fits)
        };
        if !is_plain(account, "") || account.len() > 24 {
            return Err(StoreError::config(
                "a storage account's name has 3 to 24 small letters and digits",
            ));
        }
        if !is_plain(&config.container, "-") {
            return Err(StoreError::config(
                "a container's name has 3 to 63 small letters, digits and dashes",
            ));
        }
        let endpoint = match config.endpoint.as_deref() {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{account}.blob.core.windows.net"),
        };
        let url = Url::parse(&endpoint)
            .map_err(|error| StoreError::config(format!("the endpoint: {error}")))?;
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || !matches!(url.scheme(), "http" | "https") {
            return Err(StoreError::config(
                "the endpoint is `https://host`, without keys and without a question mark",
            ));
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits.request)
            .build()
            .map_err(|error| StoreError::config(format!("the HTTP client: {error}")))?;
        Ok(Self {
            http,
            pass,
            account: account.clone(),
            address: format!("{endpoint}/{}", config.container),
            limits,
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks until it is answered with success, or with an error that will stay.
    pub(super) async fn done(&self, ask: &Ask) -> Result<Response, StoreError> {
        self.limits.retried(|| self.once(ask)).await
    }

    /// Asks for a document whose first element is `root`; any other answer is an error.
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        root: &str,
        ask: &Ask,
    ) -> Result<T, StoreError> {
        self.limits
            .retried(|| async {
                let mut answer = self.once(ask).await?;
                let body = self.body(&mut answer).await?;
                xml::parsed(root, &body).map_err(|how| self.broken(&how))
            })
            .await
    }

    /// Asks once. What is no success is an error; the body is still to be read.
    pub(super) async fn once(&self, ask: &Ask) -> Result<Response, StoreError> {
        let mut address = self.address.clone();
        if let Some(name) = &ask.name {
            address = format!("{address}/{}", utf8_percent_encode(name, PATH));
        }
        let mut url = Url::parse(&address).map_err(|error| self.broken(&error))?;
        if !ask.query.is_empty() {
            let pairs: Vec<_> = ask
                .query
                .iter()
                .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)))
                .collect();
            url.set_query(Some(&pairs.join("&")));
        }
        let mut headers = ask.headers.clone();
        let count: usize = ask.body.iter().map(Bytes::len).sum();
        if ask.method == Method::PUT {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
        }
        let now = jiff::Timestamp::now();
        self.pass.sign(&self.account, now, &ask.method, &mut url, &mut headers)?;
        let mut request = reqwest::Request::new(ask.method.clone(), url);
        *request.headers_mut() = headers;
        if count > 0 {
            let pieces = ask.body.clone().into_iter().map(Ok::<_, std::convert::Infallible>);
            *request.body_mut() = Some(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
        }
        let limit = if count > 0 { self.limits.part } else { self.limits.request };
        let sent = tokio::time::timeout(limit, self.http.execute(request)).await;
        let mut answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.lost(error)),
            Err(_) => return Err(self.silent()),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
        let code = code.unwrap_or_default().to_owned();
        let body = self.body(&mut answer).await.unwrap_or_default();
        Err(self.refused(answer.status(), &code, &body))
    }

    async fn body(&self, answer: &mut Response) -> Result<String, StoreError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(answer).await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.broken(&"the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|error| self.broken(&error))
    }

    /// The next bytes of an answer.
    pub(super) async fn chunk(&self, answer: &mut Response) -> Result<Option<Bytes>, StoreError> {
        match tokio::time::timeout(self.limits.request, answer.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.lost(error)),
            Err(_) => Err(self.silent()),
        }
    }

    pub(super) fn broken(&self, how: &dyn Display) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{}: {how}", self.address))
    }

    fn silent(&self) -> StoreError {
        let what = format!("{}: the service did not answer", self.address);
        StoreError::new(StoreErrorKind::Timeout, what)
    }

    /// The request's own address may hold a signature.
    fn lost(&self, error: reqwest::Error) -> StoreError {
        let error = error.without_url();
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            said = format!("{said}: {deeper}");
            cause = deeper.source();
        }
        self.broken(&said)
    }

    fn refused(&self, status: StatusCode, code: &str, body: &str) -> StoreError {
        // The first line: what follows are ids and times of the request.
        let said = body.split("<Message>").nth(1).unwrap_or(body).lines().next().unwrap_or("");
        let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
        let said = said.split("</Message>").next().unwrap_or_default();
        let what = format!("{}: the service answered {status} {code}: {said}", self.address);
        StoreError::new(kind_of(status.as_u16(), code), what)
    }
}

/// What an answer of the service means.
fn kind_of(status: u16, code: &str) -> StoreErrorKind {
    use StoreErrorKind as K;
    match (status, code) {
        (_, "ContainerNotFound" | "ContainerDisabled" | "InvalidResourceName") => K::Config,
        // Blocks of ours that are not there any more: another finished the same name.
        (_, "InvalidBlockList" | "InvalidBlobOrBlock") => K::Unavailable,
        (_, "ServerBusy" | "OperationTimedOut") => K::Throttled,
        (_, "BlobImmutableDueToPolicy" | "SnapshotsPresent" | "AccountIsDisabled") => {
            K::PermissionDenied
        }
        (_, code) if code.contains("Lease") => K::PermissionDenied,
        (_, code) if code.contains("Quota") || code.contains("InsufficientStorage") => K::Full,
        (507, _) => K::Full,
        (404, _) => K::NotFound,
        (_, "BlobAlreadyExists" | "ConditionNotMet" | "TargetConditionNotMet") => K::AlreadyExists,
        (401 | 403, _) => K::PermissionDenied,
        (429, _) => K::Throttled,
        (408, _) => K::Timeout,
        (300..=399 | 400 | 405 | 411..=416 | 501, _) => K::Config,
        _ => K::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        use StoreErrorKind as K;
        for (status, code, kind) in [
            (404, "ContainerNotFound", K::Config),
            (404, "BlobNotFound", K::NotFound),
            (404, "", K::NotFound),
            (409, "BlobAlreadyExists", K::AlreadyExists),
            (412, "ConditionNotMet", K::AlreadyExists),
            (412, "LeaseIdMissing", K::PermissionDenied),
            (409, "BlobImmutableDueToPolicy", K::PermissionDenied),
            (403, "AuthenticationFailed", K::PermissionDenied),
            (503, "ServerBusy", K::Throttled),
            (429, "", K::Throttled),
            (507, "", K::Full),
            (400, "InvalidBlockList", K::Unavailable),
            (400, "InvalidQueryParameterValue", K::Config),
            (500, "InternalError", K::Unavailable),
        ] {
            assert_eq!(kind_of(status, code), kind, "{status} {code}");
        }
    }
}
