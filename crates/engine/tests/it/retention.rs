//! Retention against copies and listings that are not as they should be.

use std::{sync::Arc, time::Duration};

use model::{CopyState, FailureCode, RunState};
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
