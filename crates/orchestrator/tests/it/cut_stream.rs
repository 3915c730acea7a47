//! Who follows a run over a connection that breaks again and again misses no line of its log.

use std::time::Duration;

use catalog::Catalog;
use jiff::Timestamp;
use model::{LogLevel, RunId, Stage};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    proxy::Proxy,
    server::{As, PASSWORD, Place, Server},
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

/// Follows as browsers do (WHATWG HTML, 9.2): what is whole counts, the rest is asked for anew by the
/// last id. Gives the events' ids, names and data, and how often it was connected.
async fn followed(url: &str, by: &As, server: &Server) -> (Vec<(String, String, String)>, usize) {
    let (mut all, mut last, mut connected) = (Vec::new(), String::new(), 0);
    let until = tokio::time::Instant::now() + Duration::from_secs(120);
    loop {
        assert!(tokio::time::Instant::now() < until, "it does not end: {}", server.place.log());
        let mut request = server.http.request(Method::GET, url);
        request = match by {
            As::Token(token) => request.bearer_auth(token),
            As::Browser(cookie) => request.header(header::COOKIE, cookie),
            As::Nobody => request,
        };
        if !last.is_empty() {
            request = request.header("last-event-id", &last);
        }
        let Ok(mut reply) = request.send().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        assert_eq!(reply.status(), 200);
        connected += 1;
        let mut kept = Vec::new();
        while let Ok(Some(chunk)) = reply.chunk().await {
            kept.extend_from_slice(&chunk);
            while let Some(end) = kept.windows(2).position(|two| two == b"\n\n") {
                let event = String::from_utf8(kept.drain(..end + 2).collect()).unwrap();
                let field = |name: &str| -> String {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines
                        .map(|rest| rest.strip_prefix(' ').unwrap_or(rest))
                        .collect::<Vec<_>>()
                        .join("\n")
                };
                let (id, name, data) = (field("id:"), field("event:"), field("data:"));
                if !id.is_empty() {
                    last.clone_from(&id);
                }
                let is_end = name == "end";
                all.push((id, name, data));
                if is_end {
                    return (all, connected);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cut_goes_on_and_loses_no_line() {
    let (server, _app, proxy, run) = under_way().await;
    server.add_user("ana", "viewer").await;
    let by = server.login("ana", PASSWORD).await;
    // In the middle of lines, and of letters. The pages' parts are larger.
    proxy.cut_after(7_001);
    let other = Proxy::to(server.base.strip_prefix("http://").unwrap().parse().unwrap()).await;
    other.cut_after(60_001);
    let token = server.local();
    let of_api = format!("{}/api/v1/runs/{run}/events", proxy.url());
    let of_pages = format!("{}/runs/{run}/events?after=0", other.url());
    let (api, page, ()) = tokio::join!(
        followed(&of_api, &token, &server),
        followed(&of_pages, &by, &server),
        talk(&server, &run),
    );

    let kept = server.done_get(&format!("runs/{run}/log?limit=10000")).await;
    let kept: Vec<_> =
        kept.as_array().unwrap().iter().map(|line| line["message"].clone()).collect();
    assert!(kept.len() > LINES);
    let (events, connected) = api;
    assert!(connected > 5, "it was cut {connected} times");
    let lines: Vec<Value> = events
        .iter()
        .filter(|(_, name, _)| name == "log")
        .map(|(_, _, data)| serde_json::from_str(data).unwrap())
        .collect();
    let numbers: Vec<_> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=kept.len() as u64).collect::<Vec<_>>(), "each line once, in order");
    assert!(lines.iter().zip(&kept).all(|(line, kept)| line["message"] == *kept));

    // Of the pages' parts a line may come twice, which the script passes over; none is missing.
    let (events, connected) = page;
    assert!(connected > 1, "it was cut {connected} times");
    let mut seen = 0;
    for (_, _, data) in events.iter().filter(|(_, name, _)| name == "log") {
        for line in data.split("data-seq=\"").skip(1) {
            let number: u64 = line.split('"').next().unwrap().parse().unwrap();
            if number > seen {
                assert_eq!(number, seen + 1, "a line is missing");
                seen = number;
            }
        }
    }
    assert_eq!(seen, kept.len() as u64);
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
