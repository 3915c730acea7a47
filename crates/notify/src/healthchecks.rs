//! Healthchecks: a check that is pinged. It is told `fail` when something is wrong and pinged
//! when all is well; a try is only logged, so that it changes nothing.

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use url::Url;

use crate::{
    Level, Message, Wrong,
    http::{Meaning, Post, Reply, Service},
    settings::{Given, below},
    text::{BYTES, cut},
};

/// Longest body that is kept, in bytes.
const MAX_BODY: usize = 100_000;

pub(crate) struct Healthchecks {
    url: Url,
}

impl Healthchecks {
    pub(crate) fn read(given: &mut Given<'_>) -> Option<(Box<dyn Service>, Url)> {
        let url = given.base("url")?;
        let last = url.path_segments().and_then(|mut segments| segments.next_back());
        if matches!(last, None | Some("" | "start" | "fail" | "log")) {
            given.wrong("url", Wrong::PingAddress);
            return None;
        }
        Some((Box::new(Self { url: url.clone() }), url))
    }
}

impl Service for Healthchecks {
    fn name(&self) -> &'static str {
        "Healthchecks"
    }

    fn post(&self, message: &Message, _: Timestamp) -> Post {
        let url = match message.level {
            _ if message.is_test() => below(&self.url, &["log"]),
            Level::Error | Level::Warning => below(&self.url, &["fail"]),
            Level::Recovery | Level::Info => self.url.clone(),
        };
        let text = format!("{}\n\n{}", message.title, message.plain());
        let media = HeaderValue::from_static("text/plain; charset=utf-8");
        Post {
            url,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, media)]),
            body: cut(&text, MAX_BODY, BYTES).into_bytes(),
        }
    }

    /// It says 200 to checks that it does not know, too.
    fn meaning(&self, reply: &Reply) -> Meaning {
        match reply.body.trim() {
            "OK" => Meaning::Taken,
            "OK (not found)" => {
                Meaning::Never("it knows no such check: copy its ping address anew".into())
            }
            "OK (rate limited)" => Meaning::Later("it was pinged too often".into()),
            _ => Meaning::Unclear,
        }
    }

    fn said(&self, _: &Reply) -> Option<String> {
        None
    }
}
