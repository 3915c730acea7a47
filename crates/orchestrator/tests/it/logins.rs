//! Logins: guessing, sessions, forged requests.

use std::time::{Duration, Instant};

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::server::{As, PASSWORD, Place, cookie};

#[tokio::test]
async fn guessing_is_slow_and_tells_nothing() {
    let server = Place::new(&[("BACKUP_TRUST_PROXY", "true")]).serve().await;
    server.add_user("ana", "viewer").await;
    let mut replies = Vec::new();
    for user in ["ana", "nobody"] {
        let mut fastest = Duration::MAX;
        for attempt in 0..5 {
            let begun = Instant::now();
            let reply = server.try_login(user, "wrong wrong wrong").await;
            fastest = fastest.min(begun.elapsed());
            assert_eq!(reply.status(), 401, "{user}, attempt {attempt}");
            if attempt == 0 {
                let mut headers = reply.headers().clone();
                headers.remove(header::DATE);
                replies.push((headers, reply.text().await.unwrap()));
            }
        }
        let refused = server.try_login(user, PASSWORD).await;
        assert_eq!(refused.status(), 429, "{user}");
        let wait: u64 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
        // A hash is checked for either; without it the reply would come in a millisecond.
        assert!(fastest > Duration::from_millis(5), "{user} is told by the time: {fastest:?}");
    }
    assert_eq!(replies[0], replies[1]);

    // From one address twenty users are guessed at, and then none; others go on.
    for n in 0..10 {
        server.try_login(&format!("person{n}"), "wrong wrong wrong").await;
    }
    server.add_user("bo", "viewer").await;
    assert_eq!(server.try_login("bo", PASSWORD).await.status(), 429);
    let elsewhere = server
        .request(Method::POST, "/api/v1/session", &As::Nobody)
        .header("x-forwarded-for", "203.0.113.9")
        .json(&json!({ "user": "bo", "password": PASSWORD }));
    assert_eq!(elsewhere.send().await.unwrap().status(), 204);
    assert_eq!(server.get("overview", &server.local()).await, 200, "its own credential works");

    let log = server.done("GET", "audit?limit=500", Value::Null).await;
    let of = |action: &str| -> Vec<Value> {
        let all = log.as_array().unwrap().iter();
        all.filter(|entry| entry["action"] == action).cloned().collect()
    };
    let failed = of("login.failed");
    assert_eq!(failed.len(), 20);
    assert!(failed.iter().any(|entry| entry["who"] == "ana"));
    assert!(!failed.iter().any(|entry| entry["who"] == "nobody"), "what was typed is not kept");
    assert_eq!(of("login")[0]["from"], "203.0.113.9");
}

#[tokio::test]
async fn a_proxys_word_counts_only_where_it_is_trusted() {
    for (trust, name) in [("true", "__Host-session="), ("false", "session=")] {
        let place = Place::new(&[("BACKUP_TRUST_PROXY", trust), ("APP_ADMIN_PASS", PASSWORD)]);
        let server = place.serve().await;
        let login = server
            .request(Method::POST, "/api/v1/session", &As::Nobody)
            .header("x-forwarded-proto", "https")
            .json(&json!({ "user": "admin", "password": PASSWORD }));
        let reply = login.send().await.unwrap();
        let cookie = reply.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with(name), "{cookie}");
        assert_eq!(cookie.contains("Secure"), trust == "true");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
        assert!(cookie.contains("Path=/;"));
    }
}

#[tokio::test]
async fn sessions_are_rotated_and_revoked() {
    let server = Place::new(&[]).serve().await;
    server.add_user("ana", "operator").await;
    let first = server.login("ana", PASSWORD).await;
    assert_eq!(server.get("apps", &first).await, 200);

    // A login in the same browser ends the session before.
    let body = json!({ "user": "ana", "password": PASSWORD });
    let reply = server.send("POST", "session", &first, Some(body)).await;
    assert_eq!(reply.status(), 204);
    let second = As::Browser(cookie(&reply));
    assert_eq!(server.get("apps", &first).await, 401);
    assert_eq!(server.get("apps", &second).await, 200);

    let left = server.send("DELETE", "session", &second, None).await;
    assert_eq!(left.status(), 204);
    assert!(left.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(server.get("apps", &second).await, 401, "the cookie is worth nothing any more");

    // One's own password: the others end, the browser at hand goes on.
    let (here, there) = (server.login("ana", PASSWORD).await, server.login("ana", PASSWORD).await);
    let change = async |by: &As, present: &str, new: &str| {
        let body = json!({ "present": present, "new": new });
        server.send("PUT", "session/password", by, Some(body)).await
    };
    assert_eq!(change(&here, "wrong wrong wrong", "a new good one").await.status(), 401);
    assert_eq!(change(&here, PASSWORD, "password").await.status(), 422);
    assert_eq!(change(&server.local(), PASSWORD, "a new good one").await.status(), 403);
    let changed = change(&here, PASSWORD, "a new good one").await;
    assert_eq!(changed.status(), 204);
    assert_eq!(server.get("apps", &here).await, 401);
    assert_eq!(server.get("apps", &there).await, 401);
    let here = As::Browser(cookie(&changed));
    assert_eq!(server.get("apps", &here).await, 200);
    assert_eq!(server.try_login("ana", PASSWORD).await.status(), 401);

    // An admin sets it, demotes, removes.
    server.done("PUT", "users/ana", json!({ "password": PASSWORD })).await;
    assert_eq!(server.get("apps", &here).await, 401);
    let here = server.login("ana", PASSWORD).await;
    let run = || server.send("POST", "apps/none/run", &here, Some(json!({})));
    assert_eq!(run().await.status(), 404);
    server.done("PUT", "users/ana", json!({ "role": "viewer" })).await;
    assert_eq!(run().await.status(), 403, "at once");
    server.done("DELETE", "users/ana", Value::Null).await;
    assert_eq!(server.get("apps", &here).await, 401);
}

#[tokio::test]
async fn what_another_site_sends_is_refused() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let As::Browser(cookie) = server.login("admin", PASSWORD).await else { unreachable!() };
    let shown = server.send("GET", "session", &As::Browser(cookie.clone()), None).await;
    let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
    let csrf = shown["csrf"].as_str().unwrap();
    assert_eq!(csrf.len(), 64);
    let own = server.base.clone();
    let send = async |headers: &[(&str, &str)]| {
        let mut request = server
            .request(Method::DELETE, "/api/v1/apps/none", &As::Nobody)
            .header(header::COOKIE, &cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for (headers, expected) in [
        (&[("origin", own.as_str())][..], 404),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "null"), ("sec-fetch-site", "same-origin")], 404),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("referer", "https://evil.example/")], 403),
        (&[], 403),
        (&[("x-csrf-token", csrf)], 404),
        (&[("x-csrf-token", "0")], 403),
        (&[("x-csrf-token", csrf), ("origin", "https://evil.example")], 403),
    ] {
        assert_eq!(send(headers).await, expected, "{headers:?}");
    }
    // Nor does another site log somebody in as itself.
    let login = server
        .request(Method::POST, "/api/v1/session", &As::Nobody)
        .header(header::ORIGIN, "https://evil.example")
        .json(&json!({ "user": "admin", "password": PASSWORD }));
    assert_eq!(login.send().await.unwrap().status(), 403);
}
