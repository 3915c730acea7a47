//! Slack's incoming webhooks, which Mattermost and others take too.

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use crate::{
    Level, Message,
    http::{Meaning, Post, Reply, Service},
    settings::Given,
    text::{CHARS, cut, escape},
};

/// Longest text of a section, in characters.
const MAX_SECTION: usize = 3_000;
/// Longest text of a field.
const MAX_FIELD: usize = 2_000;
/// How many fields a section takes.
const MAX_FIELDS: usize = 10;
const MAX_TITLE: usize = 250;

pub(crate) struct Slack {
    url: Url,
}

impl Slack {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let url = given.url("url")?;
        Some((Box::new(Self { url: url.clone() }), url))
    }
}

/// Escaped, and cut so that it fits after it: an escape takes up to five characters.
fn fit(text: &str, most: usize) -> String {
    let escaped = escape(text);
    if escaped.chars().count() <= most {
        return escaped;
    }
    let mut left = most;
    let fits = |one: &char| {
        let weight = match one {
            '&' => 5,
            '<' | '>' => 4,
            _ => 1,
        };
        let fits = weight < left;
        left = left.saturating_sub(weight);
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}…", escape(&kept))
}

/// Text whose names and addresses are not made links of.
fn text(text: String) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn section(words: String) -> Value {
    json!({ "type": "section", "text": text(words) })
}

impl Service for Slack {
    fn name(&self) -> &'static str {
        "Slack"
    }

    fn post(&self, message: &Message, _: Timestamp) -> Post {
        let sign = match message.level {
            Level::Error => "🔴",
            Level::Warning => "🟠",
            Level::Recovery => "🟢",
            Level::Info => "🔵",
        };
        let title = format!("{sign} *{}*", fit(&message.title, MAX_TITLE));
        let mut blocks = vec![section(title.clone())];
        if !message.body.is_empty() {
            blocks.push(section(fit(&message.body, MAX_SECTION)));
        }
        for facts in message.facts.chunks(MAX_FIELDS) {
            let field = |(name, value): &(String, String)| {
                let name = fit(&cut(name, 100, CHARS), 500);
                text(format!("*{name}*\n{}", fit(value, MAX_FIELD - 600)))
            };
            let fields: Vec<_> = facts.iter().map(field).collect();
            blocks.push(json!({ "type": "section", "fields": fields }));
        }
        if let Some(link) = &message.link {
            let link = link.replace('|', "%7C").replace('>', "%3E").replace('<', "%3C");
            blocks.push(section(format!("<{}>", link.replace('&', "&amp;"))));
        }
        // The text alone is what notifications show.
        Post::json(&self.url, &json!({ "text": title, "blocks": blocks }))
    }

    fn meaning(&self, reply: &Reply) -> Meaning {
        let body = reply.body.trim();
        let answer = reply.json();
        let taken = body.is_empty()
            || body.eq_ignore_ascii_case("ok")
            || answer["ok"] == true
            || answer["success"] == true;
        if taken { Meaning::Taken } else { Meaning::Unclear }
    }

    /// One word, such as `invalid_payload` or `no_service`.
    fn said(&self, reply: &Reply) -> Option<String> {
        let word = reply.body.trim();
        let is_word = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (is_word && !word.is_empty() && word.len() <= 64).then(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_cut_before_an_escape() {
        assert_eq!(fit("a<b", 10), "a&lt;b");
        let long = fit(&"<".repeat(50), 22);
        assert_eq!(long, "&lt;&lt;&lt;&lt;&lt;…");
        assert!(fit(&"&".repeat(4_000), MAX_SECTION).chars().count() <= MAX_SECTION);
    }
}
