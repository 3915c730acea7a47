//! Telegram: a bot writes to a chat. The token is part of the address by their API, so that the
//! address is told to nobody.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::{
    Level, Message, Wrong,
    http::{Meaning, Post, Reply, Service},
    settings::{Given, below},
    text::{UTF16, cut, escape},
};

/// Longest text, in UTF-16 units after markup is taken away.
const MAX_TEXT: usize = 4_096;
/// How much of it the title may take.
const MAX_TITLE: usize = 256;

pub(crate) struct Telegram {
    api: Url,
    token: SecretString,
    chat_id: String,
    thread_id: Option<i64>,
}

/// As `@BotFather` gives it: a number, a colon, letters and digits.
fn is_token(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.split_once(':').is_some_and(|(id, rest)| {
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && rest.bytes().all(good)
    })
}

impl Telegram {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let token = given.header_secret("token");
        if token.as_ref().is_some_and(|token| !is_token(token.expose_secret())) {
            given.wrong("token", Wrong::BotToken);
        }
        let chat_id = given.text("chat_id").unwrap_or_default();
        let is_name = |text: &str| {
            text.strip_prefix('@').is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })
        };
        if !chat_id.is_empty() && chat_id.parse::<i64>().is_err() && !is_name(chat_id) {
            given.wrong("chat_id", Wrong::ChatId);
        }
        let thread_id = given.text("thread_id").map(str::parse);
        if matches!(thread_id, Some(Err(_))) {
            given.wrong("thread_id", Wrong::ThreadId);
        }
        let api = given.base("api")?;
        let service = Self {
            api: api.clone(),
            token: token?,
            chat_id: chat_id.to_owned(),
            thread_id: thread_id.and_then(Result::ok),
        };
        Some((Box::new(service), api))
    }
}

impl Service for Telegram {
    fn name(&self) -> &'static str {
        "Telegram"
    }

    fn post(&self, message: &Message, _: Timestamp) -> Post {
        let title = cut(&message.title, MAX_TITLE, UTF16);
        let taken: usize = title.chars().map(UTF16).sum::<usize>() + 2;
        let rest = cut(&message.plain(), MAX_TEXT - taken, UTF16);
        let mut body = json!({
            "chat_id": self.chat_id,
            "text": format!("<b>{}</b>\n\n{}", escape(&title), escape(&rest)),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
            "disable_notification": matches!(message.level, Level::Info | Level::Recovery),
        });
        if let Some(thread) = self.thread_id {
            body["message_thread_id"] = thread.into();
        }
        let bot = format!("bot{}", self.token.expose_secret());
        Post::json(&below(&self.api, &[&bot, "sendMessage"]), &body)
    }

    fn meaning(&self, reply: &Reply) -> Meaning {
        let answer = reply.json();
        match answer["ok"].as_bool() {
            Some(true) => Meaning::Taken,
            Some(false) => Meaning::Never(described(&answer).unwrap_or_default()),
            None => Meaning::Unclear,
        }
    }

    fn said(&self, reply: &Reply) -> Option<String> {
        described(&reply.json())
    }

    fn wait(&self, reply: &Reply) -> Option<Duration> {
        reply.json()["parameters"]["retry_after"].as_u64().map(Duration::from_secs)
    }
}

/// What it says, and a group's new number where it has one.
fn described(answer: &Value) -> Option<String> {
    let said = answer["description"].as_str()?.to_owned();
    match answer["parameters"]["migrate_to_chat_id"].as_i64() {
        Some(chat) => Some(format!("{said}: its chat_id is now {chat}")),
        None => Some(said),
    }
}
