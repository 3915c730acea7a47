//! Host folders into snapshots, beside stock restic.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use repository::{
    Id, Repository, Version,
    write::{Folder, Statistics, Stored, Wanted},
};

use crate::{
    streams::{begin, options, sample, snapshot},
    world::{World, restics},
};

async fn keep(repository: &Repository, folder: Folder, path: &Path) -> (Id, Stored, Statistics) {
    let (lock, writer) = begin(repository, options()).await;
    let stored = lock.guard(writer.folder(folder)).await.unwrap();
    let written = writer.finish(&lock).await.unwrap();
    let statistics = written.statistics;
    let id = written.commit(&lock, &snapshot(stored.tree, path)).await.unwrap();
    lock.release().await.unwrap();
    (id, stored, statistics)
}

/// Files of every kind, some of them in hundreds.
pub(crate) fn source(world: &World) -> PathBuf {
    let source = world.path("source");
    fs::create_dir_all(source.join("many/deep")).unwrap();
    fs::create_dir(source.join("nothing")).unwrap();
    for n in 0..300_u32 {
        fs::write(source.join(format!("many/deep/{n}")), n.to_string().repeat(1 + n as usize))
            .unwrap();
    }
    fs::write(source.join("large"), sample(1, 6_000_000)).unwrap();
    fs::hard_link(source.join("large"), source.join("many/same")).unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join("ñ <&> \"x\""), "odd").unwrap();
    fs::write(source.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "odder").unwrap();
    symlink("../nowhere", source.join("link")).unwrap();
    nix::unistd::mkfifo(&source.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600))
        .unwrap();
    let mode = fs::Permissions::from_mode(0o6751);
    fs::set_permissions(source.join("many/deep/7"), mode).unwrap();
    if xattr::set(source.join("large"), "user.note", b"kept").is_err() {
        eprintln!("left out: extended attributes, which this file system has not");
    }
    source
}

/// Everything that a restored entry should have again.
pub(crate) fn described(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_file() {
                Id::of(&fs::read(&path).unwrap()).short()
            } else {
                String::new()
            };
            let target = fs::read_link(&path).ok();
            let note = xattr::get(&path, "user.note").ok().flatten();
            all.push(format!(
                "{} {:o} {}:{} {}.{} {} {content} {target:?} {note:?}",
                path.strip_prefix(root).unwrap().display(),
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
                if meta.is_file() { meta.nlink() } else { 0 },
            ));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_restores_a_folder_as_it_was() {
    for restic in restics() {
        let world = World::new();
        let repository = world.init(Version::V2).await;
        let source = source(&world);
        let (id, stored, _) = keep(&repository, Folder::new(&source), &source).await;
        assert_eq!((stored.files, stored.problems.count), (305, 0));
        world.restic_ok(&restic, &["check", "--read-data"]);
        let target = world.path("restored");
        world.restic_ok(&restic, &["restore", &id.to_hex(), "--target", target.to_str().unwrap()]);
        let restored = target.join(source.strip_prefix("/").unwrap());
        assert_eq!(described(&restored), described(&source));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_and_we_find_nothing_new_in_what_the_other_stored() {
    for restic in restics() {
        let world = World::new();
        world.restic_ok(&restic, &["init"]);
        let source = source(&world);
        let path = source.to_str().unwrap();
        world.restic_ok(&restic, &["backup", path]);
        let repository = world.open().await;
        let (_, stored, statistics) = keep(&repository, Folder::new(&source), &source).await;
        assert_eq!(stored.files_unchanged, 0);
        // The folders above change under our eyes; nothing else may differ but how the time zone
        // is written.
        assert!(statistics.bytes_new < 200_000, "{statistics:?}");
        let before = repository.load_index().await.unwrap().index.len(repository::BlobKind::Data);
        world.restic_ok(&restic, &["backup", "--force", path]);
        let after = repository.load_index().await.unwrap().index.len(repository::BlobKind::Data);
        assert_eq!(before, after, "the same files are the same blobs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_read_again() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let source = source(&world);
    let (_, first, _) = keep(&repository, Folder::new(&source), &source).await;
    let (_, same, _) = keep(&repository, Folder::new(&source).parent(first.tree), &source).await;
    assert_eq!((same.files_unchanged, same.bytes_read), (same.files, 0));
    // The same size and the same time, and still not the same file.
    let changed = source.join("many/deep/9");
    let then = fs::metadata(&changed).unwrap().modified().unwrap();
    let content = fs::read(&changed).unwrap();
    fs::write(&changed, content.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    fs::File::options().write(true).open(&changed).unwrap().set_modified(then).unwrap();
    let (id, third, _) = keep(&repository, Folder::new(&source).parent(same.tree), &source).await;
    assert_eq!(third.files_unchanged, third.files - 1);
    assert_eq!(third.bytes_read, content.len() as u64);
    let Some(restic) = restics().pop() else { return };
    let file = changed.to_str().unwrap();
    let dumped = world.restic(&restic, &["dump", &id.to_hex(), file]).stdout;
    assert!(dumped == fs::read(&changed).unwrap());
    world.restic_ok(&restic, &["check", "--read-data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_is_left_out_and_relation_files_are_cut_evenly() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let source = source(&world);
    let folder = Folder::new(&source).decide(|path, is_folder| match path.file_name() {
        Some(name) if name == "deep" && is_folder => Wanted::Not,
        Some(name) if name == "large" => Wanted::Evenly,
        _ => Wanted::Stored,
    });
    let (id, stored, statistics) = keep(&repository, folder, &source).await;
    assert_eq!(stored.files, 5);
    // 184 of `large`, its other name cut by content, and the small ones; folders.
    let blobs = statistics.blobs_new + statistics.blobs_known;
    assert!((184 + 5..220).contains(&blobs), "{statistics:?}");
    for restic in restics() {
        world.restic_ok(&restic, &["check", "--read-data"]);
        let listed = world.restic_ok(&restic, &["ls", &id.to_hex()]);
        assert!(listed.contains("many/same") && !listed.contains("deep"), "{listed}");
    }
}

/// A file that is there and cannot be read, and one of which the size is not told.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_counted_and_told() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let process = PathBuf::from(format!("/proc/{}", std::process::id()));
    let folder = Folder::new(&process).decide(|path, _| match path.file_name() {
        Some(name) if name == "mem" || name == "cmdline" => Wanted::Stored,
        _ => Wanted::Not,
    });
    let (_, stored, _) = keep(&repository, folder, &process).await;
    assert_eq!((stored.files, stored.problems.count), (1, 1), "{stored:?}");
    assert!(stored.problems.told[0].path.ends_with("mem"));
    assert!(stored.bytes_read > 0);
    // A folder that is not there is no empty one.
    let (lock, writer) = begin(&repository, options()).await;
    assert!(writer.folder(Folder::new(&world.path("absent"))).await.is_err());
    assert!(writer.folder(Folder::new(Path::new("relative"))).await.is_err());
    lock.release().await.unwrap();
}
