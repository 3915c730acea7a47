use notify::{Kind, Level, Message};
use serde_json::json;

use crate::{message, open, stand_in::StandIn};

const UUID: &str = "5f1fcb1c-4e54-4f3d-9c5f-d2a2d5c0ffee";

#[tokio::test]
async fn what_is_wrong_fails_and_what_is_well_pings() {
    let server = StandIn::start().await;
    let url = format!("{}/ping/{UUID}", server.url);
    let channel = open(Kind::Healthchecks, &[], &[("url", url.as_str())]).unwrap();
    let test = Message { data: json!({ "kind": "test" }), ..message(Level::Error) };
    let sent = [
        message(Level::Error),
        message(Level::Warning),
        message(Level::Recovery),
        message(Level::Info),
        test,
    ];
    for one in &sent {
        server.will_answer(200, "", "OK");
        channel.send(one).await.unwrap();
    }
    let asked = server.asked();
    let ends: Vec<_> =
        asked.iter().map(|one| one.path.strip_prefix(&format!("/ping/{UUID}")).unwrap()).collect();
    assert_eq!(ends, ["/fail", "/fail", "", "", "/log"]);
    assert!(asked[0].body.starts_with("shop has not been backed up\n\nThe last run failed"));
}

#[tokio::test]
async fn a_check_that_it_does_not_know_is_no_delivery() {
    let server = StandIn::start().await;
    let url = format!("{}/{UUID}", server.url);
    let channel = open(Kind::Healthchecks, &[], &[("url", url.as_str())]).unwrap();
    server.will_answer(200, "", "OK (not found)");
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("knows no such check"), "{error}");
    assert!(!error.to_string().contains(UUID), "{error}");
    server.will_answer(200, "", "OK (rate limited)");
    assert!(channel.send(&message(Level::Error)).await.unwrap_err().is_transient());
    server.will_answer(200, "", "a page");
    assert!(channel.send(&message(Level::Error)).await.is_err());
}

#[test]
fn the_address_is_the_checks_own() {
    for wrong in ["https://hc-ping.com/", "https://hc-ping.com/x/fail", "https://hc-ping.com/x?y=1"]
    {
        assert!(open(Kind::Healthchecks, &[], &[("url", wrong)]).is_err(), "{wrong}");
    }
}
