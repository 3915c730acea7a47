//! Repositories where those who write cannot delete: not even lock files.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use repository::{
    CheckOptions, FileKind, LockKind, LockTimes, Objects, ObjectsOptions, ReadData, Reader,
    Repository, STALE_AFTER, Surroundings, Version, write::WriteOptions,
};
use store::{Key, LockMode, S3, Sftp, Store, StoreErrorKind};

use crate::{
    conformance,
    moto::{LOCKED, Moto, lock},
    script::Ask,
    servers::{self, S3Server, Server},
    world::{init_at, open_at, password},
    writer::{noise, sample},
};

fn quick() -> LockTimes {
    LockTimes { settle: Duration::from_millis(1), ..LockTimes::default() }
}

fn options() -> ObjectsOptions {
    ObjectsOptions {
        write: WriteOptions { pack_bytes: 1 << 20, workers: 2, ..WriteOptions::default() },
        lock: quick(),
        idle: Duration::from_millis(20),
        ..ObjectsOptions::default()
    }
}

async fn later(store: &Arc<dyn Store>) -> Repository {
    let clock = || Timestamp::now() + STALE_AFTER + SignedDuration::from_mins(16);
    let there = Surroundings::of_this_process().with_clock(clock);
    Repository::open(store.clone(), &password(), there).await.unwrap()
}

async fn locks(repository: &Repository) -> usize {
    repository.list(FileKind::Lock).await.unwrap().len()
}

/// Writes, reads, checks and restores with keys that cannot delete; the owner cleans up later.
async fn all(owner: Arc<dyn Store>, writer: Arc<dyn Store>) {
    init_at(owner.clone(), Version::V2).await;
    let repository = open_at(writer.clone()).await;
    let objects = Objects::new(repository.clone(), options());
    for n in 0..6 {
        conformance::put(&objects, &format!("{n}.sql"), b"kept").await.unwrap();
        objects.rest().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(objects.locks_stay());
    for n in 0..6 {
        assert_eq!(conformance::get(&objects, &format!("{n}.sql")).await.unwrap(), b"kept");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let left = locks(&repository).await;
    assert!(left > 0);
    let refused = objects.delete(&Key::new("0.sql").unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::PermissionDenied, "{refused}");
    assert_eq!(conformance::get(&objects, "0.sql").await.unwrap(), b"kept");

    let id = sample(&repository).await;
    let checked = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    assert!(repository.check(&checked).await.unwrap().is_whole());
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::open(&repository).await.unwrap();
    let tree = repository.load_snapshot(&id).await.unwrap().tree;
    reader.restore(&tree, b"", &folder.path().join("to")).await.unwrap();

    // Half an hour later they are in nobody's way, and who may delete removes them.
    later(&writer).await.lock_with(LockKind::Shared, quick()).await.unwrap();
    let owner = later(&owner).await;
    assert!(owner.locks().await.unwrap().iter().filter(|found| found.is_stale).count() >= left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_s3_without_the_right_to_delete() {
    let server = S3Server::start().await;
    let writer: Arc<dyn Store> = Arc::new(S3::open(&server.writer_config("r")).unwrap());
    all(server.store("r").await, writer.clone()).await;

    // However many lie there: one try to delete, and none of them is read.
    let writer = later(&writer).await;
    let left = locks(&writer).await;
    assert!(left >= 2);
    let asked = |what| server.script.asked(what).len();
    let (gets, deletes) = (asked(Ask::Get), asked(Ask::Delete));
    let held = writer.lock_with(LockKind::Shared, quick()).await.unwrap();
    assert!(asked(Ask::Delete) - deletes <= 2, "as many tries as locks");
    assert!(asked(Ask::Get) - gets <= 2, "old locks were read");
    assert!(!held.release().await.unwrap());

    let owner = later(&server.store("r").await).await;
    let stale = owner.locks().await.unwrap().iter().filter(|found| found.is_stale).count();
    assert_eq!(owner.clear_locks(false).await.unwrap(), stale);
    assert!(locks(&owner).await <= 2);
}

/// A lock that stays is used again for as long as it is young, instead of one more for each use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_do_not_pile_up() {
    let server = S3Server::start().await;
    init_at(server.store("r").await, Version::V2).await;
    let writer = Arc::new(S3::open(&server.writer_config("r")).unwrap());
    let repository = open_at(writer).await;
    let objects = Objects::new(repository.clone(), options());
    for n in 0..8 {
        conformance::put(&objects, &format!("{n}.sql"), b"kept").await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    // The first shows that they stay; the second is used from then on.
    assert!(locks(&repository).await <= 2, "{} locks", locks(&repository).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sftp_without_the_right_to_delete() {
    let Some(sshd) = servers::sshd() else { return };
    let server = Server::sshd_without_deletion(&sshd).await;
    let store = || Arc::new(Sftp::open(&server.sshd_config("r")).unwrap());
    all(store(), store()).await;
}

/// What a repository keeps is locked; its lock files come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_lock_covers_what_is_kept() {
    let Some(moto) = Moto::start().await else { return };
    let config = moto.config(LOCKED, Some(lock(LockMode::Compliance, 7, "locks")));
    let repository = init_at(Arc::new(S3::open(&config).unwrap()), Version::V2).await;
    let objects = Objects::new(repository.clone(), options());
    conformance::put(&objects, "a.sql", b"kept").await.unwrap();
    let held = objects.shared().await.unwrap();
    for kind in FileKind::ALL {
        let files = repository.list(kind).await.unwrap();
        assert!(!files.is_empty(), "{kind:?}");
        for file in files {
            let locked = moto.lock_of(&kind.path(&file.id)).await;
            assert_eq!(locked.is_some(), kind != FileKind::Lock, "{kind:?}: {locked:?}");
        }
    }
    assert!(moto.lock_of("config").await.is_some());
    drop(held);
    tokio::time::sleep(Duration::from_millis(300)).await;
    objects.rest().await;
    assert!(!objects.locks_stay());
    assert_eq!(locks(&repository).await, 0);
}

/// What was written long ago and a new snapshot stands on is locked for as long as that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_newer_snapshots_share_is_locked_for_longer() {
    let Some(moto) = Moto::start().await else { return };
    let at = |days| {
        let config = moto.config(LOCKED, Some(lock(LockMode::Compliance, days, "locks")));
        Arc::new(S3::open(&config).unwrap())
    };
    let short: Arc<dyn Store> = at(1);
    init_at(short.clone(), Version::V2).await;
    let objects = Objects::new(open_at(short).await, options());
    let shared = noise(1, 3 << 20);
    conformance::put(&objects, "old.sql", &shared).await.unwrap();
    conformance::put(&objects, "gone.sql", &noise(2, 3 << 20)).await.unwrap();
    objects.delete(&Key::new("gone.sql").unwrap()).await.unwrap();
    objects.rest().await;

    // What is older than the newest snapshot gets a day more, and then nothing is asked for.
    let repository = open_at(at(1)).await;
    let told = repository.prolong_locks().await.unwrap().unwrap();
    assert_eq!(told.missing, 0, "{told:?}");
    let again = repository.prolong_locks().await.unwrap().unwrap();
    assert_eq!((again.prolonged, again.objects), (0, told.objects), "{again:?}");

    let repository = open_at(at(30)).await;
    let objects = Objects::new(repository.clone(), options());
    conformance::put(&objects, "new.sql", &shared).await.unwrap();
    let ends = async || {
        let mut ends = Vec::new();
        for kind in FileKind::ALL.into_iter().filter(|kind| *kind != FileKind::Lock) {
            for file in repository.list(kind).await.unwrap() {
                let (_, until) = moto.lock_of(&kind.path(&file.id)).await.unwrap();
                ends.push((kind, until.duration_since(Timestamp::now()).as_hours() / 24));
            }
        }
        let (_, until) = moto.lock_of("config").await.unwrap();
        ends.push((FileKind::Key, until.duration_since(Timestamp::now()).as_hours() / 24));
        ends
    };
    let short = |ends: &[(FileKind, i64)], kind| {
        ends.iter().filter(|(of, days)| *of == kind && *days < 29).count()
    };
    let before = ends().await;
    assert!(short(&before, FileKind::Pack) >= 4 && short(&before, FileKind::Key) == 2);

    let hold = objects.shared().await.unwrap();
    let told = hold.lock().guard(repository.prolong_locks()).await.unwrap().unwrap();
    drop(hold);
    let after = ends().await;
    // The packs and the index of what was forgotten stay as they were.
    assert!(told.prolonged > 0 && told.missing == 0, "{told:?}");
    let forgotten = short(&after, FileKind::Pack);
    assert!((1..short(&before, FileKind::Pack)).contains(&forgotten), "{before:?} {after:?}");
    for kind in [FileKind::Key, FileKind::Snapshot] {
        assert_eq!(short(&after, kind), 0, "{kind:?}: {after:?}");
    }
    // An eighth more, so that it is not asked for every day.
    assert!(after.iter().any(|(_, days)| *days == 33), "{after:?}");
    let days = told.newest_until.unwrap().duration_since(Timestamp::now()).as_hours() / 24;
    assert!((29..=33).contains(&days), "{told:?}");
    let again = repository.prolong_locks().await.unwrap().unwrap();
    assert_eq!((again.prolonged, again.objects), (0, told.objects), "{again:?}");

    // All that the new one needs cannot be deleted: not by the owner of the bucket either.
    for pack in repository.list(FileKind::Pack).await.unwrap() {
        assert!(moto.purge(&FileKind::Pack.path(&pack.id)).await.contains(&403));
    }
}
