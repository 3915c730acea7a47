//! Users.

use axum::{Extension, extract::State, http::StatusCode};

use super::{
    Api, Problem,
    extract::{Json, Path},
    shapes::UserShown,
};
use crate::accounts::{AuditTarget, Caller, LoginRules, RulesEdit, UserDraft, UserEdit};

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<UserShown>>, Problem> {
    let users = api.engine.catalog().all_users().await?;
    Ok(Json(users.into_iter().map(Into::into).collect()))
}

pub(super) async fn add(
    State(api): Api,
    Json(draft): Json<UserDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<UserShown>), Problem> {
    let user = api.accounts.add_user(draft).await?;
    let target = AuditTarget(user.name.to_string());
    Ok((StatusCode::CREATED, Extension(target), Json(user.into())))
}

pub(super) async fn edit(
    State(api): Api,
    Path(name): Path<String>,
    Json(edit): Json<UserEdit>,
) -> Result<Json<UserShown>, Problem> {
    Ok(Json(api.accounts.edit_user(&name, edit).await?.into()))
}

pub(super) async fn remove(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    api.accounts.remove_user(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// For somebody who has lost their device and their recovery codes.
pub(super) async fn reset_factor(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    api.accounts.reset_factor(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// They no longer come in through the other service.
pub(super) async fn unlink(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    api.accounts.unlink(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rules(State(api): Api) -> Result<Json<LoginRules>, Problem> {
    Ok(Json(api.accounts.rules().await?))
}

pub(super) async fn edit_rules(
    State(api): Api,
    caller: Caller,
    Json(edit): Json<RulesEdit>,
) -> Result<Json<LoginRules>, Problem> {
    Ok(Json(api.accounts.edit_rules(&caller, edit).await?))
}
