//! Settings: what the server was told, the caller's own account, users, tokens.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use engine::EngineError;
use jiff::SignedDuration;
use model::{Role, Scope};
use secrecy::{ExposeSecret as _, SecretString};
use strum::IntoEnumIterator as _;

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::{Errors, Sealed, redirect},
    format::When,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::accounts::{
    self, Caller, CallerKind, ChangeRefused, LoginRefused, TokenDraft, UserDraft, UserEdit,
    session_cookie,
};

/// One page of the settings.
pub(super) struct Tab {
    pub(super) href: &'static str,
    pub(super) word: String,
    pub(super) here: bool,
}

pub(super) fn tabs(page: &Page) -> Vec<Tab> {
    let tab = |href, word: &str| Tab { href, word: page.t(word), here: page.path == href };
    let mut tabs = vec![
        tab("/settings", "settings-server"),
        tab("/settings/recovery", "recovery"),
        tab("/account", "account"),
    ];
    if page.may_administer {
        tabs.push(tab("/settings/users", "users"));
        tabs.push(tab("/settings/tokens", "tokens"));
        tabs.push(tab("/settings/audit", "audit"));
    }
    tabs.push(tab("/api", "api-title"));
    tabs
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    page: Page,
    tabs: Vec<Tab>,
    facts: Vec<(String, String)>,
}

pub(super) async fn server(visitor: Visitor, State(web): State<Web>) -> Html<String> {
    let (config, lang) = (web.engine.config(), visitor.lang);
    let span = |length: std::time::Duration| {
        lang.span(i64::try_from(length.as_secs()).unwrap_or(i64::MAX))
    };
    let networks: Vec<_> = config.net_policy.allowed.iter().map(ToString::to_string).collect();
    let facts = vec![
        (lang.t("setting-version"), env!("CARGO_PKG_VERSION").to_owned()),
        (
            lang.t("setting-catalog"),
            match web.engine.catalog().backend() {
                catalog::Backend::Sqlite => "SQLite".to_owned(),
                catalog::Backend::Postgres => "PostgreSQL".to_owned(),
            },
        ),
        (lang.t("time-zone"), visitor.zone.iana_name().unwrap_or("UTC").to_owned()),
        (lang.t("setting-timeout"), format!("{} · REQUEST_TIMEOUT_S", span(config.source_timeout))),
        (
            lang.t("setting-max-size"),
            format!("{} · BACKUP_MAX_SIZE_MB", lang.size(config.max_size_bytes)),
        ),
        (lang.t("setting-workers"), format!("{} · BACKUP_WORKERS", config.workers)),
        (lang.t("setting-grace"), format!("{} · RETENTION_GRACE_H", span(config.expire_grace))),
        (
            lang.t("setting-networks"),
            if networks.is_empty() { lang.t("setting-networks-any") } else { networks.join(", ") },
        ),
        (
            lang.t("setting-loopback"),
            if config.net_policy.allow_loopback { lang.t("yes") } else { lang.t("no") },
        ),
        (lang.t("setting-remote"), config.rclone_remote.clone().unwrap_or_else(|| "–".to_owned())),
    ];
    let page = visitor.page(visitor.t("nav-settings"), Nav::Settings);
    show(&SettingsPage { tabs: tabs(&page), page, facts })
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    tabs: Vec<Tab>,
    permissions: Vec<String>,
    has_password: bool,
    problem: Option<String>,
}

fn account_page(visitor: &Visitor, caller: &Caller, problem: Option<String>) -> Html<String> {
    let page = visitor.page(visitor.t("account"), Nav::Settings);
    show(&AccountPage {
        tabs: tabs(&page),
        permissions: model::Permission::iter()
            .filter(|one| caller.may(*one))
            .map(|one| visitor.t(&format!("permission-{one}")))
            .collect(),
        has_password: matches!(caller.kind, CallerKind::Session { .. }),
        page,
        problem,
    })
}

pub(super) async fn account(visitor: Visitor, caller: Caller) -> Html<String> {
    account_page(&visitor, &caller, None)
}

pub(super) async fn change_password(
    visitor: Visitor,
    State(web): State<Web>,
    caller: Caller,
    from: accounts::Visitor,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let secret = |name| SecretString::from(fields.all(name).next().unwrap_or_default());
    let refuse = |problem: String| {
        let page = account_page(&visitor, &caller, Some(problem));
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    };
    if !matches!(caller.kind, CallerKind::Session { .. }) {
        return Err(Fault::forbidden());
    }
    if secret("new").expose_secret() != secret("again").expose_secret() {
        return refuse(visitor.t("password-again-differs"));
    }
    match web.accounts.change_own_password(&caller, secret("present"), secret("new")).await {
        Ok(logged_in) => {
            let mut response = redirect("/account?done=password");
            response.headers_mut().append(header::SET_COOKIE, session_cookie(&logged_in, from));
            Ok(response)
        }
        Err(ChangeRefused::Login(LoginRefused::Catalog(error))) => Err(error.into()),
        Err(ChangeRefused::Login(LoginRefused::Wrong)) => refuse(visitor.t("password-wrong")),
        Err(error) => refuse(error.to_string()),
    }
}

struct UserRow {
    name: String,
    role: String,
    roles: Vec<(String, String, bool)>,
    since: When,
    own: bool,
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<UserRow>,
    roles: Vec<(String, String)>,
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
            let errors = Errors::from(error, visitor.lang)?;
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
    let outcome = if fields.text("action") == "remove" {
        web.accounts.remove_user(&name).await
    } else {
        let password = fields.all("password").next().filter(|text| !text.is_empty());
        let edit = UserEdit {
            role: fields.text("role").parse().ok(),
            password: password.map(SecretString::from),
        };
        web.accounts.edit_user(&name, edit).await.map(drop)
    };
    after_user(&web, &visitor, "", outcome).await
}

struct TokenRow {
    name: String,
    scopes: String,
    by: String,
    since: When,
    until: Option<When>,
    expired: bool,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<TokenRow>,
    scopes: Vec<(String, String)>,
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
                by: token.created_by,
                since: visitor.when(token.created_at),
                until: token.expires_at.map(|at| visitor.when(at)),
                expired: token.expires_at.is_some_and(|at| at <= visitor.now),
            })
            .collect(),
        scopes: Scope::iter()
            .map(|scope| (scope.to_string(), visitor.t(&format!("scope-{scope}"))))
            .collect(),
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
    let days: Option<i64> = fields.number("days", &mut errors);
    let expires_at = days.and_then(|days| {
        let length = SignedDuration::from_hours(days.clamp(0, 36_500) * 24);
        visitor.now.checked_add(length).ok()
    });
    let draft = TokenDraft {
        name: fields.text("name").to_owned(),
        scopes: fields.all("scope").filter_map(|scope| scope.parse().ok()).collect(),
        expires_at,
    };
    let made = if errors.is_empty() {
        web.accounts.create_token(&caller, draft).await
    } else {
        Err(EngineError::Invalid(errors))
    };
    let (errors, secret, status) = match made {
        Ok((_, secret)) => (Errors::default(), Some(secret), StatusCode::OK),
        Err(error) => (Errors::from(error, visitor.lang)?, None, StatusCode::UNPROCESSABLE_ENTITY),
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
