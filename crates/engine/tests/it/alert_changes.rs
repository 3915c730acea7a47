//! What becomes of alerts and messages when channels and routes change (F34), are declared in a
//! file, or are long past.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use catalog::{CatalogError, DeliveryQuery};
use engine::{ChannelDraft, DeclareError, Declared, EngineError, Entry, RouteDraft};
use jiff::SignedDuration;
use model::{Alert, DeliveryId, DeliveryState, ManagedBy, ManualClock, Run, RunState};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{
        HOUR, config, fail, happens, listening, open_now, pass, settle, succeed, to, waiting,
        webhook, world,
    },
    hook::Hook,
    world::{World, open},
};

const OPENED: &str = "opened backup_failed shop";
const CLOSED: &str = "closed backup_failed shop";

/// The alert about the failed backup, once it is open.
async fn opened(engine: &engine::Engine) -> Alert {
    for _ in 0..500 {
        if let Some(alert) = open_now(engine).await.pop() {
            return alert;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no alert is open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_later_hears_of_what_lasts_once() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    fail(&world, &clock).await;
    opened(engine).await;
    settle().await;

    // Nobody was told, since there was nobody.
    let hook = Hook::start().await;
    let first = webhook(engine, "first", &hook).await;
    webhook(engine, "second", &hook).await;
    let route = engine.add_alert_route(to("first", &["backup_failed"])).await.unwrap();
    hook.takes(1).await;
    // A channel that the route leads to only now; the other one has heard of it.
    let both = RouteDraft {
        channels: vec!["first".to_owned(), "second".to_owned()],
        ..to("first", &["backup_failed"])
    };
    engine.edit_alert_route(route.id, route.version, both).await.unwrap();
    hook.takes(2).await;
    // One that gets nothing for now hears of it when it does.
    let off = ChannelDraft { enabled: false, ..draft("third", &hook) };
    let third = engine.add_alert_channel(off).await.unwrap();
    engine.add_alert_route(to("third", &[])).await.unwrap();
    settle().await;
    assert_eq!(hook.taken().len(), 2, "{:#?}", hook.taken());
    engine.edit_alert_channel(third.id, third.version, draft("third", &hook)).await.unwrap();
    hook.takes(3).await;
    settle().await;
    for channel in ["first", "second", "third"] {
        assert_eq!(hook.told(channel), [OPENED], "{channel}");
    }
    // Its route goes; another one that leads there tells the end.
    let route = engine.alert_route("to-first").await.unwrap();
    engine.remove_alert_route(route.id).await.unwrap();
    engine
        .add_alert_route(RouteDraft { name: "other".to_owned(), ..to("first", &[]) })
        .await
        .unwrap();
    settle().await;
    succeed(&world, &clock).await;
    hook.takes(5).await;
    settle().await;
    assert_eq!(hook.told("first"), [OPENED, CLOSED]);
    assert_eq!(hook.told("second"), [OPENED], "no route leads there any more");
    assert_eq!(hook.told("third"), [OPENED, CLOSED]);
    assert_eq!(engine.alert_channel("first").await.unwrap().id, first.id);
}

/// F30: killed after the message was taken and before that was noted. Nobody can know then whether
/// it arrived, so that it comes once more, under the id that it had.
#[test]
fn what_was_sent_and_not_noted_comes_once_more_under_its_id() {
    let here = tokio::runtime::Runtime::new().unwrap();
    // What is killed lives in a runtime of its own, which goes with all that it does.
    let there = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(ManualClock::new("2026-11-02T10:00:00Z".parse().unwrap()));
    let (world, hook) = here.block_on(async {
        let world = World::asleep(&["disk"], config("other"), clock.clone()).await;
        (world, Hook::start().await)
    });
    let (folder, its_clock) = (world.folder.path().to_owned(), clock.clone());
    there.block_on(async move {
        let engine = open(&folder, config("one"), its_clock).await;
        tokio::spawn(async move { engine.serve(CancellationToken::new()).await });
    });
    here.block_on(async {
        webhook(&world.engine, "hook", &hook).await;
        world.engine.add_alert_route(to("hook", &["backup_failed"])).await.unwrap();
        hook.think(Duration::from_secs(3_600));
        fail(&world, &clock).await;
        hook.is_asked(1).await;
    });
    there.shutdown_background();
    here.block_on(async {
        settle().await;
        assert_eq!(waiting(&world.engine, DeliveryState::Sent).await, 0);
        hook.think(Duration::ZERO);
        // The one that comes after it waits until nobody can be at work on it any more.
        world.start();
        settle().await;
        assert_eq!(hook.asked(), 1);
        for _ in 0..3 {
            pass(&world, &clock, SignedDuration::from_mins(1)).await;
        }
        hook.takes(1).await;
        for _ in 0..10 {
            pass(&world, &clock, SignedDuration::from_mins(10)).await;
        }
        let ids = hook.asked_ids();
        assert_eq!(ids.len(), 2, "once more, not oftener");
        assert_eq!(ids[0], ids[1]);
        assert_eq!(hook.told("hook"), [OPENED]);
        assert_eq!(waiting(&world.engine, DeliveryState::Sent).await, 1);
        world.stop();
        settle().await;
    });
}

/// F11: the catalog's disk is full when it is to be noted that a message was taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_while_the_disk_was_full_is_not_sent_again() {
    let clock = Arc::new(ManualClock::new("2026-11-02T10:00:00Z".parse().unwrap()));
    let small = tempfile::tempdir().unwrap();
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(small.path());
    if !mount.status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "mounting needs root");
        return;
    }
    let _mounted = Mounted(small.path().to_owned());
    let url = format!("sqlite://{}?mode=rwc", small.path().join("catalog.sqlite").display());
    let world = World::on(&url.into(), &["disk"], config("one"), clock.clone()).await;
    world.start();
    let hook = listening(&world, &["backup_failed"]).await;
    hook.think(Duration::from_secs(3));
    fail(&world, &clock).await;
    hook.is_asked(1).await;
    let filler = small.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while std::io::Write::write_all(&mut file, &vec![7; size]).is_ok() {}
    }
    // Open, it would keep its room.
    drop(file);
    let mut refused = false;
    for _ in 0..500 {
        refused = world.engine.catalog().set_setting("noise", &"x".repeat(9_000)).await.is_err();
        if refused {
            break;
        }
    }
    assert!(refused, "the disk is never full");
    hook.takes(1).await;
    settle().await;
    std::fs::remove_file(&filler).unwrap();
    for _ in 0..500 {
        if waiting(&world.engine, DeliveryState::Sent).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(waiting(&world.engine, DeliveryState::Sent).await, 1);
    for _ in 0..10 {
        pass(&world, &clock, SignedDuration::from_mins(10)).await;
    }
    assert_eq!((hook.asked(), hook.told("hook")), (1, vec![OPENED.to_owned()]));
    succeed(&world, &clock).await;
    hook.takes(2).await;
    assert_eq!(hook.told("hook"), [OPENED, CLOSED]);
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn draft(name: &str, hook: &Hook) -> ChannelDraft {
    ChannelDraft {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        settings: BTreeMap::from([("url".to_owned(), hook.url(name))]),
        ..ChannelDraft::default()
    }
}

/// F34: what is under way arrives as it began, once; what waits goes where the edit says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_edited_while_it_is_written_to_is_told_once() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    let hook = listening(&world, &["backup_failed", "fires_missed"]).await;
    hook.think(Duration::from_secs(3));
    fail(&world, &clock).await;
    hook.is_asked(1).await;
    clock.advance(SignedDuration::from_secs(2));
    happens(engine, 1).await;
    settle().await;
    let other = Hook::start().await;
    let channel = engine.alert_channel("hook").await.unwrap();
    let stale = engine.edit_alert_channel(channel.id, channel.version + 7, draft("hook", &hook));
    let stale = stale.await.unwrap_err();
    assert!(matches!(stale, EngineError::Catalog(CatalogError::Stale { .. })), "{stale}");
    let moved = ChannelDraft { name: "moved".to_owned(), ..draft("hook", &other) };
    let edited = engine.edit_alert_channel(channel.id, channel.version, moved).await.unwrap();
    assert!(hook.taken().is_empty(), "it still thinks");
    hook.takes(1).await;
    other.takes(1).await;
    settle().await;
    assert_eq!(hook.told("hook"), [OPENED]);
    assert_eq!(other.told("hook"), ["opened fires_missed -"]);
    let all = engine.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() });
    let all = all.await.unwrap();
    let sent = all.iter().filter(|one| one.delivery.state == DeliveryState::Sent).count();
    assert_eq!((sent, all.len()), (2, 2), "{all:?}");
    // What came of it did not undo the edit.
    let now = engine.alert_channel("moved").await.unwrap();
    assert_eq!((now.version, &now.settings), (edited.version, &edited.settings));
    assert!(now.last_try.unwrap().problem.is_none());
}

/// F34: a route that goes mid-send takes nothing back; a channel goes only when none leads there,
/// and what waits for it is given up, not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_and_a_channel_that_go_while_a_message_is_under_way() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    let hook = listening(&world, &["backup_failed", "fires_missed"]).await;
    hook.think(Duration::from_secs(3));
    fail(&world, &clock).await;
    hook.is_asked(1).await;
    clock.advance(SignedDuration::from_secs(2));
    happens(engine, 1).await;
    settle().await;
    let channel = engine.alert_channel("hook").await.unwrap();
    let used = engine.remove_alert_channel(channel.id).await.unwrap_err();
    assert!(matches!(used, EngineError::Catalog(CatalogError::InUse { .. })), "{used}");
    let route = engine.alert_route("to-hook").await.unwrap();
    engine.remove_alert_route(route.id).await.unwrap();
    engine.remove_alert_channel(channel.id).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(hook.asked(), 1, "what waited is not sent");
    let all = engine.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() });
    let all = all.await.unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    for one in &all {
        assert_eq!((one.delivery.state, one.channel.as_str()), (DeliveryState::Failed, "hook"));
        assert!(one.delivery.problem.as_ref().unwrap().contains("removed"), "{one:?}");
    }
    // The end is told to nobody, and the loops go on.
    succeed(&world, &clock).await;
    settle().await;
    assert_eq!((hook.asked(), open_now(engine).await.len()), (1, 0));
    let next = listening(&world, &["backup_failed"]).await;
    fail(&world, &clock).await;
    next.takes(1).await;
}

/// F34: an app that is removed while an alert about it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_goes_while_it_is_told_of_is_told_of_once() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    let hook = listening(&world, &["backup_failed"]).await;
    hook.think(Duration::from_secs(3));
    fail(&world, &clock).await;
    hook.is_asked(1).await;
    engine.remove_app(world.app.id).await.unwrap();
    hook.takes(1).await;
    for _ in 0..500 {
        if open_now(engine).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    settle().await;
    assert_eq!((hook.told("hook"), open_now(engine).await), (vec![OPENED.to_owned()], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_long_ago_are_let_go_and_what_waits_is_not() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    let hook = listening(&world, &["fires_missed"]).await;
    let weekly = RouteDraft {
        name: "weekly".to_owned(),
        digest: "weekly".to_owned(),
        ..to("later", &["backup_failed"])
    };
    webhook(engine, "later", &hook).await;
    engine.add_alert_route(weekly).await.unwrap();
    happens(engine, 1).await;
    hook.takes(1).await;
    pass(&world, &clock, HOUR * 24 * 89).await;
    happens(engine, 2).await;
    hook.takes(2).await;
    fail(&world, &clock).await;
    settle().await;
    assert_eq!(waiting(engine, DeliveryState::Sent).await, 2);
    pass(&world, &clock, HOUR * 36).await;
    for _ in 0..100 {
        if waiting(engine, DeliveryState::Sent).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(waiting(engine, DeliveryState::Sent).await, 1, "the one of today");
    assert_eq!(waiting(engine, DeliveryState::Held).await, 1);
    // A clock that leaps a year has proven nothing old.
    let of_today = sent(engine).await;
    clock.advance(HOUR * 24 * 365);
    settle().await;
    assert!(sent(engine).await.contains(&of_today[0]));
}

async fn sent(engine: &engine::Engine) -> Vec<DeliveryId> {
    let query =
        DeliveryQuery { state: Some(DeliveryState::Sent), limit: 9, ..DeliveryQuery::default() };
    engine.deliveries(query).await.unwrap().iter().map(|one| one.delivery.id).collect()
}

fn declared(hook: &Hook, token: &str) -> Declared {
    let channel = ChannelDraft {
        language: "en".to_owned(),
        secrets: BTreeMap::from([("token".to_owned(), token.into())]),
        ..draft("team", hook)
    };
    let route = RouteDraft {
        name: "night".to_owned(),
        apps: vec!["Shop".to_owned()],
        ..to("team", &["backup_failed"])
    };
    Declared { channels: vec![channel], routes: vec![route], ..Declared::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_and_routes_are_declared_once_and_belong_to_the_file() {
    const BY: ManagedBy = ManagedBy::File;
    let (world, clock) = world().await;
    let (engine, hook) = (&world.engine, Hook::start().await);
    let first = declared(&hook, "a-token-of-sixteen-and-more");
    let told = engine.try_declared(BY, &first).await.unwrap();
    assert_eq!(told.added, ["team", "night"]);
    assert!(engine.alert_channel("team").await.is_err(), "a try changes nothing");
    assert_eq!(engine.reconcile(BY, &first).await.unwrap(), told);
    assert!(!engine.reconcile(BY, &first).await.unwrap().is_change());
    fail(&world, &clock).await;
    hook.takes(1).await;
    // That something was sent there is no change of it.
    assert!(!engine.reconcile(BY, &first).await.unwrap().is_change());
    let rotated = declared(&hook, "another-token-of-sixteen-and-more");
    assert_eq!(engine.reconcile(BY, &rotated).await.unwrap().changed, ["team"]);

    // By hand neither is changed nor removed; it can be tried.
    let channel = engine.alert_channel("team").await.unwrap();
    let route = engine.alert_route("night").await.unwrap();
    assert_eq!((channel.managed_by, route.managed_by), (Some(BY), Some(BY)));
    for refused in [
        engine
            .edit_alert_channel(channel.id, channel.version, draft("team", &hook))
            .await
            .map(drop),
        engine.remove_alert_channel(channel.id).await,
        engine.edit_alert_route(route.id, route.version, to("team", &[])).await.map(drop),
        engine.remove_alert_route(route.id).await,
    ] {
        assert!(matches!(refused, Err(EngineError::Conflict(_))), "{refused:?}");
    }
    assert!(engine.test_alert_channel(channel.id).await.unwrap().problem.is_none());

    // What is wrong is told at its entry, and nothing is written.
    let mut wrong = declared(&hook, "a-token-of-sixteen-and-more");
    wrong.channels.push(wrong.channels[0].clone());
    wrong.channels.push(ChannelDraft { kind: "pigeon".to_owned(), ..draft("bird", &hook) });
    wrong.routes[0].least = "much".to_owned();
    wrong.routes.push(RouteDraft { name: "lost".to_owned(), ..to("nowhere", &[]) });
    // Told at the channel itself.
    wrong.routes.push(RouteDraft { name: "birds".to_owned(), ..to("bird", &[]) });
    let Err(DeclareError::Wrong(wrong)) = engine.reconcile(BY, &wrong).await else {
        panic!("it was taken")
    };
    let found: Vec<_> = wrong.iter().map(|(entry, e)| (*entry, e.field.as_str())).collect();
    assert_eq!(
        found,
        [
            (Entry::Channel(1), "name"),
            (Entry::Channel(2), "kind"),
            (Entry::Route(0), "least"),
            (Entry::Route(1), "channels[0]"),
        ]
    );

    // Let go: nobody is told by what nobody declares, and both are people's again.
    let gone = Declared::default();
    assert_eq!(engine.reconcile(BY, &gone).await.unwrap().released, ["night", "team"]);
    let route = engine.alert_route("night").await.unwrap();
    assert!(!route.enabled && route.managed_by.is_none());
    assert!(engine.alert_channel("team").await.unwrap().enabled);
    // They come back while nobody has touched them.
    assert_eq!(engine.reconcile(BY, &rotated).await.unwrap().changed, ["team", "night"]);
    engine.reconcile(BY, &gone).await.unwrap();
    let route = engine.alert_route("night").await.unwrap();
    engine.edit_alert_route(route.id, route.version, to("team", &[])).await.unwrap();
    let renamed = Declared { routes: vec![to("team", &[])], ..rotated.clone() };
    let Err(DeclareError::Wrong(wrong)) = engine.reconcile(BY, &renamed).await else {
        panic!("it was taken")
    };
    assert_eq!(wrong[0].0, Entry::Route(0), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_edited_mid_run_is_told_of_under_its_new_name() {
    let (world, clock) = world().await;
    let engine = &world.engine;
    let hook = listening(&world, &["backup_failed"]).await;
    clock.advance(SignedDuration::from_secs(2));
    world
        .server
        .answer_with(crate::app_server::Export::Slow(vec![7; 1 << 20], Duration::from_millis(20)));
    let before = world.server.exports();
    let run = engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    while world.server.exports() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.change_app(|app| app.name = "renamed".parse().unwrap()).await;
    engine.cancel(run.id).await.unwrap();
    let ended: Run = world.ended(&run).await;
    assert_eq!(ended.state, RunState::Cancelled);
    settle().await;
    assert!(hook.taken().is_empty(), "who cancels is not told that it failed");
    fail(&world, &clock).await;
    hook.takes(1).await;
    assert_eq!(hook.told("hook"), ["opened backup_failed renamed"]);
}
