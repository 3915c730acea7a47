//! Restores into a real MariaDB, and drills on a scratch one.

use std::time::Duration;

use engine::{Engine, PartRequest, RestoreRequest};
use model::{Condition, DrillState, FailureCode, Run, RunKind, RunState, Snapshot, StepState};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::{Server, Watcher},
    drill_postgres::{damage_proves_nothing, drilled, nothing_is_left},
    restore_postgres::{beside, into_app, report, restored},
    source_mysql::{content, fill, sql, start},
    world::{World, quick, serving, source},
};

async fn world(server: &Server, more: &[(&str, &str)]) -> World {
    let port = server.port.to_string();
    let mut settings = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("user", "root")];
    settings.extend(more.iter().copied());
    World::reading(vec![source("db", "mysql", &settings, &[])], quick("one")).await
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
    let told = |word: &str| seen.checks.iter().any(|check| check.sentence.message.contains(word));
    assert!(told("the dump is of MariaDB 1") && told("needs room"), "{seen:?}");
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
    let tables_there =
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()";
    assert_eq!(sql(&server, "copy", tables_there).trim(), "2", "our mark is gone");
    let again = world.engine.restore_now(snapshot.id, &beside("copy")).await.unwrap_err();
    assert!(again.to_string().contains("is there already"), "{again}");
    let mut part = beside("part");
    let tables = vec!["item".to_owned()];
    part.only = vec![PartRequest { artifact: "db".to_owned(), tables, ..PartRequest::default() }];
    let run = restored(&world, &snapshot, &part).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(&server, "part", "SELECT count(*) FROM item").trim(), "100");
    assert_eq!(sql(&server, "part", tables_there).trim(), "1", "the view is left out");
    let into = engine::RestoreRequest { to: "app".to_owned(), name: None, ..part };
    let refused = world.engine.restore_now(snapshot.id, &into).await.unwrap_err();
    assert!(refused.to_string().contains("beside the database"), "{refused}");
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

/// Somebody who may do everything with what a restore makes, and only so much with the app's own.
fn keeper(server: &Server, name: &str) {
    let rights = format!(
        "CREATE USER keeper@localhost IDENTIFIED BY 'k'; \
         GRANT SET USER, PROCESS, SHOW DATABASES ON *.* TO keeper@localhost; \
         GRANT ALL ON `{name}\\_%`.* TO keeper@localhost; \
         GRANT SELECT, INSERT, CREATE, DROP, ALTER, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, \
           CREATE ROUTINE, ALTER ROUTINE, EXECUTE, INDEX ON `{name}`.* TO keeper@localhost; \
         GRANT SELECT ON mysql.* TO keeper@localhost"
    );
    sql(server, "mysql", &rights);
}

async fn kept_by(server: &Server, name: &str) -> World {
    let port = server.port.to_string();
    let settings =
        [("host", "127.0.0.1"), ("port", port.as_str()), ("user", "keeper"), ("database", name)];
    World::reading(vec![source("db", "mysql", &settings, &[("password", "k")])], quick("one")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_take_its_place_leaves_the_app_what_it_had() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 300);
    keeper(&server, "shop");
    let world = kept_by(&server, "shop").await;
    let snapshot = world.good_snapshot().await;
    // The view of the snapshot cannot be made there; what is there now has none.
    let now = "DROP VIEW cheap; CREATE TABLE cheap (id INT); DELETE FROM item WHERE id > 10";
    sql(&server, "shop", now);
    let before = content(&server, "shop");
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    let failure = run.failure.clone().unwrap();
    assert_eq!(content(&server, "shop"), before, "{failure:?}");
    let events = "SELECT status FROM information_schema.events WHERE event_schema = 'shop'";
    assert_eq!(sql(&server, "mysql", events).trim(), "ENABLED");
    let told = report(&world, &run).await;
    assert_eq!((told.condition, told.steps[0].state), (Condition::Untouched, StepState::Waiting));
    let kept = told.steps[0].kept.clone().unwrap();
    assert_eq!(databases(&server, "shop\\_%"), kept, "the copy that was needed stays");
    assert!(failure.message.contains(&format!("put back from {kept}")), "{failure:?}");

    // With the right to it, it is as if nothing had been.
    sql(&server, "mysql", "GRANT ALL ON shop.* TO keeper@localhost");
    let run = restored(&world, &snapshot, &request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(&server, "shop", "SELECT count(*) FROM item").trim(), "300");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_even_be_put_back_is_told_by_its_names() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 300);
    keeper(&server, "shop");
    let before = content(&server, "shop");
    let world = kept_by(&server, "shop").await;
    let snapshot = world.good_snapshot().await;
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    let failure = run.failure.clone().unwrap();
    let told = report(&world, &run).await;
    assert_eq!((told.condition, told.steps[0].state), (Condition::Mixed, StepState::Switching));
    let (kept, made) = (told.steps[0].kept.clone().unwrap(), told.steps[0].made.clone().unwrap());
    for one in [&kept, &made] {
        assert!(failure.message.contains(one), "{one}: {failure:?}");
        assert!(told.steps[0].notes.iter().any(|note| note.contains(one)), "{told:?}");
        assert_eq!(content(&server, one), before, "{one}");
    }
    // The advice helps.
    assert!(failure.message.contains(&format!("'{kept}' | mariadb 'shop'")), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_kept_changes_nothing() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 300);
    keeper(&server, "shop");
    let before = content(&server, "shop");
    let world = kept_by(&server, "shop").await;
    let snapshot = world.good_snapshot().await;
    sql(
        &server,
        "mysql",
        "REVOKE ALL ON `shop\\_%`.* FROM keeper@localhost; \
         GRANT ALL ON `shop\\_restore\\_%`.* TO keeper@localhost",
    );
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    let failure = run.failure.clone().unwrap();
    assert!(failure.message.contains("nothing that was there was changed"), "{failure:?}");
    assert_eq!(content(&server, "shop"), before);
    assert_eq!(databases(&server, "shop\\_%"), "", "what was made is gone: {failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_of_processes_shows_a_password_of_a_user() {
    let Some(server) = start() else { return };
    fill(&server, "shop", 5);
    let of = |word: &str, end: &str| {
        let all = (0..30).map(|at| format!("{word} hashed{at}@'%'{end}"));
        all.collect::<Vec<_>>().join("; ")
    };
    sql(&server, "mysql", &of("CREATE USER", " IDENTIFIED BY 'canary'"));
    let hashes = "SELECT group_concat(user, authentication_string ORDER BY user) FROM mysql.user \
                  WHERE user LIKE 'hashed%'";
    let before = sql(&server, "mysql", hashes);
    let hash: &'static str =
        sql(&server, "mysql", "SELECT password('canary')").trim().to_owned().leak();
    assert!(before.contains(hash), "{before}");
    let world = world(&server, &[("database", "shop"), ("users", "true")]).await;
    let snapshot = world.good_snapshot().await;
    sql(&server, "mysql", &of("DROP USER", ""));
    let mut request = into_app("direct");
    request.without_undo = true;
    let watcher = Watcher::start(hash, "mariadb");
    let run = restored(&world, &snapshot, &request).await;
    let (found, seen) = watcher.stop();
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(&server, "mysql", hashes), before);
    assert!(seen > 0, "the restore was not looked at");
    assert_eq!(found, Vec::<String>::new());
}
