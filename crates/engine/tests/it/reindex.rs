//! Manifests read back into a catalog.

use std::{path::Path, sync::Arc};

use engine::{Engine, EngineConfig, SystemClock};
use model::{
    CopyState::{self, Damaged, Good, Missing},
    Destination, Snapshot,
};
use secrecy::SecretString;

use crate::{
    postgres,
    world::{World, local, open_at, quick},
};

async fn fresh(url: &SecretString, disk: &Path) -> (Engine, Destination) {
    let engine = open_at(url, quick("fresh"), Arc::new(SystemClock)).await;
    let destination = engine.add_destination(local("found", disk)).await.unwrap();
    (engine, destination)
}

fn manifests(world: &World) -> Vec<std::path::PathBuf> {
    let mut all = world.files("disk");
    all.retain(|path| path.to_string_lossy().ends_with(".manifest.json"));
    all
}

async fn from_nothing(url: &SecretString) {
    let world = World::new(&["disk"]).await;
    world.good_snapshot().await;
    world.good_snapshot().await;
    let before = world.engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    let (engine, destination) = fresh(url, &world.folder.path().join("disk")).await;
    let report = engine.reindex(&destination).await.unwrap();
    assert_eq!((report.manifests, report.new_snapshots, report.problem_count), (2, 2, 0));
    assert_eq!(report.new_apps, ["shop"]);

    // Equal to the original, but for the destination's own identity.
    let mut after = engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    for copy in after.iter_mut().flat_map(|one| &mut one.copies) {
        copy.destination_id = before[0].copies[0].destination_id;
    }
    assert_eq!(after, before);
    let app = engine.catalog().app(world.app.id).await.unwrap();
    assert!(!app.enabled);
    assert_eq!(app.destinations[0].folder, "apps/shop");
    assert_eq!(app.destinations[0].template, world.app.destinations[0].template);
    assert_eq!((&app.retention, &app.schedule), (&world.app.retention, &world.app.schedule));
    assert_eq!(app.sources[0].name, world.app.sources[0].name);

    // Again it changes nothing.
    let again = engine.reindex(&destination).await.unwrap();
    assert_eq!((again.manifests, again.new_snapshots, again.new_copies), (2, 0, 0));
    assert_eq!(again.new_apps, Vec::<String>::new());
    let mut twice = engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    for copy in twice.iter_mut().flat_map(|one| &mut one.copies) {
        copy.destination_id = before[0].copies[0].destination_id;
    }
    assert_eq!(twice, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_catalog_is_rebuilt_from_nothing_but_manifests() {
    let folder = tempfile::tempdir().unwrap();
    from_nothing(
        &format!("sqlite://{}?mode=rwc", folder.path().join("fresh.sqlite").display()).into(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_catalog_is_rebuilt_from_nothing_but_manifests() {
    if let Some(url) = postgres::database("from_nothing").await {
        from_nothing(&url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_named_and_the_rest_is_taken() {
    let world = World::new(&["disk"]).await;
    let mut snapshots = Vec::new();
    for _ in 0..6 {
        snapshots.push(world.good_snapshot().await);
    }
    let disk = world.folder.path().join("disk");
    let at = |one: &Snapshot| disk.join(&one.copies[0].manifest_key);
    let object = |one: &Snapshot| disk.join(&one.copies[0].objects[0].key);
    // A flipped byte; a newer version; no manifest of ours; a missing and a short object; no manifest.
    let mut bytes = std::fs::read(at(&snapshots[0])).unwrap();
    bytes[400] ^= 1;
    std::fs::write(at(&snapshots[0]), bytes).unwrap();
    std::fs::write(at(&snapshots[1]), of_version_2(&at(&snapshots[1]))).unwrap();
    std::fs::write(disk.join("foreign.manifest.json"), b"{\"hello\": 1}").unwrap();
    std::fs::remove_file(object(&snapshots[2])).unwrap();
    std::fs::write(object(&snapshots[3]), b"short").unwrap();
    std::fs::remove_file(at(&snapshots[4])).unwrap();

    let own = world.engine.catalog().destination_by_name("disk").await.unwrap();
    let report = world.engine.reindex(&own).await.unwrap();
    assert_eq!(report.manifests, 6);
    assert_eq!((report.new_snapshots, report.new_copies), (0, 0));
    assert_eq!((report.missing, report.damaged), (2, 3));
    let expected = [Damaged, Damaged, Missing, Damaged, Missing, Good];
    assert_eq!(world.states(&snapshots).await, expected);
    let told: Vec<_> = report.problems.iter().map(|one| one.message.as_str()).collect();
    for words in
        ["checksum does not match", "version 2", "no snapshot manifest", "is not there", "has 5 of"]
    {
        assert!(told.iter().any(|one| one.contains(words)), "{words}: {told:?}");
    }

    // A catalog that knows nothing takes what is left, and says of two what is wrong.
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("fresh.sqlite").display());
    let (engine, destination) = fresh(&url.into(), &disk).await;
    let report = engine.reindex(&destination).await.unwrap();
    assert_eq!((report.new_snapshots, report.missing, report.damaged), (3, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missing_is_found_again() {
    let world = World::new(&["disk"]).await;
    let snapshot = world.good_snapshot().await;
    let disk = world.folder.path().join("disk");
    let path = disk.join(&snapshot.copies[0].objects[0].key);
    let away = disk.join("away");
    std::fs::rename(&path, &away).unwrap();
    let own = world.engine.catalog().destination_by_name("disk").await.unwrap();
    world.engine.reindex(&own).await.unwrap();
    assert_eq!(world.state(&snapshot).await, CopyState::Missing);
    std::fs::rename(&away, &path).unwrap();
    let report = world.engine.reindex(&own).await.unwrap();
    assert_eq!(report.found_again, 1);
    assert_eq!(world.state(&snapshot).await, CopyState::Good);
    assert_eq!(manifests(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_manifest_says_that_drills_run_is_not_taken_over() {
    let config = EngineConfig { drill_commands: true, ..quick("one") };
    let world = World::with(&["disk"], config).await;
    let app = world.engine.catalog().app(world.app.id).await.unwrap();
    let plan = model::DrillPlan {
        schedule: Some(model::schedule::Schedule::new(
            "@every 1h".parse().unwrap(),
            model::schedule::TimeZoneName::default(),
        )),
        questions: vec![model::DrillQuestion {
            artifact: "main".parse().unwrap(),
            sql: "SELECT 1".to_owned(),
            expect: None,
        }],
        commands: vec![model::DrillCommand {
            artifact: "main".parse().unwrap(),
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), "id".to_owned()],
        }],
        boot: Some(model::DrillBoot {
            container: "some-app".to_owned(),
            ..model::DrillBoot::default()
        }),
    };
    world.engine.plan_drills(app.id, app.version, plan.clone()).await.unwrap();
    world.good_snapshot().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("fresh.sqlite").display());
    let (engine, destination) = fresh(&url.into(), &world.folder.path().join("disk")).await;
    let report = engine.reindex(&destination).await.unwrap();
    let found = engine.catalog().app(world.app.id).await.unwrap();
    assert_eq!(found.drill.questions, plan.questions);
    assert_eq!((found.drill.commands, found.drill.schedule), (Vec::new(), None));
    assert_eq!(found.drill.boot, None);
    assert_eq!(report.left_out.len(), 1, "{report:?}");
    for words in
        ["`shop`", "commands (\"/bin/sh\")", "\"some-app\"", "schedule", "enter them again"]
    {
        assert!(report.left_out[0].contains(words), "{report:?}");
    }
}

/// The manifest at `path` as a newer program might write it.
fn of_version_2(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replacen("\"version\": 1", "\"version\": 2", 1);
    let at = text.rfind("  \"sha256\": \"").unwrap();
    let body = &text[..at];
    format!("{body}  \"sha256\": \"{}\"\n}}\n", artifact::Sha256::of(body.as_bytes())).into_bytes()
}
