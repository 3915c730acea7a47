//! Logging in through another service: there, and back.
//!
//! A cookie with `SameSite=Strict` is not sent when another site leads here. So the address that
//! the service knows shows a page that goes on by itself to one of ours, and there the question
//! and the session are known.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use catalog::CatalogError;
use engine::EngineError;
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    login::local,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::accounts::{
    self, Answer, Answered, Caller, ProviderRefused, cleared_question_cookie, session_cookie,
};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    next: String,
}

/// On to the service, to log in.
pub(super) async fn ask(
    visitor: Visitor,
    State(web): State<Web>,
    from: accounts::Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    if visitor.name().is_some() {
        return Ok(redirect(local(&asked.next)));
    }
    onward(&web, &visitor, from, local(&asked.next), None).await
}

/// On to the service, to link one's own account.
pub(super) async fn link(
    visitor: Visitor,
    State(web): State<Web>,
    caller: Caller,
    from: accounts::Visitor,
) -> Result<Response, Fault> {
    onward(&web, &visitor, from, "/account", Some(&caller)).await
}

async fn onward(
    web: &Web,
    visitor: &Visitor,
    from: accounts::Visitor,
    next: &str,
    link: Option<&Caller>,
) -> Result<Response, Fault> {
    match web.accounts.ask_provider(from, next, link).await {
        Ok(asked) => {
            let mut response = redirect(&asked.url);
            response.headers_mut().append(header::SET_COOKIE, asked.cookie);
            Ok(response)
        }
        Err(refused) => failed(visitor, refused),
    }
}

#[derive(Template)]
#[template(path = "provider_back.html")]
struct BackPage {
    page: Page,
    onward: String,
}

/// Where the service leads to: on to where the browser is known.
pub(super) async fn back(visitor: Visitor, Query(answer): Query<Answer>) -> Html<String> {
    let Answer { state, code, error, iss } = answer;
    let onward: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("state", state), ("code", code), ("error", error), ("iss", iss)])
        .finish();
    show(&BackPage {
        page: visitor.page(visitor.t("login-title"), Nav::None),
        onward: format!("/login/oidc/finish?{onward}"),
    })
}

/// Makes the answer a login, or a link.
pub(super) async fn finish(
    visitor: Visitor,
    State(web): State<Web>,
    from: accounts::Visitor,
    caller: Option<Caller>,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Result<Response, Fault> {
    let outcome = web.accounts.provider_answered(&headers, answer, from, caller.as_ref()).await;
    let mut response = match outcome {
        Ok(Answered::LoggedIn(logged_in, next)) => {
            let mut response = redirect(local(&next));
            response.headers_mut().append(header::SET_COOKIE, session_cookie(&logged_in, from));
            response
        }
        Ok(Answered::Linked) => redirect("/account?done=linked"),
        Err(refused) => failed(&visitor, refused)?,
    };
    response.headers_mut().append(header::SET_COOKIE, cleared_question_cookie(from));
    Ok(response)
}

pub(super) async fn unlink(
    State(web): State<Web>,
    caller: Caller,
    _: Sealed,
) -> Result<Response, Fault> {
    web.accounts.unlink_own(&caller).await?;
    Ok(redirect("/account?done=unlinked"))
}

#[derive(Template)]
#[template(path = "provider_failed.html")]
struct FailedPage {
    page: Page,
    what: String,
    detail: String,
    /// Where to begin again.
    again: &'static str,
}

fn failed(visitor: &Visitor, refused: ProviderRefused) -> Result<Response, Fault> {
    let mut detail = String::new();
    let (status, what) = match refused {
        ProviderRefused::Off => (StatusCode::NOT_FOUND, visitor.t("provider-off")),
        ProviderRefused::Stale => (StatusCode::UNPROCESSABLE_ENTITY, visitor.t("provider-stale")),
        ProviderRefused::Said(said) if said == "access_denied" => {
            (StatusCode::UNPROCESSABLE_ENTITY, visitor.t("provider-denied"))
        }
        ProviderRefused::Said(said) => {
            detail = said;
            (StatusCode::UNPROCESSABLE_ENTITY, visitor.t("provider-said"))
        }
        ProviderRefused::Unreachable(why) => {
            detail = why;
            (StatusCode::BAD_GATEWAY, visitor.t("provider-unreachable"))
        }
        ProviderRefused::Wrong(why) => {
            detail = why;
            (StatusCode::UNAUTHORIZED, visitor.t("provider-wrong"))
        }
        ProviderRefused::NoRole => (StatusCode::FORBIDDEN, visitor.t("provider-no-role")),
        ProviderRefused::Unknown => (StatusCode::FORBIDDEN, visitor.t("provider-unknown")),
        ProviderRefused::TooMany(wait) => {
            let span = visitor.lang.span(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
            let what = visitor.lang.with("login-too-many", "wait", span);
            (StatusCode::TOO_MANY_REQUESTS, what)
        }
        ProviderRefused::Engine(EngineError::Catalog(
            error @ (CatalogError::IdentityTaken { .. } | CatalogError::LastAdmin { .. }),
        )) => {
            detail = error.to_string();
            (StatusCode::CONFLICT, visitor.t("provider-conflict"))
        }
        ProviderRefused::Vault(error) => return Err(EngineError::from(error).into()),
        ProviderRefused::Engine(error) => return Err(error.into()),
    };
    let again = if visitor.name().is_some() { "/account" } else { "/login" };
    let page = visitor.page(visitor.t("login-title"), Nav::None);
    Ok((status, show(&FailedPage { page, what, detail, again })).into_response())
}
