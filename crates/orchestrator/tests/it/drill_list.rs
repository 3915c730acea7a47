//! The drills of all apps: by the API, on their page and by the command.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    road::{ended, objects, ran},
    server::{As, PASSWORD, Place, Server},
};

async fn see(server: &Server, by: &As, path: &str) -> String {
    let page = server.request(Method::GET, path, by).send().await.unwrap();
    assert_eq!(page.status(), 200, "{path}");
    page.text().await.unwrap()
}

fn apps(drills: &Value) -> Vec<&str> {
    drills.as_array().unwrap().iter().map(|one| one["app"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_proven_comes_first() {
    let place = Place::new(&[("APP_ADMIN_USER", "ana"), ("APP_ADMIN_PASS", PASSWORD)]);
    let media = place.folder.path().join("media");
    std::fs::create_dir(&media).unwrap();
    std::fs::write(media.join("a.txt"), b"a").unwrap();
    let server = place.with("BACKUP_FILE_ROOTS", media.to_str().unwrap()).serve().await;
    let by = server.login("ana", PASSWORD).await;
    assert!(see(&server, &by, "/drills").await.contains("no app to drill yet"));
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let source = json!({ "name": "media", "kind": "files", "settings": { "path": media } });
    let draft = json!({ "name": "media", "sources": [source],
        "destinations": [{ "destination": "disk", "folder": "media" }] });
    server.done("POST", "apps", draft).await;
    ran(&server, "media").await;
    let other = App::serve(10_000).await;
    let draft = json!({ "name": "shop", "url": other.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": "shop" }],
        "drill": { "schedule": { "spec": "weekly", "time_zone": "UTC", "jitter_secs": 0,
            "catch_up": true }, "questions": [], "commands": [] } });
    server.done("POST", "apps", draft).await;

    let drill = server.done("POST", "apps/media/drill", json!({})).await;
    let drill = ended(&server, drill["id"].as_str().unwrap()).await;
    assert_eq!(drill["state"], "succeeded", "{drill}");
    let drills = server.done_get("drills").await;
    // By their names alone it would be the other way round.
    assert_eq!(apps(&drills), ["shop", "media"], "{drills}");
    let (never, proven) = (&drills[0], &drills[1]);
    assert!(never["last"].is_null() && never["proven"].is_null() && !never["next_due"].is_null());
    assert_eq!((&never["has_snapshot"], &proven["has_snapshot"]), (&json!(false), &json!(true)));
    assert_eq!(proven["last"]["id"], drill["id"]);
    assert_eq!(proven["proven"]["run_id"], drill["id"]);
    assert!(proven["next_due"].is_null(), "it is drilled only when asked");

    let page = see(&server, &by, "/drills").await;
    assert!(page.contains("One app was never proven"), "{page}");
    let at = |what: &str| page.find(what).unwrap_or_else(|| panic!("no {what} in {page}"));
    assert!(at("/apps/shop#drills") < at("/apps/media#drills"));
    assert!(page.contains("never drilled") && page.contains(drill["id"].as_str().unwrap()));
    // There is nothing of the shop to try yet.
    assert!(page.contains("/apps/media/drill\"") && !page.contains("/apps/shop/drill\""));
    assert!(see(&server, &by, "/").await.contains("href=\"/drills\""));

    let told = server.place.run(&["drills"]);
    let told = String::from_utf8(told.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[1].contains("shop") && lines[1].contains("never"), "{told}");
    assert!(lines[2].contains("media") && lines[2].contains("proven"), "{told}");

    // A drill that proves nothing is told before those that did; what is disabled comes last.
    let object = objects(&server.place.folder.path().join("disk/media"))
        .into_iter()
        .find(|path| !path.to_string_lossy().ends_with(".json"))
        .unwrap();
    std::fs::write(object, b"rubbish").unwrap();
    server.done("POST", "apps/shop/enabled", json!({ "enabled": false })).await;
    let failed = server.done("POST", "apps/media/drill", json!({})).await;
    let failed = ended(&server, failed["id"].as_str().unwrap()).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    let drills = server.done_get("drills").await;
    assert_eq!(apps(&drills), ["media", "shop"], "{drills}");
    assert_eq!(drills[0]["last"]["id"], failed["id"]);
    assert_eq!(drills[0]["proven"]["run_id"], drill["id"], "what it proved before stays told");
    let page = see(&server, &by, "/drills").await;
    assert!(page.contains("The last drill of one app failed") && page.contains("not proven"));
}
