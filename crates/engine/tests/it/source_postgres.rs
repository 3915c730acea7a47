//! PostgreSQL, read directly, by its own tools and from a real server that wants passwords.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use engine::{AppDraft, BindingDraft, CheckState, EngineConfig, RunRequest, SystemClock};
use model::{Failure, FailureCode, RunState};
use tokio_util::sync::CancellationToken;

use crate::{
    postgres::{self, Server},
    world::{self, World, quick, source},
};

pub(crate) const PASSWORD: &str = "canary-pg-password of 'the' \\server";

/// A server that wants passwords; `None` where there is none, which CI does not allow.
fn start() -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("755").arg(folder.path()).status().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let started = postgres::start(&["-A", "scram-sha-256", "--pwfile", file.to_str().unwrap()]);
    if started.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
        eprintln!("skipped: PostgreSQL is not installed");
    }
    started
}

pub(crate) fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(start).as_ref()
}

fn tool(server: &Server, name: &str) -> Command {
    let mut command = Command::new(server.bin.join(name));
    command
        .env("PGPASSWORD", PASSWORD)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", server.port.to_string())
        .env("PGUSER", "postgres");
    command
}

fn well(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// A connection string of one name, whatever it is.
fn named(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

pub(crate) fn sql(server: &Server, database: &str, text: &str) -> String {
    let mut psql = tool(server, "psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &named(database)]);
    well(&psql.args(["-c", text]).output().unwrap())
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A database with something in it that tells it from the others.
pub(crate) fn fill(server: &Server, database: &str, rows: u32) {
    sql(server, "postgres", &format!("CREATE DATABASE {}", quoted(database)));
    let text = format!(
        "CREATE TABLE orders (id serial PRIMARY KEY, what text);
         INSERT INTO orders (what) SELECT md5(n::text) FROM generate_series(1, {rows}) n;
         CREATE TABLE here AS SELECT current_database()::text AS name;"
    );
    sql(server, database, &text);
}

pub(crate) const SUM: &str =
    "SELECT count(*) || ' ' || md5(string_agg(id || what, ',' ORDER BY id)) FROM orders";

/// Restores `dump` into a new database `into`, as people would.
fn restore(server: &Server, dump: &[u8], format: &str, into: &str) {
    sql(server, "postgres", &format!("CREATE DATABASE {into}"));
    let folder = tempfile::tempdir().unwrap();
    let mut command = match format {
        "plain" => tool(server, "psql"),
        _ => tool(server, "pg_restore"),
    };
    if format == "plain" {
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", into]);
    } else {
        command.args(["--exit-on-error", "-d", into]);
    }
    if format == "directory" {
        let mut tar = Command::new("tar");
        tar.args(["x", "-C"]).arg(folder.path());
        feed(tar, dump);
        command.args(["-Fd", "-j", "2"]).arg(folder.path().join("dump"));
        well(&command.output().unwrap());
    } else {
        feed(command, dump);
    }
}

fn feed(mut command: Command, bytes: &[u8]) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    well(&child.wait_with_output().unwrap());
}

pub(crate) async fn world(
    server: &Server,
    settings: &[(&str, &str)],
    config: EngineConfig,
) -> World {
    world_with(server, settings, PASSWORD, config).await
}

async fn world_with(
    server: &Server,
    settings: &[(&str, &str)],
    password: &str,
    config: EngineConfig,
) -> World {
    let port = server.port.to_string();
    let mut all = vec![("host", "127.0.0.1"), ("port", port.as_str())];
    for (key, value) in settings {
        all.retain(|(known, _)| known != key);
        all.push((key, value));
    }
    World::reading(vec![source("pg", "postgres", &all, &[("password", password)])], config).await
}

async fn failure(world: &World) -> Failure {
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(world.files("disk"), Vec::<std::path::PathBuf>::new());
    let failure = run.failure.unwrap();
    assert!(!failure.message.contains("canary-pg-password"), "{failure:?}");
    failure
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Holds a lock on the table `orders`, so that a dump of it waits until this is dropped.
struct Lock(std::process::Child);

impl Lock {
    fn of(server: &Server, database: &str) -> Self {
        let mut psql = tool(server, "psql");
        psql.args(["-X", "-q", "-d", database]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = psql.spawn().unwrap();
        let text = b"BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;\n";
        child.stdin.as_mut().unwrap().write_all(text).unwrap();
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                    AND granted AND database = (SELECT oid FROM pg_database \
                    WHERE datname = current_database())";
        while sql(server, database, held) == "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Argument lists of all processes, as anybody on the machine can read them.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|one| std::fs::read(one.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

fn dumps_of(database: &str) -> usize {
    let name = format!("dbname='{database}'");
    command_lines().iter().filter(|l| l.contains("pg_dump") && l.contains(&name)).count()
}

async fn until_dumping(database: &str) {
    for _ in 0..1_000 {
        if dumps_of(database) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no dump began");
}

async fn until_gone(database: &str) {
    for _ in 0..500 {
        if dumps_of(database) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the dump goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_comes_back_in_every_format() {
    let Some(server) = shared() else { return };
    fill(server, "one", 3_000);
    for (format, word, extension, more) in [
        ("custom", "pg_dump_Fc", ".dump.zst", None),
        ("plain", "pg_dump_Fp", ".sql.zst", None),
        ("directory", "pg_dump_Fd", ".tar.zst", Some(("jobs", "3"))),
    ] {
        let mut settings = vec![("database", "one"), ("format", format)];
        settings.extend(more);
        let world = world(server, &settings, quick("one")).await;
        let snapshot = world.good_snapshot().await;
        let artifact = &snapshot.artifacts[0];
        assert_eq!((artifact.source.as_str(), artifact.part.as_ref()), ("pg", None));
        assert_eq!(artifact.format.as_deref(), Some(word));
        assert!(!snapshot.verified_by_source);
        assert!(snapshot.copies[0].objects[0].key.ends_with(extension), "{:?}", snapshot.copies);
        let dump = world.restored(&snapshot).await;
        let into = format!("one_{format}");
        restore(server, &dump, format, &into);
        assert_eq!(sql(server, &into, SUM), sql(server, "one", SUM));
        assert_eq!(sql(server, &into, "SELECT last_value FROM orders_id_seq"), "3000");
        let spool = world.folder.path().join("spool");
        assert!(!spool.exists() || is_empty(&spool));
        assert!(!world.everything_told().await.contains("canary-pg-password"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_databases_are_parts_of_one_snapshot() {
    let Some(server) = shared() else { return };
    fill(server, "several_a", 10);
    fill(server, "several_b", 20);
    let settings = [("database", "several_a, several_b"), ("globals", "true"), ("format", "plain")];
    let world = world(server, &settings, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    let told: Vec<_> = snapshot
        .artifacts
        .iter()
        .map(|one| (one.source.as_str(), one.part.as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("pg.several_a", "several_a"),
            ("pg.several_b", "several_b"),
            ("pg.server.globals", "globals")
        ]
    );
    restore(server, &world.restored_part(&snapshot, "pg.several_b").await, "plain", "several_back");
    assert_eq!(sql(server, "several_back", "SELECT count(*) FROM orders"), "20");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_databases_whatever_they_are_called() {
    let Some(server) = &start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bait = format!("--file={}/x", folder.path().display());
    let bait: String = bait.chars().take(63).collect();
    let odd = [
        "shop",
        "Shop",
        "globals",
        bait.as_str(),
        "host=evil dbname=x",
        "postgres://evil/x",
        "$(id)",
        "new\nline",
        "tab\there",
        "it's \\ \"so\"",
        "ação",
    ];
    for name in odd {
        fill(server, name, 7);
    }
    sql(server, "postgres", "CREATE ROLE clerk LOGIN PASSWORD 'x'");
    sql(server, "postgres", "CREATE DATABASE not_here");
    sql(server, "postgres", "ALTER DATABASE not_here ALLOW_CONNECTIONS false");
    for (format, more) in [("custom", None), ("directory", Some(("jobs", "2")))] {
        let mut settings = vec![("database", "*"), ("format", format)];
        settings.extend(more);
        let world = world(server, &settings, quick("one")).await;
        let snapshot = world.good_snapshot().await;
        // The one called `postgres`, and the globals.
        assert_eq!(snapshot.artifacts.len(), odd.len() + 2);
        for (number, name) in odd.iter().enumerate() {
            let artifact = snapshot
                .artifacts
                .iter()
                .find(|one| {
                    one.part.as_deref() == Some(name) && one.source.as_str() != "pg.server.globals"
                })
                .unwrap();
            let dump = world.restored_part(&snapshot, artifact.source.as_str()).await;
            let into = format!("back_{format}_{number}");
            restore(server, &dump, format, &into);
            assert_eq!(sql(server, &into, "SELECT name FROM here"), *name);
            sql(server, "postgres", &format!("DROP DATABASE {into}"));
        }
        let globals = world.restored_part(&snapshot, "pg.server.globals").await;
        let globals = String::from_utf8(globals).unwrap();
        assert!(globals.contains("CREATE ROLE clerk"), "{globals}");
        assert!(globals.contains("SCRAM-SHA-256"), "{globals}");
        assert!(is_empty(folder.path()));
    }
    // Without globals, by names, odd ones too.
    let settings = [("database", "host=evil dbname=x,$(id)"), ("format", "plain")];
    let world = world(server, &settings, quick("one")).await;
    assert_eq!(world.good_snapshot().await.artifacts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_its_code() {
    let Some(server) = shared() else { return };
    fill(server, "wrong", 1);
    sql(server, "wrong", "CREATE ROLE nosy LOGIN PASSWORD 'nosy-canary-pg-password'");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = closed.to_string();
    for (settings, password, code) in [
        (vec![("database", "wrong")], "canary-pg-password", FailureCode::SourceUnauthorized),
        (vec![("database", "*")], "canary-pg-password", FailureCode::SourceUnauthorized),
        (vec![("database", "wrong"), ("port", &closed)], PASSWORD, FailureCode::SourceUnreachable),
        (vec![("database", "no_such")], PASSWORD, FailureCode::SourceConfig),
        (vec![("database", "wrong"), ("sslmode", "require")], PASSWORD, FailureCode::SourceConfig),
        (
            vec![("database", "wrong"), ("user", "nosy")],
            "nosy-canary-pg-password",
            FailureCode::SourceConfig,
        ),
        (
            vec![("database", "wrong"), ("host", "no-such-host.invalid")],
            PASSWORD,
            FailureCode::SourceUnreachable,
        ),
    ] {
        let world = world_with(server, &settings, password, quick("one")).await;
        let failure = failure(&world).await;
        assert_eq!(failure.code, code, "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_looked_at_before_anything_runs() {
    let world = World::new(&["disk"]).await;
    for (settings, field) in [
        (vec![("database", "x")], "host"),
        (vec![("host", "a b"), ("database", "x")], "host"),
        (vec![("host", "a,b"), ("database", "x")], "host"),
        (vec![("host", "-h"), ("database", "x")], "host"),
        (vec![("container", "../x"), ("database", "x")], "container"),
        (vec![("host", "a")], "database"),
        (vec![("host", "a"), ("database", "x\ny")], "database"),
        (vec![("host", "a"), ("database", "x,,y")], "database"),
        (vec![("host", "a"), ("database", "x,*")], "database"),
        (vec![("host", "a"), ("database", "x,x")], "database"),
        (vec![("host", "a"), ("database", "x"), ("jobs", "2")], "jobs"),
        (vec![("container", "a"), ("database", "x"), ("format", "directory")], "format"),
        (vec![("host", "a"), ("database", "x"), ("sslrootcert", "ca.crt")], "sslrootcert"),
    ] {
        let draft = AppDraft {
            name: "direct".to_owned(),
            sources: vec![source("pg", "postgres", &settings, &[])],
            ..AppDraft::default()
        };
        let refused = world.engine.register_app(draft).await.unwrap_err();
        let engine::EngineError::Invalid(errors) = refused else { panic!("{refused:?}") };
        let field = format!("sources[0].settings.{field}");
        assert!(errors.iter().any(|one| one.field == field), "{settings:?}: {errors:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_cut_off_leaves_nothing() {
    let Some(server) = shared() else { return };
    fill(server, "cut", 10);
    sql(
        server,
        "cut",
        "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 8) AS t FROM generate_series(1, 150000) n",
    );
    let world = world(server, &[("database", "cut")], quick("one")).await;
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    let kill = "DO $$ BEGIN FOR i IN 1..20000 LOOP
        PERFORM pg_stat_clear_snapshot();
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = 'cut' AND query LIKE 'COPY public.big%' AND pid <> pg_backend_pid();
        IF FOUND THEN RETURN; END IF;
        PERFORM pg_sleep(0.001);
      END LOOP; RAISE 'no dump was seen'; END $$";
    tokio::task::spawn_blocking(move || sql(server, "postgres", kill)).await.unwrap();
    let run = world.ended(&run).await;
    let failure = run.failure.unwrap();
    assert_eq!((run.state, failure.code), (RunState::Failed, FailureCode::SourceFailed));
    assert!(failure.retryable && failure.message.contains("terminating"), "{failure:?}");
    world.wait_out_leftovers().await;
    assert_eq!(world.files("disk"), Vec::<std::path::PathBuf>::new());
    world.change_app(|app| app.limits.max_size_bytes = Some(1 << 20)).await;
    let failure = self::failure(&world).await;
    assert_eq!(failure.code, FailureCode::SourceTooLarge, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_stands_in_any_argument_list() {
    let Some(server) = shared() else { return };
    fill(server, "quiet", 10);
    for format in ["custom", "directory"] {
        let world = world(server, &[("database", "quiet"), ("format", format)], quick("one")).await;
        let lock = Lock::of(server, "quiet");
        let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
        let mut seen = 0;
        while seen < 20 {
            for line in command_lines() {
                assert!(!line.contains("canary-pg-password"), "{line}");
            }
            seen += dumps_of("quiet");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(lock);
        assert_eq!(world.ended(&run).await.state, RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stops_ends_its_dump() {
    let Some(server) = shared() else { return };
    fill(server, "stopped", 10);
    for format in ["custom", "directory"] {
        let settings = [("database", "stopped"), ("format", format)];
        let world = world(server, &settings, quick("one")).await;
        let _lock = Lock::of(server, "stopped");
        let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
        until_dumping("stopped").await;
        world.engine.cancel(run.id).await.unwrap();
        assert_eq!(world.ended(&run).await.state, RunState::Cancelled);
        until_gone("stopped").await;

        world.change_app(|app| app.limits.timeout_secs = Some(2)).await;
        let failure = failure(&world).await;
        assert_eq!(failure.code, FailureCode::Timeout, "{failure:?}");
        until_gone("stopped").await;
        let spool = world.folder.path().join("spool");
        for _ in 0..200 {
            if !spool.exists() || is_empty(&spool) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!spool.exists() || is_empty(&spool), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_older_than_the_server_say_what_to_install() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(server) = shared() else { return };
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("9/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(server.bin.join("psql"), bin.join("psql")).unwrap();
    let old = bin.join("pg_dump");
    std::fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    fill(server, "newer", 1);
    let config = EngineConfig {
        postgres_home: root.path().to_owned(),
        child_env: vec![("PATH".into(), "/nonexistent".into())],
        ..quick("one")
    };
    let world = world(server, &[("database", "newer")], config).await;
    let failure = failure(&world).await;
    assert_eq!(failure.code, FailureCode::SourceConfig);
    let major = sql(server, "postgres", "SHOW server_version_num").parse::<u32>().unwrap() / 10_000;
    let advice = format!("apt-get install postgresql-client-{major}");
    assert!(failure.message.contains(&advice), "{failure:?}");
    let report = world.engine.doctor_app(&world.app).await;
    assert!(!report.is_well() && report.checks[0].detail.contains(&advice), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_says_so() {
    let Some(server) = shared() else { return };
    let mount = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(mount.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    fill(server, "full", 50_000);
    // The world puts its spool into its own folder: a link leads to the small one.
    let world = world(server, &[("database", "full"), ("format", "directory")], quick("one")).await;
    std::os::unix::fs::symlink(mount.path(), world.folder.path().join("spool")).unwrap();
    let failure = failure(&world).await;
    let left = is_empty(mount.path());
    Command::new("umount").arg(mount.path()).status().unwrap();
    assert!(failure.message.contains("the spool folder is full"), "{failure:?}");
    assert!(left);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_what_would_fail() {
    let Some(server) = shared() else { return };
    fill(server, "ill", 10);
    sql(server, "ill", "CREATE ROLE reader LOGIN PASSWORD 'reader-canary-pg-password'");
    let state = |report: &engine::Report, id: &str| {
        report.checks.iter().find(|check| check.id == id).map(|check| check.state)
    };
    let well = world(server, &[("database", "ill"), ("globals", "true")], quick("one")).await;
    let report = well.engine.doctor_app(&well.app).await;
    assert!(report.checks.iter().all(|one| one.state == CheckState::Ok), "{report:?}");
    for id in ["reachable", "login", "tools", "databases", "rights"] {
        assert_eq!(state(&report, id), Some(CheckState::Ok), "{report:?}");
    }
    well.change_app(|app| app.limits.max_size_bytes = Some(1)).await;
    let app = well.engine.catalog().app(well.app.id).await.unwrap();
    let report = well.engine.doctor_app(&app).await;
    assert_eq!(state(&report, "size"), Some(CheckState::Warning), "{report:?}");

    let settings = [("database", "ill"), ("user", "reader"), ("globals", "true")];
    let nosy = world_with(server, &settings, "reader-canary-pg-password", quick("one")).await;
    let report = nosy.engine.doctor_app(&nosy.app).await;
    assert_eq!(state(&report, "rights"), Some(CheckState::Failed), "{report:?}");
    assert_eq!(state(&report, "globals"), Some(CheckState::Warning), "{report:?}");
    let grants = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
                  GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader";
    sql(server, "ill", grants);
    let report = nosy.engine.doctor_app(&nosy.app).await;
    assert_eq!(state(&report, "rights"), Some(CheckState::Warning), "{report:?}");
    // Which is true: it can dump, and says what it left out.
    let snapshot = nosy.good_snapshot().await;
    assert!(snapshot.warnings.iter().any(|one| one.contains("passwords")), "{snapshot:?}");
    sql(server, "ill", "GRANT pg_read_all_data TO reader");
    let report = nosy.engine.doctor_app(&nosy.app).await;
    assert!(report.checks.iter().all(|one| one.state == CheckState::Ok), "{report:?}");

    let wrong =
        world_with(server, &[("database", "ill")], "canary-pg-password", quick("one")).await;
    let report = wrong.engine.doctor_app(&wrong.app).await;
    assert_eq!(state(&report, "login"), Some(CheckState::Failed), "{report:?}");
}

/// An orchestrator that is gone from one moment to the next while a dump fills the spool; and one
/// that starts on what it left.
#[tokio::test(flavor = "multi_thread")]
async fn the_spool_is_emptied_after_a_kill() {
    let Some(server) = shared() else { return };
    fill(server, "killed", 10);
    let lock = Lock::of(server, "killed");
    let spool = tempfile::tempdir().unwrap();
    let config = EngineConfig { spool: spool.path().to_owned(), ..quick("one") };
    let clock = || Arc::new(SystemClock);
    let world = World::asleep(&["disk"], config.clone(), clock()).await;
    let port = server.port.to_string();
    let settings = [
        ("host", "127.0.0.1"),
        ("port", port.as_str()),
        ("database", "killed"),
        ("format", "directory"),
    ];
    let draft = AppDraft {
        name: "direct".to_owned(),
        sources: vec![source("pg", "postgres", &settings, &[("password", PASSWORD)])],
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            folder: "apps/direct".to_owned(),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    let app = world.engine.register_app(draft).await.unwrap();
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    // A process of its own in a runtime of its own.
    let doomed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = world.folder.path().to_owned();
    doomed.spawn(async move {
        let engine = world::open(&folder, config, clock()).await;
        engine.serve(CancellationToken::new()).await;
    });
    until_dumping("killed").await;
    doomed.shutdown_background();
    // It ends with who started it.
    until_gone("killed").await;
    assert!(!is_empty(spool.path()));

    world.engine.take_over_at_start().await.unwrap();
    drop(lock);
    world.start();
    for _ in 0..500 {
        if is_empty(spool.path()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_empty(spool.path()));
    assert_eq!(world.ended(&run).await.state, RunState::Interrupted);
}
