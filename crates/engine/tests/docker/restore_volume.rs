//! Volumes that come back: as new ones beside, where they are gone, and in the place of what is
//! there while a server uses it.

use std::{sync::Arc, time::Duration};

use engine::RestoreRequest;
use model::{Run, RunState, Snapshot};
use store::{Fault, Faulty, Local, Operation};

use crate::{
    host::{Host, Made},
    images::Image,
    volume::{LIST, POSTGRES, TREE, asked, helpers, is_running, world_of},
    world::World,
};

pub(crate) fn to(to: &str) -> RestoreRequest {
    RestoreRequest { to: to.to_owned(), ..RestoreRequest::default() }
}

pub(crate) fn beside(name: &str) -> RestoreRequest {
    RestoreRequest { name: Some(name.to_owned()), ..to("beside") }
}

async fn restored(world: &World, snapshot: &Snapshot, request: &RestoreRequest) -> Run {
    let run = world.engine.restore_now(snapshot.id, request).await.unwrap();
    for _ in 0..6_000 {
        let run = world.engine.catalog().run(run.id).await.unwrap();
        if run.state.is_terminal() {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the restore did not end");
}

pub(crate) async fn good(
    world: &World,
    snapshot: &Snapshot,
    request: &RestoreRequest,
) -> Option<String> {
    let run = restored(world, snapshot, request).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
    world.engine.restore_report(run.id).await.unwrap().unwrap().steps.remove(0).kept
}

pub(crate) fn list(host: &Host, volume: &str) -> String {
    host.run(&["-v", &format!("{volume}:/v")], Image::Postgres15, &["sh", "-c", LIST])
}

/// Owners, modes, links, capabilities and the volume's own folder.
pub(crate) async fn a_volume_comes_back_beside_and_where_it_is_gone(host: Arc<Host>) {
    let volume = host.volume("tree");
    let mount = format!("{}:/v", volume.name);
    host.run(&["-v", &mount], Image::Postgres15, &["bash", "-c", TREE]);
    let before = list(&host, &volume.name);
    let world = world_of(&host, &volume, &[]).await;
    let snapshot = world.good_snapshot().await;

    let name = Host::name("beside");
    assert_eq!(good(&world, &snapshot, &beside(&name)).await, None);
    assert_eq!(list(&host, &name), before);
    let seen = world.engine.preflight(snapshot.id, &beside(&name)).await.unwrap();
    assert!(!seen.may_begin(), "one that is there is never touched: {seen:?}");
    host.docker(&["volume", "rm", &name]);

    host.docker(&["volume", "rm", &volume.name]);
    assert_eq!(good(&world, &snapshot, &to("app")).await, None);
    assert_eq!(list(&host, &volume.name), before);
    assert_eq!(helpers(&host, &volume), "");
}

/// A copy that is damaged leaves no volume behind.
pub(crate) async fn what_did_not_come_back_is_removed(host: Arc<Host>) {
    let volume = host.volume("damaged");
    let mount = format!("{}:/v", volume.name);
    let fill = ["sh", "-c", "head -c 3000000 /dev/urandom > /v/big"];
    host.run(&["-v", &mount], Image::Base, &fill);
    let world = world_of(&host, &volume, &[]).await;
    let name = Host::name("never");
    let into =
        RestoreRequest { confirm: Some("direct".to_owned()), without_undo: true, ..to("app") };
    let before = list(&host, &volume.name);
    for request in [beside(&name), into] {
        let snapshot = world.good_snapshot().await;
        let object = world.folder.path().join("disk").join(&snapshot.copies[0].objects[0].key);
        let mut bytes = std::fs::read(&object).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&object, &bytes).unwrap();
        let run = restored(&world, &snapshot, &request).await;
        assert_eq!(run.state, RunState::Failed);
        assert!(!host.try_docker(&["volume", "inspect", &name]).status.success());
        assert_eq!(list(&host, &volume.name), before, "it is as it was");
    }
}

/// A copy that ends too early, at any of the times that it is read: in a store that says nothing of
/// it, and as a file that was cut.
pub(crate) async fn what_ends_too_early_leaves_what_was_there(host: Arc<Host>) {
    for way in ["auto", "docker"] {
        let volume = host.volume(&format!("short-{way}"));
        let mount = format!("{}:/v", volume.name);
        let run = |text: &str| host.run(&["-v", &mount], Image::Base, &["sh", "-c", text]);
        run("head -c 3000000 /dev/urandom > /v/big; echo 1 > /v/small");
        let world = world_of(&host, &volume, &[("read", way)]).await;
        let snapshot = world.good_snapshot().await;
        let wanted = list(&host, &volume.name);
        let disk = world.engine.catalog().destination_by_name("disk").await.unwrap();
        let folder = world.folder.path().join("disk");
        let faulty = Faulty::new(Arc::new(Local::open(&folder).await.unwrap()));
        world.engine.use_store(&disk, Arc::new(faulty.clone()));
        // Through Docker only an empty one is filled.
        run(if way == "auto" { "echo 2 > /v/small" } else { "rm /v/big /v/small" });
        let before = list(&host, &volume.name);
        let name = Host::name("short");
        let into =
            RestoreRequest { confirm: Some("direct".to_owned()), without_undo: true, ..to("app") };
        for request in [beside(&name), into] {
            let is_beside = request.to == "beside";
            let mut failed = 0;
            loop {
                // Listings are not part of this, so that this fault means none.
                faulty.behave();
                (0..failed).for_each(|_| faulty.inject(Operation::Read, Fault::Empty));
                faulty.inject(Operation::Read, Fault::Short);
                let run = restored(&world, &snapshot, &request).await;
                if faulty.waiting() > 0 {
                    assert_eq!(run.state, RunState::Succeeded, "{way}: {:?}", run.failure);
                    break;
                }
                assert_eq!(run.state, RunState::Failed, "{way}: after {failed} reads");
                let there = host.try_docker(&["volume", "inspect", &name]).status.success();
                // The one beside that came back whole stays.
                assert_eq!(there, !is_beside, "{way}: a part is left beside");
                let told = run.failure.unwrap().message;
                // What goes into an empty volume as it comes is told, and nothing else is half.
                if !told.contains("was empty and is filled in part") {
                    assert_eq!(list(&host, &volume.name), before, "{way}: {told}");
                } else {
                    assert!(way == "docker" && !is_beside, "{told}");
                    host.run(&["-v", &mount], Image::Base, &["sh", "-c", "rm -rf /v/*"]);
                }
                failed += 1;
                assert!(failed < 9, "{way}");
                // It was called damaged for what the store did.
                faulty.behave();
                let verified = world.engine.verify_now(snapshot.id, None).await.unwrap();
                assert_eq!(world.ended(&verified).await.state, RunState::Succeeded);
            }
            assert!(failed > 0, "{way}: nothing was cut");
            let there = if is_beside { &name } else { &volume.name };
            assert_eq!(list(&host, there), wanted, "{way}");
        }
        host.docker(&["volume", "rm", &name]);

        // The file itself is cut: on a border of blocks, and in the midst of one.
        let object = folder.join(&snapshot.copies[0].objects[0].key);
        let whole = std::fs::read(&object).unwrap();
        for length in [whole.len() / 2, whole.len() - 1, 512, 0] {
            // The copy was called damaged for the cut before.
            std::fs::write(&object, &whole).unwrap();
            let verified = world.engine.verify_now(snapshot.id, None).await.unwrap();
            assert_eq!(world.ended(&verified).await.state, RunState::Succeeded);
            std::fs::write(&object, &whole[..length]).unwrap();
            let run = restored(&world, &snapshot, &beside(&name)).await;
            assert_eq!(run.state, RunState::Failed, "{way}: {length} bytes");
            assert!(!host.try_docker(&["volume", "inspect", &name]).status.success());
        }
    }
}

pub(crate) async fn a_servers_data_are_exchanged_while_it_waits(host: Arc<Host>) {
    let volume = host.volume("pgdata");
    let mount = format!("{}:/v", volume.name);
    let options = ["--stop-signal", "INT", "-v", mount.as_str()];
    let server = host.container("pg", &options, Image::Postgres15, &["bash", "-c", POSTGRES]);
    let sql = |server: &Made<'_>, sql: &str| asked(&host, server, sql);
    sql(&server, "create table rows as select n, md5(n::text) from generate_series(1, 20000) n");
    let sum = "select count(*) || ' ' || md5(string_agg(md5, ',' order by n)) from rows";
    let wanted = sql(&server, sum);
    let world = world_of(&host, &volume, &[("containers", "stop")]).await;
    let snapshot = world.good_snapshot().await;
    sql(&server, "drop table rows");

    let into = RestoreRequest { confirm: Some("direct".to_owned()), ..to("app") };
    let seen = world.engine.preflight(snapshot.id, &into).await.unwrap();
    assert!(seen.confirm.is_some() && seen.may_begin(), "{seen:?}");
    let kept = good(&world, &snapshot, &into).await.unwrap();
    assert!(std::path::Path::new(&kept).join("main/PG_VERSION").exists(), "{kept}");
    assert!(is_running(&host, &server.name));
    assert_eq!(sql(&server, sum), wanted);

    // All of it is destroyed: container, volume and what was kept in it.
    drop(server);
    host.docker(&["volume", "rm", &volume.name]);
    good(&world, &snapshot, &to("app")).await;
    let server = host.container("pg-again", &options, Image::Postgres15, &["bash", "-c", POSTGRES]);
    assert_eq!(sql(&server, sum), wanted);
    drop(server);
    // The drill reads every file of it.
    let run = world.engine.drill_snapshot(snapshot.id).await.unwrap();
    let run = world.ended(&run).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
}

/// A paused container would go on in the folder that was exchanged under it.
pub(crate) async fn nothing_is_exchanged_under_a_paused_container(host: Arc<Host>) {
    let volume = host.volume("paused");
    let mount = format!("{}:/v", volume.name);
    let writes = ["sh", "-c", "while :; do date >> /v/log; sleep 0.1; done"];
    let user = host.container("writer", &["-v", mount.as_str()], Image::Base, &writes);
    let world = world_of(&host, &volume, &[("containers", "stop")]).await;
    let snapshot = world.good_snapshot().await;
    host.docker(&["pause", &user.name]);
    let into =
        RestoreRequest { confirm: Some("direct".to_owned()), without_undo: true, ..to("app") };
    let seen = world.engine.preflight(snapshot.id, &into).await.unwrap();
    assert!(!seen.may_begin(), "{seen:?}");
    assert!(
        seen.checks.iter().any(|check| check.sentence.message.contains("is paused")),
        "{seen:?}"
    );
    let refused = world.engine.restore_now(snapshot.id, &into).await.unwrap_err();
    assert!(refused.to_string().contains("is paused"), "{refused}");

    host.docker(&["unpause", &user.name]);
    let kept = good(&world, &snapshot, &into).await.unwrap();
    let log = std::path::Path::new(&kept).join("log");
    let before = std::fs::metadata(&log).unwrap().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(std::fs::metadata(&log).unwrap().len(), before, "nobody writes there any more");
    assert!(is_running(&host, &user.name));
}
