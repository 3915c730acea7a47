use notify::{Kind, Level};

use crate::{message, open, stand_in::StandIn};

#[tokio::test]
async fn it_is_a_message_of_the_application() {
    let server = StandIn::start().await;
    server.will_answer(200, "", r#"{"id":25,"appid":1,"message":"m"}"#);
    let url = format!("{}/push/", server.url);
    let channel = open(Kind::Gotify, &[("url", url.as_str())], &[("token", "Acanary")]).unwrap();
    channel.send(&message(Level::Error)).await.unwrap();
    let asked = server.once();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/push/message"));
    assert_eq!(asked.header("x-gotify-key"), "Acanary");
    let body = asked.json();
    assert_eq!(body["title"], "shop has not been backed up");
    assert_eq!(body["priority"], 8);
    assert!(body["message"].as_str().unwrap().contains("Since: 22 Nov 2026"));
    let click = &body["extras"]["client::notification"]["click"]["url"];
    assert_eq!(click, "https://backups.example/runs/1?a=1&b=2");
}

#[tokio::test]
async fn a_wrong_token_is_told_and_not_shown() {
    let server = StandIn::start().await;
    let secrets = [("token", "Acanary")];
    let channel = open(Kind::Gotify, &[("url", server.url.as_str())], &secrets).unwrap();
    let said =
        r#"{"error":"Unauthorized","errorCode":401,"errorDescription":"Acanary is no token"}"#;
    server.will_answer(401, "", said);
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient());
    let text = format!("{error} {error:?} {channel:?}");
    assert!(text.contains("••• is no token") && !text.contains("canary"), "{text}");
}
