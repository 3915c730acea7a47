//! What the server tells those who watch it: metrics, health, its log as JSON.
#![allow(clippy::float_cmp, reason = "whole numbers, read as they were written")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    promtool,
    road::{ended, ran},
    server::{As, PASSWORD, Place, Server},
};

/// Where nothing listens.
const NOBODY: &str = "http://127.0.0.1:1";
const OWN_TOKEN: &str = "0123456789abcdef0123";

/// The samples of a page: name and labels as they stand there, and the value.
pub(crate) type Samples = BTreeMap<String, f64>;

pub(crate) fn samples(page: &str) -> Samples {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

pub(crate) async fn page(server: &Server, by: &As) -> String {
    let reply = server.request(Method::GET, "/metrics", by).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{}", server.place.log());
    let media = reply.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
    reply.text().await.unwrap()
}

/// Asks until the page says what it should: it is kept for a second.
async fn until(server: &Server, fits: impl Fn(&Samples) -> bool) -> (String, Samples) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let page = page(server, &server.local()).await;
        let found = samples(&page);
        if fits(&found) {
            return (page, found);
        }
        assert!(Instant::now() < end, "{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn with_app(server: &Server, url: &str, name: &str) {
    let draft = json!({
        "name": name, "url": url, "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": name }],
        "limits": { "retries": 0, "objective_secs": 7_200 },
    });
    server.done("POST", "apps", draft).await;
}

async fn with_disk(server: &Server) {
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_runs_did_and_go_on_after_a_restart() {
    let app = App::serve(50_000).await;
    // Copies of the catalog would make the folder that is taken away.
    let server = Place::new(&[("BACKUP_CATALOG_COPY_H", "0")]).serve().await;
    with_disk(&server).await;
    with_app(&server, &app.url(), "shop").await;
    promtool::read(&page(&server, &server.local()).await);
    ran(&server, "shop").await;
    ran(&server, "shop").await;
    with_app(&server, NOBODY, "broken").await;
    let run = server.done("POST", "apps/broken/run", json!({})).await;
    assert_eq!(ended(&server, run["id"].as_str().unwrap()).await["state"], "failed");

    let done = "backup_runs_total{app=\"shop\",kind=\"backup\",outcome=\"succeeded\"}";
    let failed = "backup_runs_total{app=\"broken\",kind=\"backup\",outcome=\"failed\"}";
    let reachable = "backup_destination_reachable{destination=\"disk\"}";
    let (text, found) = until(&server, |found| {
        found.get(done) == Some(&2.0)
            && found.get(failed) == Some(&1.0)
            && found.get(reachable) == Some(&1.0)
            && found["backup_queue_runs{state=\"running\"}"] == 0.0
    })
    .await;
    promtool::read(&text);
    let of = |name: &str| found.get(name).copied().unwrap_or_else(|| panic!("{name}: {text}"));
    let total =
        |name: &str| of(&format!("{name}{{app=\"shop\",kind=\"backup\",outcome=\"succeeded\"}}"));
    assert_eq!(total("backup_run_read_bytes_total"), 100_000.0);
    let written = total("backup_run_written_bytes_total");
    assert!(written > 10_000.0 && written < 100_000.0, "{written}");
    assert!(total("backup_run_duration_seconds_total") > 0.0);
    assert_eq!(of("backup_app_last_snapshot_bytes{app=\"shop\"}"), 50_000.0);
    let age = of("backup_app_last_good_snapshot_age_seconds{app=\"shop\"}");
    assert!((0.0..60.0).contains(&age), "{age}");
    let now = jiff::Timestamp::now().as_second() as f64;
    let at = of("backup_app_last_good_snapshot_timestamp_seconds{app=\"shop\"}");
    // `now` is told in whole seconds.
    assert!((now - 120.0..=now + 1.0).contains(&at), "{at}");
    assert_eq!(of("backup_app_objective_seconds{app=\"shop\"}"), 7_200.0);
    assert_eq!(of("backup_app_state{app=\"shop\",state=\"good\"}"), 1.0);
    assert_eq!(of("backup_app_state{app=\"shop\",state=\"failed\"}"), 0.0);
    assert_eq!(of("backup_app_state{app=\"broken\",state=\"failed\"}"), 1.0);
    assert_eq!(of("backup_apps{state=\"good\"}"), 1.0);
    // What is not known is not told as zero.
    assert!(!found.contains_key("backup_app_last_good_snapshot_age_seconds{app=\"broken\"}"));
    assert!(!found.contains_key("backup_app_last_proof_timestamp_seconds{app=\"shop\"}"));
    let stored = of("backup_destination_stored_bytes{destination=\"disk\"}");
    assert_eq!(stored, of("backup_app_stored_bytes{app=\"shop\"}"));
    assert!(stored > 10_000.0);
    assert_eq!(of("backup_destination_copies{destination=\"disk\",state=\"good\"}"), 2.0);
    assert_eq!(of("backup_destination_copies{destination=\"disk\",state=\"damaged\"}"), 0.0);
    assert!(of("process_resident_memory_bytes") > 1e6);
    assert!(of("process_cpu_seconds_total") > 0.0);
    assert!((now - 300.0..=now).contains(&of("process_start_time_seconds")));
    assert!(of("backup_scheduler_looked_ago_seconds") < 30.0);

    // One more series for each app and no more than that for each run.
    let before = found.len();
    ran(&server, "shop").await;
    let (_, more) = until(&server, |found| found[done] == 3.0).await;
    assert!(more.len() <= before + 4, "{} after {before}", more.len());

    // A copy that is not what was stored is seen, and the disk that went away.
    let object = crate::road::objects(&server.place.folder.path().join("disk/shop"))
        .into_iter()
        .find(|path| !path.to_string_lossy().ends_with(".json"))
        .unwrap();
    std::fs::write(&object, b"rubbish").unwrap();
    server.done("POST", "destinations/disk/verify", json!({})).await;
    let damaged = "backup_destination_copies{destination=\"disk\",state=\"damaged\"}";
    until(&server, |found| found[damaged] == 1.0).await;

    let server = server.stop().serve().await;
    let (text, found) = until(&server, |found| found.contains_key(reachable)).await;
    promtool::read(&text);
    assert_eq!(found[done], 3.0, "counters begin where they were");
    assert_eq!(found[failed], 1.0);
    let place = server.stop();
    std::fs::rename(place.folder.path().join("disk"), place.folder.path().join("away")).unwrap();
    let server = place.serve().await;
    until(&server, |found| found.get(reachable) == Some(&0.0)).await;
    assert!(!server.place.folder.path().join("disk").exists(), "asking has made the folder");
}

#[tokio::test]
async fn metrics_are_for_those_who_may_look() {
    let place = Place::new(&[("APP_ADMIN_PASS", PASSWORD)]);
    let file = place.file("metrics-token", &format!("{OWN_TOKEN}\n"));
    let server = place.with("METRICS_TOKEN_FILE", &file).serve().await;
    let asked = async |by: &As| {
        server.request(Method::GET, "/metrics", by).send().await.unwrap().status().as_u16()
    };
    let token = async |name: &str, scope: &str| {
        let made = server.done("POST", "tokens", json!({ "name": name, "scopes": [scope] })).await;
        As::Token(made["secret"].as_str().unwrap().to_owned())
    };
    assert_eq!(asked(&As::Nobody).await, 401);
    assert_eq!(asked(&As::Token("bo_wrong".to_owned())).await, 401);
    assert_eq!(asked(&As::Token(format!("{OWN_TOKEN}x"))).await, 401);
    assert_eq!(asked(&token("reader", "read").await).await, 200);
    assert_eq!(asked(&token("deployer", "append").await).await, 403);
    assert_eq!(asked(&As::Token(OWN_TOKEN.to_owned())).await, 200);
    assert_eq!(asked(&server.login("admin", PASSWORD).await).await, 200);
    // It opens nothing else.
    assert_eq!(server.get("apps", &As::Token(OWN_TOKEN.to_owned())).await, 401);

    let open = Place::new(&[("METRICS_OPEN", "on")]).serve().await;
    promtool::read(&page(&open, &As::Nobody).await);
    assert_eq!(open.get("apps", &As::Nobody).await, 401);
}

#[tokio::test]
async fn health_and_readiness_need_no_login() {
    let server = Place::new(&[]).serve().await;
    for path in ["/healthz", "/health", "/readyz", "/ready"] {
        let reply = server.request(Method::GET, path, &As::Nobody).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        assert_eq!(reply.text().await.unwrap(), "ok", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_json_with_run_and_app_where_that_is_wanted() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[("LOG_FORMAT", "json"), ("RUST_LOG", "debug")]).serve().await;
    with_disk(&server).await;
    with_app(&server, &app.url(), "shop").await;
    let run = ran(&server, "shop").await;
    with_app(&server, NOBODY, "broken").await;
    let failed = server.done("POST", "apps/broken/run", json!({})).await;
    ended(&server, failed["id"].as_str().unwrap()).await;
    let place = server.stop();
    let log = place.log();
    let lines: Vec<Value> = log
        .lines()
        // The first login is for the terminal, not for the log.
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for name in ["at", "level", "target"] {
            assert!(line[name].is_string(), "{line}");
        }
    }
    let of = |run: &Value| lines.iter().filter(|line| line["run"] == run["id"]).collect::<Vec<_>>();
    let good = of(&run);
    assert!(good.len() >= 4, "{log}");
    for line in &good {
        assert_eq!((&line["app"], &line["kind"]), (&json!("shop"), &json!("backup")), "{line}");
    }
    let last = good.last().unwrap();
    assert_eq!(
        (&last["message"], &last["outcome"]),
        (&json!("the run ended"), &json!("succeeded"))
    );
    assert!(good.iter().any(|line| line["source"] == "shop" && line["stage"] == "export"), "{log}");
    let bad = of(&failed);
    assert!(bad.iter().any(|line| line["level"] == "error" && line["stage"].is_string()), "{log}");
    assert_eq!(bad.last().unwrap()["outcome"], "failed");
    assert!(!log.contains(TOKEN));

    let wrong = Place::new(&[("LOG_FORMAT", "yaml")]);
    let done = wrong.run(&["serve"]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("LOG_FORMAT"), "{done:?}");
}

/// What an archive of WAL takes is counted wherever it is told what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_is_part_of_what_is_stored() {
    const WAL: u64 = 3 << 30;
    let app = App::serve(20_000).await;
    let admin = [("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)];
    let server = Place::new(&admin).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    let disk = server.done("POST", "destinations", disk).await;
    let draft = json!({ "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk" }] });
    let shop = server.done("POST", "apps", draft).await;
    ran(&server, "shop").await;
    // As the engine notes it while it looks at an archive: bytes at the end of a day.
    let place = server.stop();
    let url = format!("sqlite://{}", place.data().join("catalog.sqlite").display());
    let catalog = catalog::Catalog::open(&url.into(), 1).await.unwrap();
    let day = (jiff::Timestamp::now().as_second() / 86_400).to_string();
    let (disk, shop) = (disk["id"].as_str().unwrap(), shop["id"].as_str().unwrap());
    let taken = json!({ disk: { day: WAL } }).to_string();
    catalog.set_setting(&format!("wal_taken/{shop}"), &taken).await.unwrap();
    catalog.close().await.unwrap();

    let server = place.serve().await;
    let stored = "backup_destination_stored_bytes{destination=\"disk\"}";
    let (text, found) = until(&server, |found| found.contains_key(stored)).await;
    assert!(found[stored] > WAL as f64, "{text}");
    assert_eq!(found[stored], found["backup_app_stored_bytes{app=\"shop\"}"]);
    let all = server.done_get("apps/shop").await["stored_bytes"].as_u64().unwrap();
    assert_eq!(found[stored], all as f64);
    for path in ["storage", "apps/shop/storage", "destinations/disk/storage"] {
        assert_eq!(server.done_get(path).await["bytes"], all, "{path}");
    }
    let by = server.login("ana", PASSWORD).await;
    let see = async |path: &str| {
        let page = server.request(reqwest::Method::GET, path, &by).send().await.unwrap();
        page.text().await.unwrap()
    };
    let page = see("/destinations/disk").await;
    assert!(page.contains("<dd>3.0 GiB <span class=\"quiet below\">of it WAL: 3.0 GiB"), "{page}");
    assert!(see("/destinations").await.contains(">3.0 GiB</td>"));
    // The app's page draws it, with its figures as a table behind.
    let page = see("/apps/shop").await;
    let trend = page.split("id=\"storage\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(
        trend.contains("Copies take 3.0 GiB") && trend.contains("<th scope=\"row\">"),
        "{trend}"
    );
    let told = server.place.run(&["storage", "--app", "shop"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("3.0 GiB"), "{told:?}");
}
