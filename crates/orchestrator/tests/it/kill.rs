//! The real process, killed without warning while it works (F1).

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    road::{assert_stored, ended, objects},
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
    let first = server.done("POST", "apps/shop/run", json!({})).await;
    let first = ended(&server, first["id"].as_str().unwrap()).await;
    assert_eq!(first["state"], "succeeded");
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
