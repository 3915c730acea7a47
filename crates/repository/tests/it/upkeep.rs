//! Keys, statistics, copies.

use std::{sync::Arc, time::Duration};

use repository::{LockKind, LockTimes, Reader, Repository, RepositoryError, Surroundings, Version};
use store::{Memory, Store};

use crate::{
    world::{LIGHT, World, init_at, restics},
    writer::{Writer, noise, sample},
};

fn quick() -> LockTimes {
    LockTimes { settle: Duration::from_millis(1), ..LockTimes::default() }
}

async fn opens(store: &Arc<dyn Store>, word: &str) -> bool {
    let here = Surroundings::of_this_process();
    Repository::open(store.clone(), &word.to_owned().into(), here).await.is_ok()
}

#[tokio::test]
async fn passwords_come_and_go() {
    let world = World::new();
    let mut repository = world.init(Version::V2).await;
    sample(&repository).await;
    let store = world.store().await;
    let first = repository.key_id();
    let second = repository.add_key(&"second".to_owned().into(), LIGHT).await.unwrap();
    assert!(opens(&store, "second").await && opens(&store, crate::world::PASSWORD).await);
    let shared = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    assert!(repository.remove_key(&shared, &second).await.is_err());
    shared.release().await.unwrap();
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    let own = repository.remove_key(&lock, &first).await;
    assert!(matches!(own, Err(RepositoryError::KeyInUse)));
    repository.change_password(&lock, &"third".to_owned().into(), LIGHT).await.unwrap();
    assert!(opens(&store, "third").await && !opens(&store, crate::world::PASSWORD).await);
    repository.remove_key(&lock, &second).await.unwrap();
    assert!(!opens(&store, "second").await);
    lock.release().await.unwrap();
    let keys = repository.keys().await.unwrap();
    assert!(keys.len() == 1 && keys[0].is_current && keys[0].id == repository.key_id());
    for restic in restics() {
        let output = std::process::Command::new(&restic)
            .arg("-r")
            .arg(world.path("repository"))
            .args(["--no-cache", "-q", "snapshots"])
            .env("RESTIC_PASSWORD", "third")
            .output()
            .unwrap();
        assert!(output.status.success());
    }
}

#[tokio::test]
async fn statistics_add_up() {
    let repository = init_at(Arc::new(Memory::default()), Version::V2).await;
    let empty = repository.statistics().await.unwrap();
    assert!((empty.deduplication() - 1.0).abs() < 1e-9 && (empty.compression() - 1.0).abs() < 1e-9);
    let mut writer = Writer::new(&repository);
    let words = "again and again ".repeat(20_000);
    let file = writer.file(b"a", &[words.as_bytes(), &noise(1, 100_000)]).await;
    let mut again = file.clone();
    again.name = b"b".to_vec();
    writer.finish(vec![file, again]).await;
    let told = repository.statistics().await.unwrap();
    assert_eq!((told.snapshots, told.files), (1, 2));
    assert_eq!(told.raw_bytes, 2 * (words.len() as u64 + 100_000));
    assert_eq!(told.blobs, 3);
    assert!(told.deduplication() > 1.9 && told.deduplication() < 2.1, "{told:?}");
    assert!(told.compression() > 3.0, "{told:?}");
    assert!(told.stored_bytes > told.packed_bytes && told.unused_bytes == 0);
}

#[tokio::test]
async fn snapshots_are_copied_once() {
    for (from_version, to_version) in
        [(Version::V2, Version::V2), (Version::V2, Version::V1), (Version::V1, Version::V2)]
    {
        let world = World::new();
        let from = init_at(Arc::new(Memory::default()), from_version).await;
        let to = world.init(to_version).await;
        let id = sample(&from).await;
        let reader = Reader::open(&from).await.unwrap();
        let lock = to.lock_with(LockKind::Shared, quick()).await.unwrap();
        let copied = reader.copy(&[id], &to, &lock).await.unwrap();
        assert!(copied.blobs > 5 && copied.bytes > 2_500_000);
        let again = reader.copy(&[id], &to, &lock).await.unwrap();
        assert_eq!((again.blobs, &again.snapshots), (0, &copied.snapshots));
        lock.release().await.unwrap();
        let snapshot = to.load_snapshot(&copied.snapshots[0].1).await.unwrap();
        assert_eq!((snapshot.original, snapshot.manifest()), (Some(id), Some("01TESTS")));
        for restic in restics() {
            world.restic_ok(&restic, &["check", "--read-data"]);
        }
    }
}
