//! Apps.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use engine::{AppCard, AppDraft, Overview, Report, RetentionPreview, RunRequest};
use model::{App, Run, SourceKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Problem};
use crate::accounts::AuditTarget;

/// An app as the API shows it: without its secrets.
pub(crate) fn shown(app: &App) -> Value {
    let sources: Vec<_> = app
        .sources
        .iter()
        .map(|source| match &source.kind {
            SourceKind::Contract(server) => json!({
                "name": source.name,
                "kind": "contract",
                "url": server.url,
                "export_type": server.export_type,
                "drive_folder_id": server.drive_folder_id,
                "accept_unverified": server.accept_unverified,
                "allow_empty": server.allow_empty,
            }),
        })
        .collect();
    json!({
        "id": app.id,
        "name": app.name,
        "enabled": app.enabled,
        "sources": sources,
        "destinations": app.destinations,
        "schedule": app.schedule,
        "retention": app.retention,
        "limits": app.limits,
        "compression": app.compression,
        "created_at": app.created_at,
        "updated_at": app.updated_at,
        "version": app.version,
    })
}

fn card(card: &AppCard) -> Value {
    json!({
        "app": shown(&card.app),
        "health": card.health,
        "last_run": card.last_run,
        "active_run": card.active_run,
        "last_good": card.last_good,
        "next_fire": card.next_fire,
        "rpo_secs": card.rpo_secs,
        "objective_secs": card.objective_secs,
        "stored_bytes": card.stored_bytes,
        "strip": card.strip,
    })
}

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<Value>>, Problem> {
    Ok(Json(api.engine.catalog().all_apps().await?.iter().map(shown).collect()))
}

pub(super) async fn overview(State(api): Api) -> Result<Json<Value>, Problem> {
    let Overview { at, cards, protected, late, failed, total } = api.engine.overview().await?;
    let cards: Vec<_> = cards.iter().map(card).collect();
    Ok(Json(json!({
        "at": at, "apps": cards, "protected": protected, "late": late, "failed": failed,
        "total": total,
    })))
}

pub(super) async fn add(
    State(api): Api,
    Json(draft): Json<AppDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<Value>), Problem> {
    let app = api.engine.register_app(draft).await?;
    let target = AuditTarget(app.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), Json(shown(&app))))
}

pub(super) async fn show(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(card(&api.engine.card(app).await?)))
}

/// An edit names the version it saw.
#[derive(Deserialize)]
pub(super) struct Edit {
    version: i64,
    #[serde(flatten)]
    draft: AppDraft,
}

pub(super) async fn edit(
    State(api): Api,
    Path(name): Path<String>,
    Json(edit): Json<Edit>,
) -> Result<Json<Value>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    let app = api.engine.edit_app(app.id, edit.version, edit.draft).await?;
    Ok(Json(shown(&app)))
}

pub(super) async fn remove(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    api.engine.remove_app(app.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enabled {
    enabled: bool,
}

pub(super) async fn enable(
    State(api): Api,
    Path(name): Path<String>,
    Json(Enabled { enabled }): Json<Enabled>,
) -> Result<Json<Value>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(shown(&api.engine.set_app_enabled(&app, enabled).await?)))
}

pub(super) async fn run(
    State(api): Api,
    Path(name): Path<String>,
    Json(request): Json<RunRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.run_now(&app, &request).await?)))
}

pub(super) async fn doctor(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Report>, Problem> {
    let app = api.engine.catalog().app_by_name(&name).await?;
    Ok(Json(api.engine.doctor_app(&app).await))
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
