//! A destination that is away, or full, for an hour while a server goes on writing: nothing is
//! acknowledged early, nothing is dropped; and a small disk of the server is never filled.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use engine::{AppDraft, BindingDraft, CheckState, DestinationDraft, EngineError, RecoveryDraft};
use jiff::{SignedDuration, Timestamp};
use model::{Clock, EventKind, Lsn, WalPieceKind, WalWay};

use crate::{
    daemon,
    faults::Tmpfs,
    wal::Archived,
    wal_faults::away,
    world::{World, source},
};

const SEGMENT: u64 = 1 << 20;

/// The machine's clock, put ahead by so many seconds.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// A `pgbench` at work, ended with its owner.
struct Bench(Child);

impl Bench {
    fn command(archived: &Archived, arguments: &[&str]) -> Command {
        let mut bench = Command::new(archived.server.bin.join("pgbench"));
        bench.args(["-h", "127.0.0.1", "-U", "postgres"]);
        bench.args(["-p", &archived.server.port.to_string()]).args(arguments).arg("postgres");
        bench.stdout(Stdio::null()).stderr(Stdio::null());
        bench
    }

    fn start(archived: &Archived) -> Self {
        let made = Self::command(archived, &["-i", "-q", "-s", "1"]).status().unwrap();
        assert!(made.success());
        let arguments = ["-n", "-c", "2", "-R", "150", "-T", "600"];
        Self(Self::command(archived, &arguments).spawn().unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// Up to where files in `root` hold WAL of the first timeline without a hole, from `from` on.
fn durable(root: &Path, from: Lsn) -> Lsn {
    let wal = root.join("apps/shop/wal");
    let cluster = std::fs::read_dir(wal).unwrap().flatten().find(|one| one.path().is_dir());
    let files = std::fs::read_dir(cluster.unwrap().path().join("00000001")).unwrap().flatten();
    let (mut whole, mut begun) = (BTreeSet::new(), BTreeMap::new());
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let position =
            |name: &str| Some((hex(name.get(8..16)?)? << 32) + hex(name.get(16..24)?)? * SEGMENT);
        let (Some(start), Some(rest)) = (position(&name), name.get(24..)) else { continue };
        if let Some(rest) = rest.strip_prefix(".partial-") {
            let end = rest.split('-').next().and_then(hex).unwrap();
            let longest = begun.entry(start).or_insert(end);
            *longest = end.max(*longest);
        } else if rest.starts_with('-') {
            whole.insert(start);
        }
    }
    let mut at = from.0 / SEGMENT * SEGMENT;
    while whole.contains(&at) {
        at += SEGMENT;
    }
    Lsn(begun.get(&at).copied().unwrap_or(at))
}

/// What the server believes to be stored: by whom it streams to, and by its slot.
fn believed(archived: &Archived) -> Lsn {
    let told = archived.sql(
        "SELECT GREATEST((SELECT max(flush_lsn) FROM pg_stat_replication), \
         (SELECT max(restart_lsn) FROM pg_replication_slots))",
    );
    told.parse().unwrap()
}

/// Lets an hour pass by the clock, during which nothing can be stored in `root`; then `back`.
async fn an_hour(archived: &Archived, clock: &Ahead, root: &Path, leave: impl AsyncFnOnce()) {
    let before = archived.state().await;
    let base = &before.windows[0];
    tokio::time::sleep(Duration::from_secs(1)).await;
    for turn in 0..40 {
        clock.0.fetch_add(90, Ordering::Relaxed);
        if turn % 10 == 5 {
            // More than has room in memory, in all.
            archived.write(12);
        }
        // Asked first: what is stored only grows.
        let believed = believed(archived);
        let stored = durable(root, base.start);
        assert!(believed <= stored, "{believed} was acknowledged, {stored} is stored");
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let end = archived.end();
    let state = archived.state().await;
    assert!(state.windows[0].end < end, "{state:#?}");
    assert!(state.standing.lag_secs >= 3_500, "{:?}", state.standing);
    assert!(state.standing.kept_bytes.is_some_and(|kept| kept > 40 << 20), "{state:#?}");
    let trouble = state.standing.trouble.unwrap();
    assert_eq!(trouble.fact.unwrap().code(), "wal_not_stored");
    assert_eq!(archived.events(EventKind::WalBehind).await, 1);
    assert_eq!(archived.sql("SELECT count(*) FROM pg_replication_slots"), "1");

    leave().await;
    let reaches = |state: &model::RecoveryState| state.windows[0].end >= end;
    archived.until("caught up", reaches).await;
    let state = archived
        .until("on time again", |state| state.standing.is_live && state.standing.lag_secs < 5)
        .await;
    assert_eq!((state.windows.len(), state.windows[0].base), (1, base.base), "{state:#?}");
    assert!(state.gaps.is_empty(), "{state:#?}");
    for kind in [EventKind::WalGap, EventKind::SlotReleased] {
        assert_eq!(archived.events(kind).await, 0, "{kind:?}");
    }
    for turn in 0..100 {
        assert!(turn < 99, "nobody tells that it goes on");
        if archived.events(EventKind::WalResumed).await >= 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Every segment of that hour is the server's own, byte for byte.
    let mut compared = 0;
    for piece in archived.pieces(WalPieceKind::Segment).await {
        if piece.end <= base.end || piece.start > end {
            continue;
        }
        let ours = archived.fetched(&piece.name).await.unwrap();
        let theirs =
            archived.sql(&format!("SELECT md5(pg_read_binary_file('pg_wal/{}'))", piece.name));
        assert_eq!(md5(archived, &ours), theirs, "{}", piece.name);
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

/// As the server reckons it.
pub(crate) fn md5(archived: &Archived, bytes: &[u8]) -> String {
    let file = archived.world.folder.path().join("compared");
    std::fs::write(&file, bytes).unwrap();
    let folder = archived.world.folder.path();
    Command::new("chmod").arg("a+rX").arg(folder).arg(&file).status().unwrap();
    archived.sql(&format!("SELECT md5(pg_read_binary_file('{}'))", file.display()))
}

async fn ready(archived: &Archived) -> Bench {
    archived.plan(|_| {}).await;
    archived.until("a first window", |state| state.windows.len() == 1).await;
    // So that it can be compared afterwards.
    archived.sql("ALTER SYSTEM SET wal_keep_size = '2GB'");
    archived.sql("SELECT pg_reload_conf()");
    let bench = Bench::start(archived);
    archived.caught_up().await;
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_without_the_destination_costs_nothing() {
    let clock = Arc::new(Ahead::default());
    let Some(archived) = Archived::unplanned("disk", &[], clock.clone()).await else { return };
    let bench = ready(&archived).await;
    let aside = archived.world.folder.path().join("disk.away");
    let back = away(&archived);
    an_hour(&archived, &clock, &aside, async || back()).await;
    drop(bench);
    let state = archived.caught_up().await;
    assert!(state.gaps.is_empty() && state.windows.len() == 1, "{state:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_with_a_full_destination_costs_nothing() {
    let clock = Arc::new(Ahead::default());
    let Some(archived) = Archived::unplanned("disk", &[], clock.clone()).await else { return };
    let disk = archived.world.folder.path().join("disk");
    std::fs::create_dir_all(&disk).unwrap();
    let Some(mounted) = Tmpfs::mount(disk.clone(), "160m") else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let bench = ready(&archived).await;
    // Others have filled it.
    let ballast = disk.join("ballast");
    let mut fill = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut fill, &[7; 8 << 10]).is_ok() {}
    drop(fill);
    an_hour(&archived, &clock, &disk, async || std::fs::remove_file(ballast).unwrap()).await;
    drop(bench);
    let state = archived.caught_up().await;
    assert!(state.gaps.is_empty() && state.windows.len() == 1, "{state:#?}");
    archived.world.stop();
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_disk_of_the_server_is_never_filled() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Tmpfs::mount(folder.path().to_owned(), "176m") else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
    let wal = format!("--waldir={}", folder.path().join("wal").display());
    let clock = Arc::new(engine::SystemClock);
    let Some(archived) = Archived::unplanned("disk", &[&wal], clock).await else { return };
    // Nobody has said how much: the limit would be 10 GiB.
    archived.plan(|_| {}).await;
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.sql("ALTER SYSTEM SET max_wal_size = '16MB'");
    archived.sql("SELECT pg_reload_conf()");
    archived.caught_up().await;
    let app = archived.world.engine.catalog().app(archived.world.app.id).await.unwrap();
    let report = archived.world.engine.doctor_app(&app).await;
    let room = report.checks.iter().find(|check| check.id == "wal_room").unwrap();
    assert_eq!(room.state, CheckState::Ok, "{room:?}");
    assert!(room.detail.contains(&folder.path().display().to_string()), "{room:?}");

    let back = away(&archived);
    let free = || {
        let told = nix::sys::statvfs::statvfs(folder.path()).unwrap();
        told.blocks_available() * told.fragment_size()
    };
    let mut least = free();
    for turn in 0.. {
        assert!(turn < 300, "it is not let go of: {:?}", archived.state().await.standing);
        archived.write(2);
        archived.sql("CHECKPOINT");
        least = least.min(free());
        if archived.events(EventKind::SlotReleased).await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(least > 32 << 20, "{least} bytes were free at least");
    let told = archived.state().await.standing;
    assert!(told.kept_limit.is_some_and(|limit| limit < 128 << 20), "{told:?}");
    archived.sql("CHECKPOINT");
    back();
    // The hole is told, and what comes after it is restorable from a new base backup.
    archived.caught_up().await;
    let state = archived.until("streaming again", |state| state.standing.is_live).await;
    assert!(state.windows.len() == 2 || state.gaps.is_empty(), "{state:#?}");
    archived.world.stop();
    drop((archived, mounted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_repositories_is_refused_for_wal() {
    if Command::new("rclone").arg("version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "rclone is needed in CI");
        eprintln!("skipped: rclone is not installed");
        return;
    }
    let server = daemon::Server::start(|folder, port| {
        let mut command = Command::new("rclone");
        command.args(["serve", "restic", "--addr", &format!("127.0.0.1:{port}")]);
        command.arg(folder.join("repositories"));
        command
    });
    let settings = [("host", "127.0.0.1"), ("port", "1"), ("database", "postgres")];
    let sources = || vec![source("pg", "postgres", &settings, &[])];
    let world = World::reading(sources(), crate::wal::hasty()).await;
    let rest = DestinationDraft {
        name: "rest".to_owned(),
        kind: "rest".to_owned(),
        settings: [("url".to_owned(), format!("http://127.0.0.1:{}/", server.port))].into(),
        secrets: [("repository_password".to_owned(), "of tests".into())].into(),
        ..DestinationDraft::default()
    };
    world.engine.add_destination(rest).await.unwrap();
    let bound = |name: &str| BindingDraft {
        destination: name.to_owned(),
        folder: String::new(),
        ..BindingDraft::default()
    };
    let draft = |destination: &str| AppDraft {
        name: "direct".to_owned(),
        sources: sources(),
        destinations: vec![bound("rest"), bound("disk")],
        recovery: Some(RecoveryDraft {
            way: WalWay::Stream,
            destination: Some(destination.to_owned()),
            ..RecoveryDraft::default()
        }),
        ..AppDraft::default()
    };
    let refused = world.engine.edit_app(world.app.id, 1, draft("rest")).await;
    let Err(EngineError::Invalid(errors)) = refused else { panic!("{refused:?}") };
    let told = errors.iter().find(|one| one.field == "recovery.destination").unwrap();
    assert!(told.message().contains("REST server"), "{told:?}");
    let app = world.engine.edit_app(world.app.id, 1, draft("disk")).await.unwrap();
    assert!(app.recovery.is_some());
}
