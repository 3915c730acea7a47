//! Several orchestrators on one PostgreSQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use engine::{AppDraft, BindingDraft, Engine, ScheduleDraft};
use jiff::{SignedDuration, Timestamp};
use model::{Clock, CopyState, ManualClock, Run, RunKind, RunState};
use secrecy::SecretString;
use store::{Fault, Faulty, Local, Operation};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    app_server::{AppServer, Export},
    postgres,
    world::{TOKEN, World, open_at, quick, sample},
};

fn serve(engine: &Engine) -> DropGuard {
    let shutdown = CancellationToken::new();
    let (engine, token) = (engine.clone(), shutdown.clone());
    tokio::spawn(async move { engine.serve(token).await });
    shutdown.drop_guard()
}

async fn all_runs(engine: &Engine) -> Vec<Run> {
    let mut all = Vec::new();
    loop {
        let offset = all.len() as u64;
        let query = catalog::RunQuery { offset, limit: 500, ..catalog::RunQuery::default() };
        let some = engine.catalog().runs(query).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_run_every_fire_once() {
    const APPS: usize = 200;
    const FIRES: usize = 2;
    let Some(url) = postgres::database("three_replicas").await else { return };
    let start: Timestamp = "2026-11-01T10:00:30Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(start));
    let mut engines = Vec::new();
    for name in ["one", "two", "three"] {
        let mut config = quick(name);
        config.tick = Duration::from_millis(50);
        engines.push(open_at(&url, config, clock.clone()).await);
    }
    let folder = tempfile::tempdir().unwrap();
    let draft = crate::world::local("disk", folder.path());
    engines[0].add_destination(draft).await.unwrap();
    let server = AppServer::start(TOKEN, Export::Headers(b"a few bytes".to_vec())).await;
    for number in 0..APPS {
        let draft = AppDraft {
            name: format!("app{number}"),
            url: server.url(),
            token: Some(TOKEN.into()),
            destinations: vec![BindingDraft {
                destination: "disk".to_owned(),
                folder: format!("app{number}"),
                ..BindingDraft::default()
            }],
            schedule: Some(ScheduleDraft {
                spec: "0 * * * *".to_owned(),
                ..ScheduleDraft::default()
            }),
            ..AppDraft::default()
        };
        engines[0].register_app(draft).await.unwrap();
    }
    let _serving: Vec<_> = engines.iter().map(serve).collect();
    for fire in 1..=FIRES {
        clock.advance(SignedDuration::from_hours(1));
        // The next hour comes when this one is done: leases do not outlive a leap of the clock.
        for _ in 0..1_800 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if server.exports() >= APPS * fire
                && engines[0].catalog().active_runs().await.unwrap().is_empty()
            {
                break;
            }
        }
    }
    // Should anything come twice, it has time to.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let runs = all_runs(&engines[0]).await;
    let mut fires: BTreeMap<_, usize> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.kind == RunKind::Backup) {
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        *fires.entry((run.app_id.unwrap(), run.fire_at.unwrap())).or_default() += 1;
    }
    assert_eq!(fires.len(), APPS * FIRES);
    assert!(fires.values().all(|count| *count == 1));
    assert_eq!(server.exports(), APPS * FIRES, "each run asked once");
    let ids: BTreeSet<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(ids.len(), runs.len());
}

/// An orchestrator on a thread of its own, which can be stopped like a paused process.
struct Pausable {
    pause: tokio::sync::mpsc::UnboundedSender<Duration>,
    disk: Faulty,
}

impl Pausable {
    async fn start(world: &World, url: &SecretString) -> Self {
        let root = world.folder.path().join("disk");
        let disk = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
        let (pause, mut pauses) = tokio::sync::mpsc::unbounded_channel();
        let (url, store) = (url.clone(), Arc::new(disk.clone()));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let engine = open_at(&url, config("paused"), Arc::new(engine::SystemClock)).await;
                let disk = engine.catalog().destination_by_name("disk").await.unwrap();
                engine.use_store(&disk, store);
                let _serving = serve(&engine);
                while let Some(length) = pauses.recv().await {
                    // Its only thread: nothing of it goes on, its lease is not renewed.
                    std::thread::sleep(length);
                }
            });
        });
        Self { pause, disk }
    }
}

fn config(instance: &str) -> engine::EngineConfig {
    let mut config = quick(instance);
    config.retries = 1;
    config.lease = Duration::from_secs(1);
    config
}

/// The state of `run` once it is not under way any more, and the run that tries it again.
async fn taken_over(world: &World, run: &Run) -> Run {
    let ended = world.ended(run).await;
    assert_eq!(ended.state, RunState::Interrupted);
    let runs = all_runs(&world.engine).await;
    let retry = runs.into_iter().find(|one| one.retry_of == Some(run.id)).unwrap();
    world.ended(&retry).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_slept_past_its_lease_finishes_nothing() {
    let Some(url) = postgres::database("slept_finish").await else { return };
    let clock: Arc<dyn Clock> = Arc::new(engine::SystemClock);
    let world = World::on(&url, &["disk"], config("awake"), clock).await;
    let sleeper = Pausable::start(&world, &url).await;
    world.server.answer_with(Export::Slow(sample(1), Duration::from_millis(60)));
    let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    while world.server.exports() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sleeper.pause.send(Duration::from_secs(9)).unwrap();
    world.server.answer_with(Export::Trailers(sample(2)));
    world.start();
    let retry = taken_over(&world, &run).await;
    assert_eq!(retry.state, RunState::Succeeded, "{:?}", retry.failure);
    world.quiet().await;
    // What the sleeper has begun has no name yet.
    let mut files = world.files("disk");
    files.retain(|file| !file.to_string_lossy().ends_with(".partial"));
    assert_eq!(files.len(), 2);
    let snapshot = world.engine.catalog().snapshot(retry.snapshot_id.unwrap()).await.unwrap();
    // It wakes, and goes on where it was.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(world.files("disk"), files);
    assert_eq!(world.ended(&run).await.state, RunState::Interrupted);
    let all = world.engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(world.restored(&snapshot).await, sample(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_slept_past_its_lease_deletes_nothing() {
    let Some(url) = postgres::database("slept_delete").await else { return };
    let clock: Arc<dyn Clock> = Arc::new(engine::SystemClock);
    let world = World::on(&url, &["disk"], config("awake"), clock).await;
    let mut made = Vec::new();
    {
        let serving = serve(&world.engine);
        for _ in 0..5 {
            made.push(world.good_snapshot().await);
        }
        drop(serving);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    let sleeper = Pausable::start(&world, &url).await;
    // Asleep inside its second snapshot's deletion.
    for fault in [Fault::Empty, Fault::Empty, Fault::Delay(Duration::from_millis(300))] {
        sleeper.disk.inject(Operation::Delete, fault);
    }
    let run = world.engine.expire_now(world.app.id).await.unwrap();
    while sleeper.disk.waiting() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sleeper.pause.send(Duration::from_secs(8)).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Newest first: the two oldest are not begun, and somebody wants them now.
    world.engine.set_pinned(made[0].id, true).await.unwrap();
    world.engine.set_pinned(made[1].id, true).await.unwrap();
    world.start();
    let retry = taken_over(&world, &run).await;
    assert_eq!(retry.state, RunState::Succeeded, "{:?}", retry.failure);
    let files = world.files("disk");
    assert_eq!(files.len(), 6);
    world.engine.set_pinned(made[0].id, false).await.unwrap();
    world.engine.set_pinned(made[1].id, false).await.unwrap();
    // It wakes: the pins are gone, its plan still says so, and its lease is another's.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(world.files("disk"), files);
    let (expired, good) = (CopyState::Expired, CopyState::Good);
    assert_eq!(world.states(&made).await, [good, good, expired, expired, good]);
    assert_eq!(world.restored(&made[0]).await, sample(1));
}
