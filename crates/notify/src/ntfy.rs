//! ntfy: a topic, published to as JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use crate::{
    Level, Message, Wrong,
    http::{Meaning, Post, Reply, Service},
    settings::Given,
    text::{BYTES, cut},
};

/// Longest message, in bytes: a longer one would become an attachment.
const MAX_TEXT: usize = 4_096;
const MAX_TITLE: usize = 250;
const MAX_TOPIC: usize = 64;

pub(crate) struct Ntfy {
    url: Url,
    topic: String,
    token: Option<SecretString>,
    login: Option<(String, SecretString)>,
}

impl Ntfy {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let topic = given.text("topic").unwrap_or_default();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if topic.len() > MAX_TOPIC || !topic.bytes().all(good) {
            given.wrong("topic", Wrong::Topic);
        }
        let token = given.header_secret("token");
        let login = match (given.text("username"), given.secret("password")) {
            (Some(name), Some(password)) => Some((name.to_owned(), password.clone())),
            (None, None) => None,
            (Some(_), None) => {
                given.wrong("password", Wrong::WithUser);
                None
            }
            (None, Some(_)) => {
                given.wrong("username", Wrong::WithPassword);
                None
            }
        };
        if token.is_some() && login.is_some() {
            given.wrong("token", Wrong::TokenOrLogin);
        }
        let url = given.base("url")?;
        let service = Self { url: url.clone(), topic: topic.to_owned(), token, login };
        Some((Box::new(service), url))
    }
}

impl Service for Ntfy {
    fn name(&self) -> &'static str {
        "ntfy"
    }

    fn post(&self, message: &Message, _: Timestamp) -> Post {
        let (priority, tag) = match message.level {
            Level::Error => (4, "rotating_light"),
            Level::Warning => (3, "warning"),
            Level::Recovery => (3, "white_check_mark"),
            Level::Info => (2, "information_source"),
        };
        // The link is what a tap opens.
        let text = Message { link: None, ..message.clone() }.plain();
        let mut body = json!({
            "topic": self.topic,
            "title": cut(&message.title, MAX_TITLE, BYTES),
            "message": cut(&text, MAX_TEXT, BYTES),
            "priority": priority,
            "tags": [tag],
        });
        if let Some(link) = &message.link {
            body["click"] = link.as_str().into();
        }
        let post = Post::json(&self.url, &body).bearer(self.token.as_ref());
        match &self.login {
            Some((name, password)) => {
                let pair = BASE64_STANDARD.encode(format!("{name}:{}", password.expose_secret()));
                post.with_secret(AUTHORIZATION, &format!("Basic {pair}"))
            }
            None => post,
        }
    }

    fn meaning(&self, reply: &Reply) -> Meaning {
        let answer = reply.json();
        if answer["id"].is_string() && answer["topic"] == self.topic.as_str() {
            Meaning::Taken
        } else {
            Meaning::Unclear
        }
    }

    fn said(&self, reply: &Reply) -> Option<String> {
        reply.member("error")
    }
}
