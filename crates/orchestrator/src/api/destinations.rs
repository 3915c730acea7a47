//! Destinations.

use axum::{Extension, extract::State, http::StatusCode};
use engine::{DestinationDraft, Report, StorageTrend};
use model::Run;

use super::{
    Api, Problem,
    extract::{Json, Path},
    shapes::{DestinationEdit, DestinationMade, DestinationShown},
};
use crate::accounts::AuditTarget;

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<DestinationShown>>, Problem> {
    let all = api.engine.catalog().all_destinations().await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

pub(super) async fn add(
    State(api): Api,
    Json(mut draft): Json<DestinationDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<DestinationMade>), Problem> {
    let generated = draft.generate_identity(None);
    let password = draft.generate_password(None);
    let one = api.engine.add_destination(draft).await?;
    let target = AuditTarget(one.name.to_string());
    Ok((
        StatusCode::CREATED,
        Extension(target),
        Json(DestinationMade::new(one, generated, password)),
    ))
}

pub(super) async fn show(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<DestinationShown>, Problem> {
    Ok(Json(api.engine.catalog().destination_by_name(&name).await?.into()))
}

pub(super) async fn storage(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<StorageTrend>, Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    Ok(Json(api.engine.storage_at(&one).await?))
}

pub(super) async fn edit(
    State(api): Api,
    Path(name): Path<String>,
    Json(mut edit): Json<DestinationEdit>,
) -> Result<Json<DestinationMade>, Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    let generated = edit.draft.generate_identity(Some(&one));
    let password = edit.draft.generate_password(Some(&one));
    let one = api.engine.edit_destination(one.id, edit.version, edit.draft).await?;
    Ok(Json(DestinationMade::new(one, generated, password)))
}

pub(super) async fn remove(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    api.engine.remove_destination(one.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Report>, Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    Ok(Json(api.engine.doctor_destination(&one).await?))
}

pub(super) async fn verify(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Vec<Run>>), Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(api.engine.verify_destination(one.id).await?)))
}
