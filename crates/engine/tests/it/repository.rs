//! A destination that is a repository: everything that destinations do, and stock restic.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use engine::{EngineError, SystemClock};
use model::{CopyState, DestinationId, RunState, Snapshot};
use repository::{Objects, ObjectsOptions, Repository, Surroundings};
use store::{Fault, Faulty, Local, Operation};
use tokio_util::sync::CancellationToken;

use crate::{
    app_server::Export,
    restics::restics,
    world::{REPOSITORY_PASSWORD, World, open, quick, repository, sample},
};

pub(crate) fn folder(world: &World) -> PathBuf {
    world.folder.path().join("repository")
}

pub(crate) fn restic(program: &Path, world: &World, args: &[&str]) -> Output {
    Command::new(program)
        .arg("-r")
        .arg(folder(world))
        .args(["--no-cache", "-q"])
        .args(args)
        .env("RESTIC_PASSWORD", REPOSITORY_PASSWORD)
        .output()
        .unwrap()
}

pub(crate) fn restic_ok(program: &Path, world: &World, args: &[&str]) -> String {
    let output = restic(program, world, args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {args:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until nobody holds a lock.
pub(crate) async fn unlocked(world: &World) {
    for _ in 0..500 {
        let locks = std::fs::read_dir(folder(world).join("locks"));
        if locks.map_or(0, Iterator::count) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a lock stays");
}

pub(crate) async fn id(world: &World, name: &str) -> DestinationId {
    world.engine.catalog().destination_by_name(name).await.unwrap().id
}

async fn state_at(world: &World, snapshot: &Snapshot, name: &str) -> CopyState {
    let id = id(world, name).await;
    let snapshot = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    snapshot.copies.iter().find(|copy| copy.destination_id == id).unwrap().state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_write_is_restored_here_and_by_restic() {
    let world = World::new(&["repository"]).await;
    let first = world.good_snapshot().await;
    world.server.answer_with(Export::Trailers(sample(2)));
    let second = world.good_snapshot().await;
    assert_eq!(world.restored(&first).await, sample(1));
    assert_eq!(world.restored(&second).await, sample(2));
    let object = &first.copies[0].objects[0];
    assert_eq!((object.compression.as_str(), object.encryption.as_str()), ("none", "none"));
    let verify = world.engine.verify_now(second.id, None).await.unwrap();
    assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);

    unlocked(&world).await;
    let run = format!("run={}", first.run_id);
    for program in restics() {
        restic_ok(&program, &world, &["check", "--read-data"]);
        // The artifact and the manifest.
        let all = restic_ok(&program, &world, &["snapshots", "--json", "--tag", &run]);
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
        assert_eq!(all[0]["hostname"], "localhost");
        let tags = all[0]["tags"].to_string();
        assert!(tags.contains("app=shop") && tags.contains("source="), "{tags}");
        let target = world.folder.path().join("by-restic");
        let (path, to) = (format!("/{}", object.key), target.to_str().unwrap());
        restic_ok(&program, &world, &["restore", "latest", "--path", &path, "--target", to]);
        assert!(std::fs::read(target.join(&object.key)).unwrap() == sample(1));
        std::fs::remove_dir_all(&target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_beside_it_gets_its_own_form_and_copies_go_both_ways() {
    let world = World::new(&["disk", "repository"]).await;
    let snapshot = world.good_snapshot().await;
    assert_eq!(world.server.exports(), 1);
    let compressions: Vec<_> =
        snapshot.copies.iter().map(|copy| copy.objects[0].compression.as_str()).collect();
    assert_eq!(compressions, ["zstd", "none"]);
    assert!(!snapshot.copies[1].objects[0].key.ends_with(".zst"));
    for name in ["disk", "repository"] {
        let at = Some(id(&world, name).await);
        let verify = world.engine.verify_now(snapshot.id, at).await.unwrap();
        assert_eq!(world.ended(&verify).await.state, RunState::Succeeded, "{name}");
    }

    // Each takes the place of the other.
    for (lost, inside, compression, suffix) in
        [("disk", "apps", "zstd", ".zst"), ("repository", "snapshots", "none", "")]
    {
        let at = id(&world, lost).await;
        unlocked(&world).await;
        let inside = world.folder.path().join(lost).join(inside);
        std::fs::remove_dir_all(&inside).unwrap();
        std::fs::create_dir(&inside).unwrap();
        let verify = world.engine.verify_now(snapshot.id, Some(at)).await.unwrap();
        assert_eq!(world.ended(&verify).await.state, RunState::Failed);
        assert_eq!(state_at(&world, &snapshot, lost).await, CopyState::Missing);
        let copy = world.engine.copy_now(snapshot.id, at).await.unwrap();
        let copy = world.ended(&copy).await;
        assert_eq!(copy.state, RunState::Succeeded, "{:?}", copy.failure);
        let now = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
        let copy = now.copies.iter().find(|copy| copy.destination_id == at).unwrap();
        let object = &copy.objects[0];
        assert_eq!(object.compression, compression);
        assert!(object.key.ends_with(suffix), "{}", object.key);
        assert!(!object.key.contains(".zst.zst"), "{}", object.key);
        let verify = world.engine.verify_now(snapshot.id, Some(at)).await.unwrap();
        assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_in_a_pack_marks_the_copy_and_the_other_one_serves() {
    let world = World::new(&["disk", "repository"]).await;
    let snapshot = world.good_snapshot().await;
    unlocked(&world).await;
    for entry in walkdir::WalkDir::new(folder(&world).join("data")) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() && entry.metadata().unwrap().len() > 50_000 {
            let mut bytes = std::fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let mut permissions = entry.metadata().unwrap().permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
            std::fs::set_permissions(entry.path(), permissions).unwrap();
            std::fs::write(entry.path(), bytes).unwrap();
        }
    }
    let at = Some(id(&world, "repository").await);
    let verify = world.engine.verify_now(snapshot.id, at).await.unwrap();
    let verify = world.ended(&verify).await;
    assert_eq!(verify.state, RunState::Failed);
    assert_eq!(state_at(&world, &snapshot, "repository").await, CopyState::Damaged);
    assert_eq!(state_at(&world, &snapshot, "disk").await, CopyState::Good);
    assert_eq!(world.restored(&snapshot).await, sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_ends_badly_leaves_no_snapshot() {
    let world = World::new(&["repository"]).await;
    world.server.answer_with(Export::WrongChecksum(sample(1)));
    assert_eq!(world.back_up().await.state, RunState::Failed);
    unlocked(&world).await;
    for program in restics() {
        assert_eq!(restic_ok(&program, &world, &["snapshots", "--json"]).trim(), "[]");
        restic_ok(&program, &world, &["check", "--read-data"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_ends_is_forgotten() {
    let world = World::new(&["repository"]).await;
    for seed in 1..=3 {
        world.server.answer_with(Export::Trailers(sample(seed)));
        world.good_snapshot().await;
    }
    assert_eq!(world.expired_to_one().await, 2);
    unlocked(&world).await;
    for program in restics() {
        let all = restic_ok(&program, &world, &["snapshots", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_found_again_with_its_password_and_with_no_other() {
    let world = World::new(&["repository"]).await;
    let snapshot = world.good_snapshot().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let engine = open(elsewhere.path(), quick("fresh"), Arc::new(SystemClock)).await;
    let mut wrong = repository("found", &folder(&world));
    wrong.secrets.insert("repository_password".to_owned(), "another".into());
    let error = engine.add_destination(wrong).await.unwrap_err();
    assert!(matches!(error, EngineError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("opens with this password"), "{error}");

    let found = engine.add_destination(repository("found", &folder(&world))).await.unwrap();
    let report = engine.reindex(&found).await.unwrap();
    assert_eq!((report.manifests, report.new_snapshots, report.problem_count), (1, 1, 0));
    let again = engine.catalog().snapshot(snapshot.id).await.unwrap();
    let source = again.artifacts[0].source.to_string();
    let stream = engine.read_artifact(&again, &source, None).await.unwrap();
    let read: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(stream).await.unwrap();
    assert!(read.concat() == sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_that_cannot_be_is_refused() {
    let world = World::new(&["repository"]).await;
    let path = world.folder.path().join("other");
    let mut bad = Vec::new();
    let mut draft = repository("other", &path);
    draft.secrets.clear();
    bad.push(draft);
    let mut draft = repository("other", &path);
    draft.settings.insert("layout".to_owned(), "tar".to_owned());
    bad.push(draft);
    let mut draft = repository("other", &path);
    draft.settings.insert("encryption".to_owned(), "age".to_owned());
    bad.push(draft);
    for draft in bad {
        let error = world.engine.add_destination(draft).await.unwrap_err();
        assert!(matches!(error, EngineError::Invalid(_)), "{error}");
    }
    assert!(!path.exists());
    // What is one stays one.
    let one = world.engine.catalog().destination_by_name("repository").await.unwrap();
    let plain = crate::world::local("repository", &folder(&world));
    let error = world.engine.edit_destination(one.id, one.version, plain).await.unwrap_err();
    assert!(error.to_string().contains("layout"), "{error}");
    // A password that is asked for is one that nobody guesses.
    let mut draft = repository("made", &world.folder.path().join("made"));
    draft.secrets.clear();
    let made = draft.generate_password(None).unwrap();
    assert!(secrecy::ExposeSecret::expose_secret(&made).len() >= 32);
    world.engine.add_destination(draft).await.unwrap();
}

/// A process on the world's data, whose repository stalls when it finishes its file number `step`,
/// and that is gone then.
fn killed_at(world: &World, step: usize) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let (data, root) = (world.folder.path().to_owned(), folder(world));
    let store = runtime.block_on(async {
        let store = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
        let password = REPOSITORY_PASSWORD.into();
        let surroundings = Surroundings::of_this_process();
        let opened = Repository::open(Arc::new(store.clone()), &password, surroundings).await;
        let objects = Objects::new(opened.unwrap(), ObjectsOptions::default());
        for _ in 0..step {
            // What only listings can be.
            store.inject(Operation::Finish, Fault::Empty);
        }
        store.inject(Operation::Finish, Fault::Stall);
        let engine = open(&data, quick("doomed"), Arc::new(SystemClock)).await;
        let one = engine.catalog().destination_by_name("repository").await.unwrap();
        engine.use_store(&one, Arc::new(objects));
        tokio::spawn(async move { engine.serve(CancellationToken::new()).await });
        for _ in 0..1_000 {
            if store.waiting() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        store
    });
    assert_eq!(store.waiting(), 0, "step {step} was not reached");
    runtime.shutdown_background();
}

/// The files of a run are, in this order: a lock, packs of data and trees, the index, the snapshot,
/// and the same for the manifest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_gone_in_the_midst_leaves_a_sound_repository() {
    for step in 0..7 {
        let config = quick("first");
        let world = World::asleep(&["repository"], config, Arc::new(SystemClock)).await;
        world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
        tokio::task::block_in_place(|| killed_at(&world, step));
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Its lock names a process that lives on, being this one: as if its end was noticed.
        for lock in std::fs::read_dir(folder(&world).join("locks")).into_iter().flatten() {
            std::fs::remove_file(lock.unwrap().path()).unwrap();
        }
        for program in restics() {
            restic_ok(&program, &world, &["check", "--read-data"]);
        }
        world.engine.take_over_at_start().await.unwrap();
        world.start();
        world.quiet().await;
        let snapshot = world.good_snapshot().await;
        assert_eq!(world.restored(&snapshot).await, sample(1), "{step}");
        world.wait_out_leftovers().await;
        unlocked(&world).await;
        for program in restics() {
            restic_ok(&program, &world, &["check", "--read-data"]);
        }
    }
}
