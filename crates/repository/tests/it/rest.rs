//! A repository at a REST server, beside stock restic.

use std::{path::Path, sync::Arc, time::Duration};

use repository::{
    FileKind, Id, Objects, ObjectsOptions, Repository, RepositoryError, Surroundings, Version,
    write::WriteOptions,
};
use store::{CreateOptions, Key, Rest, RestConfig, Store, StoreErrorKind};

use crate::{
    conformance,
    servers::{self, Server},
    world::{self, init_at, open_at, password},
};

pub(crate) fn config(server: &Server, path: &str) -> RestConfig {
    RestConfig {
        url: format!("http://127.0.0.1:{}/{path}", server.port()),
        username: Some("ana".to_owned()),
        password: Some("a word".into()),
    }
}

fn store(server: &Server, path: &str) -> Arc<dyn Store> {
    Arc::new(Rest::open(&config(server, path)).unwrap())
}

fn options() -> ObjectsOptions {
    ObjectsOptions {
        write: WriteOptions { pack_bytes: 1 << 20, workers: 2, ..WriteOptions::default() },
        idle: Duration::from_millis(50),
        patience: Duration::from_millis(100),
        ..ObjectsOptions::default()
    }
}

async fn start(rclone: &Path, more: &[&str]) -> Server {
    Server::restic(rclone, more).await
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_there_do_what_every_store_must() {
    let Some(rclone) = servers::rclone() else { return };
    let server = start(&rclone, &[]).await;
    let repository = init_at(store(&server, "deep/own folder"), Version::V2).await;
    conformance::all(Arc::new(Objects::new(repository, options()))).await;
    // What the server has is a repository's, with nothing beside it.
    let names: Vec<_> = std::fs::read_dir(server.folder().join("deep/own folder"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in &names {
        let known = ["config", "data", "keys", "locks", "snapshots", "index"];
        assert!(known.contains(&name.as_str()), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_a_repositorys_files_and_nothing_else() {
    let Some(rclone) = servers::rclone() else { return };
    let server = start(&rclone, &[]).await;
    let store = store(&server, "r");
    let error = store.create(&key("shop/a.sql"), &CreateOptions::default()).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("layout `repository`"), "{error}");
    assert!(store.stat(&key("shop/a.sql")).await.unwrap_err().is_not_found());
    store.delete(&key("shop/a.sql")).await.unwrap();

    let repository = init_at(Arc::clone(&store), Version::V2).await;
    let content = b"content of a pack".to_vec();
    let id = Id::of(&content);
    repository.save(FileKind::Pack, id, content.clone().into()).await.unwrap();
    let pack = key(&FileKind::Pack.path(&id));
    let meta = store.stat(&pack).await.unwrap();
    assert_eq!(meta.size_bytes, content.len() as u64);
    for (range, expected) in [
        (0..3, &content[..3]),
        (11..15, &content[11..15]),
        (11..99, &content[11..]),
        (99..100, b""),
    ] {
        let read = store.read(&pack, Some(range)).await.unwrap();
        let read: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(read).await.unwrap();
        assert_eq!(read.concat(), expected);
    }
    let again = store.create(&pack, &CreateOptions::default()).await.err().unwrap();
    assert!(again.is_already_exists());
    assert!(!format!("{store:?} {error}").contains("a word"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_so_and_a_repository_that_is_gone_is_an_error() {
    let Some(rclone) = servers::rclone() else { return };
    let server = start(&rclone, &[]).await;
    let repository = init_at(store(&server, "r"), Version::V2).await;
    let wrong = RestConfig { password: Some("another".into()), ..config(&server, "r") };
    let error = Rest::open(&wrong).unwrap().stat(&key("config")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::PermissionDenied, "{error}");
    for url in ["ftp://h/x", "http://ana:word@h/x", "http://h/x?y", "nothing"] {
        let config = RestConfig { url: url.to_owned(), username: None, password: None };
        let error = Rest::open(&config).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Config);
        assert!(!error.to_string().contains("ana:word"), "{error}");
    }
    std::fs::remove_dir_all(server.folder().join("r")).unwrap();
    let (password, here) = (password(), Surroundings::of_this_process());
    let fresh = Repository::open(store(&server, "r"), &password, here).await;
    assert!(matches!(fresh, Err(RepositoryError::NoRepository(_))));
    drop(repository);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_no_rest_server_has_no_short_list() {
    let Some(rclone) = servers::rclone() else { return };
    // It answers a listing with a page of HTML.
    let server = Server::webdav(&rclone).await;
    std::fs::create_dir(server.folder().join("keys")).unwrap();
    let config = RestConfig {
        url: format!("http://127.0.0.1:{}", server.port()),
        username: None,
        password: None,
    };
    let store = Rest::open(&config).unwrap();
    let error = store.list(&store::Prefix::new("keys").unwrap()).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    let error = store.list(&store::Prefix::new("locks").unwrap()).await.err().unwrap();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_only_server_takes_locks_away_and_nothing_else() {
    let Some(rclone) = servers::rclone() else { return };
    let server = start(&rclone, &["--append-only"]).await;
    let repository = init_at(store(&server, "r"), Version::V2).await;
    let objects = Objects::new(repository.clone(), options());
    conformance::put(&objects, "a.sql", b"kept").await.unwrap();
    assert_eq!(conformance::get(&objects, "a.sql").await.unwrap(), b"kept");
    let error = objects.delete(&key("a.sql")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::PermissionDenied, "{error}");
    assert_eq!(conformance::get(&objects, "a.sql").await.unwrap(), b"kept");
    objects.rest().await;
    assert!(repository.locks().await.unwrap().is_empty());
    // Nothing is written over either.
    let again = init_at_again(&server).await;
    assert!(matches!(again, Err(RepositoryError::AlreadyThere(_))));
    open_at(store(&server, "r")).await;
}

async fn init_at_again(server: &Server) -> Result<Repository, RepositoryError> {
    let (password, here) = (password(), Surroundings::of_this_process());
    Repository::init(store(server, "r"), &password, &world::options(Version::V2), here).await
}
