//! Locks: ours beside ours, and beside those of stock restic.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use repository::{
    FileKind, LockKind, LockTimes, Repository, RepositoryError, STALE_AFTER, Surroundings, Version,
};
use store::{Memory, Store};

use crate::{
    world::{World, init_at, open_at, password, restics},
    writer::sample,
};

fn quick() -> LockTimes {
    LockTimes { settle: Duration::from_millis(1), ..LockTimes::default() }
}

fn is_locked<T>(result: Result<T, RepositoryError>) -> bool {
    matches!(result, Err(error @ RepositoryError::Locked { .. }) if error.is_retryable())
}

async fn count(repository: &Repository) -> usize {
    repository.list(FileKind::Lock).await.unwrap().len()
}

#[tokio::test]
async fn an_exclusive_lock_stands_alone() {
    let repository = init_at(Arc::new(Memory::default()), Version::V2).await;
    let shared = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    let also = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    assert!(is_locked(repository.lock_with(LockKind::Exclusive, quick()).await));
    shared.release().await.unwrap();
    also.release().await.unwrap();
    assert_eq!(count(&repository).await, 0);
    let alone = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    assert!(is_locked(repository.lock_with(LockKind::Shared, quick()).await));
    assert!(is_locked(repository.lock_with(LockKind::Exclusive, quick()).await));
    alone.ensure().await.unwrap();
    alone.release().await.unwrap();
    assert_eq!(count(&repository).await, 0);
}

/// Many at once: never two of which one is exclusive.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_at_once_never_both_get_it() {
    let repository = init_at(Arc::new(Memory::default()), Version::V2).await;
    let times = LockTimes { settle: Duration::from_millis(50), ..LockTimes::default() };
    for _ in 0..5 {
        let tries = (0..6).map(|n| {
            let repository = repository.clone();
            let kind = if n % 3 == 0 { LockKind::Exclusive } else { LockKind::Shared };
            tokio::spawn(async move { repository.lock_with(kind, times).await.ok() })
        });
        let mut held = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            held.extend(one.await.unwrap());
        }
        let exclusive = held.iter().filter(|lock| lock.kind() == LockKind::Exclusive).count();
        assert!(exclusive == 0 || held.len() == 1, "{exclusive} of {}", held.len());
        for lock in held {
            lock.release().await.unwrap();
        }
    }
}

fn at(offset: SignedDuration) -> Surroundings {
    Surroundings::of_this_process().with_clock(move || Timestamp::now() + offset)
}

async fn open_as(store: &Arc<dyn Store>, surroundings: Surroundings) -> Repository {
    Repository::open(store.clone(), &password(), surroundings).await.unwrap()
}

#[tokio::test]
async fn stale_locks_are_in_nobodys_way() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    init_at(store.clone(), Version::V2).await;
    // Somebody elsewhere, 31 minutes ago, who never came back.
    let mut elsewhere = at(-STALE_AFTER - SignedDuration::from_mins(1));
    elsewhere.hostname = "elsewhere".to_owned();
    let elsewhere = open_as(&store, elsewhere).await;
    std::mem::forget(elsewhere.lock_with(LockKind::Exclusive, quick()).await.unwrap());
    // A process of this machine that is dead.
    let repository = open_at(store.clone()).await;
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    assert_eq!(count(&repository).await, 1);
    std::mem::forget(lock);
    let later = Surroundings::of_this_process().with_processes(|_| false);
    let later = open_as(&store, later).await;
    assert!(later.locks().await.unwrap()[0].is_stale);
    let lock = later.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    // The same process number elsewhere says nothing.
    let mut other = Surroundings::of_this_process().with_processes(|_| false);
    other.hostname = "elsewhere".to_owned();
    let other = open_as(&store, other).await;
    assert!(is_locked(other.lock_with(LockKind::Shared, quick()).await));
    lock.release().await.unwrap();
}

/// A new repository whose time is that of the runtime, which tests hold still.
async fn by_the_runtimes_clock() -> Repository {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    init_at(store.clone(), Version::V2).await;
    let (began, epoch) = (tokio::time::Instant::now(), Timestamp::now());
    let clock =
        move || epoch + SignedDuration::try_from(tokio::time::Instant::now() - began).unwrap();
    let here = Surroundings::of_this_process().with_clock(clock);
    open_as(&store, here).await
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_refreshed_and_its_loss_is_noticed() {
    let repository = by_the_runtimes_clock().await;
    let lock = repository.lock_with(LockKind::Shared, LockTimes::default()).await.unwrap();
    let first = lock.id();
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    lock.ensure().await.unwrap();
    assert_ne!(lock.id(), first);
    assert_eq!(count(&repository).await, 1);
    assert!(!repository.locks().await.unwrap()[0].is_stale);
    // `restic unlock --remove-all`.
    assert_eq!(repository.clear_locks(false).await.unwrap(), 0);
    assert_eq!(repository.clear_locks(true).await.unwrap(), 1);
    assert!(matches!(lock.ensure().await, Err(RepositoryError::LockLost(_))));
    let stuck = lock.guard(std::future::pending::<Result<(), RepositoryError>>());
    let told = tokio::time::timeout(Duration::from_secs(60), stuck).await.unwrap();
    assert!(matches!(told, Err(RepositoryError::LockLost(_))));
    lock.release().await.unwrap();
    assert_eq!(count(&repository).await, 0);
}

/// A store that takes nothing any more: the lock is lost before others call it stale.
#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_refreshed_is_lost_in_time() {
    let repository = by_the_runtimes_clock().await;
    let began = tokio::time::Instant::now();
    // Never refreshed: as if every write failed.
    let times = LockTimes { refresh: Duration::from_secs(1 << 30), ..LockTimes::default() };
    let lock = repository.lock_with(LockKind::Shared, times).await.unwrap();
    let lost = lock.lost().await;
    assert!(matches!(lost, RepositoryError::LockLost(_)));
    assert!(tokio::time::Instant::now() - began < Duration::from_secs(25 * 60));
    assert!(lock.ensure().await.is_err());
}

#[tokio::test]
async fn a_lock_that_is_dropped_goes() {
    let repository = init_at(Arc::new(Memory::default()), Version::V2).await;
    drop(repository.lock_with(LockKind::Exclusive, quick()).await.unwrap());
    for _ in 0..100 {
        if count(&repository).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the lock is still there");
}

/// `restic prune` beside our writer is refused; restic's own locks are in our way.
#[tokio::test]
async fn restic_and_we_keep_out_of_each_others_way() {
    for restic in restics() {
        let world = World::new();
        let repository = world.init(Version::V2).await;
        sample(&repository).await;
        let lock = repository.lock(LockKind::Shared).await.unwrap();
        for refused in [&["prune"][..], &["forget", "--keep-last", "1", "--prune"]] {
            let output = world.restic(&restic, refused);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && told.contains("locked"), "{refused:?}: {told}");
        }
        // What restic calls stale it may remove; ours is not.
        world.restic_ok(&restic, &["unlock"]);
        lock.ensure().await.unwrap();
        world.restic_ok(&restic, &["ls", "latest"]);
        let told = world.restic_ok(&restic, &["cat", "lock", &lock.id().to_hex(), "--no-lock"]);
        assert!(told.contains("\"exclusive\": false"), "{told}");
        world.restic_ok(&restic, &["unlock", "--remove-all"]);
        assert!(matches!(lock.ensure().await, Err(RepositoryError::LockLost(_))));
        lock.release().await.unwrap();
        let lock = repository.lock(LockKind::Exclusive).await.unwrap();
        let output = world.restic(&restic, &["backup", "/etc/hostname"]);
        assert!(!output.status.success());
        lock.release().await.unwrap();
        world.restic_ok(&restic, &["prune"]);
    }
}

/// A restic that reads from a pipe holds a lock; killed, it leaves one that is stale.
#[tokio::test]
async fn a_lock_of_restic_counts_until_it_is_dead() {
    for restic in restics() {
        let world = World::new();
        let repository = world.init(Version::V2).await;
        let mut writer = std::process::Command::new(&restic)
            .arg("-r")
            .arg(world.path("repository"))
            .args(["--no-cache", "-q", "backup", "--stdin"])
            .env("RESTIC_PASSWORD", crate::world::PASSWORD)
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if count(&repository).await > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(is_locked(repository.lock(LockKind::Exclusive).await));
        let beside = repository.lock(LockKind::Shared).await.unwrap();
        beside.release().await.unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(count(&repository).await, 1);
        let lock = repository.lock(LockKind::Exclusive).await.unwrap();
        assert_eq!(count(&repository).await, 1);
        lock.release().await.unwrap();
    }
}
