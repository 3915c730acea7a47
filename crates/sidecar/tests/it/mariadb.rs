//! MariaDB by its preset.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    daemon::{PASSWORD, Server, installed, output},
    presets::{dump, url},
};

/// `None` where MariaDB is not installed.
fn start() -> Option<Server> {
    let (server, install) = (installed("mariadbd")?, installed("mariadb-install-db")?);
    let is_root =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    Some(Server::start(|folder, port| {
        let data = format!("--datadir={}/data", folder.display());
        let mut made = Command::new(install);
        made.args(["--no-defaults", &data, "--auth-root-authentication-method=normal"]);
        let mut command = Command::new(server);
        command.args(["--no-defaults", &data, "--bind-address=127.0.0.1"]);
        command.arg(format!("--port={port}")).arg(format!("--socket={}/s", folder.display()));
        command.arg("--innodb-flush-log-at-trx-commit=0");
        if is_root {
            made.arg("--user=mysql");
            command.arg("--user=mysql");
        }
        output(&mut made);
        command
    }))
}

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
    output(client(server, database).arg("-e").arg(text))
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

#[tokio::test]
async fn mariadb_comes_back_with_all_that_belongs_to_it() {
    let Some(server) = start() else { return };
    sql(
        &server,
        "mysql",
        "CREATE DATABASE shop; CREATE DATABASE restored; USE shop; \
         CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40) CHARACTER SET utf8mb4, \
           picture BLOB) ENGINE=InnoDB; \
         INSERT INTO item SELECT seq, concat('ñ☂😀', md5(seq)), unhex(md5(seq)) FROM seq_1_to_2000; \
         CREATE VIEW cheap AS SELECT count(*) FROM item WHERE id < 10; \
         CREATE PROCEDURE clean() DELETE FROM item WHERE id < 0; \
         CREATE TRIGGER guard BEFORE INSERT ON item FOR EACH ROW SET NEW.name = upper(NEW.name); \
         CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM item WHERE id < 0;",
    );
    let escaped = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    sql(
        &server,
        "mysql",
        &format!(
            "CREATE USER dumper@localhost IDENTIFIED BY '{escaped}'; GRANT ALL ON *.* TO dumper@localhost"
        ),
    );
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
    let Some(server) = start() else { return };
    sql(
        &server,
        "mysql",
        "CREATE DATABASE shop CHARACTER SET latin1; USE shop; \
         CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40) CHARACTER SET utf8mb4, \
           picture BLOB) ENGINE=InnoDB; \
         INSERT INTO item SELECT seq, concat('ñ☂😀', md5(seq)), unhex(md5(seq)) FROM seq_1_to_2000; \
         CREATE VIEW cheap AS SELECT count(*) FROM item WHERE id < 10; \
         CREATE PROCEDURE clean() DELETE FROM item WHERE id < 0; \
         CREATE TRIGGER guard BEFORE INSERT ON item FOR EACH ROW SET NEW.name = upper(NEW.name); \
         CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM item WHERE id < 0;",
    );
    let escaped = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    sql(
        &server,
        "mysql",
        &format!(
            "CREATE USER dumper@localhost IDENTIFIED BY '{escaped}'; GRANT ALL ON *.* TO dumper@localhost"
        ),
    );
    let strategy = json!({
        "type": "database_dump",
        "config": {
            "preset": "mariadb", "host": "127.0.0.1", "port": server.port, "user": "dumper",
            "password_env": "DB_PASSWORD", "database": "shop",
        },
    });
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
