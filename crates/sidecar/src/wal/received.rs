//! What a receiver hands out, on its way to the orchestrator: acknowledged to the server only when
//! that has answered that it is durable at the destination.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::stream::try_unfold;
use replication::{Body, Event, Piece};
use reqwest::{Method, StatusCode, header};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{Attempt, Client, Orchestrator, refused};

/// Segments on their way at once.
pub(super) const AT_ONCE: usize = 2;
/// First and longest pause before a segment is sent again.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Bytes that can be read again.
#[derive(Clone)]
enum Content {
    Received(Body),
    Small(Option<Bytes>),
}

impl Content {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        match self {
            Self::Received(body) => body.next().await,
            Self::Small(bytes) => Ok(bytes.take()),
        }
    }
}

/// A file of WAL, or the beginning of one.
struct File {
    name: String,
    /// What the orchestrator is told of it.
    mark: &'static str,
    content: Content,
}

/// Takes what the receiver hands out.
pub(super) async fn hand_over(to: &Orchestrator, mut taken: mpsc::Receiver<Event>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    while let Some(event) = taken.recv().await {
        while under_way.try_join_next().is_some() {}
        let to = to.clone();
        match event {
            Event::Started { timeline, at, version, .. } => {
                tracing::info!(%timeline, %at, version, "WAL comes");
            }
            Event::Segment(piece) | Event::Tail(piece) => {
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                under_way.spawn(async move {
                    let (file, receipt) = parts(piece);
                    if until_kept(&to, &file).await {
                        receipt.durable();
                    }
                    drop(permit);
                });
            }
            // It costs nothing: the next one is longer.
            Event::Prefix(piece) => {
                _ = under_way.spawn(async move {
                    let (file, receipt) = parts(piece);
                    match send(&to, &file).await {
                        Ok(()) => receipt.durable(),
                        Err(Attempt::Passing(error) | Attempt::Final(error)) => {
                            tracing::warn!("{error:#}");
                        }
                    }
                });
            }
            Event::History { history, bytes, receipt } => {
                let name = history.timeline().history_name();
                let content = Content::Small(Some(bytes));
                if until_kept(&to, &File { name, mark: "received", content }).await {
                    receipt.durable();
                }
            }
        }
    }
}

fn parts(piece: Piece) -> (File, replication::Receipt) {
    let Piece { filled, name, receipt } = piece;
    let mark = if filled.whole { "received" } else { "beginning" };
    (File { name, mark, content: Content::Received(filled.body) }, receipt)
}

/// Sends a file, however long nobody takes it; false where what is stored is another one, which will
/// not go away by itself.
async fn until_kept(to: &Orchestrator, file: &File) -> bool {
    let mut pause = PAUSE;
    loop {
        match send(to, file).await {
            Ok(()) => return true,
            Err(Attempt::Final(error)) => {
                tracing::error!("{error:#}");
                return false;
            }
            Err(Attempt::Passing(error)) => tracing::warn!("{error:#}; the server keeps it"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Returns when the file is durable at the destination.
async fn send(to: &Orchestrator, file: &File) -> Result<(), Attempt> {
    let told = || file.name.clone();
    let client = Client::new(to, &file.name).await.map_err(Attempt::Passing)?;
    let (size, sha256) =
        digest(file.content.clone()).await.with_context(told).map_err(Attempt::Passing)?;
    let body = try_unfold(file.content.clone(), |mut content| async move {
        Ok::<_, std::io::Error>(content.next().await?.map(|chunk| (chunk, content)))
    });
    let request = client
        .request(Method::PUT)
        .header(header::CONTENT_LENGTH, size)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header("X-Checksum-SHA256", sha256)
        .header("X-Wal", file.mark)
        .body(reqwest::Body::wrap_stream(body));
    let response = request.send().await.map_err(reqwest::Error::without_url);
    let response = response
        .with_context(|| format!("{} did not reach the orchestrator", file.name))
        .map_err(Attempt::Passing)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let error = refused(response).await.context(told());
    Err(if status == StatusCode::CONFLICT {
        Attempt::Final(error)
    } else {
        Attempt::Passing(error)
    })
}

/// The size and the SHA-256 of what is to be sent.
async fn digest(mut content: Content) -> anyhow::Result<(u64, String)> {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut size = 0;
    while let Some(chunk) = content.next().await? {
        hash.update(&chunk);
        size += chunk.len() as u64;
    }
    Ok((size, hex::encode(hash.finish())))
}
