//! A server brought back to moments: what was committed before each is there, and nothing else.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{EngineConfig, MomentRequest, SystemClock};
use jiff::Timestamp;
use model::{
    DrillCheck, DrillQuestion, DrillState, Lsn, Moment, MomentOrder, PreflightLevel, RecoveryPlan,
    RecoveryState, RestoreReport, RestoreTarget, Run, RunState, Snapshot, SnapshotKind,
    WalPieceKind, WalPieceState, WalWay,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    beats::{Beat, Load, as_it_was, every_second},
    daemon,
    postgres::{self, Server},
    world::{World, open, quick, source},
};

pub(crate) fn start() -> Option<Server> {
    let started = postgres::start(&["-A", "trust"]);
    if started.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
        eprintln!("skipped: PostgreSQL is not installed");
    }
    started
}

pub(crate) fn tool(server: &Server, name: &str) -> Command {
    let mut command = Command::new(server.bin.join(name));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", server.port.to_string());
    command.env("PGUSER", "postgres").env("PGDATABASE", "shop");
    command
}

pub(crate) fn sql(server: &Server, text: &str) -> String {
    let mut psql = tool(server, "psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]);
    daemon::output(&mut psql).trim().to_owned()
}

fn load(server: &Server) -> Load {
    let (mut psql, mut bench) = (tool(server, "psql"), tool(server, "pgbench"));
    psql.args(["-X", "-q", "-A", "-t"]);
    bench.args(["-n", "-c", "2", "-R", "100", "-T", "600", "shop"]);
    Load::start(psql, bench, Duration::from_millis(100))
}

fn config(folder: &Path) -> EngineConfig {
    let mut config = quick("one");
    config.restore_roots = vec![folder.to_owned()];
    config.wal = every_second();
    config
}

async fn world(server: &Server, folder: &Path, destination: &str) -> World {
    let port = server.port.to_string();
    let settings = [("host", "127.0.0.1"), ("port", port.as_str()), ("database", "shop")];
    let draft = source("pg", "postgres", &settings, &[]);
    let world = World::reading_to(destination, vec![draft], config(folder)).await;
    let at = world.app.destinations[0].destination_id;
    let plan = RecoveryPlan {
        source: "pg".parse().unwrap(),
        way: WalWay::Stream,
        destination: at,
        base_every_hours: 24,
        window_days: 7,
        heartbeat: true,
        most_kept_bytes: None,
    };
    world.change_app(|app| app.recovery = Some(plan)).await;
    world
}

pub(crate) async fn state(world: &World) -> RecoveryState {
    world.engine.recovery_state(world.app.id).await.unwrap()
}

pub(crate) async fn bases(world: &World) -> Vec<Snapshot> {
    let mut all = world.engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    all.retain(|one| one.kind == SnapshotKind::Base);
    all.sort_by_key(|one| one.taken_at);
    all
}

/// Waits until `moment` can be restored.
pub(crate) async fn until_stored(world: &World, moment: Timestamp) {
    let began = Instant::now();
    loop {
        let state = state(world).await;
        if state.windows.last().is_some_and(|window| window.end_at >= moment) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{moment}: {state:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits longer than tests of others do: a server is unpacked, replayed and promoted.
pub(crate) async fn ended(world: &World, run: &Run) -> Run {
    let began = Instant::now();
    loop {
        let run = world.engine.catalog().run(run.id).await.unwrap();
        if run.state.is_terminal() {
            return run;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "the run did not end: {run:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn to(moment: Moment) -> MomentOrder {
    MomentOrder { moment, timeline: None, pause: false }
}

pub(crate) fn request(order: MomentOrder, path: &Path) -> MomentRequest {
    let target = Some(RestoreTarget::Folder { path: path.to_owned() });
    MomentRequest { order, target, confirm: None, overwrite: false }
}

/// Restores into a new folder; gives the data directory and what is told of it.
pub(crate) async fn restored(
    world: &World,
    order: MomentOrder,
    path: &Path,
) -> (PathBuf, RestoreReport) {
    let asked = request(order, path);
    let seen = world.engine.moment_preflight(world.app.id, &asked).await.unwrap();
    assert!(seen.preflight.may_begin(), "{seen:?}");
    let run = world.engine.restore_to_moment(world.app.id, asked).await.unwrap();
    let run = ended(world, &run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let report = world.engine.restore_report(run.id).await.unwrap().unwrap();
    (path.join(report.steps[0].artifact.as_str()), report)
}

/// The rows of the restored server, in order, asked without starting it for others.
pub(crate) fn rows(server: &Server, data: &Path) -> Vec<u32> {
    let is_root =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let postgres = server.bin.join("postgres");
    let mut command = if is_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(postgres);
        command
    } else {
        Command::new(postgres)
    };
    command.args(["--single", "-D"]).arg(data).arg("shop");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let query = b"SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') AS found FROM beats\n";
    child.stdin.take().unwrap().write_all(query).unwrap();
    let told = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    let found = text.lines().find_map(|line| line.split_once("found = \"")).unwrap_or_else(|| {
        panic!("{text} {}", String::from_utf8_lossy(&told.stderr));
    });
    let found = found.1.split('"').next().unwrap();
    found.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
}

/// The state of some moment between two.
fn between(beats: &[Beat], found: &[u32], after: Timestamp, before: Timestamp) {
    for beat in beats {
        let is_there = found.contains(&beat.number);
        assert!(is_there || beat.known_at > after, "{beat:?} is missing: {found:?}");
        assert!(!is_there || beat.sent_at < before, "{beat:?} is too much: {found:?}");
    }
}

fn roots() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("755").arg(folder.path()).status().unwrap();
    folder
}

fn fill(server: &Server) {
    let mut create = tool(server, "psql");
    create.env("PGDATABASE", "postgres").args(["-X", "-q", "-c", "CREATE DATABASE shop"]);
    daemon::output(&mut create);
    sql(server, "CREATE TABLE beats (n int PRIMARY KEY)");
    daemon::output(tool(server, "pgbench").args(["-i", "-q", "-s", "1", "shop"]));
}

/// The server with something in it, whose archive has begun; and where it may be restored.
pub(crate) async fn archived(server: &Server) -> (tempfile::TempDir, World) {
    fill(server);
    let folder = roots();
    let world = world(server, folder.path(), "disk").await;
    open_all(&world);
    until_stored(&world, Timestamp::now()).await;
    (folder, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_moment_comes_back() {
    let Some(server) = start() else { return };
    let (folder, world) = archived(&server).await;
    let first = state(&world).await.windows[0].start_at;

    let load = load(&server);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let base = world.engine.queue_base(world.app.id).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let named_after = Timestamp::now();
    world.engine.make_restore_point(world.app.id, "before-deploy").await.unwrap();
    let named_before = Timestamp::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked_after = Timestamp::now();
    let position: Lsn = sql(&server, "SELECT pg_current_wal_insert_lsn()").parse().unwrap();
    let asked_before = Timestamp::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ended(&world, &base).await.state, RunState::Succeeded);
    let beats = load.end();
    until_stored(&world, beats.last().unwrap().known_at).await;
    let all = bases(&world).await;
    assert!(all.len() >= 2, "{all:?}");

    // Any ten moments.
    let last = beats.last().unwrap().known_at;
    for n in 0..10 {
        let span = first.as_microsecond()..last.as_microsecond();
        let moment = Timestamp::from_microsecond(rand::rng().random_range(span)).unwrap();
        let into = folder.path().join(format!("moment-{n}"));
        let (data, report) = restored(&world, to(Moment::Time { at: moment }), &into).await;
        as_it_was(&beats, &rows(&server, &data), moment);
        let landing = report.landing.unwrap();
        assert!(landing.is_promoted && landing.timeline == Some(2), "{landing:?}");
        assert!(landing.last_commit_at.is_none_or(|at| at <= moment), "{landing:?} {moment}");
        assert!(!data.join("pg_wal_archive").exists());
        std::fs::remove_dir_all(into).unwrap();
    }

    // The last state, a position, a name.
    let (data, report) = restored(&world, to(Moment::Latest), &folder.path().join("latest")).await;
    assert_eq!(rows(&server, &data).len(), beats.len());
    assert_eq!(report.landing.unwrap().base, Some(all.last().unwrap().id));
    let (data, _) =
        restored(&world, to(Moment::Lsn { at: position }), &folder.path().join("lsn")).await;
    between(&beats, &rows(&server, &data), asked_after, asked_before);
    let name = "before-deploy".to_owned();
    let named = to(Moment::RestorePoint { name });
    let (data, _) = restored(&world, named, &folder.path().join("named")).await;
    between(&beats, &rows(&server, &data), named_after, named_before);

    // One that waits for people.
    let waits = MomentOrder { pause: true, ..to(Moment::Time { at: last }) };
    let (data, report) = restored(&world, waits, &folder.path().join("waits")).await;
    assert!(!report.landing.unwrap().is_promoted);
    assert!(data.join("pg_wal_archive").is_dir());
    let auto = std::fs::read_to_string(data.join("postgresql.auto.conf")).unwrap();
    assert!(auto.contains("restore_command = 'cp \"pg_wal_archive/%f\" \"%p\"'"), "{auto}");

    refusals(&world, first, folder.path()).await;
    cut_off(&world, &server, &beats, folder.path()).await;
    drills(&world).await;
}

/// Others than root run the restored server.
fn open_all(world: &World) {
    Command::new("chmod").arg("755").arg(world.folder.path()).status().unwrap();
}

async fn refusals(world: &World, first: Timestamp, folder: &Path) {
    let blocked = async |order: MomentOrder| {
        let asked = request(order, &folder.join("refused"));
        let seen = world.engine.moment_preflight(world.app.id, &asked).await.unwrap();
        let refused = world.engine.restore_to_moment(world.app.id, asked).await.unwrap_err();
        let mut checks = seen.preflight.checks.iter();
        let check = checks.find(|check| check.level == PreflightLevel::Blocked).unwrap();
        assert_eq!(refused.to_string(), check.sentence.message);
        (check.sentence.message.clone(), seen)
    };
    let future = world.engine.now() + Duration::from_secs(3600);
    let (why, seen) = blocked(to(Moment::Time { at: future })).await;
    assert!(why.contains("is in the future"), "{why}");
    assert!(seen.nearest_before.is_some());
    let early = first - Duration::from_secs(3600);
    let (why, seen) = blocked(to(Moment::Time { at: early })).await;
    assert!(why.contains("before the first moment"), "{why}");
    assert_eq!(seen.nearest_after, Some(first));
    let (why, _) = blocked(to(Moment::RestorePoint { name: "none".to_owned() })).await;
    assert_eq!(why, "there is no restore point `none`");
    let (why, _) = blocked(to(Moment::Lsn { at: Lsn(u64::MAX) })).await;
    assert!(why.contains("is not stored"), "{why}");
    let (why, _) = blocked(MomentOrder { timeline: Some(7), ..to(Moment::Latest) }).await;
    assert_eq!(why, "nothing is stored of timeline 7");

    // What is there is replaced only by whoever says so.
    let asked = request(to(Moment::Latest), &folder.join("latest"));
    let refused = world.engine.restore_to_moment(world.app.id, asked.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("give the app's name"), "{refused}");
    // Neither beside nor in place without a container, nor a base backup without a moment.
    let target = Some(RestoreTarget::App);
    let seen = world
        .engine
        .moment_preflight(world.app.id, &MomentRequest { target, ..asked })
        .await
        .unwrap();
    assert!(!seen.preflight.may_begin());
    let plain = engine::RestoreRequest {
        to: "folder".to_owned(),
        path: Some(folder.join("plain").display().to_string()),
        ..engine::RestoreRequest::default()
    };
    let base = bases(world).await.remove(0);
    let refused = world.engine.preflight(base.id, &plain).await.unwrap_err();
    assert!(refused.to_string().contains("choose a moment"), "{refused}");
}

/// A restore that is cut off while its server replays begins that again, and leaves no server.
async fn cut_off(world: &World, server: &Server, beats: &[Beat], folder: &Path) {
    let last = beats.last().unwrap().known_at;
    let began = Instant::now();
    let (run, into, replaying) = 'caught: {
        for attempt in 0..20 {
            let into = folder.join(format!("cut-{attempt}"));
            let asked = request(to(Moment::Time { at: last }), &into);
            let run = world.engine.restore_to_moment(world.app.id, asked).await.unwrap();
            while !world.engine.catalog().run(run.id).await.unwrap().state.is_terminal() {
                if let Some(replaying) = freeze(&into) {
                    break 'caught (run, into, replaying);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        panic!("no server was seen to replay");
    };
    world.stop();
    // What can end by itself may do so for two seconds; this cannot.
    tokio::time::sleep(Duration::from_millis(2600)).await;
    kill(replaying, Signal::SIGCONT).unwrap();
    assert_eq!(ended(world, &run).await.state, RunState::Interrupted);
    assert!(!is_served(&into), "a server goes on");

    let mut config = config(folder);
    "two".clone_into(&mut config.instance);
    config.spool = world.folder.path().join("spool");
    config.source_timeout = Duration::from_secs(60);
    let engine = open(world.folder.path(), config, Arc::new(SystemClock)).await;
    tokio::spawn(async move { engine.serve(CancellationToken::new()).await });
    let place = into.join("pg.server.base");
    while !place.exists() {
        assert!(began.elapsed() < Duration::from_secs(180), "it does not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    as_it_was(beats, &rows(server, &place), last);
    let left: Vec<_> = std::fs::read_dir(&into).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Stops the process that replays in a folder within `into`, where there is one.
fn freeze(into: &Path) -> Option<Pid> {
    let folders = std::fs::read_dir(into).ok()?.flatten();
    let mut files = folders.map(|folder| folder.path().join("postmaster.pid"));
    let file = std::fs::read_to_string(files.find(|file| file.exists())?).ok()?;
    let server = file.lines().next()?.trim();
    let children = format!("/proc/{server}/task/{server}/children");
    let children = std::fs::read_to_string(children).ok()?;
    let replays = |child: &&str| {
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.starts_with("postgres: startup")
    };
    let child = Pid::from_raw(children.split_whitespace().find(replays)?.parse().ok()?);
    kill(child, Signal::SIGSTOP).ok()?;
    Some(child)
}

/// Whether a server works in a folder within `into`.
fn is_served(into: &Path) -> bool {
    let folders = std::fs::read_dir(into).into_iter().flatten().flatten();
    folders.into_iter().any(|folder| folder.path().join("postmaster.pid").exists())
}

async fn drills(world: &World) {
    let drilled = async |order: Option<MomentOrder>| {
        let run = world.engine.drill_moment(world.app.id, order).await.unwrap();
        let run = ended(world, &run).await;
        let report = world.engine.drill_report(run.id).await.unwrap().unwrap_or_default();
        (run, report)
    };
    let question = DrillQuestion {
        artifact: "pg".parse().unwrap(),
        sql: "SELECT count(*) >= 0 FROM beats".to_owned(),
        expect: Some("t".to_owned()),
    };
    world.change_app(|app| app.drill.questions = vec![question]).await;
    let (run, report) = drilled(None).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    let checks = &report.items[0].checks;
    let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
    let asked = "question: SELECT count(*) >= 0 FROM beats";
    assert_eq!(names, ["moment", "heartbeat", "pg_amcheck", "rows", asked]);
    // Servers before PostgreSQL 14 come without it.
    let bad = |check: &&DrillCheck| check.state != DrillState::Passed && check.name != "pg_amcheck";
    assert_eq!(checks.iter().find(bad), None);
    assert_ne!(checks[2].state, DrillState::Failed, "{checks:?}");
    assert!(report.items[0].landing.as_ref().unwrap().is_promoted);
    let proven = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert!(proven.proof.unwrap().passed);
    let spool = world.folder.path().join("spool");
    let left = std::fs::read_dir(spool).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("drill")).collect();
    assert!(left.is_empty(), "{left:?}");

    // A segment that is not what it was, and that the newest base needs.
    let newest = bases(world).await.pop().unwrap();
    let start = newest.artifacts[0].base.as_ref().unwrap().start;
    let pieces = world.engine.catalog().wal_of_app(world.app.id).await.unwrap();
    let hit = pieces
        .iter()
        .find(|one| one.kind == WalPieceKind::Segment && one.start <= start && start < one.end);
    let hit = hit.expect("the segment that the base begins in is whole");
    damage(world, &hit.key);
    // The scan may have found it already: then the moment is refused.
    match world.engine.drill_moment(world.app.id, Some(to(Moment::Latest))).await {
        Ok(run) => {
            let run = ended(world, &run).await;
            assert_eq!(run.state, RunState::Failed, "{run:?}");
            assert!(run.failure.unwrap().message.contains(&hit.name));
            let now = world.engine.catalog().wal_named(world.app.id, &hit.name).await.unwrap();
            assert!(now.iter().any(|one| one.state == WalPieceState::Damaged), "{now:?}");
        }
        Err(refused) => println!("found before: {refused}"),
    }

    // A base backup that is not.
    let first = bases(world).await.remove(0);
    damage(world, &first.copies[0].objects[0].key);
    let run = world.engine.drill_snapshot(first.id).await.unwrap();
    let run = ended(world, &run).await;
    assert_eq!(run.state, RunState::Failed, "{run:?}");
    let proof = world.engine.catalog().snapshot(first.id).await.unwrap().proof.unwrap();
    assert!(!proof.passed);
}

/// Changes one bit in the middle of an object.
fn damage(world: &World, key: &str) {
    let object = world.folder.path().join("disk").join(key);
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&object, &bytes).unwrap();
}
