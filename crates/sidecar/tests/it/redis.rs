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
