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

/// What Docker made only when its run was over, and its duties done.
pub(crate) async fn what_came_too_late_is_removed_and_nothing_else(host: Arc<Host>) {
    let data = host.volume("late-data");
    let mount = format!("{}:/v", data.name);
    host.run(&["-v", &mount], Image::Base, &["sh", "-c", "echo kept > /v/file"]);
    let source =
        format!("      - {{ name: data, kind: volume, settings: {{ volume: {} }} }}\n", data.name);
    let place = Place::of_file(&host, &source);
    let serving = place.serve(READY);
    place.ask(&["run", "shop", "--wait"]);
    let runs = place.ask(&["runs", "shop"]);
    let runs = runs["runs"].as_array().unwrap_or_else(|| runs.as_array().expect("runs"));
    let run = runs[0]["id"].as_str().unwrap();
    drop(serving);

    let image = host.image(Image::Base);
    let made = |word: &str, run: &str, volume: &str| {
        let name = Host::name(word);
        let label = format!("io.backup-orchestrator.helper={run}");
        let mount = format!("{volume}:/m");
        let create = ["create", "--network", "none", "--name", &name, "--label", &label];
        host.docker(&[&create[..], &["-v", &mount, image, "true"]].concat());
        host.holding("container", name)
    };
    let drill = format!("backup-drill-{run}-late").to_lowercase();
    let ours = made("ours", run, &drill);
    let other = made("other", "01K00000000000000000000000", &data.name);
    let beside = made("beside", run, &data.name);
    let network = host.network("late");
    let label = format!("io.backup-orchestrator.helper={run}");
    let own = format!("backup-drill-{run}").to_lowercase();
    host.docker(&["network", "create", "--label", &label, &own]);

    let serving = place.serve(READY);
    let is_there =
        |kind: &str, name: &str| host.try_docker(&[kind, "inspect", name]).status.success();
    until("what came too late is removed", || {
        !is_there("container", &ours.name)
            && !is_there("container", &beside.name)
            && !is_there("network", &own)
    });
    assert!(!is_there("volume", &drill), "the drill's volume, which Docker made again");
    assert!(is_there("volume", &data.name), "somebody's volume");
    assert!(is_there("container", &other.name), "another orchestrator's");
    assert!(is_there("network", &network.name), "somebody's network");
    drop(serving);
}
