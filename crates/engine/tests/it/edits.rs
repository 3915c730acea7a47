//! What happens when somebody edits, removes or stops things while runs go on.

use std::time::{Duration, Instant};

use catalog::CatalogError;
use engine::{AppDraft, BindingDraft, DestinationDraft, EngineError, RunRequest};
use model::{CopyState, Run, RunState, Trigger};
use tokio_util::sync::CancellationToken;

use crate::{
    app_server::Export,
    world::{World, quick, sample},
};

/// A run whose export has begun and takes a second or so.
async fn under_way(world: &World) -> Run {
    world.server.answer_with(Export::Slow(sample(1), Duration::from_millis(50)));
    let before = world.server.exports();
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    while world.server.exports() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_app_finishes_its_run_as_it_began() {
    let world = World::new(&["disk", "other"]).await;
    let run = under_way(&world).await;
    // Renamed, to another folder, away from the second destination, and disabled.
    let draft = AppDraft {
        name: "renamed".to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            folder: "elsewhere".to_owned(),
            ..BindingDraft::default()
        }],
        enabled: false,
        ..AppDraft::default()
    };
    world.engine.edit_app(world.app.id, 1, draft).await.unwrap();
    let other = world.engine.catalog().destination_by_name("other").await.unwrap();
    let refused = world.engine.remove_destination(other.id).await.unwrap_err();
    assert!(matches!(refused, EngineError::Conflict(_)), "{refused}");
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert_eq!(snapshot.copies.len(), 2);
    assert!(snapshot.copies.iter().all(|copy| copy.manifest_key.starts_with("apps/shop/shop_")));
    assert_eq!(world.restored(&snapshot).await, sample(1));
    world.quiet().await;
    world.engine.remove_destination(other.id).await.unwrap();
    // Its copy can still be read.
    let snapshot = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    let from = world.engine.read_artifact(&snapshot, "shop", Some(other.id)).await;
    assert_eq!(from.unwrap().destination_id, other.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_removed_only_between_runs_and_takes_its_queue_along() {
    let world = World::new(&["disk"]).await;
    let good = world.good_snapshot().await;
    let run = under_way(&world).await;
    let labelled = RunRequest { label: Some("second".to_owned()), ..RunRequest::default() };
    let refused = world.engine.remove_app(world.app.id).await.unwrap_err();
    assert!(matches!(refused, EngineError::Catalog(CatalogError::InUse { .. })), "{refused}");
    world.engine.cancel(run.id).await.unwrap();
    assert_eq!(world.ended(&run).await.state, RunState::Cancelled);
    world.quiet().await;
    let later = Run {
        id: model::RunId::generate(world.engine.now(), &mut rand::rng()),
        state: RunState::Queued,
        cancel_requested: false,
        not_before: world.engine.now() + jiff::SignedDuration::from_hours(1),
        failure: None,
        ..run.clone()
    };
    world.engine.catalog().enqueue(&later).await.unwrap();
    world.engine.remove_app(world.app.id).await.unwrap();
    assert_eq!(world.ended(&later).await.state, RunState::Cancelled);
    assert_eq!(world.restored(&good).await, sample(1));
    assert_eq!(world.state(&good).await, CopyState::Good);
    // One that slipped in ends with a reason.
    let late = world.engine.run_now(&world.app, &labelled).await.unwrap();
    let late = world.ended(&late).await;
    assert_eq!(late.failure.unwrap().code, model::FailureCode::ConfigurationChanged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_moves_only_between_runs() {
    let world = World::new(&["disk"]).await;
    let disk = world.engine.catalog().destination_by_name("disk").await.unwrap();
    let draft = |name: &str, folder: &str| DestinationDraft {
        name: name.to_owned(),
        settings: [("path".to_owned(), world.folder.path().join(folder).display().to_string())]
            .into(),
        ..DestinationDraft::default()
    };
    let run = under_way(&world).await;
    let refused = world.engine.edit_destination(disk.id, 1, draft("disk", "moved")).await;
    assert!(matches!(refused, Err(EngineError::Conflict(_))), "{refused:?}");
    // Its name is no matter of where things lie.
    world.engine.edit_destination(disk.id, 1, draft("renamed", "disk")).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let snapshot = world.engine.catalog().snapshot(run.snapshot_id.unwrap()).await.unwrap();
    assert_eq!(world.restored(&snapshot).await, sample(1));
    world.quiet().await;
    world.engine.edit_destination(disk.id, 2, draft("renamed", "moved")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_drains_within_ten_seconds_and_queues_again() {
    let mut config = quick("one");
    config.retries = 1;
    let world = World::asleep(&["disk"], config, std::sync::Arc::new(engine::SystemClock)).await;
    let shutdown = CancellationToken::new();
    let serving = {
        let (engine, shutdown) = (world.engine.clone(), shutdown.clone());
        tokio::spawn(async move { engine.serve(shutdown).await })
    };
    let good = world.good_snapshot().await;
    let files = world.files("disk");
    let before = world.server.exports();
    world.server.answer_with(Export::Slow(vec![7; 40 << 20], Duration::from_millis(100)));
    let run = world.engine.run_now(&world.app, &RunRequest::default()).await.unwrap();
    while world.server.exports() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = Instant::now();
    shutdown.cancel();
    serving.await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let ended = world.engine.catalog().run(run.id).await.unwrap();
    assert_eq!(ended.state, RunState::Interrupted);
    let active = world.engine.catalog().active_runs().await.unwrap();
    assert_eq!(active.len(), 1);
    assert_eq!((active[0].retry_of, active[0].trigger), (Some(run.id), Trigger::Retry));
    assert_eq!(world.files("disk"), files, "nothing half-written stays");
    assert_eq!(world.restored(&good).await, sample(1));
    // The next start does it.
    world.server.answer_with(Export::Trailers(sample(2)));
    world.start();
    assert_eq!(world.ended(&active[0]).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_says_itself_how_often_it_is_tried_again() {
    for (own, expected) in [(None, 2), (Some(0), 1), (Some(2), 3)] {
        let mut config = quick("one");
        config.retries = 1;
        config.retry_delay = Duration::from_millis(10);
        let world = World::with(&["disk"], config).await;
        world.change_app(|app| app.limits.retries = own).await;
        world.server.answer_with(Export::Status(503));
        world.back_up().await;
        world.quiet().await;
        assert_eq!(world.server.exports(), expected, "{own:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_cannot_part_a_manifest_from_its_objects() {
    let world = World::new(&["disk"]).await;
    let draft = |template: &str| AppDraft {
        name: "two".to_owned(),
        url: world.server.url(),
        token: Some("another-token".into()),
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            template: Some(template.to_owned()),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    let error = world.engine.register_app(draft("{source}/{YYYYMMDD_HHMM}")).await.unwrap_err();
    let EngineError::Invalid(fields) = error else { panic!("{error}") };
    assert_eq!(fields[0].field, "destinations[0].template");
    world.engine.register_app(draft("{app}/{YYYY}/{source}_{YYYYMMDD_HHMM}")).await.unwrap();
}
