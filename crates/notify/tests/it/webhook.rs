use base64::{Engine as _, prelude::BASE64_STANDARD};
use notify::{Kind, Level};
use ring::hmac;

use crate::{message, open, stand_in::StandIn};

const SECRET: &str = "a secret of twenty or so";

#[tokio::test]
async fn it_is_signed_as_standard_webhooks_are() {
    let server = StandIn::start().await;
    let url = format!("{}/hook?x=1", server.url);
    let headers = "X-Team: ops\nX-Key: k-1\n";
    let secrets = [("secret", SECRET), ("token", "t-1"), ("headers", headers)];
    let channel = open(Kind::Webhook, &[("url", url.as_str())], &secrets).unwrap();
    channel.send(&message(Level::Warning)).await.unwrap();
    let asked = server.once();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/hook?x=1"));
    assert_eq!(asked.header("authorization"), "Bearer t-1");
    assert_eq!((asked.header("x-team"), asked.header("x-key")), ("ops", "k-1"));
    assert_eq!(asked.header("webhook-id"), "01JDQ8Z5N3");
    assert_eq!(asked.header("webhook-timestamp"), "1795317000");
    let signature = asked.header("webhook-signature").strip_prefix("v1,").unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = format!("01JDQ8Z5N3.1795317000.{}", asked.body);
    hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    let body = asked.json();
    assert_eq!(body["id"], "01JDQ8Z5N3");
    assert_eq!(body["level"], "warning");
    assert_eq!(body["title"], "shop has not been backed up");
    assert_eq!(body["facts"][0]["label"], "App");
    assert_eq!(body["at"], "2026-11-22T03:00:00Z");
    assert_eq!(body["data"]["app"], "shop_eu");
}

#[tokio::test]
async fn the_example_of_the_standard_is_signed_as_it_says() {
    // The key of the specification's own examples.
    let server = StandIn::start().await;
    let secrets = [("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let channel = open(Kind::Webhook, &[("url", server.url.as_str())], &secrets).unwrap();
    channel.send(&message(Level::Info)).await.unwrap();
    let asked = server.once();
    let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = format!("01JDQ8Z5N3.1795317000.{}", asked.body);
    let expected = BASE64_STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
    assert_eq!(asked.header("webhook-signature"), format!("v1,{expected}"));
}

#[tokio::test]
async fn a_token_goes_where_the_address_has_a_place_for_it() {
    let server = StandIn::start().await;
    let url = format!("{}/hook/{{token}}/in", server.url);
    let secrets = [("token", "canary/1")];
    let channel = open(Kind::Webhook, &[("url", url.as_str())], &secrets).unwrap();
    server.will_answer(404, "", "canary");
    let error = channel.send(&message(Level::Info)).await.unwrap_err();
    let asked = server.once();
    assert_eq!(asked.path, "/hook/canary%2F1/in");
    assert_eq!(asked.header("authorization"), "");
    assert!(!error.is_transient() && error.to_string().contains("404"), "{error}");
    assert!(!format!("{error} {channel:?}").contains("canary"), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_trouble_is_tried_again() {
    let server = StandIn::start().await;
    let channel = open(Kind::Webhook, &[("url", server.url.as_str())], &[]).unwrap();
    server.will_answer(302, "Location: /elsewhere", "");
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("leads elsewhere"), "{error}");
    for (status, header, secs) in [(503, "Retry-After: 30", Some(30)), (500, "", None)] {
        server.will_answer(status, header, "a page");
        let error = channel.send(&message(Level::Error)).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(error.retry_after().map(|wait| wait.as_secs()), secs);
    }
    server.will_answer(401, "", "");
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("does not match"), "{error}");
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn headers_of_ours_and_short_keys_are_refused() {
    let refused = |secrets: &[(&str, &str)]| {
        open(Kind::Webhook, &[("url", "https://hooks.example/in")], secrets)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[("headers", "Host: elsewhere")]).contains("may not set `host`"));
    assert!(refused(&[("headers", "no colon")]).contains("lines of"));
    assert!(refused(&[("headers", "X-A: b\rX-C: d")]).contains("lines of"));
    assert!(refused(&[("secret", "short")]).contains("too short"));
    assert!(refused(&[("secret", "whsec_!!")]).contains("not Base64"));
    assert!(refused(&[("token", "a b")]).contains("has a space"));
    let placed = [("url", "https://{token}.example/in")];
    assert!(open(Kind::Webhook, &placed, &[("token", "evil.example/#")]).is_err());
}
