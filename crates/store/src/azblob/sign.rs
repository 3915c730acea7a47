//! The service's signature ("Shared Key"). The crates that know it bring an implementation of
//! RSA that has an open advisory.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

use crate::StoreError;

/// The version of the protocol that is spoken.
pub(super) const VERSION: &str = "2021-12-02";

/// How requests are allowed.
#[derive(Clone)]
pub(super) enum Pass {
    /// The account's key.
    Key(hmac::Key),
    /// A signature that somebody else made; part of the address.
    Sas(SecretString),
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Sas(_) => "Sas",
        })
    }
}

impl Pass {
    pub(super) fn key(text: &SecretString) -> Result<Self, StoreError> {
        let bytes = BASE64_STANDARD.decode(text.expose_secret().trim());
        match bytes {
            Ok(bytes) if !bytes.is_empty() => {
                Ok(Self::Key(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
            }
            _ => Err(StoreError::config("the account key is not base64: copy all of it")),
        }
    }

    pub(super) fn sas(text: &SecretString) -> Result<Self, StoreError> {
        let token = text.expose_secret().trim().trim_start_matches('?');
        let fits = token.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !fits || !token.split('&').any(|pair| pair.starts_with("sig=")) {
            return Err(StoreError::config(
                "the SAS token is not whole: it is `sv=…&…&sig=…`, without the address",
            ));
        }
        Ok(Self::Sas(token.into()))
    }

    /// Adds what proves that a request may be made.
    pub(super) fn sign(
        &self,
        account: &str,
        now: jiff::Timestamp,
        method: &Method,
        url: &mut Url,
        headers: &mut HeaderMap,
    ) -> Result<(), StoreError> {
        headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        let key = match self {
            Self::Sas(token) => {
                let query = match url.query() {
                    Some(query) if !query.is_empty() => {
                        format!("{query}&{}", token.expose_secret())
                    }
                    _ => token.expose_secret().to_owned(),
                };
                url.set_query(Some(&query));
                return Ok(());
            }
            Self::Key(key) => key,
        };
        let wrong = |error: &dyn std::fmt::Display| StoreError::internal(error.to_string());
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&now)
            .map_err(|error| wrong(&error))?;
        headers.insert("x-ms-date", HeaderValue::from_str(&date).map_err(|error| wrong(&error))?);
        let signed = hmac::sign(key, told(account, method, url, headers).as_bytes());
        let proof = format!("SharedKey {account}:{}", BASE64_STANDARD.encode(signed));
        let mut proof = HeaderValue::from_str(&proof).map_err(|error| wrong(&error))?;
        proof.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, proof);
        Ok(())
    }
}

/// What is signed.
fn told(account: &str, method: &Method, url: &Url, headers: &HeaderMap) -> String {
    let value = |name: HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut lines = vec![method.to_string()];
    lines.extend(
        [
            header::CONTENT_ENCODING,
            header::CONTENT_LANGUAGE,
            header::CONTENT_LENGTH,
            HeaderName::from_static("content-md5"),
            header::CONTENT_TYPE,
            header::DATE,
            header::IF_MODIFIED_SINCE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_UNMODIFIED_SINCE,
            header::RANGE,
        ]
        .map(value),
    );
    if lines[3] == "0" {
        lines[3].clear();
    }
    let mut own: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
        .map(|(name, value)| format!("{name}:{}", value.to_str().unwrap_or_default().trim()))
        .collect();
    own.sort();
    lines.extend(own);
    lines.push(format!("/{account}{}", url.path()));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut query: Vec<_> = url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| format!("{}:{}", decoded(name).to_lowercase(), decoded(value)))
        .collect();
    query.sort();
    lines.extend(query);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_the_service_describes() {
        let url = "https://myaccount.blob.core.windows.net/mycontainer/a%20b\
                   ?restype=container&comp=metadata&marker=x%2Fy";
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        headers.insert("x-ms-date", HeaderValue::from_static("Fri, 26 Jun 2015 23:39:12 GMT"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        let told = told("myaccount", &Method::GET, &url.parse().unwrap(), &headers);
        let expected = "GET\n\n\n\n\n\n\n\n\n\n\nbytes=0-1\n\
                        x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2021-12-02\n\
                        /myaccount/mycontainer/a%20b\ncomp:metadata\nmarker:x/y\nrestype:container";
        assert_eq!(told, expected);
    }

    #[test]
    fn secrets_that_are_not_whole_are_refused() {
        assert!(Pass::key(&"no base64!".into()).is_err());
        assert!(Pass::key(&"".into()).is_err());
        assert!(Pass::key(&"a2V5\n".into()).is_ok());
        assert!(Pass::sas(&"sv=2021-12-02&sp=rwdl".into()).is_err());
        assert!(Pass::sas(&"https://x/?sig=a b".into()).is_err());
        assert!(Pass::sas(&"?sv=2021-12-02&sig=abc%3D".into()).is_ok());
    }
}
