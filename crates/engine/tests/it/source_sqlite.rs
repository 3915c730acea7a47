//! SQLite read directly: a file in use, locked, damaged, gone.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use model::{FailureCode, RunState};
use rusqlite::Connection;

use crate::world::{World, quick, source};

const ACCOUNTS: u32 = 500;
const IN_EACH: i64 = 1_000;

/// A bank: whatever is transferred, the sum stays.
fn bank(file: &Path, mode: &str) -> Connection {
    let bank = Connection::open(file).unwrap();
    bank.busy_timeout(Duration::from_secs(20)).unwrap();
    bank.execute_batch(&format!(
        "PRAGMA journal_mode = {mode}; PRAGMA synchronous = OFF;
         CREATE TABLE account(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
         CREATE TABLE transfer(id INTEGER PRIMARY KEY, note TEXT NOT NULL);
         CREATE INDEX by_note ON transfer(note);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
         INSERT INTO account SELECT i, {IN_EACH} FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO transfer SELECT i, hex(randomblob(150)) FROM n;"
    ))
    .unwrap();
    bank
}

/// Moves money about until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    moved: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    fn start(mut bank: Connection) -> Self {
        let (stop, moved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, count) = (Arc::clone(&stop), Arc::clone(&moved));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let n = count.fetch_add(1, Ordering::Relaxed);
                let (from, to) = (n * 7 % u64::from(ACCOUNTS), n * 13 % u64::from(ACCOUNTS));
                let both = bank.transaction().unwrap();
                let change = "UPDATE account SET amount = amount + ?1 WHERE id = ?2 + 1";
                // A reader's lock is waited for; a whole minute of it would be a fault.
                both.execute(change, (-1, i64::try_from(from).unwrap())).unwrap();
                both.execute(change, (1, i64::try_from(to).unwrap())).unwrap();
                both.execute("INSERT INTO transfer(note) VALUES (hex(randomblob(150)))", ())
                    .unwrap();
                both.commit().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, moved, thread: Some(thread) }
    }

    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.moved.load(Ordering::Relaxed)
    }
}

/// What the program `sqlite3` says of these bytes, or SQLite itself where it is not installed.
fn ask(bytes: &[u8], query: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("restored.db");
    std::fs::write(&file, bytes).unwrap();
    if let Ok(done) = Command::new("sqlite3").arg("-bail").arg(&file).arg(query).output() {
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        return String::from_utf8(done.stdout).unwrap().trim().to_owned();
    }
    let restored = Connection::open(&file).unwrap();
    restored
        .query_row(query, [], |row| row.get::<_, rusqlite::types::Value>(0))
        .map(|value| match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
        .unwrap()
}

async fn reading(file: &Path, more: &[(&str, &str)]) -> World {
    let path = file.display().to_string();
    let settings: Vec<_> =
        [("path", path.as_str())].into_iter().chain(more.iter().copied()).collect();
    World::reading(vec![source("db", "sqlite", &settings, &[])], quick("one")).await
}

fn spooled(world: &World) -> usize {
    std::fs::read_dir(world.folder.path().join("spool")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_use_is_copied_at_one_moment() {
    for mode in ["WAL", "DELETE"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's \"100%\" ñ#?.db");
        let writer = Writer::start(bank(&file, mode));
        let world = reading(&file, &[]).await;
        let mut counts = Vec::new();
        for _ in 0..3 {
            let snapshot = world.good_snapshot().await;
            let artifact = &snapshot.artifacts[0];
            assert_eq!((artifact.format.as_deref(), &artifact.part), (Some("sqlite3"), &None));
            assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
            let bytes = world.restored(&snapshot).await;
            assert_eq!(ask(&bytes, "PRAGMA integrity_check"), "ok");
            let sum = ask(&bytes, "SELECT sum(amount) FROM account");
            assert_eq!(sum, (i64::from(ACCOUNTS) * IN_EACH).to_string());
            counts.push(ask(&bytes, "SELECT count(*) FROM transfer"));
        }
        assert!(writer.stop() > 0);
        counts.dedup();
        assert!(counts.len() > 1, "{mode}: nothing was written meanwhile: {counts:?}");
        assert_eq!(spooled(&world), 0);
        let report = world.engine.doctor_app(&world.app).await;
        assert!(report.is_well(), "{report:?}");
        let told = format!("{report:?}").to_lowercase();
        assert!(told.contains(&format!("journal mode {}", mode.to_lowercase())), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_told_and_leaves_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let bank = bank(&file, "DELETE");
    let world = reading(&file, &[("busy_timeout_secs", "0")]).await;
    let kept = world.good_snapshot().await;
    let before = world.restored(&kept).await;

    let fails = async |code: FailureCode, word: &str| {
        let run = world.back_up().await;
        let failure = run.failure.unwrap();
        assert_eq!((run.state, failure.code), (RunState::Failed, code), "{failure:?}");
        assert!(failure.message.contains(word), "{failure:?}");
        assert_eq!(spooled(&world), 0);
        assert_eq!(world.restored(&kept).await, before);
    };
    bank.execute_batch("BEGIN EXCLUSIVE").unwrap();
    fails(FailureCode::SourceBusy, "locked").await;
    bank.execute_batch("COMMIT").unwrap();

    world.change_app(|app| app.limits.max_size_bytes = Some(50_000)).await;
    fails(FailureCode::SourceTooLarge, "50000 bytes are allowed").await;
    world.change_app(|app| app.limits.max_size_bytes = None).await;

    // Pages in the middle are overwritten: the copy is one of a damaged database.
    drop(bank);
    let mut damaged = std::fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20_000].fill(0x5a);
    std::fs::write(&file, &damaged).unwrap();
    fails(FailureCode::SourceFailed, "damaged").await;
    assert!(!world.engine.catalog().active_runs().await.unwrap().iter().any(|_| true));

    std::fs::write(&file, "no database, but long enough to look at ".repeat(200)).unwrap();
    fails(FailureCode::SourceConfig, "no SQLite database").await;
    let report = world.engine.doctor_app(&world.app).await;
    assert!(!report.is_well());

    std::fs::remove_file(&file).unwrap();
    fails(FailureCode::SourceConfig, "as the orchestrator sees it").await;
    assert!(!file.exists(), "an empty database was made");

    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    fails(FailureCode::SourceConfig, "symbolic link").await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    fails(FailureCode::SourceConfig, "no regular file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_apps_own_extensions_is_kept_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let bank = bank(&file, "WAL");
    // As an app does that brings a collation of its own.
    bank.execute_batch(
        "CREATE TABLE word(x TEXT COLLATE NOCASE); CREATE INDEX by_word ON word(x);
         INSERT INTO word VALUES ('b'), ('a'); PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = replace(sql, 'NOCASE', 'OURS');",
    )
    .unwrap();
    drop(bank);
    let world = reading(&file, &[]).await;
    let snapshot = world.good_snapshot().await;
    assert_eq!(snapshot.warnings.len(), 1, "{:?}", snapshot.warnings);
    assert!(snapshot.warnings[0].contains("could not be checked"), "{:?}", snapshot.warnings);
    let bytes = world.restored(&snapshot).await;
    assert_eq!(ask(&bytes, "SELECT count(*) FROM word"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_kept_and_what_was_begun_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let bank = bank(&file, "DELETE");
    let world = reading(&file, &[("busy_timeout_secs", "3000")]).await;
    bank.execute_batch("BEGIN EXCLUSIVE").unwrap();
    world.change_app(|app| app.limits.timeout_secs = Some(1)).await;
    let run = world.back_up().await;
    // It is locked for as long as there is time: whichever is noticed first.
    let code = run.failure.unwrap().code;
    assert!(matches!(code, FailureCode::Timeout | FailureCode::SourceBusy), "{code}");
    assert_eq!(spooled(&world), 0);
    bank.execute_batch("COMMIT").unwrap();
    world.change_app(|app| app.limits.timeout_secs = None).await;
    world.good_snapshot().await;
}

#[tokio::test]
async fn settings_are_looked_at() {
    let world = World::new(&["disk"]).await;
    for (path, word) in [("shop.db", "whole path"), ("", "needs it")] {
        let draft = engine::AppDraft {
            name: "direct".to_owned(),
            sources: vec![source("db", "sqlite", &[("path", path)], &[])],
            ..engine::AppDraft::default()
        };
        let error = world.engine.register_app(draft).await.unwrap_err();
        assert!(format!("{error:?}").contains(word), "{error:?}");
    }
}
