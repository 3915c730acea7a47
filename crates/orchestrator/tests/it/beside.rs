//! WAL received beside the server by `backup-sidecar wal-receive` and handed to a real orchestrator,
//! while either of them is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    moments::{once, ready_with, told},
    postgres::{self, Postgres},
    program,
    server::{Place, Server},
};

const SEGMENT: u64 = 16 << 20;
/// What a receiver may have the server keep at least, in MiB.
const MOST_KEPT: u64 = 64;
const RELEASED: &str = "the slot is let go of";

/// The sidecar's program, which a build of the workspace puts beside ours; `None` where it was not
/// built, which CI does not allow.
fn sidecar() -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_BIN_EXE_backup-orchestrator"));
    let theirs = ours.with_file_name("backup-sidecar");
    if !theirs.is_file() {
        assert!(std::env::var_os("CI").is_none(), "the sidecar is not built");
        eprintln!("skipped: `cargo build -p sidecar` makes the sidecar");
        return None;
    }
    Some(theirs)
}

/// A receiver at work, killed with its owner.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose WAL is handed over, and where to.
struct Scene {
    database: Postgres,
    sidecar: PathBuf,
    /// Where the orchestrator is, also after it was started again.
    url: String,
}

impl Scene {
    /// With an app that waits for WAL.
    async fn new() -> Option<(Self, Server)> {
        let sidecar = sidecar()?;
        let database = Postgres::start()?;
        // What was handed over is compared with the server's own.
        database.sql("postgres", "ALTER SYSTEM SET wal_keep_size = '1GB'");
        database.sql("postgres", "SELECT pg_reload_conf()");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.to_string();
        let server = ready_with(&database, &[("APP_PORT", port.as_str())]).await;
        let (code, text) = told(&server.place, &["app", "edit", "shop", "--wal", "push"]);
        assert_eq!(code, 0, "{text}");
        let made = json!({ "name": "wal", "scopes": ["append"] });
        let made = server.done("POST", "tokens", made).await;
        server.place.file("wal-token", made["secret"].as_str().unwrap());
        server.place.file("wal-password", postgres::PASSWORD);
        database.sql("shop", "CREATE TABLE filled (n serial PRIMARY KEY, what text)");
        Some((Self { database, sidecar, url: server.base.clone() }, server))
    }

    fn receive(&self, place: &Place, more: &[&str]) -> Receiver {
        let folder = place.folder.path();
        let port = self.database.port.to_string();
        let log = File::options().create(true).append(true).open(folder.join("wal-log")).unwrap();
        let mut command: Command = program::command(&self.sidecar, folder);
        command.args(["wal-receive", "--host", "127.0.0.1", "--port", &port]);
        command.args(["--user", postgres::USER, "--password-file", "wal-password"]);
        command.args(["--every", "1"]).args(more);
        command.env("BACKUP_ORCHESTRATOR_URL", &self.url);
        command.env("BACKUP_ORCHESTRATOR_TOKEN_FILE", "wal-token").env("BACKUP_WAL_APP", "shop");
        Receiver(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    fn lsn(&self, query: &str) -> u64 {
        lsn(&self.database.sql("postgres", query)).unwrap_or(0)
    }

    fn end(&self) -> u64 {
        self.lsn("SELECT pg_current_wal_flush_lsn()")
    }

    /// Rows, about this many MiB of WAL.
    fn write(&self, mib: u32) {
        let fill = format!(
            "INSERT INTO filled (what) SELECT repeat(md5(n::text), 30) \
             FROM generate_series(1, {}) n",
            mib * 980
        );
        self.database.sql("shop", &fill);
    }

    /// What was acknowledged is durable at the destination.
    fn check(&self, place: &Place) {
        // Asked first: what is stored only grows.
        let believed = self.lsn(
            "SELECT GREATEST((SELECT max(flush_lsn) FROM pg_stat_replication \
             WHERE application_name = 'backup-sidecar'), \
             (SELECT max(restart_lsn) FROM pg_replication_slots))",
        );
        let (first, stored) = stored(place);
        // A new slot stands before all that was ever received.
        assert!(
            believed <= stored.max(first),
            "{believed:X} was acknowledged, {first:X} to {stored:X} is stored"
        );
    }

    /// Waits until every byte that the server has written by now can be restored.
    async fn caught_up(&self, server: &Server) -> Value {
        let end = self.end();
        let reaches = |state: &Value| {
            let last = state["windows"].as_array().and_then(|all| all.last());
            last.and_then(|one| lsn(one["end"].as_str()?)).is_some_and(|at| at >= end)
        };
        once(server, &format!("caught up with {end:X}"), reaches).await
    }

    fn log(place: &Place) -> String {
        std::fs::read_to_string(place.folder.path().join("wal-log")).unwrap_or_default()
    }

    /// Kills the orchestrator; what was acknowledged by then is stored.
    fn kill(&self, server: Server) -> Place {
        let place = server.kill();
        self.check(&place);
        place
    }
}

fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.trim().split_once('/')?;
    let half = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((half(high)? << 32) + half(low)?)
}

/// From where to where files at the destination hold WAL without a hole.
fn stored(place: &Place) -> (u64, u64) {
    let wal = place.folder.path().join("disk/apps/shop/wal");
    let clusters = std::fs::read_dir(wal).into_iter().flatten().flatten();
    let folder = clusters.map(|one| one.path().join("00000001")).find(|path| path.is_dir());
    let files = folder.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (mut whole, mut begun) = (BTreeSet::new(), BTreeMap::new());
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let position =
            |name: &str| Some((hex(name.get(8..16)?)? << 32) + hex(name.get(16..24)?)? * SEGMENT);
        let (Some(start), Some(rest)) = (position(&name), name.get(24..)) else { continue };
        if let Some(rest) = rest.strip_prefix(".partial-") {
            let end = rest.split('-').next().and_then(hex).unwrap();
            let longest = begun.entry(start).or_insert(end);
            *longest = end.max(*longest);
        } else if rest.starts_with('-') {
            whole.insert(start);
        }
    }
    let first = whole.iter().chain(begun.keys()).min().copied().unwrap_or(0);
    let mut at = first;
    while whole.contains(&at) {
        at += SEGMENT;
    }
    (first, begun.get(&at).copied().unwrap_or(at))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whoever_is_killed() {
    let Some((scene, server)) = Scene::new().await else { return };
    let receiver = scene.receive(&server.place, &[]);
    let (code, text) = told(&server.place, &["recovery", "base", "shop", "--wait"]);
    assert_eq!(code, 0, "{text} {}", Scene::log(&server.place));
    scene.write(20);
    scene.caught_up(&server).await;
    scene.check(&server.place);

    // The orchestrator: what is written meanwhile stays at the server.
    scene.write(5);
    let mut place = scene.kill(server);
    for _ in 0..4 {
        scene.write(9);
        tokio::time::sleep(Duration::from_millis(300)).await;
        scene.check(&place);
    }
    let mut server = place.serve().await;
    scene.write(3);
    scene.caught_up(&server).await;

    // The receiver, in the midst of it.
    scene.write(30);
    drop(receiver);
    scene.check(&server.place);
    scene.write(20);
    let receiver = scene.receive(&server.place, &[]);
    scene.caught_up(&server).await;

    // Both.
    scene.write(30);
    drop(receiver);
    place = scene.kill(server);
    scene.write(20);
    let receiver = scene.receive(&place, &[]);
    server = place.serve().await;
    let state = scene.caught_up(&server).await;
    scene.check(&server.place);
    assert_eq!(state["windows"].as_array().unwrap().len(), 1, "{state}");
    assert_eq!(state["gaps"], json!([]), "{state}");
    let events = server.done_get("events?limit=50").await.to_string();
    assert!(!events.contains("wal_gap"), "{events}");

    // All of it is the server's own, byte for byte.
    let first = lsn(state["windows"][0]["start"].as_str().unwrap()).unwrap() / SEGMENT;
    let last = lsn(state["windows"][0]["end"].as_str().unwrap()).unwrap() / SEGMENT;
    assert!(last > first + 5, "{first} {last}");
    for number in first..last {
        let name = format!("00000001{:08X}{:08X}", number >> 8, number & 0xFF);
        let path = format!("/api/v1/wal/shop/{name}");
        let request = server.request(reqwest::Method::GET, &path, &server.local());
        let ours = request.send().await.unwrap().bytes().await.unwrap();
        let theirs = std::fs::read(format!("{}/pg_wal/{name}", scene.database.data())).unwrap();
        assert!(ours == theirs, "{name}: {} bytes", ours.len());
    }
    drop(receiver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_let_go_of_before_too_much_is_kept() {
    let Some((scene, server)) = Scene::new().await else { return };
    let _receiver = scene.receive(&server.place, &["--most-kept", &MOST_KEPT.to_string()]);
    let (code, text) = told(&server.place, &["recovery", "base", "shop", "--wait"]);
    assert_eq!(code, 0, "{text} {}", Scene::log(&server.place));
    scene.write(2);
    scene.caught_up(&server).await;

    let place = scene.kill(server);
    let began = Instant::now();
    let kept = "SELECT coalesce(max(pg_current_wal_flush_lsn() - restart_lsn), 0) \
                FROM pg_replication_slots";
    let mut most = 0.0_f64;
    while !Scene::log(&place).contains(RELEASED) {
        assert!(began.elapsed() < Duration::from_secs(90), "it is kept: {most}");
        scene.write(1);
        let kept: f64 = scene.database.sql("postgres", kept).parse().unwrap();
        // What is told first is let go of next.
        if !Scene::log(&place).contains(RELEASED) {
            most = most.max(kept);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let limit = (MOST_KEPT << 20) as f64;
    // A whole segment may be written at once between its looks on a machine that is busy.
    assert!(most <= limit + SEGMENT as f64, "{most} bytes were kept");
    assert!(most > limit / 2.0, "it was let go of at {most} bytes already");
    let lost = scene.end();
    // What is kept from now on is what the new slot needs, and no more than that.
    scene.write(20);

    let server = place.serve().await;
    let gap = once(&server, "a gap", |state| !state["gaps"].as_array().unwrap().is_empty()).await;
    let start = lsn(gap["gaps"][0]["start"].as_str().unwrap()).unwrap();
    assert!(start < lost, "{gap}");
    // Looked at once each minute, and as soon as the plan is another.
    let (code, text) = told(&server.place, &["app", "edit", "shop", "--base-every", "12h"]);
    assert_eq!(code, 0, "{text}");
    let two = |state: &Value| state["windows"].as_array().unwrap().len() == 2;
    let state = once(&server, "a second window", two).await;
    assert!(state["gaps"][0]["until_at"].is_string(), "{state}");
    scene.write(1);
    scene.caught_up(&server).await;
}
