//! Destinations.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use engine::{DestinationDraft, Report};
use model::Destination;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Problem};
use crate::accounts::AuditTarget;

/// A destination as the API shows it: of its secrets, only which there are.
fn shown(one: &Destination) -> Value {
    json!({
        "id": one.id,
        "name": one.name,
        "kind": one.kind,
        "settings": one.settings,
        "secrets": one.secrets.keys().collect::<Vec<_>>(),
        "append_only": one.append_only,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "version": one.version,
        "last_check": one.last_check,
    })
}

/// The same with an identity that was made for it: this reply alone carries it.
fn shown_once(one: &Destination, generated: Option<&SecretString>) -> Value {
    let mut value = shown(one);
    if let Some(identity) = generated {
        value["generated_identity"] = json!(identity.expose_secret());
    }
    value
}

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<Value>>, Problem> {
    Ok(Json(api.engine.catalog().all_destinations().await?.iter().map(shown).collect()))
}

pub(super) async fn add(
    State(api): Api,
    Json(mut draft): Json<DestinationDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<Value>), Problem> {
    let generated = draft.generate_identity(None);
    let one = api.engine.add_destination(draft).await?;
    let target = AuditTarget(one.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), Json(shown_once(&one, generated.as_ref()))))
}

pub(super) async fn show(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(shown(&api.engine.catalog().destination_by_name(&name).await?)))
}

/// An edit names the version it saw.
#[derive(Deserialize)]
pub(super) struct Edit {
    version: i64,
    #[serde(flatten)]
    draft: DestinationDraft,
}

pub(super) async fn edit(
    State(api): Api,
    Path(name): Path<String>,
    Json(mut edit): Json<Edit>,
) -> Result<Json<Value>, Problem> {
    let one = api.engine.catalog().destination_by_name(&name).await?;
    let generated = edit.draft.generate_identity(Some(&one));
    let one = api.engine.edit_destination(one.id, edit.version, edit.draft).await?;
    Ok(Json(shown_once(&one, generated.as_ref())))
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
