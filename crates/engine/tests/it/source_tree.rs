//! Trees of files that share what did not change: by the real rsync, on this machine and over
//! OpenSSH's own server.

use std::{
    collections::BTreeMap,
    fs::{File, FileTimes},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use engine::{AppDraft, BindingDraft, DestinationDraft, EngineConfig, EngineError, RunRequest};
use model::{CopyState, FailureCode, RunState, Snapshot};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    source_files::{allowing, extracted, files, inside, untarred},
    source_files_basis::{btrfs, ours},
    sshd,
    tree::{self, Facts},
    world::{World, local, open},
};

const TEMPLATE: &str = "{app}_{YYYYMMDD_HHMMSS}_{run}";

/// OpenSSH's server with a folder of its own, ended with its owner.
struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    async fn start() -> Option<Self> {
        let program = sshd::program()?;
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = sshd::command(&program, folder.path(), port);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, folder, port };
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("sshd did not start");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Its folder `path` as a destination.
    fn destination(&self, path: &Path) -> DestinationDraft {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        let settings = [
            ("path", path.display().to_string()),
            ("host", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("username", user),
            ("host_key", self.read("host.pub")),
        ];
        DestinationDraft {
            settings: settings.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).into(),
            secrets: BTreeMap::from([("private_key".to_owned(), self.read("user").into())]),
            ..trees(path)
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A destination of trees on this machine.
pub(crate) fn trees(path: &Path) -> DestinationDraft {
    DestinationDraft { kind: "tree".to_owned(), ..local("trees", path) }
}

fn app(source: &Path, destinations: &[&str]) -> AppDraft {
    AppDraft {
        name: "files".to_owned(),
        sources: vec![files(source, &[])],
        destinations: destinations
            .iter()
            .map(|name| BindingDraft {
                destination: (*name).to_owned(),
                folder: "apps/shop".to_owned(),
                template: Some(TEMPLATE.to_owned()),
                ..BindingDraft::default()
            })
            .collect(),
        ..AppDraft::default()
    }
}

/// A world whose app keeps trees of `source` at `destination`; `None` where rsync is missing.
pub(crate) async fn world(
    source: &Path,
    destination: DestinationDraft,
    config: EngineConfig,
) -> Option<World> {
    if !tree::has("rsync") {
        return None;
    }
    let mut world = World::reading(vec![files(source, &[])], config).await;
    world.engine.add_destination(destination).await.unwrap();
    world.app = world.engine.register_app(app(source, &["trees"])).await.unwrap();
    Some(world)
}

/// A world on this machine, and the folder where trees lie.
async fn here(source: &Path) -> Option<(World, TempDir)> {
    let disk = tempfile::tempdir().unwrap();
    let world = world(source, trees(disk.path()), allowing(&[source])).await?;
    Some((world, disk))
}

/// Where the snapshot's tree has what is at `source`.
fn kept(disk: &Path, snapshot: &Snapshot, source: &Path) -> PathBuf {
    let tree = snapshot.copies[0].objects[0].tree.as_ref().unwrap();
    disk.join(tree).join(source.strip_prefix("/").unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn verified(world: &World, snapshot: &Snapshot) -> (CopyState, String) {
    let run = world.engine.verify_now(snapshot.id, None).await.unwrap();
    let run = world.ended(&run).await;
    let why = run.failure.map(|failure| failure.message).unwrap_or_default();
    (world.state(snapshot).await, why)
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

/// Changes bytes and nothing that can be seen without reading them.
fn rot(path: &Path) {
    let meta = path.metadata().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    // In place: the file is still one with its other names.
    std::fs::write(path, bytes).unwrap();
    let times = FileTimes::new().set_modified(meta.modified().unwrap());
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

/// The program `rsync` of a folder that comes first on the path; `before` and `after` the real one
/// it does something.
fn instead_of_rsync(config: &mut EngineConfig, folder: &Path, before: &str, after: &str) {
    let path = folder.join("rsync");
    let script = format!("#!/bin/sh\n{before}\n/usr/bin/rsync \"$@\" || exit\n{after}\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, value) in &mut config.child_env {
        if name == "PATH" {
            let mut first = folder.as_os_str().to_owned();
            first.push(":");
            first.push(&*value);
            *value = first;
        }
    }
}

/// The tree is listed by its listing, and a file or a folder taken out of it is what it was.
async fn looked_into(world: &World, snapshot: &Snapshot, source: &Path, kept: &Path) {
    use futures::TryStreamExt as _;
    let base = source.to_str().unwrap().trim_start_matches('/');
    let engine = &world.engine;
    let mut left = 200;
    while engine.index_under_way(snapshot.id, "files").await.unwrap().is_some() {
        left -= 1;
        assert!(left > 0, "the index is not made");
    }
    let listing = engine.browse(snapshot.id, "files", base, None).await.unwrap();
    let file = listing.entries.iter().find(|one| one.kind == engine::EntryKind::File).unwrap();
    let expected = std::fs::read(Path::new("/").join(&file.path)).unwrap();
    assert_eq!(file.size_bytes, expected.len() as u64, "{file:?}");
    let stream = engine.read_path(snapshot.id, "files", &file.path).await.unwrap();
    let read = stream.map_ok(|chunk| chunk.to_vec()).try_concat().await.unwrap();
    assert!(read == expected, "{file:?}");
    for part in ["", "deep"] {
        let path = format!("{base}/{part}");
        let stream = engine.read_path(snapshot.id, "files", &path).await.unwrap();
        assert_eq!(Path::new(&stream.file_name).extension().unwrap(), "tar");
        assert!(stream.size_bytes.is_none(), "nobody knows how long it will be");
        let tar = stream.map_ok(|chunk| chunk.to_vec()).try_concat().await.unwrap();
        let out = untarred(&tar);
        let taken = tree::facts(&inside(&out, &source.join(part)));
        let there = tree::facts(&kept.join(part));
        assert!(taken.len() > 1 && taken.keys().eq(there.keys()), "{part}: {:?}", taken.keys());
        for (name, facts) in there {
            // A file whose other names are not in this part has one name here.
            let first = taken[&name].first.clone();
            assert!(part.is_empty() || first.is_none(), "{}", name.display());
            let facts = if part.is_empty() { facts } else { Facts { first, ..facts } };
            assert_eq!(taken[&name], facts, "{part}: {}", name.display());
        }
    }
    let missing = engine.read_path(snapshot.id, "files", "no/such").await.err().unwrap();
    assert!(matches!(missing, EngineError::NotFound { .. }), "{missing}");
}

/// What holds wherever trees lie.
async fn flow(world: &World, source: &Path, disk: &Path) {
    let first = world.good_snapshot().await;
    assert_eq!(first.artifacts[0].format.as_deref(), Some("file-tree"));
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    let one = kept(disk, &first, source);
    let (expected, found) = (tree::facts(source), tree::facts(&one));
    assert!(found.keys().eq(expected.keys()), "{:?}\n{:?}", found.keys(), expected.keys());
    for (name, facts) in &expected {
        assert_eq!(&found[name], facts, "{}", name.display());
    }
    let out = extracted(world, &first).await;
    let restored = tree::facts(&inside(&out, source));
    assert!(restored.keys().eq(expected.keys()));
    for (name, facts) in &expected {
        assert_eq!(&restored[name], facts, "restored {}", name.display());
    }
    assert_eq!(verified(world, &first).await, (CopyState::Good, String::new()));

    std::fs::write(source.join("large"), "another").unwrap();
    std::fs::write(source.join("new"), "new").unwrap();
    std::fs::remove_file(source.join("empty")).unwrap();
    looked_into(world, &first, source, &one).await;
    let second = world.good_snapshot().await;
    let two = kept(disk, &second, source);
    assert_ne!(one, two);
    let now = tree::facts(source);
    let found = tree::facts(&two);
    assert!(found.keys().eq(now.keys()));
    assert_eq!(found[Path::new("large")].content, now[Path::new("large")].content);
    assert!(one.join("empty").exists() && !one.join("new").exists());
    assert_eq!(std::fs::read(one.join("large")).unwrap().len(), 700_010);
    for name in ["-rf", "line\nend", "#hash", ";semicolon", "secret", "holes"] {
        assert_eq!(inode(&one.join(name)), inode(&two.join(name)), "{name} is not shared");
    }
    assert_ne!(inode(&one.join("large")), inode(&two.join("large")));
    assert_eq!(inode(&two.join("ñ ☂ 漢字")), inode(&two.join("deep/same")));
    for snapshot in [&first, &second] {
        assert_eq!(verified(world, snapshot).await, (CopyState::Good, String::new()));
    }
    let lies: Vec<_> = names(&disk.join("apps/shop"));
    assert_eq!(lies.len(), 6, "two trees, listings and manifests: {lies:?}");
    assert!(world.engine.sweep_all().await.is_ok());
}

fn everything(root: &Path) {
    tree::make(root);
    tree::make_more(root);
    for name in ["#hash", ";semicolon", "--delete", "*", "$(id)"] {
        std::fs::write(root.join(name), name).unwrap();
    }
    symlink("/etc/shadow", root.join("leads out")).unwrap();
    xattr::set(root.join("secret"), "user.comment", b"kept").unwrap();
}

#[tokio::test]
async fn a_tree_is_as_its_source_and_shares_what_did_not_change() {
    let source = tempfile::tempdir().unwrap();
    everything(source.path());
    let Some((world, disk)) = here(source.path()).await else { return };
    flow(&world, source.path(), disk.path()).await;
}

#[tokio::test]
async fn over_ssh_it_is_the_same() {
    let source = tempfile::tempdir().unwrap();
    everything(source.path());
    let Some(server) = Server::start().await else { return };
    let disk = server.folder.path().join("served with space");
    let config = allowing(&[source.path()]);
    let destination = server.destination(&disk);
    let Some(world) = world(source.path(), destination, config).await else { return };
    flow(&world, source.path(), &disk).await;
    let known = world.engine.catalog().destination_by_name("trees").await.unwrap();
    let report = world.engine.doctor_destination(&known).await.unwrap();
    assert!(report.is_well(), "{report:?}");

    let gone = world.expired_to_one().await;
    assert_eq!(gone, 1);
    assert_eq!(names(&disk.join("apps/shop")).len(), 3);
}

/// What is read from a snapshot lies under the names it is known by, each path shared by itself.
#[tokio::test]
async fn a_snapshot_of_a_file_system_becomes_a_tree() {
    let (Some(disk), true) = (btrfs(), tree::has("rsync")) else { return };
    let data = disk.at("data");
    std::fs::create_dir_all(data.join("deep/folder/below")).unwrap();
    for name in ["deep/folder/a", "deep/folder/below/b", "deep/single", "deep/other"] {
        std::fs::write(data.join(name), name).unwrap();
    }
    let both = format!("{0}/deep/folder,{0}/deep/single", data.display());
    let source = files(Path::new(&both), &[("snapshot", "btrfs")]);
    let place = tempfile::tempdir().unwrap();
    let destination = trees(place.path());
    let Some(mut world) = world(&data, destination, allowing(&[&data])).await else { return };
    let draft =
        AppDraft { name: "two".to_owned(), sources: vec![source], ..app(&data, &["trees"]) };
    world.app = world.engine.register_app(draft).await.unwrap();
    let first = world.good_snapshot().await;
    std::fs::write(data.join("deep/folder/a"), "changed").unwrap();
    let second = world.good_snapshot().await;
    assert_eq!(ours(&data), Vec::<PathBuf>::new());
    let at = |snapshot: &Snapshot, name: &str| kept(place.path(), snapshot, &data).join(name);
    for name in ["deep/folder/below/b", "deep/single"] {
        assert_eq!(std::fs::read(at(&second, name)).unwrap(), name.as_bytes());
        assert_eq!(inode(&at(&first, name)), inode(&at(&second, name)), "{name}");
    }
    assert_eq!(std::fs::read(at(&second, "deep/folder/a")).unwrap(), b"changed");
    assert!(!at(&second, "deep/other").exists());
    for snapshot in [&first, &second] {
        assert_eq!(verified(&world, snapshot).await, (CopyState::Good, String::new()));
    }
    let out = extracted(&world, &first).await;
    assert_eq!(std::fs::read(inside(&out, &data).join("deep/folder/a")).unwrap(), b"deep/folder/a");
}

#[tokio::test]
async fn another_server_gets_nothing() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "secret").unwrap();
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    let disk = server.folder.path().join("served");
    let mut destination = server.destination(&disk);
    destination.settings.insert("host_key".to_owned(), other.read("host.pub").trim().to_owned());
    let config = allowing(&[source.path()]);
    let Some(world) = world(source.path(), destination, config).await else { return };
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("Host key verification failed"), "{failure:?}");
    assert!(!disk.exists());
    assert!(!world.everything_told().await.contains("PRIVATE KEY"));

    let mut fingerprint = server.destination(&disk);
    fingerprint.name = "more".to_owned();
    fingerprint.settings.insert("host_key".to_owned(), format!("SHA256:{}", "A".repeat(43)));
    let refused = world.engine.add_destination(fingerprint).await.unwrap_err();
    assert!(refused.to_string().contains("ssh-keyscan"), "{refused}");
}

/// Files that are one share damage too: both trees are found damaged, and the next shares nothing.
#[tokio::test]
async fn damage_is_found() {
    let source = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::write(source.path().join(name), name).unwrap();
    }
    std::fs::create_dir(source.path().join("folder")).unwrap();
    std::fs::write(source.path().join("folder/c"), "c").unwrap();
    let Some((world, disk)) = here(source.path()).await else { return };
    let first = world.good_snapshot().await;
    let second = world.good_snapshot().await;
    let at =
        |snapshot: &Snapshot, name: &str| kept(disk.path(), snapshot, source.path()).join(name);
    rot(&at(&first, "a"));
    for snapshot in [&first, &second] {
        let (state, why) = verified(&world, snapshot).await;
        assert_eq!(state, CopyState::Damaged);
        assert!(why.contains("its bytes are others"), "{why}");
    }
    let restored = world.engine.read_artifact(&second, "files", None).await;
    assert!(matches!(restored, Err(EngineError::Damaged(_))));

    let third = world.good_snapshot().await;
    assert_eq!(std::fs::read(at(&third, "a")).unwrap(), b"a");
    assert_ne!(inode(&at(&third, "b")), inode(&at(&second, "b")));
    assert_eq!(verified(&world, &third).await.0, CopyState::Good);

    // A part is proven by itself: the rest of the tree does not matter to it.
    let base = source.path().to_str().unwrap().trim_start_matches('/').to_owned();
    let folder = at(&third, "folder");
    let part = format!("{base}/folder");
    rot(&at(&third, "b"));
    assert!(world.engine.read_path(third.id, "files", &part).await.is_ok());
    std::fs::write(folder.join("more"), "x").unwrap();
    for path in [&part, &base] {
        let refused = world.engine.read_path(third.id, "files", path).await.err().unwrap();
        assert!(refused.to_string().contains("too many"), "{refused}");
    }
    std::fs::remove_file(folder.join("more")).unwrap();
    rot(&at(&third, "b"));

    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("c"), "c").unwrap();
    let harms: [(&str, &dyn Fn()); 5] = [
        ("too many", &|| std::fs::write(folder.join("more"), "x").unwrap()),
        ("is not there", &|| std::fs::remove_file(folder.join("c")).unwrap()),
        ("another kind", &|| {
            std::fs::remove_dir_all(&folder).unwrap();
            symlink(elsewhere.path(), &folder).unwrap();
        }),
        ("permissions", &|| {
            let mode = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(at(&third, "a"), mode).unwrap();
        }),
        ("not there", &|| {
            let tree = disk.path().join(third.copies[0].objects[0].tree.as_ref().unwrap());
            std::fs::rename(tree, disk.path().join("moved")).unwrap();
        }),
    ];
    for (told, harm) in harms {
        harm();
        let (state, why) = verified(&world, &third).await;
        let expected = if told == "not there" { CopyState::Missing } else { CopyState::Damaged };
        assert_eq!(state, expected, "{told}: {why}");
        assert!(why.contains(told), "{told}: {why}");
    }
}

#[tokio::test]
async fn retention_removes_one_tree_and_nothing_else() {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("shut")).unwrap();
    std::fs::write(source.path().join("shut/file"), "stays").unwrap();
    let mode = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(source.path().join("shut"), mode).unwrap();
    let Some((world, disk)) = here(source.path()).await else { return };
    let first = world.good_snapshot().await;
    let second = world.good_snapshot().await;
    let folder = disk.path().join("apps/shop");
    let foreign = ["theirs.tree", "theirs.tree.partial", "theirs.tree.expiring", "theirs"];
    for name in foreign {
        std::fs::create_dir(folder.join(name)).unwrap();
        // What looks like an unfinished upload of ours is none in somebody's tree.
        std::fs::write(folder.join(name).join(".bo-0123456789abcdef-x.partial"), "x").unwrap();
    }
    // A link in a tree leads nowhere for whoever removes it.
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "outside").unwrap();
    symlink(outside.path(), kept(disk.path(), &first, source.path()).join("shut/link")).unwrap();

    assert_eq!(world.expired_to_one().await, 1);
    assert_eq!(
        world.states(&[first.clone(), second.clone()]).await,
        [CopyState::Expired, CopyState::Good]
    );
    assert!(!disk.path().join(first.copies[0].objects[0].tree.as_ref().unwrap()).exists());
    assert_eq!(verified(&world, &second).await.0, CopyState::Good);
    assert_eq!(std::fs::read(outside.path().join("file")).unwrap(), b"outside");
    let lies = names(&folder);
    assert_eq!(lies.len(), 3 + foreign.len(), "{lies:?}");
    for name in foreign {
        assert_eq!(names(&folder.join(name)).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_changes_meanwhile_is_told_and_the_tree_is_valid() {
    if !tree::has("rsync") {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name).display().to_string();
    for name in ["grows", "vanishes", "stays", "turns"] {
        std::fs::write(at(name), name).unwrap();
    }
    let programs = tempfile::tempdir().unwrap();
    let mut config = allowing(&[source.path()]);
    let before = format!("printf more >> {}; rm {}", at("grows"), at("vanishes"));
    let turned = at("turns");
    instead_of_rsync(&mut config, programs.path(), &before, "");
    let disk = tempfile::tempdir().unwrap();
    let world = world(source.path(), trees(disk.path()), config).await.unwrap();
    let snapshot = world.good_snapshot().await;
    let warnings = snapshot.warnings.join("\n");
    assert!(warnings.contains("grows\": it changed while it was read"), "{warnings}");
    assert!(warnings.contains("vanishes\": it was gone"), "{warnings}");
    let folder = kept(disk.path(), &snapshot, source.path());
    assert_eq!(std::fs::read(folder.join("grows")).unwrap(), b"growsmore");
    assert_eq!(verified(&world, &snapshot).await, (CopyState::Good, String::new()));

    // Same size and time as before, other bytes: what rsync brought is not what is there.
    let wrong = format!(
        "touch -r {turned} /tmp/.$$; printf TURNS > {turned}; touch -r /tmp/.$$ {turned}; rm /tmp/.$$"
    );
    let script = format!("#!/bin/sh\n/usr/bin/rsync \"$@\" || exit\n{wrong}\n");
    std::fs::write(programs.path().join("rsync"), script).unwrap();
    // New, so that its bytes are compared.
    std::fs::write(&turned, "turns").unwrap();
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::DestinationMismatch, "{failure:?}");
    world.wait_out_leftovers().await;
    assert_eq!(names(&disk.path().join("apps/shop")).len(), 3);
}

/// Killed or cancelled while rsync is at work, it leaves a folder that is no tree by name, and
/// that goes.
#[tokio::test]
async fn what_a_killed_run_leaves_is_removed() {
    if !tree::has("rsync") {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "text").unwrap();
    let disk = tempfile::tempdir().unwrap();
    let programs = tempfile::tempdir().unwrap();
    let mut config = allowing(&[source.path()]);
    config.retries = 1;
    let usual = config.clone();
    instead_of_rsync(&mut config, programs.path(), "", "sleep 600");
    let world = world(source.path(), trees(disk.path()), config.clone()).await.unwrap();
    let folder = disk.path().join("apps/shop");
    let begun = || async {
        for _ in 0..1_000 {
            if let [one] = &names(&folder)[..]
                && one.ends_with(".tree.partial")
                && kept_file(&folder.join(one), source.path()).exists()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no tree was begun: {:?}", names(&folder));
    };

    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    begun().await;
    world.engine.cancel(run.id).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Cancelled);
    world.wait_out_leftovers().await;
    assert!(names(&folder).is_empty(), "{:?}", names(&folder));

    world.stop();
    let doomed =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let place = world.folder.path().to_owned();
    config.spool = place.join("spool");
    doomed.spawn(async move {
        let engine = open(&place, config, Arc::new(engine::SystemClock)).await;
        engine.serve(CancellationToken::new()).await;
    });
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    begun().await;
    doomed.shutdown_background();

    let spool = world.folder.path().join("spool");
    let config = EngineConfig { spool: spool.clone(), ..usual };
    let next = open(world.folder.path(), config, Arc::new(engine::SystemClock)).await;
    next.take_over_at_start().await.unwrap();
    let (serving, shutdown) = (next.clone(), CancellationToken::new());
    let until = shutdown.clone();
    tokio::spawn(async move { serving.serve(until).await });
    assert_eq!(world.ended(&run).await.state, RunState::Interrupted);
    world.quiet().await;
    world.wait_out_leftovers().await;
    let lies = names(&folder);
    assert_eq!(lies.len(), 3, "the retried run's tree, listing and manifest: {lies:?}");
    assert!(
        lies.iter().any(|name| Path::new(name).extension().is_some_and(|end| end == "tree")),
        "{lies:?}"
    );
    assert!(names(&spool).is_empty(), "{:?}", names(&spool));
    shutdown.cancel();
}

fn kept_file(partial: &Path, source: &Path) -> PathBuf {
    partial.join(source.strip_prefix("/").unwrap()).join("file")
}

#[tokio::test]
async fn a_tree_is_the_only_copy_of_its_app() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "text").unwrap();
    let Some((world, _disk)) = here(source.path()).await else { return };
    let both = AppDraft { name: "both".to_owned(), ..app(source.path(), &["trees", "disk"]) };
    let refused = world.engine.register_app(both).await.unwrap_err();
    assert!(refused.to_string().contains("only one"), "{refused}");
    let snapshot = world.good_snapshot().await;
    let to = world.engine.catalog().destination_by_name("disk").await.unwrap().id;
    let run = world.engine.copy_now(snapshot.id, to).await.unwrap();
    let failure = world.ended(&run).await.failure.unwrap();
    assert!(failure.message.contains("is not copied"), "{failure:?}");

    // What is no file of the host is an ordinary object there.
    let draft = AppDraft {
        name: "served".to_owned(),
        url: world.server.url(),
        token: Some(crate::world::TOKEN.into()),
        destinations: app(source.path(), &["trees"]).destinations,
        ..AppDraft::default()
    };
    let served = world.engine.register_app(draft).await.unwrap();
    let run = world.engine.run_now(&served, &RunRequest::default()).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert!(snapshot.copies[0].objects[0].tree.is_none());
    assert_eq!(world.restored(&snapshot).await, crate::world::sample(1));
}
