use notify::{Kind, Level, Message};
use serde_json::json;

use crate::{message, open, stand_in::StandIn};

const TAKEN: &str = r#"{"id":"x1","time":1,"event":"message","topic":"backups","message":"m"}"#;

#[tokio::test]
async fn it_is_published_as_json_with_priority_and_tap() {
    let server = StandIn::start().await;
    let settings = [("url", server.url.as_str()), ("topic", "backups")];
    let channel = open(Kind::Ntfy, &settings, &[("token", "tk_canary")]).unwrap();
    let expected = [
        (Level::Error, 4, "rotating_light"),
        (Level::Warning, 3, "warning"),
        (Level::Recovery, 3, "white_check_mark"),
        (Level::Info, 2, "information_source"),
    ];
    for (level, ..) in expected {
        server.will_answer(200, "", TAKEN);
        channel.send(&message(level)).await.unwrap();
    }
    for (asked, (_, priority, tag)) in server.asked().iter().zip(expected) {
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/"));
        assert_eq!(asked.header("authorization"), "Bearer tk_canary");
        let body = asked.json();
        assert_eq!(body["topic"], "backups");
        assert_eq!(body["title"], "shop has not been backed up");
        assert_eq!((body["priority"].as_i64(), &body["tags"]), (Some(priority), &json!([tag])));
        assert_eq!(body["click"], "https://backups.example/runs/1?a=1&b=2");
    }
}

#[tokio::test]
async fn a_long_message_does_not_become_an_attachment() {
    let server = StandIn::start().await;
    server.will_answer(200, "", TAKEN);
    let settings = [("url", server.url.as_str()), ("topic", "backups"), ("username", "ops")];
    let channel = open(Kind::Ntfy, &settings, &[("password", "pass")]).unwrap();
    let long =
        Message { title: "ñ".repeat(400), body: "日本".repeat(3_000), ..message(Level::Info) };
    channel.send(&long).await.unwrap();
    let asked = server.once();
    assert_eq!(asked.header("authorization"), "Basic b3BzOnBhc3M=");
    let body = asked.json();
    assert!(body["message"].as_str().unwrap().len() <= 4_096);
    assert!(body["title"].as_str().unwrap().len() <= 250);
}

#[tokio::test]
async fn a_good_status_alone_is_no_delivery() {
    let server = StandIn::start().await;
    let settings = [("url", server.url.as_str()), ("topic", "backups")];
    let channel = open(Kind::Ntfy, &settings, &[]).unwrap();
    server.will_answer(200, "", "<html>Welcome</html>");
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("not as ntfy does"), "{error}");
    server.will_answer(403, "", r#"{"code":40301,"http":403,"error":"forbidden"}"#);
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.to_string().contains("forbidden") && !error.is_transient(), "{error}");
}

#[test]
fn settings_are_judged() {
    let refused = |settings: &[(&str, &str)], secrets: &[(&str, &str)]| {
        open(Kind::Ntfy, settings, secrets).unwrap_err().to_string()
    };
    assert!(refused(&[("topic", "a/b")], &[]).contains("letters, digits"));
    assert!(refused(&[("topic", "a"), ("username", "u")], &[]).contains("`password` is needed"));
    let both = [("token", "t"), ("password", "p")];
    assert!(refused(&[("topic", "a"), ("username", "u")], &both).contains("not both"));
    assert!(refused(&[("topic", "a"), ("url", "https://u:p@x")], &[]).contains("user or password"));
    assert!(refused(&[("topic", "a"), ("ca_certificate", "no")], &[]).contains("PEM"));
    open(Kind::Ntfy, &[("topic", "a")], &[]).unwrap();
}
