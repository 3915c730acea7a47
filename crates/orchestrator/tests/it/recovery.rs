//! Everything lost but a destination and the recovery kit: and everything back.

use std::{path::Path, process::Output};

use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    postgres::Postgres,
    road::{copied, ended, ran},
    s3_server::{KEY, S3Server, SECRET},
    server::{As, PASSWORD, Place, Server, mode},
};

fn told(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

/// A server with an app, a user, a token and two snapshots, the first one pinned.
async fn lived_in(place: Place, app: &App, destination: Value) -> Server {
    let server = place.serve().await;
    server.done("POST", "destinations", destination).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "safe", "folder": "shop", "template": "{app}_{run}" }],
        "schedule": { "spec": "daily" },
        "retention": { "keep_last": 1 },
    });
    server.done("POST", "apps", draft).await;
    server.add_user("ana", "admin").await;
    for number in 0..2 {
        let run = ran(&server, "shop").await;
        if number == 0 {
            let id = run["snapshot_id"].as_str().unwrap().to_owned();
            server.done("POST", &format!("snapshots/{id}/pin"), json!({})).await;
        }
    }
    server
}

fn local(folder: &Path) -> Value {
    json!({ "name": "safe", "kind": "local", "settings": { "path": folder } })
}

/// The key and the command as the kit tells them.
async fn kit(server: &Server) -> (String, Vec<String>) {
    let kit = server.done_get("recovery-kit").await;
    let command = kit["destinations"][0]["command"].as_str().unwrap();
    let words = command.split(' ').skip(1).map(|word| word.trim_matches('\'').to_owned());
    (kit["identity"].as_str().unwrap().to_owned(), words.collect())
}

/// Waits until retention, which follows each run, is done.
async fn quiet(server: &Server) {
    for _ in 0..300 {
        let runs = server.done_get("runs?limit=500").await;
        if runs.as_array().unwrap().iter().all(|run| !run["finished_at"].is_null()) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    panic!("runs go on");
}

/// What people would miss.
async fn belongings(server: &Server) -> Value {
    let mut app = server.done_get("apps/shop").await["app"].clone();
    app.as_object_mut().map(|app| app.remove("next_fire"));
    json!({
        "app": app,
        "snapshots": server.done_get("apps/shop/snapshots").await,
        "destination": server.done_get("destinations/safe").await["id"],
        "users": server.done_get("users").await,
    })
}

async fn is_whole(server: &Server, app: &App, before: &Value) {
    assert_eq!(belongings(server).await, *before);
    let ana = server.login("ana", PASSWORD).await;
    assert_eq!(server.get("users", &ana).await, 200);
    let snapshot = before["snapshots"][0]["id"].as_str().unwrap();
    let to = server.place.folder.path().join("restored");
    let done = server.place.run(&["restore", snapshot, "--to", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", told(&done));
    assert!(std::fs::read(to.join("shop.dump")).unwrap() == app.content());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_machine_comes_back_from_a_destination_and_the_kit() {
    let app = App::serve(100_000).await;
    let disk = tempfile::tempdir().unwrap();
    let server = lived_in(Place::new(&[]), &app, local(disk.path())).await;
    quiet(&server).await;
    copied(&server).await;
    assert_eq!(server.done_get("recovery").await["kit_due"], true);
    server.done("POST", "recovery-kit/stored", json!({})).await;
    assert_eq!(server.done_get("recovery").await["kit_due"], false);
    let (key, command) = kit(&server).await;
    // A snapshot that is newer than the copy.
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    ended(&server, run["id"].as_str().unwrap()).await;
    quiet(&server).await;
    let before = belongings(&server).await;
    assert_eq!(before["snapshots"].as_array().unwrap().len(), 3);
    let secret = server.place.read("secret.key");
    let lost = server.kill();
    std::fs::remove_dir_all(lost.data()).unwrap();

    let place = Place::new(&[]);
    place.file("recovery-key.txt", &key);
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let done = place.run(&[&["--json"], command.as_slice()].concat());
    assert!(done.status.success(), "{}", told(&done));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["destination"], "safe");
    assert_eq!(report["reindexed"]["new_snapshots"], 1, "{report}");
    assert_eq!(place.read("secret.key").trim(), secret.trim());
    assert_eq!(mode(&place.data().join("secret.key")), 0o600);
    assert!(!told(&done).contains(&key));
    // Once more it is refused, and nothing changes.
    let again = place.run(&command);
    assert_eq!(again.status.code(), Some(5), "{}", told(&again));

    let server = place.serve().await;
    let mut now = belongings(&server).await;
    // The audit of who looked aside, the newest one was found by its manifest.
    for (new, old) in now["snapshots"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(before["snapshots"].as_array().unwrap())
    {
        assert_eq!(new["copies"][0]["manifest_key"], old["copies"][0]["manifest_key"]);
        new["copies"] = old["copies"].clone();
    }
    assert_eq!(now["snapshots"], before["snapshots"]);
    is_whole(&server, &app, &belongings(&server).await).await;
    assert_eq!(now["app"], before["app"]);

    // Nothing expires before a person has looked; the command line says so, and goes on.
    assert_eq!(server.done_get("recovery").await["hold"]["schedules"], true);
    let plan = server.done_get("apps/shop/retention").await;
    assert_eq!(plan[0]["plan"]["refusal"], "recovered", "{plan}");
    let done = server.place.run(&["recovery", "confirm"]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(server.done_get("recovery").await["hold"], Value::Null);
    let plan = server.done_get("apps/shop/retention").await;
    assert_ne!(plan[0]["plan"]["refusal"], "recovered", "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_and_s3_come_back_too() {
    let Some(postgres) = Postgres::start() else { return };
    for name in ["first", "second"] {
        postgres.sql("postgres", &format!("CREATE DATABASE {name}"));
    }
    let url = |name: &str| {
        let (user, password) = (crate::postgres::USER, crate::postgres::PASSWORD);
        format!("postgres://{user}:{password}@127.0.0.1:{}/{name}", postgres.port)
    };
    let app = App::serve(50_000).await;
    let s3 = S3Server::start("box").await;
    let destination = json!({
        "name": "safe", "kind": "s3",
        "settings": { "bucket": "box", "prefix": "deep/er", "endpoint": s3.url, "encryption": "age" },
        "secrets": { "access_key_id": KEY, "secret_access_key": SECRET },
    });
    let server = lived_in(Place::new(&[("DATABASE_URL", &url("first"))]), &app, destination).await;
    quiet(&server).await;
    copied(&server).await;
    let before = belongings(&server).await;
    let (key, command) = kit(&server).await;
    let lost = server.kill();
    std::fs::remove_dir_all(lost.data()).unwrap();
    postgres.sql("postgres", "DROP DATABASE first WITH (FORCE)");

    let second = url("second");
    let place = Place::new(&[("DATABASE_URL", &second)]);
    place.file("recovery-key.txt", &key);
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    // The kit names the credentials, and the files they belong into; the key of the encrypted
    // destination is in the catalog's copy.
    let without = place.run(&command);
    assert_eq!(without.status.code(), Some(2), "{}", told(&without));
    place.file("access_key_id.txt", KEY);
    place.file("secret_access_key.txt", SECRET);
    place.file("age_identity.txt", "");
    let at = command.iter().position(|word| word.starts_with("age_identity"));
    let mut words = command.clone();
    if let Some(at) = at {
        words.drain(at - 1..=at);
    }
    let done = place.run(&words);
    assert!(done.status.success(), "{}", told(&done));
    let server = place.serve().await;
    is_whole(&server, &app, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_copy_the_snapshots_come_back_alone() {
    let app = App::serve(50_000).await;
    let disk = tempfile::tempdir().unwrap();
    let server = lived_in(Place::new(&[]), &app, local(disk.path())).await;
    quiet(&server).await;
    let lost = server.kill();
    std::fs::remove_dir_all(lost.data()).unwrap();
    let place = Place::new(&[]);
    let address = format!("file://{}", disk.path().display());
    let done = place.run(&["--json", "bootstrap", &address, "--manifests-only"]);
    assert!(done.status.success(), "{}", told(&done));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["reindexed"]["new_apps"], json!(["shop"]), "{report}");
    let server = place.serve().await;
    let shop = server.done_get("apps/shop").await["app"].clone();
    assert_eq!((&shop["enabled"], &shop["retention"]["keep_last"]), (&json!(false), &json!(1)));
    assert_eq!(server.done_get("apps/shop/snapshots").await.as_array().unwrap().len(), 2);
}

/// What happens to a file, and whether the server must find it out.
fn harms(whole: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let mut all = vec![
        ("deleted", None),
        ("emptied", Some(Vec::new())),
        ("cut to a third", Some(whole[..whole.len() / 3].to_vec())),
        ("cut by a page", Some(whole[..whole.len() - 4_096].to_vec())),
        ("overwritten", Some(vec![0x5a; whole.len()])),
    ];
    let mut header = whole.to_vec();
    header[3] ^= 8;
    all.push(("its header flipped", Some(header)));
    let mut root = whole.to_vec();
    root[100..140].fill(0xff);
    all.push(("its first page scribbled on", Some(root)));
    let mut pages = whole.to_vec();
    for page in (4_096..whole.len()).step_by(3 * 4_096) {
        pages[page] ^= 0x0f;
    }
    all.push(("its pages flipped", Some(pages)));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_catalog_is_kept_aside_and_rebuilt() {
    let app = App::serve(20_000).await;
    let disk = tempfile::tempdir().unwrap();
    let server = lived_in(Place::new(&[]), &app, local(disk.path())).await;
    quiet(&server).await;
    copied(&server).await;
    let before = belongings(&server).await;
    let mut place = server.stop();
    let file = place.data().join("catalog.sqlite");
    // What waits in the write-ahead log goes into the file with the last connection.
    let url = format!("sqlite://{}", file.display());
    catalog::Catalog::open(&url.into(), 1).await.unwrap().close().await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    for (what, harmed) in harms(&whole) {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(place.data().join(format!("catalog.sqlite{end}")));
        }
        match &harmed {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        println!("{what}");
        let server = place.serve().await;
        assert_eq!(belongings(&server).await, before, "{what}");
        let state = server.done_get("recovery").await;
        assert_eq!(state["hold"]["schedules"], false, "{what}: {state}");
        place = server.stop();
        let aside: Vec<_> = std::fs::read_dir(place.data())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("catalog.sqlite.damaged-"))
            .collect();
        if let Some(bytes) = harmed {
            assert!(
                aside.iter().any(|path| std::fs::read(path).unwrap() == bytes),
                "{what}: not kept as it was: {aside:?}"
            );
        }
        for path in aside {
            std::fs::remove_file(path).unwrap();
        }
    }

    // Without a copy nothing is touched, and it is told what to do.
    std::fs::remove_dir_all(place.data().join("catalog-copies")).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    for _ in 0..2 {
        let done = place.run(&["serve"]);
        assert_eq!(done.status.code(), Some(1), "{}", told(&done));
        assert!(told(&done).contains("bootstrap ADDRESS --key-file"), "{}", told(&done));
        assert_eq!(std::fs::read(&file).unwrap(), whole[..whole.len() / 2]);
    }
    // And that does it.
    let address = format!("file://{}", disk.path().display());
    let refused = place.run(&["bootstrap", &address, "--manifests-only"]);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
    let done = place.run(&["bootstrap", &address, "--manifests-only", "--force"]);
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&done).contains("kept aside:"), "{}", told(&done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kit_is_for_administrators_and_noted() {
    let server = Place::new(&[]).serve().await;
    server.add_user("olga", "operator").await;
    server.add_user("ana", "admin").await;
    let (olga, ana) = (server.login("olga", PASSWORD).await, server.login("ana", PASSWORD).await);
    for path in ["recovery-kit", "recovery-kit?secrets=true"] {
        assert_eq!(server.get(path, &olga).await, 403);
        assert_eq!(server.get(path, &As::Nobody).await, 401);
        assert_eq!(server.get(path, &ana).await, 200);
    }
    let page = |by: &As| {
        server.request(reqwest::Method::GET, "/recovery-kit", by).header("accept-language", "es")
    };
    assert_eq!(page(&olga).send().await.unwrap().status(), 403);
    let shown = page(&ana).send().await.unwrap();
    assert_eq!(shown.headers()["cache-control"], "no-store");
    let text = shown.text().await.unwrap();
    assert!(text.contains("AGE-SECRET-KEY-1") && text.contains("Kit de recuperación"), "{text}");
    let audit = server.done_get("audit").await;
    let looked =
        audit.as_array().unwrap().iter().filter(|one| one["action"] == "recovery-kit.show");
    assert_eq!(looked.count(), 3, "{audit}");
    assert!(!audit.to_string().contains("AGE-SECRET-KEY"));
}

#[test]
fn secrets_belong_into_files() {
    let place = Place::new(&[]);
    let key = place.file("key", "AGE-SECRET-KEY-1X");
    for words in [
        vec!["bootstrap", "sftp://ana:secret@host/x", "--key-file", &key],
        vec!["bootstrap", "s3://box", "--key-file", &key, "--set", "secret_access_key=secret"],
        vec!["bootstrap", "s3://box?secret_access_key=secret", "--key-file", &key],
        vec!["bootstrap", "file:///nowhere"],
    ] {
        let done = place.run(&words);
        assert_eq!(done.status.code(), Some(2), "{words:?}: {}", told(&done));
        assert!(
            !told(&done).contains("secret@") && !told(&done).contains("=secret"),
            "{}",
            told(&done)
        );
        assert!(!place.data().exists());
    }
}
