//! The real program, killed without warning while a container of its replays: the source is as it
//! was, nothing is left without an owner, and what was asked for is done after all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    host::Host,
    images::Image,
    moments::{Database, sql},
    place::{Place, until},
};

/// What is ready when the file was read.
const READY: &[&str] = &["app", "show", "shop"];
const ROWS: &str = "SELECT string_agg(n::text, ',' ORDER BY n) FROM beats";
const STORED: Duration = Duration::from_secs(60);

/// The run `id`, or the one that took it up.
fn run(place: &Place, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let runs = place.ask(&["runs", "shop"]);
    let runs = runs["runs"].as_array().unwrap_or_else(|| runs.as_array().expect("runs")).clone();
    runs.into_iter().find(is_it)
}

fn ended(place: &Place, is_it: impl Fn(&Value) -> bool) -> Value {
    let found = || run(place, &is_it).filter(|run| !run["finished_at"].is_null());
    until("a run has ended", || found().is_some());
    found().unwrap()
}

/// Waits until a server replays in a container that `filter` finds; gives its id.
fn replaying(host: &Host, filter: &str) -> String {
    let began = Instant::now();
    let filters = ["--filter", "label=io.backup-orchestrator.helper", "--filter", filter];
    loop {
        let found = host.docker(&[&["ps", "--quiet"][..], &filters].concat());
        let is_server = |id: &&str| {
            let top = host.try_docker(&["top", id, "-o", "pid,args"]).stdout;
            String::from_utf8_lossy(&top).contains("postgres:")
        };
        if let Some(id) = found.lines().find(is_server) {
            return id.to_owned();
        }
        assert!(began.elapsed() < STORED, "no server was seen to replay");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Containers and volumes that the run `id` has made and that are there for it alone.
fn left(host: &Host, id: &str) -> String {
    let mine = format!("label=io.backup-orchestrator.helper={id}");
    let containers = host.docker(&["ps", "--all", "--quiet", "--filter", &mine]);
    let drill = format!("name=backup-drill-{id}").to_lowercase();
    containers + &host.docker(&["volume", "ls", "--quiet", "--filter", &drill])
}

pub(crate) async fn a_replay_that_was_killed_leaves_nothing_and_is_done_again(host: Arc<Host>) {
    let database = Database::serve(&host, Image::Postgres15, 15);
    let own = database.server.name.as_str();
    let source = format!(
        "      - {{ name: pg, kind: postgres, settings: {{ container: {own}, database: shop }} }}\n\
         \x20   recovery: {{ way: stream }}\n"
    );
    let place = Place::of_file(&host, &source);
    let serving = place.serve(READY);
    sql(&host, own, "INSERT INTO beats SELECT generate_series(1, 200)");
    place.ask(&["recovery", "base", "shop", "--wait"]);
    sql(&host, own, "INSERT INTO beats SELECT generate_series(201, 400)");
    sql(&host, own, "SELECT pg_switch_wal()");
    let (rows, end) = (sql(&host, own, ROWS), sql(&host, own, "SELECT pg_current_wal_flush_lsn()"));
    let position = |text: &str| {
        let (high, low) = text.split_once('/').unwrap();
        let half = |text: &str| u64::from_str_radix(text, 16).unwrap();
        (half(high) << 32) + half(low)
    };
    until("all of it is stored", || {
        let state = place.ask(&["recovery", "status", "shop"]);
        state["windows"]
            .as_array()
            .unwrap()
            .last()
            .is_some_and(|window| position(window["end"].as_str().unwrap()) >= position(&end))
    });
    let format = "{{.Id}} {{.State.StartedAt}} {{.State.Running}} {{.RestartCount}}";
    let before = host.docker(&["inspect", "--format", format, own]);

    // A restore: it goes on, and there is one copy of all of it.
    let name = Host::name("killed");
    let begun = place.ask(&["restore", "shop", "--latest", "--beside", &name]);
    let copy = (host.holding("container", name.clone()), host.holding("volume", name.clone()));
    let first = begun["id"].as_str().unwrap().to_owned();
    let orphan = replaying(&host, &format!("volume={name}"));
    drop(serving);
    assert!(left(&host, &first).contains(&orphan), "nobody is left to remove it");
    let serving = place.serve(READY);
    assert_eq!(ended(&place, |run| run["id"] == *first)["state"], "interrupted");
    let second = ended(&place, |run| run["retry_of"] == *first);
    assert_eq!(second["state"], "succeeded", "{second}");
    assert_eq!(left(&host, &first), "");
    assert_eq!(left(&host, second["id"].as_str().unwrap()), "");
    assert!(!host.try_docker(&["inspect", &orphan]).status.success());
    until("the copy answers", || {
        let asked = ["exec", &name, "psql", "-XAtU", "postgres", "-d", "shop", "-c", ROWS];
        let told = host.try_docker(&asked);
        String::from_utf8_lossy(&told.stdout).trim() == rows
    });

    // A drill: what it left is gone.
    let begun = place.ask(&["drill", "shop", "--moment"]);
    let drill = begun["id"].as_str().unwrap().to_owned();
    let orphan = replaying(&host, &format!("label=io.backup-orchestrator.helper={drill}"));
    drop(serving);
    assert!(left(&host, &drill).contains(&orphan), "nobody is left to remove it");
    let serving = place.serve(READY);
    assert_eq!(ended(&place, |run| run["id"] == *drill)["state"], "interrupted");
    until("nothing is left of it", || left(&host, &drill).is_empty());

    // The source knows of nothing.
    assert_eq!(host.docker(&["inspect", "--format", format, own]), before);
    assert_eq!(sql(&host, own, ROWS), rows);
    drop((copy, serving));
}
