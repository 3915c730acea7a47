//! What stock restic and we wrote is read, restored and put into tars as it was.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
    process::{Command, Stdio},
};

use futures::TryStreamExt as _;
use repository::{CheckOptions, NodeKind, ReadData, Reader, Repository, RepositoryError, Version};

use crate::{
    world::{World, restics},
    writer::{noise, sample},
};

/// A folder with all that is hard to keep.
fn odd_folder(at: &Path) {
    let file = |name: &[u8], content: &[u8]| {
        let path = at.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    file(b"big", &noise(1, 7_000_000));
    file(b"big again", &noise(1, 7_000_000));
    file(b"empty", b"");
    file(b"deep/er/and/deeper/file", b"deep");
    file(b"name\xff\"<&>\\\n\x01", b"odd");
    file("ñandú 日本 \u{2028}".as_bytes(), b"unicode");
    file(&[b'l'; 200], b"long name");
    file(b"suid", b"suid");
    for n in 0..300_u32 {
        file(format!("many/{n}").as_bytes(), format!("small {n}").repeat(50).as_bytes());
    }
    fs::set_permissions(at.join("suid"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(at.join("deep/er/and/deeper/file"), at.join("hard")).unwrap();
    fs::hard_link(at.join("hard"), at.join("many/hard too")).unwrap();
    symlink("deep/er", at.join("soft")).unwrap();
    symlink("nowhere at all", at.join("many/dangling")).unwrap();
    let hole = fs::File::create(at.join("hole")).unwrap();
    hole.write_all_at(b"middle", 20 << 20).unwrap();
    hole.set_len(40 << 20).unwrap();
    fs::create_dir(at.join("empty folder")).unwrap();
    fs::set_permissions(at.join("empty folder"), fs::Permissions::from_mode(0o1777)).unwrap();
    xattr::set(at.join("big"), "user.tests", b"value \x00\xff").unwrap();
    xattr::set(at.join("deep"), "user.of a folder", b"=").unwrap();
    nix::unistd::mkfifo(&at.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o620)).unwrap();
    std::os::unix::fs::chown(at.join("suid"), Some(1234), Some(5678)).unwrap();
    fs::set_permissions(at.join("suid"), fs::Permissions::from_mode(0o4755)).unwrap();
    let old = fs::File::options().write(true).open(at.join("empty")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    old.set_modified(time).unwrap();
}

/// All that is told of what is below a folder, by path.
fn told(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut told = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_file() {
                repository::Id::of(&fs::read(&path).unwrap()).short()
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::new()
            };
            let attributes: BTreeMap<_, _> = xattr::list(&path)
                .unwrap()
                .filter(|name| name.to_string_lossy().starts_with("user."))
                .map(|name| (name.clone(), xattr::get(&path, &name).unwrap()))
                .collect();
            let links = if meta.is_file() { meta.nlink() } else { 0 };
            let line = format!(
                "{:o} {}:{} {}.{} {links} {content} {attributes:?}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
            );
            if meta.is_dir() {
                folders.push(path.clone());
            }
            told.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), line);
        }
    }
    told
}

fn assert_same(source: &Path, restored: &Path) {
    let (wanted, got) = (told(source), told(restored));
    for (path, line) in &wanted {
        assert_eq!(got.get(path), Some(line), "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(wanted.len(), got.len());
}

async fn tar_into(reader: &Reader, tree: &repository::Id, path: &[u8], to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut tar = Command::new("tar")
        .args(["--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C"])
        .arg(to)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = tar.stdin.take().unwrap();
    let mut stream = Box::pin(reader.tar(tree, path).await.unwrap());
    while let Some(bytes) = stream.try_next().await.unwrap() {
        std::io::Write::write_all(&mut input, &bytes).unwrap();
    }
    drop(input);
    assert!(tar.wait().unwrap().success());
}

async fn check_all(repository: &Repository) {
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let checked = repository.check(&options).await.unwrap();
    assert!(checked.is_whole(), "{:?}", checked.problems);
    assert!(checked.packs_read > 0 && checked.packs_read == checked.packs);
}

#[tokio::test]
async fn what_restic_wrote_is_restored_as_it_was() {
    for restic in restics() {
        for version in ["1", "2"] {
            let world = World::new();
            let source = world.path("source");
            odd_folder(&source);
            world.restic_ok(&restic, &["init", "--repository-version", version]);
            world.restic_ok(&restic, &["backup", source.to_str().unwrap()]);
            let repository = world.open().await;
            check_all(&repository).await;
            let snapshot = repository.snapshots().await.unwrap().remove(0).1;
            let reader = Reader::open(&repository).await.unwrap();
            let path = source.as_os_str().as_bytes();
            let to = world.path("restored");
            let restored = reader.restore(&snapshot.tree, path, &to).await.unwrap();
            assert_eq!(restored.warnings, Vec::<String>::new());
            assert_same(&source, &to);
            assert!(fs::metadata(to.join("hole")).unwrap().blocks() * 512 < 20 << 20);
            let untarred = world.path("untarred");
            tar_into(&reader, &snapshot.tree, path, &untarred).await;
            assert_same(&source, &untarred);
        }
    }
}

#[tokio::test]
async fn a_part_is_restored_browsed_and_found() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let id = sample(&repository).await;
    let (found, snapshot) = repository.snapshot(&id.short()).await.unwrap();
    assert_eq!(found, id);
    assert!(matches!(
        repository.snapshot("").await.map(drop).and(repository.snapshot("zz").await.map(drop)),
        Err(RepositoryError::WhichSnapshot { count: 0, .. })
    ));
    let reader = Reader::open(&repository).await.unwrap();
    let root = snapshot.tree;
    let names = |nodes: Vec<repository::Node>| -> Vec<_> {
        nodes.into_iter().map(|node| String::from_utf8_lossy(&node.name).into_owned()).collect()
    };
    assert_eq!(names(reader.folder(&root, b"sub").await.unwrap()), ["empty", "ñandú 日本"]);
    assert!(matches!(
        reader.folder(&root, b"sub/nothing").await,
        Err(RepositoryError::NotInSnapshot(_))
    ));
    let found = reader.find(&root, |_, node| node.kind == NodeKind::File, 100).await.unwrap();
    assert_eq!(found.len(), 4);
    let big = &found.iter().find(|(path, _)| path == b"big").unwrap().1;
    let streamed: Vec<_> = reader.stream(big.blobs()).try_collect().await.unwrap();
    let wanted: Vec<u8> = (0..5).flat_map(|n| noise(n, 500_000)).collect();
    assert!(streamed.concat() == wanted);
    let to = world.path("file");
    reader.restore(&root, b"/sub/empty", &to).await.unwrap();
    assert_eq!(fs::read(to.join("empty")).unwrap(), b"");
    let again = reader.restore(&root, b"sub", &to).await;
    assert!(matches!(again, Err(RepositoryError::Io { .. })), "a folder with something in it");
    let to = world.path("sub");
    let restored = reader.restore(&root, b"sub/", &to).await.unwrap();
    assert_eq!((restored.files, restored.bytes), (2, 10_004));
    assert_eq!(to.metadata().unwrap().mode() & 0o7777, 0o750);
    let to = world.path("whole");
    reader.restore(&root, b"", &to).await.unwrap();
    let link = fs::read_link(to.join("link")).unwrap().into_os_string().into_vec();
    assert_eq!(link, b"sub/../nowhere \xfe");
}

#[tokio::test]
async fn differences_are_told() {
    for restic in restics() {
        let world = World::new();
        let source = world.path("source");
        odd_folder(&source);
        world.restic_ok(&restic, &["init"]);
        world.restic_ok(&restic, &["backup", source.to_str().unwrap()]);
        fs::write(source.join("many/7"), b"changed").unwrap();
        fs::write(source.join("many/new"), b"new").unwrap();
        fs::remove_file(source.join("soft")).unwrap();
        world.restic_ok(&restic, &["backup", source.to_str().unwrap()]);
        let repository = world.open().await;
        let snapshots = repository.snapshots().await.unwrap();
        let reader = Reader::open(&repository).await.unwrap();
        let mut told = Vec::new();
        reader
            .diff(&snapshots[0].1.tree, &snapshots[1].1.tree, |difference| {
                let name = difference.path.rsplit(|b| *b == b'/').next().unwrap().to_vec();
                let kind = match (difference.before, difference.after) {
                    (None, _) => "+",
                    (_, None) => "-",
                    _ => "~",
                };
                told.push(format!("{kind}{}", String::from_utf8(name).unwrap()));
            })
            .await
            .unwrap();
        told.sort();
        assert_eq!(told, ["+new", "-soft", "~7"]);
    }
}
