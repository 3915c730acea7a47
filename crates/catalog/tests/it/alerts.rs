//! Alerts and their messages, on either database.

use std::collections::BTreeMap;

use catalog::{AlertChanges, AlertQuery, Catalog, CatalogError, Claimed, DeliveryQuery};
use jiff::{SignedDuration, Timestamp};
use model::{
    Alert, AlertChange, AlertChannel, AlertId, AlertKind, AlertRoute, ChannelId, ChannelKind,
    ChannelTry, Delivery, DeliveryId, DeliveryItem, DeliveryState, DigestEvery, Event, EventId,
    EventKind, RouteId, SealedSecret, Severity, schedule::TimeZoneName,
};
use secrecy::SecretString;

const LEASE: SignedDuration = SignedDuration::from_secs(60);

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn later(secs: i64) -> Timestamp {
    now() + SignedDuration::from_secs(secs)
}

async fn open(url: &SecretString) -> Catalog {
    Catalog::open(url, 8).await.unwrap()
}

fn channel(name: &str) -> AlertChannel {
    AlertChannel {
        id: ChannelId::generate(now(), &mut rand::rng()),
        name: name.parse().unwrap(),
        kind: ChannelKind::Webhook,
        enabled: true,
        language: "en".to_owned(),
        settings: BTreeMap::new(),
        secrets: BTreeMap::from([(
            "token".to_owned(),
            SealedSecret::from_ciphertext("v1:x".to_owned()),
        )]),
        managed_by: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
        last_try: None,
    }
}

fn route(name: &str, channels: Vec<ChannelId>) -> AlertRoute {
    AlertRoute {
        id: RouteId::generate(now(), &mut rand::rng()),
        name: name.parse().unwrap(),
        position: 0,
        enabled: true,
        apps: vec![],
        kinds: vec![],
        least: Severity::Warning,
        channels,
        recoveries: true,
        remind_every_hours: None,
        quiet: None,
        digest: DigestEvery::None,
        digest_hour: 8,
        time_zone: TimeZoneName::utc(),
        managed_by: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

fn alert(kind: AlertKind, opened_at: Timestamp) -> Alert {
    Alert {
        id: AlertId::generate(opened_at, &mut rand::rng()),
        kind,
        severity: Severity::Error,
        app_id: None,
        app: None,
        destination_id: None,
        destination: None,
        run_id: None,
        snapshot_id: None,
        opened_at,
        closed_at: None,
        withdrawn: false,
        sentence: "it is wrong".into(),
        told: vec![],
    }
}

fn delivery(channel: &AlertChannel, of: AlertId, at: Timestamp) -> Delivery {
    Delivery {
        id: DeliveryId::generate(at, &mut rand::rng()),
        channel_id: channel.id,
        route_id: RouteId::generate(at, &mut rand::rng()),
        items: vec![DeliveryItem { alert_id: of, change: AlertChange::Opened }],
        digest: false,
        state: DeliveryState::Queued,
        attempts: 0,
        not_before: at,
        created_at: at,
        ended_at: None,
        problem: None,
        fact: None,
    }
}

fn well(at: Timestamp) -> ChannelTry {
    ChannelTry::new(at, None)
}

pub(crate) async fn channels_and_routes_are_kept_as_they_refer_to_each_other(url: &SecretString) {
    let catalog = open(url).await;
    let mail = channel("Mail");
    catalog.insert_alert_channel(&mail).await.unwrap();
    let taken = catalog.insert_alert_channel(&channel("mail")).await.unwrap_err();
    assert!(matches!(taken, CatalogError::NameTaken { .. }), "{taken}");
    assert_eq!(catalog.alert_channel_by_name("mAIL").await.unwrap(), mail);
    assert_eq!(catalog.alert_channel_by_name(&mail.id.to_string()).await.unwrap(), mail);

    let nowhere = vec![ChannelId::generate(now(), &mut rand::rng())];
    let lost = catalog.insert_alert_route(&route("lost", nowhere)).await.unwrap_err();
    assert!(matches!(lost, CatalogError::NotFound { .. }), "{lost}");
    let second = AlertRoute { position: 2, ..route("a", vec![mail.id]) };
    let first = AlertRoute { position: 1, ..route("b", vec![mail.id]) };
    catalog.insert_alert_route(&second).await.unwrap();
    catalog.insert_alert_route(&first).await.unwrap();
    assert_eq!(catalog.alert_routes().await.unwrap(), [first.clone(), second.clone()]);
    let edited = catalog.update_alert_route(&second, later(1)).await.unwrap();
    assert_eq!((edited.version, edited.updated_at), (2, later(1)));
    let stale = catalog.update_alert_route(&second, later(2)).await.unwrap_err();
    assert!(matches!(stale, CatalogError::Stale { .. }), "{stale}");

    let used = catalog.remove_alert_channel(mail.id, later(3)).await.unwrap_err();
    assert!(matches!(used, CatalogError::InUse { .. }), "{used}");
    for one in [&first, &second] {
        catalog.remove_alert_route(one.id, later(4)).await.unwrap();
    }
    catalog.note_channel_try(mail.id, &well(later(4))).await.unwrap();
    let tried = catalog.alert_channel(mail.id).await.unwrap();
    assert_eq!((tried.last_try, tried.version), (Some(well(later(4))), 1));
    let waits = delivery(&mail, AlertId::generate(now(), &mut rand::rng()), now());
    let changes = AlertChanges { deliveries: vec![waits], ..AlertChanges::default() };
    catalog.change_alerts(&changes).await.unwrap();
    catalog.remove_alert_channel(mail.id, later(5)).await.unwrap();
    assert!(catalog.alert_channel_by_name("mail").await.is_err());
    assert!(catalog.alert_channel(mail.id).await.unwrap().secrets.is_empty());
    assert_eq!(catalog.claim_delivery(later(6), LEASE).await.unwrap(), None);
    let all = catalog.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() });
    assert_eq!(all.await.unwrap()[0].state, DeliveryState::Failed);
    catalog.insert_alert_channel(&channel("mail")).await.unwrap();
}

pub(crate) async fn changes_are_written_whole_or_not_at_all(url: &SecretString) {
    let catalog = open(url).await;
    let mail = channel("mail");
    catalog.insert_alert_channel(&mail).await.unwrap();
    let one = alert(AlertKind::BackupFailed, now());
    let opening = |one: &Alert| AlertChanges {
        opened: vec![one.clone()],
        deliveries: vec![delivery(&mail, one.id, one.opened_at)],
        ..AlertChanges::default()
    };
    catalog.change_alerts(&opening(&one)).await.unwrap();
    // The same condition, seen by another at the same time: neither it nor its message.
    let same = alert(AlertKind::BackupFailed, later(1));
    let stale = catalog.change_alerts(&opening(&same)).await.unwrap_err();
    assert!(matches!(stale, CatalogError::Stale { .. }), "{stale}");
    let query = DeliveryQuery { limit: 9, ..DeliveryQuery::default() };
    assert_eq!(catalog.deliveries(query).await.unwrap().len(), 1);
    assert_eq!(catalog.open_alerts().await.unwrap(), std::slice::from_ref(&one));

    let over = Alert { closed_at: Some(later(2)), ..one.clone() };
    let closing = AlertChanges {
        closed: vec![over.clone()],
        deliveries: vec![delivery(&mail, one.id, later(2))],
        ..AlertChanges::default()
    };
    catalog.change_alerts(&closing).await.unwrap();
    let again =
        AlertChanges { deliveries: vec![delivery(&mail, one.id, later(3))], ..closing.clone() };
    let stale = catalog.change_alerts(&again).await.unwrap_err();
    assert!(matches!(stale, CatalogError::Stale { .. }), "{stale}");
    assert_eq!(catalog.deliveries(query).await.unwrap().len(), 2);
    assert_eq!(catalog.alert(one.id).await.unwrap(), over);
    // It may begin anew.
    catalog.change_alerts(&opening(&same)).await.unwrap();
    let all = catalog.alerts(AlertQuery { limit: 9, ..AlertQuery::default() }).await.unwrap();
    assert_eq!(all, [same.clone(), over]);
    let open = AlertQuery { open: true, limit: 9, ..AlertQuery::default() };
    assert_eq!(catalog.alerts(open).await.unwrap(), [same]);
}

pub(crate) async fn events_wait_until_they_are_told(url: &SecretString) {
    let catalog = open(url).await;
    let event = |kind| Event {
        id: EventId::generate(now(), &mut rand::rng()),
        at: now(),
        kind,
        severity: Severity::Warning,
        app_id: None,
        run_id: None,
        snapshot_id: None,
        destination_id: None,
        sentence: "it happened".into(),
    };
    let skew = event(EventKind::ClockSkew);
    // Success is no alert, and neither is what lasts: that is seen from what is.
    let others = [event(EventKind::RunSucceeded), event(EventKind::RunFailed)];
    catalog.append_events(&others).await.unwrap();
    catalog.append_events(std::slice::from_ref(&skew)).await.unwrap();
    assert_eq!(catalog.events_to_tell(9).await.unwrap(), std::slice::from_ref(&skew));
    let moment = Alert { closed_at: Some(now()), ..alert(AlertKind::ClockSkew, now()) };
    let told =
        AlertChanges { opened: vec![moment], events: vec![skew.id], ..AlertChanges::default() };
    catalog.change_alerts(&told).await.unwrap();
    assert_eq!(catalog.events_to_tell(9).await.unwrap(), []);
    let again = AlertChanges {
        opened: vec![Alert { closed_at: Some(now()), ..alert(AlertKind::ClockSkew, now()) }],
        ..told
    };
    assert!(catalog.change_alerts(&again).await.is_err());
    let all = catalog.alerts(AlertQuery { limit: 9, ..AlertQuery::default() }).await.unwrap();
    assert_eq!(all.len(), 1);
}

pub(crate) async fn a_message_is_in_one_hand_and_ends_once(url: &SecretString) {
    let catalog = open(url).await;
    let (mail, chat) = (channel("mail"), channel("chat"));
    for one in [&mail, &chat] {
        catalog.insert_alert_channel(one).await.unwrap();
    }
    let of = AlertId::generate(now(), &mut rand::rng());
    let first = delivery(&mail, of, now());
    let second = delivery(&mail, of, later(1));
    let other = delivery(&chat, of, later(1));
    let deliveries = vec![second.clone(), other.clone(), first.clone()];
    let changes = AlertChanges { deliveries, ..AlertChanges::default() };
    catalog.change_alerts(&changes).await.unwrap();

    // One for each channel, whoever asks at the same time.
    let asked = (0..6).map(|_| {
        let catalog = catalog.clone();
        tokio::spawn(async move { catalog.claim_delivery(later(2), LEASE).await.unwrap() })
    });
    let mut held: Vec<Claimed> = Vec::new();
    for one in asked.collect::<Vec<_>>() {
        held.extend(one.await.unwrap());
    }
    while let Some(one) = catalog.claim_delivery(later(2), LEASE).await.unwrap() {
        held.push(one);
    }
    let mut ids: Vec<_> = held.iter().map(|one| one.delivery.id).collect();
    ids.sort();
    let mut expected = vec![first.id, other.id];
    expected.sort();
    assert_eq!(ids, expected, "the second of a channel waits for the first");

    let (old, of_chat): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|one| one.delivery.id == first.id);
    let sent = |claimed: &Claimed| Claimed {
        delivery: Delivery {
            state: DeliveryState::Sent,
            ended_at: Some(later(64)),
            ..claimed.delivery.clone()
        },
        token: claimed.token,
    };
    catalog.note_delivery(&sent(&of_chat[0]), &well(later(3)), &[]).await.unwrap();

    // Who was silent for too long has nothing to say any more.
    let (old, new) = (&old[0], catalog.claim_delivery(later(63), LEASE).await.unwrap().unwrap());
    assert_eq!((new.delivery.id, new.token > old.token), (first.id, true));
    let stale = catalog.note_delivery(&sent(old), &well(later(64)), &[]).await.unwrap_err();
    assert!(matches!(stale, CatalogError::Stale { .. }), "{stale}");
    catalog.note_delivery(&sent(&new), &well(later(64)), &[]).await.unwrap();
    assert_eq!(catalog.alert_channel(mail.id).await.unwrap().last_try, Some(well(later(64))));

    // The second is put off, and hurried when its channel is there again.
    let next = catalog.claim_delivery(later(65), LEASE).await.unwrap().unwrap();
    assert_eq!(next.delivery.id, second.id);
    let waits = Claimed {
        delivery: Delivery {
            attempts: 1,
            not_before: later(3_600),
            problem: Some("away".to_owned()),
            ..next.delivery
        },
        token: next.token,
    };
    let problem = ChannelTry::new(later(65), Some("away".into()));
    catalog.note_delivery(&waits, &problem, &[]).await.unwrap();
    assert_eq!(catalog.claim_delivery(later(130), LEASE).await.unwrap(), None);
    catalog.hurry_deliveries(mail.id, later(131)).await.unwrap();
    let hurried = catalog.claim_delivery(later(131), LEASE).await.unwrap().unwrap();
    assert_eq!((hurried.delivery.id, hurried.delivery.attempts), (second.id, 1));
    // A clock that was far ahead puts nothing off.
    let ahead = later(400 * 86_400);
    let waits = Claimed {
        delivery: Delivery { not_before: ahead, ..hurried.delivery },
        token: hurried.token,
    };
    catalog.note_delivery(&waits, &problem, &[]).await.unwrap();
    let found = catalog.claim_delivery(later(200), LEASE).await.unwrap().unwrap();
    assert_eq!(found.delivery.id, second.id);
}

pub(crate) async fn held_messages_become_one(url: &SecretString) {
    let catalog = open(url).await;
    let mail = channel("mail");
    catalog.insert_alert_channel(&mail).await.unwrap();
    let of = AlertId::generate(now(), &mut rand::rng());
    let held = |at| Delivery {
        state: DeliveryState::Held,
        not_before: later(100),
        ..delivery(&mail, of, at)
    };
    let both = [held(now()), held(later(1))];
    let changes = AlertChanges { deliveries: both.to_vec(), ..AlertChanges::default() };
    catalog.change_alerts(&changes).await.unwrap();
    assert_eq!(catalog.claim_delivery(later(200), LEASE).await.unwrap(), None);
    assert_eq!(catalog.held_until(later(99)).await.unwrap(), []);
    assert_eq!(catalog.held_until(later(100)).await.unwrap(), both);
    let ids = [both[0].id, both[1].id];
    let merged = delivery(&mail, of, later(100));
    catalog.release_held(&ids, &merged).await.unwrap();
    let twice = catalog.release_held(&ids, &delivery(&mail, of, later(100))).await.unwrap_err();
    assert!(matches!(twice, CatalogError::Stale { .. }), "{twice}");
    let claimed = catalog.claim_delivery(later(200), LEASE).await.unwrap().unwrap();
    assert_eq!(claimed.delivery, merged);
    assert_eq!(catalog.claim_delivery(later(200), LEASE).await.unwrap(), None);

    // What a removed route held is not held any longer.
    let night = route("night", vec![mail.id]);
    catalog.insert_alert_route(&night).await.unwrap();
    let waits = Delivery { route_id: night.id, ..held(later(2)) };
    let changes = AlertChanges { deliveries: vec![waits], ..AlertChanges::default() };
    catalog.change_alerts(&changes).await.unwrap();
    assert_eq!(catalog.held_until(later(3)).await.unwrap(), []);
    catalog.remove_alert_route(night.id, later(3)).await.unwrap();
    assert_eq!(catalog.held_until(later(3)).await.unwrap().len(), 1);
}

pub(crate) async fn turns_and_beats_are_one_at_a_time(url: &SecretString) {
    let catalog = open(url).await;
    let turn = async |who, at| catalog.hold_turn("alerts", who, at, LEASE).await.unwrap();
    assert!(turn("one", now()).await);
    assert!(!turn("two", later(1)).await);
    assert!(turn("one", later(30)).await, "renewed");
    assert!(!turn("two", later(89)).await);
    assert!(turn("two", later(90)).await, "the first was silent");
    assert!(!turn("one", later(91)).await);
    catalog.yield_turn("alerts", "one").await.unwrap();
    assert!(!turn("one", later(92)).await, "it was not its own to give");
    catalog.yield_turn("alerts", "two").await.unwrap();
    assert!(turn("one", later(400 * 86_400)).await);
    assert!(turn("two", later(93)).await, "the clock was ahead");

    let check = channel("check");
    catalog.insert_alert_channel(&check).await.unwrap();
    let beat = async |at| catalog.is_beat_due(check.id, at, LEASE).await.unwrap();
    assert!(beat(now()).await && !beat(now()).await && !beat(later(59)).await);
    assert!(beat(later(60)).await && !beat(later(61)).await);
    assert!(beat(later(10)).await, "the clock went back");
}
