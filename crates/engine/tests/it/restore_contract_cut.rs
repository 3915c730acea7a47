//! Imports that are cut off on their way: by the app, by the connection, by the end of this process.
//! The app is given the whole artifact or nothing, and what is told of it is so.

use std::time::Duration;

use engine::EngineConfig;
use model::{Condition, FailureCode, RunKind, RunState, StepState};

use crate::{
    app_server::{Broken, Export},
    kills::{Doomed, restart, runs, world_with},
    restore_postgres::{into_app, report, restored},
    world::{World, quick, sample},
};

fn request() -> engine::RestoreRequest {
    engine::RestoreRequest { without_undo: true, ..into_app("shop") }
}

/// The ids by which the app was asked to import.
fn ids(world: &World) -> Vec<String> {
    let imports = world.server.imports();
    let heads = imports.iter().map(|(head, _)| head);
    let id = |head: &String| {
        head.lines().find_map(|line| line.strip_prefix("x-run-id: ")).unwrap().to_owned()
    };
    heads.map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_made_again() {
    let patient = EngineConfig { source_timeout: Duration::from_secs(60), ..quick("one") };
    let world = World::with(&["disk"], patient).await;
    let snapshot = world.good_snapshot().await;
    world.server.take_back(Vec::new());
    // Twice in the midst of it.
    world.server.break_imports(vec![Broken::Within(70_000), Broken::Within(0)]);
    let run = restored(&world, &snapshot, &request()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!((world.server.begun(), ids(&world).len()), (3, 1));
    assert_eq!(world.server.imports()[0].1, sample(1));

    // Done, and the answer is lost: the same id again, so that the app can tell.
    world.server.break_imports(vec![Broken::BeforeAnswer]);
    let run = restored(&world, &snapshot, &request()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let told = ids(&world);
    assert_eq!(told.len(), 3);
    assert_eq!(told[1], told[2]);
    assert_eq!(report(&world, &run).await.condition, Condition::Restored);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_never_had_the_whole_is_told_of_as_it_is() {
    let world = World::new(&["disk"]).await;
    // More than connections hold by themselves.
    world.server.answer_with(Export::Trailers(sample(1).repeat(16)));
    let snapshot = world.good_snapshot().await;
    world.server.take_back(Vec::new());
    world.server.break_imports(vec![Broken::Within(70_000); 9]);
    let run = restored(&world, &snapshot, &request()).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(world.server.imports().is_empty());
    let told = report(&world, &run).await;
    assert_eq!(told.condition, Condition::Untouched, "{told:?}");
    assert_eq!(told.steps[0].state, StepState::Waiting);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceUnreachable);
    assert!(failure.message.contains("did not get the whole of it"), "{failure:?}");
    assert!(failure.message.contains("nothing that was there was changed"), "{failure:?}");

    // It may have done it: nobody here can know.
    world.server.break_imports(vec![Broken::BeforeAnswer; 9]);
    let run = restored(&world, &snapshot, &request()).await;
    assert_eq!(run.state, RunState::Failed);
    let told = report(&world, &run).await;
    assert_eq!(told.condition, Condition::Mixed, "{told:?}");
    assert_eq!(told.steps[0].state, StepState::Switching);
    let failure = run.failure.unwrap();
    let by = told.steps[0].made.clone().unwrap();
    assert!(failure.message.contains("look there") && failure.message.contains(&by), "{failure:?}");
    assert!(!failure.message.contains("nothing that was there was changed"), "{failure:?}");
    assert!(ids(&world).iter().all(|id| *id == by));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_on_after_this_process_was_killed() {
    for broken in [Broken::StalledWithin(70_000), Broken::NoAnswer] {
        let (world, made) = world_with(1).await;
        world.server.take_back(Vec::new());
        world.server.break_imports(vec![broken]);
        let doomed = Doomed::start(&world, &[]).await;
        let run = world.engine.restore_now(made[0].id, &request()).await.unwrap();
        for _ in 0..1_000 {
            if world.server.begun() > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.server.begun(), 1, "{broken:?}");
        doomed.kill().await;
        restart(&world).await;

        let runs = runs(&world, RunKind::Restore).await;
        let states: Vec<_> = runs.iter().map(|run| run.state).collect();
        assert_eq!(states, [RunState::Succeeded, RunState::Interrupted], "{broken:?}");
        assert_eq!(runs[0].retry_of, Some(run.id));
        let ids = ids(&world);
        assert!(ids.iter().all(|id| *id == ids[0]), "{broken:?}: {ids:?}");
        assert_eq!(ids.len(), if matches!(broken, Broken::NoAnswer) { 2 } else { 1 });
        assert!(world.server.imports().iter().all(|(_, body)| *body == sample(1)));
        let told = report(&world, &runs[0]).await;
        assert_eq!(told.condition, Condition::Restored, "{broken:?}");
        assert_eq!(told.steps[0].state, StepState::Done);
    }
}
