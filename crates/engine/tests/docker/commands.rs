//! Commands that labels ask for: in their own container, before and after, whatever happens.

use std::{sync::Arc, time::Duration};

use catalog::EventQuery;
use engine::{EngineConfig, RunRequest, SystemClock};
use model::{App, EventKind, FailureCode, Run, RunState, Snapshot};
use store::{Fault, Faulty, Local, Operation};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Host, Made},
    images::Image,
    world::{self, World, quick},
};

fn config(host: &Host) -> EngineConfig {
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    config.idle_timeout = Duration::from_secs(20);
    config.source_timeout = Duration::from_secs(10);
    (config.labels, config.label_exec) = (true, true);
    config
}

/// A container with a volume of its own at `/v` that asks for an app with these commands.
fn asking<'a>(host: &'a Host, volume: &Made<'_>, pre: &str, post: &str) -> Made<'a> {
    let mount = format!("{}:/v", volume.name);
    let (pre, post) = (format!("backup.exec-pre={pre}"), format!("backup.exec-post={post}"));
    let options = [
        "--init",
        "-v",
        &mount,
        "--label",
        "backup.enable=true",
        "--label",
        &pre,
        "--label",
        &post,
    ];
    host.container("asking", &options, Image::Base, &["sleep", "600"])
}

async fn app_of(world: &World, container: &Made<'_>) -> App {
    for _ in 0..800 {
        if let Ok(app) = world.engine.catalog().app_by_name(&container.name).await {
            return app;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no app for `{}`", container.name);
}

async fn run(world: &World, container: &Made<'_>) -> Run {
    let app = app_of(world, container).await;
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    world.ended(&run).await
}

async fn snapshots(world: &World, run: &Run) -> Vec<Snapshot> {
    let all = world.engine.catalog().snapshots_of_app(run.app_id.unwrap()).await.unwrap();
    all.into_iter().filter(|one| one.run_id == run.id).collect()
}

fn files(host: &Host, container: &Made<'_>) -> String {
    host.docker(&["exec", &container.name, "ls", "/v"])
}

fn is_at_it(host: &Host, container: &Made<'_>, command: &str) -> bool {
    let shown = host.docker(&["top", &container.name, "-eo", "pid,args"]);
    shown.lines().any(|line| line.contains(command))
}

pub(crate) async fn labels_ask_in_vain_without_the_servers_consent(host: Arc<Host>) {
    let volume = host.volume("refused");
    let asking = asking(&host, &volume, "touch /v/pre", "touch /v/post");
    let world = World::at(
        &["disk"],
        EngineConfig { label_exec: false, ..config(&host) },
        Arc::new(SystemClock),
    )
    .await;
    for _ in 0..800 {
        let query = EventQuery { limit: 100, ..Default::default() };
        let events = world.engine.catalog().events(query).await.unwrap();
        if let Some(event) = events.iter().find(|event| {
            event.kind == EventKind::LabelsRefused && event.sentence.contains(&asking.name)
        }) {
            assert!(event.sentence.contains("BACKUP_DOCKER_LABEL_EXEC=1"), "{}", event.sentence);
            assert!(world.engine.catalog().app_by_name(&asking.name).await.is_err());
            assert_eq!(files(&host, &asking), "");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was refused");
}

pub(crate) async fn before_and_after_without_a_shell(host: Arc<Host>) {
    let volume = host.volume("around");
    let (pre, post) = (r#"touch "/v/pre $(id); a b""#, "rm '/v/pre $(id); a b'");
    let asking = asking(&host, &volume, pre, post);
    let world = World::at(&["disk"], config(&host), Arc::new(SystemClock)).await;
    let run = run(&world, &asking).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = snapshots(&world, &run).await.remove(0);
    let tar = world.restored(&snapshot).await;
    let named = |what: &[u8]| tar.windows(what.len()).any(|window| window == what);
    assert!(named(b"pre $(id); a b"), "it ran before, and no shell read it");
    assert_eq!(files(&host, &asking), "", "the other one ran after");
}

pub(crate) async fn what_fails_is_told_and_the_end_comes_always(host: Arc<Host>) {
    let world = World::at(&["disk"], config(&host), Arc::new(SystemClock)).await;

    let volume = host.volume("pre-fails");
    let pre = "sh -c 'touch /v/pre; echo half done; echo no room >&2; exit 3'";
    let failing = asking(&host, &volume, pre, "touch /v/post");
    let failed = run(&world, &failing).await;
    assert_eq!(failed.state, RunState::Failed);
    let failure = failed.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::SourceFailed, "{failure:?}");
    for word in ["backup.exec-pre", "exit code 3", "no room", "half done"] {
        assert!(failure.message.contains(word), "{word}: {failure:?}");
    }
    assert_eq!(files(&host, &failing), "post\npre");
    assert!(snapshots(&world, &failed).await.is_empty());

    let volume = host.volume("pre-hangs");
    let hanging = asking(&host, &volume, "sleep 4711", "touch /v/post");
    let late = run(&world, &hanging).await;
    assert_eq!(late.failure.unwrap().code, FailureCode::Timeout);
    assert!(!is_at_it(&host, &hanging, "sleep 4711"), "it goes on");
    assert_eq!(files(&host, &hanging), "post");

    let volume = host.volume("post-fails");
    let ending = asking(&host, &volume, "touch /v/pre", "sh -c 'echo stuck; exit 4'");
    let partly = run(&world, &ending).await;
    assert_eq!(partly.state, RunState::PartiallyFailed, "{:?}", partly.failure);
    let told = partly.failure.clone().unwrap().message;
    for word in ["the snapshot is whole", "backup.exec-post", "exit code 4", "stuck"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(snapshots(&world, &partly).await.len(), 1);
}

/// An orchestrator that is gone while it waits for a destination, after the command before.
pub(crate) async fn the_end_comes_also_after_a_kill(host: Arc<Host>) {
    let volume = host.volume("exec-killed");
    let asking = asking(&host, &volume, "touch /v/pre", "touch /v/post");
    host.docker(&["exec", &asking.name, "sh", "-c", "head -c 9000000 /dev/urandom > /v/f"]);
    let world = World::asleep(&["disk"], config(&host), Arc::new(SystemClock)).await;
    let doomed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let disk = Faulty::new(Arc::new(Local::open(&world.folder.path().join("disk")).await.unwrap()));
    disk.inject(Operation::Write, Fault::Stall);
    let (folder, store, settings) = (world.folder.path().to_owned(), disk.clone(), config(&host));
    doomed.spawn(async move {
        let engine = world::open(&folder, settings, Arc::new(SystemClock)).await;
        let disk = engine.catalog().destination_by_name("disk").await.unwrap();
        engine.use_store(&disk, Arc::new(store));
        engine.serve(CancellationToken::new()).await;
    });
    let app = app_of(&world, &asking).await;
    let run = world.engine.run_now(&app, &RunRequest::default()).await.unwrap();
    for _ in 0..2_000 {
        if disk.waiting() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(disk.waiting(), 0, "the run did not get that far");
    doomed.shutdown_background();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(files(&host, &asking), "f\npre");

    world.engine.take_over_at_start().await.unwrap();
    world.start();
    for _ in 0..1_000 {
        if files(&host, &asking) == "f\npost\npre" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(files(&host, &asking), "f\npost\npre");
    assert_eq!(world.ended(&run).await.state, RunState::Interrupted);
}
