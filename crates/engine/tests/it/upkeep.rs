//! Copies are re-read and apps are drilled when they are due, and not more often.

use std::{sync::Arc, time::Duration};

use catalog::RunQuery;
use jiff::{SignedDuration, Timestamp};
use model::{
    CopyState, FailureCode, ManualClock, Run, RunKind, RunState, Trigger,
    schedule::{Schedule, TimeZoneName},
};

use crate::{
    app_server::Export,
    clock::seen,
    world::{World, quick, sample},
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn world() -> (World, Arc<ManualClock>) {
    let start: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(start));
    (World::at(&["disk"], quick("one"), clock.clone()).await, clock)
}

async fn verify_every(world: &World, days: u32) {
    let catalog = world.engine.catalog();
    let mut disk = catalog.destination_by_name("disk").await.unwrap();
    disk.verify_every_days = Some(days);
    catalog.update_destination(&disk, world.engine.now()).await.unwrap();
}

/// Runs of `kind` that were asked for so far, the newest first.
async fn asked(world: &World, kind: RunKind) -> Vec<Run> {
    let runs = world.engine.catalog().runs(RunQuery { limit: 500, ..RunQuery::default() });
    runs.await.unwrap().into_iter().filter(|run| run.kind == kind).collect()
}

/// Lets the loops look around, and waits for what they asked for.
async fn settle(world: &World) {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        world.quiet().await;
    }
}

/// Moves the clock in steps that are no jumps.
async fn pass(world: &World, clock: &ManualClock, time: SignedDuration) {
    let mut left = time;
    while left.is_positive() {
        let step = left.min(SignedDuration::from_hours(12));
        clock.advance(step);
        // The clock is told by the hour.
        if step > SignedDuration::from_hours(1) {
            seen(world).await;
        }
        left -= step;
    }
    settle(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_read_again_when_they_are_due() {
    let (world, clock) = world().await;
    let old = world.good_snapshot().await;
    pass(&world, &clock, DAY).await;
    let newer = world.good_snapshot().await;
    pass(&world, &clock, DAY * 2).await;
    assert!(asked(&world, RunKind::Verify).await.is_empty(), "nobody said how often");

    verify_every(&world, 3).await;
    pass(&world, &clock, SignedDuration::from_hours(1)).await;
    let runs = asked(&world, RunKind::Verify).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = &runs[0];
    assert_eq!((run.snapshot_id, run.trigger), (Some(old.id), Trigger::Schedule));
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let read = world.engine.catalog().snapshot(old.id).await.unwrap();
    assert!(read.copies[0].verified_at.is_some());

    // The other one a day later; then nothing until both are due again.
    pass(&world, &clock, DAY).await;
    let runs = asked(&world, RunKind::Verify).await;
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0].snapshot_id, Some(newer.id));
    pass(&world, &clock, DAY).await;
    assert_eq!(asked(&world, RunKind::Verify).await.len(), 2);

    // What is damaged is found, told once, and not asked for again.
    let object = world.folder.path().join("disk").join(&old.copies[0].objects[0].key);
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&object, &bytes).unwrap();
    pass(&world, &clock, DAY * 2).await;
    assert_eq!(world.state(&old).await, CopyState::Damaged);
    let damaged = asked(&world, RunKind::Verify).await;
    let of_old = damaged.iter().filter(|run| run.snapshot_id == Some(old.id)).count();
    assert_eq!(of_old, 2);
    pass(&world, &clock, DAY * 4).await;
    let of_old = asked(&world, RunKind::Verify).await;
    assert_eq!(of_old.iter().filter(|run| run.snapshot_id == Some(old.id)).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_cannot_be_reached_is_left_alone_for_a_while() {
    let (world, clock) = world().await;
    for _ in 0..6 {
        world.good_snapshot().await;
        clock.advance(SignedDuration::from_secs(2));
    }
    let all = world.engine.catalog().snapshots_of_app(world.app.id).await.unwrap();
    let disk = world.folder.path().join("disk");
    pass(&world, &clock, DAY * 2).await;
    let away = world.folder.path().join("away");
    std::fs::rename(&disk, &away).unwrap();
    std::fs::write(&disk, b"not a folder").unwrap();
    verify_every(&world, 1).await;
    for _ in 0..5 {
        pass(&world, &clock, SignedDuration::from_mins(2)).await;
    }
    let runs = asked(&world, RunKind::Verify).await;
    assert_eq!(runs.len(), 4, "no more after the first ones failed: {runs:?}");
    for run in &runs {
        let failure = run.failure.as_ref().expect("there was nothing to read");
        assert_eq!(run.state, RunState::Failed);
        assert!(
            !matches!(failure.code, FailureCode::Missing | FailureCode::Damaged),
            "a destination that is away says nothing of its copies: {failure:?}"
        );
    }
    assert_eq!(world.states(&all).await, [CopyState::Good; 6], "nobody has seen them");

    // It is back: those that wait come after the pause, those that failed a day later.
    std::fs::remove_file(&disk).unwrap();
    std::fs::rename(&away, &disk).unwrap();
    pass(&world, &clock, SignedDuration::from_mins(30)).await;
    assert_eq!(asked(&world, RunKind::Verify).await.len(), 4, "it is left alone for an hour");
    for _ in 0..3 {
        pass(&world, &clock, SignedDuration::from_mins(20)).await;
    }
    let runs = asked(&world, RunKind::Verify).await;
    let good = runs.iter().filter(|run| run.state == RunState::Succeeded).count();
    assert_eq!((runs.len(), good), (6, 2), "{runs:?}");
    pass(&world, &clock, SignedDuration::from_hours(22)).await;
    pass(&world, &clock, SignedDuration::from_hours(1)).await;
    for _ in 0..3 {
        pass(&world, &clock, SignedDuration::from_mins(20)).await;
    }
    for one in &all {
        let read = world.engine.catalog().snapshot(one.id).await.unwrap();
        assert!(read.copies[0].verified_at.is_some(), "{:?}", asked(&world, RunKind::Verify).await);
    }
    assert_eq!(world.states(&all).await, [CopyState::Good; 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drills_come_by_their_schedule_once_a_fire() {
    let (world, clock) = world().await;
    let daily = Schedule::new("0 12 * * *".parse().unwrap(), TimeZoneName::default());
    world.change_app(|app| app.drill.schedule = Some(daily)).await;
    pass(&world, &clock, DAY).await;
    assert!(asked(&world, RunKind::Drill).await.is_empty(), "there is nothing to drill");

    let snapshot = world.good_snapshot().await;
    // The fire that found nothing is made up for; the next one is tomorrow's.
    pass(&world, &clock, SignedDuration::from_mins(5)).await;
    pass(&world, &clock, SignedDuration::from_mins(5)).await;
    let runs = asked(&world, RunKind::Drill).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((runs[0].snapshot_id, runs[0].trigger), (Some(snapshot.id), Trigger::Schedule));
    for days in 2..4 {
        pass(&world, &clock, DAY).await;
        assert_eq!(asked(&world, RunKind::Drill).await.len(), days);
    }
    // A disabled app rests.
    world.change_app(|app| app.enabled = false).await;
    pass(&world, &clock, DAY * 2).await;
    assert_eq!(asked(&world, RunKind::Drill).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_and_a_drill_of_the_same_minute_both_come() {
    let (world, clock) = world().await;
    world.good_snapshot().await;
    let noon = Schedule::new("0 12 * * *".parse().unwrap(), TimeZoneName::default());
    world
        .change_app(|app| {
            app.drill.schedule = Some(noon.clone());
            app.schedule = Some(noon);
        })
        .await;
    pass(&world, &clock, SignedDuration::from_hours(6)).await;
    let drills = asked(&world, RunKind::Drill).await;
    let backups = asked(&world, RunKind::Backup).await;
    assert_eq!((drills.len(), backups.len()), (1, 2), "{drills:?} {backups:?}");
    assert_eq!(drills[0].fire_at, backups[0].fire_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_freed_daily_in_two_steps_and_checked_weekly() {
    let start: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(start));
    let world = World::at(&["repository"], quick("one"), clock.clone()).await;
    for seed in 1..=2 {
        world.server.answer_with(Export::Trailers(sample(seed)));
        world.good_snapshot().await;
        clock.advance(SignedDuration::from_secs(2));
    }
    assert_eq!(world.expired_to_one().await, 1);
    let one = world.engine.catalog().destination_by_name("repository").await.unwrap();
    let state = async || world.engine.repository_state(&one).await.unwrap();
    pass(&world, &clock, SignedDuration::from_hours(20)).await;
    assert!(asked(&world, RunKind::Free).await.is_empty(), "not a day old");

    // What is not needed is marked, and deleted a day later.
    pass(&world, &clock, SignedDuration::from_hours(5)).await;
    let runs = asked(&world, RunKind::Free).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((runs[0].trigger, runs[0].state), (Trigger::Schedule, RunState::Succeeded));
    let freed = state().await.freed.unwrap();
    assert!(freed.marked > 0 && freed.deleted == 0, "{freed:?}");
    pass(&world, &clock, SignedDuration::from_hours(23)).await;
    assert_eq!(asked(&world, RunKind::Free).await.len(), 1, "marked for less than a day");
    pass(&world, &clock, SignedDuration::from_hours(2)).await;
    assert_eq!(asked(&world, RunKind::Free).await.len(), 2);
    let freed = state().await.freed.unwrap();
    assert!(freed.deleted > 0, "{freed:?}");

    // Its structure is looked at once a week.
    assert!(asked(&world, RunKind::Check).await.is_empty() && state().await.checked.is_none());
    pass(&world, &clock, DAY * 5).await;
    let runs = asked(&world, RunKind::Check).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((runs[0].trigger, runs[0].state), (Trigger::Schedule, RunState::Succeeded));
    let checked = state().await.checked.unwrap();
    assert!(checked.problem_count == 0 && !checked.read_data, "{checked:?}");
    pass(&world, &clock, DAY * 6).await;
    assert_eq!(asked(&world, RunKind::Check).await.len(), 1, "checked less than a week ago");
    pass(&world, &clock, DAY).await;
    assert_eq!(asked(&world, RunKind::Check).await.len(), 2);
}

/// Where nothing may be deleted and locks have to be prolonged, the check does it, every day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_under_lock_is_looked_after_daily_where_nothing_may_be_freed() {
    let clock = Arc::new(ManualClock::new("2026-11-01T10:00:00Z".parse().unwrap()));
    let world = World::at(&["repository"], quick("one"), clock.clone()).await;
    world.good_snapshot().await;
    let mut one = world.engine.catalog().destination_by_name("repository").await.unwrap();
    one.append_only = true;
    for (key, value) in [("object_lock", "compliance"), ("object_lock_days", "7")] {
        one.settings.insert(key.to_owned(), value.to_owned());
    }
    world.engine.catalog().update_destination(&one, world.engine.now()).await.unwrap();
    for day in 1..=2 {
        // To the hour: time that goes on meanwhile would take a run's lease.
        pass(&world, &clock, SignedDuration::from_hours(24)).await;
        let runs = asked(&world, RunKind::Check).await;
        assert_eq!(runs.len(), day, "{runs:?}");
        assert!(runs.iter().all(|run| run.state == RunState::Succeeded), "{runs:?}");
    }
    assert!(asked(&world, RunKind::Free).await.is_empty());
}
