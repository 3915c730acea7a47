//! Tars as objects: files for restic, and the same bytes for us.

use std::{
    fs, os::unix::fs::MetadataExt as _, path::Path, process::Command, sync::Arc, time::Duration,
};

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use repository::{
    BlobKind, CheckOptions, LockKind, Objects, ObjectsOptions, PruneOptions, ReadData, Reader,
    Repository, Version, write::WriteOptions,
};
use store::{Key, Memory, Store as _};

use crate::{
    conformance::{get, put},
    folders::{described, source},
    objects::options,
    script::Ask,
    servers::S3Server,
    streams::sample,
    tars::{Format, Item, tar_of, tars},
    world::{World, init_at, open_at, restics},
    writer::noise,
};

async fn in_memory() -> Objects {
    Objects::new(init_at(Arc::new(Memory::default()), Version::V2).await, options())
}

async fn read(objects: &Objects, name: &str, from: usize, to: usize) -> Vec<u8> {
    let range = Some(from as u64..to as u64);
    let read = objects.read(&Key::new(name).unwrap(), range).await.unwrap();
    let read: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(read).await.unwrap();
    read.concat()
}

/// Every byte of a repository is read.
async fn check(repository: &Repository) {
    let lock = repository.lock(LockKind::Shared).await.unwrap();
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let checked = repository.check(&options).await.unwrap();
    assert!(checked.is_whole(), "{:?}", checked.problems);
    lock.release().await.unwrap();
}

/// The paths in the folder of an object.
async fn listed(objects: &Objects, name: &str) -> Vec<String> {
    let (_, snapshot) = snapshot_of(objects, name).await;
    let reader = Reader::open(objects.repository()).await.unwrap();
    let found = reader.find(&snapshot.tree, |_, _| true, 1000).await.unwrap();
    let begin = format!("{name}/");
    let paths = found.into_iter().map(|(path, _)| String::from_utf8_lossy(&path).into_owned());
    paths.filter_map(|path| path.strip_prefix(&begin).map(str::to_owned)).collect()
}

async fn snapshot_of(objects: &Objects, name: &str) -> (repository::Id, repository::Snapshot) {
    let all = objects.repository().snapshots().await.unwrap();
    all.into_iter().find(|(_, snapshot)| snapshot.paths == [format!("/{name}")]).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_tar_comes_back_byte_for_byte(tar in tars(), a in any::<u16>(), b in any::<u16>()) {
        runtime().block_on(async {
            let objects = in_memory().await;
            put(&objects, "app/volume.tar", &tar).await.unwrap();
            assert!(get(&objects, "app/volume.tar").await.unwrap() == tar);
            let meta = objects.stat(&Key::new("app/volume.tar").unwrap()).await.unwrap();
            assert_eq!(meta.size_bytes, tar.len() as u64);
            let (a, b) = (usize::from(a) % tar.len(), usize::from(b) % tar.len());
            let (from, to) = (a.min(b), a.max(b) + 1);
            assert!(read(&objects, "app/volume.tar", from, to).await == tar[from..to]);
            objects.rest().await;
            check(objects.repository()).await;
            // Nothing of it goes when what nobody needs is deleted.
            prune(&objects).await;
            assert!(get(&objects, "app/volume.tar").await.unwrap() == tar);
        });
    }
}

/// Deletes at once what no snapshot needs.
async fn prune(objects: &Objects) {
    let alone = objects.alone().await.unwrap();
    let options = PruneOptions { grace: jiff::SignedDuration::ZERO, ..PruneOptions::default() };
    for _ in 0..2 {
        objects.repository().prune(alone.lock(), &options).await.unwrap();
    }
    alone.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn scattered_changes_of_a_relation_file_cost_their_pages() {
    let objects = in_memory().await;
    let path = "base/5/16384";
    let mut pages = noise(7, 4 << 20);
    let mut kept = Vec::new();
    for name in ["app/one.tar", "app/two.tar"] {
        put(&objects, name, &tar_of(&[Item::file(path, &pages)])).await.unwrap();
        let (_, snapshot) = snapshot_of(&objects, name).await;
        let reader = Reader::open(objects.repository()).await.unwrap();
        let found = reader.find(&snapshot.tree, |_, _| true, 1000).await.unwrap();
        let file = found.into_iter().find(|(found, _)| found.ends_with(path.as_bytes())).unwrap();
        kept.push(file.1.content.unwrap());
        for at in (0..pages.len()).step_by(512 << 10) {
            pages[at] ^= 1;
        }
    }
    assert_eq!(kept[0].len(), 128);
    let same = kept[0].iter().zip(&kept[1]).filter(|(one, other)| one == other).count();
    assert_eq!(same, 120, "eight of its pages were changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_finds_nothing_wrong_with_any_of_them() {
    let world = World::new();
    let objects = Objects::new(world.init(Version::V2).await, options());
    let mut runner = TestRunner::deterministic();
    let all: Vec<_> = (0..60).map(|_| tars().new_tree(&mut runner).unwrap().current()).collect();
    for (n, tar) in all.iter().enumerate() {
        put(&objects, &format!("app/{n}.tar"), tar).await.unwrap();
    }
    // A third of them goes: what the others need stays.
    for n in (0..all.len()).step_by(3) {
        objects.delete(&Key::new(&format!("app/{n}.tar")).unwrap()).await.unwrap();
    }
    objects.rest().await;
    for restic in restics() {
        world.restic_ok(&restic, &["prune"]);
        world.restic_ok(&restic, &["check", "--read-data"]);
        let target = world.path("restored");
        let to = target.to_str().unwrap();
        for n in [1, 2, 4, 5] {
            let path = format!("/app/{n}.tar");
            world.restic_ok(&restic, &["restore", "latest", "--path", &path, "--target", to]);
        }
        fs::remove_dir_all(&target).unwrap();
    }
    let again = Objects::new(open_at(world.store().await).await, options());
    for (n, tar) in all.iter().enumerate().filter(|(n, _)| n % 3 != 0) {
        assert!(get(&again, &format!("app/{n}.tar")).await.unwrap() == *tar, "{n}");
    }
}

fn tar_by_gnu(arguments: &[&str], source: &Path) -> Vec<u8> {
    let made =
        Command::new("tar").args(arguments).args(["-cf", "-", "-C"]).arg(source).arg(".").output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

fn untar(tar: &[u8], to: &Path) {
    let file = to.with_extension("tar");
    fs::write(&file, tar).unwrap();
    fs::create_dir(to).unwrap();
    let mut command = Command::new("tar");
    command.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-pxf"]);
    let done = command.arg(&file).arg("-C").arg(to).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Files of every kind, with owners, devices, and names in folders that are far apart.
fn whole_source(world: &World) -> std::path::PathBuf {
    use std::os::unix::fs::{chown, lchown};
    let source = source(world);
    fs::create_dir(source.join("zz")).unwrap();
    fs::hard_link(source.join("many/deep/3"), source.join("zz/third")).unwrap();
    fs::write(source.join("owned"), "by others").unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(source.join("owned"), Some(1234), Some(4321)).unwrap();
        lchown(source.join("link"), Some(77), Some(78)).unwrap();
        chown(source.join("nothing"), Some(999), Some(999)).unwrap();
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o620);
        let device = nix::sys::stat::makedev(1, 3);
        nix::sys::stat::mknod(&source.join("null"), kind, mode, device).unwrap();
    }
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o1770);
    fs::set_permissions(source.join("nothing"), mode).unwrap();
    let holes = fs::File::create(source.join("holes")).unwrap();
    holes.set_len(20 << 20).unwrap();
    for n in 0..30_u64 {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"data", n * 555_555).unwrap();
    }
    fs::File::create(source.join("one hole")).unwrap().set_len(9_000_001).unwrap();
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_restores_what_tar_unpacks() {
    let world = World::new();
    let objects = Objects::new(world.init(Version::V2).await, options());
    let source = whole_source(&world);
    let formats: [&[&str]; 4] = [
        &["--format=pax", "--xattrs"],
        &["--format=gnu"],
        &["--format=ustar"],
        &["--format=gnu", "--sparse"],
    ];
    for (n, format) in formats.iter().enumerate() {
        let tar = tar_by_gnu(format, &source);
        let name = format!("shop/run/{n}.tar");
        put(&objects, &name, &tar).await.unwrap();
        assert!(get(&objects, &name).await.unwrap() == tar);
        untar(&tar, &world.path(&format!("unpacked-{n}")));
    }
    objects.rest().await;
    for restic in restics() {
        world.restic_ok(&restic, &["check", "--read-data"]);
        for n in 0..formats.len() {
            let target = world.path("restored");
            let (to, path) = (target.to_str().unwrap(), format!("/shop/run/{n}.tar"));
            world.restic_ok(&restic, &["restore", "latest", "--path", &path, "--target", to]);
            let restored = target.join(path.strip_prefix('/').unwrap());
            let unpacked = world.path(&format!("unpacked-{n}"));
            assert_eq!(described(&restored), described(&unpacked), "{}", restic.display());
            let meta = |path: &Path| {
                let meta = fs::symlink_metadata(path).unwrap();
                (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.rdev())
            };
            assert_eq!(meta(&restored), meta(&unpacked), "the folder itself");
            for name in ["null", "link", "nothing"] {
                let (one, other) = (restored.join(name), unpacked.join(name));
                if other.symlink_metadata().is_ok() {
                    assert_eq!(meta(&one), meta(&other), "{name}");
                }
            }
            fs::remove_dir_all(&target).unwrap();
        }
        // One file alone, by stock restic.
        let listed = world.restic_ok(&restic, &["ls", "latest", "--path", "/shop/run/0.tar"]);
        assert!(listed.contains("/shop/run/0.tar/many/deep/7\n"), "{listed}");
        let file = "/shop/run/0.tar/owned";
        let dumped =
            world.restic_ok(&restic, &["dump", "latest", "--path", "/shop/run/0.tar", file]);
        assert_eq!(dumped, "by others");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_a_name_is_in_the_tree_and_the_others_are_kept() {
    let world = World::new();
    let objects = Objects::new(world.init(Version::V2).await, options());
    let link = |name: &str, target: &str| Item::of(b'1', name, target);
    let items = [
        Item::file("a/file", &noise(1, 50_000)),
        Item::file("b", &noise(2, 600)),
        Item::of(b'5', "c/", ""),
        Item::file("a/file", &noise(3, 60_000)),
        link("d", "a/file"),
        link("e", "nowhere"),
        Item::of(b'2', "f", "a"),
        Item::file("f/through", &noise(4, 30_000)),
        Item::file("../out", &noise(5, 30_000)),
        Item { format: Format::Pax, ..Item::file("c", b"a file where a folder was empty") },
        Item::file("a", &noise(6, 30_000)),
        Item { kind: b'S', ..Item::file("sparse", &noise(7, 30_000)) },
        Item::of(b'5', "a", ""),
    ];
    let tar = tar_of(&items);
    put(&objects, "x.tar", &tar).await.unwrap();
    put(&objects, "other.tar", &tar_of(&items[..5])).await.unwrap();
    assert_eq!(listed(&objects, "x.tar").await, ["a", "a/file", "b", "c", "d", "f"]);
    objects.delete(&Key::new("other.tar").unwrap()).await.unwrap();
    prune(&objects).await;
    check(objects.repository()).await;
    let again = Objects::new(open_at(world.store().await).await, options());
    assert!(get(&again, "x.tar").await.unwrap() == tar);
    again.rest().await;
    for restic in restics() {
        world.restic_ok(&restic, &["prune"]);
        world.restic_ok(&restic, &["check", "--read-data"]);
        let dumped = world.restic(&restic, &["dump", "latest", "/x.tar/a/file"]);
        assert!(dumped.stdout == noise(3, 60_000));
        world.restic_ok(&restic, &["tag", "--add", "kept"]);
    }
    let again = Objects::new(open_at(world.store().await).await, options());
    assert!(get(&again, "x.tar").await.unwrap() == tar);
    // restic 0.14 drops the size when it rewrites a snapshot.
    let meta = again.stat(&Key::new("x.tar").unwrap()).await.unwrap();
    assert_eq!(meta.size_bytes, tar.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_over_long_ago_is_kept_in_the_tar_only() {
    let objects = in_memory().await;
    let mut items = vec![Item::file("0/first", b"linked to later")];
    items.extend((0..70_000).map(|n| Item::file(&format!("{}/{n}", n / 500), b"")));
    items.push(Item::of(b'1', "zz/link", "0/first"));
    items.push(Item::file("0/late", &noise(1, 20_000)));
    items.push(Item::file("zz/last", b"in time"));
    let tar = tar_of(&items);
    put(&objects, "many.tar", &tar).await.unwrap();
    assert!(get(&objects, "many.tar").await.unwrap() == tar);
    let far = tar.len() - 40_000;
    assert!(read(&objects, "many.tar", far, far + 30_000).await == tar[far..far + 30_000]);
    let (_, snapshot) = snapshot_of(&objects, "many.tar").await;
    let reader = Reader::open(objects.repository()).await.unwrap();
    let node = |path: &'static str| {
        let (reader, tree) = (reader.clone(), snapshot.tree);
        async move { reader.resolve(&tree, path.as_bytes()).await }
    };
    assert!(node("many.tar/0/late").await.is_err());
    let first = node("many.tar/0/first").await.unwrap();
    let repository::Found::Node(link) = node("many.tar/zz/link").await.unwrap() else { panic!() };
    let repository::Found::Node(first) = first else { panic!() };
    assert_eq!(first.content, link.content);
    assert_eq!(reader.folder(&snapshot.tree, b"many.tar/139").await.unwrap().len(), 500);
    objects.rest().await;
    prune(&objects).await;
    assert!(get(&objects, "many.tar").await.unwrap() == tar);
    check(objects.repository()).await;
}

/// Many small files, and one of so many blobs that its list of them is cut.
fn large() -> Vec<u8> {
    let mut items: Vec<_> = (0..12_000_usize)
        .map(|n| Item::file(&format!("data/{:02}/{n}", n / 300), &n.to_le_bytes().repeat(n % 90)))
        .collect();
    items.insert(9_000, Item::file("large", &noise(3, 3 << 20)));
    tar_of(&items)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_of_a_large_tar_is_that_part_of_it() {
    let objects = in_memory().await;
    let tar = large();
    put(&objects, "large.tar", &tar).await.unwrap();
    let (_, snapshot) = snapshot_of(&objects, "large.tar").await;
    let reader = Reader::open(objects.repository()).await.unwrap();
    let found = reader.resolve(&snapshot.tree, b"large.tar.offsets").await.unwrap();
    let repository::Found::Node(offsets) = found else { panic!() };
    assert!(offsets.size > 100 && offsets.size < 20_000, "{}", offsets.size);
    let mut runner = TestRunner::deterministic();
    let places = (0..tar.len(), prop_oneof![1..600_usize, 1..200_000_usize, Just(usize::MAX)]);
    let mut ranges: Vec<_> =
        (0..80).map(|_| places.new_tree(&mut runner).unwrap().current()).collect();
    ranges.extend([(1, 1), (511, 2), (tar.len() - 1, 1), (tar.len() - 1, 5), (tar.len(), 9)]);
    for (from, length) in ranges {
        let to = from.saturating_add(length);
        let part = &tar[from..to.min(tar.len())];
        assert!(read(&objects, "large.tar", from, to).await == part, "{from}..{to}");
    }
    objects.rest().await;
    prune(&objects).await;
    check(objects.repository()).await;
    let far = tar.len() - 9_000;
    assert!(read(&objects, "large.tar", far, far + 600).await == tar[far..far + 600]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_large_tar_is_read_without_what_is_before_it() {
    let server = S3Server::start().await;
    let store = server.store("r").await;
    let repository = init_at(store.clone(), Version::V2).await;
    let small = ObjectsOptions {
        write: WriteOptions { pack_bytes: 64 << 10, ..options().write },
        ..options()
    };
    let tar = large();
    put(&Objects::new(repository, small), "large.tar", &tar).await.unwrap();
    let asked = |from: usize, length: usize| {
        let (store, server, tar) = (store.clone(), &server, &tar);
        async move {
            let objects = Objects::new(open_at(store).await, options());
            // What is read once: the list of snapshots, and the index.
            read(&objects, "large.tar", 0, 1).await;
            let before = server.script.asked(Ask::Get).len();
            assert!(
                read(&objects, "large.tar", from, from + length).await == tar[from..][..length]
            );
            server.script.asked(Ask::Get).len() - before
        }
    };
    let end = asked(tar.len() - 20_000, 600).await;
    let all = asked(0, tar.len()).await;
    assert!(end * 3 < all, "{end} requests for the end, {all} for everything");
}

/// What a second tar adds, in bytes, when one file of a hundred changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_change_costs_little() {
    let objects = in_memory().await;
    let mut items: Vec<_> = (0..4_000_usize)
        .map(|n| {
            let seed = u8::try_from(n % 251).unwrap();
            let content = [&n.to_le_bytes()[..], &noise(seed, 200 + n % 3_000)].concat();
            Item::file(&format!("data/{:02}/file-{n}.bin", n / 50), &content)
        })
        .collect();
    let mut before = 0;
    let mut grew = Vec::new();
    for name in ["first.tar", "same.tar", "second.tar"] {
        if name == "second.tar" {
            for item in items.iter_mut().step_by(100) {
                item.content[0] ^= 255;
                item.mode ^= 1;
            }
            // One is new, so that everything behind it is elsewhere.
            items.insert(7, Item::file("data/00/new", b"new"));
        }
        put(&objects, name, &tar_of(&items)).await.unwrap();
        objects.rest().await;
        let all = objects.repository().load_index().await.unwrap().index;
        let all = [BlobKind::Data, BlobKind::Tree].map(|kind| all.iter(kind).collect::<Vec<_>>());
        let now: u64 = all.iter().flatten().map(|blob| u64::from(blob.blob.length)).sum();
        grew.push(now - before);
        before = now;
    }
    // The same as a stream, which has something before it that is in no tar.
    let stream = [noise(9, 512), tar_of(&items)].concat();
    put(&objects, "stream", &stream).await.unwrap();
    objects.rest().await;
    let all = objects.repository().load_index().await.unwrap().index;
    let stream: u64 = all.iter(BlobKind::Data).map(|blob| u64::from(blob.blob.length)).sum();
    eprintln!("stored: {grew:?}; {stream} in all, with the last as a stream");
    assert!(grew[1] < 6_000, "{grew:?}");
    assert!(grew[2] < grew[0] / 15, "{grew:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trees_of_two_tars_are_compared() {
    let objects = in_memory().await;
    let mut items: Vec<_> = (0..200)
        .map(|n| Item::file(&format!("{}/{n}", n % 20), n.to_string().as_bytes()))
        .collect();
    put(&objects, "x/files.tar", &tar_of(&items)).await.unwrap();
    items[45].content = b"another".to_vec();
    items.remove(7);
    items.push(Item::file("3/new/deep", b"new"));
    put(&objects, "x/again.tar", &tar_of(&items)).await.unwrap();
    let reader = Reader::open(objects.repository()).await.unwrap();
    let mut trees = Vec::new();
    for name in ["x/files.tar", "x/again.tar"] {
        let (_, snapshot) = snapshot_of(&objects, name).await;
        trees.push(reader.resolve(&snapshot.tree, name.as_bytes()).await.unwrap().tree().unwrap());
    }
    let mut told = Vec::new();
    let each = |one: repository::Difference| {
        let mark = (one.before.is_some(), one.after.is_some());
        told.push((String::from_utf8(one.path).unwrap(), mark));
    };
    reader.diff(&trees[0], &trees[1], each).await.unwrap();
    told.sort();
    let named = |path: &str, before, after| (path.to_owned(), (before, after));
    let expected =
        [named("3/new", false, true), named("5/45", true, true), named("7/7", true, false)];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_finished_leaves_nothing() {
    let objects = in_memory().await;
    let tar = tar_of(&[Item::file("a", &sample(1, 3_000_000))]);
    let mut upload = objects
        .create(&Key::new("x.tar").unwrap(), &store::CreateOptions::default())
        .await
        .unwrap();
    upload.write(tar[..2_000_000].to_vec().into()).await.unwrap();
    upload.abort().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(objects.snapshot_ids().await.unwrap().is_empty());
}
