//! The real program, killed without warning while containers wait for it or work for it (F14, F15).

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{host::Host, images::Image, postgres, program, volume};

/// Where `cargo xtask docker` says the program is.
const PROGRAM: &str = "BACKUP_ORCHESTRATOR";

/// The program on a folder of its own.
struct Place {
    folder: TempDir,
    docker: String,
}

/// One that serves; killed with its owner.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    /// With one app `shop`, whose sources are these lines of YAML.
    fn new(host: &Host, sources: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "destinations:\n  - {{ name: disk, kind: local, settings: {{ path: {0}/disk }} }}\n\
             apps:\n  - name: shop\n    destinations: [disk]\n    sources:\n{sources}",
            folder.path().display()
        );
        std::fs::write(folder.path().join("backups.yml"), text).unwrap();
        Self { folder, docker: host.url().to_owned() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os(PROGRAM).expect(
            "BACKUP_ORCHESTRATOR names the program: `cargo xtask docker --engine` builds it",
        );
        let mut command = program::command(program, self.folder.path());
        command
            .args(arguments)
            .env("DOCKER_HOST", &self.docker)
            .env("BACKUPS_FILE", self.folder.path().join("backups.yml"));
        command
    }

    fn serve(&self) -> Serving {
        let address = self.data().join("address");
        let _ = std::fs::remove_file(&address);
        let log = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let serving = Serving(self.program(&["serve"]).stderr(log).spawn().unwrap());
        until("it serves and has read its file", || {
            address.exists() && self.try_ask(&["app", "show", "shop"]).is_some()
        });
        serving
    }

    fn try_ask(&self, arguments: &[&str]) -> Option<Value> {
        let told = self.program(&[&["--json"], arguments].concat()).output().unwrap();
        let read = || serde_json::from_slice(&told.stdout).unwrap();
        told.status.success().then(read)
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        self.try_ask(arguments).unwrap_or_else(|| panic!("{arguments:?}: {}", log()))
    }

    /// States of all runs, the newest first.
    fn states(&self) -> Vec<String> {
        let runs = self.ask(&["runs", "shop"]);
        let runs = runs["runs"].as_array().unwrap_or_else(|| runs.as_array().expect("runs"));
        let backups = runs.iter().filter(|run| run["kind"] == "backup");
        backups.map(|run| run["state"].as_str().unwrap().to_owned()).collect()
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not so after a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
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
    let place = Place::new(&host, &source);
    let serving = place.serve();
    place.ask(&["run", "shop"]);
    until("the container is stopped", || !volume::is_running(&host, &user.name));
    drop(serving);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!volume::is_running(&host, &user.name), "nobody is left to start it");
    assert_ne!(volume::helpers(&host, &volume), "");

    let serving = place.serve();
    until("it runs again", || volume::is_running(&host, &user.name));
    until("its run and the one after it have ended", || {
        let states = place.states();
        states.len() == 2 && states[0] == "succeeded"
    });
    assert_eq!(place.states()[1], "interrupted");
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
    let place = Place::new(&host, &source);
    let serving = place.serve();
    place.ask(&["run", "shop"]);
    until("a dump waits", || postgres::dumps(&host, &server).len() == 1);
    let orphan = postgres::dumps(&host, &server);
    drop(serving);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(postgres::dumps(&host, &server), orphan, "nobody is left to end it");

    let serving = place.serve();
    until("the orphan is gone", || {
        postgres::dumps(&host, &server).iter().all(|process| !orphan.contains(process))
    });
    drop(holder.stdin.take());
    holder.wait().unwrap();
    until("its run and the one after it have ended", || {
        let states = place.states();
        states.len() == 2 && states[0] == "succeeded"
    });
    assert_eq!(place.states()[1], "interrupted");
    assert!(postgres::dumps(&host, &server).is_empty());
    drop(serving);
}
