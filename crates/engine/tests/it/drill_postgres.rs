//! Drills of PostgreSQL dumps, on a scratch server of their own.

use model::{DrillReport, DrillState, EventKind, Run, RunState, Snapshot};

use crate::{
    source_postgres::{fill, shared, sql, world},
    world::{World, quick},
};

pub(crate) async fn drilled(world: &World, snapshot: &Snapshot) -> (Run, DrillReport) {
    let run = world.engine.drill_snapshot(snapshot.id).await.unwrap();
    let run = world.ended(&run).await;
    let report = world.engine.drill_report(run.id).await.unwrap().unwrap_or_default();
    (run, report)
}

pub(crate) fn nothing_is_left(world: &World) {
    let spool = world.folder.path().join("spool");
    let left: Vec<_> = std::fs::read_dir(spool).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Bytes that are not what was stored.
pub(crate) async fn damage_proves_nothing(world: &World, snapshot: &Snapshot) {
    world.damage(snapshot);
    let (run, report) = drilled(world, snapshot).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(!report.is_proof());
    assert!(report.items[0].checks.iter().any(|check| check.state == DrillState::Failed));
    nothing_is_left(world);
    assert_eq!(world.state(snapshot).await, model::CopyState::Damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_that_a_dump_comes_back() {
    let Some(server) = shared() else { return };
    for format in ["custom", "plain"] {
        let name = format!("drill_{format}");
        fill(server, &name, 700);
        sql(
            server,
            &name,
            "CREATE SCHEMA \"Odd one\"; CREATE TABLE \"Odd one\".\"t.x\" AS SELECT 1",
        );
        sql(server, "postgres", &format!("CREATE ROLE \"own {format}\""));
        sql(server, &name, &format!("ALTER TABLE orders OWNER TO \"own {format}\""));
        let world = world(server, &[("database", &name), ("format", format)], quick("one")).await;
        let snapshot = world.good_snapshot().await;
        let (run, report) = drilled(&world, &snapshot).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
        let checks = &report.items[0].checks;
        let rows = checks.iter().find(|check| check.name == "rows").unwrap();
        assert_eq!(rows.state, DrillState::Passed);
        assert!(rows.sentence.starts_with("3 tables with 702 rows came back; 3 "), "{rows:?}");
        let sound = checks.iter().find(|check| check.name == "pg_amcheck").unwrap();
        assert_eq!(sound.state, DrillState::Passed, "{sound:?}");
        let proof = world.engine.catalog().snapshot(snapshot.id).await.unwrap().proof.unwrap();
        assert!(proof.passed && proof.took_secs > 0.0 && proof.run_id == run.id);
        let query = catalog::EventQuery { limit: 100, ..catalog::EventQuery::default() };
        let events = world.engine.catalog().events(query).await.unwrap();
        assert!(events.iter().any(|event| event.kind == EventKind::DrillPassed));
        nothing_is_left(&world);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_fails_where_the_snapshot_is_not_what_it_was() {
    let Some(server) = shared() else { return };
    fill(server, "drill_bad", 20_000);
    let world = world(server, &[("database", "drill_bad")], quick("one")).await;
    let snapshot = world.good_snapshot().await;

    // A question that the data do not answer as they should.
    let app = world.engine.catalog().app(world.app.id).await.unwrap();
    let question = |sql: &str, expect: Option<&str>| model::DrillQuestion {
        artifact: "pg".parse().unwrap(),
        sql: sql.to_owned(),
        expect: expect.map(str::to_owned),
    };
    let plan = model::DrillPlan {
        questions: vec![
            question("SELECT max(id) FROM public.orders", Some("20000")),
            question("SELECT count(*) FROM public.orders WHERE id < 0", None),
        ],
        ..model::DrillPlan::default()
    };
    world.engine.plan_drills(app.id, app.version, plan).await.unwrap();
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed);
    let states: Vec<_> = report.items[0].checks.iter().map(|check| check.state).collect();
    assert_eq!(states[2..], [DrillState::Passed, DrillState::Failed], "{report:?}");
    let proof = world.engine.catalog().snapshot(snapshot.id).await.unwrap().proof.unwrap();
    assert!(!proof.passed);

    damage_proves_nothing(&world, &snapshot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_finds_nothing_to_check_fails() {
    let world = World::new(&["disk"]).await;
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(!report.is_proof());
    assert!(run.failure.unwrap().message.contains("nothing here can check"), "{report:?}");
}
