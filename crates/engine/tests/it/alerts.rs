//! When something is wrong, people hear of it once, where and when they said, and once more when
//! it is over.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use catalog::{AlertQuery, DeliveryQuery, EventQuery};
use engine::{ChannelDraft, Engine, EngineConfig, EngineError, RouteDraft, RunRequest};
use jiff::{SignedDuration, Timestamp};
use model::{
    Alert, AlertChannel, DeliveryState, Event, EventId, EventKind, Fact, ManualClock, RunState,
    Severity,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app_server::Export,
    clock::seen,
    hook::{Hook, Taken},
    postgres,
    world::{World, open, open_at, quick, sample},
};

pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);

pub(crate) fn config(instance: &str) -> EngineConfig {
    let mut config = quick(instance);
    config.alerts_every = Duration::from_millis(20);
    config
}

pub(crate) async fn world() -> (World, Arc<ManualClock>) {
    world_at("2026-11-02T10:00:00Z").await
}

async fn world_at(start: &str) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(start.parse().unwrap()));
    (World::at(&["disk"], config("one"), clock.clone()).await, clock)
}

pub(crate) async fn webhook(engine: &Engine, name: &str, hook: &Hook) -> AlertChannel {
    let draft = ChannelDraft {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        settings: BTreeMap::from([("url".to_owned(), hook.url(name))]),
        ..ChannelDraft::default()
    };
    engine.add_alert_channel(draft).await.unwrap()
}

/// A route to `channel` for these kinds; the clocks of tests leap, which is told as well.
pub(crate) fn to(channel: &str, kinds: &[&str]) -> RouteDraft {
    RouteDraft {
        name: format!("to-{channel}"),
        channels: vec![channel.to_owned()],
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        ..RouteDraft::default()
    }
}

pub(crate) async fn listening(world: &World, kinds: &[&str]) -> Hook {
    let hook = Hook::start().await;
    webhook(&world.engine, "hook", &hook).await;
    world.engine.add_alert_route(to("hook", kinds)).await.unwrap();
    hook
}

/// Lets the loops look around.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(250)).await;
}

/// Moves the clock in steps that are no jumps.
pub(crate) async fn pass(world: &World, clock: &ManualClock, time: SignedDuration) {
    let mut left = time;
    while left.is_positive() {
        let step = left.min(HOUR * 12);
        clock.advance(step);
        if step > HOUR {
            seen(world).await;
        }
        left -= step;
    }
    settle().await;
}

/// By a clock that stands still nobody could tell which of two runs was the last.
pub(crate) async fn fail(world: &World, clock: &ManualClock) {
    clock.advance(SignedDuration::from_secs(2));
    world.server.answer_with(Export::Status(500));
    assert_eq!(world.back_up().await.state, RunState::Failed);
    world.quiet().await;
}

pub(crate) async fn succeed(world: &World, clock: &ManualClock) {
    clock.advance(SignedDuration::from_secs(2));
    world.server.answer_with(Export::Trailers(sample(1)));
    world.good_snapshot().await;
}

/// Something that happens and lasts not.
pub(crate) async fn happens(engine: &Engine, count: u64) {
    let event = Event {
        id: EventId::generate(engine.now(), &mut rand::rng()),
        at: engine.now(),
        kind: EventKind::FiresMissed,
        severity: Severity::Warning,
        app_id: None,
        run_id: None,
        snapshot_id: None,
        destination_id: None,
        sentence: Fact::FiresMissed { count, app: "shop".to_owned() }.into(),
    };
    engine.catalog().append_events(&[event]).await.unwrap();
}

pub(crate) async fn open_now(engine: &Engine) -> Vec<Alert> {
    let query = AlertQuery { open: true, limit: 100, ..AlertQuery::default() };
    engine.alerts(query).await.unwrap()
}

pub(crate) async fn waiting(engine: &Engine, state: DeliveryState) -> usize {
    let query = DeliveryQuery { state: Some(state), limit: 500, ..DeliveryQuery::default() };
    engine.deliveries(query).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_once_and_its_end_once() {
    let (world, clock) = world().await;
    let hook = listening(&world, &[]).await;
    fail(&world, &clock).await;
    hook.takes(1).await;
    fail(&world, &clock).await;
    settle().await;
    assert_eq!(hook.told("hook"), ["opened backup_failed shop"]);
    let open = open_now(&world.engine).await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].run_id.is_some() && !open[0].sentence.is_empty());

    succeed(&world, &clock).await;
    hook.takes(2).await;
    settle().await;
    assert_eq!(hook.told("hook"), ["opened backup_failed shop", "closed backup_failed shop"]);
    assert_eq!(open_now(&world.engine).await, []);
    let ids: Vec<_> = hook.taken().iter().map(Taken::id).collect();
    assert_ne!(ids[0], ids[1]);
    // What fails again is news again.
    fail(&world, &clock).await;
    hook.takes(3).await;
    assert_eq!(hook.told("hook")[2], "opened backup_failed shop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_when_the_retries_are_over() {
    let clock = Arc::new(ManualClock::new("2026-11-02T10:00:00Z".parse().unwrap()));
    let mut config = config("one");
    config.retries = 1;
    let world = World::at(&["disk"], config, clock.clone()).await;
    let hook = listening(&world, &["backup_failed"]).await;
    world.server.answer_with(Export::Status(500));
    assert_eq!(world.back_up().await.state, RunState::Failed);
    settle().await;
    assert!(hook.taken().is_empty(), "it is tried again in a minute");
    clock.advance(SignedDuration::from_secs(61));
    world.quiet().await;
    hook.takes(1).await;
    assert_eq!(hook.told("hook"), ["opened backup_failed shop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_disables_an_app_is_not_told_that_it_is_well() {
    let (world, clock) = world().await;
    let hook = listening(&world, &[]).await;
    fail(&world, &clock).await;
    hook.takes(1).await;
    world.change_app(|app| app.enabled = false).await;
    for _ in 0..100 {
        if open_now(&world.engine).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    settle().await;
    assert_eq!(hook.taken().len(), 1);
    let all = world.engine.alerts(AlertQuery { limit: 9, ..AlertQuery::default() }).await.unwrap();
    assert!(all[0].withdrawn && all[0].closed_at.is_some(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_cannot_be_used_is_told_beside_the_failure() {
    let (world, clock) = world().await;
    let kinds = ["backup_failed", "destination_unreachable", "destination_full"];
    let hook = listening(&world, &kinds).await;
    succeed(&world, &clock).await;
    let disk = world.folder.path().join("disk");
    let away = world.folder.path().join("away");
    std::fs::rename(&disk, &away).unwrap();
    std::fs::write(&disk, b"not a folder").unwrap();
    clock.advance(SignedDuration::from_secs(2));
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::Failed, "{run:?}");
    hook.takes(2).await;
    let mut told = hook.told("hook");
    told.sort();
    assert_eq!(told, ["opened backup_failed shop", "opened destination_unreachable disk"]);
    std::fs::remove_file(&disk).unwrap();
    std::fs::rename(&away, &disk).unwrap();
    succeed(&world, &clock).await;
    hook.takes(4).await;
    let mut told = hook.told("hook").split_off(2);
    told.sort();
    assert_eq!(told, ["closed backup_failed shop", "closed destination_unreachable disk"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_go_where_the_routes_lead() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    let hook = Hook::start().await;
    for name in ["mine", "all", "urgent"] {
        webhook(engine, name, &hook).await;
    }
    let other = engine::AppDraft {
        name: "other".to_owned(),
        url: "http://127.0.0.1:9".to_owned(),
        token: Some("nobody-is-there-to-read-it".into()),
        destinations: vec![engine::BindingDraft {
            destination: "disk".to_owned(),
            folder: "other".to_owned(),
            ..engine::BindingDraft::default()
        }],
        ..engine::AppDraft::default()
    };
    let other = engine.register_app(other).await.unwrap();
    let mine = RouteDraft { apps: vec!["shop".to_owned()], ..to("mine", &["backup_failed"]) };
    engine.add_alert_route(mine).await.unwrap();
    // The first route that leads to a channel tells it.
    let all = RouteDraft {
        channels: vec!["all".to_owned(), "mine".to_owned()],
        position: 1,
        apps: vec!["shop".to_owned()],
        ..to("all", &[])
    };
    engine.add_alert_route(all).await.unwrap();
    let urgent = RouteDraft { least: "error".to_owned(), position: 2, ..to("urgent", &[]) };
    engine.add_alert_route(urgent).await.unwrap();

    fail(&world, &clock).await;
    hook.takes(3).await;
    let run = engine.run_now(&other, &RunRequest::default()).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Failed);
    hook.takes(4).await;
    // Of no app, and no error.
    happens(engine, 1).await;
    settle().await;
    assert_eq!(hook.told("mine"), ["opened backup_failed shop"]);
    assert_eq!(hook.told("all"), ["opened backup_failed shop"]);
    assert_eq!(hook.told("urgent"), ["opened backup_failed shop", "opened backup_failed other"]);
    // Who heard of it hears of its end, and nobody else.
    succeed(&world, &clock).await;
    hook.takes(7).await;
    settle().await;
    assert_eq!(hook.taken().len(), 7);
    assert_eq!(hook.told("mine")[1], "closed backup_failed shop");

    let channel = engine.alert_channel("mine").await.unwrap();
    let used = engine.remove_alert_channel(channel.id).await.unwrap_err();
    assert!(used.to_string().contains("the route"), "{used}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_quiet_hours_comes_in_one_message() {
    // 22:30 in Madrid.
    let (world, clock) = world_at("2026-11-02T21:30:00Z").await;
    let engine = &world.engine;
    let hook = Hook::start().await;
    webhook(engine, "hook", &hook).await;
    let route = RouteDraft {
        quiet_from: "22:00".to_owned(),
        quiet_to: "07:00".to_owned(),
        time_zone: "Europe/Madrid".to_owned(),
        ..to("hook", &["backup_failed", "fires_missed"])
    };
    engine.add_alert_route(route).await.unwrap();
    happens(engine, 1).await;
    happens(engine, 2).await;
    fail(&world, &clock).await;
    hook.takes(1).await;
    assert_eq!(hook.told("hook"), ["opened backup_failed shop"], "errors break the quiet");
    succeed(&world, &clock).await;
    settle().await;
    assert_eq!(hook.taken().len(), 1, "good news do not");
    assert_eq!(waiting(engine, DeliveryState::Held).await, 3);
    pass(&world, &clock, HOUR * 8).await;
    assert_eq!(hook.taken().len(), 1, "half past six");
    pass(&world, &clock, HOUR).await;
    hook.takes(2).await;
    settle().await;
    let mut told = hook.taken()[1].digest();
    told.sort();
    let expected = ["closed backup_failed shop", "opened fires_missed -", "opened fires_missed -"];
    assert_eq!((told, hook.taken().len()), (expected.map(str::to_owned).to_vec(), 2));
    // By day there is no waiting.
    happens(engine, 3).await;
    hook.takes(3).await;
    assert_eq!(hook.told("hook")[2], "opened fires_missed -");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_tells_the_last_word_on_each() {
    let (world, clock) = world_at("2026-11-02T10:00:00Z").await;
    let engine = &world.engine;
    let hook = Hook::start().await;
    webhook(engine, "hook", &hook).await;
    let route = RouteDraft {
        digest: "daily".to_owned(),
        digest_hour: 8,
        ..to("hook", &["backup_failed", "fires_missed"])
    };
    engine.add_alert_route(route).await.unwrap();
    fail(&world, &clock).await;
    settle().await;
    succeed(&world, &clock).await;
    settle().await;
    fail(&world, &clock).await;
    settle().await;
    clock.advance(SignedDuration::from_secs(2));
    happens(engine, 1).await;
    settle().await;
    assert!(hook.taken().is_empty());
    pass(&world, &clock, HOUR * 21).await;
    assert!(hook.taken().is_empty(), "seven");
    pass(&world, &clock, HOUR).await;
    hook.takes(1).await;
    settle().await;
    let told = hook.taken()[0].digest();
    let expected =
        ["closed backup_failed shop", "opened backup_failed shop", "opened fires_missed -"];
    assert_eq!((told, hook.taken().len()), (expected.map(str::to_owned).to_vec(), 1));
    assert_eq!(hook.taken()[0].body["level"], "error", "one lasts");
    pass(&world, &clock, HOUR * 24).await;
    assert_eq!(hook.taken().len(), 1, "nothing new is no digest");
}

/// F30: the channel is away for an hour, and the orchestrator is started anew meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_away_for_an_hour_gets_each_message_once() {
    let (world, clock) = world().await;
    let mut hook = Hook::down();
    webhook(&world.engine, "hook", &hook).await;
    world.engine.add_alert_route(to("hook", &["backup_failed"])).await.unwrap();
    fail(&world, &clock).await;
    for _ in 0..30 {
        pass_a_minute(&clock).await;
    }
    assert_eq!(waiting(&world.engine, DeliveryState::Queued).await, 1);
    let channel = world.engine.alert_channel("hook").await.unwrap();
    assert!(channel.last_try.unwrap().problem.is_some());

    clock.advance(SignedDuration::from_secs(2));
    // The other one goes on where this one was.
    world.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let next = open(world.folder.path(), config("one"), clock.clone()).await;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (next, shutdown) = (next.clone(), shutdown.clone());
        async move { next.serve(shutdown).await }
    });
    world.server.answer_with(Export::Trailers(sample(1)));
    let run = next.run_now(&world.app, &RunRequest::default()).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Succeeded);
    for _ in 0..30 {
        pass_a_minute(&clock).await;
    }
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let mut waits = next.deliveries(query).await.unwrap();
    waits.reverse();
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert_eq!(waits[1].delivery.attempts, 0, "the one before it goes first");
    let (tried, id) = (waits[0].delivery.attempts, waits[0].delivery.id.to_string());
    assert!((4..=12).contains(&tried), "ever more patiently: {tried}");

    hook.come_up().await;
    for _ in 0..70 {
        pass_a_minute(&clock).await;
        if hook.taken().len() == 2 {
            break;
        }
    }
    settle().await;
    assert_eq!(hook.told("hook"), ["opened backup_failed shop", "closed backup_failed shop"]);
    assert_eq!(hook.taken()[0].id(), id, "the same on each try");
    assert_eq!(waiting(&next, DeliveryState::Sent).await, 2);
    shutdown.cancel();
    serving.await.unwrap();
}

async fn pass_a_minute(clock: &ManualClock) {
    clock.advance(SignedDuration::from_mins(1));
    tokio::time::sleep(Duration::from_millis(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_taken_is_given_up_and_told() {
    let (world, clock) = world().await;
    let hook = listening(&world, &["backup_failed"]).await;
    hook.answer_with(404);
    fail(&world, &clock).await;
    for tried in 1..=31 {
        for _ in 0..500 {
            if hook.asked() >= tried {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What came of it is noted before the clock goes on.
        tokio::time::sleep(Duration::from_millis(100)).await;
        clock.advance(SignedDuration::from_mins(73));
    }
    let query = DeliveryQuery { limit: 9, ..DeliveryQuery::default() };
    let given_up = world.engine.deliveries(query).await.unwrap();
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    assert_eq!(given_up[0].delivery.state, DeliveryState::Failed, "{given_up:?}");
    assert_eq!(hook.asked(), 31);
    let events = world.engine.catalog().events(EventQuery { limit: 500, app_id: None });
    let events = events.await.unwrap();
    let told: Vec<_> =
        events.iter().filter(|event| event.kind == EventKind::AlertUndelivered).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].sentence.contains("`hook`"), "{}", told[0].sentence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orchestrators_tell_it_once() {
    let Some(url) = postgres::database("alerts_of_two").await else { return };
    let clock = Arc::new(ManualClock::new("2026-11-02T10:00:00Z".parse().unwrap()));
    let world = World::on(&url, &["disk"], config("one"), clock.clone()).await;
    world.start();
    let other = open_at(&url, config("two"), clock.clone()).await;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (other, shutdown) = (other.clone(), shutdown.clone());
        async move { other.serve(shutdown).await }
    });
    let hook = listening(&world, &["backup_failed", "fires_missed"]).await;
    for count in 1..=20 {
        happens(if count % 2 == 0 { &world.engine } else { &other }, count).await;
    }
    fail(&world, &clock).await;
    hook.takes(21).await;
    succeed(&world, &clock).await;
    hook.takes(22).await;
    settle().await;
    let mut ids: Vec<_> = hook.taken().iter().map(Taken::id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((hook.taken().len(), ids.len()), (22, 22));

    // Where one ends, the other goes on at once; where it is killed, after its turn.
    world.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.advance(SignedDuration::from_secs(61));
    happens(&other, 21).await;
    hook.takes(23).await;
    shutdown.cancel();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_overdue_by_the_time_that_really_passed() {
    let (world, clock) = world().await;
    let hook = listening(&world, &["overdue"]).await;
    succeed(&world, &clock).await;
    clock.advance(HOUR * 24 * 365);
    seen(&world).await;
    settle().await;
    assert!(hook.taken().is_empty(), "the clock leapt, the app did not rest for a year");
    pass(&world, &clock, HOUR * 20).await;
    assert!(hook.taken().is_empty());
    pass(&world, &clock, HOUR * 8).await;
    hook.takes(1).await;
    pass(&world, &clock, HOUR * 48).await;
    assert_eq!(hook.told("hook"), ["opened overdue shop"]);
    // Back to where it should be: what is dated in the future is no word on today.
    clock.set("2026-11-02T11:00:00Z".parse().unwrap());
    seen(&world).await;
    hook.takes(2).await;
    settle().await;
    succeed(&world, &clock).await;
    settle().await;
    assert_eq!(hook.told("hook"), ["opened overdue shop", "closed overdue shop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_come_where_they_were_asked_for() {
    let (world, clock) = world().await;
    let hook = Hook::start().await;
    webhook(&world.engine, "hook", &hook).await;
    let route = RouteDraft { remind_every_hours: Some(12), ..to("hook", &["backup_failed"]) };
    world.engine.add_alert_route(route).await.unwrap();
    fail(&world, &clock).await;
    hook.takes(1).await;
    pass(&world, &clock, HOUR * 11).await;
    assert_eq!(hook.taken().len(), 1);
    pass(&world, &clock, HOUR).await;
    hook.takes(2).await;
    settle().await;
    assert_eq!(hook.told("hook"), ["opened backup_failed shop", "lasts backup_failed shop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unusual_is_told_once_it_is_known_what_is_usual() {
    let clock = Arc::new(ManualClock::new("2026-11-02T10:00:00Z".parse().unwrap()));
    let mut config = config("one");
    // The clock goes on while a run does.
    config.lease = Duration::from_secs(7_200);
    config.source_timeout = Duration::from_secs(30);
    let world = World::at(&["disk"], config, clock.clone()).await;
    let hook = listening(&world, &["size_anomaly", "duration_anomaly"]).await;
    let learned = async || {
        let usual = world.engine.usual(&world.app).await.unwrap();
        (usual.learned, usual.needed)
    };
    assert_eq!(learned().await, (0, 10));
    for count in 1..=7 {
        succeed(&world, &clock).await;
        assert_eq!(learned().await, (count, 10));
    }
    slow(&world, &clock).await;
    settle().await;
    assert_eq!(learned().await, (8, 10));
    assert!(hook.taken().is_empty(), "eight of ten");
    for _ in 0..3 {
        succeed(&world, &clock).await;
    }
    assert_eq!(learned().await, (10, 10));
    slow(&world, &clock).await;
    hook.takes(1).await;
    succeed(&world, &clock).await;
    hook.takes(2).await;
    assert_eq!(hook.told("hook"), ["opened duration_anomaly shop", "closed duration_anomaly shop"]);

    clock.advance(SignedDuration::from_secs(2));
    world.server.answer_with(Export::Trailers(sample(1)[..100_000].to_vec()));
    let odd = world.good_snapshot().await;
    assert!(odd.anomalous);
    hook.takes(3).await;
    world.engine.accept_anomaly(odd.id).await.unwrap();
    hook.takes(4).await;
    assert_eq!(
        hook.told("hook").split_off(2),
        ["opened size_anomaly shop", "closed size_anomaly shop"]
    );
}

/// A backup that takes half an hour.
async fn slow(world: &World, clock: &ManualClock) {
    clock.advance(SignedDuration::from_secs(2));
    world.server.answer_with(Export::Slow(sample(1), Duration::from_millis(60)));
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    for _ in 0..500 {
        let run = world.engine.catalog().run(run.id).await.unwrap();
        if run.state == RunState::Running && run.stage == model::Stage::Store {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clock.advance(SignedDuration::from_mins(30));
    assert_eq!(world.ended(&run).await.state, RunState::Succeeded);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_pinged_while_all_is_well_and_failed_while_it_is_not() {
    let (world, clock) = world().await;
    let hook = Hook::start().await;
    let draft = ChannelDraft {
        name: "check".to_owned(),
        kind: "healthchecks".to_owned(),
        secrets: BTreeMap::from([("url".to_owned(), hook.url("ping/canary-of-a-check").into())]),
        ..ChannelDraft::default()
    };
    let channel = world.engine.add_alert_channel(draft).await.unwrap();
    let shown = format!("{channel:?}{}", serde_json::to_string(&channel).unwrap());
    assert!(!shown.contains("canary"), "{shown}");
    world.engine.add_alert_route(to("check", &["backup_failed", "overdue"])).await.unwrap();
    hook.takes(1).await;
    fail(&world, &clock).await;
    hook.takes(2).await;
    // An hour later it is still so, and one of two that are over is not all of them.
    pass(&world, &clock, HOUR).await;
    hook.takes(3).await;
    pass(&world, &clock, HOUR * 25).await;
    settle().await;
    let before = hook.taken().len();
    assert!(hook.taken()[1..].iter().all(|one| one.path.ends_with("/fail")), "{:?}", hook.taken());
    succeed(&world, &clock).await;
    hook.takes(before + 2).await;
    settle().await;
    let last = hook.taken().pop().unwrap();
    assert_eq!(last.path, "/ping/canary-of-a-check");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_tried_and_what_waits_follows() {
    let (world, clock) = world().await;
    let hook = listening(&world, &["backup_failed"]).await;
    let channel = world.engine.alert_channel("hook").await.unwrap();
    hook.answer_with(500);
    fail(&world, &clock).await;
    for _ in 0..100 {
        if hook.asked() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    settle().await;
    let tried = world.engine.test_alert_channel(channel.id).await.unwrap();
    assert!(tried.problem.is_some());
    assert_eq!(world.engine.alert_channel("hook").await.unwrap().last_try, Some(tried));
    hook.answer_with(200);
    assert_eq!(world.engine.test_alert_channel(channel.id).await.unwrap().problem, None);
    hook.takes(2).await;
    assert_eq!(hook.taken()[0].body["data"]["kind"], "test");
    assert_eq!(hook.taken()[1].told(), "opened backup_failed shop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_field_by_field() {
    let (world, _clock) = world().await;
    let engine = &world.engine;
    let fields = |error: EngineError| match error {
        EngineError::Invalid(errors) => errors.into_iter().map(|one| one.field).collect(),
        other => vec![other.to_string()],
    };
    let draft = |settings: &[(&str, &str)]| ChannelDraft {
        name: "hook".to_owned(),
        kind: "webhook".to_owned(),
        settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..ChannelDraft::default()
    };
    let wrong = engine.add_alert_channel(draft(&[])).await.unwrap_err();
    assert_eq!(fields(wrong), ["settings.url"]);
    let metadata = draft(&[("url", "http://169.254.169.254/x")]);
    assert_eq!(fields(engine.add_alert_channel(metadata).await.unwrap_err()), ["settings.url"]);
    let spoken = ChannelDraft { language: "tlh".to_owned(), ..draft(&[("url", "http://a/")]) };
    assert_eq!(fields(engine.add_alert_channel(spoken).await.unwrap_err()), ["language"]);
    let pigeon = ChannelDraft { kind: "pigeon".to_owned(), ..draft(&[]) };
    assert_eq!(fields(engine.add_alert_channel(pigeon).await.unwrap_err()), ["kind"]);

    let mut good = draft(&[("url", "http://127.0.0.1:9/")]);
    good.secrets.insert("secret".to_owned(), "a-canary-of-sixteen-and-more".into());
    let channel = engine.add_alert_channel(good).await.unwrap();
    let kept = engine
        .edit_alert_channel(channel.id, 1, draft(&[("url", "http://127.0.0.1:10/")]))
        .await
        .unwrap();
    assert!(kept.secrets.contains_key("secret"), "left out, it stays");
    let stale = engine.edit_alert_channel(channel.id, 1, draft(&[("url", "http://127.0.0.1:9/")]));
    assert!(stale.await.unwrap_err().to_string().contains("meanwhile"));

    let route = RouteDraft {
        name: "night".to_owned(),
        apps: vec!["nobody".to_owned()],
        kinds: vec!["boredom".to_owned()],
        least: "much".to_owned(),
        channels: vec!["nowhere".to_owned()],
        remind_every_hours: Some(0),
        quiet_from: "25:00".to_owned(),
        quiet_to: "07:00".to_owned(),
        digest: "hourly".to_owned(),
        digest_hour: 24,
        time_zone: "Mars/Phobos".to_owned(),
        ..RouteDraft::default()
    };
    let mut wrong: Vec<String> = fields(engine.add_alert_route(route).await.unwrap_err());
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "apps[0]",
            "channels[0]",
            "digest",
            "digest_hour",
            "kinds[0]",
            "least",
            "quiet_from",
            "remind_every_hours",
            "time_zone"
        ]
    );
    let now: Timestamp = engine.now();
    let added = engine.add_alert_route(to("hook", &[])).await.unwrap();
    assert_eq!((added.created_at, added.version), (now, 1));
    let edited = RouteDraft { position: 7, ..to("hook", &[]) };
    assert_eq!(engine.edit_alert_route(added.id, 1, edited).await.unwrap().position, 7);
    engine.remove_alert_route(added.id).await.unwrap();
    engine.remove_alert_channel(channel.id).await.unwrap();
    assert!(engine.alert_channel("hook").await.is_err());
    let gone = engine.catalog().alert_channel(channel.id).await.unwrap();
    assert!(gone.secrets.is_empty());
}
