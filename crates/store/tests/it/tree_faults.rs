//! Faults of servers that keep files: SFTP and WebDAV.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use store::{
    CreateOptions, Key, Prefix, Sftp, SftpConfig, Store, StoreError, StoreErrorKind, Webdav,
};

use crate::{
    conformance::put,
    servers::{Server, rclone, sshd},
};

/// Writes until the server that was killed half-way is missed.
async fn killed_halfway(store: &dyn Store, server: &mut Server) -> StoreError {
    let key = Key::new("app/x.dump").unwrap();
    let mut upload = store.create(&key, &CreateOptions::default()).await.unwrap();
    upload.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
    server.kill();
    for _ in 0..50 {
        if let Err(error) = upload.write(Bytes::from(vec![7; 1 << 20])).await {
            return error;
        }
    }
    upload.finish().await.unwrap_err()
}

fn assert_nothing_is_there(server: &Server) {
    assert!(!server.folder().join("objects/app/x.dump").exists(), "a part became the object");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webdav_server_that_dies_leaves_nothing_under_the_name() {
    let Some(program) = rclone() else { return };
    let mut server = Server::webdav(&program).await;
    let store = Webdav::open(&server.webdav_config("objects")).unwrap();
    let error = killed_halfway(&store, &mut server).await;
    assert!(error.is_retryable(), "{error}");
    assert_nothing_is_there(&server);
    let unreachable = store.list(&Prefix::root()).await.err().unwrap();
    assert_eq!(unreachable.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sftp_server_that_dies_leaves_nothing_under_the_name() {
    let Some(program) = rclone() else { return };
    let mut server = Server::sftp(&program).await;
    let mut config = SftpConfig {
        username: "anyone".to_owned(),
        path: "objects".to_owned(),
        host_key: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        password: Some("word".into()),
        ..server.password_config()
    };
    // Another server than the expected one is refused, and its key told.
    let refused = put(&Sftp::open(&config).unwrap(), "a", b"x").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Config, "{refused}");
    let said = refused.to_string();
    let shown = said.split("host key ").nth(1).unwrap().split(',').next().unwrap();
    shown.clone_into(&mut config.host_key);
    let stranger = SftpConfig { password: Some("another".into()), ..config.clone() };
    let refused = put(&Sftp::open(&stranger).unwrap(), "a", b"x").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::PermissionDenied, "{refused}");

    let store = Sftp::open(&config).unwrap();
    let error = killed_halfway(&store, &mut server).await;
    assert!(error.is_retryable(), "{error}");
    assert_nothing_is_there(&server);
    assert!(store.list(&Prefix::root()).await.err().unwrap().is_retryable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_upload_left_is_swept_by_age_and_only_ours() {
    let Some(sshd) = sshd() else { return };
    let server = Server::sshd(&sshd).await;
    let store = Sftp::open(&server.sshd_config("objects")).unwrap();
    let key = Key::new("app/x.dump").unwrap();
    let mut upload = store.create(&key, &CreateOptions::default()).await.unwrap();
    upload.write(Bytes::from(vec![0; 1 << 20])).await.unwrap();
    std::mem::forget(upload); // As a kill would leave it.
    let folder = server.folder().join("objects");
    std::fs::write(folder.join("app/theirs.partial"), b"x").unwrap();
    let (day, now) = (Duration::from_secs(86_400), SystemTime::now());
    assert!(store.sweep(&Prefix::root(), day, now).await.unwrap().is_empty());
    assert_eq!(store.sweep(&Prefix::root(), day, now + 2 * day).await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.join("app")).unwrap().count(), 1);
    // An unmounted disk is an error, not an empty listing.
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(store.list(&Prefix::root()).await.is_err());
    assert!(store.delete(&key).await.is_err());
}

/// A disk of 2 MiB at the server, unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(folder: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(&folder)
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: no disk can be mounted here");
        }
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_at_an_sftp_server_is_told_and_leaves_nothing() {
    let Some(sshd) = sshd() else { return };
    let server = Server::sshd(&sshd).await;
    let Some(_disk) = SmallDisk::at(server.folder().join("objects")) else { return };
    let store = Sftp::open(&server.sshd_config("objects")).unwrap();
    put(&store, "app/fits.dump", &vec![1; 100_000]).await.unwrap();
    let key = Key::new("app/x.dump").unwrap();
    let mut upload = store.create(&key, &CreateOptions::default()).await.unwrap();
    let mut failed = None;
    for _ in 0..6 {
        if let Err(error) = upload.write(Bytes::from(vec![7; 1 << 20])).await {
            failed = Some(error);
            break;
        }
    }
    let error = match failed {
        Some(error) => {
            upload.abort().await.unwrap();
            error
        }
        None => upload.finish().await.unwrap_err(),
    };
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    // Only what was whole before is there, and there is room again.
    let left = std::fs::read_dir(server.folder().join("objects/app")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["fits.dump"]);
    put(&store, "app/y.dump", &vec![1; 500_000]).await.unwrap();
}
