//! The real program, killed without warning while containers wait for it or work for it (F14, F15).

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    host::Host,
    images::Image,
    place::{Place, until},
    postgres, volume,
};

/// What is ready when the file was read.
const READY: &[&str] = &["app", "show", "shop"];

/// States of all runs, the newest first.
fn states(place: &Place) -> Vec<String> {
    let runs = place.ask(&["runs", "shop"]);
    let runs = runs["runs"].as_array().unwrap_or_else(|| runs.as_array().expect("runs"));
    let backups = runs.iter().filter(|run| run["kind"] == "backup");
    backups.map(|run| run["state"].as_str().unwrap().to_owned()).collect()
}

fn objects(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { objects(&entry.path()) } else { 1 }).sum()
}

/// F14.
pub(crate) async fn a_container_that_was_stopped_is_started_again(host: Arc<Host>) {
    let volume = host.volume("left-stopped");
    let mount = format!("{}:/v", volume.name);
    let options = ["--stop-signal", "KILL", "-v", &mount];
    let user = host.container("left-stopped", &options, Image::Base, &["sleep", "600"]);
    let fill = "head -c 300000000 /dev/urandom > /v/f";
    host.docker(&["exec", &user.name, "sh", "-c", fill]);
    let source = format!(
        "      - {{ name: data, kind: volume, settings: {{ volume: {}, containers: stop }} }}\n",
        volume.name
    );
    let place = Place::of_file(&host, &source);
    let serving = place.serve(READY);
    place.ask(&["run", "shop"]);
    until("the container is stopped", || !volume::is_running(&host, &user.name));
    drop(serving);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!volume::is_running(&host, &user.name), "nobody is left to start it");
    assert_ne!(volume::helpers(&host, &volume), "");

    let serving = place.serve(READY);
    until("it runs again", || volume::is_running(&host, &user.name));
    until("its run and the one after it have ended", || {
        let states = states(&place);
        states.len() == 2 && states[0] == "succeeded"
    });
    assert_eq!(states(&place)[1], "interrupted");
    until("nothing is left", || volume::helpers(&host, &volume).is_empty());
    assert!(volume::is_running(&host, &user.name));
    assert_eq!(objects(&place.folder.path().join("disk")), 2, "one snapshot and its manifest");
    drop(serving);
}

/// F15, inside a container.
pub(crate) async fn a_command_in_a_container_is_ended(host: Arc<Host>) {
    let server = postgres::server(&host, "orphan", Image::Postgres15, "trust", &[]);
    postgres::fill(&host, &server);
    let mut holder = postgres::lock(&host, &server);
    let source = format!(
        "      - {{ name: db, kind: postgres, settings: {{ container: {}, database: shop }} }}\n",
        server.name
    );
    let place = Place::of_file(&host, &source);
    let serving = place.serve(READY);
    place.ask(&["run", "shop"]);
    until("a dump waits", || postgres::dumps(&host, &server).len() == 1);
    let orphan = postgres::dumps(&host, &server);
    drop(serving);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(postgres::dumps(&host, &server), orphan, "nobody is left to end it");

    let serving = place.serve(READY);
    until("the orphan is gone", || {
        postgres::dumps(&host, &server).iter().all(|process| !orphan.contains(process))
    });
    drop(holder.stdin.take());
    holder.wait().unwrap();
    until("its run and the one after it have ended", || {
        let states = states(&place);
        states.len() == 2 && states[0] == "succeeded"
    });
    assert_eq!(states(&place)[1], "interrupted");
    assert!(postgres::dumps(&host, &server).is_empty());
    drop(serving);
}
