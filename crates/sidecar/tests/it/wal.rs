//! `wal-push` and `wal-fetch` by their exit codes, which are all that PostgreSQL reads.

use std::{
    collections::HashMap,
    path::Path,
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path as InPath, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::put,
};
use serde_json::json;

use crate::postgres::Postgres;

const TOKEN: &str = "canary-token-of-the-archive";
const SEGMENT: &str = "00000001000000000000000A";

/// What stands in for the orchestrator: it keeps what it is sent, or fails as it is told.
#[derive(Default)]
struct Archive {
    kept: Mutex<HashMap<String, Vec<u8>>>,
    /// What to answer next, in place of the truth.
    failures: Mutex<Vec<StatusCode>>,
    /// What came beside the body.
    seen: Mutex<Vec<HeaderMap>>,
    /// Nothing is taken.
    is_away: AtomicBool,
}

impl Archive {
    fn failure(&self) -> Option<Response> {
        if self.is_away.load(Ordering::Relaxed) {
            return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
        }
        let status = self.failures.lock().unwrap().pop()?;
        Some((status, Json(json!({ "detail": "as the test says" }))).into_response())
    }
}

async fn store(
    State(archive): State<Arc<Archive>>,
    InPath((app, name)): InPath<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(failure) = archive.failure() {
        return failure;
    }
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    let mark = headers.get("x-wal").map_or("", |mark| mark.to_str().unwrap());
    let suffix = if mark == "beginning" { ".begun" } else { "" };
    let told = headers["x-checksum-sha256"].to_str().unwrap();
    assert_eq!(told, hex::encode(ring::digest::digest(&ring::digest::SHA256, &body)));
    archive.kept.lock().unwrap().insert(format!("{app}/{name}{suffix}"), body.to_vec());
    archive.seen.lock().unwrap().push(headers);
    StatusCode::CREATED.into_response()
}

async fn give(
    State(archive): State<Arc<Archive>>,
    InPath((app, name)): InPath<(String, String)>,
) -> Response {
    if let Some(failure) = archive.failure() {
        return failure;
    }
    if name.ends_with("FF") {
        // Half of it, then the connection breaks.
        let broken = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))];
        return Body::from_stream(futures::stream::iter(broken)).into_response();
    }
    match archive.kept.lock().unwrap().get(&format!("{app}/{name}")) {
        Some(bytes) => bytes.clone().into_response(),
        None => (StatusCode::NOT_FOUND, [("X-Wal", "absent")]).into_response(),
    }
}

struct Place {
    folder: tempfile::TempDir,
    url: String,
    archive: Arc<Archive>,
}

impl Place {
    async fn new() -> Self {
        let archive = Arc::new(Archive::default());
        let router = Router::new()
            .route("/api/v1/wal/{app}/{name}", put(store).get(give))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&archive));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::create_dir(folder.path().join("pg_wal")).unwrap();
        Self { folder, url, archive }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program as PostgreSQL does: in its data directory, by a shell.
    async fn run(&self, words: &str) -> (i32, Output) {
        let program = env!("CARGO_BIN_EXE_backup-sidecar");
        let output = tokio::process::Command::new("sh")
            .arg("-c")
            .arg(format!("{program} {words}"))
            .current_dir(self.folder.path())
            .env("BACKUP_ORCHESTRATOR_URL", &self.url)
            .env("BACKUP_ORCHESTRATOR_TOKEN_FILE", "token")
            .env("BACKUP_WAL_APP", "shop")
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains(TOKEN), "{told}");
        (output.status.code().unwrap(), output)
    }

    fn left(&self) -> Vec<String> {
        let names = |path: &Path| {
            let entries = std::fs::read_dir(path).unwrap().flatten();
            entries.map(|one| one.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        names(&self.path("pg_wal"))
    }
}

#[tokio::test]
async fn what_is_pushed_is_fetched() {
    let place = Place::new().await;
    // Larger than the limit of any other request.
    let bytes: Vec<u8> =
        (0..16 << 20).map(|at: u32| at.to_le_bytes()[1] ^ at.to_le_bytes()[0]).collect();
    std::fs::write(place.path("pg_wal").join(SEGMENT), &bytes).unwrap();
    let (code, output) = place.run(&format!("wal-push pg_wal/{SEGMENT}")).await;
    assert_eq!(code, 0, "{output:?}");
    let seen = place.archive.seen.lock().unwrap().pop().unwrap();
    assert_eq!(seen["content-length"], "16777216");
    assert_eq!(seen["x-checksum-sha256"].len(), 64);
    let fetch = format!("wal-fetch {SEGMENT} pg_wal/RECOVERYXLOG");
    let (code, output) = place.run(&fetch).await;
    assert_eq!(code, 0, "{output:?}");
    assert!(std::fs::read(place.path("pg_wal/RECOVERYXLOG")).unwrap() == bytes);
    assert_eq!(place.left().len(), 2, "{:?}", place.left());
}

#[tokio::test]
async fn a_push_that_is_not_stored_is_not_done() {
    let place = Place::new().await;
    std::fs::write(place.path("pg_wal").join(SEGMENT), b"wal").unwrap();
    std::fs::write(place.path("pg_wal/notes.txt"), b"no wal").unwrap();
    for status in [409, 500, 401, 302] {
        place.archive.failures.lock().unwrap().push(StatusCode::from_u16(status).unwrap());
        let (code, output) = place.run(&format!("wal-push pg_wal/{SEGMENT}")).await;
        assert_eq!(code, 1, "{status}: {output:?}");
    }
    for wrong in [
        "wal-push pg_wal/notes.txt",
        "wal-push pg_wal/00000001000000000000000B",
        "wal-push --token-file nothing pg_wal/00000001000000000000000A",
        "wal-push --url http://127.0.0.1:1 pg_wal/00000001000000000000000A",
    ] {
        let (code, output) = place.run(wrong).await;
        assert_eq!(code, 1, "{wrong}: {output:?}");
    }
    assert!(place.archive.kept.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_what_is_proven_absent_ends_a_recovery() {
    let place = Place::new().await;
    let (code, output) = place.run(&format!("wal-fetch {SEGMENT} pg_wal/X")).await;
    assert_eq!((code, output.stderr.as_slice()), (1, &b""[..]), "absent");
    // A wrong app, a wrong token, another server, a wrong command line: nobody knows.
    for status in [404, 401, 403, 409] {
        place.archive.failures.lock().unwrap().push(StatusCode::from_u16(status).unwrap());
        let (code, output) = place.run(&format!("wal-fetch {SEGMENT} pg_wal/X")).await;
        assert_eq!(code, 200, "{status}: {output:?}");
    }
    for wrong in ["wal-fetch", "wal-fetch --token-file nothing 00000002.history pg_wal/X"] {
        let (code, output) = place.run(wrong).await;
        assert_eq!(code, 200, "{wrong}: {output:?}");
    }
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[tokio::test]
async fn a_fetch_that_fails_is_tried_again() {
    let place = Place::new().await;
    let key = format!("shop/{SEGMENT}");
    place.archive.kept.lock().unwrap().insert(key, b"wal".to_vec());
    place.archive.failures.lock().unwrap().push(StatusCode::SERVICE_UNAVAILABLE);
    let (code, output) = place.run(&format!("wal-fetch {SEGMENT} pg_wal/X")).await;
    assert_eq!(code, 0, "{output:?}");
    assert_eq!(std::fs::read(place.path("pg_wal/X")).unwrap(), b"wal");
}

#[tokio::test]
async fn half_a_file_is_none() {
    let place = Place::new().await;
    let program = env!("CARGO_BIN_EXE_backup-sidecar");
    // Until it would give up: that is most of a minute.
    let output = tokio::process::Command::new("timeout")
        .args(["6", program, "wal-fetch", "0000000100000000000000FF", "pg_wal/X"])
        .current_dir(place.folder.path())
        .env("BACKUP_ORCHESTRATOR_URL", &place.url)
        .env("BACKUP_ORCHESTRATOR_TOKEN_FILE", "token")
        .env("BACKUP_WAL_APP", "shop")
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    assert!(!place.path("pg_wal/X").exists());
}

/// A receiver at work, killed with its owner.
struct Receiver(std::process::Child);

impl Receiver {
    fn start(place: &Place, server: &Postgres) -> Self {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_backup-sidecar"));
        command.args(["wal-receive", "--host", "127.0.0.1", "--user", "admin", "--every", "1"]);
        command.args(["--port", &server.port.to_string()]);
        command.current_dir(place.folder.path());
        command.env("BACKUP_ORCHESTRATOR_URL", &place.url);
        command.env("BACKUP_ORCHESTRATOR_TOKEN_FILE", "token").env("BACKUP_WAL_APP", "shop");
        Self(command.spawn().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.archive.kept.lock().unwrap().get(&format!("shop/{name}")).cloned()
    }

    /// Waits until `name` is there.
    async fn until_kept(&self, name: &str) -> Vec<u8> {
        for _ in 0..600 {
            if let Some(bytes) = self.kept(name) {
                return bytes;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let names: Vec<_> = self.archive.kept.lock().unwrap().keys().cloned().collect();
        panic!("{name} does not come: {names:?}");
    }
}

/// Writes something and ends the segment in hand; gives its name.
fn switched(server: &Postgres) -> String {
    server.sql("postgres", "CREATE TABLE IF NOT EXISTS filled (what text)");
    server.sql("postgres", "INSERT INTO filled SELECT md5(n::text) FROM generate_series(1, 9) n");
    server.sql("postgres", "SELECT pg_walfile_name(pg_switch_wal())").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_writes_is_handed_over_and_only_then_acknowledged() {
    let Some(server) = Postgres::start() else { return };
    let place = Place::new().await;
    server.sql("postgres", "ALTER SYSTEM SET wal_keep_size = '1GB'");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let receiver = Receiver::start(&place, &server);
    for turn in 0.. {
        assert!(turn < 300, "no slot is made");
        if server.sql("postgres", "SELECT count(*) FROM pg_replication_slots").trim() == "1" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let first = switched(&server);
    let ours = place.until_kept(&first).await;
    let theirs = std::fs::read(format!("{}/pg_wal/{first}", server.data())).unwrap();
    assert!(ours == theirs, "the server's own, byte for byte");
    // A segment that is not whole is handed over as far as it goes.
    server.sql("postgres", "INSERT INTO filled VALUES ('soon')");
    let now = server.sql("postgres", "SELECT pg_walfile_name(pg_current_wal_flush_lsn())");
    let begun = place.until_kept(&format!("{}.begun", now.trim())).await;
    assert!(begun.len() < 16 << 20 && !begun.is_empty(), "{}", begun.len());

    // Nobody takes anything: the server keeps it.
    place.archive.is_away.store(true, Ordering::Relaxed);
    let kept: Vec<String> = (0..4).map(|_| switched(&server)).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = server.sql(
        "postgres",
        "SELECT pg_walfile_name(GREATEST(restart_lsn, (SELECT max(flush_lsn) FROM \
         pg_stat_replication))) FROM pg_replication_slots",
    );
    assert!(told.trim() <= kept[0].as_str(), "{told} was acknowledged of {kept:?}");
    assert!(kept.iter().all(|name| place.kept(name).is_none()));
    // Killed at that, the next one goes on where the slot is.
    drop(receiver);
    place.archive.is_away.store(false, Ordering::Relaxed);
    let mut receiver = Receiver::start(&place, &server);
    for name in &kept {
        let ours = place.until_kept(name).await;
        let theirs = std::fs::read(format!("{}/pg_wal/{name}", server.data())).unwrap();
        assert!(ours == theirs, "{name}");
    }
    let process = nix::unistd::Pid::from_raw(receiver.0.id().cast_signed());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(receiver.0.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_receiver_that_cannot_work_says_so_and_ends() {
    let place = Place::new().await;
    for (words, code) in [
        ("wal-receive --token-file nothing", 1),
        ("wal-receive --password-file nothing", 1),
        ("wal-receive --every 0", 2),
    ] {
        let (found, output) = place.run(words).await;
        assert_eq!(found, code, "{words}: {output:?}");
    }
}
