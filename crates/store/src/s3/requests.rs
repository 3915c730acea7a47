//! Signed requests of our own, for what OpenDAL does not do or takes too lightly.

use std::fmt::{Display, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqsign_aws_v4::{Credential, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};
use ring::digest::{SHA256, digest};
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;

use super::is_full;
use crate::{Limits, S3Config, StoreError, StoreErrorKind, xml};

/// Every byte but the ones that S3's signature leaves as they are.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same, of a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');
/// Longest answer that is read, in bytes. S3 gives 1,000 entries at once.
const MAX_ANSWER: usize = 8 << 20;

/// A bucket, as it is asked.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    http: reqwest::Client,
    signer: Option<Signer<Credential>>,
    /// Of the bucket, without a slash at its end.
    address: String,
    limits: Limits,
}

impl Requests {
    pub(super) fn to(config: &S3Config, region: &str, limits: &Limits) -> Result<Self, StoreError> {
        let http = reqwest::Client::builder()
            .timeout(limits.request)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| StoreError::config(format!("the HTTP client: {error}")))?;
        let pair = config.access_key_id.as_ref().zip(config.secret_access_key.as_ref());
        let signer = pair.map(|(id, secret)| {
            let keys = StaticCredentialProvider::new(id.expose_secret(), secret.expose_secret());
            let keys = match &config.session_token {
                Some(token) => keys.with_session_token(token.expose_secret()),
                None => keys,
            };
            Signer::new(Context::new(), keys, RequestSigner::new("s3", region))
        });
        Ok(Self { http, signer, address: address(config, region), limits: *limits })
    }

    /// Asks for a document whose first element is `root`; any other answer is an error.
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        root: &str,
        query: &[(&str, &str)],
    ) -> Result<T, StoreError> {
        let url = format!("{}/?{}", self.address, joined(query));
        let ask = || async {
            let (status, body) = self.send(Method::GET, &url, None).await?;
            if !status.is_success() {
                return Err(self.refused(status, &body));
            }
            xml::parsed(root, &body).map_err(|how| self.broken(&how))
        };
        self.limits.retried(ask).await
    }

    /// The same, or `None` where the service says that there is no such thing.
    pub(super) async fn document_if_there<T: DeserializeOwned>(
        &self,
        root: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, StoreError> {
        let url = format!("{}/?{}", self.address, joined(query));
        let ask = || async {
            let (status, body) = self.send(Method::GET, &url, None).await?;
            match status {
                StatusCode::NOT_FOUND if !body.contains("<Code>NoSuchBucket</Code>") => Ok(None),
                status if status.is_success() => {
                    xml::parsed(root, &body).map(Some).map_err(|how| self.broken(&how))
                }
                status => Err(self.refused(status, &body)),
            }
        };
        self.limits.retried(ask).await
    }

    /// What the service tells of `key` without its content.
    pub(super) async fn head(&self, key: &str) -> Result<HeaderMap, StoreError> {
        let key = utf8_percent_encode(key, PATH);
        let url = format!("{}/{key}", self.address);
        let ask = || async {
            let (status, headers, body) = self.ask(Method::HEAD, &url, None).await?;
            match status {
                StatusCode::NOT_FOUND => Err(StoreError::new(
                    StoreErrorKind::NotFound,
                    format!("{url}: there is no such object"),
                )),
                status if status.is_success() => Ok(headers),
                status => Err(self.refused(status, &body)),
            }
        };
        self.limits.retried(ask).await
    }

    /// Sends `body` to what `query` says of `key`.
    pub(super) async fn put(
        &self,
        key: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), StoreError> {
        let key = utf8_percent_encode(key, PATH);
        let url = format!("{}/{key}?{}", self.address, joined(query));
        let ask = || async {
            let (status, answer) = self.send(Method::PUT, &url, Some(&body)).await?;
            if status.is_success() { Ok(()) } else { Err(self.refused(status, &answer)) }
        };
        self.limits.retried(ask).await
    }

    /// Deletes `key`, or what `query` says of it. What is gone already is no error.
    pub(super) async fn delete(&self, key: &str, query: &[(&str, &str)]) -> Result<(), StoreError> {
        let key = utf8_percent_encode(key, PATH);
        let url = format!("{}/{key}?{}", self.address, joined(query));
        let ask = || async {
            let (status, body) = self.send(Method::DELETE, &url, None).await?;
            if status.is_success() || status == StatusCode::NOT_FOUND {
                return Ok(());
            }
            Err(self.refused(status, &body))
        };
        self.limits.retried(ask).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&[u8]>,
    ) -> Result<(StatusCode, String), StoreError> {
        let (status, _, answer) = self.ask(method, url, body).await?;
        Ok((status, answer))
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Option<&[u8]>,
    ) -> Result<(StatusCode, HeaderMap, String), StoreError> {
        let mut request = http::Request::builder().method(method).uri(url);
        if let Some(body) = body {
            // What the service wants of requests that it must not take damaged.
            let sha256 = digest(&SHA256, body);
            let hex = sha256.as_ref().iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            request = request
                .header("content-md5", BASE64_STANDARD.encode(md5::compute(body).0))
                .header("content-type", "application/xml")
                .header("x-amz-content-sha256", hex);
        }
        let request = request.body(body.unwrap_or_default().to_vec());
        let (mut parts, body) = request
            .map_err(|error| StoreError::config(format!("{}: {error}", self.address)))?
            .into_parts();
        if let Some(signer) = &self.signer {
            signer.sign(&mut parts, None).await.map_err(|error| self.broken(&error))?;
        }
        // The client sets its own.
        parts.headers.remove(http::header::HOST);
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
            .map_err(|error| self.broken(&error.without_url()))?;
        let sent = self.http.execute(request).await;
        let mut answer = sent.map_err(|error| self.broken(&error.without_url()))?;
        let headers = answer.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| self.broken(&error.without_url()))?
        {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.broken(&"the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((answer.status(), headers, String::from_utf8_lossy(&body).into_owned()))
    }

    fn broken(&self, how: &dyn Display) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{}: {how}", self.address))
    }

    fn refused(&self, status: StatusCode, body: &str) -> StoreError {
        let said: String = body.chars().filter(|c| !c.is_control()).take(300).collect();
        let kind = match status.as_u16() {
            507 => StoreErrorKind::Full,
            _ if is_full(body) => StoreErrorKind::Full,
            401 | 403 => StoreErrorKind::PermissionDenied,
            429 => StoreErrorKind::Throttled,
            _ if body.contains("<Code>SlowDown</Code>") => StoreErrorKind::Throttled,
            300..=404 | 405 | 501 => StoreErrorKind::Config,
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, format!("{}: the service answered {status}: {said}", self.address))
    }
}

fn joined(query: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)))
        .collect();
    pairs.join("&")
}

/// Address of the bucket, as OpenDAL builds it.
fn address(config: &S3Config, region: &str) -> String {
    let endpoint = match config.endpoint.as_deref() {
        None | Some("https://s3.amazonaws.com" | "s3.amazonaws.com") => {
            format!("https://s3.{region}.amazonaws.com")
        }
        Some(endpoint) if endpoint.starts_with("http") => endpoint.to_owned(),
        Some(host) => format!("https://{host}"),
    };
    let bucket = &config.bucket;
    let endpoint = endpoint.trim_end_matches('/').replacen(&format!("//{bucket}."), "//", 1);
    if config.path_style {
        return format!("{endpoint}/{bucket}");
    }
    endpoint.replacen("//", &format!("//{bucket}."), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_bucket() {
        let at = |endpoint: Option<&str>, path_style| {
            let config = S3Config {
                bucket: "b".to_owned(),
                endpoint: endpoint.map(str::to_owned),
                path_style,
                ..S3Config::default()
            };
            address(&config, "eu-central-1")
        };
        assert_eq!(at(None, true), "https://s3.eu-central-1.amazonaws.com/b");
        assert_eq!(at(None, false), "https://b.s3.eu-central-1.amazonaws.com");
        assert_eq!(at(Some("http://h:9000/"), true), "http://h:9000/b");
        assert_eq!(at(Some("h.example"), false), "https://b.h.example");
        assert_eq!(at(Some("https://b.h.example"), false), "https://b.h.example");
    }
}
