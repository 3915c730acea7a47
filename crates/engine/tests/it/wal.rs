//! The archive of WAL of a real server: what streams, what is handed over, and what it says of
//! itself.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use engine::{Engine, EngineConfig, EngineError, Handed, Pushed, SystemClock, WalTimes};
use futures::{StreamExt as _, TryStreamExt as _};
use model::{
    Clock, EventKind, Lsn, RecoveryPlan, RecoveryState, RunState, SnapshotKind, WalPiece,
    WalPieceKind, WalWay,
};
use tokio_util::sync::CancellationToken;

use crate::{
    postgres::{self, Server},
    world::{World, open, quick, source},
};

/// A server whose WAL goes into the archive of a world's app.
pub(crate) struct Archived {
    pub(crate) world: World,
    pub(crate) server: Server,
}

/// Times under which tests end in seconds.
pub(crate) fn hasty() -> EngineConfig {
    let mut config = quick("one");
    config.wal = WalTimes {
        partial: Duration::from_millis(300),
        scan: Duration::from_millis(700),
        look: Duration::from_millis(500),
        tend: Duration::from_millis(500),
        beat: Duration::from_millis(500),
        behind: Duration::from_secs(2),
    };
    config
}

impl Archived {
    /// A server with segments of 1 MiB and an archive at `destination`; `None` without PostgreSQL.
    pub(crate) async fn to(destination: &str, way: WalWay) -> Option<Self> {
        let archived = Self::unplanned(destination, &[], Arc::new(SystemClock)).await?;
        archived.plan(|plan| plan.way = way).await;
        Some(archived)
    }

    /// The same before anything is archived; `made` are further arguments of `initdb`.
    pub(crate) async fn unplanned(
        destination: &str,
        made: &[&str],
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let server = postgres::start(&[&["-A", "trust", "--wal-segsize=1"], made].concat());
        if server.is_none() {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
            eprintln!("skipped: PostgreSQL is not installed");
        }
        let server = server?;
        let port = server.port.to_string();
        let settings = [("host", "127.0.0.1"), ("port", port.as_str()), ("database", "postgres")];
        let sources = vec![source("pg", "postgres", &settings, &[])];
        let world = World::reading_by(destination, sources, hasty(), clock).await;
        Some(Self { world, server })
    }

    pub(crate) async fn plan(&self, change: impl FnOnce(&mut RecoveryPlan)) {
        self.world
            .change_app(|app| {
                let mut plan = app.recovery.clone().unwrap_or(RecoveryPlan {
                    source: "pg".parse().unwrap(),
                    way: WalWay::Stream,
                    destination: app.destinations[0].destination_id,
                    base_every_hours: 24,
                    window_days: 7,
                    heartbeat: false,
                    most_kept_bytes: None,
                });
                change(&mut plan);
                app.recovery = Some(plan);
            })
            .await;
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        let mut psql = Command::new(self.server.bin.join("psql"));
        psql.args(["-h", "127.0.0.1", "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-p", &self.server.port.to_string(), "-d", "postgres", "-c", sql]);
        let out = psql.output().unwrap();
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn end(&self) -> Lsn {
        self.sql("SELECT pg_current_wal_flush_lsn()").parse().unwrap()
    }

    /// Some MiB of WAL.
    pub(crate) fn write(&self, mib: u32) {
        self.sql("CREATE TABLE IF NOT EXISTS filled (n int, what text)");
        for n in 0..mib {
            let fill = format!(
                "INSERT INTO filled SELECT {n}, md5(random()::text) FROM generate_series(1, 10500)"
            );
            self.sql(&fill);
        }
    }

    pub(crate) async fn state(&self) -> RecoveryState {
        self.world.engine.recovery_state(self.world.app.id).await.unwrap()
    }

    /// Waits until the state is as it should be.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&RecoveryState) -> bool,
    ) -> RecoveryState {
        let mut last = RecoveryState::default();
        for _ in 0..900 {
            last = self.state().await;
            if is_so(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let told = self.world.everything_told().await;
        panic!("not {what}: {last:#?}; {}", told.chars().take(3_000).collect::<String>());
    }

    /// Waits until every byte that the server has is restorable in the newest window.
    pub(crate) async fn caught_up(&self) -> RecoveryState {
        let end = self.end();
        let reaches =
            |state: &RecoveryState| state.windows.last().is_some_and(|window| window.end >= end);
        self.until(&format!("caught up with {end}"), reaches).await
    }

    pub(crate) async fn events(&self, kind: EventKind) -> usize {
        let query = catalog::EventQuery { limit: 500, ..catalog::EventQuery::default() };
        let events = self.world.engine.catalog().events(query).await.unwrap();
        events.iter().filter(|event| event.kind == kind).count()
    }

    pub(crate) async fn pieces(&self, kind: WalPieceKind) -> Vec<WalPiece> {
        let all = self.world.engine.catalog().wal_of_app(self.world.app.id).await.unwrap();
        all.into_iter().filter(|piece| piece.kind == kind).collect()
    }

    pub(crate) fn file(&self, piece: &WalPiece) -> PathBuf {
        self.world.folder.path().join("disk").join(&piece.key)
    }

    /// A file of WAL as `restore_command` gets it.
    pub(crate) async fn fetched(&self, name: &str) -> Option<Vec<u8>> {
        fetched(&self.world.engine, self.world.app.id, name).await
    }
}

pub(crate) async fn fetched(engine: &Engine, app: model::AppId, name: &str) -> Option<Vec<u8>> {
    let stream = engine.fetch_wal(app, name).await.unwrap()?;
    Some(stream.try_collect::<Vec<_>>().await.unwrap().concat())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_streams_is_restorable_and_an_idle_server_is_not_a_stalled_one() {
    let Some(archived) = Archived::to("disk", WalWay::Stream).await else { return };
    let first = archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.write(6);
    let state = archived.caught_up().await;
    assert_eq!(state.windows.len(), 1);
    assert_eq!(state.windows[0].base, first.windows[0].base);
    assert!(state.gaps.is_empty(), "{:?}", state.gaps);
    assert!(state.windows[0].last_commit_at.is_some() && state.stored_bytes > 0);
    assert_eq!(state.standing.lag_secs, 0, "{:?}", state.standing);
    // Every segment is the server's own, byte for byte.
    let segments = archived.pieces(WalPieceKind::Segment).await;
    assert!(segments.len() >= 5, "{}", segments.len());
    let mut compared = 0;
    for piece in &segments {
        let name = &piece.name;
        let theirs = archived.sql(&format!(
            "SELECT encode(sha256(pg_read_binary_file('pg_wal/{name}')), 'hex') \
             FROM pg_ls_waldir() WHERE name = '{name}'"
        ));
        let ours = archived.fetched(name).await.unwrap();
        assert_eq!(ours.len(), 1 << 20);
        if !theirs.is_empty() {
            assert_eq!(sha256(&ours), theirs, "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 1);
    // The unfinished segment is filled up with zeros; only one beginning of it is left.
    // The server writes of its own accord, too: what it is in by now has to have come first.
    archived.sql("SELECT pg_logical_emit_message(true, 'within', 'the segment')");
    let name = archived.sql("SELECT pg_walfile_name(pg_current_wal_flush_lsn())");
    archived.caught_up().await;
    assert_eq!(archived.fetched(&name).await.unwrap().len(), 1 << 20);
    assert_eq!(archived.fetched("0000000100000FFF0000000A").await, None);

    // The base is an ordinary snapshot, proven by its manifest, and no ordinary restore's.
    let catalog = archived.world.engine.catalog();
    let base = catalog.snapshot(state.windows[0].base).await.unwrap();
    assert_eq!(base.kind, SnapshotKind::Base);
    assert!(base.verified_by_source);
    let facts = base.artifacts[0].base.clone().unwrap();
    assert_eq!((facts.timeline, facts.segment_bytes), (1, 1 << 20));
    assert_eq!(facts.end, state.windows[0].start);
    let tar = archived.world.restored(&base).await;
    let mut names = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        names.push(entry.unwrap().path().unwrap().display().to_string());
    }
    for name in ["PG_VERSION", "backup_label", "backup_manifest", "global/pg_control"] {
        assert!(names.iter().any(|one| one == name), "{name}: {names:?}");
    }
    let request = engine::RestoreRequest {
        to: "folder".to_owned(),
        path: Some("/tmp/nowhere".to_owned()),
        ..engine::RestoreRequest::default()
    };
    let refused = archived.world.engine.restore_now(base.id, &request).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");

    // Named moments.
    let app = archived.world.app.id;
    let point = archived.world.engine.make_restore_point(app, "before-v2").await.unwrap();
    archived.caught_up().await;
    let state = archived.until("with it", |state| !state.restore_points.is_empty()).await;
    assert_eq!(state.restore_points, [point]);
    let twice = archived.world.engine.make_restore_point(app, "before-v2").await;
    assert!(matches!(twice, Err(EngineError::Conflict(_))), "{twice:?}");
    let wrong = archived.world.engine.make_restore_point(app, "it's").await;
    assert!(matches!(wrong, Err(EngineError::Invalid(_))), "{wrong:?}");

    // Nothing is written for longer than may be behind.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let idle = archived.caught_up().await;
    assert!(idle.standing.is_live && idle.standing.trouble.is_none(), "{:?}", idle.standing);
    assert_eq!(archived.events(EventKind::WalBehind).await, 0);
    assert_eq!(archived.events(EventKind::WalGap).await, 0);
    // One that goes on after the first was stopped.
    archived.world.stop();
    archived.write(2);
    let mut config = hasty();
    config.instance = "two".to_owned();
    config.spool = archived.world.folder.path().join("spool");
    let clock = Arc::new(SystemClock);
    let second = open(archived.world.folder.path(), config, clock).await;
    let shutdown = CancellationToken::new();
    let serving = {
        let (second, shutdown) = (second.clone(), shutdown.clone());
        tokio::spawn(async move { second.serve(shutdown).await })
    };
    archived.write(2);
    let state = archived.caught_up().await;
    assert!(state.gaps.is_empty() && state.windows.len() == 1, "{state:#?}");
    assert_eq!(archived.events(EventKind::WalGap).await, 0);
    shutdown.cancel();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_repository_wal_is_encrypted_to_its_password() {
    let Some(archived) = Archived::to("repository", WalWay::Stream).await else { return };
    archived.until("a first window", |state| state.windows.len() == 1).await;
    archived.write(2);
    let state = archived.caught_up().await;
    let segments = archived.pieces(WalPieceKind::Segment).await;
    assert!(segments.iter().all(|piece| piece.key.ends_with(".zst.age")), "{segments:?}");
    // What lies before the first base backup is not needed, and may go at any time.
    let name = &segments.last().unwrap().name;
    let before = archived.fetched(name).await.unwrap();
    // A catalog that knows nothing of it learns all from the destination and the password.
    let catalog = archived.world.engine.catalog();
    let app = catalog.app(archived.world.app.id).await.unwrap();
    let setting = format!("wal_key/{}/apps/shop", app.destinations[0].destination_id);
    assert!(catalog.setting(&setting).await.unwrap().is_some());
    catalog.forget_setting(&setting).await.unwrap();
    let all = catalog.wal_of_app(app.id).await.unwrap();
    let keys: Vec<String> = all.iter().map(|piece| piece.key.clone()).collect();
    catalog.forget_wal(app.id, &keys).await.unwrap();
    assert_eq!(archived.fetched(name).await.unwrap(), before);
    let again = archived.caught_up().await;
    assert_eq!(again.windows[0].base, state.windows[0].base);
    assert!(again.windows[0].last_commit_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_over_is_taken_once_and_never_overwritten() {
    let Some(archived) = Archived::to("disk", WalWay::Push).await else { return };
    let (engine, app) = (&archived.world.engine, archived.world.app.id);
    // A checkpoint is not to take away what is handed over below.
    archived.sql("ALTER SYSTEM SET wal_keep_size = '256MB'");
    archived.sql("SELECT pg_reload_conf()");
    archived.write(2);
    let name = archived.sql("SELECT pg_walfile_name(pg_switch_wal())");
    archived.write(1);
    let hex = archived.sql(&format!("SELECT encode(pg_read_binary_file('pg_wal/{name}'), 'hex')"));
    let bytes = hex::decode(hex).unwrap();
    assert_eq!(bytes.len(), 1 << 20);
    let push = async |name: &str, bytes: Vec<u8>| {
        let size = bytes.len() as u64;
        let chunks: Vec<_> =
            bytes.chunks(70_000).map(|chunk| Ok(bytes::Bytes::copy_from_slice(chunk))).collect();
        let body = futures::stream::iter(chunks).boxed();
        engine.push_wal(app, name, Handed::ByCommand, body, size).await
    };
    // What a receiver beside the server has of it so far, filled up with zeros; a longer one, and at
    // last the whole, take its place.
    let begun = async |length: usize| {
        let body = futures::stream::iter([Ok(bytes::Bytes::copy_from_slice(&bytes[..length]))]);
        engine.push_wal(app, &name, Handed::Beginning, body.boxed(), length as u64).await
    };
    for length in [200_000, 300_008] {
        assert_eq!(begun(length).await.unwrap(), Pushed::Stored);
        let fetched = archived.fetched(&name).await.unwrap();
        assert_eq!(fetched.len(), 1 << 20);
        assert!(fetched[..length] == bytes[..length] && fetched[length..].iter().all(|b| *b == 0));
        assert_eq!(archived.pieces(WalPieceKind::Beginning).await.len(), 1);
    }
    for length in [20, 1 << 20] {
        let refused = begun(length).await;
        assert!(matches!(refused, Err(EngineError::Invalid(_))), "{length}: {refused:?}");
    }
    assert_eq!(push(&name, bytes.clone()).await.unwrap(), Pushed::Stored);
    assert_eq!(push(&name, bytes.clone()).await.unwrap(), Pushed::AlreadyThere);
    assert!(archived.pieces(WalPieceKind::Beginning).await.is_empty());
    assert_eq!(archived.fetched(&name).await.unwrap(), bytes);
    let mut other = bytes.clone();
    other[500_000] ^= 1;
    let refused = push(&name, other).await;
    assert!(matches!(refused, Err(EngineError::Conflict(_))), "{refused:?}");
    assert_eq!(archived.events(EventKind::WalGap).await, 1);
    assert_eq!(archived.fetched(&name).await.unwrap(), bytes);
    // What is not what its name says is not taken at all.
    for (name, bytes) in [
        ("000000010000000000000001x", bytes.clone()),
        ("../../etc/passwd", bytes.clone()),
        ("0000000100000000000000FF", bytes.clone()),
        (name.as_str(), vec![0; 1 << 20]),
        (name.as_str(), bytes[..1000].to_vec()),
        (name.as_str(), Vec::new()),
    ] {
        let refused = push(name, bytes).await;
        assert!(matches!(refused, Err(EngineError::Invalid(_))), "{name}: {refused:?}");
    }
    let history = b"1\t0/3000000\tno recovery target specified\n".to_vec();
    assert_eq!(push("00000002.history", history.clone()).await.unwrap(), Pushed::Stored);
    assert_eq!(archived.fetched("00000002.history").await.unwrap(), history);
    let label = format!("{name}.00000028.backup");
    assert_eq!(push(&label, b"START WAL".to_vec()).await.unwrap(), Pushed::Stored);
    assert_eq!(archived.fetched(&label).await.unwrap(), b"START WAL");
    assert_eq!(archived.fetched("00000003.history").await, None);
    // Base backups of this way wait for what `archive_command` brings; ours brings nothing, so the
    // run does not succeed by itself.
    let run = engine.queue_base(app).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let run = engine.catalog().run(run.id).await.unwrap();
    assert_ne!(run.state, RunState::Succeeded);
    // The first one, which nobody asked for, may have begun and ended within what was handed over.
    let handed = archived.pieces(WalPieceKind::Segment).await[0].end;
    let state = archived.state().await;
    assert!(state.windows.iter().all(|window| window.end <= handed), "{state:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_written_each_minute_where_that_is_asked_for() {
    let Some(archived) = Archived::to("disk", WalWay::Stream).await else { return };
    archived.plan(|plan| plan.heartbeat = true).await;
    archived.until("a first window", |state| state.windows.len() == 1).await;
    for _ in 0..100 {
        let there = "SELECT to_regclass('backup_orchestrator.heartbeat') IS NOT NULL";
        if archived.sql(there) == "t" {
            let rows = archived.sql("SELECT count(*) FROM backup_orchestrator.heartbeat");
            if rows.parse::<u32>().unwrap() >= 3 {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no rows");
}
