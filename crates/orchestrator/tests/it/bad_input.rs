//! Bad input on the API: each answer is a problem document, and the server lives.

use std::{fmt::Write as _, time::Duration};

use reqwest::{Method, Response, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    app::{App, TOKEN},
    server::{As, Place, Server},
};

pub(crate) async fn furnished(app: &App) -> Server {
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    server.done("POST", "apps", draft(app)).await;
    server
}

fn draft(app: &App) -> Value {
    json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "shop" }],
    })
}

pub(crate) async fn sends(
    server: &Server,
    method: &str,
    path: &str,
    body: impl Into<String>,
) -> Response {
    let request =
        server.request(method.parse().unwrap(), &format!("/api/v1/{path}"), &server.local());
    let request = request.header(header::CONTENT_TYPE, "application/json").body(body.into());
    request.timeout(Duration::from_secs(30)).send().await.unwrap()
}

/// A refusal is a problem document of its own status. Gives the status.
async fn refused(reply: Response, about: &str) -> u16 {
    let status = reply.status().as_u16();
    assert!((400..500).contains(&status), "{about}: {status}");
    assert_eq!(reply.headers()[header::CONTENT_TYPE], "application/problem+json", "{about}");
    let problem: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    assert_eq!(problem["status"], status, "{about}");
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{about}");
    assert!(problem["detail"].as_str().unwrap().chars().count() < 3_000, "{about}");
    status
}

async fn assert_lives(server: &Server) {
    let shown = server.done_get("apps").await;
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    assert!(!server.place.log().contains("panicked"), "{}", server.place.log());
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be() {
    let app = App::serve(1_000).await;
    let server = furnished(&app).await;
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let deep_member = format!(r#"{{"name":{deep}}}"#);
    let with = |more: &str| {
        let text = draft(&app).to_string();
        format!("{{{more},{}", text.strip_prefix('{').unwrap())
    };
    let full_edit = with(r#""version":1,"surprise":1"#);
    let bodies: &[(&str, &str, &str, &str, u16)] = &[
        ("not JSON", "POST", "apps", "name=shop", 400),
        ("nothing", "POST", "apps", "", 400),
        ("half", "POST", "apps", r#"{"name":"#, 400),
        ("two", "POST", "apps", "{} {}", 400),
        ("deep", "POST", "apps", &deep, 422),
        ("deep member", "POST", "apps", &deep_member, 422),
        ("a list", "POST", "users", "[1]", 422),
        ("null", "POST", "tokens", "null", 422),
        ("unknown member", "POST", "apps", &with(r#""admin":true"#), 422),
        ("unknown member of an edit", "PUT", "apps/shop", &full_edit, 422),
        ("no version", "PUT", "apps/shop", &with(r#""enabled":true"#), 422),
        ("duplicate key", "POST", "apps", &with(r#""name":"other""#), 422),
        ("duplicate key of an edit", "PUT", "apps/shop", &with(r#""version":1,"name":"x""#), 422),
        ("wrong type", "POST", "apps", &with(r#""enabled":"yes""#), 422),
        (
            "number for a secret",
            "POST",
            "users",
            r#"{"name":"a","password":5,"role":"admin"}"#,
            422,
        ),
        ("2^64", "POST", "apps", &with(r#""limits":{"max_size_bytes":18446744073709551616}"#), 422),
        ("-1 bytes", "POST", "apps", &with(r#""limits":{"max_size_bytes":-1}"#), 422),
        ("1e400", "POST", "apps", &with(r#""limits":{"max_size_bytes":1e400}"#), 400),
        ("NaN", "POST", "apps", &with(r#""limits":{"max_size_bytes":NaN}"#), 400),
        ("no bytes", "POST", "apps", &with(r#""limits":{"max_size_bytes":0}"#), 422),
        ("keep 0", "POST", "apps", &with(r#""retention":{"keep_daily":0}"#), 422),
        ("keep -1", "POST", "apps", &with(r#""retention":{"keep_daily":-1}"#), 422),
        ("keep too many", "POST", "apps", &with(r#""retention":{"keep_last":4294967295}"#), 422),
        ("no such rule", "POST", "apps", &with(r#""retention":{"keep_all":1}"#), 422),
        ("each second", "POST", "apps", &with(r#""schedule":{"spec":"* * * * * *"}"#), 422),
        ("no such date", "POST", "apps", &with(r#""schedule":{"spec":"0 0 30 2 *"}"#), 422),
        ("each second ahead", "POST", "schedule/next", r#"{"spec":"* * * * * *"}"#, 422),
        ("nowhere", "POST", "schedule/next", r#"{"spec":"daily","time_zone":"Mars"}"#, 422),
        ("-1 times", "POST", "schedule/next", r#"{"spec":"daily","count":-1}"#, 422),
        ("a lone surrogate", "POST", "apps", r#"{"name":"\ud800"}"#, 400),
        ("copy to nowhere", "POST", "snapshots/x/copy", "{}", 422),
    ];
    for (about, method, path, body, status) in bodies {
        let found = refused(sends(&server, method, path, *body).await, about).await;
        // How serde_json tells depth and syntax apart is not ours to promise.
        let either = about.starts_with("deep") || about.starts_with("1e400");
        assert!(found == *status || either && matches!(found, 400 | 422), "{about}: {found}");
    }
    // Bytes that are no text, and what is not said to be JSON.
    let request = server.request(Method::POST, "/api/v1/apps", &server.local());
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let reply = request.body(vec![b'"', 0xff, 0xfe, b'"']).send().await.unwrap();
    assert_eq!(refused(reply, "not UTF-8").await, 400);
    let request = server.request(Method::POST, "/api/v1/apps", &server.local());
    let reply = request.body("{}").send().await.unwrap();
    assert_eq!(refused(reply, "no content type").await, 415);
    assert_lives(&server).await;
}

#[tokio::test]
async fn names_and_addresses_that_would_do_harm() {
    let app = App::serve(1_000).await;
    let server = furnished(&app).await;
    let names = [
        "",
        " ",
        "a\0b",
        "a\nb",
        "--option",
        "-rf",
        "$(id)",
        "a;id",
        "`id`",
        "../x",
        "a/b",
        "a\\b",
        "a..b",
        ".hidden",
        "ñ",
        "\u{202e}abc",
        "a|b",
        "'",
        "\"",
        "*",
        "%00",
        "con:aux",
    ];
    let long = "x".repeat(65);
    for name in names.into_iter().chain([long.as_str()]) {
        let mut app_draft = draft(&app);
        app_draft["name"] = name.into();
        let disk = json!({ "name": name, "kind": "local", "settings": { "path": "/tmp/x" } });
        let password = "correct horse battery";
        let user = json!({ "name": name, "role": "viewer", "password": password });
        let token = json!({ "name": name, "scopes": ["read"] });
        for (path, body) in
            [("apps", app_draft), ("destinations", disk), ("users", user), ("tokens", token)]
        {
            let about = format!("{path} {name:?}");
            let reply = sends(&server, "POST", path, body.to_string()).await;
            assert_eq!(refused(reply, &about).await, 422, "{about}");
        }
    }
    for url in [
        "",
        "--help",
        "shop",
        "file:///etc/passwd",
        "ftp://shop/",
        "javascript:alert(1)",
        "http://",
        "http://user:pass@shop/",
        "http://169.254.169.254/",
        "http://[fe80::1]/",
        "http://0.0.0.0/",
        "http://shop:99999/",
        "http://sh\0op/",
        "http://a b/",
        "http://shop/\nX: y",
    ] {
        let mut body = draft(&app);
        body["name"] = "other".into();
        body["url"] = url.into();
        for path in ["apps", "connection/test"] {
            let about = format!("{path} {url:?}");
            let reply = sends(&server, "POST", path, body.to_string()).await;
            if reply.status() == 200 {
                // An address that is only found wrong when it is tried.
                let report: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
                assert!(report["checks"].to_string().contains("failed"), "{about}: {report}");
            } else {
                assert_eq!(refused(reply, &about).await, 422, "{about}");
            }
        }
    }
    assert_lives(&server).await;
}

#[tokio::test]
async fn settings_that_would_do_harm() {
    let app = App::serve(1_000).await;
    let server = furnished(&app).await;
    let settings = [
        ("rclone", json!({ "remote": "--config=/x", "path": "x" })),
        ("rclone", json!({ "remote": "r\nr", "path": "x" })),
        ("local", json!({ "path": "a\0b" })),
        ("local", json!({ "path": "/x", "mode": "777" })),
        ("local", json!({})),
        ("s3", json!({ "bucket": "-b" })),
        ("ftp", json!({})),
    ];
    for (kind, settings) in settings {
        let body = json!({ "name": "other", "kind": kind, "settings": settings });
        let about = body.to_string();
        let reply = sends(&server, "POST", "destinations", about.clone()).await;
        assert_eq!(refused(reply, &about).await, 422, "{about}");
    }
    for folder in ["../up", "a/../../b", "a\nb", "a//b", "./a", "a\0b"] {
        let mut body = draft(&app);
        body["name"] = "other".into();
        body["destinations"][0]["folder"] = folder.into();
        let reply = sends(&server, "POST", "apps", body.to_string()).await;
        assert_eq!(refused(reply, folder).await, 422, "{folder:?}");
    }
    for (path, body) in [
        ("apps/shop/run", json!({ "label": "a\nb" })),
        ("apps/shop/run", json!({ "label": "x".repeat(201) })),
        ("apps/shop/run", json!({ "git_commit": "--help" })),
        ("apps/shop/run", json!({ "kind": "whatever" })),
    ] {
        let reply = sends(&server, "POST", path, body.to_string()).await;
        assert_eq!(refused(reply, path).await, 422, "{body}");
    }
    assert_lives(&server).await;
}

#[tokio::test]
async fn paths_and_queries_that_make_no_sense() {
    let app = App::serve(1_000).await;
    let server = furnished(&app).await;
    for (path, status) in [
        ("apps/%00", 404),
        ("apps/%ff", 400),
        ("apps/..%2f..%2fetc", 404),
        ("apps/%0a", 404),
        ("apps/'%20OR%201=1--", 404),
        ("runs/1", 404),
        ("runs/%2e%2e/log", 404),
        ("runs/0/events", 404),
        ("snapshots/zzzzzzzzzzzzzzzzzzzzzzzzzz", 404),
        ("snapshots/x/artifacts/..%2f", 404),
        ("nothing/here", 404),
        ("runs?limit=-1", 400),
        ("runs?limit=x", 400),
        ("runs?limit=18446744073709551616", 400),
        ("runs?page_size=1000000000", 400),
        ("runs?limit=1&limit=2", 400),
        ("runs?app=none", 404),
        ("audit?who=a&x=1", 400),
        ("events?limit=1e9", 400),
        ("runs/x/log?after=9223372036854775808", 400),
    ] {
        let reply = server.send("GET", path, &server.local(), None).await;
        assert_eq!(refused(reply, path).await, status, "{path}");
    }
    // Much is asked for, no more than there may be is given.
    for path in ["runs?limit=1000000000", "events?limit=1000000000", "audit?limit=1000000000"] {
        let found = server.done_get(path).await;
        assert!(found.as_array().unwrap().len() <= 500);
    }
    server.done_get("runs?offset=18446744073709551615&limit=0").await;
    let ahead = json!({ "spec": "@every 1m", "count": 1_000_000_000 });
    let fires = server.done("POST", "schedule/next", ahead).await;
    assert_eq!(fires["fires"].as_array().unwrap().len(), 100);
    assert_lives(&server).await;
}

/// What a server says to raw bytes.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // It may answer and hang up before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn requests_that_are_too_large() {
    let app = App::serve(1_000).await;
    let server = furnished(&app).await;
    let As::Token(token) = server.local() else { unreachable!() };
    let head = |method: &str, path: &str, more: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n{more}\r\n"
        )
    };
    // A body of 2 MiB, told and untold.
    let large = "x".repeat(2 << 20);
    let json = "content-type: application/json\r\n";
    let told = head("POST", "/api/v1/apps", &format!("{json}content-length: {}\r\n", large.len()));
    let said = raw(&server, &[told.as_bytes(), large.as_bytes()].concat()).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said:.100}");
    assert!(said.contains("application/problem+json"), "{said:.300}");
    let untold = head("POST", "/api/v1/apps", &format!("{json}transfer-encoding: chunked\r\n"));
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let said = raw(&server, &[untold.as_bytes(), chunk.as_bytes()].concat()).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said:.100}");
    // Headers of 64 KiB and more, in one and in many.
    let one = format!("x: {}\r\n", "y".repeat(1 << 20));
    let said = raw(&server, head("GET", "/api/v1/apps", &one).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431") || said.starts_with("HTTP/1.1 400"), "{said:.100}");
    let mut many = String::new();
    for at in 0..2_000 {
        let _ = write!(many, "x-{at}: {}\r\n", "y".repeat(32));
    }
    let said = raw(&server, head("GET", "/api/v1/apps", &many).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431") || said.starts_with("HTTP/1.1 400"), "{said:.100}");
    // Framing that two parties might read in two ways.
    for more in [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: chunked, identity\r\n",
    ] {
        let said = raw(&server, (head("POST", "/api/v1/apps", more) + "{}").as_bytes()).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{more}: {said:.100}");
    }
    let said = raw(&server, b"\x16\x03\x01\x00\xa5 not HTTP at all\r\n\r\n").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said:.100}");
    assert_lives(&server).await;
}
