//! Several copies of which one is bad, and retention beside what reads them.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt as _;
use model::{CopyState, EventKind, RunState, Snapshot};
use store::{Fault, Faulty, Local, Operation, StoreErrorKind};

use crate::{
    app_server::Export,
    drill_postgres::drilled,
    restore_files::{restored, to},
    world::{World, quick, sample},
};

async fn two_copies() -> (World, Snapshot, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quick("one");
    config.restore_roots = vec![folder.path().to_owned()];
    let world = World::with(&["disk", "other"], config).await;
    let snapshot = world.good_snapshot().await;
    assert_eq!(snapshot.copies.len(), 2);
    (world, snapshot, folder)
}

async fn destination_of(world: &World, snapshot: &Snapshot, at: usize) -> String {
    let id = snapshot.copies[at].destination_id;
    world.engine.catalog().destination(id).await.unwrap().name.to_string()
}

/// Cuts the first copy's object in half: what is left of it is right.
async fn cut(world: &World, snapshot: &Snapshot) {
    let name = destination_of(world, snapshot, 0).await;
    let object = world.folder.path().join(name).join(&snapshot.copies[0].objects[0].key);
    let bytes = std::fs::read(&object).unwrap();
    std::fs::write(&object, &bytes[..bytes.len() / 2]).unwrap();
}

fn into_folder(folder: &tempfile::TempDir) -> engine::RestoreRequest {
    let path = folder.path().join("here").display().to_string();
    engine::RestoreRequest { path: Some(path), ..to("folder") }
}

fn came_back(folder: &tempfile::TempDir) -> Vec<u8> {
    let within = std::fs::read_dir(folder.path().join("here")).unwrap().next().unwrap().unwrap();
    std::fs::read(within.path().join("app.dump")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_reads_the_good_copy_where_another_is_damaged() {
    let (world, snapshot, folder) = two_copies().await;
    cut(&world, &snapshot).await;
    let run = restored(&world, &snapshot, &into_folder(&folder)).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(came_back(&folder), sample(1));
    let report = world.engine.restore_report(run.id).await.unwrap().unwrap();
    assert_eq!(report.steps[0].read_from, Some(snapshot.copies[1].destination_id));
    let now = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    let states: Vec<_> = now.copies.iter().map(|copy| copy.state).collect();
    assert_eq!(states, [CopyState::Damaged, CopyState::Good]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_from_the_good_copy_where_another_ends() {
    let (world, snapshot, _folder) = two_copies().await;
    cut(&world, &snapshot).await;
    let source = snapshot.artifacts[0].source.as_str();
    let stream = world.engine.read_artifact(&snapshot, source, None).await.unwrap();
    let chunks: Vec<_> = stream.try_collect().await.unwrap();
    assert!(chunks.concat() == sample(1), "not the bytes that were stored");
    let now = world.engine.catalog().snapshot(snapshot.id).await.unwrap();
    assert_eq!(now.copies[0].state, CopyState::Damaged);
    // From then on the good one is read at once.
    let stream = world.engine.read_artifact(&now, source, None).await.unwrap();
    assert_eq!(stream.destination_id, snapshot.copies[1].destination_id);
    // Who asks for the damaged one alone is not given another.
    let only = Some(snapshot.copies[0].destination_id);
    assert!(match world.engine.read_artifact(&snapshot, source, only).await {
        Err(_) => true,
        Ok(stream) => stream.try_collect::<Vec<_>>().await.is_err(),
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_passes_over_a_destination_that_lets_nobody_in() {
    let (world, _, _folder) = two_copies().await;
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, "a", &b"12345"[..]).unwrap();
    world.server.answer_with(Export::Format("tar", "files.tar", tar.into_inner().unwrap()));
    let snapshot = world.good_snapshot().await;
    let name = destination_of(&world, &snapshot, 0).await;
    let destination = world.engine.catalog().destination_by_name(&name).await.unwrap();
    let root = world.folder.path().join(&name);
    let faulty = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
    world.engine.use_store(&destination, Arc::new(faulty.clone()));
    faulty.inject(Operation::Read, Fault::Error(StoreErrorKind::PermissionDenied));
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    assert_eq!(faulty.waiting(), 0, "the first copy was not tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_leaves_what_a_restore_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quick("one");
    config.restore_roots = vec![folder.path().to_owned()];
    let world = World::with(&["disk"], config).await;
    let (first, second) = (world.good_snapshot().await, world.good_snapshot().await);
    let disk = world.engine.catalog().destination_by_name("disk").await.unwrap();
    let root = world.folder.path().join("disk");
    let faulty = Faulty::new(Arc::new(Local::open(&root).await.unwrap()));
    world.engine.use_store(&disk, Arc::new(faulty.clone()));
    faulty.inject(Operation::Read, Fault::Delay(Duration::from_millis(600)));
    let run = world.engine.restore_now(first.id, &into_folder(&folder)).await.unwrap();
    while faulty.waiting() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    let expire = world.engine.expire_now(world.app.id).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(came_back(&folder), sample(1));
    world.ended(&expire).await;
    // Once nobody reads it, it goes.
    assert_eq!(world.expire().await.state, RunState::Succeeded);
    assert_eq!(world.states(&[first, second]).await, [CopyState::Expired, CopyState::Good]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenth_of_the_usual_size_is_told_and_nothing_expires_meanwhile() {
    let world = World::new(&["disk"]).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(world.good_snapshot().await);
    }
    let all = sample(1);
    world.server.answer_with(Export::Trailers(all[..all.len() / 10].to_vec()));
    made.push(world.good_snapshot().await);
    assert!(made[4].anomalous);
    let query = catalog::EventQuery { limit: 100, ..catalog::EventQuery::default() };
    let events = world.engine.catalog().events(query).await.unwrap();
    let told = events.iter().find(|event| event.kind == EventKind::SizeAnomaly).unwrap();
    assert_eq!(told.app_id, Some(world.app.id), "{told:?}");

    // The policy keeps one: the small one, and the good ones would be lost.
    world.change_app(|app| app.retention.keep_last = Some(1)).await;
    world.expire().await;
    assert_eq!(world.states(&made).await, [CopyState::Good; 5]);
    world.engine.accept_anomaly(made[4].id).await.unwrap();
    world.expire().await;
    let gone = CopyState::Expired;
    assert_eq!(world.states(&made).await, [gone, gone, gone, gone, CopyState::Good]);
}
