//! A writer that is killed at any moment leaves a repository that restic finds sound.

use std::{
    io,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use repository::{FileKind, Version};

use crate::{
    streams::{begin, options, sample, snapshot},
    world::{World, open_at, restics},
};

/// Tells the process that it is the one to be killed, and where to write.
const ROLE: &str = "REPOSITORY_TO_BE_KILLED";
/// For how long there is killing.
const TIME: Duration = Duration::from_secs(25);

/// Snapshot after snapshot, until somebody ends it.
async fn write_on(folder: &str) {
    let store = store::Local::open(folder.as_ref()).await.unwrap();
    let repository = open_at(std::sync::Arc::new(store)).await;
    for seed in (0..=u8::MAX).cycle() {
        let (lock, writer) = begin(&repository, options()).await;
        // Each time other bytes, which nobody has yet.
        let mut content = sample(seed, 5_000_000);
        let salt = repository.surroundings().random::<32>().unwrap();
        for (at, byte) in content.iter_mut().enumerate() {
            *byte ^= salt[at % 32];
        }
        let stored = writer.stream("dump.sql", io::Cursor::new(content)).await.unwrap();
        let written = writer.finish(&lock).await.unwrap();
        let snapshot = snapshot(stored.tree, "/dump.sql".as_ref());
        written.commit(&lock, &snapshot).await.unwrap();
        lock.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_repository_stays_sound() {
    if let Ok(folder) = std::env::var(ROLE) {
        return write_on(&folder).await;
    }
    let world = World::new();
    let repository = world.init(Version::V2).await;
    let restics = restics();
    let begun = Instant::now();
    let mut kills = 0_u32;
    while begun.elapsed() < TIME {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::killed_at_any_moment_the_repository_stays_sound"])
            .env(ROLE, world.path("repository"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moment = u64::from(repository.surroundings().random::<1>().unwrap()[0]) * 5;
        std::thread::sleep(Duration::from_millis(50 + moment));
        assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if kills.is_multiple_of(5)
            && let Some(restic) = restics.get(kills as usize / 5 % restics.len().max(1))
        {
            repository.clear_locks(false).await.unwrap();
            world.restic_ok(restic, &["check"]);
        }
    }
    repository.clear_locks(false).await.unwrap();
    for restic in &restics {
        world.restic_ok(restic, &["check", "--read-data"]);
    }
    let snapshots = repository.list(FileKind::Snapshot).await.unwrap().len();
    let packs = repository.list(FileKind::Pack).await.unwrap().len();
    println!("{kills} kills, {snapshots} snapshots, {packs} packs");
    assert!(kills >= 5 && packs > 0, "{kills} kills, {packs} packs");
}
