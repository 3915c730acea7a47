//! `backup-sidecar healthcheck`: asks our own server, so that an image needs no `curl`.

use std::time::Duration;

use anyhow::Context as _;
use contract::{ContractClient, Limits, NetPolicy};

use crate::config::Config;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether our own server answers `GET /healthz`.
pub(crate) async fn ask(config: &Config) -> anyhow::Result<()> {
    let host = match config.app.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let url = format!("http://{host}:{}", config.app.port).parse().context("app.host")?;
    let policy = NetPolicy { allow_loopback: true, ..NetPolicy::default() };
    let token = String::new().into();
    let client = ContractClient::new(url, token, policy, Limits::default())?;
    tokio::time::timeout(PATIENCE, client.health()).await.context("no answer within 5 s")??;
    Ok(())
}
