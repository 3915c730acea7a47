//! Streams into snapshots, and what happens where they break off.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use repository::{
    FileKind, Id, Lock, LockKind, Repository, RepositoryError, Snapshot, Version,
    chunk::Chunking,
    hash::Hashing,
    write::{WriteOptions, Writer},
};
use store::{Fault, Faulty, Memory, Operation, StoreErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use crate::{
    world::{World, init_at, restics},
    writer::noise,
};

/// Small packs, so that little data makes many of them.
pub(crate) fn options() -> WriteOptions {
    WriteOptions { pack_bytes: 1 << 20, uploads: 2, workers: 2, ..WriteOptions::default() }
}

pub(crate) async fn begin(repository: &Repository, options: WriteOptions) -> (Lock, Writer) {
    let lock = repository.lock(LockKind::Shared).await.unwrap();
    let index = Arc::new(repository.load_index().await.unwrap().index);
    let writer = Writer::begin(repository, index, options).unwrap();
    (lock, writer)
}

pub(crate) fn snapshot(tree: Id, path: &Path) -> Snapshot {
    let mut snapshot = Snapshot::new(jiff::Timestamp::now(), tree);
    snapshot.paths = vec![path.to_str().unwrap().to_owned()];
    "tests".clone_into(&mut snapshot.hostname);
    snapshot
}

/// Half of it compresses.
pub(crate) fn sample(seed: u8, bytes: usize) -> Vec<u8> {
    let mut sample = noise(seed, bytes / 2);
    let line = format!("INSERT INTO things VALUES ({seed}, 'a thing of some kind');\n");
    sample.extend(line.bytes().cycle().take(bytes - bytes / 2));
    sample
}

async fn keep(repository: &Repository, name: &str, content: Vec<u8>, with: WriteOptions) -> Id {
    let (lock, writer) = begin(repository, with).await;
    let stored = writer.stream(name, io::Cursor::new(content)).await.unwrap();
    let written = writer.finish(&lock).await.unwrap();
    let path = Path::new("/").join(name);
    let id = written.commit(&lock, &snapshot(stored.tree, &path)).await.unwrap();
    lock.release().await.unwrap();
    id
}

fn dumped(world: &World, restic: &Path, id: Id, name: &str) -> Vec<u8> {
    let output = world.restic(restic, &["dump", &id.to_hex(), name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_checks_and_dumps_streams_of_both_versions_and_both_ways_of_hashing() {
    for restic in restics() {
        for (version, hashing) in [
            (Version::V1, Hashing::Single),
            (Version::V2, Hashing::Single),
            (Version::V2, Hashing::Lanes),
        ] {
            let world = World::new();
            let repository = world.init(version).await;
            let with = || WriteOptions { hashing, ..options() };
            let first = sample(1, 9_000_000);
            let mut second = first.clone();
            second.splice(4_000_000..4_000_000, *b"something new");
            let ids = [
                keep(&repository, "dump.sql", first.clone(), with()).await,
                keep(&repository, "dump.sql", second.clone(), with()).await,
                keep(&repository, "empty", Vec::new(), with()).await,
            ];
            world.restic_ok(&restic, &["check", "--read-data"]);
            // Never what an earlier stream of the same name held.
            assert!(dumped(&world, &restic, ids[0], "dump.sql") == first);
            assert!(dumped(&world, &restic, ids[1], "dump.sql") == second);
            assert!(dumped(&world, &restic, ids[2], "empty").is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_cut_where_restic_cuts_it() {
    let Some(restic) = restics().pop() else { return };
    let world = World::new();
    world.restic_ok(&restic, &["init"]);
    let content = sample(2, 12_000_000);
    let file = world.path("file");
    std::fs::write(&file, &content).unwrap();
    world.restic_ok(&restic, &["backup", file.to_str().unwrap()]);
    let (lock, writer) = begin(&world.open().await, options()).await;
    let stored =
        writer.contents("file", io::Cursor::new(content), writer.chunking()).await.unwrap();
    let written = writer.finish(&lock).await.unwrap();
    // The polynomial is random, and no chunk is longer than 8 MiB.
    assert!(stored.blobs.len() > 1);
    assert_eq!(written.statistics.blobs_new, 0, "the same polynomial, the same blobs");
    assert_eq!(written.statistics.blobs_known, stored.blobs.len() as u64);
    lock.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn even_chunks_change_where_the_file_changed() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let mut content = noise(3, 4 << 20);
    let mut news = Vec::new();
    for _ in 0..2 {
        let (lock, writer) = begin(&repository, options()).await;
        let source = io::Cursor::new(content.clone());
        let stored = writer.contents("16384", source, &Chunking::Fixed(32 << 10)).await.unwrap();
        assert_eq!(stored.blobs.len(), 128);
        news.push(writer.finish(&lock).await.unwrap().statistics.blobs_new);
        lock.release().await.unwrap();
        content[1_000_000] ^= 1;
        content[3_000_000] ^= 1;
    }
    assert_eq!(news, [128, 2]);
}

/// Gives some bytes, then an error.
struct Breaks(u64);

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let bytes = to.remaining().min(50_000).min(usize::try_from(self.0).unwrap());
        let seed = u8::try_from(self.0 % 251).unwrap();
        to.put_slice(&noise(seed, bytes));
        self.0 -= bytes as u64;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_leaves_no_snapshot() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let (lock, writer) = begin(&repository, options()).await;
    let broken = writer.stream("dump.sql", Breaks(5_000_000)).await.unwrap_err();
    assert!(matches!(&broken, RepositoryError::Io { path, .. } if path == "dump.sql"), "{broken}");
    drop(writer);
    lock.release().await.unwrap();
    assert!(repository.list(FileKind::Snapshot).await.unwrap().is_empty());
    for restic in restics() {
        world.restic_ok(&restic, &["check", "--read-data"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_dropped_stops_reading() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let (lock, writer) = begin(&repository, options()).await;
    let endless = tokio::io::repeat(7).take(u64::MAX);
    let stopped = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        writer.stream("endless", endless),
    );
    assert!(stopped.await.is_err());
    // All that still reads would keep this from ending.
    let written = writer.finish(&lock).await.unwrap();
    drop(written);
    lock.release().await.unwrap();
    assert!(repository.list(FileKind::Snapshot).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_lost_stops_the_writer() {
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let (lock, writer) = begin(&repository, options()).await;
    let stopper = writer.stopper();
    stopper.stop(RepositoryError::LockLost("by a test".to_owned()));
    let told = writer.stream("dump.sql", io::Cursor::new(sample(5, 3_000_000))).await;
    assert!(matches!(told, Err(RepositoryError::LockLost(_))), "{told:?}");
    drop(writer);
    // One that somebody removed is noticed before the snapshot at the latest.
    let index = Arc::new(repository.load_index().await.unwrap().index);
    let writer = Writer::begin(&repository, index, options()).unwrap();
    let stored = writer.stream("dump.sql", io::Cursor::new(sample(5, 3_000_000))).await.unwrap();
    let written = writer.finish(&lock).await.unwrap();
    repository.remove(FileKind::Lock, &lock.id()).await.unwrap();
    let told = written.commit(&lock, &snapshot(stored.tree, Path::new("/dump.sql"))).await;
    assert!(matches!(told, Err(RepositoryError::LockLost(_))), "{told:?}");
    assert!(repository.list(FileKind::Snapshot).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_fails_the_writer_and_one_that_is_busy_does_not() {
    for (fault, ends_well) in [
        (Fault::Error(StoreErrorKind::Full), false),
        (Fault::Error(StoreErrorKind::Throttled), true),
        (Fault::LostReply, true),
    ] {
        let faulty = Arc::new(Faulty::new(Arc::new(Memory::default())));
        let repository = init_at(faulty.clone(), Version::V2).await;
        let (lock, writer) = begin(&repository, options()).await;
        faulty.inject(Operation::Finish, fault);
        let stored = writer.stream("dump.sql", io::Cursor::new(sample(6, 6_000_000))).await;
        let written = writer.finish(&lock).await;
        assert_eq!(written.is_ok(), ends_well, "{fault:?}: {written:?}");
        if ends_well {
            let tree = stored.unwrap().tree;
            let snapshot = snapshot(tree, Path::new("/dump.sql"));
            written.unwrap().commit(&lock, &snapshot).await.unwrap();
        }
        let snapshots = repository.list(FileKind::Snapshot).await.unwrap();
        assert_eq!(snapshots.len(), usize::from(ends_well));
        lock.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_does_not_prune_beside_a_writer() {
    for restic in restics() {
        let world = World::new();
        let repository = world.init(Version::V2).await;
        let (lock, writer) = begin(&repository, options()).await;
        let stored = writer.stream("a", io::Cursor::new(sample(7, 4_000_000))).await.unwrap();
        let written = writer.finish(&lock).await.unwrap();
        let refused = world.restic(&restic, &["prune"]);
        assert!(!refused.status.success(), "nothing of ours has a snapshot yet");
        written.commit(&lock, &snapshot(stored.tree, Path::new("/a"))).await.unwrap();
        lock.release().await.unwrap();
        world.restic_ok(&restic, &["prune"]);
        world.restic_ok(&restic, &["check", "--read-data"]);
        assert_eq!(repository.list(FileKind::Snapshot).await.unwrap().len(), 1);
    }
}
