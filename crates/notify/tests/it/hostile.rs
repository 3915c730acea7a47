//! What others have named, in every kind's own message.

use notify::{Kind, Level, Message};
use serde_json::{Value, json};

use crate::{open, stand_in::StandIn};

const NAME: &str = "<!channel> @everyone [x](http://evil) <b>*a*_b_`c`</b>&amp;\u{1b}[31m\u{202e}gpj\u{2066}\u{200b}\r\nX-Evil: 1\u{2028}\0";

fn hostile() -> Message {
    Message {
        id: format!("1{NAME}"),
        level: Level::Error,
        title: NAME.to_owned(),
        body: format!("one\n{NAME}\nthree"),
        facts: vec![(NAME.to_owned(), NAME.to_owned())],
        link: Some("https://backups.example/runs/1?a=<b>|c\r\nX-Evil: 1".to_owned()),
        at: "2026-11-22T03:00:00Z".parse().unwrap(),
        data: json!({ "kind": "opened", "app": NAME }),
    }
}

/// Every text of a document but for what is for programs.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
        Value::Object(all) => {
            all.iter().filter(|(key, _)| *key != "data").for_each(|(_, one)| texts(one, found));
        }
        _ => {}
    }
}

fn is_harmful(character: char) -> bool {
    let turns = matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control() && character != '\n' || character == '\u{2028}'
}

#[tokio::test]
async fn no_kind_is_steered_by_a_name() {
    for kind in ["webhook", "ntfy", "slack", "discord", "gotify", "telegram", "healthchecks"] {
        let server = StandIn::start().await;
        let url = format!("{}/x", server.url);
        let (settings, secrets): (Vec<_>, Vec<_>) = match kind {
            "webhook" => {
                (vec![("url", url.as_str())], vec![("secret", "a-secret-of-sixteen-and-more")])
            }
            "ntfy" => (vec![("url", server.url.as_str()), ("topic", "x")], vec![]),
            "gotify" => (vec![("url", server.url.as_str())], vec![("token", "t")]),
            "telegram" => {
                (vec![("api", server.url.as_str()), ("chat_id", "1")], vec![("token", "1:a")])
            }
            _ => (vec![], vec![("url", url.as_str())]),
        };
        let channel = open(kind.parse::<Kind>().unwrap(), &settings, &secrets).unwrap();
        // What it answers does not matter here: each says another thing.
        let _ = channel.send(&hostile()).await;
        let asked = server.once();
        assert!(!asked.headers.contains_key("x-evil"), "{kind}: {:?}", asked.headers);
        for value in asked.headers.values() {
            assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0x1b)));
        }
        assert!(!asked.path.contains("evil") || kind == "healthchecks", "{kind}: {}", asked.path);
        let mut shown = Vec::new();
        match serde_json::from_str(&asked.body) {
            Ok(body) => texts(&body, &mut shown),
            Err(_) => shown.push(asked.body.clone()),
        }
        for text in &shown {
            let harmful: Vec<_> = text.chars().filter(|one| is_harmful(*one)).collect();
            assert!(harmful.is_empty(), "{kind}: {harmful:?} in {text}");
        }
        let all = shown.join("\n");
        match kind {
            "slack" => {
                assert!(!all.contains("<!channel>") && all.contains("&lt;!channel&gt;"), "{all}");
            }
            "telegram" => {
                let bare = all.replace("<b>", "").replace("</b>", "");
                assert!(!bare.contains('<') && all.matches("<b>").count() == 1, "{all}");
            }
            "discord" => {
                assert!(all.contains(r"\@everyone") && all.contains(r"\[x\]\("), "{all}");
                assert!(!all.contains(" @everyone"), "{all}");
                let body: Value = asked.json();
                assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
            }
            // Plain text there: nothing of it is markup.
            "gotify" => {
                let body: Value = asked.json();
                assert_eq!(body["extras"]["client::display"]["contentType"], "text/plain");
            }
            "ntfy" => {
                assert!(asked.json()["markdown"].is_null() && asked.header("markdown").is_empty());
            }
            _ => {}
        }
    }
}
