//! Whether the server of this machine or container answers.

use std::time::Duration;

use super::CliError;
use crate::settings::Environment;

/// Shorter than the time-out of a container's health check.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Asks `/healthz` on `APP_PORT`; needs no token.
pub(super) async fn healthcheck(environment: &Environment) -> Result<u8, CliError> {
    let port = environment
        .get("APP_PORT")
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .unwrap_or("5550");
    let url = format!("http://127.0.0.1:{port}/healthz");
    let failed = |why: String| CliError::Failed(format!("{url}: {why}"));
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
    let client = client.map_err(|error| failed(error.to_string()))?;
    let response = client.get(&url).send().await.map_err(|error| {
        let what = if error.is_connect() {
            "nothing listens there: is `backup-orchestrator serve` running?".to_owned()
        } else {
            error.without_url().to_string()
        };
        failed(what)
    })?;
    let status = response.status();
    if status.is_success() { Ok(0) } else { Err(failed(format!("it answers {status}"))) }
}
