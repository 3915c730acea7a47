//! What stores that are spoken to by HTTP share: an address, credentials, errors.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::{Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::SecretString;

use crate::{ByteStream, StoreError, StoreErrorKind};

/// Every byte of a path but the ones that need no escape.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// How long it may take to connect.
const CONNECTING: Duration = Duration::from_secs(20);

/// A user name and a password, where there are any.
pub(crate) type Login<'a> = (Option<&'a str>, Option<&'a SecretString>);

/// A place on a server.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    http: Client,
    /// Scheme, host and port.
    origin: String,
    /// Decoded path of the place, without slashes around it.
    pub(crate) base: String,
    username: Option<String>,
    password: Option<SecretString>,
}

impl Site {
    /// Checks the address, which `whose` tells of. No request is made.
    pub(crate) fn open(whose: &str, url: &str, login: Login<'_>) -> Result<Self, StoreError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |how: &str| StoreError::config(format!("the {whose} address {how}"));
        let url = reqwest::Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has a user or password in it: give them apart"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must end with its path"));
        }
        let base = percent_encoding::percent_decode_str(url.path())
            .decode_utf8()
            .map_err(|error| wrong(&error.to_string()))?
            .trim_matches('/')
            .to_owned();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECTING)
            .build()
            .map_err(|error| StoreError::config(format!("the HTTP client: {error}")))?;
        let (username, password) = login;
        Ok(Self {
            http,
            origin: url.origin().ascii_serialization(),
            base,
            username: username.map(str::to_owned),
            password: password.cloned(),
        })
    }

    /// Where it is, for people.
    pub(crate) fn location(&self) -> String {
        format!("{}/{}", self.origin, self.base)
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}/{}", self.origin, utf8_percent_encode(path, PATH))
    }

    /// A request to a decoded path of the server.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.address(path));
        match (&self.username, &self.password) {
            (None, None) => request,
            (user, password) => request.basic_auth(
                user.as_deref().unwrap_or_default(),
                password.as_ref().map(secrecy::ExposeSecret::expose_secret),
            ),
        }
    }

    pub(crate) async fn sent(
        &self,
        what: &str,
        request: RequestBuilder,
    ) -> Result<Response, StoreError> {
        request.send().await.map_err(|error| self.broken(what, error))
    }

    /// The answer's body, of at most `most` bytes.
    pub(crate) async fn body(
        &self,
        what: &str,
        mut response: Response,
        most: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(what, error))? {
            if body.len() + chunk.len() > most {
                return Err(self.unclear(what, "the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(crate) fn broken(&self, what: &str, error: reqwest::Error) -> StoreError {
        let error = error.without_url();
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            said = format!("{said}: {deeper}");
            cause = deeper.source();
        }
        let kind =
            if error.is_timeout() { StoreErrorKind::Timeout } else { StoreErrorKind::Unavailable };
        StoreError::new(kind, format!("{}: {what}: {said}", self.location()))
    }

    pub(crate) fn refused(&self, what: &str, status: StatusCode) -> StoreError {
        let kind = match status.as_u16() {
            401 | 403 | 407 => StoreErrorKind::PermissionDenied,
            404 | 410 => StoreErrorKind::NotFound,
            412 => StoreErrorKind::AlreadyExists,
            413 | 507 => StoreErrorKind::Full,
            423 | 429 => StoreErrorKind::Throttled,
            300..=399 | 400 | 405 | 411 | 414 | 415 | 501 => StoreErrorKind::Config,
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, format!("{}: {what}: the server said {status}", self.location()))
    }

    pub(crate) fn unclear(&self, what: &str, how: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{}: {what}: {how}", self.location()))
    }
}

/// When what an answer is about was last changed, where it says so.
pub(crate) fn modified_at(response: &Response) -> Option<std::time::SystemTime> {
    let text = response.headers().get(header::LAST_MODIFIED)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|at| at.timestamp().into())
}

/// Exactly `left` bytes of an answer; more or fewer are an error.
pub(crate) fn stream(site: Site, what: String, response: Response, left: u64) -> ByteStream {
    let state = (site, response, what, left);
    stream::try_unfold(state, |(site, mut response, what, left)| async move {
        match response.chunk().await.map_err(|error| site.broken(&what, error))? {
            Some(chunk) => match left.checked_sub(chunk.len() as u64) {
                Some(left) => Ok(Some((chunk, (site, response, what, left)))),
                None => Err(site.unclear(&what, "more came than the object has")),
            },
            None if left == 0 => Ok(None),
            None => Err(site.unclear(&what, "it ended early")),
        }
    })
    .boxed()
}
