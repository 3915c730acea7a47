//! API tokens.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use model::ApiToken;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Api, Problem};
use crate::accounts::{AuditTarget, Caller, TokenDraft};

/// A token as the API shows it: without its secret and the secret's digest.
fn shown(token: &ApiToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "created_by": token.created_by,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    })
}

pub(super) async fn list(State(api): Api) -> Result<Json<Vec<Value>>, Problem> {
    Ok(Json(api.engine.catalog().all_tokens().await?.iter().map(shown).collect()))
}

/// The one reply that holds the secret.
pub(super) async fn create(
    State(api): Api,
    caller: Caller,
    Json(draft): Json<TokenDraft>,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<Value>), Problem> {
    let (token, secret) = api.accounts.create_token(&caller, draft).await?;
    let target = AuditTarget(token.name.to_string());
    let mut reply = shown(&token);
    reply["secret"] = secret.expose_secret().into();
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
