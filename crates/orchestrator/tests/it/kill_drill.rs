//! The real process, killed without warning while it drills: nothing of the scratch stays, nothing
//! is called proven, and the next drill is as good as ever.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    postgres::{self, Postgres},
    road::{ended, ran},
    server::{Place, Server},
};

/// Where the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The scratch server is being made.
    Making,
    /// It is up, and is being filled.
    Loading,
    /// It is filled, and a command looks at it, with a process of its own.
    Checking,
}

/// A folder for scratch that database servers may enter, and what a drill's command waits for.
struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { folder };
        for path in [scratch.path(""), scratch.path("drills")] {
            std::fs::create_dir_all(&path).unwrap();
            Command::new("chmod").arg("777").arg(path).status().unwrap();
        }
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    async fn serve(&self) -> Server {
        let drills = self.path("drills").display().to_string();
        let settings = [("BACKUP_SCRATCH_DIR", &*drills), ("BACKUP_DRILL_COMMANDS", "true")];
        let server = Place::new(&settings).serve().await;
        let disk = server.place.folder.path().join("disk");
        let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
        server.done("POST", "destinations", destination).await;
        server
    }

    /// A command that ends as long as nothing is held; else it tells that it has begun, and waits
    /// in a process of its own.
    fn command(&self) -> Value {
        let hold = self.path("hold").display().to_string();
        let waits = format!("test -e {hold} || exit 0; touch {hold}.begun; (sleep 600) & wait");
        json!(["sh", "-c", waits])
    }

    fn hold(&self) {
        std::fs::write(self.path("hold"), "").unwrap();
    }

    fn let_go(&self) {
        let _ = std::fs::remove_file(self.path("hold"));
        let _ = std::fs::remove_file(self.path("hold.begun"));
    }

    fn drills(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("drills")).unwrap();
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// What works in the scratch: processes, and what each is called.
    fn processes(&self) -> Vec<(u32, String)> {
        let drills = self.path("drills");
        let word = drills.display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
            let name = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let name = String::from_utf8_lossy(&name).replace('\0', " ");
            let is_in = |at: &Path| at.starts_with(&drills);
            let works = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|at| is_in(&at));
            if !name.is_empty() && (works || name.contains(&word)) {
                found.push((id, name));
            }
        }
        found
    }

    fn has_reached(&self, moment: Moment) -> bool {
        match moment {
            Moment::Making => self.processes().iter().any(|(_, name)| name.contains("initdb")),
            Moment::Loading => {
                self.processes().iter().any(|(_, name)| name.contains("CREATE INDEX"))
            }
            Moment::Checking => self.path("hold.begun").exists(),
        }
    }

    async fn reach(&self, moment: Moment, server: &Server) {
        for _ in 0..6_000 {
            if self.has_reached(moment) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{moment:?}: {}", server.place.log());
    }
}

/// Pieces of shared memory that processes share by a number.
fn shared_memory() -> BTreeSet<String> {
    let told = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let number = |line: &str| Some(line.split_whitespace().nth(1)?.to_owned());
    told.lines().skip(1).filter_map(number).collect()
}

/// Those of them that the scratch server has.
fn its_memory(scratch: &Scratch) -> BTreeSet<String> {
    let number = |drill: PathBuf| {
        let told = std::fs::read_to_string(drill.join("data/postmaster.pid")).ok()?;
        // Its key and its number are in the seventh line.
        Some(told.lines().nth(6)?.split_whitespace().nth(1)?.to_owned())
    };
    scratch.drills().into_iter().filter_map(number).collect()
}

/// The snapshot of a new app with this source, whose drills run the command.
async fn snapshot(server: &Server, scratch: &Scratch, source: Value) -> String {
    let name = source["name"].clone();
    let app = json!({ "name": "shop", "sources": [source], "limits": { "retries": 0 },
        "destinations": [{ "destination": "disk" }] });
    server.done("POST", "apps", app).await;
    let run = ran(server, "shop").await;
    let version = server.done_get("apps/shop").await["app"]["version"].clone();
    let plan = json!({ "commands": [{ "artifact": name, "argv": scratch.command() }] });
    let edit = json!({ "version": version, "plan": plan });
    server.done("PUT", "apps/shop/drill-plan", edit).await;
    run["snapshot_id"].as_str().unwrap().to_owned()
}

async fn drill(server: &Server, snapshot: &str) -> String {
    let run = server.done("POST", &format!("snapshots/{snapshot}/drill"), json!({})).await;
    run["id"].as_str().unwrap().to_owned()
}

/// Kills the server there, starts the next one, and holds what it finds against what must be.
async fn killed_at(moment: Moment, server: Server, scratch: &Scratch, snapshot: &str) -> Server {
    scratch.let_go();
    if moment == Moment::Checking {
        scratch.hold();
    }
    let before = server.done_get(&format!("snapshots/{snapshot}")).await["proof"].clone();
    let run = drill(&server, snapshot).await;
    scratch.reach(moment, &server).await;
    // The others were reached by a process, which may have given way to the next.
    assert!(moment != Moment::Checking || !scratch.processes().is_empty(), "{moment:?}");
    assert_eq!(scratch.drills().len(), 1, "{moment:?}");
    let memory = its_memory(scratch);
    let server = server.kill().serve().await;
    scratch.let_go();

    let first = ended(&server, &run).await;
    assert_eq!(first["state"], "interrupted", "{moment:?}: {first}");
    let mut left = (scratch.drills(), scratch.processes());
    for _ in 0..300 {
        if left.0.is_empty() && left.1.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        left = (scratch.drills(), scratch.processes());
    }
    assert!(left.0.is_empty() && left.1.is_empty(), "{moment:?}: {left:?} {}", server.place.log());
    let forsaken: Vec<_> = shared_memory().intersection(&memory).cloned().collect();
    assert_eq!(forsaken, [""; 0], "{moment:?}: shared memory");
    let proof = server.done_get(&format!("snapshots/{snapshot}")).await["proof"].clone();
    assert_eq!(proof, before, "{moment:?}: what was cut off proves nothing");

    let again = drill(&server, snapshot).await;
    let ended = ended(&server, &again).await;
    assert_eq!(ended["state"], "succeeded", "{moment:?}: {ended}");
    let proof = server.done_get(&format!("snapshots/{snapshot}")).await["proof"].clone();
    assert!(proof["passed"] == true && proof["run_id"] == again.as_str(), "{moment:?}: {proof}");
    assert!(scratch.drills().is_empty() && scratch.processes().is_empty(), "{moment:?}");
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_of_a_drill_on_postgresql_wherever_it_was_killed() {
    let Some(database) = Postgres::start() else { return };
    database.sql("postgres", "CREATE DATABASE shop");
    database.sql(
        "shop",
        "CREATE TABLE orders AS SELECT generate_series(1, 40) AS id; \
         CREATE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN \
         PERFORM pg_catalog.pg_sleep(0.02); RETURN n; END $$; \
         CREATE INDEX ON orders (slow(id))",
    );
    let scratch = Scratch::new();
    let mut server = scratch.serve().await;
    let source = json!({ "name": "db", "kind": "postgres",
        "settings": { "host": "127.0.0.1", "port": database.port.to_string(),
            "user": postgres::USER, "database": "shop" },
        "secrets": { "password": postgres::PASSWORD } });
    let snapshot = snapshot(&server, &scratch, source).await;
    for moment in [Moment::Making, Moment::Loading, Moment::Checking] {
        server = killed_at(moment, server, &scratch, &snapshot).await;
    }
}

/// A server of the test's, ended with it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_of_a_drill_on_redis() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = port.to_string();
    let scratch = Scratch::new();
    let started = Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(scratch.path(""))
        .args(["--repl-diskless-sync-delay", "0"])
        .stdout(Stdio::null())
        .spawn();
    let Ok(started) = started else {
        assert!(std::env::var_os("CI").is_none(), "redis-server is needed in CI");
        println!("left out: redis-server is not installed");
        return;
    };
    let _database = Daemon(started);
    let cli = |arguments: &[&str]| {
        let done = Command::new("redis-cli").args(["-e", "-p", &port]).args(arguments).output();
        done.unwrap().status.success()
    };
    for _ in 0..200 {
        if cli(&["MSET", "a", "1", "b", "2"]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let server = scratch.serve().await;
    let source = json!({ "name": "cache", "kind": "redis",
        "settings": { "host": "127.0.0.1", "port": port } });
    let snapshot = snapshot(&server, &scratch, source).await;
    killed_at(Moment::Checking, server, &scratch, &snapshot).await;
}
