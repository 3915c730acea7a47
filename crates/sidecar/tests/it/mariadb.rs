//! MariaDB by its preset.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    daemon::{self, PASSWORD, Server, output},
    presets::{dump, url},
};

fn client(server: &Server, database: &str) -> Command {
    let mut client = Command::new("mariadb");
    client.args([
        "--no-defaults",
        "--default-character-set=utf8mb4",
        "-uroot",
        "-N",
        "-h127.0.0.1",
        "-P",
    ]);
    client.arg(server.port.to_string()).arg(database);
    client
}

fn sql(server: &Server, database: &str, text: &str) -> String {
    let mut asking = client(server, database);
    let done = asking.arg("-e").arg(text).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}: {said}\n{}", server.log());
    String::from_utf8(done.stdout).unwrap()
}

fn restore(server: &Server, database: &str, dump: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump).unwrap();
    let file: &Path = file.path();
    output(client(server, database).stdin(Stdio::from(std::fs::File::open(file).unwrap())));
}

/// All that a database holds, by its own words.
fn content(server: &Server, database: &str) -> String {
    let all = format!(
        "SELECT id, name, hex(picture) FROM item ORDER BY id; SELECT * FROM cheap; \
         SELECT routine_name FROM information_schema.routines WHERE routine_schema='{database}'; \
         SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema='{database}'; \
         SELECT event_name FROM information_schema.events WHERE event_schema='{database}'"
    );
    sql(server, database, &all)
}

/// What a trigger adds to a database.
const GUARD: &str =
    "CREATE TRIGGER guard BEFORE INSERT ON item FOR EACH ROW SET NEW.name = upper(NEW.name);";

/// Makes the database `shop`, and one who may dump and replace it.
fn fill(server: &Server, options: &str, rows: u32, more: &str) {
    let escaped = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    sql(
        server,
        "mysql",
        &format!(
            "CREATE DATABASE shop {options}; USE shop; \
             CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40) CHARACTER SET utf8mb4, \
               picture BLOB) ENGINE=InnoDB; \
             INSERT INTO item SELECT seq, concat('ñ☂😀', md5(seq)), unhex(md5(seq)) \
               FROM seq_1_to_{rows}; \
             CREATE VIEW cheap AS SELECT count(*) FROM item WHERE id < 10; \
             CREATE PROCEDURE clean() DELETE FROM item WHERE id < 0; \
             CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM item WHERE id < 0; {more} \
             CREATE USER dumper@localhost IDENTIFIED BY '{escaped}'; \
             GRANT ALL ON *.* TO dumper@localhost"
        ),
    );
}

/// A sidecar's strategy for that.
fn strategy(server: &Server) -> serde_json::Value {
    json!({
        "type": "database_dump",
        "config": {
            "preset": "mariadb", "host": "127.0.0.1", "port": server.port, "user": "dumper",
            "password_env": "DB_PASSWORD", "database": "shop",
        },
    })
}

#[tokio::test]
async fn mariadb_comes_back_with_all_that_belongs_to_it() {
    let Some(server) = daemon::mariadb() else { return };
    fill(&server, "", 2_000, GUARD);
    sql(&server, "mysql", "CREATE DATABASE restored");
    let by_url = url(&format!("mysql://dumper@127.0.0.1:{}/shop", server.port));
    let environment = [("DB_PASSWORD", PASSWORD), ("DATABASE_URL", by_url.as_str())];
    let ways = [
        json!({
            "preset": "mariadb", "host": "127.0.0.1", "port": server.port, "user": "dumper",
            "password_env": "DB_PASSWORD", "database": "shop",
        }),
        json!({ "preset": "mariadb", "url": "${DATABASE_URL}" }),
        json!({
            "preset": "mariadb", "socket": server.folder.path().join("s"), "user": "dumper",
            "password_env": "DB_PASSWORD", "database": "shop",
        }),
    ];
    for way in ways {
        let dump = dump("mariadb-dump", &way, &environment).await.unwrap();
        assert_eq!((dump.filename.as_str(), dump.format.as_str()), ("shop.sql", "mysql_sql"));
        assert_eq!(dump.content_type, "application/sql");
        restore(&server, "restored", &dump.bytes);
        let (before, after) = (content(&server, "shop"), content(&server, "restored"));
        assert!(before.contains("nightly") && before.contains("guard") && before.contains("clean"));
        assert_eq!(before, after);
        sql(&server, "mysql", "DROP DATABASE restored; CREATE DATABASE restored");
    }
    let nowhere = json!({
        "preset": "mysql", "host": "127.0.0.1", "port": server.port, "user": "dumper",
        "password_env": "DB_PASSWORD", "database": "nowhere",
    });
    assert!(dump("mysqldump", &nowhere, &environment).await.is_err());
    let refused = dump("mysqldump", &nowhere, &[("DB_PASSWORD", "canary-wrong")]).await;
    assert!(refused.is_err_and(|told| told.contains("Access denied")));
}

#[tokio::test]
async fn a_database_is_taken_back_by_its_preset() {
    let Some(server) = daemon::mariadb() else { return };
    fill(&server, "CHARACTER SET latin1", 2_000, GUARD);
    let strategy = strategy(&server);
    let sidecar = crate::imports::taking(&strategy, &[("DB_PASSWORD", PASSWORD)]).await;
    let artifact = sidecar.export(None).await.unwrap();
    let before = content(&server, "shop");
    sql(
        &server,
        "shop",
        "DELETE FROM item WHERE id > 9; CREATE TABLE later(x int); DROP EVENT nightly",
    );
    let all = |server: &Server| sql(server, "mysql", "SHOW DATABASES");
    let there = all(&server);
    for (wrong, why) in [
        (b"USE mysql;\nDROP TABLE user;\n".to_vec(), "USE MYSQL"),
        (b"CREATE TABLE x(a int);\nthis is no SQL;\n".to_vec(), "SQL syntax"),
        (b"CREATE TABLE x(a int);\nsystem touch /tmp/import-was-here\n".to_vec(), "SQL syntax"),
    ] {
        let error = crate::imports::import(&sidecar, &wrong).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("nothing that was there"), "{error}");
    }
    assert_eq!(all(&server), there);
    assert_eq!(sql(&server, "shop", "SELECT count(*) FROM item").trim(), "9");

    let report = crate::imports::import(&sidecar, &artifact).await.unwrap();
    assert_eq!(content(&server, "shop"), before);
    assert!(!sql(&server, "shop", "SHOW TABLES").contains("later"));
    let character_set = "SELECT @@character_set_database";
    assert_eq!(sql(&server, "shop", character_set).trim(), "latin1");
    let kept = report.kept.unwrap();
    let kept = kept.strip_prefix("the database ").unwrap();
    assert_eq!(sql(&server, kept, "SELECT count(*) FROM item").trim(), "9");

    sql(&server, "mysql", "DROP DATABASE shop");
    crate::imports::import(&sidecar, &artifact).await.unwrap();
    assert_eq!(content(&server, "shop"), before);
    let left = sql(&server, "mysql", "SHOW DATABASES LIKE '%restoring%'");
    assert_eq!(left.trim(), "");
}

/// The databases with `word` in their names.
fn like(server: &Server, word: &str) -> Vec<String> {
    let told = sql(server, "mysql", &format!("SHOW DATABASES LIKE '%{word}%'"));
    told.lines().map(str::to_owned).collect()
}

/// What is in a database of [`WITHOUT_TRIGGERS`], old or new, but never a part of both.
const WITHOUT_TRIGGERS: &str = "CREATE TABLE line (id INT PRIMARY KEY, item INT, \
     FOREIGN KEY (item) REFERENCES item(id)); INSERT INTO line SELECT id, id FROM item;";
const COUNTS: &str = "SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM line)";

#[tokio::test]
async fn tables_without_triggers_change_places_in_one_step() {
    let Some(server) = daemon::mariadb() else { return };
    fill(&server, "CHARACTER SET latin1", 2_000, WITHOUT_TRIGGERS);
    let sidecar = crate::imports::taking(&strategy(&server), &[("DB_PASSWORD", PASSWORD)]).await;
    let artifact = sidecar.export(None).await.unwrap();
    let before = content(&server, "shop");
    sql(
        &server,
        "shop",
        "DELETE FROM line WHERE id > 9; DELETE FROM item WHERE id > 9; CREATE TABLE later(x int); \
         CREATE VIEW newer AS SELECT * FROM later; CREATE FUNCTION one() RETURNS INT RETURN 1; \
         CREATE OR REPLACE VIEW cheap AS SELECT 'changed'; DROP PROCEDURE clean",
    );
    let old = content(&server, "shop");
    let report = crate::imports::import(&sidecar, &artifact).await.unwrap();
    assert_eq!(content(&server, "shop"), before);
    assert_eq!(sql(&server, "shop", COUNTS).trim(), "2000\t2000");
    let there = "SELECT group_concat(table_name ORDER BY table_name) FROM \
                 information_schema.tables WHERE table_schema = database()";
    assert_eq!(sql(&server, "shop", there).trim(), "cheap,item,line");
    let routines = "SELECT group_concat(routine_name) FROM information_schema.routines WHERE \
                    routine_schema = 'shop'";
    assert_eq!(sql(&server, "shop", routines).trim(), "clean");
    let kept = report.kept.unwrap();
    let kept = kept.strip_prefix("the database ").unwrap().to_owned();
    assert_eq!(content(&server, &kept), old);
    assert_eq!(sql(&server, &kept, there).trim(), "cheap,item,later,line,newer");
    let asleep = format!(
        "SELECT group_concat(status) FROM information_schema.events WHERE event_schema = '{kept}'"
    );
    assert_eq!(sql(&server, "mysql", &asleep).trim(), "DISABLED");
    assert_eq!(sql(&server, "shop", "SELECT @@character_set_database").trim(), "latin1");
    assert_eq!(like(&server, "restoring"), [""; 0]);

    // Another database would lose what it refers to: nothing moves, and nothing is left.
    sql(&server, "mysql", &format!("DROP DATABASE {kept}"));
    sql(
        &server,
        "mysql",
        "CREATE DATABASE other; CREATE TABLE other.of (id INT PRIMARY KEY, \
         item INT, FOREIGN KEY (item) REFERENCES shop.item(id))",
    );
    let refused = crate::imports::import(&sidecar, &artifact).await.unwrap_err().to_string();
    assert!(refused.contains("nothing that was there was changed"), "{refused}");
    assert!(refused.contains("other.of"), "{refused}");
    assert_eq!(content(&server, "shop"), before);
    assert_eq!((like(&server, "restoring"), like(&server, "before")), (vec![], vec![]));
}

/// Kills a sidecar without warning as soon as `so`, while it imports; gives its folder.
pub(crate) async fn killed_when(
    sidecar: crate::sidecar::Sidecar,
    artifact: &[u8],
    so: impl Fn() -> bool,
) -> tempfile::TempDir {
    let request = crate::imports::request(artifact, None);
    let chunks = futures::stream::iter(vec![Ok(bytes::Bytes::copy_from_slice(artifact))]);
    let client = sidecar.client(crate::sidecar::TOKEN);
    let importing = tokio::spawn(async move {
        client.import(&request, chunks, tokio_util::sync::CancellationToken::new()).await
    });
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !so() {
        assert!(std::time::Instant::now() < until && !importing.is_finished(), "it was not seen");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    sidecar.signal("KILL");
    let (folder, _) = sidecar.ended().await;
    assert!(importing.await.unwrap().is_err());
    folder
}

async fn started_again(folder: tempfile::TempDir, server: &Server) -> crate::sidecar::Sidecar {
    let environment = [("DB_PASSWORD", PASSWORD), ("SIDECAR_RESTORE", "true")];
    crate::sidecar::Sidecar::start_in(folder, &strategy(server), &environment, &json!({})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_killed_while_it_replaces_a_database_undoes_that_first() {
    let Some(server) = daemon::mariadb() else { return };
    fill(&server, "", 60_000, GUARD);
    let sidecar = crate::imports::taking(&strategy(&server), &[("DB_PASSWORD", PASSWORD)]).await;
    let artifact = sidecar.export(None).await.unwrap();
    let before = content(&server, "shop");
    sql(&server, "shop", "DELETE FROM item WHERE id > 9; CREATE TABLE later(x int)");
    let old = content(&server, "shop");

    // What was there is gone already, and what comes is not there yet.
    let marked = "SELECT (SELECT count(*) FROM information_schema.tables WHERE table_name = \
                  'backup_orchestrator_exchange') > 0 AND (SELECT count(*) FROM \
                  information_schema.tables WHERE table_schema = 'shop' AND table_name = 'later') \
                  = 0";
    let so = || sql(&server, "mysql", marked).trim() == "1";
    let folder = killed_when(sidecar, &artifact, so).await;
    let there = "SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = 'shop'";
    assert_eq!(sql(&server, "mysql", there).trim(), "0", "it was whole already");
    assert_eq!((like(&server, "restoring").len(), like(&server, "before").len()), (1, 1));

    // The next import keeps what was there before the first, and no part of it.
    let sidecar = started_again(folder, &server).await;
    let report = crate::imports::import(&sidecar, &artifact).await.unwrap();
    assert_eq!(content(&server, "shop"), before);
    let kept = report.kept.unwrap();
    let kept = kept.strip_prefix("the database ").unwrap();
    assert_eq!(content(&server, kept), old);
    assert_eq!(like(&server, "before"), [kept]);
    assert_eq!(like(&server, "restoring"), [""; 0]);
    let enabled = "SELECT status FROM information_schema.events WHERE event_schema = 'shop'";
    assert_eq!(sql(&server, "mysql", enabled).trim(), "ENABLED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_all_old_or_all_new_whenever_a_sidecar_is_killed() {
    let Some(server) = daemon::mariadb() else { return };
    fill(&server, "", 3_000, WITHOUT_TRIGGERS);
    let mut sidecar =
        crate::imports::taking(&strategy(&server), &[("DB_PASSWORD", PASSWORD)]).await;
    let artifact = sidecar.export(None).await.unwrap();
    let before = content(&server, "shop");
    for wait in [0, 10, 25, 60] {
        sql(&server, "shop", "DELETE FROM line WHERE id > 9; DELETE FROM item WHERE id > 9");
        let so = || !like(&server, "before").is_empty();
        let folder = killed_when(sidecar, &artifact, || {
            let so = so();
            if so {
                std::thread::sleep(std::time::Duration::from_millis(wait));
            }
            so
        });
        let folder = folder.await;
        // A client that it has left may be at its only statement.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let counts = sql(&server, "shop", COUNTS);
        assert!(["9\t9", "3000\t3000"].contains(&counts.trim()), "after {wait} ms: {counts}");
        sidecar = started_again(folder, &server).await;
        crate::imports::import(&sidecar, &artifact).await.unwrap();
        assert_eq!(content(&server, "shop"), before);
        for left in like(&server, "before").iter().chain(&like(&server, "restoring")) {
            sql(&server, "mysql", &format!("DROP DATABASE `{left}`"));
        }
    }
}
