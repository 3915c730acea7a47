//! Volumes: read whole, with everything that a tar can say of a file, while what uses them runs,
//! is paused or is stopped.

use std::{path::PathBuf, sync::Arc, time::Duration};

use engine::{AppDraft, BindingDraft, EngineConfig, RunRequest, SourceDraft, SystemClock};
use model::{EventKind, FailureCode, RunState, Snapshot};
use store::{Fault, Faulty, Local, Operation};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Host, Made},
    images::Image,
    world::{self, World, quick, source},
};

/// Everything of a file that must come back; Docker's tar has whole seconds.
pub(crate) const LIST: &str = "cd /v && find . -exec stat -c '%N %F %a %u %g %h %s %Y' {} + | sort && \
                    getcap -r . && find . -type f -exec sha256sum {} + | sort";

/// A tree of what is easily lost.
pub(crate) const TREE: &str = r#"
set -e; cd /v
chown 999:998 .; chmod 1770 .
mkdir -p d/empty; chmod 2750 d; chown 5:6 d
echo one > a; ln a d/hard; ln -s a soft; ln -s /nowhere dangling; chown -h 7:8 soft
echo run > suid; chown 1:2 suid; chmod 4755 suid
mkfifo pipe; chmod 600 pipe
touch -d '2001-02-03 04:05:06.789' old
echo long > "$(printf 'n%.0s' $(seq 200))"; echo odd > "$(printf 'sp ace\nline ünï')"
echo cap > cap; setcap cap_net_raw+ep cap
head -c 3000000 /dev/urandom > big
"#;

fn config(host: &Host) -> EngineConfig {
    config_at(host.url())
}

fn config_at(url: &str) -> EngineConfig {
    let mut config = quick("one");
    config.docker_host = Some(url.to_owned());
    config.idle_timeout = Duration::from_secs(20);
    config.max_size_bytes = 1 << 30;
    config
}

fn volume_source(volume: &Made<'_>, more: &[(&str, &str)]) -> SourceDraft {
    let settings = [&[("volume", volume.name.as_str())], more].concat();
    source("files", "volume", &settings, &[])
}

pub(crate) async fn world_of(host: &Host, volume: &Made<'_>, more: &[(&str, &str)]) -> World {
    world_to("disk", host, volume, more).await
}

/// The same with another destination.
pub(crate) async fn world_to(
    destination: &str,
    host: &Host,
    volume: &Made<'_>,
    more: &[(&str, &str)],
) -> World {
    host.image(Image::Base);
    World::reading_to(destination, vec![volume_source(volume, more)], config(host)).await
}

/// Fills a volume from the snapshot's archive, as the guide says.
async fn restore(host: &Host, world: &World, snapshot: &Snapshot, into: &Made<'_>) {
    let tar = world.restored(snapshot).await;
    let mount = format!("{}:/v", into.name);
    let run = ["run", "--rm", "-i", "--network", "none", "-v", &mount, host.image(Image::Base)];
    let unpack = ["tar", "-x", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", "/v"];
    host.feed(&[&run[..], &unpack].concat(), &tar);
}

pub(crate) fn is_running(host: &Host, container: &str) -> bool {
    let state = ["container", "inspect", "--format", "{{.State.Running}} {{.State.Paused}}"];
    host.docker(&[&state[..], &[container]].concat()) == "true false"
}

fn started_at(host: &Host, container: &str) -> String {
    let words = ["container", "inspect", "--format", "{{.State.StartedAt}}", container];
    host.docker(&words)
}

/// Containers of ours that were made for their mounts.
pub(crate) fn helpers(host: &Host, volume: &Made<'_>) -> String {
    let filter = format!("volume={}", volume.name);
    let label = "label=io.backup-orchestrator.helper";
    host.docker(&["ps", "-aq", "--filter", &filter, "--filter", label])
}

/// Where Docker keeps a volume.
fn folder(host: &Host, volume: &Made<'_>) -> PathBuf {
    let words = ["volume", "inspect", "--format", "{{.Mountpoint}}", &volume.name];
    PathBuf::from(host.docker(&words))
}

/// Set for ourselves where we run again in a container: the volume to read, and where Docker is.
pub(crate) const WITHIN: [&str; 2] = ["READ_WITHIN_VOLUME", "READ_WITHIN_DOCKER"];

/// Reads a volume and says what the run's log says.
pub(crate) async fn read_within(volume: &str, docker: &str) {
    let draft = source("files", "volume", &[("volume", volume)], &[]);
    let world = World::reading(vec![draft], config_at(docker)).await;
    let snapshot = world.good_snapshot().await;
    let tar = world.restored(&snapshot).await;
    assert!(tar.windows(9).any(|some| some == b"something"));
    println!("{}", world.everything_told().await);
}

/// In a container the mount of the folder of volumes is the proof; without it Docker reads.
pub(crate) async fn is_read_directly_from_within_a_container(host: Arc<Host>) {
    let volume = host.volume("within");
    let mount = format!("{}:/v", volume.name);
    host.run(&["-v", &mount], Image::Base, &["sh", "-c", "echo something > /v/f"]);
    let exe = std::env::current_exe().unwrap();
    let exe = format!("{}:/test:ro", exe.display());
    let socket = host.url().strip_prefix("unix://").unwrap();
    let socket = format!("{socket}:{socket}");
    let told = [volume.name.as_str(), host.url()];
    let told = std::array::from_fn(|n| format!("{}={}", WITHIN[n], told[n]));
    let [named, reached]: [String; 2] = told;
    let run = ["-v", &exe, "-v", &socket, "-e", &named, "-e", &reached];
    let folder = folder(&host, &volume);
    let volumes = folder.parent().and_then(std::path::Path::parent).unwrap().display();
    let same = format!("{volumes}:{volumes}:ro");
    // Of the same names, and another's.
    let other = tempfile::tempdir().unwrap();
    let inside = other.path().join(&volume.name).join("_data");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("f"), "another\n").unwrap();
    let other = format!("{}:{volumes}:ro", other.path().display());
    for (mount, way) in [
        (Some(same), "is read directly at"),
        (Some(other), "through Docker: nothing proves"),
        (None, "cannot be seen from here"),
    ] {
        let more: Vec<_> = mount.iter().flat_map(|mount| ["-v", mount.as_str()]).collect();
        let said = host.run(&[&run[..], &more].concat(), Image::Base, &["/test"]);
        assert!(said.contains(way), "{way}: {said}");
    }
}

/// Who reads: we, or Docker.
const WAYS: [&str; 2] = ["direct", "docker"];

pub(crate) async fn comes_back_with_owners_modes_links_and_capabilities(host: Arc<Host>) {
    let volume = host.volume("tree");
    let mount = |volume: &Made<'_>| format!("{}:/v", volume.name);
    host.run(&["-v", &mount(&volume)], Image::Postgres15, &["bash", "-c", TREE]);
    let list = |volume: &Made<'_>| {
        host.run(&["-v", &mount(volume)], Image::Postgres15, &["sh", "-c", LIST])
    };
    let before = list(&volume);
    assert!(before.contains("cap_net_raw") && before.lines().count() > 15, "{before}");
    for way in WAYS {
        let restored = host.volume("restored");
        let world = world_of(&host, &volume, &[("read", way)]).await;
        let snapshot = world.good_snapshot().await;
        assert!(!snapshot.verified_by_source);
        assert_eq!(helpers(&host, &volume), "");
        restore(&host, &world, &snapshot, &restored).await;
        assert_eq!(before, list(&restored), "{way}");
    }
}

/// What Docker's own archive lacks: other extended attributes, holes, parts of seconds.
pub(crate) async fn read_directly_it_keeps_what_docker_leaves_out(host: Arc<Host>) {
    let (volume, restored) = (host.volume("more"), host.volume("more-restored"));
    let mount = |volume: &Made<'_>| format!("{}:/v", volume.name);
    let fill = "cd /v; echo 1 > a; truncate -s 40M holes; echo end >> holes; \
                touch -d '2001-02-03 04:05:06.789' old; mknod null c 1 3";
    let list = "cd /v; stat -c '%n %F %y %t %T %s' a holes old null; \
                test $(du -k holes | cut -f1) -lt 1000";
    host.run(&["-v", &mount(&volume)], Image::Postgres15, &["bash", "-ec", fill]);
    for (name, colour) in [("a", "blue"), (".", "green")] {
        xattr::set(folder(&host, &volume).join(name), "user.colour", colour.as_bytes()).unwrap();
    }
    let listed = |volume: &Made<'_>| {
        let colours =
            ["a", "."].map(|name| xattr::get(folder(&host, volume).join(name), "user.colour"));
        let rest = host.run(&["-v", &mount(volume)], Image::Postgres15, &["bash", "-ec", list]);
        (colours.map(Result::unwrap), rest)
    };
    // Nothing is said: it is found out that the folder is Docker's.
    let world = world_of(&host, &volume, &[]).await;
    let snapshot = world.good_snapshot().await;
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    let told = world.everything_told().await;
    assert!(told.contains("is read directly at"), "{told}");
    restore(&host, &world, &snapshot, &restored).await;
    let before = listed(&volume);
    assert!(before.1.contains(".789"), "{before:?}");
    assert_eq!(before, listed(&restored));
}

/// A link that leads out of the volume stays a link, whatever is behind it; what is mounted for
/// containers alone is Docker's to read.
pub(crate) async fn what_is_not_surely_dockers_is_read_by_docker(host: Arc<Host>) {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("kept"), "kept").unwrap();
    let volume = Host::name("device");
    let device = format!("device={}", elsewhere.path().display());
    let bound = ["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, &volume];
    host.docker(&bound);
    let draft = |way| source("files", "volume", &[("volume", volume.as_str()), ("read", way)], &[]);
    host.image(Image::Base);
    let world = World::reading(vec![draft("auto")], config(&host)).await;
    let snapshot = world.good_snapshot().await;
    let tar = world.restored(&snapshot).await;
    assert!(tar.windows(4).any(|some| some == b"kept"));
    let told = world.everything_told().await;
    assert!(told.contains("through Docker: it has options"), "{told}");
    let world = World::reading(vec![draft("direct")], config(&host)).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceConfig, "{failure:?}");
    assert!(failure.message.contains("cannot be read directly"), "{failure:?}");
    host.docker(&["volume", "rm", &volume]);

    let volume = host.volume("links");
    let mount = format!("{}:/v", volume.name);
    let link = format!("ln -s {} /v/away", elsewhere.path().display());
    host.run(&["-v", &mount], Image::Base, &["sh", "-c", &link]);
    let world = world_of(&host, &volume, &[("read", "direct")]).await;
    let snapshot = world.good_snapshot().await;
    let tar = world.restored(&snapshot).await;
    let told = String::from_utf8_lossy(&tar);
    assert!(told.contains("./away") && !told.contains("kept"), "{told}");
}

pub(crate) async fn leaves_out_what_is_excluded(host: Arc<Host>) {
    let volume = host.volume("full");
    let mount = |volume: &Made<'_>| format!("{}:/v", volume.name);
    let fill = "cd /v; mkdir -p cache/x keep/log log; \
                echo 1 | tee cache/x/f keep/f keep/t.tmp keep/log/f log/f";
    host.run(&["-v", &mount(&volume)], Image::Base, &["sh", "-c", fill]);
    for way in WAYS {
        let restored = host.volume("less");
        let more = [("exclude", "cache, *.tmp, log/*"), ("read", way)];
        let world = world_of(&host, &volume, &more).await;
        let snapshot = world.good_snapshot().await;
        restore(&host, &world, &snapshot, &restored).await;
        let list = ["sh", "-c", "cd /v; find . | sort"];
        let list = host.run(&["-v", &mount(&restored)], Image::Base, &list);
        assert_eq!(list, ".\n./keep\n./keep/f\n./keep/log\n./keep/log/f\n./log", "{way}");
    }
}

pub(crate) async fn what_is_no_volume_is_refused_and_not_made(host: Arc<Host>) {
    host.image(Image::Base);
    let missing = Host::name("missing");
    let draft = source("files", "volume", &[("volume", &missing)], &[]);
    let world = World::reading(vec![draft], config(&host)).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceConfig, "{failure:?}");
    assert!(failure.message.contains(&missing), "{failure:?}");
    assert!(!host.try_docker(&["volume", "inspect", &missing]).status.success());
}

pub(crate) async fn what_runs_is_paused_or_stopped_and_goes_on(host: Arc<Host>) {
    let volume = host.volume("used");
    let mount = format!("{}:/v", volume.name);
    let writes = ["sh", "-c", "trap 'echo end >> /v/ends; exit' TERM; while :; do sleep 0.1; done"];
    let used = ["-v", mount.as_str()];
    let running = host.container("running", &used, Image::Base, &writes);
    let second = host.container("second", &used, Image::Base, &writes);
    let idle = host.container("idle", &used, Image::Base, &["true"]);
    let paused = host.container("paused", &used, Image::Base, &writes);
    host.docker(&["pause", &paused.name]);
    let other = host.container("other", &[], Image::Base, &["sleep", "600"]);
    let untouched = [&idle, &paused, &other].map(|made| started_at(&host, &made.name));
    let began = started_at(&host, &running.name);

    let world = world_of(&host, &volume, &[("containers", "pause")]).await;
    world.good_snapshot().await;
    assert_eq!(started_at(&host, &running.name), began, "paused, not stopped");
    assert!(is_running(&host, &running.name) && is_running(&host, &second.name));
    let told = world.everything_told().await;
    assert!(told.contains(&format!("`{}` is paused", running.name)), "{told}");

    let world = world_of(&host, &volume, &[("containers", "stop")]).await;
    let snapshot = world.good_snapshot().await;
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    assert_ne!(started_at(&host, &running.name), began);
    assert!(is_running(&host, &running.name) && is_running(&host, &second.name));
    let tar = world.restored(&snapshot).await;
    let ends = String::from_utf8_lossy(&tar).matches("end\nend\n").count();
    assert_eq!(ends, 1, "both had ended by themselves before the volume was read");
    // What did not run before does not run now.
    let after = [&idle, &paused, &other].map(|made| started_at(&host, &made.name));
    assert_eq!(untouched, after);
    assert!(!is_running(&host, &idle.name) && !is_running(&host, &paused.name));
}

pub(crate) async fn what_was_stopped_goes_on_although_the_run_fails(host: Arc<Host>) {
    let volume = host.volume("large");
    let mount = format!("{}:/v", volume.name);
    let fill = ["sh", "-c", "head -c 3000000 /dev/urandom > /v/f; exec sleep 600"];
    let options = ["--stop-signal", "KILL", "-v", &mount];
    let user = host.container("user", &options, Image::Base, &fill);
    let began = started_at(&host, &user.name);
    let mut config = config(&host);
    config.max_size_bytes = 1 << 20;
    let draft = volume_source(&volume, &[("containers", "stop")]);
    let world = World::reading(vec![draft], config).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.failure.unwrap().code, FailureCode::SourceTooLarge);
    assert!(is_running(&host, &user.name));
    assert_ne!(started_at(&host, &user.name), began);
    assert_eq!(helpers(&host, &volume), "");

    // One that would vanish is not stopped at all.
    let vanishing = host.container("rm", &["--rm", "-v", &mount], Image::Base, &["sleep", "600"]);
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceConfig, "{failure:?}");
    assert!(failure.message.contains(&vanishing.name), "{failure:?}");
    assert!(is_running(&host, &vanishing.name) && is_running(&host, &user.name));
}

/// Seed 004's way and ours end the same: a real PostgreSQL on the volume, stopped, read, started;
/// and another one on a new volume filled from the snapshot.
/// Serves what the volume at `/v` holds, which is made first where there is nothing.
pub(crate) const POSTGRES: &str = "set -e; if [ ! -s /v/main/PG_VERSION ]; then mkdir -p /v/main /run/postgresql; \
     chown postgres: /v/main; \
     runuser -u postgres -- initdb -A trust -D /v/main > /dev/null; fi; \
     mkdir -p /run/postgresql; chown postgres: /run/postgresql; \
     exec setpriv --reuid postgres --regid postgres --clear-groups \
     postgres -D /v/main -c listen_addresses= -c unix_socket_directories=/run/postgresql";

/// The answer of the server in `container`, once it is up.
pub(crate) fn asked(host: &Host, container: &Made<'_>, sql: &str) -> String {
    let psql = ["exec", &container.name, "psql", "-h", "/run/postgresql", "-U", "postgres"];
    for _ in 0..300 {
        let told = host.try_docker(&[&psql[..], &["-Atc", sql]].concat());
        if told.status.success() {
            return String::from_utf8(told.stdout).unwrap().trim().to_owned();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{}", host.docker(&["logs", &container.name]));
}

pub(crate) async fn postgres_starts_on_a_restored_volume(host: Arc<Host>) {
    let (volume, restored) = (host.volume("pgdata"), host.volume("pgdata-restored"));
    let start = |word: &str, volume: &Made<'_>| {
        let mount = format!("{}:/v", volume.name);
        let options = ["--stop-signal", "INT", "-v", mount.as_str()];
        host.container(word, &options, Image::Postgres15, &["bash", "-c", POSTGRES])
    };
    let sql = |container: &Made<'_>, sql: &str| asked(&host, container, sql);
    let server = start("pg", &volume);
    sql(&server, "create table rows as select n, md5(n::text) from generate_series(1, 20000) n");
    let sum = "select count(*) || ' ' || md5(string_agg(md5, ',' order by n)) from rows";
    let wanted = sql(&server, sum);

    let world = world_of(&host, &volume, &[("containers", "stop")]).await;
    let snapshot = world.good_snapshot().await;
    // It goes on where it was.
    assert_eq!(sql(&server, sum), wanted);

    restore(&host, &world, &snapshot, &restored).await;
    let second = start("pg-restored", &restored);
    assert_eq!(sql(&second, sum), wanted);
    let log = host.try_docker(&["logs", &second.name]).stderr;
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(!log.contains("was not properly shut down"), "{log}");
}

/// An orchestrator that is gone from one moment to the next while containers wait for it; and one
/// that starts on what it left.
pub(crate) async fn what_was_stopped_goes_on_after_a_kill(host: Arc<Host>) {
    let volume = host.volume("killed");
    let mount = format!("{}:/v", volume.name);
    let options = ["--stop-signal", "KILL", "-v", &mount];
    let user = host.container("killed", &options, Image::Base, &["sleep", "600"]);
    host.docker(&["exec", &user.name, "sh", "-c", "head -c 9000000 /dev/urandom > /v/f"]);
    for meanwhile in ["stop", "pause"] {
        let world = World::asleep(&["disk"], config(&host), Arc::new(SystemClock)).await;
        let draft = AppDraft {
            name: "direct".to_owned(),
            sources: vec![volume_source(&volume, &[("containers", meanwhile)])],
            destinations: vec![BindingDraft {
                destination: "disk".to_owned(),
                folder: "apps/direct".to_owned(),
                ..BindingDraft::default()
            }],
            ..AppDraft::default()
        };
        let app = world.engine.register_app(draft).await.unwrap();
        let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();

        // A process of its own in a runtime of its own, whose destination stops answering.
        let doomed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let root = world.folder.path().join("disk");
        let disk = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
        disk.inject(Operation::Write, Fault::Stall);
        let (folder, store, config) = (world.folder.path().to_owned(), disk.clone(), config(&host));
        doomed.spawn(async move {
            let engine = world::open(&folder, config, Arc::new(SystemClock)).await;
            let disk = engine.catalog().destination_by_name("disk").await.unwrap();
            engine.use_store(&disk, Arc::new(store));
            engine.serve(CancellationToken::new()).await;
        });
        for _ in 0..2_000 {
            if disk.waiting() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(disk.waiting(), 0, "the run did not get that far");
        assert!(!is_running(&host, &user.name), "{meanwhile}");
        assert_ne!(helpers(&host, &volume), "");
        doomed.shutdown_background();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!is_running(&host, &user.name), "{meanwhile}: nobody is left to let it go on");

        world.engine.take_over_at_start().await.unwrap();
        world.start();
        for _ in 0..1_000 {
            if is_running(&host, &user.name) && helpers(&host, &volume).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(is_running(&host, &user.name), "{meanwhile}: it waits still");
        assert_eq!(world.ended(&run).await.state, RunState::Interrupted);
        world.quiet().await;
        assert!(is_running(&host, &user.name), "{meanwhile}");
        assert_eq!(helpers(&host, &volume), "");
    }
}

/// A container whose network went away while it was stopped: it is tried again ever more patiently,
/// people are told once what to do, and it goes on when that is done.
pub(crate) async fn what_cannot_be_started_again_is_told_once(host: Arc<Host>) {
    let volume = host.volume("stuck");
    let mount = format!("{}:/v", volume.name);
    let network = Host::name("network");
    host.docker(&["network", "create", "--internal", &network]);
    let name = Host::name("stuck");
    let image = host.image(Image::Base);
    let words =
        ["run", "--detach", "--network", &network, "--stop-signal", "KILL", "--name", &name];
    host.docker(&[&words[..], &["-v", &mount, image, "sleep", "600"]].concat());
    host.docker(&["exec", &name, "sh", "-c", "head -c 9000000 /dev/urandom > /v/f"]);
    let world = world_of(&host, &volume, &[("containers", "stop")]).await;
    let root = world.folder.path().join("disk");
    let disk = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
    disk.inject(Operation::Write, Fault::Stall);
    let destination = world.engine.catalog().destination_by_name("disk").await.unwrap();
    world.engine.use_store(&destination, Arc::new(disk.clone()));
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    for _ in 0..2_000 {
        if disk.waiting() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_running(&host, &name));
    host.docker(&["network", "rm", &network]);
    world.engine.cancel(run.id).await.unwrap();
    world.ended(&run).await;

    let told = async || {
        let query = catalog::EventQuery { limit: 500, ..Default::default() };
        let events = world.engine.catalog().events(query).await.unwrap();
        let told = events.into_iter().filter(|event| event.kind == EventKind::NotPutBack);
        told.map(|event| event.sentence.message).collect::<Vec<_>>()
    };
    let begun = std::time::Instant::now();
    while told().await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(40), "nobody is told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Not at the first try, which a passing trouble would fail too.
    assert!(begun.elapsed() > Duration::from_secs(6), "{:?}", begun.elapsed());
    let message = told().await.remove(0);
    for word in ["cannot be started", "docker start", "network"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    host.docker(&["network", "create", "--internal", &network]);
    // Docker knows the network by its id: the container is told of the new one.
    host.docker(&["network", "disconnect", "--force", &network, &name]);
    host.docker(&["network", "connect", &network, &name]);
    let begun = std::time::Instant::now();
    while !is_running(&host, &name) {
        assert!(begun.elapsed() < Duration::from_secs(40), "it is not tried again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(told().await.len(), 1);
    host.docker(&["rm", "--force", &name]);
    host.docker(&["network", "rm", &network]);
}
