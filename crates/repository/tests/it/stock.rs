//! Both ways with stock restic.

use std::os::unix::ffi::OsStrExt as _;

use repository::{BlobKind, FileKind, Version};

use crate::{
    world::{World, restics},
    writer::{noise, sample},
};

/// restic lists, checks and restores what we write, of both versions of the format.
#[tokio::test]
async fn restic_reads_what_we_write() {
    for restic in restics() {
        for version in [Version::V1, Version::V2] {
            let world = World::new();
            let repository = world.init(version).await;
            let id = sample(&repository).await;
            let told = world.restic_ok(&restic, &["snapshots", "--json"]);
            assert!(told.contains(&id.to_hex()) && told.contains("manifest=01TESTS"), "{told}");
            world.restic_ok(&restic, &["check", "--read-data"]);
            let to = world.path("restored");
            let target = to.to_str().unwrap();
            world.restic_ok(&restic, &["restore", "latest", "--target", target]);
            let big: Vec<u8> = (0..5).flat_map(|n| noise(n, 500_000)).collect();
            assert!(std::fs::read(to.join("big")).unwrap() == big);
            let odd = std::ffi::OsStr::from_bytes(b"odd \xff \"name\" <\\>\n");
            assert_eq!(std::fs::read(to.join(odd)).unwrap(), b"odd content");
            let link = std::fs::read_link(to.join("link")).unwrap();
            // 0.14 has no way to keep a target that is no text.
            assert!(link.as_os_str().as_bytes().starts_with(b"sub/../nowhere "));
            assert_eq!(std::fs::read(to.join("sub/ñandú 日本")).unwrap().len(), 10_004);
        }
    }
}

/// We open, list and index what restic wrote.
#[tokio::test]
async fn we_read_what_restic_writes() {
    for restic in restics() {
        for version in ["1", "2"] {
            let world = World::new();
            std::fs::create_dir(world.path("source")).unwrap();
            std::fs::write(world.path("source/file"), noise(1, 3_000_000)).unwrap();
            world.restic_ok(&restic, &["init", "--repository-version", version]);
            let source = world.path("source");
            world.restic_ok(&restic, &["backup", "--tag", "t", source.to_str().unwrap()]);
            let repository = world.open().await;
            let snapshots = repository.list(FileKind::Snapshot).await.unwrap();
            let snapshot = repository.load_snapshot(&snapshots[0].id).await.unwrap();
            assert_eq!(snapshot.tags, ["t"]);
            let index = repository.load_index().await.unwrap().index;
            assert!(index.contains(BlobKind::Tree, &snapshot.tree));
            assert!(index.len(BlobKind::Data) >= 1);
        }
    }
}

/// A password that is not the one, and no repository at all.
#[tokio::test]
async fn what_does_not_open_says_why() {
    use repository::{Repository, RepositoryError, Surroundings};
    let world = World::new();
    let store = world.store().await;
    let here = Surroundings::of_this_process;
    let open = |password: &str| {
        let (store, password) = (store.clone(), password.to_owned().into());
        async move { Repository::open(store, &password, here()).await }
    };
    assert!(matches!(open("x").await, Err(RepositoryError::NoRepository(_))));
    world.init(Version::V2).await;
    assert!(matches!(open("x").await, Err(RepositoryError::WrongPassword { keys: 1 })));
    let again = crate::world::options(Version::V2);
    let password = crate::world::password();
    let made = Repository::init(store.clone(), &password, &again, here()).await;
    assert!(matches!(made, Err(RepositoryError::AlreadyThere(_))));
}
