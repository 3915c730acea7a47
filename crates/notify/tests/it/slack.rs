use notify::{Kind, Level, Message};

use crate::{message, open, stand_in::StandIn};

#[tokio::test]
async fn text_and_blocks_are_escaped() {
    let server = StandIn::start().await;
    server.will_answer(200, "", "ok");
    let url = format!("{}/services/T0/B0/canary", server.url);
    let channel = open(Kind::Slack, &[], &[("url", url.as_str())]).unwrap();
    let hostile = Message { title: "<!channel> & co".into(), ..message(Level::Error) };
    channel.send(&hostile).await.unwrap();
    let asked = server.once();
    assert_eq!(asked.path, "/services/T0/B0/canary");
    let body = asked.json();
    assert_eq!(body["text"], "🔴 *&lt;!channel&gt; &amp; co*");
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks[1]["text"]["text"].as_str().unwrap().contains("&lt;db&gt; &amp; files"));
    assert_eq!(blocks[2]["fields"][0]["text"], "*App*\nshop_eu");
    assert_eq!(blocks[3]["text"]["text"], "<https://backups.example/runs/1?a=1&amp;b=2>");
    assert!(blocks.iter().all(|block| block["type"] == "section"));
    assert!(!asked.body.contains("<!channel>"));
}

#[tokio::test]
async fn its_limits_are_kept() {
    let server = StandIn::start().await;
    server.will_answer(200, "", "ok");
    let channel = open(Kind::Slack, &[], &[("url", server.url.as_str())]).unwrap();
    let facts = (0..23).map(|n| (format!("{n}"), "<".repeat(5_000))).collect();
    let long = Message { body: "&".repeat(9_000), facts, ..message(Level::Info) };
    channel.send(&long).await.unwrap();
    let body = server.once().json();
    let length = |value: &serde_json::Value| value.as_str().map_or(0, |text| text.chars().count());
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    for block in blocks {
        assert!(length(&block["text"]["text"]) <= 3_000);
        let fields = block["fields"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(fields.len() <= 10);
        assert!(fields.iter().all(|field| length(&field["text"]) <= 2_000));
    }
}

#[tokio::test]
async fn its_words_tell_what_is_wrong() {
    let server = StandIn::start().await;
    let url = format!("{}/services/canary", server.url);
    let channel = open(Kind::Slack, &[], &[("url", url.as_str())]).unwrap();
    server.will_answer(404, "", "no_service");
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("no_service") && !error.is_transient(), "{error}");
    server.will_answer(200, "", "<!doctype html>");
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("not as Slack does"), "{error}");
    assert!(!format!("{error} {channel:?}").contains("canary"));
    server.will_answer(200, "", r#"{"success":true}"#);
    channel.send(&message(Level::Error)).await.unwrap();
}
