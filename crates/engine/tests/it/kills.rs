//! A process that is gone from one moment to the next, at every step of a run; then a start on
//! what it left.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::SignedDuration;
use model::{
    CopyState, Run, RunKind, RunState, Snapshot,
    schedule::{Schedule, TimeZoneName},
};
use store::{Fault, Faulty, Local, Operation};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{
    app_server::Export,
    world::{World, open, quick, sample},
};

/// An orchestrator in a runtime of its own, so that all of it can be dropped at once.
pub(crate) struct Doomed {
    runtime: Runtime,
    disk: Faulty,
    step: String,
}

impl Doomed {
    /// Starts on the world's data; the destination `disk` goes wrong by `script`.
    pub(crate) async fn start(world: &World, script: &[(Operation, Fault)]) -> Self {
        let root = world.folder.path().join("disk");
        let disk = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
        for (operation, fault) in script {
            disk.inject(*operation, *fault);
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let (folder, store) = (world.folder.path().to_owned(), Arc::new(disk.clone()));
        runtime.spawn(async move {
            let engine = open(&folder, config("doomed"), Arc::new(engine::SystemClock)).await;
            let disk = engine.catalog().destination_by_name("disk").await.unwrap();
            engine.use_store(&disk, store);
            engine.serve(CancellationToken::new()).await;
        });
        Self { runtime, disk, step: format!("{script:?}") }
    }

    /// Waits until the last fault of the script has happened, and ends it there.
    async fn kill_when_reached(self) {
        for _ in 0..1_000 {
            if self.disk.waiting() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.disk.waiting(), 0, "the step was not reached: {}", self.step);
        self.kill().await;
    }

    /// Ends it.
    pub(crate) async fn kill(self) {
        // What goes on beside the stalled step may go on a little.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.runtime.shutdown_background();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn config(instance: &str) -> engine::EngineConfig {
    let mut config = quick(instance);
    config.retries = 1;
    config
}

/// A world with `count` snapshots in which nothing runs any more.
pub(crate) async fn world_with(count: u32) -> (World, Vec<Snapshot>) {
    let world = World::asleep(&["disk"], config("first"), Arc::new(engine::SystemClock)).await;
    let shutdown = CancellationToken::new();
    let serving = {
        let (engine, shutdown) = (world.engine.clone(), shutdown.clone());
        tokio::spawn(async move { engine.serve(shutdown).await })
    };
    let mut made = Vec::new();
    for n in 1..=count {
        world.server.answer_with(Export::Trailers(sample(n)));
        made.push(world.good_snapshot().await);
    }
    shutdown.cancel();
    serving.await.unwrap();
    (world, made)
}

/// A new process on what the killed one left.
pub(crate) async fn restart(world: &World) {
    world.engine.take_over_at_start().await.unwrap();
    world.start();
    world.quiet().await;
    world.wait_out_leftovers().await;
}

pub(crate) async fn runs(world: &World, kind: RunKind) -> Vec<Run> {
    let query = catalog::RunQuery { limit: 500, ..catalog::RunQuery::default() };
    let runs = world.engine.catalog().runs(query).await.unwrap();
    runs.into_iter().filter(|run| run.kind == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_at_any_step_is_interrupted_cleaned_up_and_tried_once() {
    use Operation as O;
    let stall = |operation| (operation, Fault::Stall);
    // Listings are not part of a run of this kind, so that this fault means "none".
    let pass = |operation| (operation, Fault::Empty);
    let steps: [(&str, &[(Operation, Fault)]); 8] = [
        ("creating the object", &[stall(O::Create)]),
        ("its first part", &[stall(O::Write)]),
        ("a later part", &[pass(O::Write), stall(O::Write)]),
        ("completing it", &[stall(O::Finish)]),
        ("looking at it", &[stall(O::Stat)]),
        ("creating the manifest", &[pass(O::Create), stall(O::Create)]),
        ("completing the manifest", &[pass(O::Finish), stall(O::Finish)]),
        ("reading the manifest back, before the catalog knows", &[stall(O::Read)]),
    ];
    for (step, script) in steps {
        let (world, made) = world_with(1).await;
        world.server.answer_with(Export::Trailers(sample(2)));
        let spec = "@every 1h".parse().unwrap();
        world
            .change_app(|app| app.schedule = Some(Schedule::new(spec, TimeZoneName::default())))
            .await;
        let catalog = world.engine.catalog();
        let served = world.engine.now() - SignedDuration::from_mins(90);
        catalog.set_last_fire(world.app.id, served).await.unwrap();

        Doomed::start(&world, script).await.kill_when_reached().await;
        let under_way = catalog.active_runs().await.unwrap();
        assert_eq!(under_way.len(), 1, "{step}");
        assert_eq!(under_way[0].state, RunState::Running, "{step}");
        restart(&world).await;

        let runs = runs(&world, RunKind::Backup).await;
        let told: Vec<_> = runs.iter().map(|run| (run.attempt, run.state)).collect();
        let expected =
            [(2, RunState::Succeeded), (1, RunState::Interrupted), (1, RunState::Succeeded)];
        assert_eq!(told, expected, "{step}");
        assert_eq!(runs[0].retry_of, Some(runs[1].id), "{step}");
        // The fire was served once, and the next one comes when it should.
        let fire = runs[1].fire_at.unwrap();
        assert_eq!(catalog.last_fires().await.unwrap()[&world.app.id], fire, "{step}");
        let card = world.engine.card(catalog.app(world.app.id).await.unwrap()).await.unwrap();
        assert_eq!(card.next_fire, Some(fire + SignedDuration::from_hours(1)), "{step}");

        // Two snapshots, each an object and a manifest, and nothing else.
        let second = catalog.snapshot(runs[0].snapshot_id.unwrap()).await.unwrap();
        let named: BTreeSet<_> = [&made[0], &second]
            .iter()
            .flat_map(|one| &one.copies)
            .flat_map(|copy| [copy.manifest_key.clone(), copy.objects[0].key.clone()])
            .map(|key| world.folder.path().join("disk").join(key))
            .collect();
        assert_eq!(world.files("disk").into_iter().collect::<BTreeSet<_>>(), named, "{step}");
        assert_eq!(world.restored(&made[0]).await, sample(1), "{step}");
        assert_eq!(world.restored(&second).await, sample(2), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_killed_at_any_step_is_carried_to_its_end() {
    for deletes_before in 0..4 {
        let (world, made) = world_with(3).await;
        world.change_app(|app| app.retention.keep_last = Some(1)).await;
        world.engine.expire_now(world.app.id).await.unwrap();
        let mut script = vec![(Operation::Delete, Fault::Empty); deletes_before];
        script.push((Operation::Delete, Fault::Stall));
        Doomed::start(&world, &script).await.kill_when_reached().await;
        assert_eq!(world.files("disk").len(), 6 - deletes_before);
        restart(&world).await;
        let (expired, good) = (CopyState::Expired, CopyState::Good);
        assert_eq!(world.states(&made).await, [expired, expired, good], "{deletes_before}");
        assert_eq!(world.files("disk").len(), 2, "{deletes_before}");
        assert_eq!(world.restored(&made[2]).await, sample(3));
        let runs = runs(&world, RunKind::Expire).await;
        let killed: Vec<_> = runs.iter().filter(|run| run.state == RunState::Interrupted).collect();
        assert_eq!(killed.len(), 1, "{deletes_before}");
        let retry = runs.iter().find(|run| run.retry_of == Some(killed[0].id)).unwrap();
        assert_eq!(retry.state, RunState::Succeeded, "{deletes_before}");
    }
}
