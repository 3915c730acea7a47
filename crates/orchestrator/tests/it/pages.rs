//! The pages over plain HTTP: who sees what, what they weigh, what they refuse.

use model::Permission::{Follow, See};
use reqwest::{Method, StatusCode, header, redirect};
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    server::{As, PASSWORD, Place, Server},
};

/// Pages that need no name of anything.
const PLAIN: &[(&str, &str)] = &[
    ("/", "viewer"),
    ("/runs", "viewer"),
    ("/snapshots", "viewer"),
    ("/destinations", "viewer"),
    ("/settings", "viewer"),
    ("/alerts", "viewer"),
    ("/alerts/all", "viewer"),
    ("/new/alert-channel", "admin"),
    ("/new/alert-route", "admin"),
    ("/drills", "viewer"),
    ("/coverage", "viewer"),
    ("/account", "viewer"),
    ("/api", "viewer"),
    ("/apps/shop", "viewer"),
    ("/apps/shop/retention", "viewer"),
    ("/destinations/disk", "viewer"),
    ("/new/app", "admin"),
    ("/new/destination", "admin"),
    ("/apps/shop/edit", "admin"),
    ("/apps/shop/drills", "admin"),
    ("/destinations/disk/edit", "admin"),
    ("/settings/users", "admin"),
    ("/settings/tokens", "admin"),
    ("/settings/audit", "admin"),
    ("/settings/audit.csv", "admin"),
];

/// Forms: what they need, and a body that would change something.
const FORMS: &[(&str, &str, &str)] = &[
    ("/apps/shop/run", "operator", ""),
    ("/apps/shop/doctor", "operator", ""),
    ("/apps/shop/drill", "operator", ""),
    ("/apps/shop/drills", "admin", "when=daily"),
    ("/apps/shop/enabled", "admin", "enabled=false"),
    ("/apps/shop/remove", "admin", "confirm=shop"),
    ("/apps/shop/expire", "admin", ""),
    ("/apps/shop/edit", "admin", "action=save"),
    ("/new/app", "admin", "action=save"),
    ("/new/destination", "admin", "kind=local"),
    ("/destinations/disk/test", "operator", ""),
    ("/destinations/disk/edit", "admin", ""),
    ("/destinations/disk/remove", "admin", "confirm=disk"),
    ("/settings/users", "admin", "name=eve&password=long enough words&role=admin"),
    ("/new/alert-channel", "admin", "kind=ntfy&name=x&set-topic=y"),
    ("/new/alert-route", "admin", "name=x"),
    ("/coverage/ignore", "admin", "id=volume:x&reason=scratch"),
    ("/settings/tokens", "admin", "name=eve&scope=admin"),
];

async fn ready() -> (Server, App) {
    let app = App::serve(10_000).await;
    let mut server = Place::new(&[]).serve().await;
    server.http =
        reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk" }],
    });
    server.done("POST", "apps", draft).await;
    (server, app)
}

async fn status(server: &Server, method: Method, path: &str, by: &As, body: &str) -> StatusCode {
    let request = server.request(method.clone(), path, by);
    let request = if method == Method::POST {
        request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.to_owned())
    } else {
        request
    };
    request.send().await.unwrap().status()
}

fn rank(role: &str) -> usize {
    ["viewer", "operator", "admin"].iter().position(|one| *one == role).unwrap()
}

#[tokio::test]
async fn each_page_is_for_those_who_may() {
    let (server, _app) = ready().await;
    assert!(See > Follow);
    for role in ["viewer", "operator", "admin"] {
        server.add_user(&format!("the-{role}"), role).await;
    }
    for (path, _) in PLAIN {
        let seen = status(&server, Method::GET, path, &As::Nobody, "").await;
        assert_eq!(seen, StatusCode::SEE_OTHER, "{path}: a stranger was not sent to the login");
    }
    for role in ["viewer", "operator", "admin"] {
        let by = server.login(&format!("the-{role}"), PASSWORD).await;
        for (path, needs) in PLAIN {
            let seen = status(&server, Method::GET, path, &by, "").await;
            let wanted =
                if rank(role) >= rank(needs) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(seen, wanted, "{role} on {path}");
        }
        for (path, _, body) in FORMS {
            // Without the session's own token nobody changes anything.
            let seen = status(&server, Method::POST, path, &by, body).await;
            assert_eq!(seen, StatusCode::FORBIDDEN, "{role} on {path}");
            let forged = format!("{body}&csrf={}", "0".repeat(64));
            let seen = status(&server, Method::POST, path, &by, &forged).await;
            assert_eq!(seen, StatusCode::FORBIDDEN, "{role} on {path}");
        }
    }
    assert!(server.done_get("apps/shop").await["app"]["enabled"].as_bool().unwrap());
    assert_eq!(server.done_get("runs").await, json!([]), "a refused form ran something");
    for (role, fits) in [("viewer", false), ("operator", true)] {
        let by = server.login(&format!("the-{role}"), PASSWORD).await;
        let page = server.request(Method::GET, "/apps/shop", &by).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert_eq!(page.contains("action=\"/apps/shop/run\""), fits, "{role} sees the button");
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
        let body = format!("csrf={}", csrf.split('"').next().unwrap());
        let seen = status(&server, Method::POST, "/apps/shop/run", &by, &body).await;
        let wanted = if fits { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
        assert_eq!(seen, wanted, "{role}");
        let seen = status(&server, Method::POST, "/apps/shop/remove", &by, &body).await;
        assert_eq!(seen, StatusCode::FORBIDDEN, "{role}");
    }
}

#[tokio::test]
async fn pages_are_light_strict_and_quote_what_they_show() {
    let (server, _app) = ready().await;
    server.add_user("ana", "admin").await;
    let by = server.login("ana", PASSWORD).await;
    for (path, _) in PLAIN {
        let answer = server.request(Method::GET, path, &by).send().await.unwrap();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{path}");
        let page = answer.text().await.unwrap();
        assert!(
            !page.contains("<script>") && !page.contains(" style=") && !page.contains(" onclick")
        );
        assert!(!page.contains("http://") || !page.contains("src=\"http"), "{path}");
        assert!(!page.contains("Unknown localization"), "{path}: a message is missing");
        // The reference grows with the API, and is looked at by few.
        let most = if *path == "/api" { 160_000 } else { 80_000 };
        assert!(page.len() < most, "{path} has {} bytes", page.len());
    }
    let hostile = "\"><script>alert(1)</script>";
    for path in ["/?q=", "/?state=", "/runs?app=", "/login?next=", "/?done=", "/snapshots?app="] {
        let query: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
        let page =
            server.request(Method::GET, &format!("{path}{query}"), &by).send().await.unwrap();
        assert!(!page.status().is_server_error(), "{path}");
        assert!(!page.text().await.unwrap().contains("<script>alert"), "{path}");
    }
    let far =
        ["/?page=99999999999999999999", "/runs?page=18446744073709551615", "/runs/x", "/apps/%00"];
    for path in far {
        let seen = status(&server, Method::GET, path, &by, "").await;
        assert!(seen.is_client_error() || seen.is_success(), "{path}: {seen}");
    }
    let large = format!("x={}", "y".repeat(2 << 20));
    let seen = status(&server, Method::POST, "/new/app", &by, &large).await;
    assert_eq!(seen, StatusCode::PAYLOAD_TOO_LARGE);
}
