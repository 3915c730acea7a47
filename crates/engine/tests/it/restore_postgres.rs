//! Restores into a real PostgreSQL: in the place of what is there, beside it, in part; and what is
//! left where they fail.

use engine::{EngineError, PartRequest, RestoreRequest};
use model::{
    Condition, CopyState, EventKind, FailureCode, PreflightLevel, RestoreReport, Run, RunState,
    Snapshot, StepState,
};

use crate::{
    postgres::Server,
    source_postgres::{PASSWORD, SUM, fill, shared, sql, world},
    world::{World, quick},
};

pub(crate) fn into_app(confirm: &str) -> RestoreRequest {
    RestoreRequest {
        to: "app".to_owned(),
        confirm: Some(confirm.to_owned()),
        ..RestoreRequest::default()
    }
}

pub(crate) fn beside(name: &str) -> RestoreRequest {
    RestoreRequest {
        to: "beside".to_owned(),
        name: Some(name.to_owned()),
        ..RestoreRequest::default()
    }
}

pub(crate) async fn restored(world: &World, snapshot: &Snapshot, request: &RestoreRequest) -> Run {
    let run = world.engine.restore_now(snapshot.id, request).await.unwrap();
    world.ended(&run).await
}

pub(crate) async fn report(world: &World, run: &Run) -> RestoreReport {
    world.engine.restore_report(run.id).await.unwrap().unwrap()
}

pub(crate) fn databases(server: &Server, like: &str) -> String {
    let query = format!(
        "SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_database \
         WHERE datname LIKE '{like}'"
    );
    sql(server, "postgres", &query)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_in_the_place_of_the_broken_one() {
    let Some(server) = shared() else { return };
    for format in ["custom", "plain", "directory"] {
        let name = format!("back_{format}");
        fill(server, &name, 500);
        sql(
            server,
            "postgres",
            &format!("ALTER DATABASE {name} SET search_path TO public, \"$user\""),
        );
        sql(server, "postgres", &format!("ALTER DATABASE {name} SET work_mem TO '5MB'"));
        sql(server, "postgres", &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        let before = sql(server, &name, SUM);
        let world = world(server, &[("database", &name), ("format", format)], quick("one")).await;
        let snapshot = world.good_snapshot().await;
        sql(server, &name, "DELETE FROM orders WHERE id > 10; DROP TABLE here");

        let seen = world.engine.preflight(snapshot.id, &into_app("")).await.unwrap();
        assert!(seen.may_begin(), "{seen:?}");
        assert_eq!(seen.confirm.as_deref(), Some("direct"));
        assert!(seen.items[0].replaces.as_ref().unwrap().contains(&name), "{seen:?}");
        let refused = world.engine.restore_now(snapshot.id, &into_app("shop")).await.unwrap_err();
        assert!(matches!(refused, EngineError::Refused(_)), "{refused}");

        // Somebody is connected all the time, and loses that.
        let mut idle = std::process::Command::new(server.bin.join("psql"));
        idle.env("PGPASSWORD", PASSWORD)
            .args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "-U", "postgres"])
            .args(["-X", "-d", &name, "-c", "SELECT pg_sleep(60)"]);
        let mut idle = idle.stderr(std::process::Stdio::null()).spawn().unwrap();

        let run = restored(&world, &snapshot, &into_app(" direct ")).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        assert!(!idle.wait().unwrap().success());
        assert_eq!(sql(server, &name, SUM), before);
        assert_eq!(sql(server, &name, "SHOW work_mem"), "5MB");
        assert_eq!(sql(server, &name, "SHOW search_path"), "public, \"$user\"");
        let open = format!("SELECT has_database_privilege('public', '{name}', 'CONNECT')");
        assert_eq!(sql(server, "postgres", &open), "f");

        let told = report(&world, &run).await;
        assert_eq!(told.condition, Condition::Restored);
        let kept = told.steps[0].kept.clone().unwrap();
        assert_eq!(sql(server, &kept, "SELECT count(*) FROM orders"), "10");
        assert_eq!(databases(server, &format!("{name}\\_%")), kept, "nothing else is left");
        // What was there can also be had from the snapshot that was taken before.
        let undo = told.undo_snapshot.unwrap();
        assert_ne!(undo, snapshot.id);
        let undo = world.engine.catalog().snapshot(undo).await.unwrap();
        assert!(undo.is_good() && undo.label.unwrap().starts_with("before restoring"));
        let events = world
            .engine
            .catalog()
            .events(catalog::EventQuery { limit: 100, ..catalog::EventQuery::default() })
            .await
            .unwrap();
        assert!(events.iter().any(|event| event.kind == EventKind::Restored));
        assert!(!world.everything_told().await.contains("canary-pg-password"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_is_a_new_database_and_never_one_that_is_there() {
    let Some(server) = shared() else { return };
    fill(server, "beside_a", 100);
    let world = world(server, &[("database", "beside_a")], quick("one")).await;
    let snapshot = world.good_snapshot().await;
    let run = restored(&world, &snapshot, &beside("beside_copy")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(server, "beside_copy", SUM), sql(server, "beside_a", SUM));
    assert_eq!(report(&world, &run).await.undo_snapshot, None, "nothing was replaced");

    let seen = world.engine.preflight(snapshot.id, &beside("beside_copy")).await.unwrap();
    assert!(!seen.may_begin());
    let refused = world.engine.restore_now(snapshot.id, &beside("beside_copy")).await.unwrap_err();
    assert!(refused.to_string().contains("is there already"), "{refused}");

    let mut part = beside("beside_part");
    let tables = vec!["public.here".to_owned()];
    part.only = vec![PartRequest { artifact: "pg".to_owned(), tables, ..PartRequest::default() }];
    let run = restored(&world, &snapshot, &part).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(server, "beside_part", "SELECT name FROM here"), "beside_a");
    let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(sql(server, "beside_part", count), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_roles_are_made_before_what_they_own() {
    let Some(server) = shared() else { return };
    fill(server, "owned", 5);
    sql(server, "postgres", "CREATE ROLE \"Owner of it\" LOGIN PASSWORD 'x;y'");
    sql(server, "owned", "ALTER TABLE orders OWNER TO \"Owner of it\"");
    let settings = [("database", "owned"), ("globals", "true")];
    let world = world(server, &settings, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    sql(server, "postgres", "DROP DATABASE owned");
    sql(server, "postgres", "DROP ROLE \"Owner of it\"");

    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'";
    assert_eq!(sql(server, "owned", owner), "Owner of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_undo_snapshot_nothing_is_changed() {
    let Some(server) = shared() else { return };
    fill(server, "no_undo", 5);
    let settings = [("database", "no_undo, postgres")];
    let world = world(server, &settings, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    // A snapshot of what is gone cannot be taken; the other database is still to be replaced.
    sql(server, "postgres", "DROP DATABASE no_undo");
    let run = restored(&world, &snapshot, &into_app("direct")).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::RestoreRefused);
    assert!(failure.message.contains("undo snapshot could not be taken"), "{failure:?}");
    assert_eq!(databases(server, "%restore\\_%"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_changes_nothing_and_is_marked() {
    let Some(server) = shared() else { return };
    fill(server, "damaged", 20_000);
    let settings = [("database", "damaged")];
    let world = world(server, &settings, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    world.damage(&snapshot);
    sql(server, "damaged", "DELETE FROM orders WHERE id = 1");

    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::Damaged, "{failure:?}");
    assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
    assert_eq!(world.state(&snapshot).await, CopyState::Damaged);
    assert_eq!(sql(server, "damaged", "SELECT count(*) FROM orders"), "19999");
    assert_eq!(databases(server, "damaged\\_%"), "", "what was begun is gone");
    let told = report(&world, &run).await;
    assert_eq!((told.condition, told.steps[0].state), (Condition::Untouched, StepState::Waiting));
    let seen = world.engine.preflight(snapshot.id, &request).await.unwrap();
    let blocked = seen.checks.iter().find(|check| check.level == PreflightLevel::Blocked);
    assert!(blocked.unwrap().sentence.contains("no good copy"), "{seen:?}");
}
