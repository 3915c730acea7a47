//! Snapshots of file systems as a basis: Btrfs for real, ZFS and LVM for real where this kernel
//! has them, and by what their programs are asked everywhere.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::{EngineConfig, SourceDraft};
use model::{FailureCode, RunState};
use store::{Fault, Faulty, Local, Operation};

use crate::{
    source_files::{allowing, extracted, files, inside, log, noise, slow, waits},
    tree,
    world::{self, World},
};

/// Runs a command of the test itself.
fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {args:?}: {said}");
}

/// A file system in a file, mounted by a loop device; unmounted when dropped.
pub(crate) struct Loop {
    folder: tempfile::TempDir,
}

impl Loop {
    /// `None`, and why, where this kernel cannot.
    fn mount(make: &str, args: &[&str]) -> Option<Self> {
        if !tree::has(make) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        run(make, &[args, &["-q", image.to_str().unwrap()]].concat());
        let at = folder.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at).output();
        let mounted = mounted.unwrap();
        if !mounted.status.success() {
            // No program can be installed for this: the kernel is what it is.
            let why = String::from_utf8_lossy(&mounted.stderr);
            println!("not tried: this machine cannot mount what {make} makes: {why}");
            return None;
        }
        Some(Self { folder })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("disk").join(name)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let at = self.folder.path().join("disk");
        let _ = Command::new("umount").arg("-l").arg(at).stderr(Stdio::null()).status();
    }
}

/// A Btrfs with the subvolume `data`.
pub(crate) fn btrfs() -> Option<Loop> {
    let disk = Loop::mount("mkfs.btrfs", &[])?;
    run("btrfs", &["subvolume", "create", disk.at("data").to_str().unwrap()]);
    Some(disk)
}

/// Everything of ours in a folder.
pub(crate) fn ours(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(".backup-orchestrator-")).collect()
}

/// Two files that somebody writes one after the other, always.
struct Pair {
    goes_on: Arc<AtomicBool>,
    writer: Option<std::thread::JoinHandle<u64>>,
}

impl Pair {
    fn start(folder: &Path) -> Self {
        let (first, second) = (folder.join("a-first"), folder.join("z-second"));
        let goes_on = Arc::new(AtomicBool::new(true));
        let go = Arc::clone(&goes_on);
        for file in [&first, &second] {
            std::fs::write(file, format!("{:08}", 0)).unwrap();
        }
        let write = move || {
            let mut n = 0;
            while go.load(Ordering::Relaxed) {
                n += 1;
                std::fs::write(&first, format!("{n:08}")).unwrap();
                std::fs::write(&second, format!("{n:08}")).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            n
        };
        Self { goes_on, writer: Some(std::thread::spawn(write)) }
    }

    fn stop(&mut self) -> u64 {
        self.goes_on.store(false, Ordering::Relaxed);
        self.writer.take().unwrap().join().unwrap()
    }
}

fn number(file: &Path) -> Option<u64> {
    // A snapshot between truncating and writing has it empty.
    std::fs::read_to_string(file).unwrap().parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_btrfs_snapshot_is_of_one_moment() {
    let Some(disk) = btrfs() else { return };
    let data = disk.at("data");
    let folder = data.join("tree");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("m-large"), noise(24 << 20)).unwrap();
    run("btrfs", &["subvolume", "create", folder.join("own").to_str().unwrap()]);
    std::fs::write(folder.join("own/file"), "of another subvolume").unwrap();
    std::fs::create_dir(folder.join("mounted")).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", folder.join("mounted").to_str().unwrap()]);
    std::fs::write(folder.join("mounted/file"), "of another file system").unwrap();

    // Only the folder is allowed, not the subvolume around it.
    let config = EngineConfig { idle_timeout: Duration::from_secs(20), ..allowing(&[&folder]) };
    let source = files(&folder, &[("snapshot", "btrfs")]);
    let (world, slow_disk) = slow(vec![source], config, Duration::from_secs(2)).await;
    assert!(world.engine.doctor_app(&world.app).await.is_well());
    let mut pair = Pair::start(&folder);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    waits(&slow_disk).await;
    assert_eq!(ours(&data).len(), 1, "there is a snapshot while it is read");
    std::fs::remove_file(folder.join("m-large")).unwrap();
    let ended = world.ended(&started).await;
    let last = pair.stop();
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.failure);

    let snapshot = world.engine.catalog().snapshot(ended.snapshot_id.unwrap()).await.unwrap();
    let out = extracted(&world, &snapshot).await;
    let found = inside(&out, &folder);
    let (first, second) = (number(&found.join("a-first")), number(&found.join("z-second")));
    if let (Some(first), Some(second)) = (first, second) {
        assert!(first == second || first == second + 1, "{first} {second}");
        assert!(first + 500 < last, "it was read long after {first}, up to {last}");
    }
    assert_eq!(std::fs::read(found.join("m-large")).unwrap().len(), 24 << 20);
    assert!(!found.join("own/file").exists() && !found.join("mounted/file").exists());
    let log = log(&world, &ended).await;
    assert!(log.contains("tree/own") && log.contains("a subvolume of its own"), "{log}");
    assert!(log.contains("tree/mounted") && log.contains("another file system"), "{log}");
    assert!(!log.contains("while it was read"), "{log}");
    assert_eq!(ours(&data), Vec::<PathBuf>::new(), "{log}");
    assert!(world.engine.catalog().duties(ended.id).await.unwrap().is_empty());
    run("umount", &[folder.join("mounted").to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_goes_with_its_run_however_that_ends() {
    let Some(disk) = btrfs() else { return };
    let data = disk.at("data");
    std::fs::write(data.join("large"), noise(24 << 20)).unwrap();
    let source = || files(&data, &[("snapshot", "btrfs")]);
    let config = EngineConfig { idle_timeout: Duration::from_secs(30), ..allowing(&[&data]) };
    let (world, slow_disk) = slow(vec![source()], config, Duration::from_secs(20)).await;
    let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    waits(&slow_disk).await;
    assert_eq!(ours(&data).len(), 1);
    world.engine.cancel(run.id).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Cancelled);
    assert_eq!(ours(&data), Vec::<PathBuf>::new());

    // Two sources on one subvolume: each has a snapshot of its own.
    std::fs::create_dir(data.join("folder")).unwrap();
    std::fs::write(data.join("folder/file"), "").unwrap();
    let other = SourceDraft {
        name: "other".to_owned(),
        ..files(&data.join("folder"), &[("snapshot", "btrfs")])
    };
    let world = World::reading(vec![source(), other], allowing(&[&data])).await;
    assert_eq!(world.good_snapshot().await.artifacts.len(), 2);
    assert_eq!(ours(&data), Vec::<PathBuf>::new());

    let small = EngineConfig { max_size_bytes: 1 << 20, ..allowing(&[&data]) };
    let world = World::reading(vec![source()], small).await;
    let run = world.back_up().await;
    assert_eq!(run.failure.unwrap().code, FailureCode::SourceTooLarge);
    assert_eq!(ours(&data), Vec::<PathBuf>::new());
}

/// The process is gone from one moment to the next; the next one finds what it owed.
#[test]
fn a_snapshot_of_a_killed_process_is_deleted_by_the_next() {
    let Some(disk) = btrfs() else { return };
    let data = disk.at("data");
    std::fs::write(data.join("large"), noise(24 << 20)).unwrap();
    // Somebody else's snapshot, and a folder that only has our name.
    let theirs = data.join(".snapshots");
    run("btrfs", &["subvolume", "snapshot", data.to_str().unwrap(), theirs.to_str().unwrap()]);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    };
    let mut config = allowing(&[&data]);
    config.idle_timeout = Duration::from_secs(60);
    config.retries = 1;
    let doomed = runtime();
    let (world, run) = doomed.block_on(async {
        let source = files(&data, &[("snapshot", "btrfs")]);
        let world = World::reading(vec![source], config.clone()).await;
        let local = Local::open(&world.folder.path().join("disk")).await.unwrap();
        let slow_disk = Faulty::new(Arc::new(local));
        slow_disk.inject(Operation::Write, Fault::Stall);
        let known = world.engine.catalog().destination_by_name("disk").await.unwrap();
        world.engine.use_store(&known, Arc::new(slow_disk.clone()));
        let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
        waits(&slow_disk).await;
        (world, run)
    });
    assert_eq!(ours(&data).len(), 1);
    doomed.shutdown_background();
    assert_eq!(ours(&data).len(), 1, "nobody could delete it");
    runtime().block_on(async {
        config.instance = "two".to_owned();
        config.spool = world.folder.path().join("spool");
        let engine = world::open(world.folder.path(), config, Arc::new(engine::SystemClock)).await;
        engine.take_over_at_start().await.unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let (serving, stopped) = (engine.clone(), stop.clone());
        let serving = tokio::spawn(async move { serving.serve(stopped).await });
        for _ in 0..1_500 {
            let is_idle = engine.catalog().active_runs().await.unwrap().is_empty();
            if is_idle && ours(&data).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(ours(&data), Vec::<PathBuf>::new());
        let killed = engine.catalog().run(run.id).await.unwrap();
        assert_eq!(killed.state, RunState::Interrupted);
        let query = catalog::RunQuery { limit: 500, ..catalog::RunQuery::default() };
        let runs = engine.catalog().runs(query).await.unwrap();
        let retry = runs.iter().find(|other| other.retry_of == Some(run.id)).unwrap();
        assert_eq!(retry.state, RunState::Succeeded, "{:?}", retry.failure);
        stop.cancel();
        serving.await.unwrap();
    });
    assert!(theirs.join("large").exists());
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    // In a folder of the memory no file system has snapshots.
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::write(shm.path().join("file"), "").unwrap();
    for (kind, told) in [("btrfs", "not on Btrfs"), ("zfs", "install"), ("lvm", "")] {
        let source = files(shm.path(), &[("snapshot", kind)]);
        let world = World::reading(vec![source], allowing(&[shm.path()])).await;
        let failure = world.back_up().await.failure.unwrap();
        assert_eq!(failure.code, FailureCode::SourceConfig, "{failure:?}");
        assert!(failure.message.contains(told) || kind == "zfs", "{failure:?}");
        assert!(!world.engine.doctor_app(&world.app).await.is_well());
    }
    let none = EngineConfig { child_env: Vec::new(), ..allowing(&[folder.path()]) };
    for (kind, package) in [("btrfs", "btrfs-progs"), ("zfs", "zfsutils-linux"), ("lvm", "lvm2")] {
        let source = files(folder.path(), &[("snapshot", kind)]);
        let world = World::reading(vec![source], none.clone()).await;
        let failure = world.back_up().await.failure.unwrap();
        assert!(failure.message.contains(package), "{failure:?}");
        let report = world.engine.doctor_app(&world.app).await;
        assert!(report.checks.iter().any(|check| check.id == "snapshot"), "{report:?}");
    }
}

/// One call of a program: what it is asked, and what it answers. `RUN` stands for the run's id.
struct Call {
    args: String,
    /// Commands of a shell that do what the program would have done.
    does: String,
    out: String,
    err: &'static str,
    code: u8,
}

fn call(args: impl Into<String>, out: impl Into<String>) -> Call {
    Call { args: args.into(), does: String::new(), out: out.into(), err: "", code: 0 }
}

/// Programs that take exactly the calls of a transcript, in its order, and answer as it says.
struct Transcript {
    folder: tempfile::TempDir,
    calls: Vec<Call>,
}

const PROGRAM: &str = r#"#!/bin/sh
here=$(dirname "$0")
n=$(($(cat "$here/at" 2>/dev/null || echo 0) + 1))
echo $n > "$here/at"
asked=$(basename "$0")
for word in "$@"; do asked="$asked $word"; done
asked=$(printf '%s' "$asked" | sed -E 's/[0-9a-hjkmnp-tv-z]{26}/RUN/g')
if [ "$asked" != "$(cat "$here/$n.args" 2>/dev/null)" ]; then
    echo "call $n was not expected: $asked" | tee -a "$here/wrong" >&2
    exit 99
fi
. "$here/$n.does"
cat "$here/$n.err" >&2
cat "$here/$n.out"
exit "$(cat "$here/$n.code")"
"#;

impl Transcript {
    fn new(programs: &[&str], calls: Vec<Call>) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            let file = folder.path().join(program);
            std::fs::write(&file, PROGRAM).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (index, call) in calls.iter().enumerate() {
            let put = |kind: &str, text: &str| {
                std::fs::write(folder.path().join(format!("{}.{kind}", index + 1)), text).unwrap();
            };
            put("args", &call.args);
            put("does", &call.does);
            put("out", &call.out);
            put("err", call.err);
            put("code", &call.code.to_string());
        }
        Self { folder, calls }
    }

    /// Finds its programs before all others.
    fn first(&self, config: EngineConfig) -> EngineConfig {
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.folder.path().display());
        EngineConfig { child_env: vec![("PATH".into(), path.into())], ..config }
    }

    /// All calls came, and no other.
    fn is_done(&self) {
        let wrong = std::fs::read_to_string(self.folder.path().join("wrong"));
        assert!(wrong.is_err(), "{}", wrong.unwrap_or_default());
        let at = std::fs::read_to_string(self.folder.path().join("at")).unwrap();
        assert_eq!(at.trim(), self.calls.len().to_string());
    }
}

#[tokio::test]
async fn zfs_is_asked_for_a_snapshot_and_to_destroy_that_alone() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().canonicalize().unwrap();
    let data = top.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "before").unwrap();
    let list = || {
        let args = "zfs list -H -t filesystem -o name,mountpoint";
        call(format!("{args} {}", data.display()), format!("tank/data\t{}\n", top.display()))
    };
    let name = "backup-orchestrator-RUN-files-0";
    let snapshot = || Call {
        does: format!(
            "to='{0}/.zfs/snapshot/'\"${{2#*@}}\"; mkdir -p \"$to\" && cp -a '{0}/data' \"$to\" && \
             echo after > '{0}/data/file'",
            top.display()
        ),
        ..call(format!("zfs snapshot tank/data@{name}"), "")
    };
    let destroy = || call(format!("zfs destroy tank/data@{name}"), "");
    let busy = "cannot destroy snapshot: dataset is busy\n";
    let gone = "could not find any snapshots to destroy; check snapshot names.\n";
    for (calls, held) in [
        (vec![list(), snapshot(), destroy()], Some("before")),
        // What cannot be destroyed at once is tried again.
        (
            vec![list(), snapshot(), Call { err: busy, code: 1, ..destroy() }, destroy()],
            Some("before"),
        ),
        // What is gone is done.
        (vec![list(), snapshot(), Call { err: gone, code: 1, ..destroy() }], Some("before")),
        // What was not made is asked for all the same: nobody knows how far it came.
        (
            vec![
                list(),
                Call {
                    err: "cannot create snapshot: out of space\n",
                    code: 1,
                    ..call(format!("zfs snapshot tank/data@{name}"), "")
                },
                Call { err: gone, code: 1, ..destroy() },
            ],
            None,
        ),
        (
            vec![Call {
                err: "cannot open: not a ZFS filesystem\n",
                code: 1,
                out: String::new(),
                ..list()
            }],
            None,
        ),
        (vec![call(list().args, "tank/data\tlegacy\n")], None),
    ] {
        std::fs::write(data.join("file"), "before").unwrap();
        let transcript = Transcript::new(&["zfs"], calls);
        let config = transcript.first(allowing(&[&data]));
        let source = files(&data, &[("snapshot", "zfs")]);
        let world = World::reading(vec![source], config).await;
        let run = world.back_up().await;
        match held {
            Some(text) => {
                assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
                let id = run.snapshot_id.unwrap();
                let snapshot = world.engine.catalog().snapshot(id).await.unwrap();
                let out = extracted(&world, &snapshot).await;
                assert_eq!(
                    std::fs::read_to_string(inside(&out, &data).join("file")).unwrap(),
                    text
                );
            }
            None => assert_eq!(run.state, RunState::Failed),
        }
        assert!(world.engine.catalog().duties(run.id).await.unwrap().is_empty());
        transcript.is_done();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lvm_is_asked_for_a_snapshot_that_is_mounted_and_removed() {
    let Some(disk) = Loop::mount("mkfs.ext4", &["-F"]) else { return };
    let top = disk.folder.path().canonicalize().unwrap().join("disk");
    let data = top.join("data");
    std::fs::create_dir(&data).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.contains(top.to_str().unwrap())).unwrap();
    let device = line.split(' ').next().unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, b"files");
    let name = format!("backup-orchestrator-RUN-{}-0", hex::encode(&digest.as_ref()[..4]));
    for (pool, more, room, is_gone) in [
        ("  \n", None, "-l 10%ORIGIN", false),
        ("  \n", Some(("snapshot_percent", "35")), "-l 35%ORIGIN", false),
        ("  pool0\n", None, "-kn", false),
        ("  pool0\n", None, "-kn", true),
    ] {
        std::fs::write(data.join("file"), "held").unwrap();
        let mut calls = vec![
            call(
                format!("lvs --noheadings --separator / -o vg_name,lv_name {device}"),
                "  group/data\n",
            ),
            call("lvs --noheadings -o pool_lv group/data", pool),
            call(format!("lvcreate -s -n {name} {room} group/data"), "created\n"),
            Call {
                does: format!("/bin/mount --bind '{}' \"$5\"", top.display()),
                ..call(String::new(), "")
            },
            call(
                format!("lvs --noheadings -o lv_name -S lv_name={name} group"),
                format!("  {name}\n"),
            ),
            call(format!("lvremove -f -y group/{name}"), "removed\n"),
        ];
        if is_gone {
            calls.truncate(5);
            let err = "  Volume group \"group\" not found\n  Cannot process volume group group\n";
            (calls[4].err, calls[4].code) = (err, 5);
        }
        let transcript = Transcript::new(&["lvs", "lvcreate", "lvremove", "mount"], calls);
        let config = transcript.first(allowing(&[&data]));
        let more: Vec<_> = [("snapshot", "lvm")].into_iter().chain(more).collect();
        let world = World::reading(vec![files(&data, &more)], config).await;
        let spool = world.folder.path().join("spool");
        let options = "ro,nosuid,nodev,noexec";
        let asked = format!("mount -o {options} -- /dev/group/{name} {}/{name}", spool.display());
        std::fs::write(transcript.folder.path().join("4.args"), asked).unwrap();
        let run = world.back_up().await;
        let snapshot = match run.snapshot_id {
            Some(id) => world.engine.catalog().snapshot(id).await.unwrap(),
            None => panic!("{:?}", run.failure),
        };
        let out = extracted(&world, &snapshot).await;
        assert_eq!(std::fs::read(inside(&out, &data).join("file")).unwrap(), b"held");
        assert!(world.engine.catalog().duties(run.id).await.unwrap().is_empty());
        assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0, "nothing stays mounted");
        transcript.is_done();
    }
}

/// Whether somebody asked for `what` to be tried: it makes pools and volume groups, which a test
/// must not do to a machine unasked.
fn is_asked_for(what: &str, programs: &[&str], device: &str) -> bool {
    if std::env::var("BACKUP_TRY").as_deref() != Ok(what) {
        println!("not tried: `cargo xtask test {what}` does");
        return false;
    }
    assert!(Path::new(device).exists(), "this kernel has no {what}: there is no {device}");
    for program in programs {
        assert!(tree::has(program), "{program} is not installed");
    }
    true
}

/// Undoes what a test has made of the machine, the last first.
struct Undo(Vec<Vec<String>>);

impl Undo {
    /// Makes something that `undo` takes back.
    fn make(&mut self, program: &str, args: &[&str], undo: &[&str]) {
        run(program, args);
        self.0.push(undo.iter().map(|word| (*word).to_owned()).collect());
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for words in self.0.iter().rev() {
            let _ = Command::new(&words[0]).args(&words[1..]).status();
        }
    }
}

/// One run with a snapshot of `data`, while somebody writes there.
async fn holds_one_moment(data: &Path, kind: &str) {
    std::fs::write(data.join("m-large"), noise(8 << 20)).unwrap();
    let source = files(data, &[("snapshot", kind)]);
    let config = EngineConfig { idle_timeout: Duration::from_secs(20), ..allowing(&[data]) };
    let (world, slow_disk) = slow(vec![source], config, Duration::from_secs(2)).await;
    let report = world.engine.doctor_app(&world.app).await;
    assert!(report.is_well(), "{report:?}");
    let mut pair = Pair::start(data);
    let started = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    waits(&slow_disk).await;
    let ended = world.ended(&started).await;
    pair.stop();
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.failure);
    let snapshot = world.engine.catalog().snapshot(ended.snapshot_id.unwrap()).await.unwrap();
    let out = extracted(&world, &snapshot).await;
    let found = inside(&out, data);
    let (first, second) = (number(&found.join("a-first")), number(&found.join("z-second")));
    if let (Some(first), Some(second)) = (first, second) {
        assert!(first == second || first == second + 1, "{first} {second}");
    }
    let log = log(&world, &ended).await;
    assert!(!log.contains("while it was read"), "{log}");
    assert!(world.engine.catalog().duties(ended.id).await.unwrap().is_empty(), "{log}");
}

fn output(program: &str, args: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(args).output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_zfs_pool_gives_snapshots() {
    if !is_asked_for("zfs", &["zpool", "zfs"], "/dev/zfs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
    let pool = format!("backuptest{}", std::process::id());
    let top = folder.path().join("pool");
    let (image, mount) = (image.to_str().unwrap(), format!("mountpoint={}", top.display()));
    let mut undo = Undo(Vec::new());
    undo.make("zpool", &["create", "-O", &mount, &pool, image], &["zpool", "destroy", "-f", &pool]);
    let (dataset, theirs) = (format!("{pool}/data"), format!("{pool}/data@theirs"));
    run("zfs", &["create", &dataset]);
    run("zfs", &["snapshot", &theirs]);
    holds_one_moment(&top.join("data"), "zfs").await;
    let left = output("zfs", &["list", "-H", "-o", "name", "-t", "snapshot", "-r", &pool]);
    assert_eq!(left.trim(), theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_logical_volumes_give_snapshots() {
    let programs = ["lvcreate", "vgcreate", "losetup", "mkfs.ext4"];
    if !is_asked_for("lvm", &programs, "/dev/mapper/control") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
    let device = output("losetup", &["-f", "--show", image.to_str().unwrap()]);
    let device = device.trim();
    let mut undo = Undo(vec![vec!["losetup".to_owned(), "-d".to_owned(), device.to_owned()]]);
    let group = format!("backuptest{}", std::process::id());
    undo.make("vgcreate", &[&group, device], &["vgremove", "-f", "-y", &group]);
    run("lvcreate", &["-y", "-L", "128M", "-n", "plain", &group]);
    run("lvcreate", &["-y", "--type", "thin-pool", "-L", "256M", "-n", "pool", &group]);
    let pool = format!("{group}/pool");
    run("lvcreate", &["-y", "-V", "128M", "--thin", "-n", "thin", &pool]);
    for name in ["plain", "thin"] {
        let (device, at) = (format!("/dev/{group}/{name}"), folder.path().join(name));
        std::fs::create_dir(&at).unwrap();
        run("mkfs.ext4", &["-q", &device]);
        let at_text = at.to_str().unwrap();
        undo.make("mount", &[&device, at_text], &["umount", "-l", at_text]);
        std::fs::create_dir(at.join("data")).unwrap();
        holds_one_moment(&at.join("data"), "lvm").await;
        let left = output("lvs", &["--noheadings", "-o", "lv_name", &group]);
        assert!(!left.contains("backup-orchestrator-"), "{left}");
    }
}
