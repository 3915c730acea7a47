//! The caller's own login. Open to everybody: it is where they prove who they are.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use model::{Fact, Permission};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use strum::IntoEnumIterator as _;
use utoipa::ToSchema;

use super::{
    Api, Problem,
    extract::Json,
    shapes::{CallerShown, CallerWord, EnrolmentShown, RecoveryCodes},
};
use crate::accounts::{
    Caller, CallerKind, ChangeRefused, FactorRefused, LoginRefused, Visitor, cleared_cookie,
    session_cookie,
};

impl From<LoginRefused> for Problem {
    fn from(error: LoginRefused) -> Self {
        match error {
            LoginRefused::Wrong | LoginRefused::Stale => {
                Self::new(StatusCode::UNAUTHORIZED, error.to_string())
            }
            LoginRefused::CodeNeeded(_) => Self::new(StatusCode::UNAUTHORIZED, error.to_string())
                .about("code", Fact::FactorCode {}),
            LoginRefused::WrongCode => {
                let wrong = Fact::FactorCodeWrong {};
                Self::new(StatusCode::UNAUTHORIZED, error.to_string()).about("code", wrong)
            }
            LoginRefused::NotByPassword => Self::forbidden(error),
            LoginRefused::TooMany(wait) => Self::too_many(error.to_string(), wait),
            LoginRefused::Vault(error) => engine::EngineError::from(error).into(),
            LoginRefused::Catalog(error) => error.into(),
        }
    }
}

impl From<ChangeRefused> for Problem {
    fn from(error: ChangeRefused) -> Self {
        match error {
            ChangeRefused::Login(error) => error.into(),
            ChangeRefused::Weak(why) => engine::EngineError::invalid("new", *why).into(),
        }
    }
}

impl From<FactorRefused> for Problem {
    fn from(error: FactorRefused) -> Self {
        match error {
            FactorRefused::Login(error) => error.into(),
            FactorRefused::NoUser => Self::forbidden(error),
            FactorRefused::There | FactorRefused::None | FactorRefused::NotBegun => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
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
    let needs_second_factor = caller.needs_factor;
    Json(CallerShown {
        name: caller.name,
        kind,
        permissions,
        csrf: caller.csrf,
        needs_second_factor,
    })
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
    /// A code of the second factor, or a recovery code, where the user has one.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    code: Option<SecretString>,
}

pub(super) async fn login(
    State(api): Api,
    visitor: Visitor,
    earlier: Option<Caller>,
    Json(login): Json<Login>,
) -> Result<Response, Problem> {
    let code = login.code.as_ref().map(ExposeSecret::expose_secret);
    let logged_in =
        api.accounts.login(&login.user, login.password, code, visitor, earlier.as_ref()).await?;
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

/// The caller's password, where a change of theirs asks for it again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PresentPassword {
    /// The present password.
    #[schema(value_type = String, write_only)]
    password: SecretString,
}

/// A first code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstCode {
    /// As the app shows it.
    #[schema(value_type = String, write_only)]
    code: SecretString,
}

/// What ends a second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordAndCode {
    /// The present password.
    #[schema(value_type = String, write_only)]
    password: SecretString,
    /// A code of the second factor, or a recovery code.
    #[schema(value_type = String, write_only)]
    code: SecretString,
}

pub(super) async fn begin_factor(
    State(api): Api,
    caller: Caller,
    Json(proof): Json<PresentPassword>,
) -> Result<Json<EnrolmentShown>, Problem> {
    Ok(Json(api.accounts.begin_factor(&caller, proof.password).await?.into()))
}

pub(super) async fn confirm_factor(
    State(api): Api,
    caller: Caller,
    Json(first): Json<FirstCode>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let codes = api.accounts.confirm_factor(&caller, first.code.expose_secret()).await?;
    Ok(Json(codes.into()))
}

pub(super) async fn end_factor(
    State(api): Api,
    caller: Caller,
    Json(proof): Json<PasswordAndCode>,
) -> Result<StatusCode, Problem> {
    let code = proof.code.expose_secret();
    api.accounts.end_factor(&caller, proof.password, code).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn with_cookie(cookie: HeaderValue) -> Response {
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])).into_response()
}
