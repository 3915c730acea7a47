//! Users.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use model::User;
use serde_json::{Value, json};

use super::{Api, Problem};
use crate::accounts::{AuditTarget, UserDraft, UserEdit};

/// A user as the API shows them: without the password's hash.
fn shown(user: &User) -> Value {
    json!({
        "id": user.id,
        "name": user.name,
        "role": user.role,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    })
}

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<Value>>, Problem> {
    Ok(Json(api.engine.catalog().all_users().await?.iter().map(shown).collect()))
}

pub(super) async fn add(
    State(api): Api,
    Json(draft): Json<UserDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<Value>), Problem> {
    let user = api.accounts.add_user(draft).await?;
    let target = AuditTarget(user.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), Json(shown(&user))))
}

pub(super) async fn edit(
    State(api): Api,
    Path(name): Path<String>,
    Json(edit): Json<UserEdit>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(shown(&api.accounts.edit_user(&name, edit).await?)))
}

pub(super) async fn remove(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    api.accounts.remove_user(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
