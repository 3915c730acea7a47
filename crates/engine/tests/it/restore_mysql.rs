//! Restores into a real MariaDB, and drills on a scratch one.

use std::{sync::Arc, time::Duration};

use engine::{Engine, PartRequest, RestoreRequest, SystemClock};
use model::{Condition, DrillState, FailureCode, Run, RunKind, RunState, Snapshot, StepState};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::Server,
    drill_postgres::{damage_proves_nothing, drilled, nothing_is_left},
    restore_postgres::{beside, into_app, report, restored},
    source_mysql::{content, fill, sql, start},
    world::{World, open, quick, source},
};

async fn world(server: &Server, more: &[(&str, &str)]) -> World {
    let port = server.port.to_string();
    let mut settings = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("user", "root")];
    settings.extend(more.iter().copied());
    World::reading(vec![source("db", "mysql", &settings, &[])], quick("one")).await
}

/// An engine on the data of a world.
async fn serving(folder: &std::path::Path, instance: &str) -> Engine {
    let mut config = quick(instance);
    config.spool = folder.join("spool");
    config.source_timeout = Duration::from_secs(60);
    open(folder, config, Arc::new(SystemClock)).await
}

fn databases(server: &Server, like: &str) -> String {
    let query = format!(
        "SELECT coalesce(group_concat(schema_name ORDER BY 1 SEPARATOR ' '), '') FROM \
         information_schema.schemata WHERE schema_name LIKE '{like}'"
    );
    sql(server, "mysql", &query).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_with_all_that_belongs_to_it() {
    let Some(server) = start() else { return };
    fill(&server, "a b-ñ", 300);
    sql(&server, "mysql", "ALTER DATABASE `a b-ñ` COLLATE utf8mb4_spanish_ci");
    let before = content(&server, "a b-ñ");
    let world = world(&server, &[("database", "a b-ñ")]).await;
    let snapshot = world.good_snapshot().await;
    sql(
        &server,
        "a b-ñ",
        "DELETE FROM item WHERE id > 10; CREATE TABLE newer (a INT); DROP VIEW cheap; \
         CREATE TABLE cheap (id INT)",
    );
    let seen = world.engine.preflight(snapshot.id, &into_app("")).await.unwrap();
    assert!(seen.may_begin(), "{seen:?}");
    assert_eq!(seen.confirm.as_deref(), Some("direct"));
    let run = restored(&world, &snapshot, &into_app("direct")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(content(&server, "a b-ñ"), before);
    let collation = "SELECT default_collation_name FROM information_schema.schemata \
                     WHERE schema_name = database()";
    assert_eq!(sql(&server, "a b-ñ", collation).trim(), "utf8mb4_spanish_ci");
    let newer = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()";
    assert_eq!(sql(&server, "a b-ñ", newer).trim(), "2");
    let told = report(&world, &run).await;
    assert_eq!(told.condition, Condition::Restored);
    let kept = told.steps[0].kept.clone().unwrap();
    assert_eq!(databases(&server, "a b-ñ\\_%"), kept, "nothing else is left");
    assert_eq!(sql(&server, &kept, "SELECT count(*) FROM item").trim(), "10");
    assert_eq!(sql(&server, &kept, newer).trim(), "3");
    let events = "SELECT status FROM information_schema.events WHERE event_schema = database()";
    assert_eq!(sql(&server, &kept, events).trim(), "DISABLED");
    assert_eq!(sql(&server, "a b-ñ", events).trim(), "ENABLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_is_a_new_database_and_never_one_that_is_there() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 100);
    let world = world(&server, &[("database", "shop")]).await;
    let snapshot = world.good_snapshot().await;
    let run = restored(&world, &snapshot, &beside("copy")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(content(&server, "copy"), content(&server, "shop"));
    assert_eq!(databases(&server, "copy%"), "copy");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()";
    assert_eq!(sql(&server, "copy", tables).trim(), "2", "our mark is gone");
    let again = world.engine.restore_now(snapshot.id, &beside("copy")).await.unwrap_err();
    assert!(again.to_string().contains("is there already"), "{again}");
    let mut part = beside("part");
    let tables = vec!["item".to_owned()];
    part.only = vec![PartRequest { artifact: "db".to_owned(), tables, ..PartRequest::default() }];
    let refused = world.engine.restore_now(snapshot.id, &part).await.unwrap_err();
    assert!(refused.to_string().contains("INSERT"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_users_are_made_and_others_left() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 5);
    sql(
        &server,
        "mysql",
        "CREATE USER clerk@'%' IDENTIFIED BY 'x'; GRANT SELECT ON shop.* TO clerk@'%'; \
         CREATE USER other@'%'; GRANT SELECT ON shop.* TO other@'%'",
    );
    let world = world(&server, &[("database", "shop"), ("users", "true")]).await;
    let snapshot = world.good_snapshot().await;
    sql(&server, "mysql", "DROP USER clerk@'%'; REVOKE SELECT ON shop.* FROM other@'%'");
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let grants = |user: &str| sql(&server, "mysql", &format!("SHOW GRANTS FOR {user}@'%'"));
    assert!(grants("clerk").contains("GRANT SELECT ON `shop`.*"), "{}", grants("clerk"));
    assert!(!grants("other").contains("`shop`"), "what is there stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_changes_nothing_and_a_drill_finds_it() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 20_000);
    sql(&server, "shop", "CREATE TABLE `empty (one)` (a INT)");
    let world = world(&server, &[("database", "shop")]).await;
    let snapshot = world.good_snapshot().await;

    let (run, drill) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {drill:?}", run.failure);
    let checks = &drill.items[0].checks;
    assert!(checks.iter().all(|check| check.state == DrillState::Passed), "{drill:?}");
    assert!(checks[0].sentence.starts_with("2 tables with 20000 rows came back; 2 "), "{drill:?}");
    nothing_is_left(&world);
    let question = |sql: &str, expect: &str| model::DrillQuestion {
        artifact: "db".parse().unwrap(),
        sql: sql.to_owned(),
        expect: Some(expect.to_owned()),
    };
    let plan = model::DrillPlan {
        questions: vec![
            question("SELECT max(id) FROM item", "20000"),
            question("SELECT count(*) FROM item", "7"),
        ],
        ..model::DrillPlan::default()
    };
    let app = world.engine.catalog().app(world.app.id).await.unwrap();
    world.engine.plan_drills(app.id, app.version, plan).await.unwrap();
    let (run, drill) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed);
    let states: Vec<_> = drill.items[0].checks.iter().map(|check| check.state).collect();
    assert_eq!(states[2..], [DrillState::Passed, DrillState::Failed], "{drill:?}");

    damage_proves_nothing(&world, &snapshot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_not_restored() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 20_000);
    let world = world(&server, &[("database", "shop")]).await;
    let snapshot = world.good_snapshot().await;
    world.damage(&snapshot);
    sql(&server, "shop", "DELETE FROM item WHERE id = 1");
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    let failure = run.failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::Damaged, "{failure:?}");
    assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
    assert_eq!(sql(&server, "shop", "SELECT count(*) FROM item").trim(), "19999");
    assert_eq!(databases(&server, "shop\\_%"), "", "what was begun is gone");
}

/// Restores, cut off from one moment to the next when a step gets to `state`. Gives who comes after
/// it, and what came of that one's try.
pub(crate) async fn cut_off(
    world: &World,
    snapshot: &Snapshot,
    request: &RestoreRequest,
    state: StepState,
) -> (Engine, Run) {
    world.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let run = world.engine.restore_now(snapshot.id, request).await.unwrap();
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let folder = world.folder.path().to_owned();
    doomed.spawn(async move {
        let engine = serving(&folder, "doomed").await;
        engine.serve(CancellationToken::new()).await;
    });
    for _ in 0..5_000 {
        let told = world.engine.restore_report(run.id).await.unwrap();
        if told.is_some_and(|told| told.steps.iter().any(|step| step.state == state)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    doomed.shutdown_background();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let cut = world.engine.catalog().run(run.id).await.unwrap();
    assert!(!cut.state.is_terminal(), "it was over too soon: {cut:?}");

    let again = serving(world.folder.path(), "next").await;
    let token = CancellationToken::new();
    let (at_work, stop) = (again.clone(), token.clone());
    tokio::spawn(async move { at_work.serve(stop).await });
    let mut resumed = None;
    for _ in 0..600 {
        let query = catalog::RunQuery { limit: 500, ..catalog::RunQuery::default() };
        let runs = again.catalog().runs(query).await.unwrap();
        resumed = runs.into_iter().find(|one| {
            one.kind == RunKind::Restore && one.id != run.id && one.state.is_terminal()
        });
        if resumed.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    token.cancel();
    (again, resumed.expect("it is taken up again"))
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_anywhere_it_is_carried_to_its_end() {
    let Some(server) = start() else { return };
    for (name, state) in [("shop1", StepState::Loading), ("shop2", StepState::Switching)] {
        fill(&server, name, 60_000);
        let before = content(&server, name);
        let world = world(&server, &[("database", name)]).await;
        let snapshot = world.good_snapshot().await;
        sql(&server, name, "DELETE FROM item WHERE id > 10");
        let mut request = into_app("direct");
        request.without_undo = true;
        let (again, resumed) = cut_off(&world, &snapshot, &request, state).await;
        assert_eq!(resumed.state, RunState::Succeeded, "{name}: {:?}", resumed.failure);
        assert_eq!(content(&server, name), before);
        let told = again.restore_report(resumed.id).await.unwrap().unwrap();
        let kept = told.steps[0].kept.clone().unwrap();
        assert_eq!(sql(&server, &kept, "SELECT count(*) FROM item").trim(), "10");
        assert_eq!(databases(&server, &format!("{name}\\_%")), kept, "nothing else is left");
    }
}
