//! Getting a file of WAL back.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use reqwest::{Method, Response, StatusCode};
use tokio::io::AsyncWriteExt as _;

use super::{Attempt, Client, Orchestrator, again, refused};

/// Before each further try: a recovery that stops has to be started again by people.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Puts the file `name` at `path`; false where the orchestrator has proven that it is not there.
pub(super) async fn fetch(from: &Orchestrator, name: &str, path: &Path) -> anyhow::Result<bool> {
    let client = Client::new(from, name).await?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    again(&PAUSES, || one(&client, folder, path)).await.with_context(|| name.to_owned())
}

async fn one(client: &Client, folder: &Path, path: &Path) -> Result<bool, Attempt> {
    let sent = client.request(Method::GET).send().await.map_err(reqwest::Error::without_url);
    let sent = sent.context("the orchestrator does not answer");
    let response = sent.map_err(Attempt::Passing)?;
    let status = response.status();
    if status == StatusCode::OK {
        return kept(response, folder, path).await.map(|()| true);
    }
    // A wrong address answers 404 as well, but not this.
    let is_absent = response.headers().get("X-Wal").is_some_and(|told| told == "absent");
    if status == StatusCode::NOT_FOUND && is_absent {
        return Ok(false);
    }
    let can_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let error = refused(response).await;
    Err(if can_pass { Attempt::Passing(error) } else { Attempt::Final(error) })
}

/// Under another name until it is whole: the server must never read a part of it.
async fn kept(mut response: Response, folder: &Path, path: &Path) -> Result<(), Attempt> {
    let told = |error: std::io::Error| Attempt::Final(anyhow!("{}: {error}", path.display()));
    let partial =
        tempfile::Builder::new().prefix(".wal-fetch-").tempfile_in(folder).map_err(told)?;
    let mut file = tokio::fs::File::from_std(partial.reopen().map_err(told)?);
    loop {
        let chunk = response.chunk().await.map_err(reqwest::Error::without_url);
        let chunk = chunk.context("the connection broke").map_err(Attempt::Passing)?;
        let Some(chunk) = chunk else { break };
        file.write_all(&chunk).await.map_err(told)?;
    }
    file.flush().await.map_err(told)?;
    file.sync_all().await.map_err(told)?;
    partial.persist(path).map_err(|error| told(error.error))?;
    Ok(())
}
