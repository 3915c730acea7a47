//! What is in a snapshot's archives, and parts of them.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use engine::{ArchiveEntry, Listing, MemberStream, SnapshotDiff};
use serde::Deserialize;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
    snapshots::id,
};

/// A place in an archive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    source: String,
    #[serde(default)]
    path: String,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    source: String,
    q: String,
}

pub(super) async fn browse(
    State(api): Api,
    Path(snapshot): Path<String>,
    Query(at): Query<Where>,
) -> Result<Json<Listing>, Problem> {
    Ok(Json(api.engine.browse(id(&snapshot)?, &at.source, &at.path, at.next).await?))
}

pub(super) async fn search(
    State(api): Api,
    Path(snapshot): Path<String>,
    Query(words): Query<Words>,
) -> Result<Json<Vec<ArchiveEntry>>, Problem> {
    Ok(Json(api.engine.search(id(&snapshot)?, &words.source, &words.q).await?))
}

/// Most differences of a source that are told.
const MAX_TOLD: usize = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Other {
    from: String,
    source: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn diff(
    State(api): Api,
    Path(snapshot): Path<String>,
    Query(other): Query<Other>,
) -> Result<Json<SnapshotDiff>, Problem> {
    let most = other.limit.unwrap_or(1_000).min(MAX_TOLD);
    let (before, after) = (id(&other.from)?, id(&snapshot)?);
    Ok(Json(api.engine.diff(before, after, other.source.as_deref(), most).await?))
}

pub(super) async fn file(
    State(api): Api,
    Path(snapshot): Path<String>,
    Query(at): Query<Where>,
) -> Result<Response, Problem> {
    Ok(member_response(api.engine.read_path(id(&snapshot)?, &at.source, &at.path).await?))
}

/// A member as a file to keep, never as something to show: what it holds is not ours. No length is
/// told, so that bytes which do not prove true end the answer without its last chunk.
pub(crate) fn member_response(stream: MemberStream) -> Response {
    let plain: String = stream
        .file_name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    // The whole name, for whoever reads RFC 6266; control characters do not belong into a name.
    let whole: String =
        stream.file_name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let whole = percent_encoding::utf8_percent_encode(&whole, percent_encoding::NON_ALPHANUMERIC);
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}");
    let size = stream.size_bytes;
    let mut response = Response::new(Body::from_stream(stream));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Some(size) = size {
        headers.insert(contract::header::SIZE, size.into());
    }
    response.headers_mut().extend(headers);
    response
}
