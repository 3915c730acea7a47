//! Places where what was written cannot be deleted say so.

use store::{Key, Rest, RestConfig, S3, Sftp, Store, StoreErrorKind};

use crate::{
    conformance::{get, put},
    servers::{self, S3Server, Server},
};

async fn refuses(store: &dyn Store, name: &str) {
    put(store, name, b"kept").await.unwrap();
    let error = store.delete(&Key::new(name).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::PermissionDenied, "{error}");
    assert!(!error.is_retryable());
    assert_eq!(get(store, name).await.unwrap(), b"kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_key_without_the_right_to_delete() {
    let server = S3Server::start().await;
    refuses(&S3::open(&server.writer_config("")).unwrap(), "app/a.sql").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ssh_server_without_removal() {
    let Some(sshd) = servers::sshd() else { return };
    let server = Server::sshd_without_deletion(&sshd).await;
    refuses(&Sftp::open(&server.sshd_config("r")).unwrap(), "app/a.sql").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rest_server_takes_lock_files_away_alone() {
    let Some(rclone) = servers::rclone() else { return };
    let server = Server::restic(&rclone, &["--append-only"]).await;
    let store = Rest::open(&RestConfig {
        url: format!("http://127.0.0.1:{}/r", server.port()),
        username: Some("ana".to_owned()),
        password: Some("a word".into()),
    })
    .unwrap();
    let id = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for folder in ["keys", "data/ba", "index", "snapshots"] {
        refuses(&store, &format!("{folder}/{id}")).await;
    }
    let lock = format!("locks/{id}");
    put(&store, &lock, b"passing").await.unwrap();
    store.delete(&Key::new(&lock).unwrap()).await.unwrap();
    assert!(store.stat(&Key::new(&lock).unwrap()).await.unwrap_err().is_not_found());
}
