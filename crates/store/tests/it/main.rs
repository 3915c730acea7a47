//! One suite for every store, and the faults that only some of them know.

mod append_only;
mod azblob;
mod azurite;
mod conformance;
mod drive;
mod fake_drive;
mod faults;
mod moto;
mod object_lock;
mod rclone_faults;
mod s3_faults;
mod script;
mod servers;
mod sshd;
mod tree_faults;

use std::sync::Arc;

use store::{Faulty, Local, LocalConfig, Memory, RcloneConfig, S3Config, Store, StoreConfig, open};

#[tokio::test]
async fn memory() {
    conformance::all(Arc::new(Memory::default())).await;
}

#[tokio::test]
async fn local() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not yet there");
    conformance::all(open(StoreConfig::Local(LocalConfig { root, closed: None })).await.unwrap())
        .await;
}

#[tokio::test]
async fn a_faulty_store_without_faults() {
    conformance::all(Arc::new(Faulty::new(Arc::new(Memory::default())))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3() {
    let server = servers::S3Server::start().await;
    conformance::all(server.store("").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_in_a_folder_of_the_bucket() {
    let server = servers::S3Server::start().await;
    conformance::all(server.store("deep/folder").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_to_a_folder() {
    let Some(program) = servers::rclone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config_file = folder.path().join("rclone.conf");
    std::fs::write(&config_file, "[here]\ntype = local\n").unwrap();
    let config = RcloneConfig {
        program,
        config_file: Some(config_file),
        remote: "here".to_owned(),
        path: folder.path().join("objects").display().to_string(),
        root_folder_id: None,
        env: Vec::new(),
    };
    conformance::all(open(StoreConfig::Rclone(config)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_to_a_webdav_server() {
    let Some(program) = servers::rclone() else { return };
    let server = servers::Server::webdav(&program).await;
    let config = server.remote(&program, "objects");
    conformance::all(open(StoreConfig::Rclone(config)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webdav() {
    let Some(program) = servers::rclone() else { return };
    let server = servers::Server::webdav(&program).await;
    for path in ["", "deep/own folder"] {
        let config = server.webdav_config(path);
        conformance::all(open(StoreConfig::Webdav(config)).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sftp() {
    let Some(sshd) = servers::sshd() else { return };
    let server = servers::Server::sshd(&sshd).await;
    for path in ["", "deep/own folder"] {
        let config = server.sshd_config(path);
        conformance::all(open(StoreConfig::Sftp(config)).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_to_an_sftp_server() {
    let Some(program) = servers::rclone() else { return };
    let server = servers::Server::sftp(&program).await;
    let config = server.remote(&program, "objects");
    conformance::all(open(StoreConfig::Rclone(config)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_to_openssh() {
    let (Some(program), Some(sshd)) = (servers::rclone(), servers::sshd()) else { return };
    let server = servers::Server::sshd(&sshd).await;
    let folder = server.folder().join("objects").display().to_string();
    let config = server.remote(&program, &folder);
    conformance::all(open(StoreConfig::Rclone(config)).await.unwrap()).await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let Some(program) = servers::rclone() else { return };
    for remote in ["", "--config", "a:b", "x\ny", "$(id)"] {
        let config = RcloneConfig {
            program: program.clone(),
            config_file: None,
            remote: remote.to_owned(),
            path: String::new(),
            root_folder_id: None,
            env: Vec::new(),
        };
        assert!(open(StoreConfig::Rclone(config)).await.is_err(), "{remote:?} was accepted");
    }
    let nowhere = S3Config { bucket: String::new(), ..S3Config::default() };
    assert!(open(StoreConfig::S3(nowhere)).await.is_err());
}

#[tokio::test]
async fn an_unmounted_folder_is_an_error_and_not_an_empty_listing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mount");
    let local = Local::open(&root).await.unwrap();
    std::fs::remove_dir(&root).unwrap();
    assert!(local.list(&store::Prefix::root()).await.is_err());
    assert!(local.delete(&store::Key::new("a").unwrap()).await.is_err());
}
