//! Objects in a repository: what every store must do, and what restic makes of them.

use std::{sync::Arc, time::Duration};

use repository::{Objects, ObjectsOptions, Version, write::WriteOptions};
use store::{CreateOptions, Key, Memory, Store};

use crate::{
    conformance,
    streams::sample,
    world::{World, init_at, open_at, restics},
};

pub(crate) fn options() -> ObjectsOptions {
    ObjectsOptions {
        hostname: "tests".to_owned(),
        write: WriteOptions { pack_bytes: 1 << 20, workers: 2, ..WriteOptions::default() },
        idle: Duration::from_millis(50),
        patience: Duration::from_millis(100),
        ..ObjectsOptions::default()
    }
}

async fn objects(world: &World) -> Objects {
    Objects::new(world.init(Version::V2).await, options())
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_do_what_every_store_must() {
    let repository = init_at(Arc::new(Memory::default()), Version::V2).await;
    conformance::all(Arc::new(Objects::new(repository, options()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stretches_are_read_from_anywhere() {
    let repository = init_at(Arc::new(Memory::default()), Version::V2).await;
    let objects = Objects::new(repository, options());
    let content = sample(3, 7_000_000);
    conformance::put(&objects, "a/b.dump", &content).await.unwrap();
    for (from, to) in [(0, 1), (524_287, 524_289), (1_000_000, 6_500_000), (6_999_999, 7_000_000)] {
        let read = objects.read(&key("a/b.dump"), Some(from..to)).await.unwrap();
        let read: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(read).await.unwrap();
        let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
        assert!(read.concat() == content[from..to], "{from}..{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_lists_checks_and_restores_them_and_they_deduplicate() {
    let restics = restics();
    let world = World::new();
    let objects = objects(&world).await;
    let first = sample(1, 8_000_000);
    let mut second = first.clone();
    second[4_000_000] ^= 1;
    for (name, content) in [("shop/one.sql", &first), ("shop/two.sql", &second)] {
        let tags = vec!["app=shop".to_owned()];
        let options = CreateOptions { tags, ..CreateOptions::default() };
        let mut upload = objects.create(&key(name), &options).await.unwrap();
        upload.write(content.clone().into()).await.unwrap();
        upload.finish().await.unwrap();
    }
    objects.rest().await;
    let told = objects.repository().statistics().await.unwrap();
    assert!(told.deduplication() > 1.2, "{told:?}");
    for restic in &restics {
        let listed = world.restic_ok(restic, &["snapshots", "--json", "--tag", "app=shop"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
        assert_eq!(listed[0]["hostname"], "tests");
        world.restic_ok(restic, &["check", "--read-data"]);
        let target = world.path("restored");
        let to = target.to_str().unwrap();
        world.restic_ok(restic, &["restore", "latest", "--path", "/shop/two.sql", "--target", to]);
        assert!(std::fs::read(target.join("shop/two.sql")).unwrap() == second);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_prunes_nothing_while_one_is_written_and_sees_nothing_of_it() {
    let world = World::new();
    let objects = objects(&world).await;
    let mut upload = objects.create(&key("slow.sql"), &CreateOptions::default()).await.unwrap();
    upload.write(sample(1, 6_000_000).into()).await.unwrap();
    for restic in restics() {
        let output = world.restic(&restic, &["prune"]);
        assert!(!output.status.success(), "restic prune ran beside a writer");
        assert_eq!(world.restic_ok(&restic, &["snapshots", "--json"]).trim(), "[]");
    }
    upload.write(sample(2, 3_000_000).into()).await.unwrap();
    upload.finish().await.unwrap();
    objects.rest().await;
    for restic in restics() {
        world.restic_ok(&restic, &["prune"]);
        world.restic_ok(&restic, &["check", "--read-data"]);
    }
    let expected = [sample(1, 6_000_000), sample(2, 3_000_000)].concat();
    // The index was put elsewhere meanwhile.
    assert!(conformance::get(&objects, "slow.sql").await.unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_wrote_or_rewrote_is_found() {
    let world = World::new();
    let here = objects(&world).await;
    let there = Objects::new(open_at(world.store().await).await, options());
    conformance::put(&here, "a.sql", b"of here").await.unwrap();
    conformance::put(&there, "b.sql", b"of there").await.unwrap();
    assert_eq!(conformance::get(&here, "b.sql").await.unwrap(), b"of there");
    here.rest().await;
    there.rest().await;
    for restic in restics() {
        world.restic_ok(&restic, &["tag", "--add", "kept", "--path", "/b.sql"]);
    }
    assert_eq!(here.stat(&key("b.sql")).await.unwrap().size_bytes, 8);
    there.delete(&key("b.sql")).await.unwrap();
    assert!(here.stat(&key("b.sql")).await.unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_pack_is_damage() {
    let world = World::new();
    let objects = objects(&world).await;
    conformance::put(&objects, "a.sql", &sample(1, 3_000_000)).await.unwrap();
    std::fs::remove_dir_all(world.path("repository/data")).unwrap();
    let again = Objects::new(open_at(world.store().await).await, options());
    let error = conformance::get(&again, "a.sql").await.unwrap_err();
    assert_eq!(error.kind(), store::StoreErrorKind::Damaged, "{error}");
}
