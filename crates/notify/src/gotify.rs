//! Gotify: an application of a server of one's own.

use http::HeaderName;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use crate::{
    Level, Message,
    http::{Meaning, Post, Reply, Service},
    settings::{Given, below},
    text::{CHARS, cut},
};

const MAX_TITLE: usize = 250;
const MAX_TEXT: usize = 10_000;

pub(crate) struct Gotify {
    url: Url,
    token: SecretString,
}

impl Gotify {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let token = given.header_secret("token");
        let base = given.base("url")?;
        let url = below(&base, &["message"]);
        Some((Box::new(Self { url, token: token? }), base))
    }
}

impl Service for Gotify {
    fn name(&self) -> &'static str {
        "Gotify"
    }

    fn post(&self, message: &Message, _: Timestamp) -> Post {
        let priority = match message.level {
            Level::Error => 8,
            Level::Warning => 5,
            Level::Recovery => 4,
            Level::Info => 2,
        };
        let mut extras = json!({ "client::display": { "contentType": "text/plain" } });
        if let Some(link) = &message.link {
            extras["client::notification"] = json!({ "click": { "url": link } });
        }
        let body = json!({
            "title": cut(&message.title, MAX_TITLE, CHARS),
            "message": cut(&message.plain(), MAX_TEXT, CHARS),
            "priority": priority,
            "extras": extras,
        });
        let name = HeaderName::from_static("x-gotify-key");
        Post::json(&self.url, &body).with_secret(name, self.token.expose_secret())
    }

    fn meaning(&self, reply: &Reply) -> Meaning {
        if reply.json()["id"].is_u64() { Meaning::Taken } else { Meaning::Unclear }
    }

    fn said(&self, reply: &Reply) -> Option<String> {
        reply.member("errorDescription")
    }
}
