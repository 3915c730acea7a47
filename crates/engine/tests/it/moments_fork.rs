//! Histories that part, and what the WAL itself makes outside of the data directory.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jiff::Timestamp;
use model::{
    EventKind, Lsn, Moment, MomentOrder, RecoveryState, RunState, SourceKind, WalPieceKind,
};

use crate::{
    daemon,
    moments::{
        archived, bases, ended, request, restored, rows, sql, start, state, to, tool, until_stored,
    },
    postgres::Server,
    world::World,
};

/// One of PostgreSQL's programs, by whoever may run servers.
fn program(server: &Server, name: &str) -> Command {
    let path = server.bin.join(name);
    let is_root =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !is_root {
        return Command::new(path);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(path);
    command
}

/// A folder that the server can write into.
fn shared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
    folder
}

/// A standby of `server`, stopped with its owner.
struct Standby<'a> {
    of: &'a Server,
    folder: tempfile::TempDir,
    port: u16,
}

impl<'a> Standby<'a> {
    fn start(of: &'a Server) -> Self {
        let folder = shared();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let standby = Self { of, folder, port };
        let mut copy = program(of, "pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &of.port.to_string()]);
        copy.args(["-R", "-X", "stream", "-c", "fast", "-D"]).arg(standby.data());
        daemon::output(&mut copy);
        // As many connections as the server that it is a copy of.
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
             -c max_connections=200"
        );
        let log = standby.folder.path().join("log");
        let mut run = program(of, "pg_ctl");
        run.arg("-D").arg(standby.data()).args(["-o", &options, "-w", "-l"]).arg(log).arg("start");
        run.stdout(std::process::Stdio::null());
        assert!(run.status().unwrap().success());
        standby
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn sql(&self, text: &str) -> String {
        let mut psql = tool(self.of, "psql");
        psql.env("PGPORT", self.port.to_string());
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]);
        daemon::output(&mut psql).trim().to_owned()
    }

    fn control(&self, words: &[&str]) {
        let mut control = program(self.of, "pg_ctl");
        control.arg("-D").arg(self.data()).args(words).stdout(std::process::Stdio::null());
        assert!(control.status().unwrap().success(), "{words:?}");
    }
}

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        let mut stop = program(self.of, "pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]);
        let _ = stop.stdout(std::process::Stdio::null()).status();
    }
}

async fn until(world: &World, what: &str, is_so: impl Fn(&RecoveryState) -> bool) -> RecoveryState {
    for _ in 0..900 {
        let state = state(world).await;
        if is_so(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not {what}: {:#?}", state(world).await);
}

fn on(timeline: u32, moment: Moment) -> MomentOrder {
    MomentOrder { timeline: Some(timeline), ..to(moment) }
}

async fn found(world: &World, server: &Server, order: MomentOrder, into: &Path) -> Vec<u32> {
    let (data, _) = restored(world, order, into).await;
    let found = rows(server, &data);
    std::fs::remove_dir_all(into).unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_fork_come_back() {
    let Some(server) = start() else { return };
    let (folder, world) = archived(&server).await;
    let standby = Standby::start(&server);
    sql(&server, "INSERT INTO beats SELECT generate_series(1, 3)");
    for turn in 0.. {
        assert!(turn < 300, "the standby does not follow");
        if standby.sql("SELECT count(*) FROM beats") == "3" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shared_until = Timestamp::now();
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    // The standby becomes a server of its own while the old one goes on, and is archived.
    standby.control(&["promote", "-w"]);
    for n in 4..=6 {
        sql(&server, &format!("INSERT INTO beats VALUES ({n})"));
    }
    let old_at = Timestamp::now();
    until_stored(&world, old_at).await;
    let old_end: Lsn = sql(&server, "SELECT pg_current_wal_flush_lsn()").parse().unwrap();
    until(&world, "all of the old one", |state| state.windows[0].end >= old_end).await;
    standby.sql("INSERT INTO beats SELECT generate_series(4, 5)");

    // From now on the app is at the new one.
    world
        .change_app(|app| {
            let SourceKind::Direct(direct) = &mut app.sources[0].kind else { panic!() };
            direct.settings.insert("port".to_owned(), standby.port.to_string());
        })
        .await;
    let new_end: Lsn = standby.sql("SELECT pg_current_wal_flush_lsn()").parse().unwrap();
    let state = until(&world, "on the new timeline", |state| {
        state.windows.iter().any(|one| one.timeline == 2 && one.end >= new_end)
    })
    .await;
    // Both ways are told, each as far as it goes.
    let old = state.windows.iter().find(|one| one.timeline == 1).unwrap();
    assert!(old.end >= old_end, "{state:#?}");
    let pieces = world.engine.catalog().wal_of_app(world.app.id).await.unwrap();
    let kinds = |kind: WalPieceKind, timeline: u32| {
        pieces.iter().filter(|one| one.kind == kind && one.timeline == timeline).count()
    };
    assert_eq!(kinds(WalPieceKind::History, 2), 1);
    let ends_in_part = kinds(WalPieceKind::Beginning, 1);
    assert!(ends_in_part >= 1, "what the old server had begun is kept as it is");
    // A base backup of the new timeline is taken by itself.
    for turn in 0.. {
        assert!(turn < 900, "no base backup of the new timeline");
        let of_new = |one: &model::Snapshot| {
            one.artifacts[0].base.as_ref().is_some_and(|base| base.timeline == 2)
        };
        if bases(&world).await.iter().any(of_new) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let standby_end: Lsn = standby.sql("SELECT pg_current_wal_flush_lsn()").parse().unwrap();
    until(&world, "all of the new one", |state| {
        state.windows.iter().any(|one| one.timeline == 2 && one.end >= standby_end)
    })
    .await;

    let into = folder.path().join("into");
    let latest = found(&world, &server, to(Moment::Latest), &into).await;
    assert_eq!(latest, [1, 2, 3, 4, 5], "the new server's");
    let old = found(&world, &server, on(1, Moment::Latest), &into).await;
    assert_eq!(old, [1, 2, 3, 4, 5, 6], "the old server's");
    let at = Moment::Time { at: shared_until };
    for order in [on(1, at.clone()), on(2, at)] {
        assert_eq!(found(&world, &server, order.clone(), &into).await, [1, 2, 3], "{order:?}");
    }
    let query = catalog::EventQuery { limit: 500, ..catalog::EventQuery::default() };
    let events = world.engine.catalog().events(query).await.unwrap();
    let lost = events.iter().filter(|event| event.kind == EventKind::WalGap).count();
    assert_eq!(lost, 0, "nothing is lost: {events:?}");
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_makes_no_tablespace_where_a_server_has_one() {
    let Some(server) = start() else { return };
    let (folder, world) = archived(&server).await;
    sql(&server, "INSERT INTO beats VALUES (1)");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = Timestamp::now();
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let fast = shared();
    let place = fast.path().join("fast");
    daemon::output(Command::new("install").args(["-d", "-o", "postgres"]).arg(&place));
    sql(&server, &format!("CREATE TABLESPACE fast LOCATION '{}'", place.display()));
    sql(&server, "CREATE TABLE more TABLESPACE fast AS SELECT generate_series(1, 1000) AS n");
    sql(&server, "INSERT INTO beats VALUES (2)");
    sql(&server, "CHECKPOINT");
    until_stored(&world, Timestamp::now()).await;
    let there = names(&place);
    assert!(there.len() > 2, "{there:?}");

    let into = folder.path().join("into");
    let asked = request(to(Moment::Latest), &into);
    let run = world.engine.restore_to_moment(world.app.id, asked.clone()).await.unwrap();
    let run = ended(&world, &run).await;
    assert_eq!(run.state, RunState::Failed, "{run:?}");
    let failure = run.failure.unwrap();
    let told = serde_json::to_string(&failure).unwrap();
    assert!(told.contains("\"tablespace_in_wal\""), "{told}");
    assert!(failure.message.contains(&place.display().to_string()), "{failure:?}");
    assert_eq!(names(&place), there, "the server's own files");
    assert_eq!(sql(&server, "SELECT count(*) FROM more"), "1000");
    let left = std::fs::read_dir(&into).map_or(0, |inside| inside.flatten().count());
    assert_eq!(left, 0, "nothing of the attempt is left");
    // A moment before it is as good as ever.
    let at = Moment::Time { at: before };
    assert_eq!(found(&world, &server, to(at), &into).await, [1]);

    // So is any after the next base backup, which has it within.
    let base = world.engine.queue_base(world.app.id).await.unwrap();
    assert_eq!(ended(&world, &base).await.state, RunState::Succeeded);
    sql(&server, "INSERT INTO beats VALUES (3)");
    until_stored(&world, Timestamp::now()).await;
    let (data, report) = restored(&world, to(Moment::Latest), &into).await;
    assert_eq!(rows(&server, &data), [1, 2, 3]);
    assert!(data.join("pg_tblspc_files").is_dir(), "{report:?}");
    assert_eq!(names(&place), there, "the server's own files");
}
