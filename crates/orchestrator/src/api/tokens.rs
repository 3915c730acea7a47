//! API tokens.

use axum::{Extension, extract::State, http::StatusCode};

use super::{
    Api, Problem,
    extract::{Json, Path},
    shapes::{NewTokenShown, TokenShown},
};
use crate::accounts::{AuditTarget, Caller, TokenDraft};

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<TokenShown>>, Problem> {
    let tokens = api.engine.catalog().all_tokens().await?;
    let names = api.accounts.app_names().await?;
    Ok(Json(tokens.into_iter().map(|token| TokenShown::new(token, &names)).collect()))
}

/// The one reply that holds the secret.
pub(super) async fn create(
    State(api): Api,
    caller: Caller,
    Json(draft): Json<TokenDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<NewTokenShown>), Problem> {
    let (token, secret) = api.accounts.create_token(&caller, draft).await?;
    let target = AuditTarget(token.name.to_string());
    let names = api.accounts.app_names().await?;
    let reply = NewTokenShown::new(TokenShown::new(token, &names), &secret);
    Ok((StatusCode::CREATED, Extension(target), Json(reply)))
}

pub(super) async fn revoke(
    State(api): Api,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let catalog = api.engine.catalog();
    let token = catalog.token_by_name(&name).await?;
    catalog.remove_token(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}
