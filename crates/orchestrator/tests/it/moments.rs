//! Any moment of a real PostgreSQL server: by the command line, the API and the pages.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    chromium::{Chromium, Look, is_there},
    postgres::{self, Postgres},
    restore_pages::fits,
    road::ended,
    server::{As, PASSWORD, Place, Server},
};

/// A server with the app `shop`, of which nothing has been stored yet.
async fn ready(database: &Postgres) -> Server {
    ready_with(database, &[]).await
}

/// The same, with more variables for the server.
pub(crate) async fn ready_with(database: &Postgres, more: &[(&str, &str)]) -> Server {
    database.sql("postgres", "CREATE DATABASE shop");
    database.sql("shop", "CREATE TABLE orders (id int, at timestamptz DEFAULT clock_timestamp())");
    let admin = [("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)];
    // Beside the database's own files, which others may pass through.
    let folder = |name: &str| database.folder(name).display().to_string();
    let (roots, scratch) = (folder("restored"), folder("scratch"));
    let folders = [("BACKUP_RESTORE_ROOTS", &*roots), ("BACKUP_SCRATCH_DIR", &*scratch)];
    let server = Place::new(&[&admin[..], &folders, more].concat()).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let source = json!({ "name": "db", "kind": "postgres",
        "settings": { "host": "127.0.0.1", "port": database.port.to_string(),
            "user": postgres::USER, "database": "shop" },
        "secrets": { "password": postgres::PASSWORD } });
    let app = json!({ "name": "shop", "sources": [source],
        "destinations": [{ "destination": "disk", "folder": "apps/shop" }] });
    server.done("POST", "apps", app).await;
    server
}

/// How the archive stands, once `is` holds of it.
pub(crate) async fn once(server: &Server, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let state = server.done_get("apps/shop/recovery").await;
        if is(&state) {
            return state;
        }
        assert!(Instant::now() < until, "{what}: {state}\n{}", server.place.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) fn told(place: &Place, arguments: &[&str]) -> (i32, String) {
    let done = place.run(arguments);
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn time_of(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_is_gone_back_to_by_command_and_by_page() {
    let Some(database) = Postgres::start() else { return };
    let server = ready(&database).await;
    let place = &server.place;

    // Nothing is kept until somebody says so.
    let (code, text) = told(place, &["app", "edit", "shop", "--heartbeat"]);
    assert!(code == 2 && text.contains("--wal"), "{text}");
    let edit =
        ["app", "edit", "shop", "--wal", "stream", "--wal-window", "3d", "--base-every", "12h"];
    let edit = [&edit[..], &["--wal-destination", "disk"]].concat();
    let (code, text) = told(place, &edit);
    assert_eq!(code, 0, "{text}");
    let plan = server.done_get("apps/shop").await["app"]["recovery"].clone();
    assert_eq!((&plan["window_days"], &plan["way"]), (&json!(3), &json!("stream")), "{plan}");
    let (code, text) = told(place, &["config", "export"]);
    assert!(
        code == 0 && text.contains("recovery:") && text.contains("destination: disk"),
        "{text}"
    );

    // The first base backup would come by itself, too.
    let (code, text) = told(place, &["recovery", "base", "shop", "--wait"]);
    assert_eq!(code, 0, "{text}\n{}", place.log());
    once(&server, "a window", |state| !state["windows"].as_array().unwrap().is_empty()).await;
    database.sql("shop", "INSERT INTO orders VALUES (1)");
    let (code, text) = told(place, &["recovery", "restore-point", "shop", "before-it"]);
    assert_eq!(code, 0, "{text}");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let before: jiff::Timestamp =
        database.sql("shop", "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')").parse().unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    database.sql("shop", "DELETE FROM orders");
    database.sql("shop", "INSERT INTO orders VALUES (2)");
    database.sql("shop", "SELECT pg_switch_wal()");
    let state = once(&server, "the deletion is stored", |state| {
        let windows = state["windows"].as_array().unwrap();
        windows.last().is_some_and(|one| {
            one["last_commit_at"]
                .as_str()
                .is_some_and(|at| at.parse::<jiff::Timestamp>().unwrap() > before)
        })
    })
    .await;
    assert_eq!(state["restore_points"][0]["name"], "before-it", "{state}");
    assert!(time_of(&state["windows"][0]["start_at"]) < before);

    // The plan, the refusals and the way back, by command.
    let at = before.to_string();
    let folder = database.folder("restored").join("one").display().to_string();
    let to = ["--at", &at, "--into-folder", &folder];
    let (code, text) = told(place, &[&["recovery", "plan", "shop"][..], &to].concat());
    assert!(code == 0 && text.contains("replay from"), "{text}");
    let future =
        ["recovery", "plan", "shop", "--at", "2200-01-01T00:00:00Z", "--into-folder", &folder];
    let (code, text) = told(place, &future);
    assert!(code == 5 && text.contains("nearest moment before"), "{text}");
    let fold =
        ["restore", "shop", "--at", "2026-10-25T02:30[Europe/Madrid]", "--into-folder", "/x"];
    let (code, text) = told(place, &fold);
    assert!(code == 2 && text.contains("02:30:00+02:00"), "{text}");
    let (code, text) = told(place, &["restore", "shop", "--latest", "--to", "/x"]);
    assert!(code == 2 && text.contains("--into-folder"), "{text}");
    // Beside or in place there is nothing to go to where the server is in no container.
    let (code, text) = told(place, &["restore", "shop", "--latest"]);
    assert!(code != 0 && text.contains("say into which folder"), "{text}");
    let (code, text) = told(place, &["restore", "shop", "--latest", "--into-app", "--preflight"]);
    assert_ne!(code, 0, "{text}");
    let (code, text) = told(place, &[&["restore", "shop", "--wait"][..], &to].concat());
    assert_eq!(code, 0, "{text}\n{}", place.log());
    assert!(text.contains("last transaction"), "{text}");
    assert!(std::path::Path::new(&folder).read_dir().unwrap().next().is_some(), "nothing came");

    by_page(&server, &database).await;
}

/// The same by the pages.
async fn by_page(server: &Server, database: &Postgres) {
    if !is_there() {
        return;
    }
    let browser = Chromium::open(&server.base, Look { lang: "en", dark: false, width: 1280 }).await;
    // All of it works without a script.
    browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    browser.log_in("ana", PASSWORD).await;
    browser.go("/apps/shop").await;
    browser.sees("can be gone back to").await;
    browser.click("a[href='/apps/shop/recovery']").await;
    browser.sees("before-it").await;
    // A time without a zone that is known is told at its field.
    browser.fill("#zone", "Mars/Base").await;
    browser.click("button[value=look]").await;
    browser.sees("A time and its zone are needed").await;
    // One that was not yet: the nearest is offered.
    browser.fill("#zone", "UTC").await;
    browser.click("input[name=moment][value=restore_point]").await;
    let folder = database.folder("restored").join("two").display().to_string();
    browser.fill("#path", &folder).await;
    browser.click("button[value=look]").await;
    browser.sees("Begins with").await;
    let command = browser.find(".page-head .cli code").await.inner_html().await.unwrap();
    assert!(command.contains("restore shop --restore-point before-it"), "{command}");
    browser.click("button.primary[value=begin]").await;
    let run = ended(server, &browser.after("/runs/").await).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    browser.go(&format!("/runs/{}/report", run["id"].as_str().unwrap())).await;
    browser.sees("Where it landed").await;

    browser.go("/apps/shop/recovery").await;
    browser.fill("#point-name", "before-it").await;
    browser.click("form[action='/apps/shop/recovery/points'] button").await;
    browser.sees("give another name").await;
    browser.go("/apps/shop/timeline").await;
    browser.sees("Drills and restores").await;
    browser.click("a[href='/apps/shop/timeline?span=year']").await;
    browser.sees("Incidents").await;
    let bands = browser.ask("return document.querySelectorAll('.lane rect.good').length").await;
    assert_eq!(bands, 1);
    // The form of the app gives its plan back.
    browser.go("/apps/shop/edit").await;
    browser.fill("#wal-window", "5").await;
    browser.click(".aside button[value=save]").await;
    browser.after("/apps/").await;
    let plan = server.done_get("apps/shop").await["app"]["recovery"].clone();
    assert_eq!(
        (&plan["window_days"], &plan["base_every_hours"]),
        (&json!(5), &json!(12)),
        "{plan}"
    );
    browser.close().await;

    for (lang, dark, width) in [("es", true, 1280), ("en", false, 390)] {
        let browser = Chromium::open(&server.base, Look { lang, dark, width }).await;
        browser.log_in("ana", PASSWORD).await;
        browser.complaints().await;
        let look = format!("{lang}-{}-{width}", if dark { "dark" } else { "light" });
        for (name, path) in [
            ("moments", "/apps/shop/recovery"),
            ("timeline-day", "/apps/shop/timeline?span=day"),
            ("timeline-year", "/apps/shop/timeline?span=year"),
            ("app-with-moments", "/apps/shop"),
            ("app-form-moments", "/apps/shop/edit"),
        ] {
            browser.go(path).await;
            fits(&browser, &format!("{name}-{look}"), lang).await;
        }
        browser.go("/apps/shop/recovery").await;
        browser.click("button[value=look]").await;
        browser.find("button[value=edit]").await;
        fits(&browser, &format!("moments-preflight-{look}"), lang).await;
        assert_eq!(browser.complaints().await, [""; 0], "{look}");
        browser.close().await;
    }
}

/// A segment of a new server, as PostgreSQL would hand it over.
fn segment(database: &Postgres) -> (String, Vec<u8>) {
    let name = database.sql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())");
    database.sql("postgres", "SELECT pg_switch_wal()");
    let bytes = database
        .sql("postgres", &format!("SELECT encode(pg_read_binary_file('pg_wal/{name}'), 'hex')"));
    (name, hex::decode(bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_is_handed_over_and_given_back() {
    let Some(database) = Postgres::start() else { return };
    let server = ready(&database).await;
    let (name, bytes) = segment(&database);
    let path = format!("/api/v1/wal/shop/{name}");
    let mut tokens = Vec::new();
    for scope in ["append", "restore"] {
        let made = json!({ "name": scope, "scopes": [scope] });
        let made = server.done("POST", "tokens", made).await;
        tokens.push(As::Token(made["secret"].as_str().unwrap().to_owned()));
    }
    let [append, restore] = tokens.as_slice() else { panic!() };
    let push = async |by: &As, bytes: &[u8], sha256: Option<&str>| {
        let request = server.request(Method::PUT, &path, by).body(bytes.to_vec());
        let request = match sha256 {
            Some(sha256) => request.header("X-Checksum-SHA256", sha256),
            None => request,
        };
        request.send().await.unwrap().status()
    };
    let fetch =
        async |by: &As, path: &str| server.request(Method::GET, path, by).send().await.unwrap();

    assert_eq!(push(append, &bytes, None).await, 409, "an app that keeps no WAL takes none");
    let (code, text) = told(&server.place, &["app", "edit", "shop", "--wal", "push"]);
    assert_eq!(code, 0, "{text}");
    let none = fetch(restore, &path).await;
    assert_eq!(
        (none.status(), &none.headers()["x-wal"]),
        (StatusCode::NOT_FOUND, &"absent".parse().unwrap())
    );
    // Neither a wrong app nor a wrong checksum is taken for anything else.
    let wrong = fetch(restore, &format!("/api/v1/wal/shopp/{name}")).await;
    assert!(wrong.status() == 404 && wrong.headers().get("x-wal").is_none());
    let other = "0".repeat(64);
    assert!(push(append, &bytes, Some(&other)).await.as_u16() >= 400);
    assert_eq!(fetch(restore, &path).await.status(), 404, "half a proof is none");
    assert_eq!(push(restore, &bytes, None).await, 403);

    let right = crate::app::sha256(&bytes);
    assert_eq!(push(append, &bytes, Some(&right)).await, 201);
    assert_eq!(push(append, &bytes, None).await, 200, "the same again");
    let mut changed = bytes.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(push(append, &changed, None).await, 409, "other content under the same name");
    assert_eq!(fetch(append, &path).await.status(), 403);
    let came = fetch(restore, &path).await.bytes().await.unwrap();
    assert!(came == bytes, "{} bytes came of {}", came.len(), bytes.len());
    let audit = server.done_get("audit").await.to_string();
    assert!(audit.contains("wal.fetch") && !audit.contains("wal.push"), "{audit}");
}
