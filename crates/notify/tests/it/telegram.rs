use std::time::Duration;

use notify::{Channel, Kind, Level, Message};
use serde_json::json;

use crate::{message, open, stand_in::StandIn};

const TOKEN: &str = "123456:canary-AAbbCC_dd";

fn channel(server: &StandIn) -> Channel {
    let settings = [("api", server.url.as_str()), ("chat_id", "-1001234"), ("thread_id", "7")];
    open(Kind::Telegram, &settings, &[("token", TOKEN)]).unwrap()
}

fn ok() -> String {
    json!({ "ok": true, "result": { "message_id": 5 } }).to_string()
}

#[tokio::test]
async fn a_message_is_html_with_nothing_of_ours_as_markup() {
    let server = StandIn::start().await;
    server.will_answer(200, "", ok());
    channel(&server).send(&message(Level::Error)).await.unwrap();
    let asked = server.once();
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.path, format!("/bot{TOKEN}/sendMessage"));
    let body = asked.json();
    assert_eq!(body["chat_id"], "-1001234");
    assert_eq!(body["message_thread_id"], 7);
    assert_eq!(body["parse_mode"], "HTML");
    assert_eq!(body["disable_notification"], false);
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("<b>shop has not been backed up</b>\n\nThe last run"), "{text}");
    assert!(text.contains("&lt;db&gt; &amp; files") && text.contains("App: shop_eu"), "{text}");
    assert!(text.ends_with("https://backups.example/runs/1?a=1&amp;b=2"), "{text}");
}

#[tokio::test]
async fn the_longest_message_fits() {
    let server = StandIn::start().await;
    server.will_answer(200, "", ok());
    let long = Message { body: "🚀<".repeat(5_000), ..message(Level::Info) };
    channel(&server).send(&long).await.unwrap();
    let text = server.once().json()["text"].as_str().unwrap().to_owned();
    let seen = text.replace("&lt;", "<").replace("<b>", "").replace("</b>", "");
    assert!(seen.encode_utf16().count() <= 4_096);
    assert!(seen.encode_utf16().count() > 4_000);
}

#[tokio::test]
async fn what_it_says_is_told_and_the_token_never() {
    let server = StandIn::start().await;
    let refused = |code: u16, text: String, parameters: serde_json::Value| json!({ "ok": false, "error_code": code, "description": text, "parameters": parameters });
    let channel = channel(&server);
    server.will_answer(400, "", refused(400, format!("no chat for {TOKEN}"), json!({})));
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("no chat for •••"), "{error}");

    server.will_answer(
        400,
        "",
        refused(400, "upgraded".into(), json!({ "migrate_to_chat_id": -9 })),
    );
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("its chat_id is now -9"), "{error}");

    server.will_answer(429, "", refused(429, "slow".into(), json!({ "retry_after": 17 })));
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));

    let nowhere = [("api", "http://127.0.0.1:9"), ("chat_id", "5")];
    let nowhere = open(Kind::Telegram, &nowhere, &[("token", TOKEN)]).unwrap();
    let error = nowhere.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.is_transient());
    for text in [error.to_string(), format!("{error:?}"), format!("{channel:?}")] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn settings_are_judged() {
    let wrong = [("chat_id", "my chat"), ("thread_id", "x"), ("api", "ftp://x"), ("colour", "red")];
    let error = open(Kind::Telegram, &wrong, &[("token", "../canary")]).unwrap_err();
    let mut keys: Vec<_> = error.problems.iter().map(|one| one.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["api", "chat_id", "colour", "thread_id", "token"]);
    assert!(!error.to_string().contains("canary"), "{error}");
    let error = open(Kind::Telegram, &[("token", "1:a")], &[]).unwrap_err().to_string();
    assert!(
        error.contains("`token` is a secret") && error.contains("`chat_id` is needed"),
        "{error}"
    );
}
