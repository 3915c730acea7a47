//! A running sidecar.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use contract::{ContractClient, ContractError, ExportRequest, Limits, NetPolicy, Prefer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "canary-token-of-the-sidecar";

pub(crate) struct Sidecar {
    child: Child,
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
}

impl Sidecar {
    /// Starts one with this strategy.
    pub(crate) async fn start(strategy: &Value, environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), strategy, environment, &json!({})).await
    }

    /// Starts one with this strategy in this folder; `changes` replace parts of the configuration.
    pub(crate) async fn start_in(
        folder: TempDir,
        strategy: &Value,
        environment: &[(&str, &str)],
        changes: &Value,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let work = folder.path().display().to_string();
        let mut config = json!({
            "app": { "port": port, "host": "127.0.0.1" },
            "capabilities": { "version": "v1", "types": ["db"], "est_seconds": 1, "est_size": 10 },
            "strategy": strategy,
            "paths": { "workdir": work, "artifacts": work, "temp_dump": format!("{work}/temp.dump") },
            "secrets": { "api_token": "${BACKUP_API_TOKEN}" },
        });
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_backup-sidecar"))
            .arg("--config")
            .arg(&file)
            .env("BACKUP_API_TOKEN", TOKEN)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let sidecar = Self { child, folder, port };
        for _ in 0..200 {
            if sidecar.client(TOKEN).health().await.is_ok() {
                return sidecar;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the sidecar did not start: {}", sidecar.stop());
    }

    pub(crate) fn client(&self, token: &str) -> ContractClient {
        Self::client_at(self.port, token)
    }

    pub(crate) fn client_at(port: u16, token: &str) -> ContractClient {
        let policy = NetPolicy { allow_loopback: true, ..NetPolicy::default() };
        let poll = (Duration::from_millis(50), Duration::from_millis(200));
        let idle_timeout = Duration::from_secs(10);
        let limits = Limits { idle_timeout, poll, ..Limits::default() };
        let url = format!("http://127.0.0.1:{port}").parse().unwrap();
        ContractClient::new(url, token.to_owned().into(), policy, limits).unwrap()
    }

    /// The whole export, proven by the client.
    pub(crate) async fn export(&self, prefer: Option<Prefer>) -> Result<Vec<u8>, ContractError> {
        Self::whole(&self.client(TOKEN), prefer).await
    }

    /// The whole export, proven by `client`.
    pub(crate) async fn whole(
        client: &ContractClient,
        prefer: Option<Prefer>,
    ) -> Result<Vec<u8>, ContractError> {
        let request = ExportRequest { prefer, ..ExportRequest::default() };
        let mut stream = client.open(&request, CancellationToken::new()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        assert!(stream.outcome().unwrap().verified_by_source);
        Ok(bytes)
    }

    /// Where artifacts wait to be fetched.
    pub(crate) fn spooled(&self) -> Vec<PathBuf> {
        let folder = self.path().join(".backup-sidecar");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for its end; gives its folder and its log.
    pub(crate) async fn ended(mut self) -> (TempDir, String) {
        until("the sidecar ends", || self.child.try_wait().unwrap().is_some()).await;
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        (folder, log)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Stops it; gives its log.
    pub(crate) fn stop(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut log);
        }
        log
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came that {what}");
}

/// Whether the process whose id a command wrote to `file` still runs. Of one that has ended and
/// is not yet waited for, the command line is empty.
pub(crate) fn lives(file: &Path) -> bool {
    let id = std::fs::read_to_string(file).unwrap();
    std::fs::read(format!("/proc/{}/cmdline", id.trim())).is_ok_and(|line| !line.is_empty())
}
