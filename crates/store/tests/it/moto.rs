//! Moto: AWS for tests, which knows Object Lock.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use store::{LockMode, ObjectLock, S3Config};

use crate::servers::Server;

/// The bucket with Object Lock, and the one without.
pub(crate) const LOCKED: &str = "locked";
pub(crate) const PLAIN: &str = "plain";

pub(crate) struct Moto {
    _server: Server,
    address: String,
    http: reqwest::Client,
}

/// The Python to run it with: where `cargo xtask test` installed it, or the machine's own.
fn python() -> Option<Command> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let own = cache.map(|cache| cache.join("backup-orchestrator/moto/bin/python3"));
    let python = own.filter(|python| python.exists()).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&python);
    let found = command.args(["-c", "import moto.server"]).output();
    let is_there = found.is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "moto is needed in CI");
    if !is_there {
        eprintln!("skipped: moto is not installed (`cargo xtask test` does it)");
    }
    is_there.then(|| Command::new(python))
}

impl Moto {
    pub(crate) async fn start() -> Option<Self> {
        let mut python = python()?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server::start(|_, port| {
            python.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
            python
        })
        .await;
        let address = format!("http://127.0.0.1:{}", server.port());
        let moto = Self { _server: server, address, http: reqwest::Client::new() };
        for (bucket, lock) in [(LOCKED, "true"), (PLAIN, "false")] {
            let make = moto.http.put(format!("{}/{bucket}", moto.address));
            let made = moto.sent(make.header("x-amz-bucket-object-lock-enabled", lock)).await;
            assert!(made.status().is_success());
        }
        Some(moto)
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        // It reads who asks, and proves nothing.
        let who = "AWS4-HMAC-SHA256 Credential=key-id/20260101/us-east-1/s3/aws4_request, \
                   SignedHeaders=host, Signature=0";
        request.header("authorization", who).send().await.unwrap()
    }

    pub(crate) fn config(&self, bucket: &str, lock: Option<ObjectLock>) -> S3Config {
        S3Config {
            bucket: bucket.to_owned(),
            endpoint: Some(self.address.clone()),
            prefix: Some("deep".to_owned()),
            path_style: true,
            access_key_id: Some("key-id".into()),
            secret_access_key: Some("key-secret".into()),
            object_lock: lock,
            ..S3Config::default()
        }
    }

    /// How an object is locked: the mode, and until when.
    pub(crate) async fn lock_of(&self, key: &str) -> Option<(String, jiff::Timestamp)> {
        let answer =
            self.sent(self.http.head(format!("{}/{LOCKED}/deep/{key}", self.address))).await;
        assert!(answer.status().is_success(), "{key}: {}", answer.status());
        let told: BTreeMap<_, _> = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap().to_owned()))
            .collect();
        let until = told.get("x-amz-object-lock-retain-until-date")?.parse().unwrap();
        Some((told.get("x-amz-object-lock-mode")?.clone(), until))
    }

    /// What the server says to whoever wants every version of an object gone.
    pub(crate) async fn purge(&self, key: &str) -> Vec<u16> {
        let list = format!("{}/{LOCKED}?versions&prefix=deep/{key}", self.address);
        let list = self.sent(self.http.get(list)).await.text().await.unwrap();
        let ids = list.split("<VersionId>").skip(1).filter_map(|rest| rest.split('<').next());
        let mut said = Vec::new();
        for id in ids {
            let version = format!("{}/{LOCKED}/deep/{key}?versionId={id}", self.address);
            said.push(self.sent(self.http.delete(version)).await.status().as_u16());
        }
        said
    }
}

/// `days` in `mode`, for all but what lies in `except`.
pub(crate) fn lock(mode: LockMode, days: u32, except: &str) -> ObjectLock {
    ObjectLock { mode, days, except: vec![store::Prefix::new(except).unwrap()] }
}
