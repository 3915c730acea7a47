//! Files and folders of this machine: archived, and taken apart again by GNU tar.

use std::{
    fs::File,
    io::Write as _,
    os::unix::{
        fs::{FileExt as _, MetadataExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use engine::{CheckState, EngineConfig, SourceDraft};
use model::{FailureCode, Run, RunState, Snapshot, SourceKind};
use store::{Fault, Faulty, Local, Operation};

use crate::{
    tree,
    world::{self, World, quick},
};

const LARGE: usize = 24 << 20;

pub(crate) fn allowing(roots: &[&Path]) -> EngineConfig {
    let file_roots = roots.iter().map(|root| (*root).to_owned()).collect();
    EngineConfig { file_roots, ..quick("one") }
}

/// A source called `files` that reads `path`.
pub(crate) fn files(path: &Path, more: &[(&str, &str)]) -> SourceDraft {
    let path = path.to_str().unwrap();
    let settings = [&[("path", path)], more].concat();
    world::source("files", "files", &settings, &[])
}

/// What a snapshot holds of `path`, extracted by GNU tar.
pub(crate) async fn extracted(world: &World, snapshot: &Snapshot) -> tempfile::TempDir {
    untarred(&world.restored_part(snapshot, "files").await)
}

/// What a tar holds, extracted by GNU tar.
pub(crate) fn untarred(tar: &[u8]) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let archive = out.path().join("archive.tar");
    std::fs::write(&archive, tar).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--warning=no-timestamp", "--xattrs", "--xattrs-include=*", "--numeric-owner"]);
    let done = tar.arg("-xpf").arg(&archive).arg("-C").arg(out.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
    out
}

pub(crate) fn inside(out: &tempfile::TempDir, path: &Path) -> PathBuf {
    out.path().join(path.strip_prefix("/").unwrap())
}

pub(crate) async fn log(world: &World, run: &Run) -> String {
    let lines = world.engine.catalog().log_after(run.id, 0, 10_000).await.unwrap();
    serde_json::to_string(&lines).unwrap()
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn a_tree_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    tree::make(&root);
    tree::make_more(&root);
    for name in ["x".repeat(255), "é".repeat(127)] {
        std::fs::write(root.join(&name), &name).unwrap();
    }
    if tree::has("setfacl") {
        let acl = ["-m", "u:12345:rw,g:54321:r"];
        assert!(
            Command::new("setfacl").args(acl).arg(root.join("large")).status().unwrap().success()
        );
        let acl = ["-d", "-m", "u:12345:rwx"];
        assert!(
            Command::new("setfacl").args(acl).arg(root.join("deep")).status().unwrap().success()
        );
    }
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let mknod = Command::new("mknod").arg(root.join("device")).args(["c", "1", "3"]).status();
    assert!(mknod.unwrap().success() || !tree::is_root());
    std::fs::create_dir(root.join("cache")).unwrap();
    std::fs::write(root.join("cache/none"), "").unwrap();

    let source = files(&root, &[("exclude", "cache")]);
    let world = World::reading(vec![source], allowing(&[folder.path()])).await;
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert_eq!(snapshot.artifacts[0].format.as_deref(), Some("tar"));
    assert!(!snapshot.verified_by_source);
    let out = extracted(&world, &snapshot).await;
    let (mut expected, found) = (tree::facts(&root), tree::facts(&inside(&out, &root)));
    expected.retain(|name, _| {
        !matches!(name.to_str(), Some("socket" | "device" | "cache" | "cache/none"))
    });
    assert!(found.keys().eq(expected.keys()), "{:?}\n{:?}", found.keys(), expected.keys());
    for (name, facts) in &expected {
        assert_eq!(&found[name], facts, "{name:?}");
    }
    if tree::has("setfacl") {
        let name = b"system.posix_acl_access";
        assert!(found[Path::new("large")].attributes.contains_key(&name[..]));
    }
    for name in ["holes", "many holes", "ends with data", "only a hole"] {
        let meta = inside(&out, &root).join(name).metadata().unwrap();
        assert!(meta.blocks() * 512 < meta.len() / 2, "{name} has no holes");
    }
    let log = log(&world, &run).await;
    assert!(log.contains("a socket; left out"), "{log}");
    assert!(log.contains("a device; left out") || !tree::is_root(), "{log}");
}

#[tokio::test]
async fn a_file_of_10_gib_with_little_in_it_is_little() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    file.write_all_at(b"middle", 5 << 30).unwrap();
    file.write_all_at(b"end", (10 << 30) - 3).unwrap();
    let world = World::reading(vec![files(&path, &[])], allowing(&[folder.path()])).await;
    let snapshot = world.good_snapshot().await;
    assert!(snapshot.artifacts[0].size_bytes < 1 << 20, "{}", snapshot.artifacts[0].size_bytes);
    let out = extracted(&world, &snapshot).await;
    let found = File::open(inside(&out, &path)).unwrap();
    let meta = found.metadata().unwrap();
    assert_eq!(meta.len(), 10 << 30);
    assert!(meta.blocks() * 512 < 1 << 20);
    let read = |at: u64, count: usize| {
        let mut bytes = vec![1; count];
        found.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    assert_eq!(read(5 << 30, 7), b"middle\0");
    assert_eq!(read((10 << 30) - 4, 4), b"\0end");
    assert_eq!(read(1 << 30, 4), b"\0\0\0\0");
}

/// A world whose destination takes its first write only after a while.
pub(crate) async fn slow(
    sources: Vec<SourceDraft>,
    config: EngineConfig,
    delay: Duration,
) -> (World, Faulty) {
    let world = World::reading(sources, config).await;
    let disk = Faulty::new(Arc::new(Local::open(&world.folder.path().join("disk")).await.unwrap()));
    disk.inject(Operation::Write, Fault::Delay(delay));
    let known = world.engine.catalog().destination_by_name("disk").await.unwrap();
    world.engine.use_store(&known, Arc::new(disk.clone()));
    (world, disk)
}

/// Waits until the destination makes the run wait.
pub(crate) async fn waits(disk: &Faulty) {
    for _ in 0..1_000 {
        if disk.waiting() == 0 {
            // What lies between fills.
            tokio::time::sleep(Duration::from_millis(300)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the run did not come to its first write");
}

#[tokio::test]
async fn files_that_change_meanwhile_are_told_and_the_archive_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = noise(LARGE);
    std::fs::write(at("a-grows"), &whole).unwrap();
    std::fs::write(at("y-vanishes"), "gone").unwrap();
    std::fs::write(at("c-shrinks"), &whole[..10]).unwrap();
    std::fs::create_dir(at("z-vanishes")).unwrap();
    std::fs::write(at("e-stays"), "stays").unwrap();
    // More than is read ahead, so that what follows is not looked at yet.
    for n in 0..80 {
        std::fs::write(at(&format!("m-{n}")), &whole[..128 << 10]).unwrap();
    }
    let config =
        EngineConfig { idle_timeout: Duration::from_secs(10), ..allowing(&[folder.path()]) };
    let (world, disk) =
        slow(vec![files(folder.path(), &[])], config, Duration::from_millis(2_500)).await;
    let started = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    waits(&disk).await;
    File::options().append(true).open(at("a-grows")).unwrap().write_all(b"more").unwrap();
    std::fs::remove_file(at("y-vanishes")).unwrap();
    std::fs::remove_dir(at("z-vanishes")).unwrap();
    let run = world.ended(&started).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    let out = extracted(&world, &snapshot).await;
    let found = inside(&out, folder.path());
    assert!(std::fs::read(found.join("a-grows")).unwrap() == whole, "to the byte as it was opened");
    assert_eq!(std::fs::read(found.join("e-stays")).unwrap(), b"stays");
    assert!(!found.join("y-vanishes").exists() && !found.join("z-vanishes").exists());
    let log = log(&world, &run).await;
    for told in ["a-grows\\\\\\\": it grew", "y-vanishes", "z-vanishes"] {
        assert!(log.contains(told) || log.contains(&told.replace("\\\\\\", "\\")), "{told}: {log}");
    }
    assert!(!log.contains("e-stays"), "{log}");
}

#[tokio::test]
async fn only_allowed_folders_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["in", "out"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    std::fs::write(at("out/secret"), "canary").unwrap();
    symlink(at("out"), at("in/away")).unwrap();
    symlink("/etc/hostname", at("in/name")).unwrap();
    std::fs::write(at("in/file"), "here").unwrap();
    let config = || allowing(&[&at("in")]);
    for (path, more, config) in [
        (at("out"), None, config()),
        ("/etc/shadow".into(), None, config()),
        (at("in/away/secret"), None, config()),
        (at("in/away/*"), None, config()),
        (at("in/name"), Some(("follow_symlinks", "true")), config()),
        (at("in"), None, allowing(&[])),
        (at("in/none"), None, config()),
    ] {
        let more: Vec<_> = more.into_iter().collect();
        let world = World::reading(vec![files(&path, &more)], config).await;
        let run = world.back_up().await;
        let failure = run.failure.unwrap();
        assert_eq!(failure.code, FailureCode::SourceConfig, "{path:?}: {failure:?}");
        assert!(!failure.retryable);
        assert!(world.files("disk").is_empty());
        let report = world.engine.doctor_app(&world.app).await;
        assert!(!report.is_well(), "{report:?}");
    }
    // A link on the way is kept as one, or followed within what is allowed.
    for follow in ["false", "true"] {
        let source = files(&at("in"), &[("follow_symlinks", follow)]);
        let world = World::reading(vec![source], config()).await;
        let snapshot = world.good_snapshot().await;
        let out = extracted(&world, &snapshot).await;
        assert!(inside(&out, &at("in/away")).is_symlink());
        assert_eq!(std::fs::read(inside(&out, &at("in/file"))).unwrap(), b"here");
        let told = world.everything_told().await.contains("leads out of the allowed folders");
        assert_eq!(told, follow == "true");
        assert!(world.engine.doctor_app(&world.app).await.is_well());
    }
}

#[tokio::test]
async fn settings_that_cannot_be_right_are_refused() {
    let world = World::reading(vec![files(Path::new("/srv"), &[])], quick("one")).await;
    for (settings, field) in [
        (vec![("path", "srv")], "path"),
        (vec![("path", "/srv/../etc")], "path"),
        (vec![("path", "--checkpoint-action=exec=sh")], "path"),
        (vec![], "path"),
        (vec![("path", "/srv"), ("exclude", "a**")], "exclude"),
        (vec![("path", "/srv"), ("snapshot", "xfs")], "snapshot"),
        (vec![("path", "/srv"), ("command", "id")], "command"),
    ] {
        let draft = engine::AppDraft {
            name: "other".to_owned(),
            sources: vec![world::source("files", "files", &settings, &[])],
            ..engine::AppDraft::default()
        };
        let Err(engine::EngineError::Invalid(errors)) = world.engine.register_app(draft).await
        else {
            panic!("{settings:?} was taken")
        };
        assert_eq!(errors[0].field, format!("sources[0].settings.{field}"), "{errors:?}");
    }
}

#[tokio::test]
async fn an_archive_has_bounds() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large"), noise(3 << 20)).unwrap();
    let config = || allowing(&[folder.path()]);
    let small = EngineConfig { max_size_bytes: 1 << 20, ..config() };
    let world = World::reading(vec![files(folder.path(), &[])], small).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceTooLarge);
    assert!(world.files("disk").is_empty());

    let world = World::reading(vec![files(folder.path(), &[])], config()).await;
    world.change_app(|app| app.limits.timeout_secs = Some(0)).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::Timeout);

    // Opens, and cannot be read: half an archive is none.
    let refuses = Path::new("/sys/bus/cpu/drivers_probe");
    if tree::is_root() && refuses.exists() {
        let world = World::reading(vec![files(refuses, &[])], allowing(&[Path::new("/sys/bus")]));
        let world = world.await;
        let failure = world.back_up().await.failure.unwrap();
        assert_eq!(failure.code, FailureCode::SourceFailed, "{failure:?}");
        assert!(failure.message.contains("drivers_probe"), "{failure:?}");
        assert!(world.files("disk").is_empty());
    }
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large"), noise(LARGE)).unwrap();
    let config =
        EngineConfig { idle_timeout: Duration::from_secs(20), ..allowing(&[folder.path()]) };
    let (world, disk) =
        slow(vec![files(folder.path(), &[])], config, Duration::from_secs(15)).await;
    let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    waits(&disk).await;
    world.engine.cancel(run.id).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Cancelled);
    world.wait_out_leftovers().await;
    assert!(world.files("disk").is_empty());
}

/// A destination within the source would hold copies of copies.
#[tokio::test]
async fn its_own_copies_are_left_out() {
    let config = allowing(&[&std::env::temp_dir()]);
    let world = World::reading(vec![files(Path::new("/tmp/none"), &[])], config).await;
    let own = world.folder.path().to_owned();
    std::fs::write(own.join("kept"), "kept").unwrap();
    let path = own.to_str().unwrap().to_owned();
    world
        .change_app(|app| {
            let SourceKind::Direct(direct) = &mut app.sources[0].kind else { panic!() };
            direct.settings.insert("path".to_owned(), path);
        })
        .await;
    let app = world.engine.catalog().app(world.app.id).await.unwrap();
    let report = world.engine.doctor_app(&app).await;
    assert!(report.checks.iter().any(|check| check.state == CheckState::Warning), "{report:?}");
    world.good_snapshot().await;
    let snapshot = world.good_snapshot().await;
    let out = extracted(&world, &snapshot).await;
    let found = inside(&out, &own);
    assert_eq!(std::fs::read(found.join("kept")).unwrap(), b"kept");
    assert!(!found.join("disk").exists(), "the destination is no part of it");
}
