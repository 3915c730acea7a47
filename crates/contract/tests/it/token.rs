//! F28: tokens that change while the client is at work, and that are never shown.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use contract::{ContractClient, ContractError};
use serde_json::json;

use crate::{
    good::{self, artifact},
    server::{Asked, Server, Step, TOKEN, export, limits, loopback, refused},
};

const NEW: &str = "canary-token-after-the-rotation";

fn bearer(asked: &Asked) -> String {
    asked.header("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned()
}

fn send(bytes: Vec<u8>) -> Vec<Step> {
    vec![Step::Send(bytes)]
}

/// A client that knows the token of before and of after.
fn both(server: &Server) -> ContractClient {
    ContractClient::new(server.url(), NEW.into(), loopback(), limits())
        .unwrap()
        .with_previous_token(TOKEN.into())
}

#[tokio::test]
async fn a_rotation_between_polls_is_survived() {
    // The server changes its token while the job runs; the client already knows the new one.
    let server = Server::start(|asked| {
        let rotated =
            asked.path.ends_with("artifact") || (asked.path.contains("jobs") && asked.nth >= 2);
        if bearer(asked) != if rotated { NEW } else { TOKEN } {
            return send(good::empty("401 Unauthorized"));
        }
        match asked.path.as_str() {
            "/backup/export" => send(good::accepted()),
            "/backup/jobs/1" if asked.nth < 6 => send(good::job("running")),
            "/backup/jobs/1" => send(good::job("succeeded")),
            _ => send(good::spooled(&artifact(1_000))),
        }
    })
    .await;
    let (came, done) = export(&both(&server)).await;
    done.unwrap();
    assert_eq!(came, artifact(1_000));
}

#[tokio::test]
async fn a_few_refused_looks_are_borne() {
    // The app's side is being restarted with the same token.
    let server = Server::start(|asked| match (asked.path.as_str(), asked.nth) {
        ("/backup/export", _) => send(good::accepted()),
        ("/backup/jobs/1", 0 | 1) => send(good::empty("401 Unauthorized")),
        ("/backup/jobs/1", _) => send(good::job("succeeded")),
        _ => send(good::spooled(b"abc")),
    })
    .await;
    let (came, done) = export(&server.client()).await;
    done.unwrap();
    assert_eq!(came, b"abc");
}

#[tokio::test]
async fn a_rotation_in_the_middle_of_a_download_is_survived() {
    let bytes = artifact(10_000);
    let rotated = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&rotated);
    let server = Server::start(move |asked| {
        if bearer(asked) != if seen.load(Ordering::SeqCst) { TOKEN } else { NEW } {
            return send(good::empty("401 Unauthorized"));
        }
        match (asked.path.as_str(), asked.header("range")) {
            ("/backup/export", _) => send(good::accepted()),
            ("/backup/jobs/1", _) => send(good::job("succeeded")),
            (_, None) => {
                seen.store(true, Ordering::SeqCst);
                let reply = good::spooled(&artifact(10_000));
                vec![Step::Send(reply[..reply.len() - 5_000].to_vec()), Step::Reset]
            }
            (_, Some(range)) => {
                let from = range.trim_start_matches("bytes=").trim_end_matches('-');
                send(good::part(&artifact(10_000), from.parse().unwrap()))
            }
        }
    })
    .await;
    let (came, done) = export(&both(&server)).await;
    done.unwrap();
    assert_eq!(came, bytes);
    assert!(rotated.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_without_being_shown() {
    let server = Server::exporting(send(good::empty("401 Unauthorized"))).await;
    let (_, error) = refused(&server.client()).await;
    assert!(matches!(error, ContractError::Unauthorized { .. }), "{error}");
    assert!(!error.is_retryable());
    // Once with each token, and no more.
    let client = both(&server);
    let before = server.asked().len();
    let error = export(&client).await.1.err().unwrap();
    assert!(matches!(error, ContractError::Unauthorized { .. }), "{error}");
    assert_eq!(server.asked().len() - before, 2);
    assert!(!format!("{client:?}").contains(TOKEN) && !format!("{client:?}").contains(NEW));
}

#[tokio::test]
async fn a_token_that_a_server_says_back_is_not_passed_on() {
    let echo = format!("bad request: Authorization: Bearer {TOKEN}");
    let replies = [
        good::problem("500 Internal Server Error", &echo),
        good::problem("422 Unprocessable Content", &echo),
        good::json("202 Accepted", &json!({ "job_id": [TOKEN] })),
        good::json("202 Accepted", &json!({ TOKEN: TOKEN })),
        format!("HTTP/1.1 302 Found\r\nLocation: /{TOKEN}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes(),
    ];
    for reply in replies {
        let server = Server::exporting(send(reply)).await;
        refused(&server.client()).await;
        let error = server.client().capabilities().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    }
    for version in [json!(TOKEN), json!({ TOKEN: 1 })] {
        let reply = good::json("200 OK", &json!({ "version": version, "types": [] }));
        let server = Server::exporting(send(reply)).await;
        let error = server.client().capabilities().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_in_the_addresses_or_messages_of_a_job_is_not_passed_on() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/backup/export" => send(good::json(
            "202 Accepted",
            &json!({ "job_id": "1", "status_url": format!("/jobs?token={TOKEN}"), "download": "/d" }),
        )),
        _ => send(good::empty("404 Not Found")),
    })
    .await;
    refused(&server.client()).await;
    let server = Server::start(|asked| match asked.path.as_str() {
        "/backup/export" => send(good::accepted()),
        _ => send(good::json("200 OK", &json!({ "state": "failed", "message": TOKEN }))),
    })
    .await;
    let (_, error) = refused(&server.client()).await;
    assert!(error.to_string().contains("[token]"), "{error}");
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_before_anything_is_sent() {
    let server = Server::exporting(send(good::spooled(b"abc"))).await;
    for token in ["a\r\nX-Evil: 1", "a\nb", "a\0b"] {
        let client = ContractClient::new(server.url(), token.into(), loopback(), limits()).unwrap();
        let error = client.capabilities().await.unwrap_err();
        assert!(!error.to_string().contains("X-Evil"), "{error}");
    }
    assert!(server.asked().is_empty());
}
