//! The catalog's own copies, and the way back from them.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use catalog::{Catalog, CatalogError};
use engine::{
    DestinationDraft, Engine, SystemClock,
    recovery::{fetch_newest, names::CopyName, rebuild, restore_copy},
};
use jiff::SignedDuration;
use model::{Clock as _, CopyState, EventKind, ManualClock, RunState};
use secrecy::{ExposeSecret as _, SecretString};
use store::{Fault, Faulty, Local, Operation};
use tempfile::TempDir;

use crate::{
    postgres,
    world::{World, local, open_at, quick},
};

const KEY: &str = "a secret key for tests";

fn sqlite(folder: &Path) -> SecretString {
    format!("sqlite://{}?mode=rwc", folder.join("again.sqlite").display()).into()
}

/// Every row of a catalog's copy but the settings, which tell of copies themselves.
pub(crate) async fn rows(catalog: &Catalog) -> Vec<String> {
    let (to, mut lines) = tokio::sync::mpsc::channel(16);
    let listening = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            all.push(line);
        }
        all
    });
    catalog.export(serde_json::json!({}), to).await.unwrap();
    let mut all = listening.await.unwrap();
    all.retain(|line| line.starts_with("{\"row\"") && !line.contains("\"table\":\"setting\""));
    all.sort();
    all
}

async fn kit(engine: &Engine) -> SecretString {
    engine.recovery_kit(false).await.unwrap().identity
}

fn copies(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("_orchestrator")).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A world with some history, whose copies lie in its folder.
async fn lived_in(url: Option<&SecretString>) -> (World, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quick("one");
    config.catalog_copies = folder.path().join("local");
    let world = match url {
        Some(url) => World::on(url, &["disk", "shelf"], config, Arc::new(SystemClock)).await,
        None => World::asleep(&["disk", "shelf"], config, Arc::new(SystemClock)).await,
    };
    world.start();
    let first = world.good_snapshot().await;
    world.good_snapshot().await;
    world.engine.set_pinned(first.id, true).await.unwrap();
    (world, folder)
}

async fn fetched(
    world: &World,
    place: &str,
    key: &SecretString,
) -> (Option<rebuild::Fetched>, Vec<String>, TempDir) {
    let store = Local::open(&world.folder.path().join(place)).await.unwrap();
    let to = tempfile::tempdir().unwrap();
    let (found, wrong) = fetch_newest(&store, key, to.path()).await.unwrap();
    (found, wrong, to)
}

async fn there_and_back(from: Option<&SecretString>, to: &SecretString) {
    let (world, _local) = lived_in(from).await;
    let state = world.engine.copy_catalog().await.unwrap();
    assert_eq!(state.problems().count(), 0, "{state:?}");
    assert_eq!(state.places.len(), 2);
    let key = kit(&world.engine).await;
    let (found, _, _kept) = fetched(&world, "shelf", &key).await;
    let found = found.unwrap();
    assert_eq!(found.secret_key.expose_secret(), KEY);

    let now = world.engine.now();
    let (catalog, count) = restore_copy(&found.file, &key, to, false, now).await.unwrap();
    assert!(count > 10);
    let (before, after) = (rows(world.engine.catalog()).await, rows(&catalog).await);
    let lost: Vec<_> = before.iter().filter(|row| !after.contains(row)).collect();
    // What was told after the copy was made is not in it.
    assert!(lost.iter().all(|row| row.contains("\"table\":\"event\"")), "{lost:?}");
    assert!(after.iter().all(|row| before.contains(row)));
    drop(catalog);

    // The restored one is at work: its secrets open, its snapshots come back.
    let engine = open_at(to, quick("two"), Arc::new(SystemClock)).await;
    let app = engine.catalog().app(world.app.id).await.unwrap();
    let snapshots = engine.catalog().snapshots_of_app(app.id).await.unwrap();
    assert_eq!(snapshots.iter().filter(|one| one.pinned).count(), 1);
    let report =
        engine.reindex(&engine.catalog().destination_by_name("disk").await.unwrap()).await.unwrap();
    assert_eq!((report.manifests, report.new_snapshots, report.problem_count), (2, 0, 0));

    // A second time it is refused, unless it is to be replaced.
    let again = restore_copy(&found.file, &key, to, false, now).await.unwrap_err();
    assert!(matches!(again, rebuild::RebuildError::Catalog(CatalogError::InUse { .. })), "{again}");
    drop(engine);
    restore_copy(&found.file, &key, to, true, now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_sqlite_comes_back_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    there_and_back(None, &sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_sqlite_comes_back_on_postgres() {
    let Some(url) = postgres::database("back_on_postgres").await else { return };
    there_and_back(None, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_postgres_comes_back_on_sqlite() {
    let Some(url) = postgres::database("from_postgres").await else { return };
    let folder = tempfile::tempdir().unwrap();
    there_and_back(Some(&url), &sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_foreign_copy_is_passed_over_for_an_older_one() {
    let (world, _local) = lived_in(None).await;
    world.engine.copy_catalog().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    world.engine.copy_catalog().await.unwrap();
    let disk = world.folder.path().join("disk");
    let names = copies(&disk);
    assert_eq!(names.len(), 2);
    let newest = disk.join("_orchestrator").join(&names[1]);
    let whole = std::fs::read(&newest).unwrap();
    let key = kit(&world.engine).await;
    let older = CopyName::of_file(&names[0]);
    for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&newest, &whole[..cut]).unwrap();
        let (found, _, _kept) = fetched(&world, "disk", &key).await;
        let found = found.unwrap();
        assert_eq!(Some(&found.name), older.as_ref(), "cut at {cut}");
        assert_eq!(found.passed_over.len(), 1);
    }
    for at in [30, whole.len() / 3, whole.len() / 2, whole.len() - 3] {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        std::fs::write(&newest, &flipped).unwrap();
        let (found, _, _kept) = fetched(&world, "disk", &key).await;
        assert_eq!(Some(found.unwrap().name), older, "flipped at {at}");
    }
    std::fs::write(&newest, &whole).unwrap();
    let (other, _) = artifact::Identities::generate();
    let (found, wrong, _kept) = fetched(&world, "disk", &other).await;
    assert!(found.is_none() && wrong.len() == 2, "{wrong:?}");
    // Nothing is restored from half a copy.
    std::fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    restore_copy(&newest, &key, &url, false, world.engine.now()).await.unwrap_err();
    let catalog = Catalog::open(&url, 2).await.unwrap();
    assert!(catalog.is_blank().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_fails_is_told_once_and_the_others_have_their_copy() {
    let (world, _local) = lived_in(None).await;
    let shelf = world.engine.catalog().destination_by_name("shelf").await.unwrap();
    let store = Local::open(&world.folder.path().join("shelf")).await.unwrap();
    let faulty = Faulty::new(Arc::new(store));
    for _ in 0..2 {
        faulty.inject(Operation::Create, Fault::Error(store::StoreErrorKind::Full));
    }
    world.engine.use_store(&shelf, Arc::new(faulty));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let state = world.engine.copy_catalog().await.unwrap();
        assert_eq!(state.problems().count(), 1, "{state:?}");
    }
    let told =
        world.engine.catalog().events(catalog::EventQuery { limit: 100, ..Default::default() });
    let told: Vec<_> = told.await.unwrap();
    let failed = told.iter().filter(|event| event.kind == EventKind::CatalogCopyFailed).count();
    assert_eq!(failed, 1);
    let reminders = told.iter().filter(|event| event.kind == EventKind::RecoveryKitDue).count();
    assert_eq!(reminders, 1, "the kit was never stored");
    assert_eq!(copies(&world.folder.path().join("disk")).len(), 2);
    assert_eq!(copies(&world.folder.path().join("shelf")).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_may_want_no_copy_and_apps_cannot_have_our_folder() {
    let (world, _local) = lived_in(None).await;
    let shelf = world.engine.catalog().destination_by_name("shelf").await.unwrap();
    let mut draft = local("shelf", &world.folder.path().join("shelf"));
    draft.settings.insert("no_catalog_copy".into(), "true".into());
    world.quiet().await;
    world.engine.edit_destination(shelf.id, shelf.version, draft).await.unwrap();
    let state = world.engine.copy_catalog().await.unwrap();
    assert_eq!(state.places.len(), 1);
    assert_eq!(copies(&world.folder.path().join("shelf")).len(), 0);

    for (folder, template) in
        [("_orchestrator", None), ("_Orchestrator/x", None), ("", Some("_orchestrator/{run}"))]
    {
        let draft = engine::AppDraft {
            name: "other".into(),
            url: world.server.url(),
            token: Some("x".into()),
            destinations: vec![engine::BindingDraft {
                destination: "disk".into(),
                folder: folder.into(),
                template: template.map(str::to_owned),
                ..Default::default()
            }],
            ..Default::default()
        };
        let refused = world.engine.register_app(draft).await.unwrap_err().to_string();
        assert!(refused.contains("copies of the catalog"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kit_is_asked_for_again_when_a_destination_is_new() {
    let (world, _local) = lived_in(None).await;
    let engine = &world.engine;
    assert!(engine.kit_is_due().await.unwrap());
    engine.note_kit_stored("ana").await.unwrap();
    assert!(!engine.kit_is_due().await.unwrap());
    let first = engine.recovery_kit(true).await.unwrap();
    assert_eq!(first.stored.as_ref().unwrap().by, "ana");
    let draft = DestinationDraft {
        secrets: BTreeMap::from([
            ("access_key_id".to_owned(), "id".into()),
            ("secret_access_key".to_owned(), "canary-of-the-kit".into()),
        ]),
        name: "cloud".into(),
        kind: "s3".into(),
        settings: BTreeMap::from([
            ("bucket".to_owned(), "b".to_owned()),
            ("endpoint".to_owned(), "http://127.0.0.1:9".to_owned()),
        ]),
        ..DestinationDraft::default()
    };
    engine.add_destination(draft).await.unwrap();
    assert!(engine.kit_is_due().await.unwrap());
    let plain = engine.recovery_kit(false).await.unwrap();
    assert_eq!(plain.identity.expose_secret(), first.identity.expose_secret());
    assert!(!plain.exposed().to_string().contains("canary-of-the-kit"));
    let all = engine.recovery_kit(true).await.unwrap().exposed().to_string();
    assert!(all.contains("canary-of-the-kit"));
    assert!(all.contains("bootstrap 's3://b/?endpoint="), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_copied_soon_after_they_changed_and_records_once_in_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quick("one");
    config.catalog_copies = folder.path().join("local");
    config.catalog_copy_every = Some(Duration::from_secs(3_600));
    config.catalog_copy_settle = Duration::from_millis(200);
    let world = World::with(&["disk"], config).await;
    let copied = || async {
        for _ in 0..200 {
            if let Some(at) = world.engine.catalog_copies().await.unwrap().made_at {
                return at;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the catalog was not copied");
    };
    let first = copied().await;
    // A run is no change of settings.
    let snapshot = world.good_snapshot().await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(copied().await, first);
    world.engine.set_pinned(snapshot.id, true).await.unwrap();
    for _ in 0..200 {
        if copied().await != first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a pin was not copied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fires_or_expires_before_a_person_has_looked() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let world = World::at(&["disk"], quick("one"), clock.clone()).await;
    world
        .change_app(|app| {
            app.retention =
                model::retention::RetentionPolicy { keep_last: Some(1), ..Default::default() }
        })
        .await;
    world.engine.hold_after_recovery("a copy", true).await.unwrap();
    let old = world.good_snapshot().await;
    let new = world.good_snapshot().await;
    let run = world.expire().await;
    assert_eq!(world.states(&[old.clone(), new.clone()]).await, [CopyState::Good; 2]);
    assert_eq!(run.state, RunState::Failed, "{:?}", run.failure);
    assert!(run.failure.unwrap().message.contains("rebuilt"));

    world.change_app(|app| app.schedule = Some(every_minute())).await;
    clock.advance(SignedDuration::from_mins(5));
    tokio::time::sleep(Duration::from_millis(600)).await;
    let count =
        || async { world.engine.catalog().snapshots_of_app(world.app.id).await.unwrap().len() };
    assert_eq!(count().await, 2, "a schedule fired");
    world.engine.confirm_recovery().await.unwrap();
    for _ in 0..500 {
        if count().await > 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("schedules do not go on");
}

fn every_minute() -> model::schedule::Schedule {
    let value = serde_json::json!({ "spec": "* * * * *", "time_zone": "UTC" });
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_is_not_resumed_from_a_copy() {
    let mut config = quick("one");
    let folder = tempfile::tempdir().unwrap();
    config.catalog_copies = folder.path().join("local");
    let world = World::asleep(&["disk"], config, Arc::new(SystemClock)).await;
    // Queued, and nobody works.
    let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    world.engine.copy_catalog().await.unwrap();
    let key = kit(&world.engine).await;
    let (found, _, _kept) = fetched(&world, "disk", &key).await;
    let url = sqlite(folder.path());
    let file = found.unwrap().file;
    let (catalog, _) = restore_copy(&file, &key, &url, false, world.engine.now()).await.unwrap();
    assert_eq!(catalog.run(run.id).await.unwrap().state, RunState::Interrupted);
    assert_eq!(catalog.active_runs().await.unwrap(), []);
}

/// What the format's description tells to type, typed on a real copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_tools_open_a_copy() {
    let missing: Vec<_> = ["age", "zstd", "jq"]
        .into_iter()
        .filter(|tool| std::process::Command::new(tool).arg("--version").output().is_err())
        .collect();
    assert!(missing.is_empty() || std::env::var_os("CI").is_none(), "missing: {missing:?}");
    if !missing.is_empty() {
        eprintln!("skipped: {missing:?} missing");
        return;
    }
    let (world, _local) = lived_in(None).await;
    world.engine.copy_catalog().await.unwrap();
    let disk = world.folder.path().join("disk");
    let key = kit(&world.engine).await;
    std::fs::write(disk.join("recovery-key.txt"), key.expose_secret()).unwrap();
    let text = include_str!("../../../artifact/FORMAT.md");
    let text = text.split("## The copy of the catalog\n").nth(1).unwrap();
    let block = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let done = std::process::Command::new("bash")
        .args(["-c", &format!("set -eu -o pipefail\n{block}")])
        .current_dir(&disk)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.starts_with("catalog ok\nshop\n"), "{said}");
    assert!(said.contains("[\"disk\",\"local\","), "{said}");
}
