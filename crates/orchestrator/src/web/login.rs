//! In and out, and how pages look.

use askama::Template;
use axum::{
    extract::{FromRequestParts as _, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    form::{Fields, Sealed, redirect},
    lang::Lang,
    page::{Nav, Page},
    visitor::{DENSITIES, THEMES, Visitor, one_of},
};
use crate::accounts::{
    self, Caller, LoginRefused, cleared_cookie, cleared_half_cookie, half_cookie, half_in,
    session_cookie,
};

/// How long a choice of language or look is kept, in seconds: a year.
const KEEP_SECS: u32 = 365 * 24 * 3600;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    user: String,
    next: String,
    problem: Option<String>,
    first: bool,
    /// Host of another service that logs people in.
    provider: Option<String>,
    /// The way there.
    through: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    next: String,
}

/// A path on this server; anything else is the first page.
pub(super) fn local(path: &str) -> &str {
    let inside = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if inside { path } else { "/" }
}

fn page(web: &Web, visitor: &Visitor, asked: (&str, &str), problem: Option<String>) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(local(asked.1).as_bytes()).collect();
    show(&LoginPage {
        page: visitor.page(visitor.t("login-title"), Nav::None),
        user: asked.0.to_owned(),
        next: local(asked.1).to_owned(),
        problem,
        first: web.accounts.waits_for_first_login(),
        provider: web.accounts.provider_host(),
        through: format!("/login/oidc?next={next}"),
    })
    .into_response()
}

pub(super) async fn ask(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Response {
    if visitor.name().is_some() {
        return redirect(local(&asked.next));
    }
    page(&web, &visitor, ("", &asked.next), None)
}

/// No session yet, so no token in the form: where it came from is checked by its `Origin`.
pub(super) async fn log_in(
    visitor: Visitor,
    State(web): State<Web>,
    from: accounts::Visitor,
    earlier: Option<Caller>,
    body: String,
) -> Result<Response, Fault> {
    let fields = Fields::read(body.as_bytes());
    let (user, next) = (fields.text("user"), fields.text("next"));
    let password = SecretString::from(fields.all("password").next().unwrap_or_default());
    match web.accounts.login(user, password, None, from, earlier.as_ref()).await {
        Ok(logged_in) => Ok(with_cookie(redirect(local(next)), session_cookie(&logged_in, from))),
        Err(LoginRefused::CodeNeeded(half)) => {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let to_code = redirect(&format!("/login/code?next={next}"));
            Ok(with_cookie(to_code, half_cookie(&half, from)))
        }
        Err(refused) => {
            let (status, problem, wait) = told(&visitor, refused)?;
            let page = page(&web, &visitor, (user, next), Some(problem));
            Ok(refusal(page, status, wait))
        }
    }
}

#[derive(Template)]
#[template(path = "login_code.html")]
struct CodePage {
    page: Page,
    next: String,
    problem: Option<String>,
}

fn code_page(visitor: &Visitor, next: &str, problem: Option<String>) -> Response {
    show(&CodePage {
        page: visitor.page(visitor.t("code-title"), Nav::None),
        next: local(next).to_owned(),
        problem,
    })
    .into_response()
}

pub(super) async fn ask_code(
    visitor: Visitor,
    from: accounts::Visitor,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if half_in(&headers, from).is_none() {
        return redirect("/login");
    }
    code_page(&visitor, &asked.next, None)
}

/// The second half of a login: the first is in the browser's keeping.
pub(super) async fn log_in_with_code(
    visitor: Visitor,
    State(web): State<Web>,
    from: accounts::Visitor,
    earlier: Option<Caller>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Fault> {
    let fields = Fields::read(body.as_bytes());
    let (code, next) = (fields.text("code"), fields.text("next"));
    let Some(half) = half_in(&headers, from) else { return Ok(redirect("/login")) };
    match web.accounts.finish_login(&half, code, from, earlier.as_ref()).await {
        Ok(logged_in) => {
            let response = with_cookie(redirect(local(next)), session_cookie(&logged_in, from));
            Ok(with_cookie(response, cleared_half_cookie(from)))
        }
        Err(LoginRefused::Stale) => {
            let problem = Some(visitor.t("login-stale"));
            let response = page(&web, &visitor, ("", next), problem);
            let response = refusal(response, StatusCode::UNAUTHORIZED, None);
            Ok(with_cookie(response, cleared_half_cookie(from)))
        }
        Err(refused) => {
            let (status, problem, wait) = told(&visitor, refused)?;
            Ok(refusal(code_page(&visitor, next, Some(problem)), status, wait))
        }
    }
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// Status and words of a refusal, and how long to wait, in seconds.
fn told(
    visitor: &Visitor,
    refused: LoginRefused,
) -> Result<(StatusCode, String, Option<u64>), Fault> {
    match refused {
        LoginRefused::TooMany(wait) => {
            let secs = wait.as_secs().max(1);
            let span = visitor.lang.span(i64::try_from(secs).unwrap_or(i64::MAX));
            let problem = visitor.lang.with("login-too-many", "wait", span);
            Ok((StatusCode::TOO_MANY_REQUESTS, problem, Some(secs)))
        }
        LoginRefused::WrongCode => Ok((StatusCode::UNAUTHORIZED, visitor.t("code-wrong"), None)),
        LoginRefused::Wrong | LoginRefused::Stale | LoginRefused::CodeNeeded(_) => {
            Ok((StatusCode::UNAUTHORIZED, visitor.t("login-wrong"), None))
        }
        LoginRefused::NotByPassword => {
            Ok((StatusCode::FORBIDDEN, visitor.t("login-not-by-password"), None))
        }
        LoginRefused::Vault(error) => Err(engine::EngineError::from(error).into()),
        LoginRefused::Catalog(error) => Err(error.into()),
    }
}

fn refusal(mut page: Response, status: StatusCode, wait: Option<u64>) -> Response {
    *page.status_mut() = status;
    if let Some(secs) = wait {
        page.headers_mut().insert(header::RETRY_AFTER, secs.into());
    }
    page
}

pub(super) async fn log_out(
    State(web): State<Web>,
    caller: Caller,
    from: accounts::Visitor,
    _: Sealed,
) -> Result<Response, Fault> {
    web.accounts.logout(&caller).await?;
    let mut response = redirect("/login");
    response.headers_mut().append(header::SET_COOKIE, cleared_cookie(from));
    Ok(response)
}

/// Language and look, kept in the browser. Open to everybody: it changes nothing here.
pub(super) async fn prefer(State(web): State<Web>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(from) = accounts::Visitor::from_request_parts(&mut parts, &web).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(body) = axum::body::to_bytes(body, 4_096).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let fields = Fields::read(&body);
    let mut response = redirect(local(fields.text("back")));
    let secure = if from.https { "; Secure" } else { "" };
    let mut keep = |name: &str, value: &str| {
        let cookie =
            format!("{name}={value}; Path=/; Max-Age={KEEP_SECS}; SameSite=Lax; HttpOnly{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    };
    if let Some(lang) = Lang::from_code(fields.text("lang")) {
        keep("lang", lang.code());
    }
    for (name, known) in [("theme", THEMES), ("density", DENSITIES)] {
        let value = fields.text(name);
        if !value.is_empty() {
            keep(name, one_of(known, Some(value)));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_on_this_server() {
        assert_eq!(local("/apps/shop?x=1"), "/apps/shop?x=1");
        for elsewhere in ["//evil", "https://evil", "", "/\\evil", "/a\r\nSet-Cookie: x", "apps"] {
            assert_eq!(local(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
