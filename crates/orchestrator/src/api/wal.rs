//! Files of WAL, as `archive_command` hands them over and `restore_command` asks for them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use engine::{Handed, Pushed};
use futures::{Stream, StreamExt as _};
use ring::digest;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path},
};

/// Largest file: a segment has 1 GiB at most.
const MAX_FILE: u64 = 1 << 30;
/// Says that a file is proven not to be there, which no wrong address does.
const ABSENT: (&str, &str) = ("X-Wal", "absent");

/// What became of a file of WAL.
#[derive(Serialize, ToSchema)]
pub(super) struct WalStored {
    /// It was there already, byte by byte.
    already_there: bool,
}

/// Answers when the file is durable at the destination.
pub(super) async fn push(
    State(api): Api,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<WalStored>), Problem> {
    let size = size(&headers)?;
    let told = headers.get("x-checksum-sha256").map(digest_of).transpose()?;
    let handed = handed(&headers)?;
    let app = api.engine.catalog().app_by_name(&name).await?;
    let body = Proven::new(body.into_data_stream().map(|one| one.map_err(io::Error::other)), told);
    let (status, already_there) =
        match api.engine.push_wal(app.id, &file, handed, body.boxed(), size).await? {
            Pushed::Stored => (StatusCode::CREATED, false),
            Pushed::AlreadyThere => (StatusCode::OK, true),
        };
    Ok((status, Json(WalStored { already_there })))
}

pub(super) async fn fetch(
    State(api): Api,
    Path((name, file)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    let Some(bytes) = api.engine.fetch_wal(app.id, &file).await? else {
        return Ok(([ABSENT], Problem::not_found("file of WAL in the archive")).into_response());
    };
    let media = HeaderValue::from_static("application/octet-stream");
    // Where it does not prove true the stream ends in an error: without its last chunk the answer
    // is none.
    Ok(([(header::CONTENT_TYPE, media)], Body::from_stream(bytes)).into_response())
}

/// Who hands it over, by `X-Wal`.
fn handed(headers: &HeaderMap) -> Result<Handed, Problem> {
    match headers.get("x-wal").map(HeaderValue::as_bytes) {
        None => Ok(Handed::ByCommand),
        Some(b"received") => Ok(Handed::ByReceiver),
        Some(b"beginning") => Ok(Handed::Beginning),
        Some(_) => {
            let detail = "`X-Wal` is `received` or `beginning`, or left out".to_owned();
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
    }
}

fn size(headers: &HeaderMap) -> Result<u64, Problem> {
    let told = headers.get(header::CONTENT_LENGTH).and_then(|told| told.to_str().ok());
    match told.and_then(|told| told.parse().ok()) {
        None => {
            let detail = "the size of a file of WAL is told before it, as `Content-Length`";
            Err(Problem::new(StatusCode::LENGTH_REQUIRED, detail.to_owned()))
        }
        Some(size) if size > MAX_FILE => {
            let detail = "a file of WAL has 1 GiB at most".to_owned();
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Some(size) => Ok(size),
    }
}

fn digest_of(told: &HeaderValue) -> Result<Vec<u8>, Problem> {
    let digest = hex::decode(told.as_bytes()).ok().filter(|digest| digest.len() == 32);
    digest.ok_or_else(|| {
        let detail = "`X-Checksum-SHA256` is 64 hexadecimal digits".to_owned();
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}

/// A body that ends in an error where it is not what was told of it.
struct Proven<S> {
    inner: S,
    hash: Option<digest::Context>,
    told: Option<Vec<u8>>,
}

impl<S> Proven<S> {
    fn new(inner: S, told: Option<Vec<u8>>) -> Self {
        Self { inner, hash: Some(digest::Context::new(&digest::SHA256)), told }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Proven<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.poll_next_unpin(context));
        match &item {
            Some(Ok(bytes)) => {
                if let Some(hash) = &mut self.hash {
                    hash.update(bytes);
                }
            }
            Some(Err(_)) => self.hash = None,
            None => {
                let came = self.hash.take().map(digest::Context::finish);
                let is_other = |told: &Vec<u8>| {
                    came.as_ref().is_some_and(|came| came.as_ref() != told.as_slice())
                };
                if self.told.as_ref().is_some_and(is_other) {
                    let told = "it is not what its checksum says: it was changed on its way";
                    return Poll::Ready(Some(Err(io::Error::other(told))));
                }
            }
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use futures::{TryStreamExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn a_body_that_is_not_what_was_told_ends_in_an_error() {
        let parts = || stream::iter([Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))]);
        let right = digest::digest(&digest::SHA256, b"ab").as_ref().to_vec();
        let wrong = digest::digest(&digest::SHA256, b"ba").as_ref().to_vec();
        let all = |told| Proven::new(parts(), told).try_collect::<Vec<_>>();
        assert_eq!(all(Some(right)).await.unwrap().len(), 2);
        assert_eq!(all(None).await.unwrap().len(), 2);
        assert!(all(Some(wrong)).await.is_err());
    }
}
