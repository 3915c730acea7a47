//! An S3 server over a folder.

use std::path::PathBuf;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tempfile::TempDir;

pub(crate) const KEY: &str = "key-id-of-the-bucket";
pub(crate) const SECRET: &str = "canary-secret-of-the-bucket";

pub(crate) struct S3Server {
    pub(crate) url: String,
    folder: TempDir,
}

impl S3Server {
    pub(crate) async fn start(bucket: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(bucket)).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let service = {
            let mut builder = S3ServiceBuilder::new(files);
            builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
            builder.build()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, folder }
    }

    /// Where the objects of `bucket` lie.
    pub(crate) fn bucket(&self, bucket: &str) -> PathBuf {
        self.folder.path().join(bucket)
    }
}
