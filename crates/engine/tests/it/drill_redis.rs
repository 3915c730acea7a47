//! Drills of snapshots of Redis, on a scratch server of their own.

use model::{DrillState, RunState};

use crate::{
    drill_postgres::{damage_proves_nothing, drilled, nothing_is_left},
    source_redis::{at, fill, patient, redis, start},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_that_a_snapshot_is_loaded() {
    let Some(server) = start(None) else { return };
    fill(&server);
    redis(&server, &["SET", "soon gone", "x", "PX", "300"]);
    let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
    let snapshot = world.good_snapshot().await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let (run, drill) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {drill:?}", run.failure);
    let checks = &drill.items[0].checks;
    assert!(checks[0].sentence.ends_with("keys: db0: 5503, db3: 1"), "{drill:?}");
    assert_eq!(checks[1].state, DrillState::Passed, "{drill:?}");
    assert!(checks[1].sentence.starts_with("5505 keys are in the file, 1 of them"), "{drill:?}");
    nothing_is_left(&world);

    damage_proves_nothing(&world, &snapshot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_snapshot_proves_nothing() {
    let Some(server) = start(None) else { return };
    let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
    let snapshot = world.good_snapshot().await;
    let (run, drill) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed, "{drill:?}");
    assert!(
        drill.items[0].checks.iter().all(|check| check.state == DrillState::Skipped),
        "{drill:?}"
    );
}
