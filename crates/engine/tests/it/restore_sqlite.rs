//! SQLite files restored while apps have them open, beside them, and cut off on the way; and
//! their drills.

use std::path::{Path, PathBuf};

use engine::{EngineConfig, RestoreRequest};
use model::{Condition, DrillState, FailureCode, RunState};
use rusqlite::Connection;

use crate::{
    drill_postgres::{damage_proves_nothing, drilled, nothing_is_left},
    restore_postgres::{beside, into_app, report, restored},
    world::{World, quick, source},
};

/// An app's file with some orders in it.
fn shop(file: &Path, mode: &str, rows: u32) -> Connection {
    let shop = Connection::open(file).unwrap();
    shop.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    shop.execute_batch(&format!(
        "PRAGMA foreign_keys = OFF; PRAGMA journal_mode = {mode};
         CREATE TABLE orders(id INTEGER PRIMARY KEY, note TEXT NOT NULL);
         CREATE TABLE \"odd \"\"one\"(a, b REFERENCES orders(id));
         CREATE INDEX by_note ON orders(note);
         INSERT INTO \"odd \"\"one\" VALUES (1, 1);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO orders SELECT i, hex(randomblob(150)) FROM n;"
    ))
    .unwrap();
    shop
}

fn count(database: &Connection) -> u32 {
    database.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
}

async fn world(file: &Path) -> World {
    let roots = vec![file.parent().unwrap().to_owned()];
    let config = EngineConfig { restore_roots: roots, ..quick("one") };
    let path = file.display().to_string();
    World::reading(vec![source("db", "sqlite", &[("path", &path)], &[])], config).await
}

fn beside_it(file: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let mut others: Vec<_> = all.map(|one| one.unwrap().path()).filter(|p| p != file).collect();
    others.retain(|path| {
        let name = path.to_string_lossy();
        !name.ends_with("-wal") && !name.ends_with("-shm")
    });
    others.sort();
    others
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_while_the_app_has_it_open() {
    for (then, now) in [("WAL", "WAL"), ("DELETE", "DELETE"), ("WAL", "DELETE"), ("DELETE", "WAL")]
    {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's ñ#?.db");
        let app = shop(&file, then, 3_000);
        let world = world(&file).await;
        let snapshot = world.good_snapshot().await;
        app.execute_batch(&format!(
            "PRAGMA journal_mode = {now}; DELETE FROM orders WHERE id > 10; DROP TABLE \"odd \"\"one\""
        ))
        .unwrap();

        let seen = world.engine.preflight(snapshot.id, &into_app("")).await.unwrap();
        assert!(seen.may_begin(), "{seen:?}");
        assert_eq!(seen.confirm.as_deref(), Some("direct"));
        let run = restored(&world, &snapshot, &into_app("direct")).await;
        assert_eq!(run.state, RunState::Succeeded, "{then} {now}: {:?}", run.failure);

        // The app goes on with what it has open, and others see what it writes.
        assert_eq!(count(&app), 3_000, "{then} {now}");
        app.execute_batch("INSERT INTO orders(note) VALUES ('new')").unwrap();
        let other = Connection::open(&file).unwrap();
        assert_eq!(count(&other), 3_001);
        let sound: String =
            other.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");

        let told = report(&world, &run).await;
        assert_eq!(told.condition, Condition::Restored);
        assert!(told.undo_snapshot.is_some());
        let kept = PathBuf::from(told.steps[0].kept.clone().unwrap());
        assert_eq!(beside_it(&file), std::slice::from_ref(&kept), "nothing else is left");
        assert_eq!(count(&Connection::open(&kept).unwrap()), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_another_size_need_the_app_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    drop(shop(&file, "WAL", 100));
    let world = world(&file).await;
    let snapshot = world.good_snapshot().await;
    let app = Connection::open(&file).unwrap();
    app.execute_batch(
        "PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE; PRAGMA page_size = 16384; VACUUM; \
         PRAGMA journal_mode = WAL; DELETE FROM orders",
    )
    .unwrap();
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("stop the app"), "{failure:?}");
    assert_eq!(count(&app), 0);
    drop(app);
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let app = Connection::open(&file).unwrap();
    assert_eq!(count(&app), 100);
    let mode: String = app.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_or_missing_files_are_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    drop(shop(&file, "WAL", 2_000));
    let world = world(&file).await;
    let snapshot = world.good_snapshot().await;
    let mut request = into_app("direct");
    request.without_undo = true;

    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0x5a);
    std::fs::write(&file, &bytes).unwrap();
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let told = report(&world, &run).await;
    assert!(
        told.steps[0].notes.iter().any(|note| note.contains("start the app again")),
        "{told:?}"
    );
    assert_eq!(std::fs::read(told.steps[0].kept.as_ref().unwrap()).unwrap(), bytes);
    assert_eq!(count(&Connection::open(&file).unwrap()), 2_000);

    // A log without its database would be read into the new one.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(folder.path().join("shop.db-journal"), "of the old one").unwrap();
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(count(&Connection::open(&file).unwrap()), 2_000);
    assert!(!folder.path().join("shop.db-journal").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_is_a_new_file_in_an_allowed_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let app = shop(&file, "WAL", 100);
    let world = world(&file).await;
    let snapshot = world.good_snapshot().await;
    app.execute_batch("DELETE FROM orders").unwrap();
    let run = restored(&world, &snapshot, &beside("copy")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(count(&Connection::open(folder.path().join("copy")).unwrap()), 100);
    assert_eq!(count(&app), 0);
    let again = world.engine.restore_now(snapshot.id, &beside("copy")).await.unwrap_err();
    assert!(again.to_string().contains("is there already"), "{again}");

    let mut part = beside("part");
    part.only = vec![engine::PartRequest {
        artifact: "db".to_owned(),
        tables: vec!["orders".to_owned()],
        ..engine::PartRequest::default()
    }];
    let refused = world.engine.restore_now(snapshot.id, &part).await.unwrap_err();
    assert!(refused.to_string().contains("ATTACH"), "{refused}");

    let elsewhere = tempfile::tempdir().unwrap();
    let config = EngineConfig { restore_roots: vec![elsewhere.path().to_owned()], ..quick("one") };
    let path = file.display().to_string();
    let closed =
        World::reading(vec![source("db", "sqlite", &[("path", &path)], &[])], config).await;
    let snapshot = closed.good_snapshot().await;
    let mut request: RestoreRequest = into_app("direct");
    request.without_undo = true;
    let refused = closed.engine.restore_now(snapshot.id, &request).await.unwrap_err();
    assert!(refused.to_string().contains("BACKUP_RESTORE_ROOTS"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_changes_nothing_and_fails_its_drill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let _app = shop(&file, "WAL", 5_000);
    let world = world(&file).await;
    let snapshot = world.good_snapshot().await;

    let (run, drill) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {drill:?}", run.failure);
    let states: Vec<_> = drill.items[0].checks.iter().map(|c| (c.name.as_str(), c.state)).collect();
    let passed = DrillState::Passed;
    let expected = [("integrity_check", passed), ("rows", passed), ("foreign_key_check", passed)];
    assert_eq!(states, expected, "{drill:?}");
    assert!(drill.items[0].checks[1].sentence.starts_with("2 tables with 5001 rows"), "{drill:?}");
    nothing_is_left(&world);

    let plan = model::DrillPlan {
        questions: vec![model::DrillQuestion {
            artifact: "db".parse().unwrap(),
            sql: "SELECT max(id) FROM orders".to_owned(),
            expect: Some("4999".to_owned()),
        }],
        ..model::DrillPlan::default()
    };
    let now = world.engine.catalog().app(world.app.id).await.unwrap();
    world.engine.plan_drills(now.id, now.version, plan).await.unwrap();
    let (run, drill) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(drill.items[0].checks[3].sentence.contains("`5000`, expected `4999`"), "{drill:?}");

    damage_proves_nothing(&world, &snapshot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let app = shop(&file, "WAL", 5_000);
    let world = world(&file).await;
    let snapshot = world.good_snapshot().await;
    world.damage(&snapshot);
    app.execute_batch("DELETE FROM orders WHERE id = 2").unwrap();
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    let failure = run.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::Damaged, "{failure:?}");
    assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
    assert_eq!(count(&app), 4_999);
    assert_eq!(beside_it(&file), Vec::<PathBuf>::new(), "what was begun is gone");
}
