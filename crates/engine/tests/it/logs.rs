//! The log of a run beside its objects.

use std::sync::Arc;

use jiff::SignedDuration;
use model::{ManualClock, RunState};

use crate::{
    app_server::Export,
    clock::seen,
    world::{World, quick, sample},
};

fn logs(world: &World) -> Vec<String> {
    let folder = world.folder.path().join("disk/apps/shop/logs");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_with_its_snapshot_or_after_thirty_days() {
    let clock = Arc::new(ManualClock::new("2026-11-01T10:00:00Z".parse().unwrap()));
    let world = World::at(&["disk"], quick("one"), clock.clone()).await;
    world
        .change_app(|app| {
            app.destinations[0].logs = true;
            app.retention.keep_last = Some(1);
        })
        .await;
    let first = world.good_snapshot().await;
    assert_eq!(logs(&world), ["backup_20261101_100000_shop.log"]);
    let key = first.copies[0].log_key.as_deref();
    assert_eq!(key, Some("apps/shop/logs/backup_20261101_100000_shop.log"));
    // Another of the same second has another name, unless the first one has gone by then. Of two of
    // the same moment either would be the newer one.
    clock.advance(SignedDuration::from_millis(100));
    let second = world.good_snapshot().await;
    world.expire().await;
    let key = second.copies[0].log_key.clone().unwrap();
    assert_eq!(logs(&world), [key.rsplit('/').next().unwrap()]);

    clock.advance(SignedDuration::from_hours(1));
    world.server.answer_with(Export::WrongChecksum(sample(2)));
    let failed = world.back_up().await;
    assert_eq!(failed.state, RunState::Failed);
    world.server.answer_with(Export::Trailers(sample(1)));
    let of_failed = "backup_20261101_110000_shop.log".to_owned();
    assert!(logs(&world).contains(&of_failed));
    let path = world.folder.path().join("disk/apps/shop/logs").join(&of_failed);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().last().unwrap().contains("ERROR"), "{text}");
    assert!(!text.contains(crate::world::TOKEN), "{text}");

    for _ in 0..31 {
        clock.advance(SignedDuration::from_hours(23));
        seen(&world).await;
    }
    world.good_snapshot().await;
    assert!(logs(&world).contains(&of_failed), "29 days and 17 hours are not thirty");
    for _ in 0..2 {
        clock.advance(SignedDuration::from_hours(23));
        seen(&world).await;
    }
    world.good_snapshot().await;
    assert!(!logs(&world).contains(&of_failed), "{:?}", logs(&world));
    world.expire().await;
    assert_eq!(logs(&world).len(), 1);
    world.wait_out_leftovers().await;
    assert_eq!(logs(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_put_is_a_warning() {
    let world = World::new(&["disk"]).await;
    world.change_app(|app| app.destinations[0].logs = true).await;
    let folder = world.folder.path().join("disk/apps/shop");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("logs"), "in the way").unwrap();
    let snapshot = world.good_snapshot().await;
    assert!(snapshot.copies[0].log_key.is_none());
    let lines = world.engine.catalog().log_after(snapshot.run_id, 0, 1_000).await.unwrap();
    assert!(lines.iter().any(|line| line.message.contains("this log is not there")), "{lines:?}");
}
