//! The caller's own login. Open to everybody: it is where they prove who they are.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use model::Permission;
use secrecy::SecretString;
use serde::Deserialize;
use strum::IntoEnumIterator as _;
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::Json,
    shapes::{CallerShown, CallerWord},
};
use crate::accounts::{
    Caller, CallerKind, ChangeRefused, LoginRefused, Visitor, cleared_cookie, session_cookie,
};

impl From<LoginRefused> for Problem {
    fn from(error: LoginRefused) -> Self {
        match error {
            LoginRefused::Wrong => Self::new(StatusCode::UNAUTHORIZED, error.to_string()),
            LoginRefused::TooMany(wait) => Self::too_many(error.to_string(), wait),
            LoginRefused::Catalog(error) => error.into(),
        }
    }
}

impl From<ChangeRefused> for Problem {
    fn from(error: ChangeRefused) -> Self {
        match error {
            ChangeRefused::Login(error) => error.into(),
            ChangeRefused::Weak(why) => engine::EngineError::invalid("new", why).into(),
        }
    }
}

/// Who the caller is and what they may do.
pub(super) async fn show(caller: Caller) -> Json<CallerShown> {
    let kind = match caller.kind {
        CallerKind::Session { .. } => CallerWord::Session,
        CallerKind::Token(_) => CallerWord::Token,
        CallerKind::Local => CallerWord::Local,
    };
    let permissions = Permission::iter()
        .filter(|one| caller.may(*one))
        .map(|permission| permission.to_string())
        .collect();
    Json(CallerShown { name: caller.name, kind, permissions, csrf: caller.csrf })
}

/// A user's name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Name.
    user: String,
    /// Password.
    #[schema(value_type = String, write_only)]
    password: SecretString,
}

pub(super) async fn login(
    State(api): Api,
    visitor: Visitor,
    earlier: Option<Caller>,
    Json(login): Json<Login>,
) -> Result<Response, Problem> {
    let logged_in =
        api.accounts.login(&login.user, login.password, visitor, earlier.as_ref()).await?;
    Ok(with_cookie(session_cookie(&logged_in, visitor)))
}

pub(super) async fn logout(State(api): Api, caller: Caller) -> Result<Response, Problem> {
    api.accounts.logout(&caller).await?;
    Ok(with_cookie(cleared_cookie(caller.visitor)))
}

/// A change of the caller's own password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The present password.
    #[schema(value_type = String, write_only)]
    present: SecretString,
    /// The one to come.
    #[schema(value_type = String, write_only)]
    new: SecretString,
}

pub(super) async fn change_password(
    State(api): Api,
    caller: Caller,
    Json(change): Json<NewPassword>,
) -> Result<Response, Problem> {
    if !matches!(caller.kind, CallerKind::Session { .. }) {
        return Err(Problem::forbidden("only a user who is logged in has a password to change"));
    }
    let logged_in = api.accounts.change_own_password(&caller, change.present, change.new).await?;
    Ok(with_cookie(session_cookie(&logged_in, caller.visitor)))
}

fn with_cookie(cookie: HeaderValue) -> Response {
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])).into_response()
}
