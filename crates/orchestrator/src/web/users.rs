//! Who can log in, and what logins must fulfil.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::EngineError;
use model::Role;
use secrecy::SecretString;
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
use crate::accounts::{Caller, LoginRules, RulesEdit, UserDraft, UserEdit};

struct UserRow {
    name: String,
    role: String,
    roles: Vec<(String, String, bool)>,
    since: When,
    second_factor: bool,
    linked: bool,
    own: bool,
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<UserRow>,
    roles: Vec<(String, String)>,
    rules: LoginRules,
    has_provider: bool,
    errors: Errors,
    name: String,
}

async fn users_page(
    web: &Web,
    visitor: &Visitor,
    errors: Errors,
    name: &str,
) -> Result<Html<String>, Fault> {
    let word = |role: Role| visitor.t(&format!("role-{role}"));
    let page = visitor.page(visitor.t("users"), Nav::Settings);
    Ok(show(&UsersPage {
        tabs: tabs(&page),
        rows: web
            .engine
            .catalog()
            .all_users()
            .await?
            .into_iter()
            .map(|user| UserRow {
                second_factor: user.second_factor.is_some(),
                linked: user.identity.is_some(),
                own: visitor.name() == Some(user.name.as_str()),
                role: word(user.role),
                roles: Role::iter()
                    .map(|role| (role.to_string(), word(role), role == user.role))
                    .collect(),
                since: visitor.when(user.created_at),
                name: user.name.to_string(),
            })
            .collect(),
        roles: Role::iter().map(|role| (role.to_string(), word(role))).collect(),
        rules: web.accounts.rules().await?,
        has_provider: web.accounts.has_provider(),
        page,
        errors,
        name: name.to_owned(),
    }))
}

pub(super) async fn users(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    users_page(&web, &visitor, Errors::default(), "").await
}

async fn after_user(
    web: &Web,
    visitor: &Visitor,
    name: &str,
    outcome: Result<(), EngineError>,
) -> Result<Response, Fault> {
    match outcome {
        Ok(()) => Ok(redirect("/settings/users?done=saved")),
        Err(error) => {
            let errors = visitor.refused(error)?;
            let page = users_page(web, visitor, errors, name).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

pub(super) async fn add_user(
    visitor: Visitor,
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let draft = UserDraft {
        name: fields.text("name").to_owned(),
        password: SecretString::from(fields.all("password").next().unwrap_or_default()),
        role: fields.text("role").parse().unwrap_or(Role::Viewer),
    };
    let outcome = web.accounts.add_user(draft).await.map(drop);
    after_user(&web, &visitor, fields.text("name"), outcome).await
}

pub(super) async fn edit_user(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let outcome = match fields.text("action") {
        "remove" => web.accounts.remove_user(&name).await,
        "unlink" => web.accounts.unlink(&name).await.map_err(EngineError::from),
        "second-factor" => {
            web.accounts.reset_factor(&name).await.map(drop).map_err(EngineError::from)
        }
        _ => {
            let password = fields.all("password").next().filter(|text| !text.is_empty());
            let edit = UserEdit {
                role: fields.text("role").parse().ok(),
                password: password.map(SecretString::from),
            };
            web.accounts.edit_user(&name, edit).await.map(drop)
        }
    };
    after_user(&web, &visitor, "", outcome).await
}

pub(super) async fn edit_rules(
    visitor: Visitor,
    caller: Caller,
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let edit = RulesEdit {
        admins_need_second_factor: Some(fields.ticked("admins_need_second_factor")),
        only_admins_by_password: Some(fields.ticked("only_admins_by_password")),
    };
    let outcome = web.accounts.edit_rules(&caller, edit).await.map(drop);
    after_user(&web, &visitor, "", outcome).await
}
