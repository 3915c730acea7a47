//! Restores into a real Redis: every key or none.

use model::{Condition, FailureCode, RunState, StepState};

use crate::{
    daemon::{PASSWORD, Server, Watcher},
    drill_postgres::nothing_is_left,
    restore_mysql::cut_off,
    restore_postgres::{beside, into_app, report, restored},
    source_redis::{at, digest, fill, patient, redis, start, start_with},
    world::World,
};

/// With one of everything that a server keeps.
fn fill_all(server: &Server) {
    fill(server);
    let script = "for i = 1, 3000 do \
                    redis.call('RPUSH', 'long list', 'part ' .. i) \
                    redis.call('SADD', 'large set', 'member ' .. i) \
                    redis.call('SADD', 'set of numbers', i * 3) \
                    redis.call('HSET', 'large hash', 'field ' .. i, i) \
                    redis.call('ZADD', 'large scores', i / 7, 'member ' .. i) \
                    redis.call('XADD', 'events', i .. '-1', 'n', i) \
                    redis.call('PFADD', 'visitors', i) \
                  end \
                  local large = {} \
                  for i = 1, 2000000 do large[i] = string.char(math.random(0, 255)) end \
                  redis.call('SET', 'large', table.concat(large))";
    redis(server, &["EVAL", script, "0"]);
    redis(server, &["XGROUP", "CREATE", "events", "readers", "0"]);
    redis(
        server,
        &["XREADGROUP", "GROUP", "readers", "one", "COUNT", "7", "STREAMS", "events", ">"],
    );
    redis(server, &["XDEL", "events", "3-1"]);
    redis(server, &["SETBIT", "bits", "70000", "1"]);
    redis(server, &["EVAL", "redis.call('SET', 'nul \\0 \\r\\n', '\\0')", "0"]);
    redis(server, &["-n", "15", "SET", "last", "x", "PXAT", "4000000000123"]);
}

fn without_undo() -> engine::RestoreRequest {
    engine::RestoreRequest { without_undo: true, ..into_app("direct") }
}

fn wipe(server: &Server) {
    redis(server, &["FLUSHALL"]);
    redis(server, &["FUNCTION", "FLUSH"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_comes_back_into_its_server() {
    let Some(server) = start(None) else { return };
    fill_all(&server);
    let (before, ends) = (digest(&server), redis(&server, &["PEXPIRETIME", "fleeting"]));
    let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
    let snapshot = world.good_snapshot().await;
    wipe(&server);
    redis(&server, &["SET", "scores", "of another kind"]);
    redis(&server, &["-n", "9", "SET", "newer", "x"]);
    let newer = digest(&server);

    let seen = world.engine.preflight(snapshot.id, &into_app("")).await.unwrap();
    assert!(seen.may_begin(), "{seen:?}");
    assert_eq!(seen.confirm.as_deref(), Some("direct"));
    assert!(seen.items[0].replaces.as_deref().unwrap().starts_with("2 keys at "), "{seen:?}");
    let refused = world.engine.restore_now(snapshot.id, &into_app("")).await.unwrap_err();
    assert!(refused.to_string().contains("2 keys"), "{refused}");
    assert_eq!(digest(&server), newer);

    let run = restored(&world, &snapshot, &into_app("direct")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(digest(&server), before);
    assert_eq!(redis(&server, &["PEXPIRETIME", "fleeting"]), ends, "not a millisecond off");
    assert_eq!(redis(&server, &["-n", "15", "PEXPIRETIME", "last"]).trim(), "4000000000123");
    let pending = redis(&server, &["XPENDING", "events", "readers"]);
    assert!(pending.starts_with('7'), "{pending}");
    let told = report(&world, &run).await;
    assert_eq!((told.condition, told.steps[0].notes.len()), (Condition::Restored, 0), "{told:?}");
    nothing_is_left(&world);

    // And back to what was there, from the snapshot that was taken first.
    let undo = world.engine.catalog().snapshot(told.undo_snapshot.unwrap()).await.unwrap();
    let run = restored(&world, &undo, &without_undo()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(digest(&server), newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_server_is_filled_unasked_and_beside_is_refused() {
    let Some(server) = start(None) else { return };
    fill(&server);
    let before = digest(&server);
    let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
    let snapshot = world.good_snapshot().await;
    let refused = world.engine.restore_now(snapshot.id, &beside("copy")).await.unwrap_err();
    assert!(refused.to_string().contains("no place beside"), "{refused}");
    wipe(&server);
    let run = restored(&world, &snapshot, &into_app("")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(digest(&server), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_few_rights_is_enough_and_a_wrong_one_changes_nothing() {
    let Some(server) = start(None) else { return };
    fill(&server);
    let before = digest(&server);
    let allowed = format!(">{PASSWORD}");
    let rights = "~* +sync +replconf +ping +info +select +multi +discard +restore +flushall \
                  +function|restore";
    let who = ["ACL", "SETUSER", "restorer", "on", &allowed];
    redis(&server, &[&who[..], &rights.split(' ').collect::<Vec<_>>()].concat());
    let login = |user: &str, password: &str| at(server.port, &[("user", user)], Some(password));
    let world = World::reading(vec![login("restorer", PASSWORD)], patient()).await;
    let snapshot = world.good_snapshot().await;
    redis(&server, &["SET", "newer", "x"]);
    let watcher = Watcher::start("ca'na", "redis-server");
    let run = restored(&world, &snapshot, &into_app("direct")).await;
    assert_eq!(watcher.stop().0, Vec::<String>::new());
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    assert_eq!(digest(&server), before);

    redis(&server, &["SET", "newer", "x"]);
    let newer = digest(&server);
    for right in ["-restore", "-flushall", "-function|restore", "-multi"] {
        redis(&server, &["ACL", "SETUSER", "restorer", right]);
        let run = restored(&world, &snapshot, &without_undo()).await;
        let failure = run.failure.unwrap();
        assert_eq!(failure.code, FailureCode::RestoreRefused, "{right}: {failure:?}");
        assert!(failure.message.contains("ACL SETUSER name +select +multi"), "{failure:?}");
        assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
        assert_eq!(digest(&server), newer, "{right}");
        redis(&server, &["ACL", "SETUSER", "restorer", &right.replace('-', "+")]);
    }
    redis(&server, &["ACL", "SETUSER", "restorer", "resetpass", ">another"]);
    let refused = world.engine.restore_now(snapshot.id, &into_app("direct")).await.unwrap_err();
    assert!(refused.to_string().contains("WRONGPASS"), "{refused}");
    assert_eq!(digest(&server), newer);
    assert!(!world.everything_told().await.contains("ca'na"));
    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_load_or_fit_leaves_the_server_as_it_was() {
    let Some(server) = start(None) else { return };
    fill(&server);
    let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
    let snapshot = world.good_snapshot().await;
    wipe(&server);
    redis(&server, &["SET", "newer", "x"]);
    let newer = digest(&server);

    redis(&server, &["CONFIG", "SET", "maxmemory", "2mb"]);
    let run = restored(&world, &snapshot, &without_undo()).await;
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("maxmemory"), "{failure:?}");
    assert_eq!(digest(&server), newer);
    redis(&server, &["CONFIG", "SET", "maxmemory", "0"]);

    redis(&server, &["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
    let Some(large) = start(None) else { return };
    fill_all(&large);
    let other = World::reading(vec![at(large.port, &[], None)], patient()).await;
    let too_large = other.good_snapshot().await;
    other
        .change_app(|app| {
            let model::SourceKind::Direct(direct) = &mut app.sources[0].kind else { panic!() };
            direct.settings.insert("port".to_owned(), server.port.to_string());
        })
        .await;
    let run = restored(&other, &too_large, &without_undo()).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(digest(&server), newer, "{:?}", run.failure);

    let Some(small) = start_with(None, &["--databases", "2"]) else { return };
    world
        .change_app(|app| {
            let model::SourceKind::Direct(direct) = &mut app.sources[0].kind else { panic!() };
            direct.settings.insert("port".to_owned(), small.port.to_string());
        })
        .await;
    let run = restored(&world, &snapshot, &without_undo()).await;
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("has no database 3"), "{failure:?}");
    assert_eq!(redis(&small, &["DBSIZE"]).trim(), "0");

    world.damage(&snapshot);
    let run = restored(&world, &snapshot, &without_undo()).await;
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::Damaged, "{failure:?}");
    assert!(failure.message.ends_with("nothing that was there was changed"), "{failure:?}");
    assert_eq!(redis(&small, &["DBSIZE"]).trim(), "0");
    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_anywhere_it_is_carried_to_its_end() {
    let Some(server) = start(None) else { return };
    for state in [StepState::Loading, StepState::Switching] {
        wipe(&server);
        fill(&server);
        redis(&server, &["DEBUG", "POPULATE", "120000", "many", "40"]);
        let before = digest(&server);
        let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
        let snapshot = world.good_snapshot().await;
        wipe(&server);
        redis(&server, &["SET", "newer", "x"]);
        let (_, resumed) = cut_off(&world, &snapshot, &without_undo(), state).await;
        assert_eq!(resumed.state, RunState::Succeeded, "{:?}", resumed.failure);
        assert_eq!(digest(&server), before, "{state:?}");
        nothing_is_left(&world);
    }
}

/// A server with two old keys, and a snapshot whose last key is a large one.
async fn with_a_large_key() -> Option<(Server, World, model::Snapshot)> {
    let server = start(None)?;
    redis(&server, &["DEBUG", "POPULATE", "120000", "many", "40"]);
    // Of no pattern: what can be compressed is handed over small.
    let large = "local parts = {} \
                 for i = 1, 125000 do parts[i] = string.format('%016x', math.random(0, 2^31 - 1)) end \
                 redis.call('SET', 'large', table.concat(parts))";
    redis(&server, &["-n", "9", "EVAL", large, "0"]);
    let world = World::reading(vec![at(server.port, &[], None)], patient()).await;
    let snapshot = world.good_snapshot().await;
    wipe(&server);
    redis(&server, &["SET", "newer", "x"]);
    redis(&server, &["-n", "2", "SET", "newest", "y", "PXAT", "4000000000123"]);
    let code = "#!lua name=newer\nredis.register_function('two', function() return 2 end)";
    redis(&server, &["FUNCTION", "LOAD", code]);
    Some((server, world, snapshot))
}

/// Begins a restore; gives its run as soon as what was there is gone.
async fn begun(world: &World, snapshot: &model::Snapshot, server: &Server) -> model::Run {
    let run = world.engine.restore_now(snapshot.id, &without_undo()).await.unwrap();
    for _ in 0..3_000 {
        if redis(server, &["EXISTS", "newer"]).trim() == "0" {
            return run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("nothing is replaced: {:?}", world.engine.catalog().run(run.id).await);
}

/// Gives the server `command` in the moment in which what was there is gone. By a connection of its
/// own: a program that is started for each question would be too late.
fn once_it_is_gone(port: u16, command: &'static str) -> std::thread::JoinHandle<()> {
    use std::io::{BufRead as _, Write as _};
    let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    server.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut answers = std::io::BufReader::new(server.try_clone().unwrap());
    let mut ask = move |question: &str| {
        server.write_all(format!("{question}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        answer
    };
    std::thread::spawn(move || {
        while ask("EXISTS newer").trim() == ":1" {}
        assert_eq!(ask(command).trim(), "+OK");
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_put_back_where_it_fails_half_way() {
    let Some((server, world, snapshot)) = with_a_large_key().await else { return };
    let newer = digest(&server);
    let refusing = once_it_is_gone(server.port, "CONFIG SET proto-max-bulk-len 1048576");
    let run = world.engine.restore_now(snapshot.id, &without_undo()).await.unwrap();
    tokio::task::spawn_blocking(|| refusing.join().unwrap()).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(digest(&server), newer, "{:?}", run.failure);
    assert_eq!(redis(&server, &["-n", "2", "PEXPIRETIME", "newest"]).trim(), "4000000000123");
    let told = report(&world, &run).await;
    assert_eq!(told.condition, Condition::Untouched, "{told:?}");
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("what was there was put back from"), "{failure:?}");
    assert!(!failure.message.contains("only some of its keys"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_back_is_told_and_kept() {
    let Some((mut server, world, snapshot)) = with_a_large_key().await else { return };
    let newer = digest(&server);
    let run = begun(&world, &snapshot, &server).await;
    server.kill();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Failed);
    let told = report(&world, &run).await;
    assert_eq!(told.steps[0].state, StepState::Switching);
    let kept = told.steps[0].kept.clone().unwrap();
    let failure = run.failure.unwrap();
    assert!(failure.message.contains("may have only some of its keys now"), "{failure:?}");
    assert!(failure.message.contains(&kept), "{failure:?}");
    let Some(again) = start(Some(&std::fs::read(kept).unwrap())) else { return };
    assert_eq!(digest(&again), newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_mind_leaves_nothing_half_done() {
    let Some((server, world, snapshot)) = with_a_large_key().await else { return };
    let run = begun(&world, &snapshot, &server).await;
    world.engine.cancel(run.id).await.unwrap();
    world.ended(&run).await;
    assert_eq!(redis(&server, &["DBSIZE"]).trim(), "120000");
    assert_eq!(redis(&server, &["-n", "9", "STRLEN", "large"]).trim(), "2000000");
    assert_eq!(redis(&server, &["EXISTS", "newer"]).trim(), "0");
}
