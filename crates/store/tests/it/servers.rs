//! Real servers for the stores to talk to, on the loopback interface.

use std::{
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use store::{S3Config, Store, StoreConfig, open};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::script::Script;

pub(crate) struct S3Server {
    address: std::net::SocketAddr,
    pub(crate) script: Script,
    folder: TempDir,
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let service = {
            let mut builder = S3ServiceBuilder::new(files);
            builder.set_auth(SimpleAuth::from_single("key-id", "key-secret"));
            builder.build()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script::default();
        let played = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, script) = (service.clone(), played.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let played =
                        service_fn(move |request| script.clone().play(service.clone(), request));
                    let _ = server.serve_connection(TokioIo::new(stream), played).await;
                });
            }
        });
        Self { address, script, folder }
    }

    pub(crate) fn config(&self, prefix: &str) -> S3Config {
        S3Config {
            bucket: "bucket".to_owned(),
            endpoint: Some(format!("http://{}", self.address)),
            prefix: Some(prefix.to_owned()),
            path_style: true,
            access_key_id: Some("key-id".into()),
            secret_access_key: Some("key-secret".into()),
            ..S3Config::default()
        }
    }

    pub(crate) async fn store(&self, prefix: &str) -> Arc<dyn Store> {
        open(StoreConfig::S3(self.config(prefix))).await.unwrap()
    }

    /// How many parts of unfinished uploads the server keeps.
    pub(crate) fn parts_kept(&self) -> usize {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().contains(".upload_id-")
            })
            .count()
    }
}

/// The rclone program; without it the tests that need it end early, except in CI.
pub(crate) fn rclone() -> Option<PathBuf> {
    let there = Command::new("rclone").arg("version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "rclone is needed in CI");
    if !there {
        eprintln!("skipped: rclone is not installed");
    }
    there.then(|| PathBuf::from("rclone"))
}

pub(crate) struct Webdav {
    child: Child,
    folder: TempDir,
}

impl Webdav {
    pub(crate) async fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        std::fs::create_dir(&served).unwrap();
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["serve", "webdav", "--addr", &format!("127.0.0.1:{port}"), "--config", ""])
            .arg(&served)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From here on it is ended with its owner, whatever goes wrong.
        let server = Self { child, folder };
        let config =
            format!("[dav]\ntype = webdav\nurl = http://127.0.0.1:{port}\nvendor = other\n");
        std::fs::write(server.config_file(), config).unwrap();
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("rclone serve webdav did not start");
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("rclone.conf")
    }
}

impl Drop for Webdav {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
