//! Who follows a run over a connection that breaks again and again misses no line of its log.

use std::time::Duration;

use catalog::Catalog;
use jiff::Timestamp;
use model::{LogLevel, RunId, Stage};
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    proxy::Proxy,
    server::{Place, Server},
};

const LINES: usize = 600;

/// A run that takes its time, and a proxy to its server.
async fn under_way() -> (Server, App, Proxy, String) {
    let app = App::serve(50_000).await;
    app.pause(Duration::from_millis(500));
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let draft = json!({
        "name": "shop", "url": app.url(), "token": TOKEN, "destinations": [{ "destination": "disk" }],
    });
    server.done("POST", "apps", draft).await;
    let run = server.done("POST", "apps/shop/run", json!({})).await;
    let proxy = Proxy::to(server.base.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let id = run["id"].as_str().unwrap().to_owned();
    (server, app, proxy, id)
}

/// The run tells of much, a little at a time, while it goes on.
async fn talk(server: &Server, run: &str) {
    let url = format!("sqlite://{}", server.place.data().join("catalog.sqlite").display());
    let catalog = Catalog::open(&url.into(), 1).await.unwrap();
    let id: RunId = run.parse().unwrap();
    for part in 0..LINES / 20 {
        let lines: Vec<_> = (part * 20..(part + 1) * 20)
            .map(|n| {
                (Timestamp::now(), LogLevel::Info, Stage::Store, format!("ñandú number {n:04}"))
            })
            .collect();
        catalog.append_log(id, &lines).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    catalog.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_goes_on_where_the_connection_broke() {
    let (server, _app, proxy, run) = under_way().await;
    let url = proxy.url();
    let mut following = server.place.program(&["--url", &url, "logs", &run, "--follow"]);
    following.stdout(std::process::Stdio::piped());
    let following = following.spawn().unwrap();
    let cutting = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.go_down();
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.come_up();
        }
    };
    tokio::join!(talk(&server, &run), cutting);
    let done = tokio::task::spawn_blocking(|| following.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(proxy.passed() > 3);
    let told = String::from_utf8(done.stdout).unwrap();
    let talked: Vec<_> = told.lines().filter(|line| line.contains("ñandú number")).collect();
    assert_eq!(talked.len(), LINES);
    for (at, line) in talked.iter().enumerate() {
        assert!(line.ends_with(&format!("{at:04}")), "{line}");
    }
    // Where nobody ever was, it is told at once.
    proxy.go_down();
    let nobody = server.place.run(&["--url", &url, "logs", &run]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}
