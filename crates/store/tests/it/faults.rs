//! Faults, injected.

use std::{os::unix::process::ExitStatusExt as _, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use store::{
    CreateOptions, Deadlines, Fault, Faulty, Key, Local, Memory, Operation, Prefix, Store,
    StoreErrorKind,
};

use crate::conformance::{get, list, put};

#[tokio::test]
async fn a_stalled_store_ends_in_a_deadline() {
    let faulty = Faulty::new(Arc::new(Memory::default()));
    let timed = Deadlines::new(
        Arc::new(faulty.clone()),
        Duration::from_millis(50),
        Duration::from_millis(100),
    );
    for operation in [Operation::Create, Operation::Write, Operation::Finish] {
        faulty.inject(operation, Fault::Stall);
        let error = put(&timed, "a", b"bytes").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout, "{operation:?}");
        assert!(error.is_retryable());
    }
    put(&timed, "a", b"bytes").await.unwrap();
}

#[tokio::test]
async fn a_broken_listing_is_an_error_and_never_a_short_list() {
    let faulty = Faulty::new(Arc::new(Memory::default()));
    for name in ["a", "b", "c"] {
        put(&faulty, name, b"x").await.unwrap();
    }
    faulty.inject(Operation::List, Fault::FailsOnSecondPage);
    assert!(list(&faulty, "").await.is_err());
    assert_eq!(list(&faulty, "").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_folder_that_goes_away_while_it_is_listed_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (root, aside) = (folder.path().join("disk"), folder.path().join("aside"));
    let local = Local::open(&root).await.unwrap();
    for name in ["a", "b/c", "d/e"] {
        put(&local, name, b"x").await.unwrap();
    }
    let mut listing = local.list(&Prefix::root()).await.unwrap();
    assert_eq!(listing.next().await.unwrap().unwrap().key.as_str(), "a");
    // As an unmounted disk leaves its folder: there, and empty.
    std::fs::rename(&root, &aside).unwrap();
    std::fs::create_dir(&root).unwrap();
    let error = listing.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&aside, &root).unwrap();
    assert_eq!(list(&local, "").await.unwrap().len(), 3);
}

#[tokio::test]
async fn flipped_bits_reach_the_reader() {
    let faulty = Faulty::new(Arc::new(Memory::default()));
    put(&faulty, "a", b"bytes").await.unwrap();
    faulty.inject(Operation::Read, Fault::FlippedBit);
    assert_ne!(get(&faulty, "a").await.unwrap(), b"bytes");
}

#[tokio::test]
async fn partial_files_are_swept_by_age_and_only_ours() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(folder.path()).await.unwrap();
    let key = Key::new("app/x.dump").unwrap();
    let mut upload = local.create(&key, &CreateOptions::default()).await.unwrap();
    upload.write(Bytes::from(vec![0; 2 << 20])).await.unwrap();
    std::mem::forget(upload); // As a kill would leave it.
    std::fs::write(folder.path().join("theirs.partial"), b"x").unwrap();
    std::fs::write(folder.path().join("app/.bo-theirs.partial"), b"x").unwrap();

    let day = Duration::from_secs(86_400);
    let now = std::time::SystemTime::now();
    assert!(local.sweep(&Prefix::root(), day, now).await.unwrap().is_empty());
    let swept = local.sweep(&Prefix::root(), day, now + 2 * day).await.unwrap();
    assert_eq!(swept.len(), 1);
    assert!(folder.path().join("theirs.partial").exists());
    assert!(folder.path().join("app/.bo-theirs.partial").exists());
}

#[tokio::test]
async fn two_writers_of_one_name_leave_one_whole_object() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(folder.path()).await.unwrap();
    let key = Key::new("race.bin").unwrap();
    let mut first = local.create(&key, &CreateOptions::default()).await.unwrap();
    let mut second = local.create(&key, &CreateOptions::default()).await.unwrap();
    first.write(Bytes::from_static(b"first")).await.unwrap();
    second.write(Bytes::from_static(b"second")).await.unwrap();
    first.finish().await.unwrap();
    assert!(second.finish().await.unwrap_err().is_already_exists());
    assert_eq!(get(&local, "race.bin").await.unwrap(), b"first");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_full_disk_is_told_as_full() {
    // A tmpfs of 2 MiB, where this machine lets us mount one.
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path())
        .status()
        .is_ok_and(|status| status.success() && status.signal().is_none());
    if !mounted {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let local = Local::open(folder.path()).await.unwrap();
    let error = put(&local, "big", &vec![7; 4 << 20]).await.unwrap_err();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    let small = put(&local, "small", b"fits").await;
    let _ = std::process::Command::new("umount").arg("-l").arg(folder.path()).status();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert_eq!(left, 0, "the partial file stayed");
    small.unwrap();
}
