//! Secrets are in no reply, no log and no file.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    page_roles,
    permissions::ROUTES,
    server::{As, Place, Server},
};

const APP_TOKEN: &str = "canary-app-token-7f3a9c";
const KEY_ID: &str = "canary-key-id-51be20";
const ACCESS_KEY: &str = "canary-access-key-8d16e4";
const PASSWORD: &str = "canary-password-c2f871";
const BOT: &str = "123456:canary-bot-token-a41d7e";
const HOOK: &str = "canary-hook-token-93b0c5";
const WRONG: &str = "canary-wrong-password-0b6d93";

/// An app that answers every request with a failure that repeats the request, token and all.
fn telltale() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = vec![0; 8_192];
            let length = stream.read(&mut request).unwrap_or(0);
            let head = format!(
                "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&request[..length]);
        }
    });
    port
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Channels whose servers repeat what they are sent; gives what came of trying them.
async fn channels(server: &Server, url: &str) -> Vec<String> {
    let bot = json!({
        "name": "bot", "kind": "telegram", "settings": { "api": url, "chat_id": "5" },
        "secrets": { "token": BOT },
    });
    let hook = json!({
        "name": "hook", "kind": "slack", "secrets": { "url": format!("{url}/{HOOK}") },
    });
    let mut tried = Vec::new();
    for (name, channel) in [("bot", bot), ("hook", hook)] {
        server.done("POST", "alert-channels", channel).await;
        let test = format!("alert-channels/{name}/test");
        tried.push(server.done("POST", &test, json!({})).await.to_string());
    }
    tried
}

#[tokio::test]
async fn secrets_do_not_show() {
    let place = Place::new(&[("APP_ADMIN_PASS", PASSWORD), ("RUST_LOG", "trace")]);
    let server = place.serve().await;
    let url = format!("http://127.0.0.1:{}", telltale());

    server.try_login("admin", WRONG).await;
    server.try_login(WRONG, PASSWORD).await;
    let browser = server.login("admin", PASSWORD).await;
    let As::Browser(cookie) = browser.clone() else { unreachable!() };
    let session = cookie.split_once('=').unwrap().1.to_owned();
    let token = json!({ "name": "ci", "scopes": ["admin"] });
    let token = server.done("POST", "tokens", token).await;
    let token = token["secret"].as_str().unwrap().to_owned();

    let disk = server.place.folder.path().join("disk").display().to_string();
    let disk = json!({
        "name": "disk", "kind": "local", "settings": { "path": disk, "encryption": "age" },
    });
    let added = server.done("POST", "destinations", disk).await;
    let identity = added["generated_identity"].as_str().unwrap().to_owned();
    assert!(identity.starts_with("AGE-SECRET-KEY-1"));
    server.done("POST", "destinations/disk/test", json!({})).await;
    let again = server.done("GET", "destinations/disk", Value::Null).await;
    assert!(again["settings"]["age_recipients"].as_str().unwrap().starts_with("age1"), "{again}");
    assert!(!again.to_string().contains(&identity));
    let s3 = json!({
        "name": "s3", "kind": "s3",
        "settings": { "bucket": "bucket", "endpoint": url, "region": "us-east-1" },
        "secrets": { "access_key_id": KEY_ID, "secret_access_key": ACCESS_KEY },
    });
    server.done("POST", "destinations", s3).await;
    let app = json!({
        "name": "shop", "url": url, "token": APP_TOKEN,
        "destinations": [{ "destination": "disk", "folder": "shop" }],
    });
    server.done("POST", "apps", app).await;
    let tried = channels(&server, &url).await;
    let doctor = server.done("POST", "apps/shop/doctor", json!({})).await;
    let tested = tokio::time::timeout(
        Duration::from_secs(60),
        server.done("POST", "destinations/s3/test", json!({})),
    );
    let tested = tested.await.expect("a failing destination is told within a minute");
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    let run = run["id"].as_str().unwrap().to_owned();
    let mut shown = Value::Null;
    for _ in 0..200 {
        shown = server.done("GET", &format!("runs/{run}"), Value::Null).await;
        if !shown["run"]["finished_at"].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shown["run"]["state"], "failed", "{shown}");

    let ours =
        [APP_TOKEN, ACCESS_KEY, KEY_ID, PASSWORD, WRONG, &token, &session, &identity, BOT, HOOK];
    let canaries: Vec<_> = ours.into_iter().chain(["$argon2id"]).collect();
    let mut replies = vec![doctor.to_string(), tested.to_string()];
    replies.extend(tried);
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let path = route.path.strip_prefix("/api/v1/").unwrap();
        let path =
            path.replace("{app}", "shop").replace("{run}", &run).replace("{destination}", "s3");
        let path = path.replace("{channel}", "bot");
        let reply = server.send("GET", &path, &browser, None).await;
        let headers = format!("{:?}", reply.headers());
        replies.push(format!("{path} {headers} {}", reply.text().await.unwrap()));
    }
    for page in page_roles::table().iter().filter(|page| page.method == "GET") {
        let path = page
            .path
            .replace("{app}", "shop")
            .replace("{run}", &run)
            .replace("{destination}", "s3")
            .replace("{channel}", "hook");
        let reply = server.request(reqwest::Method::GET, &path, &browser);
        let reply = reply.timeout(Duration::from_secs(20)).send().await.unwrap();
        replies.push(format!("{path} {}", reply.text().await.unwrap()));
    }
    let admin = server.send("GET", "session", &browser, None).await;
    replies.push(admin.text().await.unwrap());
    for canary in &canaries {
        for reply in &replies {
            assert!(!reply.contains(*canary), "{canary} is in {reply}");
        }
    }

    let place = server.stop();
    let log = place.log();
    assert!(log.contains("listening on"), "there is a log: {log}");
    for canary in &canaries {
        let line = log.lines().find(|line| line.contains(*canary));
        assert_eq!(line, None, "{canary}");
    }
    let mut kept = Vec::new();
    files(&place.data(), &mut kept);
    assert!(kept.len() >= 4, "{kept:?}");
    for (name, bytes) in kept {
        for canary in ours {
            assert!(!holds(&bytes, canary), "{canary} is in {name}");
        }
    }
}
