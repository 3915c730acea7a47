//! Artifacts into a folder: each under a temporary name until its size and checksum are proven
//! here, on this side of the wire.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{
    client::{CliError, Client},
    show,
};

pub(super) async fn restore(
    client: &Client,
    id: &str,
    to: &Path,
    force: bool,
    json: bool,
) -> Result<u8, CliError> {
    let told = |error: std::io::Error| CliError::Failed(format!("{}: {error}", to.display()));
    tokio::fs::create_dir_all(to).await.map_err(told)?;
    let mut entries = tokio::fs::read_dir(to).await.map_err(told)?;
    if !force && entries.next_entry().await.map_err(told)?.is_some() {
        return Err(CliError::Refused(format!(
            "{} is not empty: choose an empty folder, or give --force (nothing is replaced)",
            to.display()
        )));
    }
    let snapshot = client.get(&format!("snapshots/{id}")).await?;
    let mut restored = Vec::new();
    for artifact in snapshot["artifacts"].as_array().into_iter().flatten() {
        let path = one(client, id, artifact, to).await?;
        if !json {
            println!("{path}: {} bytes, SHA-256 right", artifact["size_bytes"]);
        }
        restored.push(json!({ "path": path, "sha256": artifact["sha256"] }));
    }
    if json {
        show::one(&json!({ "restored": restored }));
    }
    Ok(0)
}

async fn one(client: &Client, id: &str, artifact: &Value, to: &Path) -> Result<String, CliError> {
    let source = show::text(&artifact["source"]);
    // What the server tells is not trusted with a path.
    let name = contract::header::safe_name(show::text(&artifact["file_name"]))
        .ok_or_else(|| CliError::Failed("the artifact has no usable file name".to_owned()))?;
    let path = to.join(&name);
    let told = |error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    let path_of = format!("snapshots/{id}/artifacts/{source}");
    let mut response = client.send(Method::GET, &path_of, None).await?;
    let partial = to.join(format!(".{name}.partial"));
    let mut file = tokio::fs::File::create(&partial).await.map_err(told)?;
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut size = 0_u64;
    let read = async {
        while let Some(chunk) =
            response.chunk().await.map_err(|error| CliError::Failed(error.to_string()))?
        {
            hash.update(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(told)?;
        }
        file.sync_all().await.map_err(told)
    };
    let proven = read.await.and_then(|()| {
        let same = Some(size) == artifact["size_bytes"].as_u64()
            && hex::encode(hash.finish().as_ref()) == show::text(&artifact["sha256"]);
        let damaged = format!("`{source}` came damaged: it was not kept; verify the snapshot");
        if same { Ok(()) } else { Err(CliError::Failed(damaged)) }
    });
    // A link does not replace what is there.
    let linked = match proven {
        Ok(()) => tokio::fs::hard_link(&partial, &path).await.map_err(told),
        Err(error) => Err(error),
    };
    let _ = tokio::fs::remove_file(&partial).await;
    linked.map(|()| path.display().to_string())
}
