//! The machine that the server runs on.

use axum::{Extension, extract::State, http::StatusCode};
use engine::{Covered, ProtectRequest, Protected, Report, StorageTrend};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Api, Problem, extract::Json};
use crate::accounts::AuditTarget;

pub(super) async fn doctor(State(api): Api) -> Result<Json<Report>, Problem> {
    Ok(Json(api.engine.doctor_host().await?))
}

pub(super) async fn coverage(State(api): Api) -> Result<Json<Vec<Covered>>, Problem> {
    Ok(Json(api.engine.coverage().await?))
}

pub(super) async fn storage(State(api): Api) -> Result<Json<StorageTrend>, Problem> {
    Ok(Json(api.engine.storage().await?))
}

/// Why no app need read something.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ignore {
    /// As coverage shows it: `volume:NAME` or `database:CONTAINER`.
    id: String,
    /// One line; empty takes it back.
    reason: String,
}

pub(super) async fn ignore(
    State(api): Api,
    Json(Ignore { id, reason }): Json<Ignore>,
) -> Result<(StatusCode, Extension<AuditTarget>), Problem> {
    api.engine.ignore_coverage(&id, &reason).await?;
    Ok((StatusCode::NO_CONTENT, Extension(AuditTarget(id))))
}

pub(super) async fn protect(
    State(api): Api,
    Json(request): Json<ProtectRequest>,
) -> Result<(Extension<AuditTarget>, Json<Vec<Protected>>), Problem> {
    let made = api.engine.protect(&request).await?;
    let names: Vec<_> = made.iter().map(|one| one.name.as_str()).collect();
    Ok((Extension(AuditTarget(names.join(", "))), Json(made)))
}
