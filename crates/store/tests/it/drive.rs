//! Google Drive, described to rclone by its environment alone.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use store::{CreateOptions, DriveConfig, Key, Rclone, Store, StoreConfig, StoreErrorKind, open};

use crate::{
    conformance::{self, list, put},
    fake_drive::{FakeDrive, REFRESH},
    servers,
};

fn config(program: &std::path::Path, fake: &FakeDrive, refresh: &str) -> store::RcloneConfig {
    let token = format!(
        "{{\"access_token\":\"old\",\"token_type\":\"Bearer\",\"refresh_token\":\"{refresh}\",\
         \"expiry\":\"2020-01-01T00:00:00Z\"}}"
    );
    let drive = DriveConfig {
        path: "copies".to_owned(),
        client_id: Some("the client".to_owned()),
        client_secret: Some("its secret".into()),
        token: Some(token.into()),
        ..DriveConfig::default()
    };
    let mut config = drive.rclone(program.to_owned()).unwrap();
    config.env.extend(fake.env());
    config
}

/// rclone with the token of a person; it is renewed by each process and never kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite() {
    let Some(program) = servers::rclone() else { return };
    let fake = FakeDrive::start().await;
    let config = config(&program, &fake, REFRESH);
    let store = open(StoreConfig::Rclone(config)).await.unwrap();
    conformance::all(Arc::clone(&store)).await;
    assert!(fake.drive.refreshed() > 1);
    let hosts = fake.drive.hosts();
    assert!(hosts.iter().all(|host| host.ends_with(".googleapis.com")), "{hosts:?}");
    let asked = fake.drive.asked();
    assert!(asked.iter().any(|one| one.contains("/upload/session/")), "no resumable upload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_argument_list() {
    let Some(program) = servers::rclone() else { return };
    let fake = FakeDrive::start().await;
    let store = Rclone::open(config(&program, &fake, REFRESH)).await.unwrap();
    let name = Key::new("x.bin").unwrap();
    let mut upload = store.create(&name, &CreateOptions::default()).await.unwrap();
    upload.write(Bytes::from(vec![1; 300_000])).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.starts_with("rclone\0rcat") && line.contains("GD:copies") {
            seen += 1;
            assert!(!line.contains(REFRESH) && !line.contains("its secret"), "{line}");
        }
    }
    assert!(seen > 0, "rclone was not seen at work");
    assert!(!format!("{store:?}").contains(REFRESH));
    upload.abort().await.unwrap();
    // Killed before the end of its input: nothing of it became visible.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let names = fake.drive.names();
    assert!(!names.iter().any(|name| name.contains("x.bin")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_google_refuses_is_told() {
    let Some(program) = servers::rclone() else { return };
    let fake = FakeDrive::start().await;
    let revoked = open(StoreConfig::Rclone(config(&program, &fake, "revoked"))).await;
    let error = revoked.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::PermissionDenied, "{error}");

    let store = open(StoreConfig::Rclone(config(&program, &fake, REFRESH))).await.unwrap();
    put(store.as_ref(), "a", b"a").await.unwrap();
    fake.drive.fail_listings(Some(403));
    assert!(list(store.as_ref(), "").await.is_err(), "a listing that failed was a short one");
    fake.drive.fail_listings(None);
    assert_eq!(list(store.as_ref(), "").await.unwrap().len(), 1);
    fake.drive.be_full();
    let error = put(store.as_ref(), "b", b"b").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
}

#[test]
fn what_is_no_set_of_credentials_is_refused() {
    let with = |token: Option<&str>, account: Option<&str>| {
        let drive = DriveConfig {
            token: token.map(Into::into),
            service_account: account.map(Into::into),
            ..DriveConfig::default()
        };
        drive.rclone("rclone".into())
    };
    assert!(with(None, None).is_err());
    assert!(with(Some("not json"), None).is_err());
    assert!(with(Some("{\"access_token\":\"x\"}"), None).is_err());
    assert!(with(Some("{\"refresh_token\":\"x\"}"), Some("{}")).is_err());
    assert!(with(None, Some("{\"type\":\"authorized_user\"}")).is_err());
    let account = "{\"type\":\"service_account\",\"private_key\":\"k\",\"client_email\":\"e\"}";
    assert!(with(None, Some(account)).is_ok());
    assert!(with(Some("{\"refresh_token\":\"x\"}"), None).is_ok());
}
