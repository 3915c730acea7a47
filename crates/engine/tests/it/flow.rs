//! What should happen when all is well.

use std::time::Duration;

use engine::{AppDraft, BindingDraft, RunRequest, ScheduleDraft};
use model::{CopyState, RunState, SnapshotKind, retention::RetentionPolicy};

use crate::{
    app_server::Export,
    world::{TOKEN, World, sample},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_stores_proves_and_restores() {
    let world = World::new(&["disk"]).await;
    for export in [Export::Trailers(sample(1)), Export::Headers(sample(2))] {
        let (Export::Trailers(sent) | Export::Headers(sent)) = export.clone() else { return };
        world.server.answer_with(export);
        let snapshot = world.good_snapshot().await;
        assert!(snapshot.verified_by_source);
        assert_eq!(snapshot.kind, SnapshotKind::Manual);
        assert_eq!(world.restored(&snapshot).await, sent);
        let verify = world.engine.verify_now(snapshot.id, None).await.unwrap();
        assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
        let verified = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
        assert!(verified.copies[0].verified_at.is_some());
    }
    // Two objects and two manifests, and nothing half-written.
    assert_eq!(world.files("disk").len(), 4, "{:?}", world.files("disk"));
    assert!(!world.everything_told().await.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_export_goes_to_several_destinations() {
    let world = World::new(&["disk", "other"]).await;
    let snapshot = world.good_snapshot().await;
    assert_eq!(snapshot.copies.len(), 2);
    assert_eq!(world.server.exports(), 1);
    assert_eq!(world.files("disk").len(), 2);
    assert_eq!(world.files("other").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_fails_does_not_stop_the_other_and_is_healed_by_a_copy() {
    let world = World::new(&["disk", "other"]).await;
    // A file where the folder should be.
    let blocker = world.folder.path().join("other/apps");
    std::fs::write(&blocker, "in the way").unwrap();
    let run = world.back_up().await;
    assert_eq!(run.state, RunState::PartiallyFailed);
    assert!(run.failure.unwrap().message.contains("other"));
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert_eq!(snapshot.copies.len(), 1);
    assert_eq!(world.restored(&snapshot).await, sample(1));

    std::fs::remove_file(&blocker).unwrap();
    let other = world.engine.catalog().destination_by_name("other").await.unwrap();
    let copy = world.engine.copy_now(snapshot.id, other.id).await.unwrap();
    let copy = world.ended(&copy).await;
    assert_eq!(copy.state, RunState::Succeeded, "{:?}", copy.failure);
    let verify = world.engine.verify_now(snapshot.id, Some(other.id)).await.unwrap();
    assert_eq!(world.ended(&verify).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_keeps_the_newest_and_deletes_exactly_the_rest() {
    let world = World::new(&["disk"]).await;
    let foreign = world.folder.path().join("disk/apps/shop/theirs.dump");
    let mut made = Vec::new();
    for round in 1..=4_u32 {
        world.server.answer_with(Export::Trailers(sample(round)));
        made.push(world.good_snapshot().await);
        std::fs::write(&foreign, "not ours").unwrap();
    }
    world.engine.set_pinned(made[0].id, true).await.unwrap();
    let draft = AppDraft {
        name: "shop".to_owned(),
        url: world.server.url(),
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            folder: "apps/shop".to_owned(),
            ..BindingDraft::default()
        }],
        retention: RetentionPolicy { keep_last: Some(2), ..RetentionPolicy::default() },
        ..AppDraft::default()
    };
    let app = world.engine.edit_app(world.app.id, world.app.version, draft).await.unwrap();
    let preview = world.engine.preview_retention(&app, None).await.unwrap();
    let run = world.engine.expire_now(app.id).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Succeeded);

    let states: Vec<_> = {
        let mut states = Vec::new();
        for one in &made {
            let now = world.engine.catalog().snapshot(one.id).await.unwrap();
            states.push(now.copies[0].state);
        }
        states
    };
    assert_eq!(
        states,
        [CopyState::Good, CopyState::Expired, CopyState::Good, CopyState::Good],
        "pinned, expired, last two"
    );
    let expired: Vec<_> = preview[0]
        .plan
        .decisions
        .iter()
        .filter(|one| one.verdict == model::retention::Verdict::Expire)
        .map(|one| one.id)
        .collect();
    assert_eq!(expired, [made[1].id], "the preview is the plan");
    assert!(foreign.exists());
    assert_eq!(world.files("disk").len(), 3 * 2 + 1);
    assert_eq!(world.restored(&made[0]).await, sample(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_fires_once_by_itself() {
    let world = World::new(&["disk"]).await;
    let draft = AppDraft {
        name: "shop".to_owned(),
        url: world.server.url(),
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            ..BindingDraft::default()
        }],
        schedule: Some(ScheduleDraft { spec: "@every 1h".to_owned(), ..ScheduleDraft::default() }),
        ..AppDraft::default()
    };
    let app = world.engine.edit_app(world.app.id, world.app.version, draft).await.unwrap();
    let long_ago = world.engine.now() - jiff::SignedDuration::from_hours(100);
    world.engine.catalog().set_last_fire(app.id, long_ago).await.unwrap();
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if world.server.exports() > 0 {
            break;
        }
    }
    world.quiet().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.server.exports(), 1, "a hundred missed fires are one run");
    let last = world.engine.catalog().last_ended_run(app.id, model::RunKind::Backup).await.unwrap();
    let last = last.unwrap();
    assert_eq!(last.state, RunState::Succeeded);
    assert!((98..=100).contains(&last.missed_fires), "{}", last.missed_fires);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_run_and_one_under_way_can_be_cancelled() {
    let world = World::new(&["disk"]).await;
    world.server.answer_with(Export::Slow(sample(1), Duration::from_millis(150)));
    let under_way = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    while world.server.exports() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let labelled = RunRequest { label: Some("second".to_owned()), ..RunRequest::default() };
    let waiting = world.engine.run_now(&world.app, &labelled).await.unwrap();
    world.engine.cancel(waiting.id).await.unwrap();
    world.engine.cancel(under_way.id).await.unwrap();
    assert_eq!(world.ended(&waiting).await.state, RunState::Cancelled);
    assert_eq!(world.ended(&under_way).await.state, RunState::Cancelled);
    assert_eq!(world.files("disk"), Vec::<std::path::PathBuf>::new());
}
