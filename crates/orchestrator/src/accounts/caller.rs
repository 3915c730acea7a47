//! From a request to its caller, and from the caller to yes or no.

use axum::{
    extract::{
        FromRequestParts, MatchedPath, OptionalFromRequestParts, OriginalUri, Request, State,
    },
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use engine::EngineError;
use model::{AppId, Permission, Permissions, SessionId, TokenId, UserId};
use secrecy::ExposeSecret as _;

use super::{
    Accounts, Visitor,
    audit::AuditTarget,
    cookies,
    csrf::{self, Origin},
    permissions, sha256,
};
use crate::api::Problem;

/// Name of the command line on the server's own machine; with its space no user can have it.
pub(crate) const THIS_MACHINE: &str = "this machine";

/// Who sent a request. A handler takes `Caller`, or `Option<Caller>` where anybody may come.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Of the user or the token; [`THIS_MACHINE`] for its command line.
    pub(crate) name: String,
    pub(crate) kind: CallerKind,
    pub(crate) permissions: Permissions,
    /// For the hidden field `csrf` of this session's forms.
    pub(crate) csrf: Option<String>,
    /// The apps a token is for; `None`: everything.
    pub(crate) apps: Option<Vec<AppId>>,
    /// Nothing is allowed before this user has a second factor.
    pub(crate) needs_factor: bool,
    pub(crate) visitor: Visitor,
}

/// How a caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerKind {
    Session { session: SessionId, user: UserId },
    Token(TokenId),
    Local,
}

impl Caller {
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.permissions.allows(permission)
    }

    /// The caller in the audit log.
    pub(crate) fn who(&self) -> String {
        match self.kind {
            CallerKind::Token(_) => format!("token {}", self.name),
            CallerKind::Session { .. } | CallerKind::Local => self.name.clone(),
        }
    }

    /// Whether a form's `csrf` field is this session's.
    pub(crate) fn sent_form(&self, csrf: &str) -> bool {
        // Digests take the same time however much was right.
        self.csrf.as_ref().is_some_and(|own| sha256(own) == sha256(csrf))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get().cloned().ok_or_else(unauthorized)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

fn unauthorized() -> Response {
    ([(header::WWW_AUTHENTICATE, "Bearer")], Problem::unauthorized()).into_response()
}

/// Finds out who is calling, for every route; refuses what another site made a browser send.
pub(crate) async fn identify(
    State(accounts): State<Accounts>,
    mut request: Request,
    next: Next,
) -> Response {
    let visitor = Visitor::of(request.extensions(), request.headers(), accounts.0.trust_proxy);
    let caller = match accounts.caller(request.headers(), visitor).await {
        Ok(caller) => caller,
        Err(error) => return Problem::from(error).into_response(),
    };
    let by_cookie = caller.as_ref().filter(|one| matches!(one.kind, CallerKind::Session { .. }));
    let by_token = caller.is_some() && by_cookie.is_none();
    if csrf::is_unsafe(request.method()) && !by_token {
        let forged = match csrf::origin(request.headers(), request.uri(), visitor.https) {
            Origin::Same => false,
            Origin::Other => true,
            // Without a cookie there is nothing to misuse.
            Origin::Untold => by_cookie.is_some_and(|caller| {
                let told = request.headers().get(csrf::HEADER).map(HeaderValue::to_str);
                !told.is_some_and(|told| told.is_ok_and(|told| caller.sent_form(told)))
            }),
        };
        if forged {
            let detail = "the request does not come from a page of this server";
            return Problem::forbidden(detail).into_response();
        }
    }
    request.extensions_mut().insert(visitor);
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Lets a caller through who has the route's permission, and notes what they did.
pub(crate) async fn authorize(
    State(accounts): State<Accounts>,
    request: Request,
    next: Next,
) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return unauthorized();
    };
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched.as_ref().map_or("", MatchedPath::as_str);
    let Some(route) = permissions::find(request.method(), path) else {
        return Problem::forbidden("nobody may do this").into_response();
    };
    if caller.needs_factor {
        let detail = "administrators need a second factor here: set it up on the account's page";
        return Problem::forbidden(detail).into_response();
    }
    if !caller.may(route.permission) {
        let detail = format!("this needs the permission `{}`", route.permission);
        return Problem::forbidden(detail).into_response();
    }
    // Inside the nested router the request's own URI has lost its beginning.
    let whole = request.extensions().get::<OriginalUri>().map_or(request.uri(), |uri| &uri.0);
    let query = whole.query().unwrap_or_default();
    match accounts.reaches(&caller, path, whole.path(), query).await {
        Ok(true) => {}
        Ok(false) => {
            let detail = "this token is for certain apps alone, and this is not about one of them";
            return Problem::forbidden(detail).into_response();
        }
        Err(error) => return Problem::from(error).into_response(),
    }
    let from_path = permissions::target(path, whole.path());
    let response = next.run(request).await;
    if let Some(action) = route.action
        && response.status().is_success()
    {
        let told = response.extensions().get::<AuditTarget>();
        let target = told.map_or(from_path, |told| told.0.clone());
        accounts.audit(&caller, action, &target, "").await;
    }
    response
}

impl Accounts {
    /// A token that is given and wrong makes nobody, whatever cookie comes with it.
    async fn caller(
        &self,
        headers: &HeaderMap,
        visitor: Visitor,
    ) -> Result<Option<Caller>, EngineError> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let Some(secret) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "))
            else {
                return Ok(None);
            };
            if sha256(secret) == self.0.local_sha256 {
                return Ok(Some(Caller {
                    name: THIS_MACHINE.to_owned(),
                    kind: CallerKind::Local,
                    permissions: Permissions::of_role(model::Role::Admin),
                    csrf: None,
                    apps: None,
                    needs_factor: false,
                    visitor,
                }));
            }
            return Ok(self.token(secret).await?.map(|token| Caller {
                name: token.name.to_string(),
                kind: CallerKind::Token(token.id),
                permissions: Permissions::of_scopes(&token.scopes),
                csrf: None,
                apps: (!token.apps.is_empty()).then_some(token.apps),
                needs_factor: false,
                visitor,
            }));
        }
        let Some(secret) = cookies::secret_in(headers, visitor) else { return Ok(None) };
        let Some((session, user)) = self.session(secret.expose_secret()).await? else {
            return Ok(None);
        };
        let needs_factor = self.needs_factor(&session, &user).await?;
        let all = Permissions::of_role(user.role);
        Ok(Some(Caller {
            name: user.name.to_string(),
            kind: CallerKind::Session { session: session.id, user: user.id },
            permissions: if needs_factor { Permissions::of(&[Permission::Follow]) } else { all },
            csrf: Some(csrf::token(secret.expose_secret())),
            apps: None,
            needs_factor,
            visitor,
        }))
    }
}
