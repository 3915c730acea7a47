//! An app with a database and files, and its orchestrator: all of it is destroyed, and comes back
//! from one destination and the recovery kit, by the real program on a clean start.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    postgres::{self, Postgres},
    road::{copied, ran},
    server::{PASSWORD, Place, Server},
    tree::{self, Facts},
};

/// Every table with its rows, in an order that does not depend on where they lie.
const TABLES: &str = "SELECT format('%I.%I', schemaname, tablename) FROM pg_catalog.pg_tables \
                      WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
const FILL: &str = "
    CREATE SCHEMA stock;
    CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL UNIQUE, since timestamptz);
    CREATE TABLE orders (id bigserial PRIMARY KEY, customer int REFERENCES customers, what text,
        price numeric(12, 2), tags text[], more jsonb, picture bytea);
    CREATE TABLE stock.items (code text PRIMARY KEY, left_over int CHECK (left_over >= 0));
    CREATE VIEW expensive AS SELECT * FROM orders WHERE price > 500;
    INSERT INTO customers (name, since) SELECT 'ñandú ' || n, to_timestamp(n * 86400)
        FROM generate_series(1, 300) n;
    INSERT INTO orders (customer, what, price, tags, more, picture)
        SELECT 1 + n % 300, repeat(md5(n::text), 5), n / 7.0, ARRAY['a', n::text, NULL],
            jsonb_build_object('n', n), decode(md5(n::text), 'hex')
        FROM generate_series(1, 5000) n;
    INSERT INTO stock.items SELECT 'c-' || n, n FROM generate_series(1, 100) n;
    INSERT INTO stock.items VALUES ('line' || chr(10) || 'end', 0), ('', NULL);";

/// The app and what it lives on.
struct Machine {
    database: Postgres,
    folder: TempDir,
    disk: TempDir,
}

/// What the app had.
#[derive(Debug, PartialEq)]
struct Belongings {
    /// Rows by table, each as a line of text.
    rows: BTreeMap<String, Vec<String>>,
    next_order: String,
    files: BTreeMap<PathBuf, Facts>,
}

impl Machine {
    fn new() -> Option<Self> {
        let database = Postgres::start()?;
        database.sql("postgres", "CREATE DATABASE shop");
        database.sql("shop", FILL);
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { database, folder, disk: tempfile::tempdir().unwrap() };
        tree::make(&machine.files());
        tree::make_more(&machine.files());
        Some(machine)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn belongings(&self) -> Belongings {
        let tables = self.database.sql("shop", TABLES);
        let rows = |table: &str| {
            let all = format!("SELECT t::text FROM {table} t ORDER BY t::text COLLATE \"C\"");
            self.database.sql("shop", &all).lines().map(str::to_owned).collect()
        };
        Belongings {
            rows: tables.lines().map(|table| (table.to_owned(), rows(table))).collect(),
            next_order: self.database.sql("shop", "SELECT last_value FROM orders_id_seq"),
            files: tree::facts(&self.files()),
        }
    }

    /// A data folder for a server of this machine: the first one, or one after that is lost.
    fn place(&self) -> Place {
        let root = self.folder.path().display().to_string();
        // Beside the database's own files, which others may pass through.
        let scratch = self.database.folder("scratch").display().to_string();
        Place::new(&[
            ("APP_ADMIN_USER", "ana"),
            ("APP_ADMIN_PASS", PASSWORD),
            ("BACKUP_FILE_ROOTS", &root),
            ("BACKUP_RESTORE_ROOTS", &root),
            ("BACKUP_SCRATCH_DIR", &scratch),
        ])
    }

    /// Backs the app up; gives the server, and the recovery kit.
    async fn backed_up(&self) -> (Server, Value) {
        let server = self.place().serve().await;
        let path = self.disk.path();
        let destination = json!({ "name": "vault", "kind": "local", "settings": { "path": path } });
        server.done("POST", "destinations", destination).await;
        let database = json!({ "name": "db", "kind": "postgres",
            "settings": { "host": "127.0.0.1", "port": self.database.port.to_string(),
                "user": postgres::USER, "database": "shop" },
            "secrets": { "password": postgres::PASSWORD } });
        let files = json!({ "name": "files", "kind": "files",
            "settings": { "path": self.files() } });
        let app = json!({ "name": "shop", "sources": [database, files],
            "schedule": { "spec": "daily" }, "destinations": [{ "destination": "vault" }] });
        server.done("POST", "apps", app).await;
        ran(&server, "shop").await;
        let kit = copied(&server).await;
        (server, kit)
    }

    /// Nothing is left but the destination.
    fn destroy(&self, server: Server) {
        let lost = server.kill();
        std::fs::remove_dir_all(lost.data()).unwrap();
        self.database.sql("postgres", "DROP DATABASE shop WITH (FORCE)");
        std::fs::remove_dir_all(self.files()).unwrap();
    }

    /// Brings the app back by the server that came back, and looks whether it is what it was.
    async fn restored_by(&self, server: &Server, before: &Belongings) {
        // Nothing runs by itself before a person has looked.
        assert!(!server.done_get("recovery").await["hold"].is_null());
        let app = server.done_get("apps/shop").await["app"].clone();
        assert_eq!(app["sources"].as_array().unwrap().len(), 2, "{app}");
        let snapshots = server.done_get("apps/shop/snapshots").await;
        let [snapshot] = snapshots.as_array().unwrap().as_slice() else { panic!("{snapshots}") };
        let id = snapshot["id"].as_str().unwrap();
        let seen = server.place.run(&["restore", id, "--into-app", "--preflight"]);
        assert_eq!(seen.status.code(), Some(0), "{seen:?}");
        let done = server.place.run(&["restore", id, "--into-app", "--wait"]);
        assert_eq!(done.status.code(), Some(0), "{done:?} {}", server.place.log());
        let now = self.belongings();
        let names: Vec<_> = now.rows.keys().collect();
        assert_eq!(names, ["public.customers", "public.orders", "stock.items"]);
        for (table, rows) in &before.rows {
            assert!(now.rows[table] == *rows, "{table} has other rows");
        }
        assert!(now.files.keys().eq(before.files.keys()), "{:?}", now.files.keys());
        for (name, facts) in &before.files {
            assert_eq!(&now.files[name], facts, "{}", name.display());
        }
        assert_eq!(now.next_order, before.next_order);
        let cannot = "INSERT INTO orders (customer) VALUES (999)";
        let refused = self.database.try_sql("shop", cannot);
        assert!(!refused.status.success(), "its constraints did not come back");

        server.done("POST", "recovery/confirm", json!({})).await;
        assert!(server.done_get("recovery").await["hold"].is_null());
        for words in [["drill", "shop", "--wait"], ["run", "shop", "--wait"]] {
            let done = server.place.run(&words);
            assert_eq!(done.status.code(), Some(0), "{words:?}: {done:?} {}", server.place.log());
        }
        server.login("ana", PASSWORD).await;
    }
}

fn words(kit: &Value) -> (&str, &str) {
    let address = kit["destinations"][0]["address"].as_str().unwrap();
    (kit["identity"].as_str().unwrap(), address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_by_the_command() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.belongings();
    assert!(before.rows["public.orders"].len() == 5_000 && before.files.len() > 30);
    let (server, kit) = machine.backed_up().await;
    machine.destroy(server);

    let place = machine.place();
    let (key, address) = words(&kit);
    let file = place.file("recovery-key.txt", key);
    let done = place.run(&["bootstrap", address, "--key-file", &file]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let server = place.serve().await;
    machine.restored_by(&server, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_by_the_api() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.belongings();
    let (server, kit) = machine.backed_up().await;
    let (key, address) = words(&kit);
    // Where something is there, nothing is replaced.
    let asked = json!({ "address": address, "identity": key });
    let refused = server.send("POST", "recovery/look", &server.local(), Some(asked.clone())).await;
    assert_eq!(refused.status(), 409);
    machine.destroy(server);

    let server = machine.place().serve().await;
    let refused = async |path: &str, body: Value, status: u16, told: &str| {
        let reply = server.send("POST", path, &server.local(), Some(body)).await;
        assert_eq!(reply.status(), status, "{path}");
        let text = reply.text().await.unwrap();
        assert!(text.contains(told) && !text.contains(key), "{text}");
    };
    refused("recovery/look", json!({ "address": address }), 422, "identity").await;
    refused("recovery/look", json!({ "identity": key }), 422, "kind").await;
    let elsewhere = json!({ "kind": "local", "identity": key,
        "settings": { "path": machine.folder.path() } });
    refused("recovery/look", elsewhere, 422, "no copy of a catalog").await;
    refused("recovery/begin", json!({ "word": "guessed" }), 409, "look again").await;
    let found = server.done("POST", "recovery/look", asked).await;
    assert_eq!(found["rows"]["app"], 1, "{found}");
    assert_eq!(server.done_get("destinations").await, json!([]), "looking changed something");
    let word = found["word"].as_str().unwrap();
    server.done("POST", "recovery/begin", json!({ "word": word })).await;
    let progress = recovered(&server, word).await;
    assert_eq!(progress["done"]["destination"], "vault", "{progress}");
    assert!(!server.place.log().contains(key), "the key is in the log");
    machine.restored_by(&server, &before).await;
}

/// What came of it, told without a login.
async fn recovered(server: &Server, word: &str) -> Value {
    let path = format!("{}/api/v1/recovery/progress/{word}", server.base);
    for _ in 0..600 {
        // Between two catalogs nobody listens for a moment.
        if let Ok(reply) = server.http.get(&path).send().await {
            let progress: Value = reply.json().await.unwrap();
            match progress["state"].as_str() {
                Some("done") => return settled(server, progress).await,
                Some("running") => {}
                _ => panic!("{progress}"),
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it is never done: {}", server.place.log());
}

/// The server that came back answers.
async fn settled(server: &Server, progress: Value) -> Value {
    for _ in 0..600 {
        let asked = server.request(reqwest::Method::GET, "/api/v1/apps", &server.local());
        if asked.send().await.is_ok_and(|reply| reply.status() == 200) {
            return progress;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the server does not come back: {}", server.place.log());
}
