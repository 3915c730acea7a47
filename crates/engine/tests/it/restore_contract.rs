//! Restores through the contract: the app is given a proven artifact, or nothing.

use engine::{EngineError, PartRequest};
use model::{Condition, CopyState, FailureCode, RunState, StepState};

use crate::{
    app_server::Export,
    restore_postgres::{beside, into_app, report, restored},
    world::{World, sample},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_given_back_what_it_gave() {
    let world = World::new(&["disk"]).await;
    let snapshot = world.good_snapshot().await;
    world.server.take_back(Vec::new());
    let changed = sample(2);
    world.server.answer_with(Export::Headers(changed.clone()));

    let seen = world.engine.preflight(snapshot.id, &into_app("")).await.unwrap();
    assert!(seen.may_begin(), "{seen:?}");
    assert_eq!(seen.confirm.as_deref(), Some("shop"));
    let refused = world.engine.restore_now(snapshot.id, &into_app("another")).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    assert!(world.server.imports().is_empty());

    let run = restored(&world, &snapshot, &into_app("shop")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let imports = world.server.imports();
    let [(head, body)] = imports.as_slice() else { panic!("{} imports", imports.len()) };
    assert_eq!(*body, sample(1));
    let artifact = &snapshot.artifacts[0];
    for line in [
        format!("x-size: {}", artifact.size_bytes),
        format!("x-checksum-sha256: {}", artifact.sha256),
        "x-target: replace".to_owned(),
        "x-format: raw".to_owned(),
    ] {
        assert!(head.lines().any(|one| one == line), "{line}: {head}");
    }
    let told = report(&world, &run).await;
    assert_eq!(told.condition, Condition::Restored);
    assert_eq!(told.steps[0].kept.as_deref(), Some("what was there"));
    let tag = format!("x-run-id: restore-{}-", told.tag);
    assert!(head.contains(&tag), "{head}");
    // What was there before is a snapshot of its own.
    let undo = told.undo_snapshot.unwrap();
    let undo = world.engine.catalog().snapshot(undo).await.unwrap();
    assert_eq!(world.restored(&undo).await, changed);
    let told = world.everything_told().await;
    assert!(!told.contains(crate::world::TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_never_reaches_the_app() {
    let world = World::new(&["disk"]).await;
    let snapshot = world.good_snapshot().await;
    world.server.take_back(Vec::new());
    world.damage(&snapshot);
    let run = restored(&world, &snapshot, &into_app("shop")).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.failure.unwrap().code, FailureCode::Damaged);
    let told = report(&world, &world.engine.catalog().run(run.id).await.unwrap()).await;
    assert_eq!(told.condition, Condition::Untouched);
    assert!(world.server.imports().is_empty());
    assert_eq!(world.state(&snapshot).await, CopyState::Damaged);

    // Of two copies the whole one is taken.
    let world = World::new(&["disk", "second"]).await;
    let snapshot = world.good_snapshot().await;
    world.server.take_back(Vec::new());
    world.damage(&snapshot);
    let run = restored(&world, &snapshot, &into_app("shop")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(world.server.imports()[0].1, sample(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_before() {
    let world = World::new(&["disk"]).await;
    let snapshot = world.good_snapshot().await;
    let blocked = async |request| {
        let told = world.engine.restore_now(snapshot.id, &request).await.unwrap_err();
        let EngineError::Refused(told) = told else { panic!("{told:?}") };
        told
    };
    let told = blocked(into_app("shop")).await;
    assert!(told.0.contains("SIDECAR_RESTORE") && told.0.contains("folder"), "{told}");
    world.server.take_back(Vec::new());
    let told = blocked(beside("shop-old")).await;
    assert!(told.0.contains("not beside it"), "{told}");
    let mut part = into_app("shop");
    let artifact = snapshot.artifacts[0].source.to_string();
    part.only = vec![PartRequest { artifact, paths: vec!["a".into()], tables: Vec::new() }];
    let told = blocked(part).await;
    assert!(told.0.contains("whole artifact"), "{told}");
    world.server.rotate_token("another");
    let told = blocked(into_app("shop")).await;
    assert!(told.0.contains("401"), "{told}");
    assert!(world.server.imports().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_answers_decides() {
    let world = World::new(&["disk"]).await;
    let snapshot = world.good_snapshot().await;
    let mut request = into_app("shop");
    request.without_undo = true;
    // Busy with something else, and then not.
    world.server.take_back(vec![(409, "{}")]);
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(world.server.imports().len(), 2);

    let why = r#"{"title":"x","status":422,"detail":"it is no dump; nothing was changed"}"#;
    world.server.take_back(vec![(422, why)]);
    let run = restored(&world, &snapshot, &request).await;
    let told = report(&world, &run).await;
    assert_eq!(told.steps[0].state, StepState::Switching);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceFailed);
    assert!(failure.message.contains("nothing was changed"), "{failure:?}");
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
}
