//! Redis by its preset.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    daemon::{PASSWORD, Server, installed, output},
    presets::{dump, url},
};

/// Starts one on this snapshot. `None` where Redis is not installed.
fn start(snapshot: Option<&[u8]>) -> Option<Server> {
    let program = installed("redis-server")?;
    Some(Server::start(|folder: &Path, port| {
        if let Some(snapshot) = snapshot {
            std::fs::write(folder.join("dump.rdb"), snapshot).unwrap();
        }
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"]);
        command.args(["--port", &port.to_string(), "--dir"]).arg(folder);
        command
    }))
}

fn redis(server: &Server, arguments: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    output(cli.args(["-p", &server.port.to_string()]).args(arguments))
}

#[tokio::test]
async fn redis_comes_back_key_by_key() {
    let Some(server) = start(None) else { return };
    redis(&server, &["DEBUG", "POPULATE", "5000", "key", "200"]);
    redis(&server, &["ZADD", "scores", "1.5", "ñ", "2", "b"]);
    redis(&server, &["SET", "fleeting", "x", "EX", "100000"]);
    let allowed = format!(">{PASSWORD}");
    redis(&server, &["ACL", "SETUSER", "dumper", "on", &allowed, "+@all", "~*"]);
    redis(&server, &["CONFIG", "SET", "requirepass", "default's own"]);
    let by_url = url(&format!("redis://dumper@127.0.0.1:{}", server.port));
    let environment =
        [("DB_PASSWORD", PASSWORD), ("REDIS_URL", by_url.as_str()), ("OTHER", "default's own")];
    let place = json!({ "preset": "redis", "host": "127.0.0.1", "port": server.port });
    let with = |more: serde_json::Value| {
        let mut config = place.clone();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let ways = [
        with(json!({ "user": "dumper", "password_env": "DB_PASSWORD" })),
        with(json!({ "password_env": "OTHER" })),
        json!({ "preset": "redis", "url": "${REDIS_URL}" }),
    ];
    let digest = |server: &Server, login: &[&str]| {
        redis(server, &[login, &["DEBUG", "DIGEST"]].concat()).trim().to_owned()
    };
    let login = ["--no-auth-warning", "-a", "default's own"];
    for diskless in ["yes", "no"] {
        let set = ["CONFIG", "SET", "repl-diskless-sync", diskless];
        redis(&server, &[&login[..], &set].concat());
        for way in &ways {
            let dump = dump("redis-cli", way, &environment).await.unwrap();
            assert_eq!((dump.filename.as_str(), dump.format.as_str()), ("redis.rdb", "redis_rdb"));
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &dump.bytes).unwrap();
            output(Command::new("redis-check-rdb").arg(file.path()));
            // The last byte but eight ends a snapshot; nothing stands behind its checksum.
            assert_eq!(dump.bytes[dump.bytes.len() - 9], 0xff);
            let restored = start(Some(&dump.bytes)).unwrap();
            assert_eq!(digest(&restored, &[]), digest(&server, &login));
            assert_eq!(redis(&restored, &["DBSIZE"]).trim(), "5002");
        }
    }
    for wrong in [place.clone(), with(json!({ "password_env": "DB_PASSWORD" }))] {
        assert!(dump("redis-cli", &wrong, &environment).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_places_with_those_that_are_there() {
    let Some(server) = start(None) else { return };
    redis(&server, &["DEBUG", "POPULATE", "200000", "key", "200"]);
    redis(&server, &["ZADD", "scores", "1.5", "ñ \"☂", "2", "b"]);
    redis(&server, &["SET", "fleeting", "x", "EX", "100000"]);
    redis(&server, &["-n", "3", "HSET", "other", "field", "☂"]);
    let allowed = format!(">{PASSWORD}");
    redis(&server, &["ACL", "SETUSER", "dumper", "on", &allowed, "+@all", "~*"]);
    let environment = [("DB_PASSWORD", PASSWORD)];
    let strategy = json!({ "type": "database_dump", "config": {
        "preset": "redis", "host": "127.0.0.1", "port": server.port, "user": "dumper",
        "password_env": "DB_PASSWORD" } });
    let sidecar = crate::imports::taking(&strategy, &environment).await;
    let artifact = sidecar.export(None).await.unwrap();
    let digest = || redis(&server, &["DEBUG", "DIGEST"]).trim().to_owned();
    let before = digest();
    redis(&server, &["FLUSHALL"]);
    redis(&server, &["SET", "written", "since"]);
    redis(&server, &["-n", "5", "SET", "elsewhere", "too"]);
    let old = digest();

    // A snapshot that is none, a server that is full, one who may not: nothing is changed.
    let mut damaged = artifact.clone();
    // Of a version that no server knows.
    damaged[5..9].copy_from_slice(b"9999");
    let wrong = crate::imports::import(&sidecar, &damaged).await.unwrap_err().to_string();
    assert!(wrong.contains("could not load the snapshot"), "{wrong}");
    assert!(wrong.contains("nothing that was there was changed"), "{wrong}");
    redis(&server, &["CONFIG", "SET", "maxmemory", "1mb"]);
    let full = crate::imports::import(&sidecar, &artifact).await.unwrap_err().to_string();
    assert!(full.contains("OOM") && full.contains("nothing that was there"), "{full}");
    redis(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    redis(&server, &["ACL", "SETUSER", "dumper", "-swapdb"]);
    let poor = crate::imports::import(&sidecar, &artifact).await.unwrap_err().to_string();
    assert!(poor.contains("NOPERM") && poor.contains("nothing that was there"), "{poor}");
    assert!(!poor.contains(PASSWORD));
    redis(&server, &["ACL", "SETUSER", "dumper", "+swapdb"]);
    assert_eq!(digest(), old);

    let report = crate::imports::import(&sidecar, &artifact).await.unwrap();
    let kept = report.kept.unwrap();
    assert_eq!(kept, "database 15 (what was in 0), database 13 (what was in 5)");
    assert_eq!(redis(&server, &["-n", "15", "GET", "written"]).trim(), "since");
    assert_eq!(redis(&server, &["-n", "13", "GET", "elsewhere"]).trim(), "too");
    for database in ["15", "13"] {
        redis(&server, &["-n", database, "FLUSHDB"]);
    }
    assert_eq!(digest(), before);
    assert!(redis(&server, &["TTL", "fleeting"]).trim().parse::<u32>().unwrap() > 90_000);

    // Killed while it sends: what was there stays, and the next one clears away.
    redis(&server, &["SET", "written", "since"]);
    let old = digest();
    let so = || {
        let spare: u32 = redis(&server, &["-n", "15", "DBSIZE"]).trim().parse().unwrap();
        spare > 0
    };
    let folder = crate::mariadb::killed_when(sidecar, &artifact, so).await;
    // With it went the server that was sending.
    let count = || redis(&server, &["-n", "15", "DBSIZE"]);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let sent = count();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(count(), sent, "it still sends");
    for database in ["15", "14"] {
        let left = redis(&server, &["-n", database, "EXISTS", "backup-orchestrator:before"]);
        assert_eq!(left.trim(), "0", "it had ended already");
    }
    assert_eq!(redis(&server, &["GET", "written"]).trim(), "since");
    let on = [("DB_PASSWORD", PASSWORD), ("SIDECAR_RESTORE", "true")];
    let sidecar = crate::sidecar::Sidecar::start_in(folder, &strategy, &on, &json!({})).await;
    crate::imports::import(&sidecar, &artifact).await.unwrap();
    let kept = redis(&server, &["INFO", "keyspace"]);
    assert_eq!(kept.lines().filter(|line| line.starts_with("db")).count(), 4, "{kept}");
    for database in ["15", "14"] {
        redis(&server, &["-n", database, "FLUSHDB"]);
    }
    assert_eq!(digest(), before);
    assert_ne!(digest(), old);
}
