//! Discord: a webhook of a channel, an embed for each message.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use url::Url;

use crate::{
    Level, Message,
    http::{Meaning, Post, Reply, Service},
    settings::Given,
    text::{UTF16, cut},
};

const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 2_500;
const MAX_FIELDS: usize = 10;
const MAX_NAME: usize = 100;
const MAX_VALUE: usize = 200;

pub(crate) struct Discord {
    url: Url,
}

impl Discord {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let mut url = given.url("url")?;
        let kept: Vec<_> =
            url.query_pairs().into_owned().filter(|(name, _)| name != "wait").collect();
        // It then answers with the message, instead of before there is one.
        url.query_pairs_mut().clear().extend_pairs(kept).append_pair("wait", "true");
        Some((Box::new(Self { url: url.clone() }), url))
    }
}

/// `text` with its markup shown as it is, within `most` units.
fn fit(text: &str, most: usize) -> String {
    const MARKUP: &str = "\\*_~`|>[]()#<@-";
    let escaped: String = text
        .chars()
        .flat_map(|one| MARKUP.contains(one).then_some('\\').into_iter().chain([one]))
        .collect();
    let mut cut = cut(&escaped, most, UTF16);
    // A backslash that has lost what it escaped would escape the ellipsis.
    if cut != escaped {
        let bare = cut.trim_end_matches('…');
        let slashes = bare.len() - bare.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            cut = format!("{}…", &bare[..bare.len() - 1]);
        }
    }
    cut
}

impl Service for Discord {
    fn name(&self) -> &'static str {
        "Discord"
    }

    fn post(&self, message: &Message, _: Timestamp) -> Post {
        let colour = match message.level {
            Level::Error => 0x00d6_3b3b,
            Level::Warning => 0x00d9_8a1f,
            Level::Recovery => 0x002e_9e5b,
            Level::Info => 0x003b_7dd6,
        };
        let facts =
            message.facts.iter().filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let fields: Vec<_> = facts
            .take(MAX_FIELDS)
            .map(|(name, value)| {
                json!({ "name": fit(name, MAX_NAME), "value": fit(value, MAX_VALUE), "inline": true })
            })
            .collect();
        let mut embed = json!({
            "title": fit(&message.title, MAX_TITLE),
            "description": fit(&message.body, MAX_DESCRIPTION),
            "color": colour,
            "fields": fields,
            "timestamp": message.at.to_string(),
        });
        if let Some(link) = &message.link {
            embed["url"] = link.as_str().into();
        }
        let body = json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
        Post::json(&self.url, &body)
    }

    fn meaning(&self, reply: &Reply) -> Meaning {
        let taken = reply.status.as_u16() == 204 || reply.json()["id"].is_string();
        if taken { Meaning::Taken } else { Meaning::Unclear }
    }

    fn said(&self, reply: &Reply) -> Option<String> {
        reply.member("message")
    }

    fn wait(&self, reply: &Reply) -> Option<Duration> {
        let secs = reply.json()["retry_after"].as_f64()?;
        Duration::try_from_secs_f64(secs.max(0.0)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_names_is_shown_and_not_followed() {
        assert_eq!(fit("[click](http://x) @everyone", 100), r"\[click\]\(http://x\) \@everyone");
        assert_eq!(fit("my_app", 100), r"my\_app");
    }

    #[test]
    fn no_escape_is_left_alone_at_the_end() {
        for most in 4..12 {
            let cut = fit("____________", most);
            let bare = cut.trim_end_matches('…');
            assert!(bare.len().is_multiple_of(2), "{most}: {cut}");
        }
    }
}
