//! From an app to an object of the right name and bytes, whoever registers it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN, sha256},
    server::{Place, Server},
};

pub(crate) fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    found.retain(|path| path.is_file());
    found.sort();
    found
}

/// The one object under `folder` that is no manifest; its name is right, and unpacked it is what
/// the app sent.
pub(crate) fn assert_stored(folder: &Path, app_name: &str, app: &App) {
    let stored: Vec<_> = objects(folder)
        .into_iter()
        .filter(|path| !path.to_string_lossy().ends_with(".json"))
        .collect();
    let [object] = stored.as_slice() else { panic!("{stored:?} in {}", folder.display()) };
    let name = object.file_name().unwrap().to_string_lossy().into_owned();
    let rest = name.strip_prefix(&format!("{app_name}_")).unwrap_or_else(|| panic!("{name}"));
    let (date, extension) = rest.split_at(13);
    assert!(date.bytes().enumerate().all(|(at, byte)| match at {
        8 => byte == b'_',
        _ => byte.is_ascii_digit(),
    }));
    assert_eq!(extension, ".dump.zst", "{name}");
    let plain = zstd::decode_all(std::fs::File::open(object).unwrap()).unwrap();
    assert_eq!(sha256(&plain), app.sha256());
}

pub(crate) async fn ended(server: &Server, run: &str) -> Value {
    for _ in 0..600 {
        let shown = server.done_get(&format!("runs/{run}")).await;
        if !shown["run"]["finished_at"].is_null() {
            return shown["run"].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the run never ended: {}", server.place.log());
}

/// Runs the app `name`, which succeeds.
pub(crate) async fn ran(server: &Server, name: &str) -> Value {
    let run = server.done("POST", &format!("apps/{name}/run"), json!({})).await;
    let run = ended(server, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    run
}

/// Copies the catalog to where it goes; gives the recovery kit.
pub(crate) async fn copied(server: &Server) -> Value {
    let state = server.done("POST", "recovery/copy", json!({})).await;
    assert_eq!(state["places"][0]["problem"], Value::Null, "{state}");
    server.done_get("recovery-kit").await
}

#[tokio::test]
async fn an_app_registered_by_the_api_is_stored() {
    let app = App::serve(300_000).await;
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let settings = json!({ "path": disk });
    let destination = json!({ "name": "disk", "kind": "local", "settings": settings });
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "apps/shop" }],
    });
    server.done("POST", "apps", draft).await;
    ran(&server, "shop").await;
    assert_stored(&disk.join("apps/shop"), "shop", &app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_registered_on_the_command_line_is_stored_and_restored() {
    let app = App::serve(300_000).await;
    let server = Place::new(&[]).serve().await;
    let place = &server.place;
    let disk = place.folder.path().join("disk");
    let token = place.file("token", TOKEN);
    let path = format!("path={}", disk.display());
    let url = app.url();
    for arguments in [
        vec!["destination", "add", "disk", "--kind", "local", "--set", &path],
        vec![
            "app",
            "add",
            "shop",
            "--url",
            &url,
            "--token-file",
            &token,
            "--destination",
            "disk:shop",
            "--schedule",
            "daily",
            "--keep-daily",
            "7",
        ],
    ] {
        let done = place.run(&arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let done = place.run(&["--json", "run", "shop", "--wait"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let run: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_stored(&disk.join("shop"), "shop", &app);

    let to = place.folder.path().join("restored");
    let snapshot = run["snapshot_id"].as_str().unwrap();
    let done = place.run(&["restore", snapshot, "--to", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let restored = std::fs::read(to.join("shop.dump")).unwrap();
    assert!(restored == app.content(), "the restored bytes differ");
    let again = place.run(&["restore", snapshot, "--to", to.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(5), "a folder that is not empty was written to");
}
