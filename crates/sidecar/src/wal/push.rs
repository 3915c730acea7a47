//! Handing a file of WAL over.

use std::path::Path;

use anyhow::Context as _;
use reqwest::{Body, Method, header};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{Client, Orchestrator, name_of, refused};

/// Read at once, in bytes.
const PIECE: usize = 256 << 10;

/// Returns when the file is durable at the destination.
pub(super) async fn push(to: &Orchestrator, path: &Path) -> anyhow::Result<()> {
    let client = Client::new(to, name_of(path)?).await?;
    let told = || format!("{}", path.display());
    let (size, sha256) = digest(path).await.with_context(told)?;
    let file = tokio::fs::File::open(path).await.with_context(told)?;
    // No more than was looked at, should it grow meanwhile: then its checksum is wrong, and refused.
    let body = Body::wrap_stream(ReaderStream::with_capacity(file.take(size), PIECE));
    let request = client
        .request(Method::PUT)
        .header(header::CONTENT_LENGTH, size)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header("X-Checksum-SHA256", sha256)
        .body(body);
    let response = request.send().await.map_err(reqwest::Error::without_url);
    let response =
        response.with_context(|| format!("`{}` did not reach the orchestrator", told()))?;
    if response.status().is_success() {
        return Ok(());
    }
    Err(refused(response).await.context(told()))
}

/// The size and the SHA-256 of a file.
async fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        let count = file.read(&mut piece).await?;
        if count == 0 {
            return Ok((size, hex::encode(hash.finish())));
        }
        hash.update(&piece[..count]);
        size += count as u64;
    }
}
