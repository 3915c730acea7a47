//! Point-in-time recovery of an app: how its archive stands, and restores to any moment.

use axum::{extract::State, http::StatusCode};
use engine::{MomentPreflight, MomentRequest};
use model::{MomentOrder, RecoveryState, RestorePoint, Run, RunId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path},
};

pub(super) async fn show(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<RecoveryState>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.recovery_state(app.id).await?))
}

pub(super) async fn base(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.queue_base(app.id).await?)))
}

/// A moment to be named now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RestorePointDraft)]
pub(super) struct PointDraft {
    /// What it is called; at most 63 bytes, as PostgreSQL takes it.
    name: String,
}

pub(super) async fn point(
    State(api): Api,
    Path(name): Path<String>,
    Json(draft): Json<PointDraft>,
) -> Result<(StatusCode, Json<RestorePoint>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    let point = api.engine.make_restore_point(app.id, &draft.name).await?;
    Ok((StatusCode::CREATED, Json(point)))
}

pub(super) async fn preflight(
    State(api): Api,
    Path(name): Path<String>,
    Json(request): Json<MomentRequest>,
) -> Result<Json<MomentPreflight>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.moment_preflight(app.id, &request).await?))
}

pub(super) async fn restore(
    State(api): Api,
    Path(name): Path<String>,
    Json(request): Json<MomentRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.restore_to_moment(app.id, request).await?)))
}

/// A drill of a moment.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = MomentDrill)]
pub(super) struct DrillRequest {
    /// The moment; left out: a random one that can be restored.
    order: Option<MomentOrder>,
}

pub(super) async fn drill(
    State(api): Api,
    Path(name): Path<String>,
    Json(request): Json<DrillRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.drill_moment(app.id, request.order).await?)))
}

/// A restore in the place of a server, to be gone back on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MomentUndo)]
pub(super) struct UndoRequest {
    /// The app's name: what its server has now is replaced.
    #[serde(default)]
    confirm: Option<String>,
}

pub(super) async fn undo(
    State(api): Api,
    Path(run): Path<RunId>,
    Json(request): Json<UndoRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let confirm = request.confirm.as_deref();
    Ok((StatusCode::ACCEPTED, Json(api.engine.undo_moment(run, confirm).await?)))
}
