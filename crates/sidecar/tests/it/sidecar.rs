//! A running sidecar.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use contract::{ContractClient, ContractError, ExportRequest, Limits, NetPolicy, Prefer};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "canary-token-of-the-sidecar";

pub(crate) struct Sidecar {
    child: Child,
    pub(crate) folder: TempDir,
    port: u16,
}

impl Sidecar {
    /// Starts one with this strategy; `@` in its text is the working folder.
    pub(crate) async fn start(strategy: &Value, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let work = folder.path().display().to_string();
        let config = serde_json::json!({
            "app": { "port": port, "host": "127.0.0.1" },
            "capabilities": { "version": "v1", "types": ["db"], "est_seconds": 1, "est_size": 10 },
            "strategy": strategy,
            "paths": { "workdir": work, "artifacts": work, "temp_dump": format!("{work}/temp.dump") },
            "secrets": { "api_token": "${BACKUP_API_TOKEN}" },
        });
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
        let policy = NetPolicy { allow_loopback: true, ..NetPolicy::default() };
        let limits = Limits { idle_timeout: Duration::from_secs(10), ..Limits::default() };
        let url = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
        ContractClient::new(url, token.to_owned().into(), policy, limits).unwrap()
    }

    /// The whole export, proven by the client.
    pub(crate) async fn export(&self, prefer: Option<Prefer>) -> Result<Vec<u8>, ContractError> {
        let request = ExportRequest { prefer, ..ExportRequest::default() };
        let mut stream = self.client(TOKEN).open(&request, CancellationToken::new()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        assert!(stream.outcome().unwrap().verified_by_source);
        Ok(bytes)
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
