//! A server in a container of the official image's shape, brought back to moments: in new containers
//! beside it, in its place, and back.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{EngineConfig, MomentRequest, SystemClock};
use jiff::Timestamp;
use model::{
    Condition, DrillBoot, DrillQuestion, DrillState, Landing, Moment, MomentOrder, PreflightLevel,
    RecoveryPlan, RestoreReport, RestoreTarget, Run, RunState, WalWay,
};
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    beats::{Beat, Load, as_it_was, every_second},
    host::{Host, Made},
    images::Image,
    world::{World, open, quick, source},
};

const DATA: &str = "/var/lib/postgresql/data";
/// How long rows are written.
const LOAD: Duration = Duration::from_secs(60);
const MOMENTS: usize = 10;

/// What the official image does when it starts: as root it gives the folders to its user and
/// becomes it; an empty data directory is made a server's.
const ENTRYPOINT: &str = r#"#!/bin/bash
set -e
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /run/postgresql
  chown -R postgres: "$PGDATA" /run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -A trust -E UTF8 -U postgres -D "$PGDATA" >&2
  printf 'host all all all trust\nhost replication all all trust\n' >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
exec "$@"
"#;
/// Answers on 8080; what it writes has to stay where it is tried.
const APP: &str = r#"use IO::Socket::INET;
    my $own = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
    while (my $it = $own->accept) {
        while (<$it>) { last if /^\r?$/ }
        my $word = `cat /files/word`;
        my $gone = `psql -XAtc "WITH gone AS (DELETE FROM beats RETURNING n) SELECT count(*) FROM gone"`;
        system("echo scratched > /files/word");
        my $status = $gone !~ /^\d+$/ ? 500 : $word ne "kept\n" ? 501 : 204;
        print $it "HTTP/1.1 $status X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        close $it;
    }"#;
/// Makes of Debian's user the one that the official image has.
const SHAPE: &str = "set -e; usermod -u 999 -o postgres; groupmod -g 999 -o postgres; \
                     rm -rf /var/lib/postgresql/* /run/postgresql; \
                     mkdir -p /var/lib/postgresql/data /run/postgresql; \
                     chown -R postgres: /var/lib/postgresql /run/postgresql; \
                     cat > /usr/local/bin/docker-entrypoint.sh; \
                     chmod 755 /usr/local/bin/docker-entrypoint.sh";

/// The image `image` in the shape of the official one; gives its name.
fn official(host: &Host, image: Image, major: u32) -> String {
    let name = format!("backup-test-official:{major}");
    if host.try_docker(&["image", "inspect", &name]).status.success() {
        return name;
    }
    let made = Host::name("official");
    let create = ["create", "--interactive", "--stop-signal", "SIGINT", "--name", &made];
    host.docker(&[&create[..], &[host.image(image), "bash", "-c", SHAPE]].concat());
    host.feed(&["start", "--attach", "--interactive", &made], ENTRYPOINT.as_bytes());
    let changes = [
        "ENTRYPOINT [\"docker-entrypoint.sh\"]".to_owned(),
        "CMD [\"postgres\"]".to_owned(),
        format!("ENV PGDATA={DATA}"),
        format!("ENV PG_MAJOR={major}"),
        format!("VOLUME {DATA}"),
        "EXPOSE 5432".to_owned(),
    ];
    let mut commit = vec!["commit"];
    for change in &changes {
        commit.extend(["--change", change]);
    }
    host.docker(&[&commit[..], &[&made, &name]].concat());
    host.docker(&["rm", &made]);
    name
}

fn exec(host: &Host, container: &str, words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["--host", host.url(), "exec", "-i", container]).args(words);
    command
}

fn ask(host: &Host, container: &str, database: &str, text: &str) -> Result<String, String> {
    let words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"];
    let words = [&words[..], &["-d", database, "-c", text]].concat();
    let told = exec(host, container, &words).output().unwrap();
    if told.status.success() {
        return Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&told.stderr).into_owned())
}

pub(crate) fn sql(host: &Host, container: &str, text: &str) -> String {
    ask(host, container, "shop", text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn load(host: &Host, container: &str) -> Load {
    let psql = ["psql", "-X", "-q", "-A", "-t", "-U", "postgres", "-d", "shop"];
    let bench = ["pgbench", "-n", "-c", "2", "-R", "50", "-T", "600", "-U", "postgres", "shop"];
    let (psql, bench) = (exec(host, container, &psql), exec(host, container, &bench));
    Load::start(psql, bench, Duration::from_millis(200))
}

fn config(host: &Host) -> EngineConfig {
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    config.wal = every_second();
    config
}

/// A server in a container, which is `db` in its network.
pub(crate) struct Database<'a> {
    pub(crate) server: Made<'a>,
    network: Made<'a>,
    volume: Made<'a>,
}

impl<'a> Database<'a> {
    /// With the database `shop`, its table `beats`, and those of `pgbench`.
    pub(crate) fn serve(host: &'a Host, image: Image, major: u32) -> Self {
        let name = official(host, image, major);
        let (network, volume) = (host.network("moments"), host.volume("moments"));
        let mount = format!("{}:{DATA}", volume.name);
        let called = Host::name(&format!("db{major}"));
        host.docker(&[
            "run",
            "--detach",
            "--name",
            &called,
            "--network",
            &network.name,
            "--volume",
            &mount,
            "--network-alias",
            "db",
            "--env",
            "GREETING=hello",
            "--publish",
            "127.0.0.1::5432",
            "--label",
            "com.docker.compose.service=db",
            &name,
        ]);
        let server = host.holding("container", called);
        for tried in 0.. {
            if ask(host, &server.name, "postgres", "SELECT 1").is_ok() {
                break;
            }
            assert!(tried < 300, "{}", host.docker(&["logs", &server.name]));
            std::thread::sleep(Duration::from_millis(200));
        }
        ask(host, &server.name, "postgres", "CREATE DATABASE shop").unwrap();
        sql(host, &server.name, "CREATE TABLE beats (n int PRIMARY KEY)");
        let bench = ["pgbench", "-i", "-q", "-s", "1", "-U", "postgres", "shop"];
        assert!(exec(host, &server.name, &bench).output().unwrap().status.success());
        Self { server, network, volume }
    }
}

/// A server at work, what its app keeps beside it, and who keeps all of it.
struct Scene<'a> {
    host: &'a Host,
    server: Made<'a>,
    network: Made<'a>,
    volume: Made<'a>,
    files: Made<'a>,
    world: World,
}

impl<'a> Scene<'a> {
    async fn new(host: &'a Host, image: Image, major: u32) -> Self {
        let Database { server, network, volume } = Database::serve(host, image, major);
        let files = host.volume("moments-files");
        let settings = [("container", server.name.as_str()), ("database", "shop")];
        let sources = vec![
            source("pg", "postgres", &settings, &[]),
            source("files", "volume", &[("volume", files.name.as_str())], &[]),
        ];
        let world = World::reading(sources, config(host)).await;
        let plan = RecoveryPlan {
            source: "pg".parse().unwrap(),
            way: WalWay::Stream,
            destination: world.app.destinations[0].destination_id,
            base_every_hours: 24,
            window_days: 7,
            heartbeat: true,
            most_kept_bytes: None,
        };
        world.change_app(|app| app.recovery = Some(plan)).await;
        Self { host, server, network, volume, files, world }
    }

    /// The app: well where it can read and write in its database, which it finds as `db`, and has its
    /// file.
    fn app(&self, image: Image) -> Made<'a> {
        let mount = format!("{}:/files", self.files.name);
        let network = ["--network", &self.network.name, "--volume", &mount];
        let env = ["--env", "PGHOST=db", "--env", "PGUSER=postgres", "--env", "PGDATABASE=shop"];
        let options = [&network[..], &env].concat();
        let (app, _) = self.host.networked("shop", &options, image, &["perl", "-e", APP]);
        self.host.docker(&["exec", &app.name, "sh", "-c", "echo kept > /files/word"]);
        app
    }

    /// Waits until `moment` can be restored; gives the first that can.
    async fn until_stored(&self, moment: Timestamp) -> Timestamp {
        let began = Instant::now();
        loop {
            let state = self.world.engine.recovery_state(self.world.app.id).await.unwrap();
            if state.windows.last().is_some_and(|window| window.end_at >= moment) {
                return state.windows[0].start_at;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{moment}: {state:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn ended(&self, run: &Run) -> Run {
        let began = Instant::now();
        loop {
            let run = self.world.engine.catalog().run(run.id).await.unwrap();
            if run.state.is_terminal() {
                return run;
            }
            assert!(began.elapsed() < Duration::from_secs(240), "it does not end: {run:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn report(&self, run: &Run) -> RestoreReport {
        let run = self.ended(run).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        self.world.engine.restore_report(run.id).await.unwrap().unwrap()
    }

    async fn restored(&self, request: MomentRequest) -> (Run, RestoreReport) {
        let app = self.world.app.id;
        let seen = self.world.engine.moment_preflight(app, &request).await.unwrap();
        assert!(seen.preflight.may_begin(), "{seen:?}");
        let run = self.world.engine.restore_to_moment(app, request).await.unwrap();
        let report = self.report(&run).await;
        (run, report)
    }

    /// Into a new container; gives its name, which is that of its volume, and where it landed.
    async fn beside(&self, order: MomentOrder) -> (Copy<'a>, Landing) {
        let (_, report) = self.restored(request(order, None)).await;
        assert_eq!(report.condition, Condition::Restored);
        let name = report.steps[0].made.clone().unwrap();
        (Copy { host: self.host, name }, report.landing.unwrap())
    }

    fn rows(&self, container: &str) -> Vec<u32> {
        let all = "SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM beats";
        let found = sql(self.host, container, all);
        found.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
    }

    /// Containers that runs of this world have made and left, running or not.
    async fn helpers(&self) -> Vec<String> {
        const LABEL: &str = "io.backup-orchestrator.helper";
        let (filter, format) = (format!("label={LABEL}"), format!("{{{{.Label \"{LABEL}\"}}}}"));
        let all = ["ps", "--all", "--filter", &filter, "--format", &format];
        let mut own = Vec::new();
        for run in self.host.docker(&all).lines() {
            let id = run.parse().unwrap();
            if self.world.engine.catalog().run(id).await.is_ok() {
                own.push(run.to_owned());
            }
        }
        own
    }
}

/// A copy beside; removed when dropped.
struct Copy<'a> {
    host: &'a Host,
    name: String,
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        let _ = self.host.try_docker(&["rm", "--force", &self.name]);
        let _ = self.host.try_docker(&["volume", "rm", &self.name]);
    }
}

fn to(moment: Moment) -> MomentOrder {
    MomentOrder { moment, timeline: None, pause: false }
}

fn request(order: MomentOrder, target: Option<RestoreTarget>) -> MomentRequest {
    MomentRequest { order, target, confirm: None, overwrite: false }
}

fn in_place(order: MomentOrder) -> MomentRequest {
    let confirm = Some("direct".to_owned());
    MomentRequest { confirm, overwrite: true, ..request(order, Some(RestoreTarget::App)) }
}

pub(crate) async fn any_moment_of_postgres_15(host: Arc<Host>) {
    any_moment(&host, Image::Postgres15, 15).await;
}

pub(crate) async fn any_moment_of_postgres_17(host: Arc<Host>) {
    any_moment(&host, Image::Postgres17, 17).await;
}

async fn any_moment(host: &Host, image: Image, major: u32) {
    let scene = Scene::new(host, image, major).await;
    let first = scene.until_stored(Timestamp::now()).await;
    let load = load(host, &scene.server.name);
    tokio::time::sleep(LOAD).await;
    // `docker exec` ends without what it has begun.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'pgbench'";
    sql(host, &scene.server.name, end);
    let beats = load.end();
    let last = beats.last().unwrap().known_at;
    scene.until_stored(last).await;

    for _ in 0..MOMENTS {
        let span = first.as_microsecond()..last.as_microsecond();
        let moment = Timestamp::from_microsecond(rand::rng().random_range(span)).unwrap();
        let (copy, landing) = scene.beside(to(Moment::Time { at: moment })).await;
        as_it_was(&beats, &scene.rows(&copy.name), moment);
        assert!(landing.is_promoted && landing.timeline == Some(2), "{landing:?}");
        assert!(landing.last_commit_at.is_none_or(|at| at <= moment), "{landing:?} {moment}");
    }
    assert!(scene.helpers().await.is_empty(), "nothing is left of what replayed");
    is_a_copy(&scene).await;
    waits(&scene, last).await;
    refusals(&scene, last).await;
    cut_off(&scene, &beats, last).await;
    drilled(&scene, image).await;
    taken_place_and_back(&scene, &beats, first, last).await;
}

/// What is beside is of the same image and told the same, and in nobody's way.
async fn is_a_copy(scene: &Scene<'_>) {
    let host = scene.host;
    let (copy, _) = scene.beside(to(Moment::Latest)).await;
    let told = |name: &str, format: &str| host.docker(&["inspect", "--format", format, name]);
    let (own, other) = (scene.server.name.as_str(), copy.name.as_str());
    assert_eq!(told(own, "{{.Image}}"), told(other, "{{.Image}}"));
    assert_eq!(told(own, "{{.Config.Env}}"), told(other, "{{.Config.Env}}"));
    assert_eq!(told(other, "{{range .Mounts}}{{.Name}} {{end}}"), copy.name);
    assert_eq!(told(other, "{{.HostConfig.PortBindings}}"), "map[]");
    assert_eq!(told(other, "{{.HostConfig.RestartPolicy.Name}}"), "no");
    assert!(!told(other, "{{.Config.Labels}}").contains("compose"));
    let networks = told(other, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}");
    assert_eq!(networks, scene.network.name);
    let names = told(other, "{{range .NetworkSettings.Networks}}{{.Aliases}}{{end}}");
    let mut words = names.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(words.all(|word| word != "db"), "it would be taken for the other: {names}");
    sql(host, other, "INSERT INTO beats VALUES (1000000)");
    assert_eq!(sql(host, other, "SHOW archive_mode"), "off");
    assert!(!scene.rows(own).contains(&1_000_000));
}

/// One that waits for people.
async fn waits(scene: &Scene<'_>, last: Timestamp) {
    let order = MomentOrder { pause: true, ..to(Moment::Time { at: last }) };
    let name: model::Name = Host::name("waits").parse().unwrap();
    let target = RestoreTarget::Beside { name: name.clone() };
    let (_, report) = scene.restored(request(order, Some(target))).await;
    let copy = Copy { host: scene.host, name: name.to_string() };
    assert!(!report.landing.unwrap().is_promoted);
    assert_eq!(sql(scene.host, &copy.name, "SELECT pg_is_in_recovery()"), "t");
    sql(scene.host, &copy.name, "SELECT pg_promote()");
    assert_eq!(sql(scene.host, &copy.name, "SELECT pg_is_in_recovery()"), "f");
}

async fn refusals(scene: &Scene<'_>, last: Timestamp) {
    let blocked = async |request: MomentRequest| {
        let app = scene.world.app.id;
        let seen = scene.world.engine.moment_preflight(app, &request).await.unwrap();
        let mut checks = seen.preflight.checks.into_iter();
        let check = checks.find(|check| check.level == PreflightLevel::Blocked);
        check.map(|check| check.sentence.message).unwrap_or_default()
    };
    let at = to(Moment::Time { at: last });
    let name: model::Name = scene.server.name.parse().unwrap();
    let why = blocked(request(at.clone(), Some(RestoreTarget::Beside { name }))).await;
    assert!(why.contains("is there already"), "{why}");
    let waits = MomentOrder { pause: true, ..at.clone() };
    let why = blocked(in_place(waits)).await;
    assert!(why.contains("restore it beside"), "{why}");
    // Nothing is replaced without its name.
    let asked = MomentRequest { confirm: Some("other".to_owned()), ..in_place(at) };
    let app = scene.world.app.id;
    let refused = scene.world.engine.restore_to_moment(app, asked).await.unwrap_err();
    assert!(refused.to_string().contains("give the app's name"), "{refused}");
}

/// A restore that is cut off while it replays begins that again, and leaves nothing.
async fn cut_off(scene: &Scene<'_>, beats: &[Beat], last: Timestamp) {
    let host = scene.host;
    let name: model::Name = Host::name("cut-off").parse().unwrap();
    let target = RestoreTarget::Beside { name: name.clone() };
    let asked = request(to(Moment::Time { at: last }), Some(target));
    let run = scene.world.engine.restore_to_moment(scene.world.app.id, asked).await.unwrap();
    let copy = Copy { host, name: name.to_string() };
    let began = Instant::now();
    let replaying = loop {
        let running = ["ps", "--quiet", "--filter", "label=io.backup-orchestrator.helper"];
        let volume = format!("volume={name}");
        let found = host.docker(&[&running[..], &["--filter", &volume]].concat());
        let is_server = |id: &&str| {
            let top = host.try_docker(&["top", id, "-o", "pid,args"]).stdout;
            String::from_utf8_lossy(&top).contains("postgres:")
        };
        if let Some(id) = found.lines().find(is_server) {
            break id.to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(120), "no server was seen to replay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    scene.world.stop();
    assert_eq!(scene.ended(&run).await.state, RunState::Interrupted);

    let mut config = config(host);
    "two".clone_into(&mut config.instance);
    config.spool = scene.world.folder.path().join("spool");
    config.source_timeout = Duration::from_secs(60);
    let engine = open(scene.world.folder.path(), config, Arc::new(SystemClock)).await;
    tokio::spawn(async move { engine.serve(CancellationToken::new()).await });
    let next = loop {
        let runs = scene.world.engine.catalog().active_runs().await.unwrap();
        if let Some(next) = runs.into_iter().find(|one| one.retry_of == Some(run.id)) {
            break next;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "it is not tried again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let report = scene.report(&next).await;
    assert_eq!(report.steps[0].made.as_deref(), Some(copy.name.as_str()));
    as_it_was(beats, &scene.rows(&copy.name), last);
    assert!(scene.helpers().await.is_empty());
    assert!(!host.try_docker(&["inspect", &replaying]).status.success());
}

/// A drill replays in a container of the same image, boots the app on it and on what the last
/// snapshot has besides, and leaves nothing.
async fn drilled(scene: &Scene<'_>, image: Image) {
    let (host, before) = (scene.host, scene.rows(&scene.server.name));
    let app = scene.app(image);
    let plan = DrillBoot {
        container: app.name.clone(),
        path: Some("/well".to_owned()),
        port: Some(8080),
        timeout_secs: Some(60),
        ..DrillBoot::default()
    };
    let question = DrillQuestion {
        artifact: "pg".parse().unwrap(),
        sql: "SELECT count(*) >= 0 FROM beats".to_owned(),
        expect: Some("t".to_owned()),
    };
    scene
        .world
        .change_app(|app| {
            app.drill.boot = Some(plan);
            app.drill.questions = vec![question];
        })
        .await;
    scene.world.good_snapshot().await;
    let run = scene.world.engine.drill_moment(scene.world.app.id, None).await.unwrap();
    let run = scene.ended(&run).await;
    let report = scene.world.engine.drill_report(run.id).await.unwrap().unwrap_or_default();
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    let names: Vec<_> = report.items.iter().map(|item| item.artifact.as_str()).collect();
    assert_eq!(names, ["pg.server.base", "files"]);
    let item = &report.items[0];
    assert!(item.scratch.message.contains("container"), "{item:?}");
    let passed = item.checks.iter().filter(|check| check.state == DrillState::Passed);
    assert_eq!(passed.count(), item.checks.len(), "{item:?}");
    assert!(item.checks.iter().any(|check| check.name.starts_with("question: ")), "{item:?}");
    let boot = report.boot.expect("the app was booted");
    let told = &boot.checks[0].sentence.message;
    assert!(boot.is_proof() && told.starts_with("the app answered /well with 204"), "{boot:?}");
    assert_eq!(boot.checks.len(), 1, "nothing was missing: {boot:?}");
    assert_eq!(scene.rows(&scene.server.name), before, "it wrote where it was tried");
    assert_eq!(host.docker(&["exec", &app.name, "cat", "/files/word"]), "kept");

    // Where it needs nothing of the server, it is not tried on it.
    scene
        .world
        .change_app(|app| {
            app.drill.boot.as_mut().unwrap().needs = vec!["files".parse().unwrap()];
        })
        .await;
    let other = scene.world.engine.drill_moment(scene.world.app.id, None).await.unwrap();
    assert_eq!(scene.ended(&other).await.state, RunState::Succeeded);
    let report = scene.world.engine.drill_report(other.id).await.unwrap().unwrap();
    assert!(report.boot.is_none() && report.items.len() == 1, "{report:?}");
    scene.world.change_app(|app| app.drill.boot = None).await;
    assert!(scene.helpers().await.is_empty());
    let name = format!("name=backup-drill-{}", run.id).to_lowercase();
    assert_eq!(host.docker(&["volume", "ls", "--quiet", "--filter", &name]), "");
}

/// In the place of what the container has, twice; a server that does not come up puts all back by
/// itself; and back by what was kept.
async fn taken_place_and_back(
    scene: &Scene<'_>,
    beats: &[Beat],
    first: Timestamp,
    last: Timestamp,
) {
    let (host, own) = (scene.host, scene.server.name.as_str());
    let all = scene.rows(own);
    assert_eq!(all.len(), beats.len());
    let id = host.docker(&["inspect", "--format", "{{.Id}}", own]);
    let half = (first.as_microsecond() + last.as_microsecond()) / 2;
    let moment = Timestamp::from_microsecond(half).unwrap();
    let (run, report) = scene.restored(in_place(to(Moment::Time { at: moment }))).await;
    as_it_was(beats, &scene.rows(own), moment);
    assert!(scene.rows(own).len() < all.len());
    assert_eq!(host.docker(&["inspect", "--format", "{{.Id}}", own]), id, "it is the same one");
    let kept = report.steps[0].kept.clone().unwrap();
    assert!(std::path::Path::new(&kept).join("PG_VERSION").is_file(), "{kept}");
    let at = host.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &scene.volume.name]);
    assert!(kept.starts_with(&at), "{kept} {at}");
    sql(host, own, "INSERT INTO beats VALUES (2000000)");

    // Back, by its name only.
    let refused = scene.world.engine.undo_moment(run.id, None).await.unwrap_err();
    assert!(refused.to_string().contains("give the app's name"), "{refused}");
    let undo = scene.world.engine.undo_moment(run.id, Some("direct")).await.unwrap();
    let undone = scene.report(&undo).await;
    assert_eq!(scene.rows(own), all);
    // What was taken out again is kept as well.
    let again = scene.world.engine.undo_moment(undo.id, Some("direct")).await.unwrap();
    scene.report(&again).await;
    assert!(scene.rows(own).contains(&2_000_000), "{undone:?}");
    let refused = scene.world.engine.undo_moment(undo.id, Some("direct")).await.unwrap_err();
    assert!(refused.to_string().contains("not there any more"), "{refused}");
    assert!(scene.helpers().await.is_empty());
}
