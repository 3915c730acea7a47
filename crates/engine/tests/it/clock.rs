//! Clocks that jump: every fire exactly once, and nothing deleted because of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};
use model::{
    Clock as _, CopyState, EventKind, FailureCode, ManualClock, RunState, Snapshot,
    schedule::{Schedule, TimeZoneName},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app_server::Export,
    world::{World, open, quick},
};

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Snapshots 23 hours apart; no step is a jump.
async fn history(world: &World, clock: &ManualClock, count: usize) -> Vec<Snapshot> {
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(world.good_snapshot().await);
        clock.advance(SignedDuration::from_hours(23));
        seen(world).await;
    }
    made
}

/// Waits until the scheduler has seen where the clock has gone.
pub(crate) async fn seen(world: &World) {
    for _ in 0..1_000 {
        let told = world.engine.catalog().setting("clock").await.unwrap();
        if told
            .is_some_and(|told| told.contains(&format!("\"seen_at\":\"{}\"", world.engine.now())))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody looks at the clock");
}

/// Waits until `fire` has a run; gives up after a while.
async fn fired(world: &World, fire: Timestamp) {
    for _ in 0..100 {
        if fires(world).await.contains_key(&fire) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn world() -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(at("2026-11-01T10:00:00Z")));
    (World::at(&["disk"], quick("one"), clock.clone()).await, clock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_expires_nothing_by_age() {
    let (world, clock) = world().await;
    world.change_app(|app| app.retention.keep_within = Some("7d".parse().unwrap())).await;
    let mut made = history(&world, &clock, 4).await;
    clock.advance(YEAR);
    made.push(world.good_snapshot().await);
    world.expire().await;
    assert_eq!(world.states(&made).await, [CopyState::Good; 5]);

    // Rules by count would expire now: not for a day, or until somebody says the clock is right.
    world
        .change_app(|app| app.retention = serde_json::from_str(r#"{"keep_last":2}"#).unwrap())
        .await;
    let refused = world.expire().await;
    assert_eq!(refused.failure.unwrap().code, FailureCode::RetentionRefused);
    assert!(world.engine.clock_jumped_at().await.unwrap().is_some());
    assert_eq!(world.states(&made).await, [CopyState::Good; 5]);
    world.engine.accept_clock().await.unwrap();
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    let (expired, good) = (CopyState::Expired, CopyState::Good);
    assert_eq!(world.states(&made).await, [expired, expired, expired, good, good]);
    assert_eq!(world.restored(&made[3]).await, crate::world::sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_between_two_starts_expires_nothing_by_age() {
    let clock = Arc::new(ManualClock::new(at("2026-11-01T10:00:00Z")));
    let world = World::asleep(&["disk"], quick("one"), clock.clone()).await;
    world.change_app(|app| app.retention.keep_within = Some("7d".parse().unwrap())).await;
    let shutdown = CancellationToken::new();
    let serving = {
        let (engine, shutdown) = (world.engine.clone(), shutdown.clone());
        tokio::spawn(async move { engine.serve(shutdown).await })
    };
    let mut made = history(&world, &clock, 3).await;
    shutdown.cancel();
    serving.await.unwrap();

    clock.advance(YEAR);
    let next = open(world.folder.path(), quick("two"), clock.clone()).await;
    // What is seen before anything noted the jump is what will be done.
    let app = next.catalog().app(world.app.id).await.unwrap();
    let preview = next.preview_retention(&app, None).await.unwrap();
    assert!(
        preview[0].plan.decisions.iter().all(|one| one.verdict == model::retention::Verdict::Keep)
    );
    let shutdown = CancellationToken::new();
    let _stop = shutdown.clone().drop_guard();
    tokio::spawn(async move { next.serve(shutdown).await });
    made.push(world.good_snapshot().await);
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    assert_eq!(world.states(&made).await, [CopyState::Good; 4]);
    // A day later nothing is held up, and still nothing is older than it is.
    clock.advance(SignedDuration::from_hours(23));
    seen(&world).await;
    clock.advance(SignedDuration::from_hours(2));
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    assert_eq!(world.engine.clock_jumped_at().await.unwrap(), None);
    assert_eq!(world.states(&made).await, [CopyState::Good; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clock_ahead_left_behind_neither_counts_nor_blocks() {
    let (world, clock) = world().await;
    let mut made = history(&world, &clock, 3).await;
    clock.advance(YEAR);
    let future = world.good_snapshot().await;
    // The last run of the future fails: it must not hold retention up for a year.
    world.server.answer_with(Export::Status(500));
    assert_eq!(world.back_up().await.state, RunState::Failed);
    world.server.answer_with(Export::Trailers(crate::world::sample(1)));
    clock.advance(-YEAR);
    seen(&world).await;
    made.extend(history(&world, &clock, 2).await);
    world.quiet().await;

    let card = world.engine.card(world.app.clone()).await.unwrap();
    assert_eq!(card.last_good.unwrap().id, made[4].id, "the future one is not the newest");
    world.change_app(|app| app.retention.keep_last = Some(2)).await;
    // A day and more after the clock was set right, by itself.
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    let (expired, good) = (CopyState::Expired, CopyState::Good);
    assert_eq!(world.states(&made).await, [expired, expired, expired, good, good]);
    assert_eq!(world.state(&future).await, good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_does_not_end_the_grace_period() {
    let mut config = quick("one");
    config.expire_grace = Duration::from_secs(24 * 3600);
    let clock = Arc::new(ManualClock::new(at("2026-11-01T10:00:00Z")));
    let world = World::at(&["disk"], config, clock.clone()).await;
    let made = history(&world, &clock, 2).await;
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    world.expire().await;
    assert_eq!(world.state(&made[0]).await, CopyState::Expiring);
    clock.advance(YEAR);
    seen(&world).await;
    world.engine.accept_clock().await.unwrap();
    world.expire().await;
    assert_eq!(world.state(&made[0]).await, CopyState::Expiring, "it is not a day yet");
    clock.advance(SignedDuration::from_hours(23));
    seen(&world).await;
    clock.advance(SignedDuration::from_hours(2));
    world.expire().await;
    assert_eq!(world.state(&made[0]).await, CopyState::Expired);
    assert_eq!(world.state(&made[1]).await, CopyState::Good);
}

/// A world that fires and starts nothing, with an hourly schedule.
async fn hourly(zone: &str, now: Timestamp) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now));
    let mut config = quick("one");
    config.workers = 0;
    config.tick = Duration::from_millis(3);
    // Steps of the clock below are no lateness.
    config.catch_up_after = Duration::from_secs(3600);
    let world = World::asleep(&["disk"], config, clock.clone()).await;
    let zone: TimeZoneName = zone.parse().unwrap();
    world
        .change_app(|app| app.schedule = Some(Schedule::new("30 * * * *".parse().unwrap(), zone)))
        .await;
    world.start();
    (world, clock)
}

/// Nine minutes; gives the half hours among them.
fn step(clock: &ManualClock) -> Vec<Timestamp> {
    let before = clock.now();
    clock.advance(SignedDuration::from_mins(9));
    let minutes = (1..=9).map(|n| before + SignedDuration::from_mins(n));
    minutes.filter(|one| one.to_zoned(TimeZone::UTC).minute() == 30).collect()
}

/// Fire times that have a run, with how many.
async fn fires(world: &World) -> BTreeMap<Timestamp, usize> {
    let mut fires = BTreeMap::new();
    for run in world.engine.catalog().active_runs().await.unwrap() {
        *fires.entry(run.fire_at.unwrap()).or_default() += 1;
    }
    fires
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fire_comes_once_over_daylight_saving() {
    for (zone, from, skipped) in [
        ("Europe/Berlin", "2026-03-28T22:00:00Z", 0),
        ("Europe/Berlin", "2026-10-24T21:00:00Z", 1),
        // Midnight was skipped and repeated there.
        ("America/Sao_Paulo", "2018-11-04T00:10:00Z", 0),
        ("America/Sao_Paulo", "2018-02-17T23:10:00Z", 1),
    ] {
        let from = at(from);
        let (world, clock) = hourly(zone, from).await;
        while clock.now() < from + 8.hours() {
            for fire in step(&clock) {
                fired(&world, fire).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let fires = fires(&world).await;
        // Each hour of the day that the zone's clocks show has one, the repeated one only once;
        // a skipped hour's half past is the first moment after the gap, beside that hour's own.
        let shown: BTreeSet<_> = (0..16 * 60)
            .map(|minute| from + SignedDuration::from_mins(minute))
            .filter(|moment| *moment > from && *moment <= clock.now())
            .map(|moment| moment.to_zoned(TimeZone::get(zone).unwrap()))
            .filter(|moment| moment.minute() == 30)
            .map(|moment| moment.datetime())
            .collect();
        assert_eq!(skipped, usize::from(shown.len() < 8), "{zone} {shown:?}");
        let gap = usize::from(skipped == 0);
        assert_eq!(fires.len(), shown.len() + gap, "{zone}: {fires:?}");
        assert!(fires.values().all(|count| *count == 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fire_comes_once_whatever_the_clock_does() {
    let start = at("2026-11-01T10:00:00Z");
    let (world, clock) = hourly("UTC", start).await;
    let day = SignedDuration::from_hours(24);
    let mut shown = BTreeSet::new();
    // By steps of nine minutes for three hours, then a jump; then again.
    for jump in [day, -day, YEAR, -YEAR, SignedDuration::from_mins(-90), SignedDuration::ZERO] {
        for _ in 0..20 {
            for fire in step(&clock) {
                fired(&world, fire).await;
                shown.insert(fire);
            }
        }
        clock.advance(jump);
        if !jump.is_zero() {
            seen(&world).await;
        }
    }
    let fires = fires(&world).await;
    assert!(fires.values().all(|count| *count == 1), "{fires:?}");
    // What the clock showed while it walked was served; a leap ahead is one catch-up.
    assert!(shown.len() > 14 && shown.iter().all(|at| fires.contains_key(at)), "{fires:?}");
    assert_eq!(fires.len(), shown.len() + 2, "{fires:?}\n{shown:?}");
    let runs = world.engine.catalog().active_runs().await.unwrap();
    let ids: BTreeSet<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(ids.len(), runs.len());
    let events = world
        .engine
        .catalog()
        .events(catalog::EventQuery { limit: 500, ..catalog::EventQuery::default() })
        .await
        .unwrap();
    assert!(events.iter().filter(|one| one.kind == EventKind::ClockSkew).count() >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_queued_by_a_clock_ahead_does_not_wait_for_it() {
    let (world, clock) = hourly("UTC", at("2026-11-01T10:00:00Z")).await;
    seen(&world).await;
    clock.advance(YEAR);
    seen(&world).await;
    let waiting = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    clock.advance(-YEAR);
    seen(&world).await;
    let mut claimed = Vec::new();
    let catalog = world.engine.catalog();
    let lease = SignedDuration::from_secs(60);
    for _ in 0..200 {
        let Some(run) = catalog.claim("somebody", clock.now(), lease).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        claimed.push(run.id);
        world.engine.cancel(run.id).await.unwrap();
        // Its holder's clock was a year ahead when it died.
        let token = run.lease.as_ref().unwrap().token;
        catalog.heartbeat(run.id, token, clock.now(), YEAR).await.unwrap();
        assert_eq!(world.ended(&run).await.state, RunState::Interrupted);
        if run.id == waiting.id {
            break;
        }
    }
    assert!(claimed.contains(&waiting.id), "{claimed:?}");
}
