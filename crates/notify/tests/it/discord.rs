use std::time::Duration;

use notify::{Kind, Level, Message};
use serde_json::json;

use crate::{message, open, stand_in::StandIn};

#[tokio::test]
async fn an_embed_mentions_nobody_and_follows_no_markup() {
    let server = StandIn::start().await;
    server.will_answer(200, "", r#"{"id":"99"}"#);
    let url = format!("{}/api/webhooks/1/canary?thread_id=5&wait=false", server.url);
    let channel = open(Kind::Discord, &[], &[("url", url.as_str())]).unwrap();
    let hostile =
        Message { title: "[x](http://evil) @everyone".into(), ..message(Level::Recovery) };
    channel.send(&hostile).await.unwrap();
    let asked = server.once();
    assert_eq!(asked.path, "/api/webhooks/1/canary?thread_id=5&wait=true");
    let body = asked.json();
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let embed = &body["embeds"][0];
    assert_eq!(embed["title"], r"\[x\]\(http://evil\) \@everyone");
    assert_eq!(embed["url"], "https://backups.example/runs/1?a=1&b=2");
    assert_eq!(embed["fields"][0]["value"], r"shop\_eu");
    assert_eq!(embed["timestamp"], "2026-11-22T03:00:00Z");
}

#[tokio::test]
async fn its_limits_are_kept() {
    let server = StandIn::start().await;
    server.will_answer(200, "", r#"{"id":"99"}"#);
    let channel = open(Kind::Discord, &[], &[("url", server.url.as_str())]).unwrap();
    let facts = (0..40).map(|n| (format!("name {n}"), "🚀".repeat(2_000))).collect();
    let long = Message {
        title: "_".repeat(1_000),
        body: "x".repeat(9_000),
        facts,
        ..message(Level::Error)
    };
    channel.send(&long).await.unwrap();
    let body = server.once().json();
    let embed = &body["embeds"][0];
    let length =
        |value: &serde_json::Value| value.as_str().map_or(0, |text| text.encode_utf16().count());
    assert!(length(&embed["title"]) <= 256 && length(&embed["description"]) <= 4_096);
    let fields = embed["fields"].as_array().unwrap();
    assert!(fields.len() <= 25);
    let of_fields: usize = fields
        .iter()
        .map(|field| {
            assert!(length(&field["name"]) <= 256 && length(&field["value"]) <= 1_024);
            length(&field["name"]) + length(&field["value"])
        })
        .sum();
    assert!(length(&embed["title"]) + length(&embed["description"]) + of_fields <= 6_000);
}

#[tokio::test]
async fn it_says_when_to_come_back() {
    let server = StandIn::start().await;
    let channel = open(Kind::Discord, &[], &[("url", server.url.as_str())]).unwrap();
    server.will_answer(429, "Retry-After: 9", r#"{"message":"slow","retry_after":2.5}"#);
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(2_500)));
    assert!(error.is_transient());
    server.will_answer(404, "", r#"{"message":"Unknown Webhook","code":10015}"#);
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("Unknown Webhook") && !error.is_transient(), "{error}");
}
