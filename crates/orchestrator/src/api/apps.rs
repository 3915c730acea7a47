//! Apps.

use axum::{Extension, extract::State, http::StatusCode};
use engine::{AppDraft, Report, RetentionPreview, RunRequest, ScheduleDraft, StorageTrend};
use model::Run;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::{Json, Path},
    shapes::{AppEdit, AppShown, CardShown, Fires, OverviewShown},
};
use crate::accounts::AuditTarget;

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<AppShown>>, Problem> {
    let apps = api.engine.catalog().all_apps().await?;
    Ok(Json(apps.into_iter().map(Into::into).collect()))
}

pub(super) async fn overview(State(api): Api) -> Result<Json<OverviewShown>, Problem> {
    Ok(Json(api.engine.overview().await?.into()))
}

pub(super) async fn add(
    State(api): Api,
    Json(draft): Json<AppDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<AppShown>), Problem> {
    let app = api.engine.register_app(draft).await?;
    let target = AuditTarget(app.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), Json(app.into())))
}

pub(super) async fn show(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<CardShown>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.card(app).await?.into()))
}

pub(super) async fn edit(
    State(api): Api,
    Path(name): Path<String>,
    Json(edit): Json<AppEdit>,
) -> Result<Json<AppShown>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.edit_app(app.id, edit.version, edit.draft).await?.into()))
}

pub(super) async fn remove(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    api.engine.remove_app(app.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether an app's schedule runs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Enabled {
    /// Whether it runs.
    enabled: bool,
}

pub(super) async fn enable(
    State(api): Api,
    Path(name): Path<String>,
    Json(Enabled { enabled }): Json<Enabled>,
) -> Result<Json<AppShown>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.set_app_enabled(&app, enabled).await?.into()))
}

pub(super) async fn run(
    State(api): Api,
    Path(name): Path<String>,
    Json(request): Json<RunRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.run_now(&app, &request).await?)))
}

/// Runs every enabled app.
pub(super) async fn run_all(
    State(api): Api,
    Json(request): Json<RunRequest>,
) -> Result<(StatusCode, Json<Vec<Run>>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(api.engine.run_all(&request).await?)))
}

pub(super) async fn doctor(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Report>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.doctor_app(&app).await))
}

pub(super) async fn storage(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<StorageTrend>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.storage_of(app.id).await?))
}

pub(super) async fn retention(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Vec<RetentionPreview>>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.preview_retention(&app, None).await?))
}

pub(super) async fn expire(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.expire_now(app.id).await?)))
}

/// Tries what a draft describes; nothing is registered.
pub(super) async fn try_draft(
    State(api): Api,
    Json(draft): Json<AppDraft>,
) -> Result<(Extension<AuditTarget>, Json<Report>), Problem> {
    let report = api.engine.try_app(&draft, None).await?;
    Ok((Extension(AuditTarget(report.subject.clone())), Json(report)))
}

/// Most fire times told at once.
const MAX_FIRES: usize = 100;

/// A schedule to look ahead in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScheduleToTry)]
pub(super) struct Ahead {
    /// `daily`, `weekly`, `@every 4h` or five cron fields.
    spec: String,
    /// IANA time zone; empty is UTC.
    #[serde(default)]
    time_zone: String,
    /// How many fire times, at most 100.
    #[serde(default = "five")]
    count: usize,
}

fn five() -> usize {
    5
}

pub(super) async fn fires(
    State(api): Api,
    Json(ahead): Json<Ahead>,
) -> Result<Json<Fires>, Problem> {
    let draft =
        ScheduleDraft { spec: ahead.spec, time_zone: ahead.time_zone, ..Default::default() };
    let schedule = draft.parse().map_err(|wrong| {
        let field = wrong.field.strip_prefix("schedule.").unwrap_or(&wrong.field).to_owned();
        engine::EngineError::Invalid(vec![wrong.at(field)])
    })?;
    let fires = schedule.upcoming(api.engine.now(), ahead.count.min(MAX_FIRES));
    Ok(Json(Fires { fires }))
}
