//! Snapshots.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use engine::{Engine, EngineError};
use model::{Run, Snapshot, SnapshotId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
};

pub(super) fn id(text: &str) -> Result<SnapshotId, Problem> {
    text.parse().map_err(|_| Problem::not_found("snapshot"))
}

pub(super) async fn recent(State(api): Api) -> Result<Json<Vec<Snapshot>>, Problem> {
    Ok(Json(api.engine.catalog().recent_snapshots(0, 200).await?))
}

pub(super) async fn of_app(
    State(api): Api,
    Path(app): Path<String>,
) -> Result<Json<Vec<Snapshot>>, Problem> {
    let catalog = api.engine.catalog();
    let app = catalog.app_by_name(&app).await?;
    let mut all = catalog.snapshots_of_app(app.id).await?;
    all.retain(|one| one.copies.iter().any(|copy| copy.state != model::CopyState::Expired));
    Ok(Json(all))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deployment {
    deploy: Option<String>,
}

pub(super) async fn before_deploy(
    State(api): Api,
    Path(app): Path<String>,
    Query(which): Query<Deployment>,
) -> Result<Json<Snapshot>, Problem> {
    let app = api.engine.catalog().app_by_name(&app).await?;
    let deploy = which.deploy.as_deref().unwrap_or("latest");
    Ok(Json(api.engine.before_deploy(&app, deploy).await?))
}

pub(super) async fn show(
    State(api): Api,
    Path(snapshot): Path<String>,
) -> Result<Json<Snapshot>, Problem> {
    Ok(Json(api.engine.catalog().snapshot(id(&snapshot)?).await?))
}

pub(super) async fn pin(
    State(api): Api,
    Path(snapshot): Path<String>,
) -> Result<StatusCode, Problem> {
    api.engine.set_pinned(id(&snapshot)?, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unpin(
    State(api): Api,
    Path(snapshot): Path<String>,
) -> Result<StatusCode, Problem> {
    api.engine.set_pinned(id(&snapshot)?, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn accept(
    State(api): Api,
    Path(snapshot): Path<String>,
) -> Result<StatusCode, Problem> {
    api.engine.accept_anomaly(id(&snapshot)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A destination by name or id.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CopyTarget)]
pub(super) struct Target {
    /// Its name or id.
    destination: String,
}

/// One destination or, left out, all that hold a copy.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = VerifyWhere)]
pub(super) struct Where {
    /// Its name or id.
    destination: Option<String>,
}

pub(super) async fn verify(
    State(api): Api,
    Path(snapshot): Path<String>,
    Json(only): Json<Where>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let destination = match &only.destination {
        Some(name) => Some(api.engine.catalog().destination_by_name(name).await?.id),
        None => None,
    };
    let run = api.engine.verify_now(id(&snapshot)?, destination).await?;
    Ok((StatusCode::ACCEPTED, Json(run)))
}

pub(super) async fn copy(
    State(api): Api,
    Path(snapshot): Path<String>,
    Json(to): Json<Target>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let to = api.engine.catalog().destination_by_name(&to.destination).await?.id;
    Ok((StatusCode::ACCEPTED, Json(api.engine.copy_now(id(&snapshot)?, to).await?)))
}

pub(super) async fn download(
    State(api): Api,
    Path((snapshot, source)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let snapshot = api.engine.catalog().snapshot(id(&snapshot)?).await?;
    Ok(artifact_response(&api.engine, &snapshot, &source).await?)
}

/// The artifact as its source sent it. No length is told, so that bytes which do not prove true
/// end the answer without its last chunk.
pub(crate) async fn artifact_response(
    engine: &Engine,
    snapshot: &Snapshot,
    source: &str,
) -> Result<Response, EngineError> {
    let stream = engine.read_artifact(snapshot, source, None).await?;
    let artifact = stream.artifact.clone();
    let mut response = Response::new(Body::from_stream(stream));
    let is_known = !artifact.sha256.is_empty();
    let headers: [(HeaderName, String); 4] = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!(
                "attachment; filename=\"{}\"",
                artifact.file_name.replace(|c: char| !c.is_ascii_graphic() || c == '"', "_")
            ),
        ),
        (contract::header::SIZE, artifact.size_bytes.to_string()),
        (contract::header::CHECKSUM, artifact.sha256),
    ];
    // The tar of a tree is made as it is read: nobody knows its size before.
    let told = if is_known { headers.len() } else { 2 };
    for (name, value) in headers.into_iter().take(told) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
