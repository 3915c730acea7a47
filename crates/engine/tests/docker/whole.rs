//! Whole apps on the real program: a database, a volume and code, snapshotted before a deployment
//! that goes wrong, and brought back by one command; killed in the middle of each.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    git::{commit, git},
    host::{Host, Made},
    images::Image,
    place::{Place, until},
    postgres, volume,
};

const READY: &[&str] = &["app", "show", "shop"];
/// Ends at once when it is told to, and serves nothing.
const WEB: &[&str] = &["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"];

/// An app of three sources, and the program that protects it.
struct Shop<'a> {
    host: &'a Host,
    db: Made<'a>,
    volume: Made<'a>,
    web: String,
    code: tempfile::TempDir,
    place: Place,
}

impl<'a> Shop<'a> {
    fn new(host: &'a Host, web: &[&str]) -> Self {
        let db = postgres::server(host, "whole-db", Image::Postgres15, "trust", &[]);
        postgres::fill(host, &db);
        let volume = host.volume("whole-files");
        let code = tempfile::tempdir().unwrap();
        git(code.path(), &["init", "--quiet", "--initial-branch", "main"]);
        commit(code.path(), "one");
        let name = Host::name("whole-web");
        let lines = format!(
            "      - {{ name: db, kind: postgres, settings: {{ container: {}, database: shop }} }}\n\
             \x20     - {{ name: files, kind: volume, settings: {{ volume: {} }} }}\n\
             \x20   quiesce:\n\
             \x20     mode: pause\n\
             \x20     pre: [{{ container: {name}, argv: [sh, -c, \"echo pre >> /v/hooks\"] }}]\n\
             \x20     post: [{{ container: {name}, argv: [sh, -c, \"echo post >> /hooks\"] }}]\n\
             \x20   code: {{ path: {} }}\n",
            db.name,
            volume.name,
            code.path().display()
        );
        let place = Place::of_file(host, &lines).allowing(code.path());
        let shop = Self { host, db, volume, web: name, code, place };
        shop.run_web(Image::Base, web);
        shop.inside("echo one > /v/file");
        shop
    }

    fn run_web(&self, image: Image, command: &[&str]) {
        let mount = format!("{}:/v", self.volume.name);
        let image = self.host.image(image);
        let run = ["run", "--detach", "--network", "none", "--name", &self.web];
        let own = ["--env", "OWN=1", "-v", &mount, image];
        self.host.docker(&[&run[..], &own, command].concat());
    }

    fn inside(&self, script: &str) -> String {
        self.host.docker(&["exec", &self.web, "sh", "-c", script])
    }

    fn sql(&self, text: &str) -> String {
        postgres::sql(self.host, &self.db, "shop", text)
    }

    fn inspected(&self, format: &str) -> String {
        self.host.docker(&["inspect", "--format", format, &self.web])
    }

    fn head(&self) -> String {
        git(self.code.path(), &["rev-parse", "HEAD"])
    }

    /// Everything that a deployment may change.
    fn facts(&self) -> [String; 5] {
        [
            self.sql(postgres::SUM),
            self.inside("cat /v/file"),
            self.head(),
            self.inspected("{{.Image}}"),
            self.inside("echo $OWN"),
        ]
    }

    fn snapshot(&self, commit: &str) -> Value {
        let kind = ["--kind", "pre-deploy", "--git-commit", commit, "--deploy-label", "r-42"];
        let run = self.place.ask(&[&["run", "shop", "--wait"], &kind[..]].concat());
        assert_eq!(run["state"], "succeeded", "{run}");
        self.place.ask(&["snapshot-show", run["snapshot_id"].as_str().unwrap()])
    }

    /// All of it changes, the image too.
    fn deploy_badly(&self) -> String {
        self.sql("DELETE FROM orders");
        self.inside("echo broken > /v/file");
        let second = commit(self.code.path(), "two");
        std::fs::write(self.code.path().join("untracked"), "mine").unwrap();
        self.host.docker(&["rm", "--force", &self.web]);
        self.run_web(Image::Postgres15, WEB);
        second
    }

    fn restore(&self, of: &str, how: &[&str]) -> Value {
        self.place.ask(&[&["restore", of, "--confirm", "shop", "--wait"], how].concat())
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        let filter = format!("name={}", self.web);
        let told = self.host.try_docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        for id in String::from_utf8_lossy(&told.stdout).split_whitespace() {
            let _ = self.host.try_docker(&["rm", "--force", id]);
        }
    }
}

/// The newest run of `kind` first.
fn states(place: &Place, kind: &str) -> Vec<String> {
    let runs = place.ask(&["runs", "shop"]);
    let runs = runs.as_array().expect("runs").iter().filter(|run| run["kind"] == kind);
    runs.map(|run| run["state"].as_str().unwrap().to_owned()).collect()
}

/// One command, and each of the three is as it was; and one command goes back again.
pub(crate) async fn a_bad_deployment_is_undone_by_one_command(host: Arc<Host>) {
    let shop = Shop::new(&host, WEB);
    let serving = shop.place.serve(READY);
    let good = shop.facts();
    let first = shop.head();
    let wanted = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
    let snapshot = shop.snapshot(wanted);
    let state = &snapshot["app_state"];
    assert_eq!(
        (&snapshot["kind"], &state["grade"]),
        (&"pre-deploy".into(), &"application-consistent".into()),
        "{state}"
    );
    assert_eq!(state["code"]["git_commit"], Value::from(first.clone()));
    assert_eq!(state["deploy"], "r-42");
    assert!(state["paused_ms"].as_u64().unwrap() > 0, "{state}");
    let position = &state["database_wal_position"]["db"];
    assert!(
        position["lsn"].as_str().unwrap().contains('/') && position["timeline"] == 1,
        "{state}"
    );
    assert_eq!(state["containers"][0]["name"], Value::from(shop.web.clone()));
    assert_eq!(state["containers"][0]["image_id"], Value::from(good[3].clone()));
    assert_eq!(shop.inspected("{{.State.Paused}}"), "false");
    assert_eq!(shop.inside("cat /v/hooks /hooks"), "pre\npost");

    let second = shop.deploy_badly();
    let bad = shop.facts();
    assert!(good.iter().zip(&bad).take(4).all(|(one, other)| one != other), "{good:?} {bad:?}");

    let run = shop.restore("shop", &["--before-deploy", "c0ffee00"]);
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(shop.facts(), good);
    let untracked = shop.code.path().join("untracked");
    assert_eq!(std::fs::read_to_string(&untracked).unwrap(), "mine");
    let report = shop.place.ask(&["run-show", run["id"].as_str().unwrap()]);
    assert_eq!(report["run"]["state"], "succeeded");

    let back = shop.restore(run["id"].as_str().unwrap(), &["--undo"]);
    assert_eq!(back["state"], "succeeded", "{back}");
    assert_eq!(shop.facts(), bad);
    assert_eq!(shop.head(), second);
    drop(serving);
}

/// F14, of a whole app: a paused one.
pub(crate) async fn what_was_paused_goes_on_after_a_kill(host: Arc<Host>) {
    let shop = Shop::new(&host, WEB);
    shop.inside("head -c 300000000 /dev/urandom > /v/large");
    let serving = shop.place.serve(READY);
    shop.place.ask(&["run", "shop"]);
    until("the app is paused", || shop.inspected("{{.State.Paused}}") == "true");
    drop(serving);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shop.inspected("{{.State.Paused}}"), "true", "nobody is left to let it go on");

    let serving = shop.place.serve(READY);
    until("its run and the one after it have ended", || {
        let states = states(&shop.place, "backup");
        states.len() == 2 && states[0] == "succeeded"
    });
    assert_eq!(states(&shop.place, "backup")[1], "interrupted");
    assert_eq!(shop.inspected("{{.State.Paused}}"), "false");
    assert_eq!(shop.inside("cat /hooks"), "post\npost", "once for each");
    drop(serving);
}

/// Killed while the app is being stopped, and again while it is seen how it does.
pub(crate) async fn a_killed_restore_goes_on_and_the_app_with_it(host: Arc<Host>) {
    // It does not end when it is told to: Docker waits ten seconds for it.
    let shop = Shop::new(&host, &["sleep", "600"]);
    let serving = shop.place.serve(READY);
    let good = shop.facts();
    shop.snapshot(&shop.head());
    shop.sql("DELETE FROM orders");
    shop.inside("echo broken > /v/file");
    commit(shop.code.path(), "two");
    let asked = ["restore", "shop", "--before-deploy", "--confirm", "shop", "--no-undo"];
    let run = shop.place.ask(&asked);
    let id = run["id"].as_str().unwrap().to_owned();
    let log = || {
        let told = shop.place.run(&["logs", &id]);
        String::from_utf8_lossy(&told.stdout).into_owned()
    };
    until("all of it is read in", || {
        log().contains("reading from") && stage(&shop, &id) == "switch"
    });
    drop(serving);
    std::thread::sleep(Duration::from_secs(1));

    let serving = shop.place.serve(READY);
    until("it goes on", || states(&shop.place, "restore").len() == 2);
    until("it has ended", || states(&shop.place, "restore")[0] == "succeeded");
    assert_eq!(states(&shop.place, "restore")[1], "interrupted");
    assert!(volume::is_running(&host, &shop.web));
    assert_eq!(shop.facts(), good);
    drop(serving);
}

fn stage(shop: &Shop<'_>, id: &str) -> String {
    let shown = shop.place.ask(&["run-show", id]);
    shown["run"]["stage"].as_str().unwrap_or_default().to_owned()
}

/// It has to run to be read.
pub(crate) async fn who_serves_the_database_is_never_held(host: Arc<Host>) {
    let db = postgres::server(&host, "held-db", Image::Postgres15, "trust", &[]);
    postgres::fill(&host, &db);
    let lines = format!(
        "      - {{ name: db, kind: postgres, settings: {{ container: {0}, database: shop }} }}\n\
         \x20   quiesce: {{ mode: stop, containers: [{0}] }}\n",
        db.name
    );
    let place = Place::of_file(&host, &lines);
    let serving = place.serve(READY);
    let told = place.run(&["run", "shop", "--wait"]);
    assert_eq!(told.status.code(), Some(1));
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(said.contains("is the server of a source of this app"), "{said}");
    assert!(volume::is_running(&host, &db.name));
    drop(serving);
}
