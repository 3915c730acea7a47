//! MariaDB read directly, from a real server into another one.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use engine::SourceDraft;
use model::{FailureCode, RunState};

use crate::{
    daemon::{PASSWORD, Server, Watcher, installed, mariadb, output},
    world::{World, quick, source},
};

/// `None` where MariaDB is not installed.
pub(crate) fn start() -> Option<Server> {
    installed("mariadb-dump")?;
    let server = mariadb()?;
    let escaped = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    let made = format!(
        "CREATE USER dumper@localhost IDENTIFIED BY '{escaped}'; GRANT SELECT, SHOW VIEW, \
         TRIGGER, EVENT, LOCK TABLES, PROCESS ON *.* TO dumper@localhost; \
         DROP DATABASE IF EXISTS test"
    );
    sql(&server, "mysql", &made);
    Some(server)
}

fn client(server: &Server, database: &str) -> Command {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--default-character-set=utf8mb4", "-uroot", "-N"]);
    client.args(["-h127.0.0.1", "-P", &server.port.to_string()]);
    client.arg(format!("--database={database}"));
    client
}

pub(crate) fn sql(server: &Server, database: &str, text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    fed(server, database, file.path())
}

fn fed(server: &Server, database: &str, file: &Path) -> String {
    output(client(server, database).stdin(Stdio::from(std::fs::File::open(file).unwrap())))
}

fn restore(server: &Server, database: &str, dump: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump).unwrap();
    fed(server, database, file.path());
}

pub(crate) fn fill(server: &Server, database: &str, rows: u32) {
    sql(
        server,
        "mysql",
        &format!(
            "CREATE DATABASE `{database}`; USE `{database}`;
             CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(60) CHARACTER SET utf8mb4,
               picture BLOB) ENGINE=InnoDB;
             INSERT INTO item SELECT seq, concat('ñ☂😀', md5(seq)), unhex(md5(seq))
               FROM seq_1_to_{rows};
             CREATE VIEW cheap AS SELECT count(*) FROM item WHERE id < 10;
             CREATE PROCEDURE clean() DELETE FROM item WHERE id < 0;
             CREATE TRIGGER guard BEFORE INSERT ON item FOR EACH ROW SET NEW.name = upper(NEW.name);
             CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM item WHERE id < 0;"
        ),
    );
}

/// All that a database holds, by its own words.
pub(crate) fn content(server: &Server, database: &str) -> String {
    let all = "SELECT id, name, hex(picture) FROM item ORDER BY id; SELECT * FROM cheap;
         SELECT routine_name FROM information_schema.routines WHERE routine_schema=database();
         SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema=database();
         SELECT event_name FROM information_schema.events WHERE event_schema=database();";
    let told = sql(server, database, all);
    assert!(told.contains("nightly") && told.contains("guard") && told.contains("clean"));
    told
}

fn shop(server: &Server, more: &[(&str, &str)]) -> SourceDraft {
    let port = server.port.to_string();
    let mut settings = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("user", "dumper")];
    settings.extend(more.iter().copied());
    source("db", "mysql", &settings, &[("password", PASSWORD)])
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_come_back_in_a_new_server() {
    let Some(server) = start() else { return };
    let Some(target) = start() else { return };
    let odd = ["--result-file=/tmp/x", "$(id)", "a;b", "all `of` it ñ☂"];
    let listed = [&["shop", "stock"][..], &odd].concat();
    for database in &listed {
        fill(&server, &database.replace('`', "``"), 300);
    }
    sql(
        &server,
        "mysql",
        "CREATE USER clerk@'%' IDENTIFIED BY 'x'; GRANT SELECT ON shop.* TO clerk@'%'",
    );

    let all = shop(&server, &[("database", "*"), ("users", "true")]);
    let world = World::reading(vec![all], quick("one")).await;
    let watcher = Watcher::start("ca'na", "mariadb-dump");
    let snapshot = world.good_snapshot().await;
    let (seen, dumps) = watcher.stop();
    assert_eq!(seen, Vec::<String>::new());
    assert!(dumps > 0, "no dump was seen at work");
    assert!(!snapshot.verified_by_source && snapshot.warnings.is_empty(), "{snapshot:?}");
    assert_eq!(snapshot.artifacts.len(), listed.len() + 1);
    for artifact in &snapshot.artifacts {
        let (name, part) = (artifact.source.as_str(), artifact.part.as_deref().unwrap());
        assert!(name.starts_with("db."), "{name}");
        let bytes = world.restored_part(&snapshot, name).await;
        if part == "users and grants" {
            assert_eq!(name, "db.server.users");
            restore(&target, "mysql", &bytes);
            let grants = sql(&target, "mysql", "SHOW GRANTS FOR clerk@'%'");
            assert!(grants.contains("GRANT SELECT ON `shop`.*"), "{grants}");
            continue;
        }
        assert!(listed.contains(&part), "{part}");
        sql(&target, "mysql", &format!("CREATE DATABASE `{}`", part.replace('`', "``")));
        restore(&target, part, &bytes);
        assert_eq!(content(&server, part), content(&target, part), "{part}");
    }
    assert!(!Path::new("/tmp/x").exists());
    let report = world.engine.doctor_app(&world.app).await;
    assert!(report.is_well(), "{report:?}");
    let told = format!("{report:?}{}", world.everything_told().await);
    assert!(
        told.contains("MariaDB") && told.contains("shop (") && !told.contains("ca'na"),
        "{told}"
    );

    // One of them, by the socket, is the whole source.
    let socket = server.folder.path().join("s").display().to_string();
    let settings = [("socket", socket.as_str()), ("user", "dumper"), ("database", "a;b")];
    let one = source("one", "mysql", &settings, &[("password", PASSWORD)]);
    let world = World::reading(vec![one], quick("one")).await;
    let snapshot = world.good_snapshot().await;
    assert_eq!((snapshot.artifacts.len(), &snapshot.artifacts[0].part), (1, &None));
    assert!(world.restored(&snapshot).await.ends_with(b"\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_cut_off_keeps_nothing() {
    let Some(mut server) = start() else { return };
    fill(&server, "shop", 200);
    sql(&server, "shop", "CREATE TABLE old (id INT) ENGINE=MyISAM");
    let world = World::reading(vec![shop(&server, &[("database", "shop")])], quick("one")).await;
    let kept = world.good_snapshot().await;
    assert!(kept.warnings.iter().any(|told| told.contains("MyISAM")), "{:?}", kept.warnings);
    let before = world.restored(&kept).await;

    let fails = async |draft: SourceDraft, code: FailureCode, word: &str| {
        let other = World::reading(vec![draft], quick("one")).await;
        let run = other.back_up().await;
        let failure = run.failure.unwrap();
        assert_eq!((run.state, failure.code), (RunState::Failed, code), "{failure:?}");
        assert!(failure.message.contains(word), "{failure:?}");
        assert_eq!(other.files("disk"), Vec::<std::path::PathBuf>::new());
        let report = other.engine.doctor_app(&other.app).await;
        assert!(!report.is_well(), "{report:?}");
        let told = format!("{report:?}{}", other.everything_told().await);
        assert!(!told.contains("ca'na"), "{told}");
    };
    let mut wrong = shop(&server, &[("database", "shop")]);
    wrong.secrets.insert("password".to_owned(), "ca'nary but wrong".into());
    fails(wrong, FailureCode::SourceUnauthorized, "Access denied").await;
    let nowhere = shop(&server, &[("database", "shop, nowhere")]);
    fails(nowhere, FailureCode::SourceConfig, "nowhere").await;
    let verified = shop(&server, &[("database", "shop"), ("tls", "verified")]);
    fails(verified, FailureCode::SourceConfig, "TLS").await;
    let settings = [("host", "127.0.0.1"), ("port", "1"), ("database", "*")];
    fails(source("db", "mysql", &settings, &[]), FailureCode::SourceUnreachable, "2002").await;

    // A name that could end a comment of the dump is met by `*` only.
    sql(&server, "mysql", "CREATE DATABASE `new\nline`");
    let run = World::reading(vec![shop(&server, &[("database", "*")])], quick("one")).await;
    let failure = run.back_up().await.failure.unwrap();
    assert!(failure.message.contains("control characters"), "{failure:?}");
    sql(&server, "mysql", "DROP DATABASE `new\nline`");

    // A dump too large for the app.
    world.change_app(|app| app.limits.max_size_bytes = Some(5_000)).await;
    let failure = world.back_up().await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::SourceTooLarge);
    world.change_app(|app| app.limits.max_size_bytes = None).await;

    // The server dies while its dump is under way: somebody's lock holds the dump at a late table.
    sql(&server, "shop", "CREATE TABLE zz_late (id INT) ENGINE=InnoDB");
    let lock = "LOCK TABLES zz_late WRITE; SELECT sleep(100)";
    let mut locking = client(&server, "shop").args(["-e", lock]).spawn().unwrap();
    let is_locked = || sql(&server, "mysql", "SHOW PROCESSLIST").contains("sleep(100)");
    while !is_locked() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let run = world.engine.run_now(&world.app, &engine::RunRequest::default()).await.unwrap();
    for n in 0.. {
        let log = world.engine.catalog().log_after(run.id, 0, 1_000).await.unwrap();
        if log.iter().any(|line| line.message.contains("writing")) {
            break;
        }
        assert!(n < 2_000, "{log:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.kill();
    let _ = locking.wait();
    let run = world.ended(&run).await;
    let failure = run.failure.unwrap();
    assert_eq!(run.state, RunState::Failed, "{failure:?}");
    assert_eq!(failure.code, FailureCode::SourceUnreachable, "{failure:?}");
    assert_eq!(world.restored(&kept).await, before);
}

#[tokio::test]
async fn settings_are_looked_at() {
    let world = World::new(&["disk"]).await;
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("database", "shop")], "name a host, a socket or a container"),
        (&[("database", "shop"), ("host", "a"), ("socket", "/s")], "not both"),
        (&[("database", "shop"), ("socket", "s")], "begin it with `/`"),
        (&[("database", "*, shop"), ("host", "a")], "name no others"),
        (&[("host", "a")], "needs it"),
        (&[("host", "a\nb"), ("database", "shop")], "control characters"),
    ];
    for (settings, word) in cases {
        let draft = engine::AppDraft {
            name: "direct".to_owned(),
            sources: vec![source("db", "mysql", settings, &[])],
            ..engine::AppDraft::default()
        };
        let error = world.engine.register_app(draft).await.unwrap_err();
        assert!(format!("{error:?}").contains(word), "{error:?}");
    }
}
