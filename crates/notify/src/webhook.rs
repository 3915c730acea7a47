//! JSON to an address of one's own, signed as [Standard Webhooks](https://www.standardwebhooks.com)
//! are, for which there are libraries in many languages.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use crate::{
    Message, Wrong,
    http::{Meaning, Post, Reply, Service},
    settings::Given,
    text::{CHARS, cut},
};

/// Longest body of a message, in characters.
const MAX_BODY: usize = 16_000;
/// Where the token goes in the address, for services that want it there.
const PLACEHOLDER: &str = "{token}";
/// The shortest key that a signature is worth something with, in bytes.
const MIN_KEY: usize = 16;

/// Headers that are ours or the connection's.
const TAKEN: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

pub(crate) struct Webhook {
    url: Url,
    bearer: Option<SecretString>,
    key: Option<hmac::Key>,
    headers: HeaderMap,
}

impl Webhook {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let token = given.header_secret("token");
        let key = key(given);
        let headers = headers(given);
        let place = given.url("url")?;
        // As it was written: parsing escapes the braces in a path.
        let written = given.text("url")?;
        let (url, bearer) = match (token, written.contains(PLACEHOLDER)) {
            (token, false) => (place.clone(), token),
            (Some(token), true) => {
                let token: String =
                    url::form_urlencoded::byte_serialize(token.expose_secret().as_bytes())
                        .collect();
                (Url::parse(&written.replace(PLACEHOLDER, &token)).ok()?, None)
            }
            (None, true) => {
                given.wrong("token", Wrong::TokenPlace);
                return None;
            }
        };
        if url.origin() != place.origin() {
            given.wrong("url", Wrong::TokenBeforePath);
        }
        Some((Box::new(Self { url, bearer, key, headers }), place))
    }
}

/// `whsec_` and Base64 as other senders give it, or any text that is long enough.
fn key(given: &mut Given<'_>) -> Option<hmac::Key> {
    let secret = given.secret("secret")?.expose_secret().trim();
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    };
    match bytes {
        Some(bytes) if bytes.len() >= MIN_KEY => Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        Some(_) => {
            given.wrong("secret", Wrong::KeyShort(MIN_KEY));
            None
        }
        None => {
            given.wrong("secret", Wrong::KeyCoding);
            None
        }
    }
}

fn headers(given: &mut Given<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(text) = given.secret("headers") else { return headers };
    for written in text.expose_secret().lines().filter(|line| !line.trim().is_empty()) {
        let read = written.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        match read {
            Some((name, _)) if TAKEN.contains(&name.as_str()) => {
                given.wrong("headers", Wrong::HeaderTaken(name.to_string()));
            }
            Some((name, value)) => {
                headers.insert(name, value);
            }
            None => given.wrong("headers", Wrong::HeaderLines),
        }
    }
    headers
}

impl Service for Webhook {
    fn name(&self) -> &'static str {
        "a webhook"
    }

    fn post(&self, message: &Message, now: Timestamp) -> Post {
        let facts: Vec<_> = message
            .facts
            .iter()
            .map(|(label, value)| json!({ "label": label, "value": value }))
            .collect();
        let body = json!({
            "id": message.id,
            "level": message.level,
            "title": message.title,
            "body": cut(&message.body, MAX_BODY, CHARS),
            "facts": facts,
            "link": message.link,
            "at": message.at.to_string(),
            "data": message.data,
        });
        let mut post = Post::json(&self.url, &body).bearer(self.bearer.as_ref());
        post.headers.extend(self.headers.clone());
        let at = now.as_second().to_string();
        let id = HeaderValue::from_str(&message.id);
        post.headers.insert("webhook-id", id.unwrap_or(HeaderValue::from_static("unnamed")));
        post.headers.insert("webhook-timestamp", now.as_second().into());
        if let Some(key) = &self.key {
            let mut signed = format!("{}.{at}.", message.id).into_bytes();
            signed.extend_from_slice(&post.body);
            let signature = BASE64_STANDARD.encode(hmac::sign(key, &signed));
            let name = HeaderName::from_static("webhook-signature");
            post = post.with_secret(name, &format!("v1,{signature}"));
        }
        post
    }

    fn meaning(&self, _: &Reply) -> Meaning {
        Meaning::Taken
    }

    /// Nothing: what an address of one's own network answers is told to nobody.
    fn said(&self, _: &Reply) -> Option<String> {
        None
    }
}
