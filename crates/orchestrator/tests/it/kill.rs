//! The real process, killed without warning while it works (F1, F15).

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    postgres::{self, Postgres},
    road::{assert_stored, ended, objects, ran},
    server::Place,
};

/// Names under `folder` and below, hidden ones too.
fn everything(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                ahead.push(entry.path());
            } else {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_ends_its_run_sweeps_and_tries_once_more() {
    let app = App::serve(600_000).await;
    let mut server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "shop" }],
        "schedule": { "spec": "daily" },
    });
    server.done("POST", "apps", draft).await;
    let first = ran(&server, "shop").await;
    let next_fire = server.done_get("apps/shop").await["next_fire"].clone();
    let kept = everything(&disk);

    // Killed early, in the middle and late in the stream, and while it commits.
    for (round, wait) in [40, 200, 500, 800, 830, 860].into_iter().enumerate() {
        app.pause(Duration::from_millis(50));
        let run = server.done("POST", "apps/shop/run", json!({})).await;
        let run = run["id"].as_str().unwrap().to_owned();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let exports = app.exports();
        let place = server.kill();
        app.pause(Duration::ZERO);
        server = place.serve().await;
        let ended_run = ended(&server, &run).await;
        let state = ended_run["state"].as_str().unwrap();
        if state == "succeeded" {
            // It had ended before it was killed: then it is proven like any other.
            assert!(wait > 700, "round {round}: a stream that was cut succeeded");
            continue;
        }
        assert_eq!(state, "interrupted", "round {round}: {ended_run}");
        let retry = server
            .done_get("runs?app=shop")
            .await
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["retry_of"] == json!(run))
            .map_or_else(
                || panic!("round {round}: nothing was tried again"),
                |one| one["id"].as_str().unwrap().to_owned(),
            );
        let retried = ended(&server, &retry).await;
        assert_eq!(retried["state"], "succeeded", "round {round}: {retried}");
        assert_eq!(app.exports(), exports + 1, "round {round}: once more, not oftener");
    }

    // Nothing partial is left, nothing that was there has gone.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let now = everything(&disk);
    assert!(kept.iter().all(|path| now.contains(path)), "{now:?}");
    let snapshots = server.done_get("apps/shop/snapshots").await;
    let snapshots = snapshots.as_array().unwrap();
    let manifests = objects(&disk.join("shop"))
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".json"))
        .count();
    assert_eq!(manifests, snapshots.len(), "{now:?}");
    assert_eq!(now.len(), 2 * manifests, "something partial was left: {now:?}");
    let next = server.done_get("apps/shop").await["next_fire"].clone();
    assert_eq!(next, next_fire, "the next fire has moved");

    let to = server.place.folder.path().join("restored");
    let snapshot = first["snapshot_id"].as_str().unwrap();
    let done = server.place.run(&["restore", snapshot, "--to", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::read(to.join("shop.dump")).unwrap() == app.content());
    let fresh = server.place.folder.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    for path in objects(&disk.join("shop")).iter().take(1) {
        std::fs::copy(path, fresh.join(path.file_name().unwrap())).unwrap();
    }
    assert_stored(&fresh, "shop", &app);
}

#[tokio::test]
async fn a_stopped_server_drains_in_time() {
    let app = App::serve(600_000).await;
    app.pause(Duration::from_secs(5));
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk" }],
    });
    server.done("POST", "apps", draft).await;
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    let run = run["id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap());
    kill(id, Signal::SIGTERM).unwrap();
    let started = std::time::Instant::now();
    let place = server.stop();
    // The ten seconds of grace, and a little.
    assert!(started.elapsed() < Duration::from_secs(14), "{:?}", started.elapsed());
    app.pause(Duration::ZERO);
    let server = place.serve().await;
    let ended_run = ended(&server, &run).await;
    assert_eq!(ended_run["state"], "interrupted", "{ended_run}");
}

/// Processes that dump the server on `port`.
fn dumps(port: u16) -> Vec<String> {
    let asked = format!("port='{port}'");
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let dumping = processes.filter(|process| {
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let program = arguments.split('\0').next().unwrap_or_default();
        program.ends_with("/pg_dump") && arguments.contains(&asked)
    });
    dumping.map(|process| process.display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_takes_its_dump_with_it() {
    let Some(database) = Postgres::start() else { return };
    database.sql("postgres", "CREATE DATABASE shop");
    database.sql("shop", "CREATE TABLE orders AS SELECT generate_series(1, 1000) AS n");
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop",
        "sources": [{
            "name": "db", "kind": "postgres", "secrets": { "password": postgres::PASSWORD },
            "settings": {
                "host": "127.0.0.1", "port": database.port.to_string(), "user": postgres::USER,
                "database": "shop",
            },
        }],
        "destinations": [{ "destination": "disk", "folder": "shop" }],
    });
    server.done("POST", "apps", draft).await;

    std::thread::scope(|scope| {
        // A dump waits for this lock; whoever holds it is ended below.
        let lock = "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)";
        scope.spawn(|| database.try_sql("shop", lock));
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        tokio::task::block_in_place(|| {
            while database.sql("shop", held) == "0" {
                std::thread::sleep(Duration::from_millis(50));
            }
            tokio::runtime::Handle::current().block_on(async {
                let run = server.done("POST", "apps/shop/run", json!({})).await;
                let run = run["id"].as_str().unwrap().to_owned();
                for _ in 0..400 {
                    if !dumps(database.port).is_empty() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                let orphan = dumps(database.port);
                assert_eq!(orphan.len(), 1, "no dump was begun: {}", server.place.log());
                let place = server.kill();
                for _ in 0..200 {
                    if dumps(database.port).is_empty() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                assert!(dumps(database.port).is_empty(), "the dump outlives its orchestrator");
                database.sql(
                    "shop",
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()",
                );
                let server = place.serve().await;
                let ended_run = ended(&server, &run).await;
                assert_eq!(ended_run["state"], "interrupted", "{ended_run}");
                let runs = server.done_get("runs?app=shop").await;
                let retry = runs.as_array().unwrap().iter().find(|one| one["retry_of"] == run);
                let retry = retry.expect("it is tried again")["id"].as_str().unwrap().to_owned();
                let retried = ended(&server, &retry).await;
                assert_eq!(retried["state"], "succeeded", "{retried}");
                let stored = objects(&disk.join("shop")).len();
                assert_eq!(stored, 2, "a dump and its manifest");
            });
        });
    });
}
