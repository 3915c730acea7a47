//! Drills of PostgreSQL dumps, on a scratch server of their own.

use std::time::Duration;

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
    for format in ["custom", "plain", "directory"] {
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
        let (memory, (run, report)) =
            tokio::join!(shared_memory(&world), drilled(&world, &snapshot));
        assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
        assert!(!is_forsaken(&memory), "its server has left its shared memory");
        let checks = &report.items[0].checks;
        let rows = checks.iter().find(|check| check.name == "rows").unwrap();
        assert_eq!(rows.state, DrillState::Passed);
        // What several processes write at a time is not counted on its way.
        let told = match format {
            "directory" => "3 tables with 702 rows could all be read",
            _ => "3 tables with 702 rows came back; 3 ",
        };
        assert!(rows.sentence.starts_with(told), "{rows:?}");
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

/// The piece of shared memory of the scratch server, once it is there.
async fn shared_memory(world: &World) -> String {
    let spool = world.folder.path().join("spool");
    for _ in 0..3_000 {
        for scratch in std::fs::read_dir(&spool).into_iter().flatten().flatten() {
            let file = scratch.path().join("data/postmaster.pid");
            let told = std::fs::read_to_string(file).unwrap_or_default();
            // Its key and its number are in the seventh line.
            if let Some(number) = told.lines().nth(6).and_then(|l| l.split_whitespace().nth(1)) {
                return number.to_owned();
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("there was no scratch server");
}

/// Whether nobody has given back the piece of this number.
fn is_forsaken(number: &str) -> bool {
    let told = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    told.lines().any(|line| line.split_whitespace().nth(1) == Some(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_need_no_schema_and_may_only_read() {
    let Some(server) = shared() else { return };
    for format in ["custom", "plain", "directory"] {
        let name = format!("asked_{format}");
        fill(server, &name, 30);
        sql(
            server,
            &name,
            "CREATE TABLE closed AS SELECT 7 AS n; ALTER TABLE closed ENABLE ROW LEVEL SECURITY; \
             CREATE SCHEMA postgres; CREATE TABLE postgres.mine AS SELECT 8 AS n; \
             CREATE SCHEMA far; CREATE TABLE far.away AS SELECT 9 AS n; \
             CREATE SEQUENCE counted; \
             CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'",
        );
        let world = world(server, &[("database", &name), ("format", format)], quick("one")).await;
        let snapshot = world.good_snapshot().await;
        let questions = [
            ("SELECT max(id) FROM orders", Some("30")),
            ("SELECT n FROM closed", Some("7")),
            ("SELECT twice(n) FROM mine", Some("16")),
            ("SELECT n FROM far.away", Some("9")),
            ("SELECT n FROM away", None),
            ("SELECT count(*) FROM pg_ls_dir('.')", None),
            ("DELETE FROM orders RETURNING 1", None),
        ];
        let questions = questions.map(|(sql, expect)| model::DrillQuestion {
            artifact: "pg".parse().unwrap(),
            sql: sql.to_owned(),
            expect: expect.map(str::to_owned),
        });
        let app = world.engine.catalog().app(world.app.id).await.unwrap();
        let plan =
            model::DrillPlan { questions: questions.to_vec(), ..model::DrillPlan::default() };
        world.engine.plan_drills(app.id, app.version, plan).await.unwrap();
        let (_, report) = drilled(&world, &snapshot).await;
        let states: Vec<_> = report.items[0].checks.iter().map(|check| check.state).collect();
        let (good, bad) = (DrillState::Passed, DrillState::Failed);
        assert_eq!(states[2..], [good, good, good, good, bad, bad, bad], "{format}: {report:?}");
        nothing_is_left(&world);
    }
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
