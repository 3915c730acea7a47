//! PostgreSQL inside containers, dumped there by its own tools.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bollard::{ClientVersion, Docker};
use engine::{AppDraft, BindingDraft, EngineConfig, RunRequest, SourceDraft, SystemClock};
use model::{FailureCode, RunState};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Host, Made},
    images::Image,
    world::{self, World, quick, source},
};

pub(crate) const PASSWORD: &str = "word-nobody-sees of 'the' \\server";
pub(crate) const SUM: &str =
    "SELECT count(*) || ' ' || md5(string_agg(what, ',' ORDER BY id)) FROM orders";

/// Makes a server whose local socket wants `$1` (`trust`, `scram-sha-256`) and runs it.
pub(crate) const SERVE: &str = "set -e; mkdir -p /data /run/postgresql; chown postgres: /data; \
                     chown postgres: /run/postgresql; printf %s \"$PW\" > /pw; \
                     runuser -u postgres -- initdb -A \"$1\" --pwfile=/pw -E UTF8 -D /data/main; \
                     unset PW; exec setpriv --reuid postgres --regid postgres --clear-groups \
                     postgres -D /data/main -c listen_addresses= \
                     -c unix_socket_directories=/run/postgresql";

pub(crate) fn config(host: &Host) -> EngineConfig {
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    config
}

pub(crate) fn server<'a>(
    host: &'a Host,
    word: &str,
    image: Image,
    auth: &str,
    more: &[&str],
) -> Made<'a> {
    let password = format!("PW={PASSWORD}");
    let options = [&["--stop-signal", "INT", "--env", password.as_str()], more].concat();
    let made = host.container(word, &options, image, &["bash", "-c", SERVE, "serve", auth]);
    ready(host, &made);
    made
}

/// Waits until the server in it answers.
pub(crate) fn ready(host: &Host, container: &Made<'_>) {
    for _ in 0..300 {
        if psql(host, container, "postgres", "SELECT 1").output().unwrap().status.success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{}", host.docker(&["logs", &container.name]));
}

fn inside(host: &Host, container: &Made<'_>, command: &[&str]) -> Command {
    let mut exec = Command::new("docker");
    let password = format!("PGPASSWORD={PASSWORD}");
    exec.args(["--host", host.url(), "exec", "-i", "--env", &password, &container.name]);
    exec.args(command).stderr(Stdio::piped()).stdout(Stdio::piped());
    exec
}

fn psql(host: &Host, container: &Made<'_>, database: &str, text: &str) -> Command {
    let words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"];
    inside(host, container, &[&words[..], &["-d", database, "-c", text]].concat())
}

pub(crate) fn sql(host: &Host, container: &Made<'_>, database: &str, text: &str) -> String {
    let told = psql(host, container, database, text).output().unwrap();
    assert!(told.status.success(), "{text}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

pub(crate) fn fill(host: &Host, container: &Made<'_>) {
    sql(host, container, "postgres", "CREATE DATABASE shop");
    let text = "CREATE TABLE orders AS \
                SELECT id, md5(id::text) AS what FROM generate_series(1, 3000) id";
    sql(host, container, "shop", text);
}

pub(crate) fn reading(container: &str, more: &[(&str, &str)]) -> SourceDraft {
    // Of two settings of one name the later one counts.
    let settings = [&[("container", container), ("database", "shop")], more].concat();
    source("pg", "postgres", &settings, &[("password", PASSWORD)])
}

/// Commands in the container that dump, and do not only say which they are: their numbers.
pub(crate) fn dumps(host: &Host, container: &Made<'_>) -> Vec<String> {
    let list = "cd /proc; for p in [0-9]*; do printf '%s ' $p; tr '\\0' ' ' < $p/cmdline; echo; \
                done 2>/dev/null";
    let told = inside(host, container, &["sh", "-c", list]).output().unwrap().stdout;
    let told = String::from_utf8_lossy(&told);
    let dumping = told.lines().filter_map(|line| line.split_once(' '));
    let dumping = dumping
        .filter(|(_, command)| command.starts_with("pg_dump ") && !command.contains("--version"));
    dumping.map(|(number, _)| number.to_owned()).collect()
}

async fn until_dumps(host: &Host, container: &Made<'_>, wanted: usize) {
    for _ in 0..300 {
        if dumps(host, container).len() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not {wanted} dumps but {:?}", dumps(host, container));
}

/// Holds a lock that a dump of `shop` waits for.
pub(crate) fn lock(host: &Host, container: &Made<'_>) -> Child {
    let mut psql = inside(host, container, &["psql", "-X", "-q", "-U", "postgres", "-d", "shop"]);
    let mut child = psql.stdin(Stdio::piped()).spawn().unwrap();
    let text = b"BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;\n";
    child.stdin.as_mut().unwrap().write_all(text).unwrap();
    let held = "SELECT count(*) FROM pg_locks \
                WHERE mode = 'AccessExclusiveLock' AND granted AND relation > 16000";
    while sql(host, container, "shop", held) == "0" {
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

/// With nothing on this machine that could dump PostgreSQL 17.
pub(crate) async fn each_version_is_dumped_by_its_own_tools(host: Arc<Host>) {
    for (image, major) in [(Image::Postgres15, 15), (Image::Postgres17, 17)] {
        let server = server(&host, "pg", image, "trust", &[]);
        fill(&host, &server);
        let wanted = sql(&host, &server, "shop", SUM);
        let more = [("database", "*"), ("globals", "true")];
        let world = World::reading(vec![reading(&server.name, &more)], config(&host)).await;
        let snapshot = world.good_snapshot().await;
        let names: Vec<_> = snapshot.artifacts.iter().map(|one| one.source.as_str()).collect();
        assert_eq!(names, ["pg.postgres", "pg.shop", "pg.server.globals"]);
        let globals = world.restored_part(&snapshot, "pg.server.globals").await;
        assert!(String::from_utf8(globals).unwrap().contains("CREATE ROLE postgres"));

        let dump = world.restored_part(&snapshot, "pg.shop").await;
        sql(&host, &server, "postgres", "CREATE DATABASE back");
        let words = ["pg_restore", "--exit-on-error", "-U", "postgres", "-d", "back"];
        let mut restore = inside(&host, &server, &words).stdin(Stdio::piped()).spawn().unwrap();
        restore.stdin.take().unwrap().write_all(&dump).unwrap();
        let told = restore.wait_with_output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        assert_eq!(sql(&host, &server, "back", SUM), wanted);

        let report = world.engine.doctor_app(&world.app).await;
        assert!(report.is_well(), "{report:?}");
        assert!(report.checks[0].detail.contains(&format!("PostgreSQL {major}")), "{report:?}");
    }
}

/// The tools of this machine on a server of another version, whose socket both see.
pub(crate) async fn tools_older_than_the_server_say_what_to_install(host: Arc<Host>) {
    let told = Command::new("pg_dump").arg("--version").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    if !told.contains(" 15.") {
        eprintln!("skipped: there is no pg_dump 15 but {told}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("{}:/run/postgresql", folder.path().display());
    let server = server(&host, "newer", Image::Postgres17, "trust", &["-v", &mount]);
    fill(&host, &server);
    let socket = folder.path().display().to_string();
    let settings = [("host", socket.as_str()), ("database", "shop")];
    let draft = source("pg", "postgres", &settings, &[]);
    let world = World::reading(vec![draft], config(&host)).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceConfig, "{failure:?}");
    assert!(failure.message.contains("apt-get install postgresql-client-17"), "{failure:?}");
}

pub(crate) async fn what_cannot_be_run_is_told(host: Arc<Host>) {
    let empty = host.container("empty", &[], Image::Base, &["sleep", "600"]);
    let idle = host.container("idle", &[], Image::Base, &["true"]);
    for _ in 0..100 {
        let state = ["container", "inspect", "--format", "{{.State.Running}}", &idle.name];
        if host.docker(&state) == "false" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bare = host.container("bare", &[], Image::Base, &["sleep", "600"]);
    host.docker(&["exec", &bare.name, "rm", "/usr/bin/sh"]);
    for (container, code) in [
        (empty.name.as_str(), FailureCode::SourceConfig),
        (bare.name.as_str(), FailureCode::SourceConfig),
        (idle.name.as_str(), FailureCode::SourceUnreachable),
        ("backup-test-no-such-container", FailureCode::SourceConfig),
    ] {
        let world = World::reading(vec![reading(container, &[])], config(&host)).await;
        let run = world.back_up().await;
        let failure = run.failure.unwrap();
        assert_eq!(failure.code, code, "{failure:?}");
        world.quiet().await;
        assert!(world.engine.catalog().duties(run.id).await.unwrap().is_empty());
        let report = world.engine.doctor_app(&world.app).await;
        assert!(!report.is_well(), "{report:?}");
    }
}

pub(crate) async fn a_password_goes_in_unseen_and_what_stops_is_ended(host: Arc<Host>) {
    let server = server(&host, "locked", Image::Postgres15, "scram-sha-256", &[]);
    fill(&host, &server);
    let world = World::reading(vec![reading(&server.name, &[])], config(&host)).await;
    let mut holder = lock(&host, &server);
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    until_dumps(&host, &server, 1).await;
    let ids = host.docker(&["inspect", "--format", "{{json .ExecIDs}}", &server.name]);
    let ids: Vec<String> = serde_json::from_str(&ids).unwrap();
    let version = ClientVersion { major_version: 1, minor_version: 41 };
    let docker = Docker::connect_with_unix(host.url(), 120, &version).unwrap();
    let mut seen = 0;
    for id in ids {
        let Ok(told) = docker.inspect_exec(&id).await else { continue };
        let told = format!("{told:?}");
        seen += usize::from(told.contains("pg_dump"));
        assert!(!told.contains("word-nobody-sees"), "{told}");
    }
    assert_eq!(seen, 1);
    for line in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(line.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        // The tests' own `docker run` and `docker exec` have it in theirs.
        let is_ours = line.starts_with("docker\0");
        assert!(is_ours || !line.contains("word-nobody-sees"), "{line}");
    }
    world.engine.cancel(run.id).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Cancelled);
    until_dumps(&host, &server, 0).await;

    drop(holder.stdin.take());
    holder.wait().unwrap();
    world.good_snapshot().await;
    let wrong = source(
        "pg",
        "postgres",
        &[("container", server.name.as_str()), ("database", "shop")],
        &[("password", "word-nobody-sees")],
    );
    let world = World::reading(vec![wrong], config(&host)).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceUnauthorized, "{failure:?}");
    assert!(!failure.message.contains("word-nobody-sees"), "{failure:?}");
}

/// An orchestrator that is gone from one moment to the next while a dump goes on; and one that
/// starts on what it left.
pub(crate) async fn a_dump_is_ended_after_a_kill(host: Arc<Host>) {
    let server = server(&host, "killed", Image::Postgres15, "trust", &[]);
    fill(&host, &server);
    let mut holder = lock(&host, &server);
    let world = World::asleep(&["disk"], config(&host), Arc::new(SystemClock)).await;
    let draft = AppDraft {
        name: "direct".to_owned(),
        sources: vec![reading(&server.name, &[])],
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            folder: "apps/direct".to_owned(),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    let app = world.engine.register_app(draft).await.unwrap();
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    let doomed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (folder, config) = (world.folder.path().to_owned(), config(&host));
    doomed.spawn(async move {
        let engine = world::open(&folder, config, Arc::new(SystemClock)).await;
        engine.serve(CancellationToken::new()).await;
    });
    until_dumps(&host, &server, 1).await;
    doomed.shutdown_background();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(dumps(&host, &server).len(), 1, "nobody is left to end it");

    world.engine.cancel(run.id).await.unwrap();
    world.engine.take_over_at_start().await.unwrap();
    world.start();
    until_dumps(&host, &server, 0).await;
    drop(holder.stdin.take());
    holder.wait().unwrap();
}
