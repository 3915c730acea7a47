//! Redis read directly, from a real server into another one.

use std::{path::Path, process::Command, time::Duration};

use engine::{EngineConfig, SourceDraft};
use model::{FailureCode, RunState};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    daemon::{PASSWORD, Server, Watcher, installed, output},
    world::{World, quick, source},
};

/// Starts one on this snapshot. `None` where Redis is not installed.
pub(crate) fn start(snapshot: Option<&[u8]>) -> Option<Server> {
    start_with(snapshot, &[])
}

pub(crate) fn start_with(snapshot: Option<&[u8]>, options: &[&str]) -> Option<Server> {
    let program = installed("redis-server")?;
    Some(Server::start(|folder: &Path, port| {
        if let Some(snapshot) = snapshot {
            std::fs::write(folder.join("dump.rdb"), snapshot).unwrap();
        }
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"]);
        command.args(["--repl-diskless-sync-delay", "0", "--unixsocket"]).arg(folder.join("s"));
        command.args(["--port", &port.to_string(), "--dir"]).arg(folder);
        command.args(options);
        command
    }))
}

pub(crate) fn redis(server: &Server, arguments: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    output(cli.args(["-e", "-p", &server.port.to_string()]).args(arguments))
}

pub(crate) fn fill(server: &Server) {
    redis(server, &["DEBUG", "POPULATE", "5000", "key", "400"]);
    redis(server, &["ZADD", "scores", "1.5", "ñ", "2", "b"]);
    redis(server, &["SET", "fleeting", "x", "EX", "100000"]);
    redis(server, &["-n", "3", "HSET", "other", "field", "☂"]);
    redis(server, &["XADD", "stream", "1-1", "a", "b"]);
    redis(server, &["EVAL", "for i=1,500 do redis.call('SET','r'..i,tostring(i*7919)) end", "0"]);
    let code = "#!lua name=ours\nredis.register_function('one', function() return 1 end)";
    redis(server, &["FUNCTION", "LOAD", code]);
}

pub(crate) fn digest(server: &Server) -> String {
    let info = redis(server, &["INFO", "keyspace"]);
    let counts: Vec<_> = info.lines().filter_map(|line| line.split(',').next()).collect();
    format!(
        "{}{counts:?}{}",
        redis(server, &["DEBUG", "DIGEST"]),
        redis(server, &["FUNCTION", "LIST"])
    )
}

pub(crate) fn at(port: u16, more: &[(&str, &str)], password: Option<&str>) -> SourceDraft {
    let port = port.to_string();
    let mut settings = vec![("host", "127.0.0.1"), ("port", port.as_str())];
    settings.extend(more.iter().copied());
    let secrets: Vec<_> = password.iter().map(|password| ("password", *password)).collect();
    source("cache", "redis", &settings, &secrets)
}

/// Servers that prepare a snapshot give a sign of life each second.
pub(crate) fn patient() -> EngineConfig {
    EngineConfig { idle_timeout: Duration::from_secs(5), ..quick("one") }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_comes_back_in_a_new_server() {
    for (diskless, checksum) in [("yes", "yes"), ("no", "yes"), ("yes", "no")] {
        let options = ["--repl-diskless-sync", diskless, "--rdbchecksum", checksum];
        let Some(server) = start_with(None, &options) else { return };
        fill(&server);
        let before = digest(&server);
        assert!(before.contains("db3") && before.contains("ours"), "{before}");
        let socket = server.folder.path().join("s").display().to_string();
        let by_socket = source("cache", "redis", &[("socket", &socket)], &[]);
        for way in [at(server.port, &[], None), by_socket] {
            let world = World::reading(vec![way], patient()).await;
            let snapshot = world.good_snapshot().await;
            let bytes = world.restored(&snapshot).await;
            assert_eq!(bytes.ends_with(&[0; 8]), checksum == "no");
            let restored = start(Some(&bytes)).unwrap();
            assert_eq!(digest(&restored), before, "diskless {diskless}");
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            output(Command::new("redis-check-rdb").arg(file.path()));
            let report = world.engine.doctor_app(&world.app).await;
            assert!(report.is_well(), "{report:?}");
            assert!(format!("{report:?}").contains("the user may ask"), "{report:?}");
        }
        assert_eq!(digest(&server), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_needed_and_not_told() {
    let Some(server) = start(None) else { return };
    fill(&server);
    let before = digest(&server);
    let allowed = format!(">{PASSWORD}");
    let rights = ["+sync", "+replconf", "+ping", "+info"];
    let who = ["ACL", "SETUSER", "dumper", "on", &allowed];
    redis(&server, &[&who[..], &rights].concat());
    redis(&server, &["ACL", "SETUSER", "poor", "on", &allowed, "+ping"]);
    redis(&server, &["CONFIG", "SET", "requirepass", PASSWORD]);
    let login = [
        at(server.port, &[("user", "dumper")], Some(PASSWORD)),
        at(server.port, &[], Some(PASSWORD)),
    ];
    for draft in login {
        let world = World::reading(vec![draft], patient()).await;
        let watcher = Watcher::start("ca'na", "redis-server");
        let snapshot = world.good_snapshot().await;
        assert_eq!(watcher.stop().0, Vec::<String>::new());
        let restored = start(Some(&world.restored(&snapshot).await)).unwrap();
        assert_eq!(digest(&restored), before);
        let report = world.engine.doctor_app(&world.app).await;
        assert!(report.is_well(), "{report:?}");
        assert!(!format!("{report:?}{}", world.everything_told().await).contains("ca'na"));
    }
    let wrong = [
        (at(server.port, &[], None), FailureCode::SourceUnauthorized, "NOAUTH"),
        (at(server.port, &[], Some("ca'nary")), FailureCode::SourceUnauthorized, "WRONGPASS"),
        (
            at(server.port, &[("user", "nobody")], Some(PASSWORD)),
            FailureCode::SourceUnauthorized,
            "WRONGPASS",
        ),
        (at(server.port, &[("user", "poor")], Some(PASSWORD)), FailureCode::SourceConfig, "NOPERM"),
        (at(1, &[], None), FailureCode::SourceUnreachable, "cannot be reached"),
    ];
    for (draft, code, word) in wrong {
        let world = World::reading(vec![draft], patient()).await;
        let run = world.back_up().await;
        let failure = run.failure.unwrap();
        assert_eq!((run.state, failure.code), (RunState::Failed, code), "{failure:?}");
        assert!(failure.message.contains(word), "{failure:?}");
        assert_eq!(world.files("disk"), Vec::<std::path::PathBuf>::new());
        let report = world.engine.doctor_app(&world.app).await;
        assert!(!report.is_well(), "{report:?}");
        assert!(!format!("{report:?}{}", world.everything_told().await).contains("ca'na"));
    }
}

/// What happens to the server's bytes on their way.
#[derive(Clone, Copy)]
enum Trouble {
    Flip(usize),
    Cut(usize),
    Stall(usize),
}

/// Stands between us and the server on `port`.
async fn troubled(port: u16, trouble: Trouble) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let (mut passed, mut chunk) = (0, vec![0; 4_096]);
                while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
                    match trouble {
                        Trouble::Flip(at) if (passed..passed + count).contains(&at) => {
                            chunk[at - passed] ^= 1;
                        }
                        Trouble::Cut(at) if passed > at => return,
                        Trouble::Stall(at) if passed > at => std::future::pending().await,
                        _ => {}
                    }
                    passed += count;
                    if to_client.write_all(&chunk[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_or_stops_on_its_way_is_not_kept() {
    let Some(mut server) = start(None) else { return };
    fill(&server);
    let mut config = patient();
    config.idle_timeout = Duration::from_millis(1_500);
    let world = World::reading(vec![at(server.port, &[], None)], config.clone()).await;
    let kept = world.good_snapshot().await;
    let before = world.restored(&kept).await;
    assert!(before.len() > 20_000);
    for diskless in ["yes", "no"] {
        redis(&server, &["CONFIG", "SET", "repl-diskless-sync", diskless]);
        let cases = [
            (Trouble::Flip(10_000), FailureCode::SourceMismatch),
            (Trouble::Cut(12_000), FailureCode::SourceUnreachable),
            (Trouble::Stall(12_000), FailureCode::Timeout),
        ];
        for (trouble, code) in cases {
            let port = troubled(server.port, trouble).await;
            let other = World::reading(vec![at(port, &[], None)], config.clone()).await;
            let run = other.back_up().await;
            let failure = run.failure.unwrap();
            assert_eq!((run.state, failure.code), (RunState::Failed, code), "{failure:?}");
            assert_eq!(other.files("disk"), Vec::<std::path::PathBuf>::new());
        }
    }
    world.change_app(|app| app.limits.max_size_bytes = Some(5_000)).await;
    assert_eq!(world.back_up().await.failure.unwrap().code, FailureCode::SourceTooLarge);
    world.change_app(|app| app.limits.max_size_bytes = None).await;

    // The server dies in the middle: it takes its time for each key.
    redis(&server, &["CONFIG", "SET", "repl-diskless-sync", "yes"]);
    redis(&server, &["CONFIG", "SET", "rdb-key-save-delay", "2000"]);
    let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    for n in 0.. {
        let log = world.engine.catalog().log_after(run.id, 0, 1_000).await.unwrap();
        if log.iter().any(|line| line.message.contains("writing")) {
            break;
        }
        assert!(n < 1_000, "{log:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.kill();
    let run = world.ended(&run).await;
    let failure = run.failure.unwrap();
    let expected = (RunState::Failed, FailureCode::SourceUnreachable);
    assert_eq!((run.state, failure.code), expected, "{failure:?}");
    assert_eq!(world.restored(&kept).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_who_answers_is_found_out() {
    for answer in
        ["HTTP/1.1 200 OK\r\n\r\n<html>secret of another", "+OK\r\n$5\r\nhello", "$EOF:x\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.write_all(answer.as_bytes()).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        let world = World::reading(vec![at(port, &[], None)], quick("one")).await;
        let run = world.back_up().await;
        assert_eq!(run.state, RunState::Failed);
        assert!(!world.everything_told().await.contains("secret of another"));
        assert_eq!(world.files("disk"), Vec::<std::path::PathBuf>::new());
    }
}
