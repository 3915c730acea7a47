//! The caller's own account: password, second factor, sessions.

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use model::{SecondFactor, User};
use secrecy::{ExposeSecret as _, SecretString};
use strum::IntoEnumIterator as _;

use super::{
    Web,
    fault::{Fault, show},
    form::{Fields, Sealed, redirect},
    format::When,
    page::{Nav, Page},
    qr::Qr,
    sessions::{Row, own},
    settings::{Tab, tabs},
    visitor::Visitor,
};
use crate::accounts::{
    self, Caller, CallerKind, ChangeRefused, Enrolment, FactorRefused, LoginRefused, session_cookie,
};

/// A second factor as the page shows it.
struct Factor {
    since: When,
    left: usize,
}

/// A second factor that waits for its first code.
struct Waiting {
    qr: Option<Qr>,
    secret: String,
}

/// What a form has led to.
#[derive(Default)]
struct Outcome {
    password_problem: Option<String>,
    factor_problem: Option<String>,
    waiting: Option<Waiting>,
    /// Shown this once.
    recovery_codes: Vec<String>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    tabs: Vec<Tab>,
    permissions: Vec<String>,
    /// Of a program there is nothing to change here.
    is_user: bool,
    needs_factor: bool,
    factor: Option<Factor>,
    sessions: Vec<Row>,
    /// Host of another service that logs people in.
    provider: Option<String>,
    linked: bool,
    outcome: Outcome,
}

async fn user_of(web: &Web, caller: &Caller) -> Result<Option<User>, Fault> {
    match caller.kind {
        CallerKind::Session { user, .. } => Ok(Some(web.engine.catalog().user(user).await?)),
        CallerKind::Token(_) | CallerKind::Local => Ok(None),
    }
}

async fn page(
    web: &Web,
    visitor: &Visitor,
    caller: &Caller,
    outcome: Outcome,
) -> Result<Html<String>, Fault> {
    let mut page = visitor.page(visitor.t("account"), Nav::Settings);
    // Its forms are sent elsewhere.
    "/account".clone_into(&mut page.path);
    let user = user_of(web, caller).await?;
    let factor = |factor: &SecondFactor| Factor {
        since: visitor.when(factor.since),
        left: factor.recovery_sha256.len(),
    };
    Ok(show(&AccountPage {
        tabs: tabs(&page),
        permissions: model::Permission::iter()
            .filter(|one| caller.may(*one))
            .map(|one| visitor.t(&format!("permission-{one}")))
            .collect(),
        is_user: user.is_some(),
        needs_factor: caller.needs_factor && outcome.recovery_codes.is_empty(),
        factor: user.as_ref().and_then(|user| user.second_factor.as_ref()).map(factor),
        sessions: own(web, visitor, caller).await?,
        provider: web.accounts.provider_host(),
        linked: user.as_ref().is_some_and(|user| user.identity.is_some()),
        page,
        outcome,
    }))
}

pub(super) async fn account(
    visitor: Visitor,
    caller: Caller,
    State(web): State<Web>,
) -> Result<Html<String>, Fault> {
    page(&web, &visitor, &caller, Outcome::default()).await
}

fn secret(fields: &Fields, name: &str) -> SecretString {
    SecretString::from(fields.all(name).next().unwrap_or_default())
}

/// The words for a refusal, where it is the visitor's to mend.
fn told(visitor: &Visitor, refused: LoginRefused) -> Result<String, Fault> {
    match refused {
        LoginRefused::Catalog(error) => Err(error.into()),
        LoginRefused::Vault(error) => Err(engine::EngineError::from(error).into()),
        LoginRefused::TooMany(wait) => {
            let span = visitor.lang.span(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
            Ok(visitor.lang.with("login-too-many", "wait", span))
        }
        LoginRefused::WrongCode => Ok(visitor.t("code-wrong")),
        _ => Ok(visitor.t("password-wrong")),
    }
}

pub(super) async fn change_password(
    visitor: Visitor,
    State(web): State<Web>,
    caller: Caller,
    from: accounts::Visitor,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    if !matches!(caller.kind, CallerKind::Session { .. }) {
        return Err(Fault::forbidden());
    }
    let (present, new) = (secret(&fields, "present"), secret(&fields, "new"));
    let problem = if new.expose_secret() == secret(&fields, "again").expose_secret() {
        match web.accounts.change_own_password(&caller, present, new).await {
            Ok(logged_in) => {
                let mut response = redirect("/account?done=password");
                response.headers_mut().append(header::SET_COOKIE, session_cookie(&logged_in, from));
                return Ok(response);
            }
            Err(ChangeRefused::Login(refused)) => told(&visitor, refused)?,
            Err(ChangeRefused::Weak(why)) => visitor.sentence(&(*why).into()),
        }
    } else {
        visitor.t("password-again-differs")
    };
    let outcome = Outcome { password_problem: Some(problem), ..Outcome::default() };
    let page = page(&web, &visitor, &caller, outcome).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

fn waiting(enrolment: Enrolment) -> Waiting {
    let secret = enrolment.secret.expose_secret();
    let groups: Vec<_> =
        (0..secret.len()).step_by(4).map(|at| &secret[at..(at + 4).min(secret.len())]).collect();
    Waiting { qr: Qr::of(enrolment.uri.expose_secret()), secret: groups.join(" ") }
}

/// One's own second factor: begun, confirmed, ended.
pub(super) async fn second_factor(
    visitor: Visitor,
    State(web): State<Web>,
    caller: Caller,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let (password, code) = (secret(&fields, "password"), secret(&fields, "code"));
    let code = code.expose_secret();
    let accounts = &web.accounts;
    let mut outcome = Outcome::default();
    let done = match fields.text("action") {
        "begin" => accounts.begin_factor(&caller, password).await.map(|enrolment| {
            outcome.waiting = Some(waiting(enrolment));
        }),
        "confirm" => accounts.confirm_factor(&caller, code).await.map(|codes| {
            let told = |code: SecretString| code.expose_secret().to_owned();
            outcome.recovery_codes = codes.into_iter().map(told).collect();
        }),
        "end" => match accounts.end_factor(&caller, password, code).await {
            Ok(()) => return Ok(redirect("/account?done=second-factor-off")),
            Err(error) => Err(error),
        },
        _ => return Err(Fault::refused(StatusCode::UNPROCESSABLE_ENTITY)),
    };
    let mut status = StatusCode::OK;
    if let Err(refused) = done {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        outcome.factor_problem = Some(match refused {
            FactorRefused::Login(refused) => told(&visitor, refused)?,
            FactorRefused::NoUser => return Err(Fault::forbidden()),
            FactorRefused::There | FactorRefused::None | FactorRefused::NotBegun => {
                visitor.t("second-factor-changed")
            }
        });
        if fields.text("action") == "confirm"
            && let Ok(Some(enrolment)) = accounts.waiting_factor(&caller).await
        {
            outcome.waiting = Some(waiting(enrolment));
        }
    }
    let page = page(&web, &visitor, &caller, outcome).await?;
    Ok((status, page).into_response())
}
