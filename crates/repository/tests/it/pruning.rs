//! Freeing in two phases, whatever comes in between.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use repository::{
    CheckOptions, FileKind, Id, LockKind, LockTimes, PruneOptions, Pruned, ReadData, Reader,
    Repository, RepositoryError, Snapshot, Surroundings, Version,
};
use store::{Fault, Faulty, Local, Memory, Operation, Store, StoreErrorKind};

use crate::{
    world::{World, init_at, open_at, password, restics},
    writer::{Writer, noise, sample},
};

fn quick() -> LockTimes {
    LockTimes { settle: Duration::from_millis(1), ..LockTimes::default() }
}

fn options() -> PruneOptions {
    PruneOptions { max_unused_percent: 0, ..PruneOptions::default() }
}

async fn prune(repository: &Repository, options: &PruneOptions) -> Result<Pruned, RepositoryError> {
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await?;
    let pruned = repository.prune(&lock, options).await;
    lock.release().await?;
    pruned
}

async fn forget(repository: &Repository, ids: &[Id]) {
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    repository.forget(&lock, ids).await.unwrap();
    lock.release().await.unwrap();
}

/// The repository `hours` from now.
async fn later(store: &Arc<dyn Store>, hours: i64) -> Repository {
    let clock = move || Timestamp::now() + SignedDuration::from_hours(hours);
    let there = Surroundings::of_this_process().with_clock(clock);
    Repository::open(store.clone(), &password(), there).await.unwrap()
}

async fn packs(repository: &Repository) -> usize {
    repository.list(FileKind::Pack).await.unwrap().len()
}

async fn assert_whole(repository: &Repository) {
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let checked = repository.check(&options).await.unwrap();
    assert!(checked.is_whole(), "{:?}", checked.problems);
}

/// One snapshot that shares half of its blobs with another.
async fn pair(repository: &Repository) -> (Id, Id) {
    let mut writer = Writer::new(repository);
    let (shared, own) = (noise(1, 300_000), noise(2, 300_000));
    let mixed = writer.file(b"mixed", &[&shared, &own]).await;
    let more = writer.file(b"more", &[&noise(3, 900_000)]).await;
    let first = writer.finish(vec![mixed.clone(), more]).await;
    let mut kept = mixed;
    kept.content.as_mut().unwrap().truncate(1);
    kept.size = 300_000;
    let second = Writer::new(repository).finish(vec![kept]).await;
    (first, second)
}

#[tokio::test]
async fn what_is_not_needed_goes_after_the_grace() {
    for restic in restics() {
        let world = World::new();
        let repository = world.init(Version::V2).await;
        let (first, second) = pair(&repository).await;
        let before = packs(&repository).await;
        assert_eq!(prune(&repository, &options()).await.unwrap().marked, 0);
        forget(&repository, &[first]).await;
        let pruned = prune(&repository, &options()).await.unwrap();
        assert!(pruned.marked >= 2 && pruned.deleted == 0, "{pruned:?}");
        assert_eq!(pruned.rewritten, 1);
        // Nothing has gone, and restic sees nothing wrong.
        assert!(packs(&repository).await > before);
        world.restic_ok(&restic, &["check", "--read-data"]);
        assert_whole(&repository).await;
        let store = world.store().await;
        let soon = later(&store, 23).await;
        assert_eq!(prune(&soon, &options()).await.unwrap().deleted, 0);
        let next_day = later(&store, 25).await;
        let pruned = prune(&next_day, &options()).await.unwrap();
        assert!(pruned.deleted >= 2 && pruned.waiting == 0, "{pruned:?}");
        assert_eq!(packs(&repository).await, 2, "data, and a tree");
        assert_whole(&repository).await;
        world.restic_ok(&restic, &["check", "--read-data"]);
        let target = world.path("restored");
        world.restic_ok(
            &restic,
            &["restore", &second.to_hex(), "--target", target.to_str().unwrap()],
        );
        assert_eq!(std::fs::read(target.join("mixed")).unwrap(), noise(1, 300_000));
        // Nothing is left to do, and nothing is written.
        let index = repository.list(FileKind::Index).await.unwrap();
        assert_eq!(prune(&next_day, &options()).await.unwrap().marked, 0);
        assert_eq!(repository.list(FileKind::Index).await.unwrap(), index);
        // restic's own prune has nothing to say against ours.
        world.restic_ok(&restic, &["prune"]);
        world.restic_ok(&restic, &["check", "--read-data"]);
    }
}

/// A snapshot that comes while its packs are marked: from a writer whose lock was lost.
#[tokio::test]
async fn a_marked_pack_that_is_needed_is_taken_back() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let repository = init_at(store.clone(), Version::V2).await;
    let id = sample(&repository).await;
    let snapshot = repository.load_snapshot(&id).await.unwrap();
    forget(&repository, &[id]).await;
    let marked = prune(&repository, &options()).await.unwrap().marked;
    assert!(marked > 1);
    let again = Snapshot { tags: vec!["late".to_owned()], ..snapshot };
    repository.save_snapshot(&again).await.unwrap();
    assert!(!repository.check(&CheckOptions::default()).await.unwrap().is_whole());
    let much_later = later(&store, 100).await;
    let pruned = prune(&much_later, &options()).await.unwrap();
    assert_eq!((pruned.taken_back, pruned.deleted), (marked, 0));
    assert_whole(&repository).await;
}

#[tokio::test]
async fn a_prune_that_misses_something_refuses() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let (first, _) = pair(&repository).await;
    forget(&repository, &[first]).await;
    let before = packs(&repository).await;
    let shared = repository.lock_with(LockKind::Shared, quick()).await.unwrap();
    assert!(repository.prune(&shared, &options()).await.is_err());
    assert!(prune(&repository, &options()).await.is_err(), "beside a shared lock");
    shared.release().await.unwrap();
    // The catalog knows of a snapshot that the listing lacks.
    let knowing = PruneOptions { expected: vec![first], ..options() };
    assert!(matches!(prune(&repository, &knowing).await, Err(RepositoryError::Damaged { .. })));
    // An index file is gone.
    let index = repository.list(FileKind::Index).await.unwrap();
    for file in &index {
        let bytes = repository.load(FileKind::Index, &file.id).await.unwrap();
        repository.remove(FileKind::Index, &file.id).await.unwrap();
        let none = PruneOptions { grace: SignedDuration::ZERO, ..options() };
        let refused = prune(&repository, &none).await;
        assert!(matches!(refused, Err(RepositoryError::MissingBlob { .. })), "{refused:?}");
        repository.save(FileKind::Index, file.id, bytes.into()).await.unwrap();
    }
    assert_eq!(packs(&repository).await, before);
    assert_whole(&repository).await;
}

/// What a writer left that was killed.
#[tokio::test]
async fn packs_that_nobody_knows_go_too() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let repository = init_at(store.clone(), Version::V2).await;
    sample(&repository).await;
    let kept = packs(&repository).await;
    let orphan = noise(9, 1000);
    repository.save(FileKind::Pack, Id::of(&orphan), orphan.into()).await.unwrap();
    assert_eq!(prune(&repository, &options()).await.unwrap().marked, 1);
    assert_eq!(prune(&repository, &options()).await.unwrap().marked, 0);
    assert_eq!(packs(&repository).await, kept + 1);
    let pruned = prune(&later(&store, 25).await, &options()).await.unwrap();
    assert_eq!((pruned.deleted, pruned.deleted_bytes), (1, 1000));
    assert_eq!(packs(&repository).await, kept);
}

/// Interrupted at each step of each kind: what is kept is whole, and the next prune ends the work.
#[tokio::test]
async fn an_interrupted_prune_loses_nothing() {
    for operation in [Operation::Create, Operation::Write, Operation::Finish, Operation::Delete] {
        for lost_reply in [false, true] {
            let mut step = 0;
            loop {
                let world = World::new();
                let honest: Arc<dyn Store> =
                    Arc::new(Local::open(&world.path("repository")).await.unwrap());
                let repository = init_at(honest.clone(), Version::V2).await;
                let (first, _) = pair(&repository).await;
                forget(&repository, &[first]).await;
                let faulty = Faulty::new(honest.clone());
                let at_fault = open_at(Arc::new(faulty.clone())).await;
                let lock = at_fault.lock_with(LockKind::Exclusive, quick()).await.unwrap();
                for _ in 0..step {
                    faulty.inject(operation, Fault::Delay(Duration::ZERO));
                }
                let fault = if lost_reply {
                    Fault::LostReply
                } else {
                    Fault::Error(StoreErrorKind::Unavailable)
                };
                faulty.inject(operation, fault);
                let none = PruneOptions { grace: SignedDuration::ZERO, ..options() };
                let pruned = at_fault.prune(&lock, &none).await;
                let is_over = faulty.waiting() > 0;
                faulty.behave();
                lock.release().await.unwrap();
                assert_whole(&repository).await;
                if is_over {
                    pruned.unwrap();
                    assert!(step > 0, "{operation:?} is never used");
                    break;
                }
                prune(&repository, &none).await.unwrap();
                assert_whole(&repository).await;
                assert_eq!(packs(&repository).await, 2);
                step += 1;
            }
        }
    }
}

/// A lock that goes while it is pruned: nothing is deleted after.
#[tokio::test]
async fn a_lost_lock_stops_a_prune() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let repository = init_at(store.clone(), Version::V2).await;
    let (first, _) = pair(&repository).await;
    forget(&repository, &[first]).await;
    let lock = repository.lock_with(LockKind::Exclusive, quick()).await.unwrap();
    repository.clear_locks(true).await.unwrap();
    let before = packs(&repository).await;
    let none = PruneOptions { grace: SignedDuration::ZERO, ..options() };
    let stopped = repository.prune(&lock, &none).await;
    assert!(matches!(stopped, Err(RepositoryError::LockLost(_))));
    assert_eq!(packs(&repository).await, before);
    assert!(Reader::open(&repository).await.is_ok());
}
