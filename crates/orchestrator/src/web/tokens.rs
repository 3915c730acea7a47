//! API tokens.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::EngineError;
use model::{AppId, Scope};
use secrecy::{ExposeSecret as _, SecretString};
use strum::IntoEnumIterator as _;

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::{Errors, Sealed, redirect},
    format::When,
    page::{Nav, Page},
    settings::{Tab, tabs},
    visitor::Visitor,
};
use crate::accounts::{Caller, TokenDraft};

struct TokenRow {
    name: String,
    scopes: String,
    apps: String,
    by: String,
    since: When,
    until: Option<When>,
    expired: bool,
    used: Option<When>,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<TokenRow>,
    scopes: Vec<(String, String)>,
    /// Names of the apps that there are.
    apps: Vec<String>,
    errors: Errors,
    name: String,
    secret: Option<String>,
}

async fn tokens_page(
    web: &Web,
    visitor: &Visitor,
    errors: Errors,
    name: &str,
    secret: Option<SecretString>,
) -> Result<Html<String>, Fault> {
    let page = visitor.page(visitor.t("tokens"), Nav::Settings);
    let names = web.accounts.app_names().await?;
    let named = |id: &AppId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
    let mut apps: Vec<_> = names.values().cloned().collect();
    apps.sort_unstable_by_key(|name| name.to_lowercase());
    Ok(show(&TokensPage {
        tabs: tabs(&page),
        rows: web
            .engine
            .catalog()
            .all_tokens()
            .await?
            .into_iter()
            .map(|token| TokenRow {
                name: token.name.to_string(),
                scopes: token.scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(", "),
                apps: token.apps.iter().map(named).collect::<Vec<_>>().join(", "),
                used: token.last_used_at.map(|at| visitor.when(at)),
                by: token.created_by,
                since: visitor.when(token.created_at),
                until: token.expires_at.map(|at| visitor.when(at)),
                expired: token.expires_at.is_some_and(|at| at <= visitor.now),
            })
            .collect(),
        scopes: Scope::iter()
            .map(|scope| (scope.to_string(), visitor.t(&format!("scope-{scope}"))))
            .collect(),
        apps,
        page,
        errors,
        name: name.to_owned(),
        secret: secret.map(|secret| secret.expose_secret().to_owned()),
    }))
}

pub(super) async fn tokens(
    visitor: Visitor,
    State(web): State<Web>,
) -> Result<Html<String>, Fault> {
    tokens_page(&web, &visitor, Errors::default(), "", None).await
}

pub(super) async fn create_token(
    visitor: Visitor,
    State(web): State<Web>,
    caller: Caller,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let mut errors = Vec::new();
    let days: Option<u32> = fields.number("days", &mut errors);
    let draft = TokenDraft {
        name: fields.text("name").to_owned(),
        scopes: fields.all("scope").filter_map(|scope| scope.parse().ok()).collect(),
        apps: fields.all("app").map(str::to_owned).collect(),
        expires_at: None,
        expires_in: days.map(|days| format!("{days}d")),
    };
    let made = if errors.is_empty() {
        web.accounts.create_token(&caller, draft).await
    } else {
        Err(EngineError::Invalid(errors))
    };
    let (errors, secret, status) = match made {
        Ok((_, secret)) => (Errors::default(), Some(secret), StatusCode::OK),
        Err(error) => (visitor.refused(error)?, None, StatusCode::UNPROCESSABLE_ENTITY),
    };
    let name = if secret.is_some() { "" } else { fields.text("name") };
    let page = tokens_page(&web, &visitor, errors, name, secret).await?;
    Ok((status, page).into_response())
}

pub(super) async fn revoke_token(
    State(web): State<Web>,
    Path(token): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let token = web.engine.catalog().token_by_name(&token).await?;
    web.engine.catalog().remove_token(&token).await?;
    Ok(redirect("/settings/tokens?done=removed"))
}
