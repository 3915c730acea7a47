//! What an rclone remote can do wrong.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use store::{CreateOptions, Key, Rclone, RcloneConfig, Store, StoreErrorKind, Upload};

use crate::{
    conformance::{get, list, put},
    servers::{Server, rclone},
};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

async fn begin(store: &dyn Store) -> Box<dyn Upload> {
    store.create(&Key::new("app/x").unwrap(), &CreateOptions::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_during_an_upload_leaves_nothing_under_the_name() {
    let Some(program) = rclone() else { return };
    // rclone itself tries for half a minute.
    tokio::join!(dies_after(&program, 20), dies_after(&program, 0));
}

async fn dies_after(program: &Path, more_chunks: usize) {
    let mut server = Server::webdav(program).await;
    let store = Rclone::open(server.remote(program, "objects")).await.unwrap();
    let mut upload = begin(&store).await;
    for _ in 0..20 {
        upload.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
    }
    server.kill();
    let mut written = Ok(());
    for _ in 0..more_chunks {
        written = upload.write(Bytes::from(vec![7; 1 << 20])).await;
        if written.is_err() {
            break;
        }
    }
    let error = match written {
        Err(error) => error,
        Ok(()) => upload.finish().await.unwrap_err(),
    };
    assert!(error.is_retryable(), "{error}");
    let left = files(&server.folder());
    assert!(!left.iter().any(|path| path.ends_with("app/x")), "{left:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_yet_has_nothing_to_sweep() {
    let Some(program) = rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &program, "").await;
    let now = std::time::SystemTime::now();
    let swept = store.sweep(&store::Prefix::root(), std::time::Duration::ZERO, now).await;
    assert!(swept.unwrap().is_empty());
}

/// rclone, with something put before it.
fn broken(folder: &Path, program: &Path, how: &str) -> RcloneConfig {
    let script = folder.join("rclone.sh");
    let text = format!("#!/bin/sh\n{how}\nexec {} \"$@\"\n", program.display());
    // Written by another process: a file that this one had open for writing may still be so in a
    // child, and then it cannot be run.
    let mut writer = std::process::Command::new("tee");
    writer.arg(&script).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut writer = writer.spawn().unwrap();
    std::io::Write::write_all(&mut writer.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config_file = folder.join("rclone.conf");
    std::fs::write(&config_file, "[here]\ntype = local\n").unwrap();
    RcloneConfig {
        program: script,
        config_file: Some(config_file),
        remote: "here".to_owned(),
        path: folder.join("objects").display().to_string(),
        root_folder_id: None,
        env: Vec::new(),
    }
}

async fn open(folder: &Path, program: &Path, how: &str) -> Rclone {
    Rclone::open(broken(folder, program, how)).await.unwrap()
}

#[tokio::test]
async fn a_renaming_whose_reply_is_lost_is_done() {
    let Some(program) = rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let how = "if [ \"$1\" = moveto ]; then rclone \"$@\"; echo 'unexpected EOF' >&2; exit 1; fi";
    let store = open(folder.path(), &program, how).await;
    put(&store, "app/x", b"whole").await.unwrap();
    assert_eq!(get(&store, "app/x").await.unwrap(), b"whole");
    assert_eq!(files(&folder.path().join("objects")).len(), 1);
}

#[tokio::test]
async fn a_renaming_that_fails_leaves_nothing() {
    let Some(program) = rclone() else { return };
    for (says, code, kind) in [
        ("unexpected EOF", 1, StoreErrorKind::Unavailable),
        ("directory not found", 3, StoreErrorKind::Unavailable),
        ("Error 429: too many requests", 5, StoreErrorKind::Throttled),
        ("Error 403: storageQuotaExceeded", 1, StoreErrorKind::Full),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let how = format!("if [ \"$1\" = moveto ]; then echo '{says}' >&2; exit {code}; fi");
        let store = open(folder.path(), &program, &how).await;
        let error = put(&store, "app/x", b"whole").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(files(&folder.path().join("objects")).is_empty());
    }
}

#[tokio::test]
async fn an_object_that_arrives_short_never_gets_its_name() {
    let Some(program) = rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let how = "if [ \"$1\" = rcat ]; then head -c 3 | rclone \"$@\"; exit 0; fi";
    let store = open(folder.path(), &program, how).await;
    let error = put(&store, "app/x", b"whole").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Mismatch);
    assert!(files(&folder.path().join("objects")).is_empty());

    // The same at a remote that cannot rename.
    let folder = tempfile::tempdir().unwrap();
    let how = "if [ \"$1\" = rcat ]; then head -c 3 | rclone \"$@\"; exit 0; fi\n\
        if [ \"$1\" = backend ]; then echo '{\"Features\":{\"Move\":false}}'; exit 0; fi";
    let store = open(folder.path(), &program, how).await;
    let error = put(&store, "app/x", b"whole").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Mismatch);
    assert!(files(&folder.path().join("objects")).is_empty());
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_an_error() {
    let Some(program) = rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let whole = open(folder.path(), &program, "").await;
    put(&whole, "app/x", b"x").await.unwrap();
    for how in [
        // All that was found so far, and a failure.
        "rclone \"$@\"; echo 'couldnt list directory: Error 500' >&2; exit 1",
        // Half of it, and no failure.
        "rclone \"$@\" | head -c 30; exit 0",
        // Nothing at all.
        "exit 0",
        "echo '<html>'; exit 0",
    ] {
        let how = format!("if [ \"$1\" = lsjson ]; then {how}; fi");
        let store = open(folder.path(), &program, &how).await;
        let error = list(&store, "").await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(store.stat(&Key::new("app/x").unwrap()).await.is_err());
    }
}

#[tokio::test]
async fn a_full_disk_under_a_remote_is_told_as_full() {
    let Some(program) = rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects");
    std::fs::create_dir(&objects).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&objects)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let store = open(folder.path(), &program, "").await;
    let large = put(&store, "large", &vec![7; 4 << 20]).await;
    let small = put(&store, "small", b"fits").await;
    let listed = list(&store, "").await;
    let _ = std::process::Command::new("umount").arg("-l").arg(&objects).status();
    assert_eq!(large.unwrap_err().kind(), StoreErrorKind::Full);
    small.unwrap();
    assert_eq!(listed.unwrap().len(), 1);
}
