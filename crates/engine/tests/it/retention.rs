//! Retention against copies and listings that are not as they should be.

use std::{sync::Arc, time::Duration};

use engine::DestinationDraft;
use model::{CopyState, FailureCode, RunState, retention::Reason};
use store::{Fault, Faulty, Local, Operation};

use crate::world::{World, quick, sample};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_copy_stays_known_as_damaged_and_as_long_as_a_good_one() {
    let mut config = quick("one");
    config.expire_grace = Duration::from_secs(3600);
    let world = World::with(&["disk"], config).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(world.good_snapshot().await);
    }
    let object = world.folder.path().join("disk").join(&made[1].copies[0].objects[0].key);
    let sound = std::fs::read(&object).unwrap();
    std::fs::write(&object, &sound[1..]).unwrap();
    let verify = world.engine.verify_now(made[1].id, None).await.unwrap();
    world.ended(&verify).await;
    assert_eq!(world.state(&made[1]).await, CopyState::Damaged);

    // Two good ones are kept, and the damaged one between them takes no place.
    world.change_app(|app| app.retention.keep_last = Some(2)).await;
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    let (good, damaged) = (CopyState::Good, CopyState::Damaged);
    assert_eq!(world.states(&made).await, [good, damaged, good]);
    // No rule would keep it any more: it is marked, and still known as what it is.
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    world.expire().await;
    assert_eq!(world.states(&made).await, [CopyState::Expiring, damaged, good]);
    let marked = world.engine.catalog().snapshot(made[1].id).await.unwrap();
    assert!(marked.copies[0].expiring_since.is_some());
    // Taken back, it does not become good by that.
    world.change_app(|app| app.retention.keep_last = Some(5)).await;
    world.expire().await;
    assert_eq!(world.states(&made).await, [good, damaged, good]);
    let kept = world.engine.catalog().snapshot(made[1].id).await.unwrap();
    assert_eq!(kept.copies[0].expiring_since, None);
    // The mark was false (a mount was gone): found right again, it is.
    std::fs::write(&object, &sound).unwrap();
    let verify = world.engine.verify_now(made[1].id, None).await.unwrap();
    world.ended(&verify).await;
    assert_eq!(world.state(&made[1]).await, good);
    assert_eq!(world.restored(&made[1]).await, sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_copy_that_no_rule_would_keep_goes() {
    let world = World::new(&["disk"]).await;
    let (first, second) = (world.good_snapshot().await, world.good_snapshot().await);
    let object = world.folder.path().join("disk").join(&first.copies[0].objects[0].key);
    std::fs::write(&object, "other bytes").unwrap();
    let verify = world.engine.verify_now(first.id, None).await.unwrap();
    world.ended(&verify).await;
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    assert_eq!(world.states(&[first, second]).await, [CopyState::Expired, CopyState::Good]);
    assert_eq!(world.files("disk").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_locked_waits_until_its_lock_has_passed() {
    let world = World::new(&["disk"]).await;
    let store = Arc::new(Local::open(&world.folder.path().join("disk")).await.unwrap());
    let settings = |pairs: &[(&str, &str)]| {
        let all = pairs.iter().chain(&[("bucket", "b"), ("endpoint", "http://127.0.0.1:1")]);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let draft = |pairs: &[(&str, &str)]| DestinationDraft {
        name: "locked".to_owned(),
        kind: "s3".to_owned(),
        settings: settings(pairs),
        ..DestinationDraft::default()
    };
    for wrong in [
        &[("object_lock", "compliance")][..],
        &[("object_lock_days", "7")],
        &[("object_lock", "forever"), ("object_lock_days", "7")],
        &[("object_lock", "governance"), ("object_lock_days", "0")],
    ] {
        let error = world.engine.add_destination(draft(wrong)).await.unwrap_err();
        assert!(error.to_string().contains("object_lock"), "{error}");
    }
    let lock = [("object_lock", "governance"), ("object_lock_days", "7")];
    let locked = world.engine.add_destination(draft(&lock)).await.unwrap();
    world.engine.use_store(&locked, store.clone());
    let id = locked.id;
    world.change_app(|app| app.destinations[0].destination_id = id).await;
    let app = || async { world.engine.catalog().app(world.app.id).await.unwrap() };
    let made = [world.good_snapshot().await, world.good_snapshot().await];
    assert_eq!(world.expired_to_one().await, 0);
    let previews = world.engine.preview_retention(&app().await, None).await.unwrap();
    let reasons = &previews[0].plan.decisions[1].reasons;
    let [Reason::Locked { until }] = reasons[..] else { panic!("{reasons:?}") };
    let days = until.duration_since(made[0].copies[0].committed_at).as_hours() / 24;
    assert_eq!(days, 7);
    // Without the lock it goes.
    let free = world.engine.edit_destination(id, locked.version, draft(&[])).await.unwrap();
    world.engine.use_store(&free, store);
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    assert_eq!(world.states(&made).await, [CopyState::Expired, CopyState::Good]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_by_a_listing_that_is_short_broken_or_empty() {
    let world = World::new(&["disk"]).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(world.good_snapshot().await);
    }
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    let disk = world.engine.catalog().destination_by_name("disk").await.unwrap();
    let root = world.folder.path().join("disk");
    let faulty = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
    world.engine.use_store(&disk, Arc::new(faulty.clone()));
    let files = world.files("disk");
    for (fault, code) in [
        (Fault::FailsOnSecondPage, FailureCode::DestinationUnavailable),
        (Fault::Empty, FailureCode::RetentionRefused),
        (Fault::DropsOne, FailureCode::RetentionRefused),
    ] {
        faulty.inject(Operation::List, fault);
        let run = world.expire().await;
        assert_eq!(run.failure.unwrap().code, code, "{fault:?}");
        assert_eq!(world.files("disk"), files, "{fault:?}");
        assert_eq!(world.states(&made).await, [CopyState::Good; 4], "{fault:?}");
    }
    // A deletion whose reply is lost is carried on by the next run.
    faulty.inject(Operation::Delete, Fault::LostReply);
    assert_eq!(world.expire().await.state, RunState::Failed);
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    assert_eq!(world.files("disk").len(), 2);
    assert_eq!(world.restored(&made[3]).await, sample(1));
}
