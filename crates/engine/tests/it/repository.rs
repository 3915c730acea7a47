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
    source_files::{allowing, extracted, files, inside},
    tree,
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
    let in_repository = Path::new(&snapshot.copies[1].objects[0].key);
    assert!(in_repository.extension().is_none_or(|extension| extension != "zst"));
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
    for pack in big_packs(&world) {
        let mut bytes = std::fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&pack, bytes).unwrap();
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

fn big_packs(world: &World) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(folder(world).join("data")).into_iter().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().is_file());
    let big = files.filter(|entry| entry.metadata().unwrap().len() > 50_000);
    big.map(walkdir::DirEntry::into_path).collect()
}

async fn destination(world: &World) -> model::Destination {
    world.engine.catalog().destination_by_name("repository").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_left_is_freed_in_two_steps_and_the_rest_stays_whole() {
    let mut config = quick("one");
    config.repository_grace = jiff::SignedDuration::from_secs(1);
    let world = World::with(&["repository"], config).await;
    for seed in 1..=3 {
        world.server.answer_with(Export::Trailers(sample(seed)));
        world.good_snapshot().await;
    }
    let one = destination(&world).await;
    let before = world.engine.count_repository(&one).await.unwrap().statistics.unwrap();
    assert_eq!(before.snapshots, 6);
    assert_eq!(world.expired_to_one().await, 2);
    // The first marks, the second deletes.
    for deleted in [false, true] {
        let run = world.engine.free_repository(&one).await.unwrap();
        let run = world.ended(&run).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        let freed = world.engine.repository_state(&one).await.unwrap().freed.unwrap();
        assert_eq!(freed.deleted > 0, deleted, "{freed:?}");
        assert_eq!(freed.marked > 0, !deleted, "{freed:?}");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    let after = world.engine.repository_state(&one).await.unwrap().statistics.unwrap();
    assert!(after.stored_bytes * 2 < before.stored_bytes, "{after:?} {before:?}");
    let run = world.engine.check_repository(&one, true).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Succeeded);
    let checked = world.engine.repository_state(&one).await.unwrap().checked.unwrap();
    assert!(checked.read_data && checked.bytes_read > 0 && checked.problem_count == 0);
    let left = world.engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    let good = left.iter().find(|snapshot| snapshot.is_good()).unwrap();
    assert_eq!(world.restored(good).await, sample(3));
    unlocked(&world).await;
    for program in restics() {
        restic_ok(&program, &world, &["check", "--read-data"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_of_lost_packs_and_snapshots_and_nothing_is_freed_then() {
    let world = World::new(&["repository"]).await;
    world.good_snapshot().await;
    let one = destination(&world).await;
    unlocked(&world).await;
    let kept = world.folder.path().join("kept");
    let pack = big_packs(&world).remove(0);
    std::fs::rename(&pack, &kept).unwrap();
    let run = world.engine.check_repository(&one, false).await.unwrap();
    let failure = world.ended(&run).await.failure.unwrap();
    assert_eq!(failure.code, model::FailureCode::Damaged);
    let checked = world.engine.repository_state(&one).await.unwrap().checked.unwrap();
    assert!(checked.problem_count > 0 && !checked.advice.is_empty());
    std::fs::rename(&kept, &pack).unwrap();

    let snapshots = folder(&world).join("snapshots");
    for entry in std::fs::read_dir(&snapshots).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let run = world.engine.check_repository(&one, false).await.unwrap();
    let failure = world.ended(&run).await.failure.unwrap();
    assert!(failure.message.contains("is not there"), "{}", failure.message);
    let run = world.engine.free_repository(&one).await.unwrap();
    let failure = world.ended(&run).await.failure.unwrap();
    assert!(failure.message.contains("nothing is freed"), "{}", failure.message);
    assert!(pack.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_come_and_go_and_the_one_in_use_stays() {
    let world = World::new(&["repository"]).await;
    let one = destination(&world).await;
    let (_, made) = world.engine.add_repository_key(&one, None).await.unwrap();
    let (second, none) =
        world.engine.add_repository_key(&one, Some("a second one".into())).await.unwrap();
    assert!(made.is_some() && none.is_none());
    let keys = world.engine.repository_keys(&one).await.unwrap();
    assert_eq!(keys.len(), 3);
    let current = keys.iter().find(|key| key.current).unwrap();
    assert!(world.engine.remove_repository_key(&one, &current.id).await.is_err());
    assert!(world.engine.remove_repository_key(&one, "").await.is_err());

    // The destination goes on with the other one, and the first can go.
    let mut draft = repository("repository", &folder(&world));
    draft.secrets.insert("repository_password".to_owned(), "a second one".into());
    let one = world.engine.edit_destination(one.id, one.version, draft).await.unwrap();
    let keys = world.engine.repository_keys(&one).await.unwrap();
    assert!(keys.iter().any(|key| key.current && key.id == second), "{keys:?}");
    world.engine.remove_repository_key(&one, &current.id).await.unwrap();
    let snapshot = world.good_snapshot().await;
    assert_eq!(world.restored(&snapshot).await, sample(1));
    unlocked(&world).await;
    for program in restics() {
        let told = restic(&program, &world, &["snapshots"]);
        assert!(!told.status.success(), "the removed password opens it");
    }
}

/// Whether stock restic opens it with `password`.
fn opens(program: &Path, world: &World, password: &str) -> bool {
    let told = Command::new(program)
        .arg("-r")
        .arg(folder(world))
        .args(["--no-cache", "-q", "snapshots"])
        .env("RESTIC_PASSWORD", password)
        .output();
    told.unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_changed_in_one_step() {
    let world = World::new(&["repository"]).await;
    let first = world.good_snapshot().await;
    let one = destination(&world).await;
    let (id, made) = world.engine.rotate_repository_key(&one, None).await.unwrap();
    let made = made.unwrap();
    // Whoever still has the destination as it was cannot change it.
    let again = world.engine.rotate_repository_key(&one, Some("x".into())).await;
    assert!(again.is_err());
    let one = destination(&world).await;
    let keys = world.engine.repository_keys(&one).await.unwrap();
    assert!(keys.len() == 1 && keys[0].current && keys[0].id == id, "{keys:?}");
    let (_, none) = world.engine.rotate_repository_key(&one, Some("mine".into())).await.unwrap();
    assert!(none.is_none());
    assert_eq!(world.restored(&first).await, sample(1));
    let second = world.good_snapshot().await;
    assert_eq!(world.restored(&second).await, sample(1));
    unlocked(&world).await;
    for program in restics() {
        assert!(opens(&program, &world, "mine"));
        assert!(!opens(&program, &world, REPOSITORY_PASSWORD), "the old password opens it");
        assert!(
            !opens(&program, &world, secrecy::ExposeSecret::expose_secret(&made)),
            "the one between opens it"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_password_that_was_cut_off_is_ended() {
    let world = World::new(&["repository"]).await;
    let one = destination(&world).await;
    let catalog = world.engine.catalog();
    let note = |old: &str, new: &str| format!(r#"{{"old":"{old}","new":"{new}"}}"#);
    let name = format!("repository_rotation:{}", one.id);
    let old = world.engine.repository_keys(&one).await.unwrap()[0].id.clone();

    // Cut off before the new key was written, and after it: the old password stays.
    catalog.set_setting(&name, &note(&old, &"ab".repeat(32))).await.unwrap();
    world.engine.rotate_repository_key(&one, Some("one".into())).await.unwrap();
    let one = destination(&world).await;
    let old = world.engine.repository_keys(&one).await.unwrap()[0].id.clone();
    let (new, _) = world.engine.add_repository_key(&one, Some("two".into())).await.unwrap();
    catalog.set_setting(&name, &note(&old, &new)).await.unwrap();
    world.engine.rotate_repository_key(&one, Some("three".into())).await.unwrap();
    let one = destination(&world).await;
    let keys = world.engine.repository_keys(&one).await.unwrap();
    assert!(keys.len() == 1 && keys[0].current, "{keys:?}");

    // Cut off when the new password was stored: the old key goes, without anybody asking.
    let old = keys[0].id.clone();
    let (new, _) = world.engine.add_repository_key(&one, Some("four".into())).await.unwrap();
    catalog.set_setting(&name, &note(&old, &new)).await.unwrap();
    let mut draft = repository("repository", &folder(&world));
    draft.secrets.insert("repository_password".to_owned(), "four".into());
    let one = world.engine.edit_destination(one.id, one.version, draft).await.unwrap();
    for _ in 0..600 {
        if world.engine.repository_keys(&one).await.unwrap().len() == 1 {
            break;
        }
        // Upkeep looks once a minute.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let keys = world.engine.repository_keys(&one).await.unwrap();
    assert!(keys.len() == 1 && keys[0].current && keys[0].id == new, "{keys:?}");
    unlocked(&world).await;
    for program in restics() {
        assert!(opens(&program, &world, "four") && !opens(&program, &world, "three"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_of_the_dead_go_and_those_of_the_living_stay() {
    let world = World::new(&["repository"]).await;
    let one = destination(&world).await;
    let store = Arc::new(Local::open(&folder(&world)).await.unwrap());
    let at = |age: i64| {
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(age);
        let mut surroundings = Surroundings::of_this_process().with_clock(move || then);
        "elsewhere".clone_into(&mut surroundings.hostname);
        surroundings
    };
    for age in [0, 45] {
        let password = REPOSITORY_PASSWORD.into();
        let opened = Repository::open(store.clone(), &password, at(age)).await.unwrap();
        // Left as whoever is killed leaves it.
        std::mem::forget(opened.lock(repository::LockKind::Shared).await.unwrap());
    }
    assert_eq!(world.engine.unlock_repository(&one, false).await.unwrap(), 1);
    assert_eq!(world.engine.unlock_repository(&one, true).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_be_deleted_everything_is_kept_and_told() {
    let world = World::asleep(&["repository"], quick("one"), Arc::new(SystemClock)).await;
    let mut draft = repository("repository", &folder(&world));
    draft.append_only = true;
    let one = destination(&world).await;
    let one = world.engine.edit_destination(one.id, one.version, draft).await.unwrap();
    let store: Arc<dyn store::Store> = Arc::new(Local::open(&folder(&world)).await.unwrap());
    let password = REPOSITORY_PASSWORD.into();
    let store = Arc::new(NoDelete(store));
    let opened = Repository::open(store, &password, Surroundings::of_this_process()).await;
    let objects = Objects::new(opened.unwrap(), ObjectsOptions::default());
    world.engine.use_store(&one, Arc::new(objects.clone()));
    world.start();
    let first = world.good_snapshot().await;
    let second = world.good_snapshot().await;
    assert_eq!(world.expired_to_one().await, 0);
    for snapshot in [&first, &second] {
        assert_eq!(world.restored(snapshot).await, sample(1));
        let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
        assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
    }
    let error = world.engine.free_repository(&one).await.unwrap_err();
    assert!(error.to_string().contains("append-only"), "{error}");
    let app = world.engine.catalog().app(world.app.id).await.unwrap();
    let previews = world.engine.preview_retention(&app, None).await.unwrap();
    assert_eq!(previews[0].plan.refusal, Some(model::retention::Refusal::AppendOnly));
    // A canary proves that deletion is refused.
    let key = store::Key::new("canary").unwrap();
    store::Store::create(&objects, &key, &store::CreateOptions::default())
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    let error = store::Store::delete(&objects, &key).await.unwrap_err();
    assert_eq!(error.kind(), store::StoreErrorKind::PermissionDenied);
}

/// A store whose keys cannot delete.
#[derive(Debug)]
struct NoDelete(Arc<dyn store::Store>);

#[async_trait::async_trait]
impl store::Store for NoDelete {
    fn capability(&self) -> store::Capability {
        self.0.capability()
    }

    async fn create(
        &self,
        key: &store::Key,
        options: &store::CreateOptions,
    ) -> Result<Box<dyn store::Upload>, store::StoreError> {
        self.0.create(key, options).await
    }

    async fn read(
        &self,
        key: &store::Key,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<store::ByteStream, store::StoreError> {
        self.0.read(key, range).await
    }

    async fn stat(&self, key: &store::Key) -> Result<store::ObjectMeta, store::StoreError> {
        self.0.stat(key).await
    }

    async fn list(&self, prefix: &store::Prefix) -> Result<store::Listing, store::StoreError> {
        self.0.list(prefix).await
    }

    async fn delete(&self, key: &store::Key) -> Result<(), store::StoreError> {
        Err(store::StoreError::new(
            store::StoreErrorKind::PermissionDenied,
            format!("{key}: these credentials cannot delete"),
        ))
    }

    async fn sweep(
        &self,
        _: &store::Prefix,
        _: Duration,
        _: std::time::SystemTime,
    ) -> Result<Vec<store::Swept>, store::StoreError> {
        Ok(Vec::new())
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_of_files_are_trees_for_restic_and_come_back_here() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    tree::make(&root);
    tree::make_more(&root);
    let before = tree::facts(&root);
    let world =
        World::reading_to("repository", vec![files(&root, &[])], allowing(&[folder.path()])).await;
    let snapshot = world.good_snapshot().await;
    let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
    assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
    let out = extracted(&world, &snapshot).await;
    assert_eq!(tree::facts(&inside(&out, &root)), before);
    // A file of it alone.
    let place = root.to_str().unwrap().trim_start_matches('/');
    let path = format!("{place}/large");
    let read = world.engine.read_path(snapshot.id, "files", &path).await.unwrap();
    let read: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(read).await.unwrap();
    assert!(read.concat() == std::fs::read(root.join("large")).unwrap());

    std::fs::write(root.join("new"), "new").unwrap();
    let second = world.good_snapshot().await;
    let diff = world.engine.diff(snapshot.id, second.id, None, 10).await.unwrap();
    assert_eq!(diff.sources[0].entries[0].path, format!("{place}/new"));
    std::fs::remove_file(root.join("new")).unwrap();

    unlocked(&world).await;
    for program in restics() {
        restic_ok(&program, &world, &["check", "--read-data"]);
        let target = world.folder.path().join("by-restic");
        let object = &snapshot.copies[0].objects[0].key;
        let (path, to) = (format!("/{object}"), target.to_str().unwrap());
        restic_ok(&program, &world, &["restore", "latest", "--path", &path, "--target", to]);
        let mut restored = tree::facts(&target.join(object).join(place));
        let mut expected = before.clone();
        if program.starts_with("/usr/bin") {
            // What 0.14 has no way to keep: targets that are no text.
            for all in [&mut restored, &mut expected] {
                all.retain(|name, _| !name.ends_with("link odd"));
            }
        }
        assert_eq!(restored, expected, "{}", program.display());
        std::fs::remove_dir_all(&target).unwrap();
    }
}
