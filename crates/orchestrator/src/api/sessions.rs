//! Logins that last: one's own, and everybody's for administrators.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
    shapes::SessionShown,
};
use crate::accounts::Caller;

pub(super) async fn own(
    State(api): Api,
    caller: Caller,
) -> Result<Json<Vec<SessionShown>>, Problem> {
    let all = api.accounts.own_sessions(&caller).await?;
    let shown = |session| SessionShown::new(session, caller.name.clone(), caller.kind);
    Ok(Json(all.into_iter().map(shown).collect()))
}

pub(super) async fn end_own(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    api.accounts.end_own_session(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All of the caller's but the one that asks.
pub(super) async fn end_others(State(api): Api, caller: Caller) -> Result<StatusCode, Problem> {
    api.accounts.end_other_sessions(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Whose {
    user: Option<String>,
}

pub(super) async fn list(
    State(api): Api,
    caller: Caller,
    Query(whose): Query<Whose>,
) -> Result<Json<Vec<SessionShown>>, Problem> {
    let all = api.accounts.all_sessions(whose.user.as_deref()).await?.into_iter();
    let shown =
        all.map(|(session, user)| SessionShown::new(session, user.name.to_string(), caller.kind));
    Ok(Json(shown.collect()))
}

pub(super) async fn end(State(api): Api, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.accounts.end_any_session(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn end_of_user(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    api.accounts.end_sessions_of(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
