//! Restores and drills.

use axum::{extract::State, http::StatusCode};
use engine::{DrillStanding, RestoreRequest};
use model::{DrillPlan, DrillReport, Preflight, RestoreReport, Run, RunKind, SnapshotId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path},
    runs,
    shapes::AppShown,
};

fn id(text: &str) -> Result<SnapshotId, Problem> {
    text.parse().map_err(|_| Problem::not_found("snapshot"))
}

pub(super) async fn preflight(
    State(api): Api,
    Path(snapshot): Path<String>,
    Json(request): Json<RestoreRequest>,
) -> Result<Json<Preflight>, Problem> {
    Ok(Json(api.engine.preflight(id(&snapshot)?, &request).await?))
}

pub(super) async fn restore(
    State(api): Api,
    Path(snapshot): Path<String>,
    Json(request): Json<RestoreRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let run = api.engine.restore_now(id(&snapshot)?, &request).await?;
    Ok((StatusCode::ACCEPTED, Json(run)))
}

pub(super) async fn drill_snapshot(
    State(api): Api,
    Path(snapshot): Path<String>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(api.engine.drill_snapshot(id(&snapshot)?).await?)))
}

pub(super) async fn drill_app(
    State(api): Api,
    Path(app): Path<String>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&app).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.drill_app(&app).await?)))
}

/// How the drills of all apps stand.
pub(super) async fn drills(State(api): Api) -> Result<Json<Vec<DrillStanding>>, Problem> {
    Ok(Json(api.engine.drills().await?))
}

/// What an app's drills are to do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrillPlanEdit)]
pub(super) struct PlanEdit {
    /// The version of the app that was read.
    version: i64,
    /// What they are to do from now on.
    plan: DrillPlan,
}

pub(super) async fn plan(
    State(api): Api,
    Path(app): Path<String>,
    Json(edit): Json<PlanEdit>,
) -> Result<Json<AppShown>, Problem> {
    let app = api.engine.catalog().app_by_name(&app).await?;
    let app = api.engine.plan_drills(app.id, edit.version, edit.plan).await?;
    Ok(Json(app.into()))
}

/// What a restore or a drill tells of itself.
#[derive(Serialize, ToSchema)]
#[serde(tag = "of", rename_all = "snake_case")]
#[schema(as = RunReport)]
pub(super) enum Report {
    /// Of a restore.
    Restore(RestoreReport),
    /// Of a drill.
    Drill(DrillReport),
}

pub(super) async fn report(
    State(api): Api,
    Path(run): Path<String>,
) -> Result<Json<Report>, Problem> {
    let run = api.engine.catalog().run(runs::id(&run)?).await?;
    let report = match run.kind {
        RunKind::Restore => api.engine.restore_report(run.id).await?.map(Report::Restore),
        RunKind::Drill => api.engine.drill_report(run.id).await?.map(Report::Drill),
        _ => None,
    };
    report.map(Json).ok_or_else(|| Problem::not_found("report"))
}
