//! Drills of dumps that apps and sidecars tell of in words of their own, and of dumps that mean harm.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use engine::EngineConfig;
use model::{DrillState, RunState};

use crate::{
    app_server::Export,
    drill_postgres::{drilled, nothing_is_left},
    source_mysql, source_postgres, source_redis,
    world::{World, quick, source},
};

/// The bytes of the one artifact that `world`'s app gives.
async fn dump(world: &World) -> Vec<u8> {
    let snapshot = world.good_snapshot().await;
    world.restored(&snapshot).await
}

/// A world whose app sends `bytes` as `format`.
async fn sending(
    format: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    mut config: EngineConfig,
) -> World {
    let folder = tempfile::tempdir().unwrap().keep();
    config.spool = folder.join("spool");
    let world = World::with(&["disk"], config).await;
    world.server.answer_with(Export::Format(format, name, bytes));
    world.change_app(|app| app.limits.timeout_secs = Some(60)).await;
    world
}

async fn comes_back(format: &'static str, name: &'static str, bytes: &[u8]) {
    let world = sending(format, name, bytes.to_vec(), quick("one")).await;
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{format}: {:?} {report:?}", run.failure);
    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_of_postgres_are_tried_by_each_of_their_words() {
    let Some(server) = source_postgres::shared() else { return };
    source_postgres::fill(server, "words", 50);
    for (format, words) in
        [("custom", ["pg_dump_Fc", "postgres-custom"]), ("plain", ["pg_dump_Fp", "postgres-plain"])]
    {
        let settings = [("database", "words"), ("format", format)];
        let bytes = dump(&source_postgres::world(server, &settings, quick("one")).await).await;
        for word in words {
            comes_back(word, "app.dump", &bytes).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_of_mysql_are_tried_by_each_of_their_words() {
    let Some(server) = source_mysql::start() else { return };
    source_mysql::fill(&server, "words", 50);
    let port = server.port.to_string();
    let settings =
        [("host", "127.0.0.1"), ("port", &port), ("user", "root"), ("database", "words")];
    let world = World::reading(vec![source("db", "mysql", &settings, &[])], quick("one")).await;
    let bytes = dump(&world).await;
    for word in ["mysql_sql", "mysqldump"] {
        comes_back(word, "app.sql", &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_redis_and_files_of_sqlite_are_tried_by_each_of_their_words() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let database = rusqlite::Connection::open(file.path()).unwrap();
    database.execute_batch("CREATE TABLE a(b); INSERT INTO a VALUES (1)").unwrap();
    drop(database);
    comes_back("sqlite3", "app.sqlite3", &std::fs::read(file.path()).unwrap()).await;

    let Some(server) = source_redis::start(None) else { return };
    source_redis::fill(&server);
    let sources = vec![source_redis::at(server.port, &[], None)];
    let bytes = dump(&World::reading(sources, source_redis::patient()).await).await;
    for word in ["redis_rdb", "rdb"] {
        comes_back(word, "redis.rdb", &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_mysql_has_no_power_over_the_machine_that_tries_it() {
    // Only where there is a server can one be tried on.
    if source_mysql::start().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let set = |name: &str| {
        let mark = folder.path().join(name);
        format!("SET GLOBAL general_log_file = '{}', GLOBAL general_log = 1", mark.display())
    };
    let as_root = "CREATE DEFINER=`root`@`localhost` PROCEDURE evil()";
    for (name, harm) in [
        ("set", format!("{};\n", set("set"))),
        ("by-root", format!("{as_root} {};\nCALL evil();\n", set("by-root"))),
        ("file", format!("SELECT 1 INTO OUTFILE '{}/file';\n", folder.path().display())),
    ] {
        let dump = format!(
            "-- MariaDB dump 10.19\n--\nCREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n\
             {harm}-- Dump completed on 2026-01-01  0:00:00\n"
        );
        let world = sending("mysqldump", "app.sql", dump.into_bytes(), quick("one")).await;
        let snapshot = world.good_snapshot().await;
        let (run, report) = drilled(&world, &snapshot).await;
        assert_eq!(run.state, RunState::Failed, "{name}: {report:?}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{name}: a dump wrote {left:?}");
        nothing_is_left(&world);
    }
}

/// What is SQL to who reads it with standard strings, and a command of psql's to who does not.
fn hostile(mark: &std::path::Path) -> Vec<u8> {
    format!(
        "SET standard_conforming_strings = off;\nSELECT '\\'';\n\\! touch {}\n--';\n\
         --\n-- PostgreSQL database dump complete\n--\n\n",
        mark.display()
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_sql_is_given_to_no_psql_that_cannot_forbid_itself_commands() {
    if source_postgres::shared().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let real = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten().next().unwrap();
    let bin = folder.path().join(real.file_name()).join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for program in std::fs::read_dir(real.path().join("bin")).unwrap().flatten() {
        if program.file_name() != "psql" {
            symlink(program.path(), bin.join(program.file_name())).unwrap();
        }
    }
    let psql = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'psql (PostgreSQL) 15.13'; exit; }}\n\
         exec {} \"$@\"\n",
        real.path().join("bin/psql").display()
    );
    std::fs::write(bin.join("psql"), psql).unwrap();
    std::fs::set_permissions(bin.join("psql"), Permissions::from_mode(0o755)).unwrap();
    let mark = folder.path().join("it-was-run");
    let old = EngineConfig { postgres_home: folder.path().to_owned(), ..quick("one") };
    for (config, why) in [(old, "needs a psql of August 2025"), (quick("one"), "")] {
        let world = sending("pg_dump_Fp", "app.sql", hostile(&mark), config).await;
        let snapshot = world.good_snapshot().await;
        let (run, report) = drilled(&world, &snapshot).await;
        assert!(!mark.exists(), "a dump ran a command");
        assert_eq!(run.state, RunState::Failed);
        let told = &report.items[0].checks[0];
        assert!(told.state == DrillState::Failed && told.sentence.contains(why), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_name_is_no_hindrance_and_the_apps_time_limit_holds() {
    let Some(server) = source_postgres::shared() else { return };
    source_postgres::fill(server, "long_name", 5);
    let (name, port) = ("p".repeat(64), server.port.to_string());
    let settings = [("host", "127.0.0.1"), ("port", port.as_str()), ("database", "long_name")];
    let secrets = [("password", source_postgres::PASSWORD)];
    let sources = vec![source(&name, "postgres", &settings, &secrets)];
    let world = World::reading(sources, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);

    // Neither a fixed minute for what takes long, nor longer than the app allows.
    world
        .change_app(|app| {
            app.limits.timeout_secs = Some(6);
            app.drill.questions = vec![model::DrillQuestion {
                artifact: name.parse().unwrap(),
                sql: "SELECT true FROM pg_catalog.pg_sleep(12)".to_owned(),
                expect: None,
            }];
        })
        .await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed, "{report:?}");
    let asked = report.items[0].checks.last().unwrap();
    assert!(asked.name.starts_with("question") && asked.sentence.contains("in time"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_users_are_compared_with_those_of_the_dump() {
    let Some(server) = source_postgres::shared() else { return };
    source_postgres::sql(server, "postgres", "CREATE ROLE \"Of the \"\"dump\"\"\"");
    source_postgres::fill(server, "with_roles", 5);
    let settings = [("database", "with_roles"), ("globals", "true")];
    let world = source_postgres::world(server, &settings, quick("one")).await;
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    let told = report.items.iter().flat_map(|item| &item.checks);
    let roles = told.into_iter().find(|check| check.name == "roles").unwrap();
    assert!(roles.sentence.ends_with("roles came back"), "{roles:?}");

    let Some(server) = source_mysql::start() else { return };
    source_mysql::fill(&server, "with_users", 5);
    let port = server.port.to_string();
    let settings = [
        ("host", "127.0.0.1"),
        ("port", port.as_str()),
        ("user", "root"),
        ("database", "with_users"),
        ("users", "true"),
    ];
    let world = World::reading(vec![source("db", "mysql", &settings, &[])], quick("one")).await;
    source_mysql::sql(&server, "mysql", "CREATE USER clerk@'%'");
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
}
