//! Every route of the table, by everybody.

use std::time::Duration;

use model::Permission::{self, Administer, Configure, Download, Follow, Operate, Run, See};
use serde_json::{Value, json};

use crate::{
    permissions::ROUTES,
    server::{As, PASSWORD, Place, Server},
};

pub(crate) const ALL: &[Permission] = &[Follow, See, Run, Operate, Download, Configure, Administer];

/// `None` is a caller that nobody knows.
pub(crate) type Caller = (String, As, Option<&'static [Permission]>);

async fn token(server: &Server, scope: &str, expires_at: Value) -> As {
    let name = if expires_at.is_null() { scope } else { "expired" };
    let body = json!({ "name": name, "scopes": [scope], "expires_at": expires_at });
    let made = server.done("POST", "tokens", body).await;
    As::Token(made["secret"].as_str().unwrap().to_owned())
}

pub(crate) async fn everybody(server: &Server) -> Vec<Caller> {
    let mut all: Vec<Caller> = vec![
        ("anonymous".to_owned(), As::Nobody, None),
        ("unknown token".to_owned(), As::Token(format!("bo_{}", "0".repeat(64))), None),
        ("unknown session".to_owned(), As::Browser(format!("session={}", "0".repeat(64))), None),
        ("this machine".to_owned(), server.local(), Some(ALL)),
    ];
    let roles: [(&str, &'static [Permission]); 3] = [
        ("viewer", &[Follow, See]),
        ("operator", &[Follow, See, Run, Operate, Download]),
        ("admin", ALL),
    ];
    for (role, allowed) in roles {
        server.add_user(&format!("the-{role}"), role).await;
        let by = server.login(&format!("the-{role}"), PASSWORD).await;
        all.push((format!("role {role}"), by, Some(allowed)));
    }
    let scopes: [(&str, &'static [Permission]); 5] = [
        ("read", &[Follow, See]),
        ("run", &[Follow, See, Run, Operate]),
        ("restore", &[Follow, See, Download]),
        ("admin", ALL),
        ("append", &[Follow, Run]),
    ];
    for (scope, allowed) in scopes {
        let by = token(server, scope, Value::Null).await;
        all.push((format!("scope {scope}"), by, Some(allowed)));
    }
    let soon = jiff::Timestamp::now() + Duration::from_secs(1);
    let expired = token(server, "admin", json!(soon.to_string())).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    all.push(("expired token".to_owned(), expired, None));
    let revoked = json!({ "name": "revoked", "scopes": ["admin"] });
    let revoked = server.done("POST", "tokens", revoked).await;
    server.done("DELETE", "tokens/revoked", Value::Null).await;
    let revoked = As::Token(revoked["secret"].as_str().unwrap().to_owned());
    all.push(("revoked token".to_owned(), revoked, None));
    all
}

/// A path whose names nothing has.
pub(crate) fn concrete(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "01jd5k3m9x0000000000000000" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn each_route_lets_in_whom_it_should() {
    let server = Place::new(&[]).serve().await;
    let callers = everybody(&server).await;
    let mut wrong = Vec::new();
    for route in ROUTES {
        for (name, by, allowed) in &callers {
            let body = (route.method != "GET").then(|| json!({}));
            let path = concrete(route.path.strip_prefix("/api/v1/").unwrap());
            let reply = server.send(route.method, &path, by, body).await;
            let status = reply.status().as_u16();
            let right = match allowed {
                None => status == 401,
                Some(some) if some.contains(&route.permission) => {
                    !matches!(status, 401 | 403 | 405 | 500..)
                }
                Some(_) => status == 403,
            };
            if !right {
                let said = reply.text().await.unwrap();
                wrong.push(format!("{} {} as {name}: {status} {said}", route.method, route.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_not_in_the_table_is_refused_to_everybody() {
    let server = Place::new(&[]).serve().await;
    let reply = server.send("PATCH", "apps", &server.local(), Some(json!({}))).await;
    assert_eq!(reply.status(), 403);
    let problem = reply.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(problem, "application/problem+json");
    assert_eq!(server.get("nothing-here", &server.local()).await, 404);
    // A wrong token is not saved by a right cookie.
    server.add_user("ana", "admin").await;
    let As::Browser(cookie) = server.login("ana", PASSWORD).await else { unreachable!() };
    let both = server.request(reqwest::Method::GET, "/api/v1/apps", &As::Token("bo_x".into()));
    let both = both.header("cookie", cookie).send().await.unwrap();
    assert_eq!(both.status(), 401);
}

#[tokio::test]
async fn an_admin_is_always_left_and_deeds_are_noted() {
    let server = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]).serve().await;
    let by = server.login("admin", PASSWORD).await;
    for (method, path, body) in [
        ("DELETE", "users/admin", None),
        ("PUT", "users/admin", Some(json!({ "role": "operator" }))),
    ] {
        let reply = server.send(method, path, &by, body).await;
        assert_eq!(reply.status(), 409);
        assert!(reply.text().await.unwrap().contains("last admin"));
    }
    let weak = json!({ "name": "bo", "role": "viewer", "password": "bo" });
    assert_eq!(server.send("POST", "users", &by, Some(weak)).await.status(), 422);
    for (name, status) in [("bo", 201), ("BO", 409), ("b o", 422), ("--help", 422)] {
        let body = json!({ "name": name, "role": "viewer", "password": PASSWORD });
        let reply = server.send("POST", "users", &by, Some(body)).await;
        assert_eq!(reply.status().as_u16(), status, "{name}");
    }
    server.send("POST", "tokens", &by, Some(json!({ "name": "ci", "scopes": ["run"] }))).await;
    server.send("DELETE", "tokens/ci", &by, None).await;
    server.send("DELETE", "users/bo", &by, None).await;
    let log = server.send("GET", "audit?limit=5&who=admin", &by, None).await;
    let log: Vec<Value> = serde_json::from_str(&log.text().await.unwrap()).unwrap();
    let deeds: Vec<_> =
        log.iter().map(|one| (one["action"].as_str(), one["target"].as_str())).collect();
    let expected = [
        ("user.remove", "bo"),
        ("token.revoke", "ci"),
        ("token.create", "ci"),
        ("user.add", "bo"),
        ("login", "admin"),
    ];
    assert_eq!(deeds, expected.map(|(action, target)| (Some(action), Some(target))));
    assert_eq!(log[0]["from"], "127.0.0.1");
}
