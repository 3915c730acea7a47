//! Drills of databases in containers: in the image that the database runs in, on no network, and
//! nothing is left.

use std::{sync::Arc, time::Duration};

use engine::{RestoreRequest, SystemClock};
use model::{DrillReport, DrillState, Run, RunState, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::{
    host::Host,
    images::Image,
    mysql,
    postgres::{config, fill, reading, server},
    world::{self, World, source},
};

pub(crate) async fn drilled(world: &World, snapshot: &Snapshot) -> (Run, DrillReport) {
    let run = world.engine.drill_snapshot(snapshot.id).await.unwrap();
    let run = world.ended(&run).await;
    let report = world.engine.drill_report(run.id).await.unwrap().unwrap_or_default();
    (run, report)
}

/// Containers of a run that are still there, with their networks.
pub(crate) fn containers(host: &Host, run: &Run) -> String {
    let filter = format!("label=io.backup-orchestrator.helper={}", run.id);
    let format = "{{.Networks}} {{.Names}}";
    host.docker(&["ps", "--all", "--filter", &filter, "--format", format])
}

/// Drilled, it was in a container of the image that `snapshot` is from, and all of it is gone.
async fn proven(host: &Host, world: &World, snapshot: &Snapshot, version: &str) -> DrillReport {
    let image = snapshot.artifacts[0].image.clone().expect("the image is known");
    assert!(image.contains("sha256:"), "{image}");
    let (run, report) = drilled(world, snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    let place = &report.items[0].scratch;
    assert!(
        place.contains(version) && place.contains(&format!("container of {image}, the image that")),
        "{place}"
    );
    assert_eq!(containers(host, &run), "");
    report
}

/// Whose programs this machine does not have.
pub(crate) async fn postgres_is_tried_in_its_own_image(host: Arc<Host>) {
    let server = server(&host, "drilled", Image::Postgres17, "trust", &[]);
    fill(&host, &server);
    let world = World::reading(vec![reading(&server.name, &[])], config(&host)).await;
    let snapshot = world.good_snapshot().await;
    let report = proven(&host, &world, &snapshot, "PostgreSQL 17").await;
    let checks = &report.items[0].checks;
    assert!(checks[0].sentence.starts_with("1 tables with 3000 rows"), "{report:?}");
    assert_eq!(checks[1].name, "pg_amcheck");
    assert_eq!(checks[1].state, DrillState::Passed, "{report:?}");
    // Long gone, it still says by what it was stored.
    drop(server);
    proven(&host, &world, &snapshot, "PostgreSQL 17").await;
}

pub(crate) async fn mariadb_is_tried_in_its_own_image(host: Arc<Host>) {
    let server = mysql::serve(&host);
    mysql::sql(&host, &server, "mysql", mysql::FILL);
    let settings = [
        ("container", server.name.as_str()),
        ("socket", mysql::SOCKET),
        ("user", "root"),
        ("database", "shop"),
    ];
    let world = World::reading(vec![source("db", "mysql", &settings, &[])], config(&host)).await;
    let snapshot = world.good_snapshot().await;
    let report = proven(&host, &world, &snapshot, "MariaDB").await;
    let message = &report.items[0].checks[0].sentence;
    assert!(message.starts_with("1 tables with 20000 rows"), "{report:?}");
}

/// Also when it is restored: the keys' form is that of the server they are for.
pub(crate) async fn redis_is_tried_and_restored_by_its_own_image(host: Arc<Host>) {
    let serve = ["redis-server", "--protected-mode", "no", "--save", ""];
    let serve = [&serve[..], &["--repl-diskless-sync-delay", "0"]].concat();
    let (server, address) = host.networked("drilled", &[], Image::Redis, &serve);
    let cli = |words: &[&str]| {
        host.docker(&[&["exec", &server.name, "redis-cli", "-e"][..], words].concat())
    };
    while !host.try_docker(&["exec", &server.name, "redis-cli", "ping"]).status.success() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let script = "for i = 1, 20000 do redis.call('SET', 'key ' .. i, string.rep(i, 40)) end \
                  for i = 1, 500 do redis.call('ZADD', 'scores', i, 'member ' .. i) end";
    cli(&["EVAL", script, "0"]);
    cli(&["-n", "3", "SET", "last", "x", "PXAT", "4000000000123"]);
    let mut config = config(&host);
    config.idle_timeout = Duration::from_secs(10);
    let draft = source("cache", "redis", &[("host", &address)], &[]);
    let world = World::reading(vec![draft], config).await;
    let snapshot = world.good_snapshot().await;
    let report = proven(&host, &world, &snapshot, "Redis 7.0").await;
    let states: Vec<_> = report.items[0].checks.iter().map(|check| check.state).collect();
    assert_eq!(states, [DrillState::Passed; 2], "{report:?}");

    cli(&["FLUSHALL"]);
    let request = RestoreRequest { to: "app".to_owned(), ..RestoreRequest::default() };
    let run = world.engine.restore_now(snapshot.id, &request).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(cli(&["DBSIZE"]), "20001");
    assert_eq!(cli(&["GET", "key 7"]), "7".repeat(40));
    assert_eq!(cli(&["-n", "3", "PEXPIRETIME", "last"]), "4000000000123");
    assert_eq!(containers(&host, &run), "");
}

/// Drills `snapshot` in an orchestrator that is gone from one moment to the next once `is_far` says
/// so of what the run has made; then one starts on what it left, until `left` finds nothing.
pub(crate) async fn killed(
    host: &Host,
    world: &World,
    snapshot: &Snapshot,
    is_far: impl Fn(&str) -> bool,
    left: impl Fn(&Run) -> String,
) {
    world.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let run = world.engine.drill_snapshot(snapshot.id).await.unwrap();
    let doomed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = world.folder.path().to_owned();
    let settings = |instance: &str| {
        let mut config = config(host);
        instance.clone_into(&mut config.instance);
        config.spool = folder.join("spool");
        config
    };
    let (at, first) = (folder.clone(), settings("doomed"));
    doomed.spawn(async move {
        let engine = world::open(&at, first, Arc::new(SystemClock)).await;
        engine.serve(CancellationToken::new()).await;
    });
    let mut made = String::new();
    for _ in 0..1_200 {
        made = left(&run);
        if is_far(&made) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_far(&made), "{made}");
    doomed.shutdown_background();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_ne!(left(&run), "", "nobody is left to remove it");

    // Nothing is to be begun again: it is about what was left.
    world.engine.cancel(run.id).await.unwrap();
    let next = world::open(&folder, settings("next"), Arc::new(SystemClock)).await;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move { next.serve(stop).await });
    for _ in 0..600 {
        if left(&run).is_empty() {
            token.cancel();
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}", left(&run));
}

pub(crate) async fn what_a_killed_drill_began_is_removed(host: Arc<Host>) {
    let server = server(&host, "drilled", Image::Postgres15, "trust", &[]);
    fill(&host, &server);
    let world = World::reading(vec![reading(&server.name, &[])], config(&host)).await;
    let snapshot = world.good_snapshot().await;
    let is_far = |made: &str| made.starts_with("none backup-drill-");
    killed(&host, &world, &snapshot, is_far, |run| containers(&host, run)).await;
}
