//! Restores into a real PostgreSQL: in the place of what is there, beside it, in part; and what is
//! left where they fail.

use std::time::Duration;

use engine::{EngineError, PartRequest, RestoreRequest};
use model::{
    Condition, CopyState, EventKind, FailureCode, PreflightLevel, RestoreReport, Run, RunState,
    Snapshot, StepState,
};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::Watcher,
    postgres::Server,
    source_postgres::{PASSWORD, SUM, fill, shared, sql, world},
    world::{World, quick, serving, source},
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
        let told =
            |word: &str| seen.checks.iter().any(|check| check.sentence.message.contains(word));
        // A folder of files does not begin with the version.
        assert!(format == "directory" || told("the dump is of PostgreSQL 1"), "{seen:?}");
        assert!(told("needs room"), "{seen:?}");
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
async fn tables_of_plain_sql_come_with_their_indexes_and_parts() {
    let Some(server) = shared() else { return };
    fill(server, "plainly", 50);
    let more = "CREATE TABLE line (id int REFERENCES orders(id), at int) PARTITION BY RANGE (at);
        CREATE TABLE line_1 PARTITION OF line FOR VALUES FROM (0) TO (10);
        CREATE INDEX by_at ON line(at);
        INSERT INTO line VALUES (1, 1), (2, 2);
        CREATE VIEW seen AS SELECT * FROM here";
    sql(server, "plainly", more);
    let settings = [("database", "plainly"), ("format", "plain")];
    let world = world(server, &settings, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    let some = |name: &str, tables: &[&str]| {
        let tables = tables.iter().map(|&table| table.to_owned()).collect();
        let part = PartRequest { artifact: "pg".to_owned(), tables, ..PartRequest::default() };
        RestoreRequest { only: vec![part], ..beside(name) }
    };
    let run = restored(&world, &snapshot, &some("plainly_some", &["public.line"])).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    let there = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE \
                 relnamespace = 'public'::regnamespace";
    assert_eq!(sql(server, "plainly_some", there), "by_at line line_1 line_1_at_idx");
    assert_eq!(sql(server, "plainly_some", "SELECT sum(at) FROM line"), "3");

    for part in ["public.line_1", "public.nothing"] {
        let run = restored(&world, &snapshot, &some("plainly_none", &[part])).await;
        assert_eq!(run.state, RunState::Failed, "{part}");
        assert_eq!(databases(server, "plainly\\_none%"), "", "{part}");
    }
}

/// What belongs to the table `far.line`, by PostgreSQL's own words; rows, rights and comment too.
const LINE: &str = "SELECT concat_ws(E'\\n', \
    (SELECT string_agg(indexdef, '; ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'far' \
      AND tablename LIKE 'line%'), \
    (SELECT string_agg(conrelid::regclass || pg_get_constraintdef(oid), '; ' ORDER BY conname, \
      conrelid::regclass::text) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'far.line%' \
      AND contype <> 'f'), \
    (SELECT string_agg(pg_get_triggerdef(oid), '; ' ORDER BY oid) FROM pg_trigger \
      WHERE tgrelid = 'far.line'::regclass AND NOT tgisinternal), \
    (SELECT string_agg(pg_get_expr(adbin, adrelid), '; ' ORDER BY adnum) FROM pg_attrdef \
      WHERE adrelid = 'far.line'::regclass), \
    obj_description('far.line'::regclass), (SELECT relacl::text FROM pg_class \
      WHERE oid = 'far.line'::regclass), (SELECT last_value FROM far.line_n_seq), \
    (SELECT string_agg(line::text, ';' ORDER BY n) FROM far.line))";

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_with_all_that_is_theirs() {
    let Some(server) = shared() else { return };
    for format in ["custom", "directory"] {
        let name = format!("pick_{format}");
        fill(server, &name, 50);
        let more = "CREATE SCHEMA far; CREATE TYPE far.mood AS ENUM ('well', 'so'); \
            CREATE FUNCTION far.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n'; \
            CREATE FUNCTION far.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
            CREATE TABLE far.line (n serial, id int REFERENCES orders(id), at int CHECK (at >= 0), \
              how far.mood DEFAULT 'so', PRIMARY KEY (n, at)) PARTITION BY RANGE (at); \
            CREATE TABLE far.line_1 PARTITION OF far.line FOR VALUES FROM (0) TO (10); \
            CREATE INDEX by_twice ON far.line (far.twice(at)); \
            CREATE TRIGGER noting BEFORE INSERT ON far.line FOR EACH ROW EXECUTE FUNCTION far.note(); \
            COMMENT ON TABLE far.line IS 'lines of orders'; GRANT SELECT ON far.line TO PUBLIC; \
            INSERT INTO far.line (id, at) VALUES (1, 1), (2, 2); \
            CREATE TABLE far.other (n int, at int, FOREIGN KEY (n, at) REFERENCES far.line); \
            CREATE VIEW far.seen AS SELECT * FROM far.line";
        sql(server, &name, more);
        let wanted = sql(server, &name, LINE);
        let world = world(server, &[("database", &name), ("format", format)], quick("one")).await;
        let snapshot = world.good_snapshot().await;
        let some = |name: &str, tables: &[&str]| {
            let tables = tables.iter().map(|&table| table.to_owned()).collect();
            let part = PartRequest { artifact: "pg".to_owned(), tables, ..PartRequest::default() };
            RestoreRequest { only: vec![part], ..beside(name) }
        };
        let there = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class c JOIN \
                     pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('far', 'public') \
                     AND relkind IN ('r', 'p', 'v', 'S')";
        let references = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' \
                          AND conrelid = 'far.line'::regclass";

        let alone = format!("{name}_alone");
        let run = restored(&world, &snapshot, &some(&alone, &["far.line"])).await;
        assert_eq!(run.state, RunState::Succeeded, "{format}: {:?}", run.failure);
        assert_eq!(sql(server, &alone, LINE), wanted, "{format}");
        assert_eq!(sql(server, &alone, there), "line line_1 line_n_seq", "{format}");
        assert_eq!(
            sql(server, &alone, references),
            "0",
            "{format}: what it refers to is not there"
        );

        let both = format!("{name}_both");
        let tables = ["far.line", "orders"];
        let run = restored(&world, &snapshot, &some(&both, &tables)).await;
        assert_eq!(run.state, RunState::Succeeded, "{format}: {:?}", run.failure);
        assert_eq!(sql(server, &both, LINE), wanted, "{format}");
        assert_eq!(sql(server, &both, references), "1", "{format}");
        assert_eq!(sql(server, &both, SUM), sql(server, &name, SUM), "{format}");

        let run = restored(&world, &snapshot, &some(&format!("{name}_none"), &["far.none"])).await;
        assert_eq!(run.state, RunState::Failed, "{format}");
        assert!(run.failure.unwrap().message.contains("no table `far.none`"), "{format}");
        assert_eq!(databases(server, &format!("{name}\\_none%")), "", "{format}");
    }
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
    for of in ["no\\_undo\\_", "postgres\\_restore\\_"] {
        assert_eq!(databases(server, &format!("{of}%")), "");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn no_list_of_processes_shows_a_password_of_a_role() {
    let Some(server) = shared() else { return };
    fill(server, "hashes", 5);
    let roles = || (0..30).map(|at| format!("hashed_{at}"));
    let all = |word: &str| roles().map(|role| format!("{word} {role}")).collect::<Vec<_>>();
    sql(
        server,
        "postgres",
        &format!("{} LOGIN PASSWORD 'x'", all("CREATE ROLE").join(" LOGIN PASSWORD 'x'; ")),
    );
    let hashes = "SELECT string_agg(rolpassword, ' ' ORDER BY rolname) FROM pg_authid \
                  WHERE rolname ~ '^hashed_'";
    let before = sql(server, "postgres", hashes);
    let world = world(server, &[("database", "hashes"), ("globals", "true")], quick("one")).await;
    let snapshot = world.good_snapshot().await;
    sql(server, "postgres", &all("DROP ROLE").join("; "));

    let mut request = into_app("direct");
    request.without_undo = true;
    let watcher = Watcher::start("SCRAM-SHA-256$", "psql");
    let run = restored(&world, &snapshot, &request).await;
    let (found, seen) = watcher.stop();
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(sql(server, "postgres", hashes), before);
    assert!(seen > 0, "the restore was not looked at");
    assert_eq!(found, Vec::<String>::new());
}

/// Somebody who holds `database` in the middle of its renaming.
fn holding(server: &Server, database: &str) -> std::process::Child {
    let mut psql = std::process::Command::new(server.bin.join("psql"));
    psql.env("PGPASSWORD", PASSWORD)
        .args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "-U", "postgres", "-X"])
        .args(["-d", "postgres", "-c"])
        .arg(format!("BEGIN; COMMENT ON DATABASE {database} IS 'held'; SELECT pg_sleep(60)"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// A restore that is killed while the database is closed for its renaming.
async fn killed_while_closed(server: &Server, name: &str, is_cancelled: bool) -> (World, Run) {
    fill(server, name, 500);
    let world = world(server, &[("database", name)], quick("one")).await;
    let snapshot = world.good_snapshot().await;
    sql(server, name, "DELETE FROM orders WHERE id > 10");
    let mut request = into_app("direct");
    request.without_undo = true;
    world.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let run = world.engine.restore_now(snapshot.id, &request).await.unwrap();
    let mut holder = holding(server, name);
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let folder = world.folder.path().to_owned();
    doomed.spawn(async move {
        serving(&folder, "doomed").await.serve(CancellationToken::new()).await;
    });
    let renaming = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ \
         '^BEGIN; ALTER DATABASE .{name}'"
    );
    for _ in 0..500 {
        if sql(server, "postgres", &renaming) == "1" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_closed(server, name));
    if is_cancelled {
        world.engine.cancel(run.id).await.unwrap();
    }
    doomed.shutdown_background();
    // The one that waits first: it must not get through when the other lets go.
    for what in ["ALTER", "COMMENT ON"] {
        let those = format!(
            "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ \
             '^BEGIN; {what} DATABASE .?{name}'"
        );
        sql(server, "postgres", &format!("SELECT pg_terminate_backend(pid) {those}"));
        while sql(server, "postgres", &format!("SELECT count(*) {those}")) != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    holder.wait().unwrap();
    (world, run)
}

/// Whether nobody can connect to one of the databases whose names begin so.
fn is_closed(server: &Server, name: &str) -> bool {
    let query =
        format!("SELECT count(*) FROM pg_database WHERE NOT datallowconn AND datname ~ '^{name}'");
    sql(server, "postgres", &query) != "0"
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_is_closed_it_is_opened_again_whatever_comes() {
    let Some(server) = shared() else { return };
    let succeeded = (RunState::Succeeded, Condition::Restored, "500");
    let cases = [
        ("closed_once", false, 0, succeeded),
        // Taken up by another that is killed before it has done anything.
        ("closed_twice", false, 1, succeeded),
        // Once too often: what was there is put back.
        ("closed_often", false, 5, (RunState::Failed, Condition::Untouched, "10")),
        ("closed_and_cancelled", true, 0, (RunState::Cancelled, Condition::Untouched, "10")),
    ];
    for (name, is_cancelled, ghosts, expected) in cases {
        let (world, run) = killed_while_closed(server, name, is_cancelled).await;
        let again = serving(world.folder.path(), "next").await;
        let token = CancellationToken::new();
        again.take_over_at_start().await.unwrap();
        for _ in 0..ghosts {
            let lease = jiff::SignedDuration::from_secs(60);
            again.catalog().claim("ghost", again.now(), lease).await.unwrap().expect(name);
            again.take_over_at_start().await.unwrap();
        }
        let (at_work, stop) = (again.clone(), token.clone());
        tokio::spawn(async move { at_work.serve(stop).await });
        let last = last_try(&again, &run, ghosts + 2).await;
        let told = again.restore_report(last.id).await.unwrap().unwrap();
        for _ in 0..100 {
            if !is_closed(server, name) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        token.cancel();
        assert!(!is_closed(server, name), "{name}");
        let rows = sql(server, name, "SELECT count(*) FROM orders");
        assert_eq!((last.state, told.condition, rows.as_str()), expected, "{name}: {last:?}");
        let kept = told.steps[0].kept.clone().unwrap_or_default();
        assert_eq!(databases(server, &format!("{name}\\_%")), kept, "{name}: {told:?}");
    }
}

/// The try of that number, once it has ended.
async fn last_try(engine: &engine::Engine, run: &Run, attempt: u32) -> Run {
    for _ in 0..600 {
        let query = catalog::RunQuery { limit: 500, ..catalog::RunQuery::default() };
        let runs = engine.catalog().runs(query).await.unwrap();
        let last = runs
            .into_iter()
            .find(|one| one.kind == run.kind && one.attempt == attempt && one.state.is_terminal());
        if let Some(last) = last {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody took it up again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_renamed_stays_open_and_is_cleared_away() {
    let Some(server) = shared() else { return };
    fill(server, "unrenamed", 500);
    sql(server, "postgres", "CREATE ROLE renamer LOGIN CREATEDB PASSWORD 'r'");
    sql(server, "postgres", "ALTER DATABASE unrenamed OWNER TO renamer");
    let own = "ALTER TABLE orders OWNER TO renamer; ALTER TABLE here OWNER TO renamer; \
               ALTER SCHEMA public OWNER TO renamer";
    sql(server, "unrenamed", own);
    let port = server.port.to_string();
    let settings = [
        ("host", "127.0.0.1"),
        ("port", port.as_str()),
        ("user", "renamer"),
        ("database", "unrenamed"),
    ];
    let draft = source("pg", "postgres", &settings, &[("password", "r")]);
    let world = World::reading(vec![draft], quick("one")).await;
    let snapshot = world.good_snapshot().await;
    sql(server, "unrenamed", "DELETE FROM orders WHERE id > 10");
    // A superuser's connection, which its owner may not end.
    let mut idle = std::process::Command::new(server.bin.join("psql"));
    idle.env("PGPASSWORD", PASSWORD)
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
        .args(["-X", "-d", "unrenamed", "-c", "SELECT pg_sleep(600)"]);
    let mut idle = idle.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut request = into_app("direct");
    request.without_undo = true;
    let run = restored(&world, &snapshot, &request).await;
    idle.kill().unwrap();
    idle.wait().unwrap();
    let failure = run.failure.clone().unwrap();
    assert!(failure.message.contains("nothing that was there was changed"), "{failure:?}");
    let told = report(&world, &run).await;
    assert_eq!((told.condition, told.steps[0].state), (Condition::Untouched, StepState::Waiting));
    assert_eq!(sql(server, "unrenamed", "SELECT count(*) FROM orders"), "10");
    assert_eq!(databases(server, "unrenamed\\_%"), "", "{failure:?}");
}
