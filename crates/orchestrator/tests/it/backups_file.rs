//! Apps declared in `backups.yml`, on the real program and real servers.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    postgres::{self, Postgres},
    s3_server::{KEY, S3Server, SECRET},
    server::{Place, Server},
};

/// Two databases, a volume, S3 and a folder, five of each, at three, level six.
const EXAMPLE: &str = include_str!("backups.yml");

/// Looks until `is_so`.
async fn until(server: &Server, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let shown = server.done_get(path).await;
        if is_so(&shown) {
            return shown;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{path}: {shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn matching(folder: &Path, pattern: &str) -> BTreeSet<String> {
    let pattern = regex::Regex::new(pattern).unwrap();
    names(folder).into_iter().filter(|name| pattern.is_match(name)).collect()
}

async fn quiet(server: &Server) {
    let is_ended = |run: &Value| !run["finished_at"].is_null();
    until(server, "runs?limit=200", |runs| runs.as_array().unwrap().iter().all(is_ended)).await;
}

/// Both dumps in `folder` come back as the example says: `gunzip -c FILE | psql`.
fn restores(databases: &Postgres, folder: &Path, moment: &str, at: usize) {
    for (name, count) in [("mordor", "2000"), ("transactions", "100")] {
        let again = format!("{name}_again_{at}");
        databases.sql("postgres", &format!("CREATE DATABASE {again}"));
        databases.restore(&again, &folder.join(format!("{name}_{moment}.sql.gz")));
        assert_eq!(databases.sql(&again, "SELECT count(*) FROM orders"), count);
    }
}

/// The databases that the example names.
fn fill(databases: &Postgres) {
    for name in ["mordor", "transactions"] {
        databases.sql("postgres", &format!("CREATE DATABASE {name}"));
        let fill = "CREATE TABLE orders AS SELECT n, 'order ' || n AS note \
                    FROM generate_series(1, 2000) n";
        databases.sql(name, fill);
    }
    databases.sql("transactions", "DELETE FROM orders WHERE n > 100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_works_as_written() {
    let Some(databases) = Postgres::start() else { return };
    fill(&databases);
    let s3 = S3Server::start("financer-backup").await;
    let place = Place::new(&[("TZ", "America/Sao_Paulo"), ("RETENTION_GRACE_H", "0")]);
    let disk = place.folder.path().join("backups");
    let text = EXAMPLE
        .replace("host: \"postgres\"", "host: 127.0.0.1")
        .replace("host: \"transactions\"", "host: 127.0.0.1")
        // There is no Docker engine here.
        .replace("enabled: true\n    volume_name", "enabled: false\n    volume_name")
        .replace("5432", &databases.port.to_string())
        .replace("5433", &databases.port.to_string())
        .replace("/backups", &disk.display().to_string());
    place.file("backups.yml", &text);
    let (user, password) = (postgres::USER, postgres::PASSWORD);
    let variables = format!(
        "# Mordor database (main)\nPOSTGRES_USER={user}\nPOSTGRES_PASSWORD={password}\n\
         TRANSACTIONS_USER={user}\nTRANSACTIONS_PASSWORD={password}\n\n# AWS S3\n\
         AWS_ACCESS_KEY_ID={KEY}\nAWS_SECRET_ACCESS_KEY={SECRET}\n\
         AWS_DEFAULT_REGION=us-east-1\nAWS_ENDPOINT_URL_S3={}\nS3_BUCKET=financer-backup\n",
        s3.url
    );
    place.file("stack.env", &variables);
    let server = place.serve().await;
    let config = server.done_get("config").await;
    assert_eq!(config["state"], "in_force", "{config}");
    for name in ["mordor", "transactions"] {
        let app = server.done_get(&format!("apps/{name}")).await["app"].clone();
        assert_eq!(app["managed_by"], "file");
        assert_eq!(app["schedule"]["time_zone"], "America/Sao_Paulo");
        assert_eq!(app["retention"], json!({ "keep_last": 5 }));
        assert_eq!(app["compression"], "gzip:6");
        assert_eq!(app["sources"][0]["settings"]["format"], "plain");
    }

    let volume = server.done_get("apps/postgres-data").await["app"].clone();
    assert_eq!(volume["enabled"], false);
    let settings = json!({
        "volume": "financer-services_postgres_data", "description": "PostgreSQL data directory",
    });
    assert_eq!(volume["sources"][0]["settings"], settings);
    let template = "{YYYYMMDD_HHMMSS}/{app}_volume_{YYYYMMDD_HHMMSS}";
    assert_eq!(volume["destinations"][0]["template"], template);

    for round in 1..=6 {
        let done = server.place.run(&["--json", "run", "--all", "--wait"]);
        assert_eq!(done.status.code(), Some(0), "{round}: {done:?}");
        let runs: Value = serde_json::from_slice(&done.stdout).unwrap();
        let runs = runs["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!(runs[0]["named_at"], runs[1]["named_at"]);
        quiet(&server).await;
        let named: jiff::Timestamp = runs[0]["named_at"].as_str().unwrap().parse().unwrap();
        let there = named.in_tz("America/Sao_Paulo").unwrap();
        let moment = there.strftime("%Y%m%d_%H%M%S").to_string();
        for root in [disk.clone(), s3.bucket("financer-backup")] {
            let folder = root.join(&moment);
            assert_eq!(
                names(&folder),
                [
                    format!("mordor_{moment}.manifest.json"),
                    format!("mordor_{moment}.sql.gz"),
                    format!("transactions_{moment}.manifest.json"),
                    format!("transactions_{moment}.sql.gz"),
                ]
                .into(),
                "{}",
                root.display()
            );
            let folders = matching(&root, r"^\d{8}_\d{6}$");
            let held = folders.iter().filter(|name| !names(&root.join(name)).is_empty()).count();
            assert_eq!(held, round.min(5), "{folders:?}");
            let logs =
                matching(&root.join("logs"), r"^backup_\d{8}_\d{6}_(mordor|transactions)\.log$");
            assert_eq!(logs.len(), 2 * round.min(5), "{logs:?}");
            assert!(logs.contains(&format!("backup_{moment}_mordor.log")));
        }
        assert_eq!(matching(&disk, r"^\d{8}_\d{6}$").len(), round.min(5));
        // Names are of seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }

    let newest = matching(&disk, r"^\d{8}_\d{6}$").into_iter().next_back().unwrap();
    let log = disk.join("logs").join(format!("backup_{newest}_mordor.log"));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("committed") && log.trim_end().ends_with("done"), "{log}");
    assert!(!log.contains(password) && !log.contains(SECRET), "{log}");
    for (at, root) in [disk.clone(), s3.bucket("financer-backup")].iter().enumerate() {
        restores(&databases, &root.join(&newest), &newest, at);
    }
    assert!(!server.place.log().contains(password), "the password is in the log");

    // A password that is right no more: the run fails, and its log is there all the same.
    server.place.file("stack.env", &variables.replace(password, "another"));
    until(&server, "apps/mordor", |card| card["app"]["version"].as_i64() > Some(1)).await;
    let done = server.place.run(&["--json", "run", "--all", "--wait"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    quiet(&server).await;
    let logs = matching(&disk.join("logs"), "mordor");
    assert_eq!(logs.len(), 6, "{logs:?}");
    let last = std::fs::read_to_string(disk.join("logs").join(logs.last().unwrap())).unwrap();
    assert!(last.contains("ERROR") && !last.contains("another"), "{last}");
    assert_eq!(matching(&disk, r"^\d{8}_\d{6}$").len(), 5, "a failed run expires nothing");
}

fn declared(app: &App, disk: &Path, more: &str) -> String {
    format!(
        "destinations:\n  - name: disk\n    kind: local\n    settings:\n      path: {}\n\
         apps:\n  - name: shop\n    sources:\n      - kind: contract\n        settings:\n          \
         url: {}\n        secrets:\n          token: ${{SHOP_TOKEN}}\n    destinations: [disk]\n    \
         schedule: 0 3 * * *\n    retention:\n      keep_last: 3\n{more}",
        disk.display(),
        app.url(),
    )
}

async fn rejected(server: &Server, words: &str) -> Value {
    let config = until(server, "config", |config| config["state"] == "rejected").await;
    assert!(config["findings"].to_string().contains(words), "{config}");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_brought_about_and_a_wrong_one_changes_nothing() {
    let app = App::serve(20_000).await;
    let place = Place::new(&[]);
    let disk = place.folder.path().join("disk");
    let first = declared(&app, &disk, "");
    place.file("backups.yml", &first);
    place.file("stack.env", &format!("SHOP_TOKEN={TOKEN}\n"));
    let server = place.serve().await;
    let place = &server.place;
    let config = server.done_get("config").await;
    assert_eq!(config["state"], "in_force", "{config}");
    assert_eq!(config["last_change"]["added"], json!(["disk", "shop"]));
    let shop = |server: &Server| {
        let local = server.local();
        let request = server.request(reqwest::Method::GET, "/api/v1/apps/shop", &local);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap()["app"].clone() }
    };
    let was = shop(&server).await;
    assert_eq!((&was["managed_by"], &was["version"]), (&json!("file"), &json!(1)));
    assert_eq!(server.done_get("destinations/disk").await["managed_by"], "file");

    // Nobody else changes what is declared, but a run may be asked for.
    let edit = json!({ "version": 1, "name": "shop", "url": app.url(),
        "destinations": [{ "destination": "disk" }] });
    let disk_edit = json!({ "version": 1, "name": "disk", "kind": "local",
        "settings": { "path": "/elsewhere" } });
    for (method, path, body) in [
        ("PUT", "apps/shop", edit),
        ("DELETE", "apps/shop", Value::Null),
        ("POST", "apps/shop/enabled", json!({ "enabled": false })),
        ("PUT", "destinations/disk", disk_edit),
        ("DELETE", "destinations/disk", Value::Null),
    ] {
        let response = server.send(method, path, &server.local(), Some(body)).await;
        assert_eq!(response.status(), 409, "{method} {path}");
        assert!(response.text().await.unwrap().contains("backups.yml"), "{method} {path}");
    }
    let done = place.run(&["app", "edit", "shop", "--keep-last", "9"]);
    assert!(String::from_utf8_lossy(&done.stderr).contains("backups.yml"), "{done:?}");
    assert_eq!(place.run(&["run", "shop", "--wait"]).status.code(), Some(0));

    // Wrong in one line: told with it, and what was there stays.
    let wrong = first.replace("    schedule:", "    shcedule:");
    place.file("backups.yml", &wrong);
    let config = rejected(&server, "did you mean `schedule`?").await;
    assert_eq!(config["findings"][0]["line"], 15, "{config}");
    let events = server.done_get("events").await.to_string();
    assert!(events.contains("config_rejected") && events.contains("backups.yml:15"), "{events}");
    assert_eq!(shop(&server).await, was);
    let shown = place.run(&["config", "show"]);
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    for (text, words) in [
        (first.replace("keep_last: 3", "keep_last: some"), "a whole number"),
        (first.replace("${SHOP_TOKEN}", "${SHOP_TOKE}"), "`SHOP_TOKE` is not set"),
        (first.replace("[disk]", "[tape]"), "there is no destination `tape`"),
        (first.replace("http://", "gopher://"), "apps[0].sources[0].settings.url"),
        (String::new(), "empty"),
    ] {
        place.file("backups.yml", &text);
        until(&server, "config", |config| config.to_string().contains(words)).await;
        assert_eq!(shop(&server).await, was, "{words}");
    }
    std::fs::remove_file(place.folder.path().join("backups.yml")).unwrap();
    until(&server, "config", |config| config.to_string().contains("no such file")).await;
    assert_eq!(shop(&server).await, was);

    // Right again, and changed.
    place.file("backups.yml", &first.replace("keep_last: 3", "keep_last: 4"));
    until(&server, "config", |config| config["state"] == "in_force").await;
    let now = shop(&server).await;
    assert_eq!((&now["retention"]["keep_last"], &now["version"]), (&json!(4), &json!(2)));
    assert_eq!(now["id"], was["id"]);

    // An app of a person is never taken.
    let mine = json!({ "name": "mine", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "mine" }] });
    server.done("POST", "apps", mine).await;
    place.file("backups.yml", &first.replace("name: shop", "name: Mine"));
    rejected(&server, "there is already another app `Mine`").await;
    assert!(server.done_get("apps/mine").await["app"]["managed_by"].is_null());

    // Named no more: disabled, a person's, with its snapshots.
    let (head, _) = first.split_once("apps:").unwrap();
    place.file("backups.yml", &format!("{head}apps: []\n"));
    until(&server, "config", |config| config["state"] == "in_force").await;
    let left = shop(&server).await;
    assert_eq!((&left["enabled"], &left["managed_by"]), (&json!(false), &Value::Null));
    assert_eq!(server.done_get("apps/shop/snapshots").await.as_array().unwrap().len(), 1);
    // And back, as nobody has touched it since.
    place.file("backups.yml", &first);
    until(&server, "apps/shop", |card| card["app"]["managed_by"] == "file").await;
    let back = shop(&server).await;
    assert_eq!((&back["enabled"], &back["id"]), (&json!(true), &was["id"]));

    // After a restart nothing changes.
    let version = back["version"].clone();
    let server = server.stop().serve().await;
    assert_eq!(server.done_get("config").await["state"], "in_force");
    assert_eq!(shop(&server).await["version"], version);
    let shown = server.place.run(&["--json", "config", "show"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["state"], "in_force");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_checked_without_a_server_and_exported_from_one() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[]).serve().await;
    let place = &server.place;
    let disk = place.folder.path().join("disk");
    let text = declared(&app, &disk, "");
    let file = place.file("other.yml", &text);
    let check = |words: &[&str], code: i32| {
        let done = place.run(words);
        assert_eq!(done.status.code(), Some(code), "{done:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(done.stdout), text(done.stderr))
    };
    let (_, told) = check(&["config", "check", &file], 2);
    assert!(told.contains("other.yml:13: ") && told.contains("SHOP_TOKEN"), "{told}");
    let variables = place.file("its.env", &format!("SHOP_TOKEN={TOKEN}\n"));
    let (told, _) = check(&["config", "check", &file, "--stack-env", &variables], 0);
    assert!(told.contains("app shop (contract) to disk, 0 3 * * * (UTC)"), "{told}");
    assert!(!told.contains(TOKEN));
    // The engine's own judgement has its line as well.
    place.file("other.yml", &text.replace("keep_last: 3", "keep_last: 3\n    compression: rar"));
    let words = ["--json", "config", "check", &file, "--stack-env", &variables];
    let (told, _) = check(&words, 2);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["findings"][0]["line"], 18, "{told}");
    place.file("other.yml", &text.replace("[disk]", "[on-the-server]"));
    let (told, _) = check(&["config", "check", &file, "--stack-env", &variables], 0);
    assert!(told.contains("warning") && told.contains("on-the-server"), "{told}");
    check(&["config", "check", "/nowhere.yml"], 2);
    let (schema, _) = check(&["config", "schema"], 0);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/backups.schema.json");
    assert_eq!(schema, std::fs::read_to_string(kept).unwrap());

    // What is registered, on another server from its file alone.
    let settings = json!({ "path": disk });
    let destination = json!({ "name": "disk", "kind": "local", "settings": settings });
    server.done("POST", "destinations", destination).await;
    let draft = json!({ "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "apps/$hop", "logs": true }],
        "retention": { "keep_daily": 7 }, "schedule": { "spec": "daily", "time_zone": "Europe/Rome" } });
    let was = server.done("POST", "apps", draft).await;
    let (shown, _) = check(&["config", "export"], 0);
    assert!(shown.contains("${SHOP_TOKEN}") && shown.contains("# stack.env: SHOP_TOKEN="));
    assert!(!shown.contains(TOKEN));
    let other = Place::new(&[]);
    let to = other.folder.path().join("backups.yml").display().to_string();
    check(&["config", "export", &to], 0);
    check(&["config", "export", &to], 5);
    let filled = std::fs::read_to_string(other.folder.path().join("stack.env")).unwrap();
    other.file("stack.env", &filled.replace("SHOP_TOKEN=", &format!("SHOP_TOKEN={TOKEN}")));
    let other = other.serve().await;
    assert_eq!(other.done_get("config").await["state"], "in_force");
    let is = other.done_get("apps/shop").await["app"].clone();
    for key in ["name", "enabled", "sources", "schedule", "retention", "limits", "compression"] {
        assert_eq!(is[key], was[key], "{key}");
    }
    assert_eq!(is["destinations"][0]["folder"], "apps/$hop");
    assert_eq!(is["destinations"][0]["logs"], true);
    let done = other.place.run(&["run", "--all", "--wait"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(matching(&disk.join("apps/$hop/logs"), r"^backup_\d{8}_\d{6}_shop\.log$").len(), 1);
}

const ALERTS: &str = "\
alert_channels:
  - name: team
    kind: webhook
    settings: { url: 'http://127.0.0.1:9/in' }
    secrets: { token: '${HOOK_TOKEN}', secret_file: signing }
alert_routes:
  - { name: nights, channels: [team], kinds: [overdue], quiet_from: 22:00, quiet_to: 07:00 }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_declared_shown_and_not_changed_elsewhere() {
    let place = Place::new(&[]);
    place.file("backups.yml", ALERTS);
    place.file("stack.env", "HOOK_TOKEN=canary-token-of-the-hook\n");
    place.file("signing", "canary-signing-secret\n");
    let server = place.serve().await;
    let place = &server.place;
    let config = server.done_get("config").await;
    assert_eq!(config["last_change"]["added"], json!(["team", "nights"]), "{config}");
    let team = server.done_get("alert-channels/team").await;
    assert_eq!(
        (&team["managed_by"], &team["secrets"]),
        (&json!("file"), &json!(["secret", "token"]))
    );
    let nights = server.done_get("alert-routes/nights").await;
    assert_eq!((&nights["managed_by"], &nights["quiet_from"]), (&json!("file"), &json!("22:00")));

    // Neither the API nor the command line nor a page changes or removes them.
    let channel = json!({ "version": 1, "name": "team", "kind": "webhook",
        "settings": { "url": "http://127.0.0.1:9/other" } });
    let route = json!({ "version": 1, "name": "nights", "channels": ["team"] });
    for (method, path, body) in [
        ("PUT", "alert-channels/team", channel),
        ("DELETE", "alert-channels/team", Value::Null),
        ("PUT", "alert-routes/nights", route),
        ("DELETE", "alert-routes/nights", Value::Null),
    ] {
        let reply = server.send(method, path, &server.local(), Some(body)).await;
        assert_eq!(reply.status(), 409, "{method} {path}");
        assert!(reply.text().await.unwrap().contains("backups.yml"), "{method} {path}");
    }
    server.add_user("ana", "admin").await;
    let by = server.login("ana", crate::server::PASSWORD).await;
    for path in ["/alerts/channels/team", "/alerts/routes/nights"] {
        let page = server.request(reqwest::Method::GET, path, &by).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(page.contains("declared in backups.yml") && page.contains("<fieldset"), "{page}");
        assert!(page.contains(" disabled>") && !page.contains(">Save</button>"), "{page}");
        assert!(!page.contains("/remove") && !page.contains("canary"), "{page}");
    }
    // A trial is no change.
    let tried = server.done("POST", "alert-channels/team/test", json!({})).await;
    assert!(tried["problem"].is_string(), "{tried}");

    // What is wrong has its line; what it names may be on the server.
    let check = |text: &str, code: i32| {
        let file = place.file("other.yml", text);
        let done = place.run(&["config", "check", &file]);
        assert_eq!(done.status.code(), Some(code), "{done:?}");
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    };
    let told = check(&ALERTS.replace("[overdue]", "[boredom]"), 2);
    assert!(told.contains("other.yml:7: alert_routes[0].kinds[0]"), "{told}");
    let told = check(&ALERTS.replace("kind: webhook", "kind: pigeon"), 2);
    assert!(told.contains("other.yml:3: alert_channels[0].kind"), "{told}");
    let told = check(&ALERTS.replace("[team]", "[elsewhere]"), 0);
    assert!(told.contains("warning") && told.contains("elsewhere"), "{told}");
    assert!(told.contains("channel team (webhook)") && told.contains("route nights to elsewhere"));

    // What was made by hand is exported, what is declared only when asked for.
    let mine = json!({ "name": "mine", "kind": "ntfy", "settings": { "topic": "x" },
        "secrets": { "token": "canary-token-of-mine" } });
    server.done("POST", "alert-channels", mine).await;
    let exported = |words: &[&str]| String::from_utf8(place.run(words).stdout).unwrap();
    let told = exported(&["config", "export"]);
    assert!(told.contains("name: mine") && told.contains("${MINE_TOKEN}"), "{told}");
    assert!(!told.contains("name: team") && !told.contains("canary"), "{told}");
    let told = exported(&["config", "export", "--all"]);
    assert!(told.contains("name: team") && told.contains("name: nights"), "{told}");

    // Gone from the file: the route leads nowhere any more, the channel is somebody's.
    place.file("backups.yml", "alert_channels: []\n");
    until(&server, "alert-routes/nights", |one| one["managed_by"].is_null()).await;
    assert_eq!(server.done_get("alert-routes/nights").await["enabled"], false);
    assert_eq!(server.done_get("alert-channels/team").await["enabled"], true);
    assert!(!place.log().contains("canary"));
}
