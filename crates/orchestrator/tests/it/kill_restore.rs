//! The real process, killed without warning while it restores a database (F25): the next one
//! carries it to its end, and nothing is ever half there.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    postgres::{self, Postgres},
    road::{ended, ran},
    server::{Place, Server},
};

/// Where the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The new database is about to be made.
    Making,
    /// It is there, and is being filled.
    Loading,
    /// It is whole, and nothing was replaced.
    Loaded,
    /// Nobody may connect to the old one any more, and the names are about to change.
    Closed,
    /// The names have changed; the rest is not done.
    Switched,
}

/// A database whose index can be made to take as long as a file is there.
fn fill(database: &Postgres) -> PathBuf {
    let hold = database.folder("held").join("hold");
    let folder = hold.parent().unwrap();
    Command::new("chmod").arg("777").arg(folder).status().unwrap();
    database.sql("postgres", "CREATE DATABASE shop");
    database.sql(
        "shop",
        &format!(
            "CREATE TABLE orders AS SELECT id, md5(id::text) AS what \
             FROM generate_series(1, 20000) id; \
             CREATE FUNCTION slow(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN \
             WHILE n = 1 AND (pg_catalog.pg_stat_file('{}', true)).size IS NOT NULL LOOP \
             PERFORM pg_catalog.pg_sleep(0.02); END LOOP; RETURN n; END $$; \
             CREATE INDEX ON orders (slow(id))",
            hold.display()
        ),
    );
    hold
}

const SUM: &str =
    "SELECT count(*) || ' ' || md5(string_agg(id || what, ',' ORDER BY id)) FROM orders";

/// A session that holds something until it is ended.
struct Holding(Child);

impl Holding {
    fn start(database: &Postgres, statement: &str) -> Self {
        let text = format!("BEGIN; {statement}; SELECT pg_sleep(600)");
        let mut psql = database.client("postgres");
        psql.args(["-c", &text]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = psql.spawn();
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                      AND query LIKE '%pg_sleep(600)%'";
        let holding = Self(child.unwrap());
        for _ in 0..200 {
            if database.sql("postgres", sleeps) != "0" {
                return holding;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nothing is held");
    }

    fn end(mut self, database: &Postgres) {
        database.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
        );
        self.0.wait().unwrap();
    }
}

fn databases(database: &Postgres, like: &str) -> String {
    let query =
        format!("SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '{like}'");
    database.sql("postgres", &query)
}

/// Whether a session waits for a lock on the server's list of databases, with this in its query.
fn waits(database: &Postgres, words: &str) -> bool {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
         AND query LIKE '%{words}%' AND pid <> pg_backend_pid()"
    );
    database.sql("postgres", &query) != "0"
}

async fn until(what: &str, server: &Server, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: {}", server.place.log());
}

async fn ready(database: &Postgres) -> (Server, String) {
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let destination = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", destination).await;
    let source = json!({ "name": "db", "kind": "postgres",
        "settings": { "host": "127.0.0.1", "port": database.port.to_string(),
            "user": postgres::USER, "database": "shop" },
        "secrets": { "password": postgres::PASSWORD } });
    let app = json!({ "name": "shop", "sources": [source],
        "destinations": [{ "destination": "disk" }] });
    server.done("POST", "apps", app).await;
    let run = ran(&server, "shop").await;
    let snapshot = run["snapshot_id"].as_str().unwrap().to_owned();
    (server, snapshot)
}

async fn restore(server: &Server, snapshot: &str) -> String {
    let order = json!({ "to": "app", "confirm": "shop", "without_undo": true });
    let run = server.done("POST", &format!("snapshots/{snapshot}/restore"), order).await;
    run["id"].as_str().unwrap().to_owned()
}

/// The run that came after `run`.
async fn next(server: &Server, run: &str) -> Value {
    let runs = server.done_get("runs?app=shop").await;
    let found = runs.as_array().unwrap().iter().find(|one| one["retry_of"] == run).cloned();
    let found = found.unwrap_or_else(|| panic!("nobody goes on: {runs}"));
    ended(server, found["id"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_is_carried_to_its_end_wherever_it_was_killed() {
    let Some(database) = Postgres::start() else { return };
    let hold = fill(&database);
    let wanted = database.sql("shop", SUM);
    let (mut server, snapshot) = ready(&database).await;
    for moment in [
        Moment::Making,
        Moment::Loading,
        Moment::Loaded,
        Moment::Closed,
        Moment::Switched,
        Moment::Switched,
    ] {
        // What is lost since, and has to be found in what is kept.
        let left = "DELETE FROM orders WHERE id > 10";
        database.sql("shop", left);
        let lock = "LOCK TABLE pg_catalog.pg_database IN SHARE MODE";
        let mut held = (moment == Moment::Making).then(|| Holding::start(&database, lock));
        if matches!(moment, Moment::Loading | Moment::Loaded | Moment::Closed) {
            std::fs::write(&hold, "").unwrap();
        }
        let run = restore(&server, &snapshot).await;
        let building = || {
            database.sql(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%'",
            ) != "0"
        };
        match moment {
            Moment::Making => {
                until("making", &server, || waits(&database, "CREATE DATABASE")).await;
            }
            Moment::Loading => until("loading", &server, building).await,
            Moment::Loaded => {
                until("loading", &server, building).await;
                held = Some(Holding::start(&database, lock));
                std::fs::remove_file(&hold).unwrap();
                until("loaded", &server, || waits(&database, "ALLOW_CONNECTIONS false")).await;
            }
            Moment::Closed => {
                until("loading", &server, building).await;
                let row = "SELECT 1 FROM pg_catalog.pg_database \
                           WHERE datname LIKE 'shop\\_restore%' FOR UPDATE";
                held = Some(Holding::start(&database, row));
                std::fs::remove_file(&hold).unwrap();
                until("closed", &server, || waits(&database, "RENAME TO")).await;
            }
            Moment::Switched => {
                let kept = "shop\\_before%";
                let before = databases(&database, kept);
                until("switched", &server, || databases(&database, kept) != before).await;
            }
        }
        let place = server.kill();
        let _ = std::fs::remove_file(&hold);
        if let Some(held) = held {
            held.end(&database);
        }
        server = place.serve().await;
        let first = ended(&server, &run).await;
        let last = if first["state"] == "succeeded" {
            assert_eq!(moment, Moment::Switched, "{first}");
            first
        } else {
            assert_eq!(first["state"], "interrupted", "{moment:?}: {first}");
            next(&server, &run).await
        };
        assert_eq!(last["state"], "succeeded", "{moment:?}: {last}");
        assert_eq!(database.sql("shop", SUM), wanted, "{moment:?}");
        let report =
            server.done_get(&format!("runs/{}/report", last["id"].as_str().unwrap())).await;
        let kept = report.pointer("/restore/steps/0/kept").or(report.pointer("/steps/0/kept"));
        let kept = kept.and_then(Value::as_str).unwrap_or_else(|| panic!("{report}")).to_owned();
        assert_eq!(database.sql(&kept, "SELECT count(*) FROM orders"), "10", "{moment:?}");
        assert_eq!(databases(&database, "shop\\_%"), kept, "{moment:?}: nothing else is left");
        database.sql("postgres", &format!("DROP DATABASE {kept}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_was_cancelled_and_killed_is_cleared_away() {
    let Some(database) = Postgres::start() else { return };
    let hold = fill(&database);
    let (server, snapshot) = ready(&database).await;
    database.sql("shop", "DELETE FROM orders WHERE id > 10");
    std::fs::write(&hold, "").unwrap();
    let run = restore(&server, &snapshot).await;
    until("loading", &server, || !databases(&database, "shop\\_restore%").is_empty()).await;
    server.done("POST", &format!("runs/{run}/cancel"), json!({})).await;
    let server = server.kill().serve().await;
    let first = ended(&server, &run).await;
    let last = match first["state"].as_str() {
        // It had noticed.
        Some("cancelled") => first,
        _ => next(&server, &run).await,
    };
    assert_eq!(last["state"], "cancelled", "{last}");
    assert!(last.to_string().contains("nothing that was there was changed"), "{last}");
    assert_eq!(databases(&database, "shop\\_%"), "");
    assert_eq!(database.sql("shop", "SELECT count(*) FROM orders"), "10");
}
