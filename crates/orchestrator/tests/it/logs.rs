//! Logs of runs, searched by the API, the command line and the pages.

use std::time::{Duration, Instant};

use catalog::Catalog;
use model::{LogLevel, RunId, Stage};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    road::ran,
    server::{As, PASSWORD, Place, Server},
};

/// Lines that a run of a large app may have.
const MANY: usize = 100_000;

async fn with_run() -> (Server, App, String) {
    let app = App::serve(10_000).await;
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    let destinations = json!([{ "destination": "disk" }]);
    let draft =
        json!({ "name": "shop", "url": app.url(), "token": TOKEN, "destinations": destinations });
    server.done("POST", "apps", draft).await;
    let run = ran(&server, "shop").await["id"].as_str().unwrap().to_owned();
    (server, app, run)
}

/// Stops the server, makes the run's log long, and serves it again.
async fn with_long_log(server: Server, run: &str) -> Server {
    let place = server.stop();
    let url = format!("sqlite://{}", place.data().join("catalog.sqlite").display());
    let catalog = Catalog::open(&url.into(), 2).await.unwrap();
    let id: RunId = run.parse().unwrap();
    for part in 0..MANY / 10_000 {
        let lines: Vec<_> = (part * 10_000..(part + 1) * 10_000)
            .map(|n| {
                let (level, what) = match n {
                    77_777 => (LogLevel::Error, "Ñandú <b>bold</b>"),
                    n if n % 1_000 == 0 => (LogLevel::Warn, "skipped"),
                    _ => (LogLevel::Info, "stored"),
                };
                (jiff::Timestamp::now(), level, Stage::Store, format!("{what} file-{n:06}"))
            })
            .collect();
        catalog.append_log(id, &lines).await.unwrap();
    }
    catalog.close().await.unwrap();
    place.serve().await
}

fn messages(lines: &Value) -> Vec<&str> {
    lines.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect()
}

async fn page(server: &Server, by: &As, path: &str) -> String {
    let began = Instant::now();
    let reply = server.request(Method::GET, path, by).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    let text = reply.text().await.unwrap();
    // Unoptimised, and beside other tests.
    assert!(began.elapsed() < Duration::from_secs(5), "{path}: {:?}", began.elapsed());
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_searched_everywhere() {
    let (server, _app, run) = with_run().await;
    let own = server.done_get(&format!("runs/{run}/log")).await.as_array().unwrap().len();
    let server = with_long_log(server, &run).await;
    let log = format!("runs/{run}/log");

    let found = server.done_get(&format!("{log}?search=%C3%B1AND%C3%BA&level=error")).await;
    assert_eq!(messages(&found), ["Ñandú <b>bold</b> file-077777"]);
    assert_eq!(found[0]["seq"], 77_778 + own);
    let found = server.done_get(&format!("{log}?level=warning&limit=10000")).await;
    assert_eq!(found.as_array().unwrap().len(), 101);
    let found = server.done_get(&format!("{log}?search=SKIPPED&offset=99")).await;
    assert_eq!(messages(&found), ["skipped file-099000"]);
    let after = 50_000 + own;
    let found = server.done_get(&format!("{log}?after={after}&search=skipped&limit=1")).await;
    assert_eq!(messages(&found), ["skipped file-050000"]);
    assert_eq!(server.done_get(&log).await.as_array().unwrap().len(), 1_000);
    for (query, status) in [("level=loud", 422), ("limit=-1", 400), ("find=x", 400)] {
        assert_eq!(server.get(&format!("{log}?{query}"), &server.local()).await, status, "{query}");
    }

    let told = server.place.run(&["logs", &run, "--search", "ñandú", "--level", "warning"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("file-077777"), "{told}");
    let lines = server.place.run(&["logs", &run, "--level", "warning", "--json"]);
    let lines: Value = serde_json::from_slice(&lines.stdout).unwrap();
    assert_eq!(lines.as_array().unwrap().len(), 101);
    let all = server.place.run(&["logs", &run]);
    assert_eq!(String::from_utf8(all.stdout).unwrap().lines().count(), MANY + own);
    assert_eq!(server.place.run(&["logs", &run, "--level", "loud"]).status.code(), Some(2));

    server.add_user("ana", "viewer").await;
    let by = server.login("ana", PASSWORD).await;
    let path = format!("/runs/{run}");
    let first = page(&server, &by, &path).await;
    assert_eq!(first.matches("data-seq=").count(), 1_000);
    assert!(first.contains(&format!("1–1000 / {}", MANY + own)), "where one is");
    let second = page(&server, &by, &format!("{path}?page=1")).await;
    assert!(second.contains("data-seq=\"1001\"") && second.contains("data-seq=\"2000\""));
    assert!(second.contains("?page=0#log-panel") && second.contains("?page=2#log-panel"));
    let last = page(&server, &by, &format!("{path}?page=99999")).await;
    assert!(last.contains("file-099999") && !last.contains("data-seq=\"1\""));
    let few = page(&server, &by, &format!("{path}?q=%C3%B1and&level=warn")).await;
    assert_eq!(few.matches("data-seq=").count(), 1);
    assert!(few.contains("&#60;b&#62;bold") && !few.contains("<b>bold"), "{few}");
    assert!(few.contains("--search &#39;ñand&#39; --level warn") || few.contains("--search ñand"));
    let none = page(&server, &by, &format!("{path}?q=nothing-like-this")).await;
    assert!(none.contains("No line of the log fits"), "{none}");
    let many = page(&server, &by, &format!("{path}?q=stored&page=1")).await;
    assert_eq!(many.matches("data-seq=").count(), 1_000);
    assert!(many.contains("?page=2&#38;q=stored#log-panel"), "the search is kept");

    let whole = page(&server, &by, &format!("{path}/log")).await;
    assert_eq!(whole.lines().count(), MANY + own);
    let part = page(&server, &by, &format!("{path}/log?q=skipped&level=warn")).await;
    assert_eq!(part.lines().count(), 100);
    assert!(part.lines().all(|line| line.contains(" warn ") && line.contains("skipped")));
}
