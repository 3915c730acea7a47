//! Archives of snapshots: listed, searched, and single files read from them.

use std::os::unix::fs::FileExt as _;

use engine::{EngineConfig, EngineError, EntryKind, MemberStream};
use futures::TryStreamExt as _;
use model::{RunState, Snapshot};

use crate::{
    source_files::{allowing, files, noise},
    world::World,
};

async fn all(stream: MemberStream) -> Vec<u8> {
    stream.map_ok(|chunk| chunk.to_vec()).try_concat().await.unwrap()
}

/// A snapshot of a tree with more than one frame, and where in the archive the tree is.
async fn snapshot() -> (tempfile::TempDir, World, Snapshot, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    std::fs::create_dir_all(root.join("deep/er")).unwrap();
    std::fs::write(root.join("a-first"), "first").unwrap();
    for name in ["b-large", "c-large"] {
        std::fs::write(root.join(name), noise(50 << 20)).unwrap();
    }
    std::fs::write(root.join("deep/er/<b>\n\u{202e}.txt"), "odd").unwrap();
    std::fs::write(root.join("deep/er/report.pdf"), "report").unwrap();
    std::fs::hard_link(root.join("deep/er/report.pdf"), root.join("z-again")).unwrap();
    let holes = std::fs::File::create(root.join("holes")).unwrap();
    holes.set_len(3 << 20).unwrap();
    holes.write_all_at(b"data", 1 << 20).unwrap();
    let config = EngineConfig { max_size_bytes: 1 << 30, ..allowing(&[folder.path()]) };
    let world = World::reading(vec![files(&root, &[])], config).await;
    world.change_app(|app| app.compression = Some("zstd".to_owned())).await;
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    let place = root.to_str().unwrap().trim_start_matches('/').to_owned();
    (folder, world, snapshot, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_listed_and_files_read_from_them() {
    let (folder, world, snapshot, place) = snapshot().await;
    let (engine, id) = (&world.engine, snapshot.id);
    let listing = engine.browse(id, "files", &format!("/{place}/"), None).await.unwrap();
    let names: Vec<_> = listing.entries.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["deep", "a-first", "b-large", "c-large", "holes", "z-again"]);
    assert_eq!(listing.entries[0].kind, EntryKind::Folder);
    assert_eq!(listing.entries[2].size_bytes, 50 << 20);
    let found = engine.search(id, "files", "REPORT").await.unwrap();
    assert_eq!(found[0].path, format!("{place}/deep/er/report.pdf"));

    let read = async |name: &str| {
        all(engine.read_path(id, "files", &format!("{place}/{name}")).await.unwrap()).await
    };
    for name in ["a-first", "c-large", "deep/er/<b>\n\u{202e}.txt", "holes", "z-again"] {
        let expected = std::fs::read(folder.path().join("tree").join(name)).unwrap();
        assert!(read(name).await == expected, "{name:?}");
    }

    // A folder is a tar of its own.
    let out = tempfile::tempdir().unwrap();
    let tar = read("deep").await;
    let options = archive::Options::default();
    let report = archive::unpack(&*tar, out.path(), options, &mut |_| true).unwrap();
    assert_eq!((report.files, report.folders), (2, 2));
    let report = std::fs::read(out.path().join(&place).join("deep/er/report.pdf")).unwrap();
    assert_eq!(report, b"report");

    // The manifest tells where frames begin.
    let manifest = world
        .files("disk")
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".manifest.json"));
    let manifest = std::fs::read_to_string(manifest.unwrap()).unwrap();
    assert!(manifest.contains("\"plain_offset\": 67108864"), "{manifest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_not_there_is_told() {
    let (_folder, world, snapshot, place) = snapshot().await;
    let (engine, id) = (&world.engine, snapshot.id);
    let missing = engine.browse(id, "files", "no/such", None).await;
    assert!(matches!(missing, Err(EngineError::NotFound { .. })), "{missing:?}");
    let missing = engine.read_path(id, "files", "no/such").await.err();
    assert!(matches!(missing, Some(EngineError::NotFound { .. })), "{missing:?}");
    assert!(engine.browse(id, "none", "", None).await.is_err());
    // A byte in the first frame, whose SHA-256 is in the manifest.
    let object =
        world.files("disk").into_iter().find(|path| path.to_string_lossy().ends_with("zst"));
    let object = object.unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[1 << 20] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let stream = engine.read_path(id, "files", &format!("{place}/a-first")).await.unwrap();
    let read: Result<Vec<_>, _> = stream.try_collect().await;
    assert!(read.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_snapshots_are_compared() {
    use engine::{Aspect, Change, Compared};
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    std::fs::create_dir_all(root.join("kept")).unwrap();
    for (name, content) in [("gone", "1"), ("grows", "1"), ("same", "1"), ("kept/deep", "1")] {
        std::fs::write(root.join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("same", root.join("link")).unwrap();
    let world = World::reading(vec![files(&root, &[])], allowing(&[folder.path()])).await;
    let first = world.good_snapshot().await;
    let again = world.engine.diff(first.id, first.id, None, 10).await.unwrap();
    assert!(again.is_same && again.sources[0].change.is_none(), "{again:?}");

    std::fs::remove_file(root.join("gone")).unwrap();
    std::fs::write(root.join("grows"), "more than before").unwrap();
    std::fs::write(root.join("kept/new"), "new").unwrap();
    std::fs::remove_file(root.join("link")).unwrap();
    std::os::unix::fs::symlink("grows", root.join("link")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(root.join("kept/deep"), mode).unwrap();
    let second = world.good_snapshot().await;
    let place = root.to_str().unwrap().trim_start_matches('/').to_owned();
    let diff = world.engine.diff(first.id, second.id, None, 10).await.unwrap();
    let [files] = &diff.sources[..] else { panic!("{diff:?}") };
    assert!(!diff.is_same && files.compared == Compared::Members);
    assert_eq!((files.added, files.removed, files.changed, files.untold), (1, 1, 3, 0));
    let told = |name: &str| {
        let path = format!("{place}/{name}");
        files.entries.iter().find(|one| one.path == path).unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!((told("gone").change, told("gone").before), (Change::Removed, Some(1)));
    assert_eq!((told("kept/new").change, told("kept/new").after), (Change::Added, Some(3)));
    assert!(told("grows").differs.contains(&Aspect::Size));
    assert!(told("link").differs.contains(&Aspect::Link));
    assert!(told("kept/deep").differs.contains(&Aspect::Mode));
    let few = world.engine.diff(first.id, second.id, Some("files"), 2).await.unwrap();
    assert_eq!((few.sources[0].entries.len(), few.sources[0].untold), (2, 3));
    // The other way round.
    let back = world.engine.diff(second.id, first.id, None, 10).await.unwrap();
    assert_eq!((back.sources[0].added, back.sources[0].removed), (1, 1));
    let none = world.engine.diff(first.id, second.id, Some("none"), 10).await;
    assert!(matches!(none, Err(EngineError::NotFound { .. })), "{none:?}");
}
