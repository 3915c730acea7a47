//! What happened to an app, by time, in words and not by colours alone.

use std::time::{Duration, Instant};

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    road::ended,
    server::{PASSWORD, Place, Server},
};

/// How the copies of the older of two snapshots stand.
async fn copy_of_older(server: &Server) -> Value {
    let all = server.done_get("snapshots?app=shop").await;
    all.as_array().unwrap().last().unwrap()["copies"][0]["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_lets_go_of_is_no_failure() {
    let app = App::serve(20_000).await;
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN, "retention": { "keep_last": 1 },
        "destinations": [{ "destination": "disk" }],
    });
    server.done("POST", "apps", draft).await;
    for _ in 0..2 {
        let run = server.done("POST", "apps/shop/run", json!({})).await;
        let run = ended(&server, run["id"].as_str().unwrap()).await;
        assert_eq!(run["state"], "succeeded");
    }
    let until = Instant::now() + Duration::from_secs(20);
    while copy_of_older(&server).await != "expiring" {
        assert!(Instant::now() < until, "{}", copy_of_older(&server).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    server.add_user("ana", "admin").await;
    let by = server.login("ana", PASSWORD).await;
    let request = server.request(Method::GET, "/apps/shop/timeline?span=day", &by);
    let page = request.header(header::ACCEPT_LANGUAGE, "es").send().await.unwrap();
    let page = page.text().await.unwrap();
    let lane = page.split("class=\"lane\"").nth(1).unwrap();
    let lane = lane.split("</svg>").next().unwrap();
    assert!(!lane.contains("failed"), "{lane}");
    assert_eq!(page.matches(", por vencer</a>").count(), 1, "{page}");
}
