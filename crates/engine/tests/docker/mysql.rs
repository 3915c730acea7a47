//! MariaDB inside a container, dumped and brought back there by its own programs.

use std::{sync::Arc, time::Duration};

use engine::RestoreRequest;
use model::{RestoreReport, Run, RunState, Snapshot};

use crate::{
    host::{Host, Made},
    images::Image,
    world::{World, quick, source},
};

pub(crate) const SOCKET: &str = "/run/mysqld/mysqld.sock";
const SERVE: &str = "set -e; mkdir -p /data /run/mysqld; chown mysql: /data /run/mysqld; \
                     mariadb-install-db --no-defaults --user=mysql --datadir=/data \
                     --auth-root-authentication-method=normal --skip-test-db > /dev/null; \
                     exec mariadbd --no-defaults --user=mysql --datadir=/data --skip-networking \
                     --socket=/run/mysqld/mysqld.sock";
/// A view, a trigger and a routine beside the rows.
pub(crate) const FILL: &str = "CREATE DATABASE shop; USE shop; \
                    CREATE TABLE item (id INT PRIMARY KEY, what VARCHAR(40)); \
                    INSERT INTO item SELECT seq, md5(seq) FROM seq_1_to_20000; \
                    CREATE VIEW cheap AS SELECT id FROM item WHERE id < 100; \
                    CREATE TRIGGER lower BEFORE INSERT ON item FOR EACH ROW \
                    SET NEW.what = lower(NEW.what); \
                    CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n";
const SUM: &str = "SELECT count(*), sum(crc32(concat(id, what))), (SELECT count(*) FROM cheap), \
                   twice(4), (SELECT count(*) FROM information_schema.triggers \
                   WHERE trigger_schema = database()) FROM item";

pub(crate) fn sql(host: &Host, server: &Made<'_>, database: &str, text: &str) -> String {
    let socket = format!("--socket={SOCKET}");
    let client = ["exec", &server.name, "mariadb", "-uroot", &socket, "-BN", "-e", text, database];
    host.docker(&client)
}

pub(crate) fn serve(host: &Host) -> Made<'_> {
    let made = host.container("maria", &[], Image::Mariadb, &["bash", "-c", SERVE]);
    let socket = format!("--socket={SOCKET}");
    let ask = ["exec", &made.name, "mariadb", "-uroot", &socket, "-e", "SELECT 1"];
    for _ in 0..300 {
        if host.try_docker(&ask).status.success() {
            return made;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{}", host.docker(&["logs", &made.name]));
}

async fn restored(world: &World, snapshot: &Snapshot, request: &RestoreRequest) -> Run {
    let run = world.engine.restore_now(snapshot.id, request).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    run
}

pub(crate) async fn a_database_comes_back_inside_its_container(host: Arc<Host>) {
    let server = serve(&host);
    sql(&host, &server, "mysql", FILL);
    let wanted = sql(&host, &server, "shop", SUM);
    let mut config = quick("one");
    config.docker_host = Some(host.url().to_owned());
    let settings =
        [("container", &*server.name), ("socket", SOCKET), ("user", "root"), ("database", "shop")];
    let world = World::reading(vec![source("db", "mysql", &settings, &[])], config).await;
    let snapshot = world.good_snapshot().await;

    let beside = RestoreRequest {
        to: "beside".to_owned(),
        name: Some("copy".to_owned()),
        ..RestoreRequest::default()
    };
    restored(&world, &snapshot, &beside).await;
    assert_eq!(sql(&host, &server, "copy", SUM), wanted);

    sql(&host, &server, "shop", "DELETE FROM item WHERE id > 10; DROP VIEW cheap");
    let into = RestoreRequest {
        to: "app".to_owned(),
        confirm: Some("direct".to_owned()),
        ..RestoreRequest::default()
    };
    let seen = world.engine.preflight(snapshot.id, &into).await.unwrap();
    assert!(seen.may_begin(), "{seen:?}");
    let run = restored(&world, &snapshot, &into).await;
    assert_eq!(sql(&host, &server, "shop", SUM), wanted);
    let told: RestoreReport = world.engine.restore_report(run.id).await.unwrap().unwrap();
    let kept = told.steps[0].kept.clone().unwrap();
    assert_eq!(sql(&host, &server, &kept, "SELECT count(*) FROM item"), "10");
    let all = "SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 'shop%'";
    assert_eq!(sql(&host, &server, "mysql", all), "2", "nothing else is left");
    let spool = world.folder.path().join("spool");
    let left: Vec<_> = std::fs::read_dir(spool).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
