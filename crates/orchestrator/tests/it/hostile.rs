//! Text that others make up (labels, names that somebody tries to log in with, browsers, files in an
//! archive, what an app answers) in every place where it is shown.

use std::collections::BTreeMap;

use reqwest::{Method, header};
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    road::{ended, ran},
    server::{As, PASSWORD, Place, Server},
};

const MARKUP: &str = "<img src=x onerror=alert(1)>";
const TURNED: &str = "\u{202e}gpj\u{2066}.exe\u{200f}";

fn is_harmful(character: char) -> bool {
    let turns = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control() && !matches!(character, '\n' | '\t')
}

/// What a page shows: its text without tags.
fn shown(page: &str) -> String {
    regex::Regex::new("<[^>]*>").unwrap().replace_all(page, "").into_owned()
}

async fn page(server: &Server, by: &As, path: &str) -> String {
    let reply = server.request(Method::GET, path, by).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    reply.text().await.unwrap()
}

/// A tar with a file of a name that is to do harm.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in [
        format!("{MARKUP}{TURNED}.txt"),
        "=cmd|' /C calc'!A0".to_owned(),
        "a\u{1b}[31mb\nc".to_owned(),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(5);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &b"hello"[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_make_up_is_shown_as_it_is() {
    let app = App::serve_file("shop.tar", archive()).await;
    let server = Place::new(&[("METRICS_OPEN", "true"), ("LOG_FORMAT", "text")]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let draft = |name: &str, url: &str| {
        json!({
            "name": name, "url": url, "token": TOKEN, "limits": { "retries": 0 },
            "destinations": [{ "destination": "disk", "folder": name }],
        })
    };
    server.done("POST", "apps", draft("shop", &app.url())).await;
    let label = format!("{MARKUP} =1+1 `x` *b* @everyone");
    let run = server.done("POST", "apps/shop/run", json!({ "label": label })).await;
    let run = ended(&server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    // An app that answers with markup, and steers terminals.
    let rude = rude().await;
    server.done("POST", "apps", draft("rude", &rude)).await;
    let failed = server.done("POST", "apps/rude/run", json!({})).await;
    let failed = ended(&server, failed["id"].as_str().unwrap()).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    // Somebody who tries names, with a browser of a strange name.
    server.try_login(&format!("{MARKUP}\u{1b}[31m\r\n{TURNED}"), "nonsense").await;
    server.try_login("=cmd|' /C calc'!A0", "nonsense").await;
    server.add_user("ana", "admin").await;
    let login = server.request(Method::POST, "/api/v1/session", &As::Nobody);
    let login = login.header(header::USER_AGENT, format!("{MARKUP} =1+1"));
    let login = login.json(&json!({ "user": "ana", "password": PASSWORD })).send().await.unwrap();
    assert_eq!(login.status(), 204);
    let by = server.login("ana", PASSWORD).await;

    let (run, failed, snapshot) = (
        run["id"].as_str().unwrap(),
        failed["id"].as_str().unwrap(),
        run["snapshot_id"].as_str().unwrap(),
    );
    let paths = [
        "/".to_owned(),
        "/runs".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{failed}"),
        "/apps/shop".to_owned(),
        "/apps/rude".to_owned(),
        "/apps/shop/timeline".to_owned(),
        "/apps/shop/retention".to_owned(),
        "/snapshots".to_owned(),
        format!("/snapshots/{snapshot}"),
        format!("/snapshots/{snapshot}/restore"),
        format!("/snapshots/{snapshot}/browse/shop"),
        "/alerts".to_owned(),
        "/settings/audit".to_owned(),
        "/settings/sessions".to_owned(),
        "/account".to_owned(),
    ];
    pages_are_legible(&server, &by, &paths).await;
    commands_are_legible(&server, run, failed, snapshot);
    the_audit_log_is_no_formula(&server, &by).await;
    metrics_and_log_are_lines(&server).await;
}

async fn pages_are_legible(server: &Server, by: &As, paths: &[String]) {
    let mut met = BTreeMap::new();
    for path in paths {
        let html = page(server, by, path).await;
        assert!(!html.contains("<img src=x"), "{path} has it as markup");
        let text = shown(&html);
        let harmful: Vec<_> = text.chars().filter(|one| is_harmful(*one)).collect();
        assert!(harmful.is_empty(), "{path} shows {harmful:?}");
        met.insert(path.clone(), text.contains("&#60;img src=x") || text.contains("&lt;img"));
    }
    // The test would find nothing where nothing of it is shown.
    let seen = met.values().filter(|met| **met).count();
    assert!(seen >= 5, "{met:#?}");
}

fn commands_are_legible(server: &Server, run: &str, failed: &str, snapshot: &str) {
    // Tables of the command line, and what goes wrong there.
    let commands: &[&[&str]] = &[
        &["runs"],
        &["run-show", run],
        &["run-show", failed],
        &["logs", run],
        &["logs", failed],
        &["snapshots"],
        &["snapshot-show", snapshot],
        &["app", "show", "rude"],
        &["overview"],
        &["audit"],
        &["alert", "list", "--all"],
        &["app", "show", "\u{1b}[31m\u{202e}"],
        &["doctor", "app", "rude"],
    ];
    for words in commands {
        let done = server.place.run(words);
        for text in [&done.stdout, &done.stderr] {
            let text = String::from_utf8_lossy(text);
            let harmful: Vec<_> = text.chars().filter(|one| is_harmful(*one)).collect();
            assert!(harmful.is_empty(), "{words:?} shows {harmful:?} in {text}");
        }
    }
    let told = String::from_utf8(server.place.run(&["audit"]).stdout).unwrap();
    // A name that nobody has may be a password in the wrong field: it is not kept.
    assert!(told.contains("unknown user") && !told.contains("onerror"), "{told}");
}

async fn the_audit_log_is_no_formula(server: &Server, by: &As) {
    // The audit log as a table: one line for each entry, and no formula.
    let table = page(server, by, "/settings/audit.csv").await;
    assert!(table.contains("unknown user") && !table.contains("=cmd|"), "{table}");
    for line in table.lines() {
        for cell in line.split("\",\"").flat_map(|part| part.split(',')) {
            let cell = cell.trim_matches('"');
            assert!(!cell.starts_with(['=', '@', '\t', '\r']), "{cell} in {line}");
        }
    }
    let entries = server.done_get("audit?limit=500").await.as_array().unwrap().len();
    let written = csv_records(&table);
    assert!(written.abs_diff(entries + 1) <= 1, "{written} lines of {entries} entries");
}

async fn metrics_and_log_are_lines(server: &Server) {
    // Metrics and log: a line is a line.
    let metrics = server.request(Method::GET, "/metrics", &As::Nobody).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("rude"), "{metrics}");
    let sample =
        regex::Regex::new(r#"^(#.*|[a-z_:]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? \S+)$"#).unwrap();
    for line in metrics.lines() {
        assert!(sample.is_match(line) && !line.chars().any(is_harmful), "{line}");
    }
    let log = server.place.log();
    assert!(!log.contains("panicked") && !log.contains('\u{7}'), "{log}");
}

/// Records of a table in which line ends within quotes are no ends.
fn csv_records(table: &str) -> usize {
    let mut quoted = false;
    table
        .chars()
        .filter(|one| {
            quoted ^= *one == '"';
            *one == '\n' && !quoted
        })
        .count()
}

/// An app that answers everything with what nobody should show.
async fn rude() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = format!("{MARKUP}\u{1b}[31m\r\n\u{7}{TURNED}");
    let answer = move || async move { (axum::http::StatusCode::INTERNAL_SERVER_ERROR, body) };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_the_json_log_are_lines() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[("LOG_FORMAT", "json")]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let shop = json!({ "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk" }] });
    server.done("POST", "apps", shop).await;
    ran(&server, "shop").await;
    let rude = rude().await;
    let draft = json!({ "name": "rude", "url": rude, "token": TOKEN, "limits": { "retries": 0 },
        "destinations": [{ "destination": "disk", "folder": "rude" }] });
    server.done("POST", "apps", draft).await;
    let run = server.done("POST", "apps/rude/run", json!({})).await;
    ended(&server, run["id"].as_str().unwrap()).await;
    let log = server.place.log();
    assert!(log.lines().count() > 3, "{log}");
    // Before them the first login is told to people.
    for line in log.lines().skip_while(|line| !line.starts_with('{')) {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["message"].is_string() || line["msg"].is_string(), "{line}");
    }
}
