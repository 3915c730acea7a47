//! Who may see which page, and what browsers are told to forbid.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use model::Permission::{Administer, Configure, Download, Follow, Operate, Run, See};

use super::{Web, fault::Fault, form::redirect};
use crate::accounts::{
    AuditTarget, Caller,
    permissions::{Route, act, look, target},
};

/// Every page that asks for a permission.
pub(crate) const ROUTES: &[Route] = &[
    look("/", See),
    act("POST", "/clock", Configure, "clock.accept"),
    look("/alerts", See),
    look("/alerts/all", See),
    look("/new/alert-channel", Configure),
    act("POST", "/new/alert-channel", Configure, "alert-channel.add"),
    look("/alerts/channels/{channel}", Configure),
    act("POST", "/alerts/channels/{channel}", Configure, "alert-channel.edit"),
    act("POST", "/alerts/channels/{channel}/test", Operate, "alert-channel.test"),
    act("POST", "/alerts/channels/{channel}/remove", Configure, "alert-channel.remove"),
    look("/new/alert-route", Configure),
    act("POST", "/new/alert-route", Configure, "alert-route.add"),
    look("/alerts/routes/{route}", Configure),
    act("POST", "/alerts/routes/{route}", Configure, "alert-route.edit"),
    act("POST", "/alerts/routes/{route}/remove", Configure, "alert-route.remove"),
    look("/drills", See),
    look("/coverage", See),
    act("POST", "/coverage/ignore", Configure, "coverage.ignore"),
    act("POST", "/coverage/protect", Configure, "coverage.protect"),
    look("/new/app", Configure),
    act("POST", "/new/app", Configure, "app.add"),
    look("/apps/{app}", See),
    look("/apps/{app}/edit", Configure),
    act("POST", "/apps/{app}/edit", Configure, "app.edit"),
    act("POST", "/apps/{app}/run", Run, "app.run"),
    act("POST", "/apps/{app}/enabled", Configure, "app.enable"),
    act("POST", "/apps/{app}/doctor", Operate, "app.doctor"),
    act("POST", "/apps/{app}/expire", Configure, "app.expire"),
    act("POST", "/apps/{app}/remove", Configure, "app.remove"),
    look("/apps/{app}/retention", See),
    act("POST", "/apps/{app}/drill", Operate, "app.drill"),
    look("/apps/{app}/drills", Configure),
    act("POST", "/apps/{app}/drills", Configure, "app.drill-plan"),
    look("/apps/{app}/recovery", See),
    act("POST", "/apps/{app}/recovery", Download, "app.restore"),
    act("POST", "/apps/{app}/recovery/base", Operate, "app.base"),
    act("POST", "/apps/{app}/recovery/points", Run, "app.restore-point"),
    act("POST", "/apps/{app}/recovery/drill", Operate, "app.drill"),
    look("/apps/{app}/timeline", See),
    look("/runs", See),
    look("/runs/{run}", Follow),
    look("/runs/{run}/events", Follow),
    look("/runs/{run}/log", Follow),
    look("/runs/{run}/report", Follow),
    act("POST", "/runs/{run}/cancel", Operate, "run.cancel"),
    act("POST", "/runs/{run}/undo", Download, "run.undo"),
    look("/snapshots", See),
    look("/snapshots/{snapshot}", See),
    act("POST", "/snapshots/{snapshot}/pin", Operate, "snapshot.pin"),
    act("POST", "/snapshots/{snapshot}/accept", Operate, "snapshot.accept"),
    act("POST", "/snapshots/{snapshot}/verify", Operate, "snapshot.verify"),
    act("POST", "/snapshots/{snapshot}/copy", Operate, "snapshot.copy"),
    look("/snapshots/{snapshot}/restore", Download),
    act("POST", "/snapshots/{snapshot}/restore", Download, "snapshot.restore"),
    act("POST", "/snapshots/{snapshot}/drill", Operate, "snapshot.drill"),
    act("GET", "/snapshots/{snapshot}/download/{source}", Download, "snapshot.download"),
    act("GET", "/snapshots/{snapshot}/browse/{source}", Download, "snapshot.browse"),
    act("GET", "/snapshots/{snapshot}/file/{source}", Download, "snapshot.download"),
    act("GET", "/snapshots/{snapshot}/diff", Download, "snapshot.browse"),
    look("/destinations", See),
    look("/new/destination", Configure),
    act("POST", "/new/destination", Configure, "destination.add"),
    look("/destinations/{destination}", See),
    look("/destinations/{destination}/edit", Configure),
    act("POST", "/destinations/{destination}/edit", Configure, "destination.edit"),
    act("POST", "/destinations/{destination}/test", Operate, "destination.test"),
    look("/destinations/{destination}/google", Configure),
    act("GET", "/destinations/gdrive/finish", Configure, "destination.connect"),
    act("POST", "/destinations/{destination}/remove", Configure, "destination.remove"),
    act("POST", "/destinations/{destination}/reindex", Configure, "destination.reindex"),
    act("POST", "/destinations/{destination}/repository/count", Operate, "repository.count"),
    act("POST", "/destinations/{destination}/repository/check", Operate, "repository.check"),
    act("POST", "/destinations/{destination}/repository/prune", Configure, "repository.prune"),
    act(
        "POST",
        "/destinations/{destination}/repository/rotate",
        Configure,
        "repository.key.rotate",
    ),
    look("/recover", Administer),
    act("POST", "/recover", Administer, "recovery.look"),
    act("POST", "/recover/begin", Administer, "recovery.begin"),
    look("/settings/recovery", See),
    act("POST", "/settings/recovery/copy", Operate, "recovery.copy"),
    act("POST", "/settings/recovery/confirm", Configure, "recovery.confirm"),
    act("GET", "/recovery-kit", Administer, "recovery-kit.show"),
    act("POST", "/recovery-kit/stored", Administer, "recovery-kit.store"),
    look("/settings", See),
    // Everybody's own: what is changed here is checked again by the present password.
    look("/account", Follow),
    act("POST", "/account", Follow, "account.password"),
    act("POST", "/account/second-factor", Follow, ""),
    act("POST", "/account/sessions", Follow, ""),
    look("/account/link", Follow),
    act("POST", "/account/unlink", Follow, ""),
    look("/settings/users", Administer),
    act("POST", "/settings/users", Administer, "user.add"),
    act("POST", "/settings/users/{user}", Administer, "user.edit"),
    act("POST", "/settings/login-rules", Administer, "login.rules"),
    look("/settings/sessions", Administer),
    act("POST", "/settings/sessions/{session}", Administer, "session.end"),
    look("/settings/tokens", Administer),
    act("POST", "/settings/tokens", Administer, "token.create"),
    act("POST", "/settings/tokens/{token}", Administer, "token.revoke"),
    look("/settings/audit", Administer),
    look("/settings/audit.csv", Administer),
    look("/api", See),
    act("POST", "/logout", Follow, ""),
];

/// What an administrator can do who must set up a second factor first.
const OPEN_TO_ALL_LOGINS: &[&str] = &["/account", "/account/second-factor", "/logout"];

/// Lets a caller through who has the page's permission, and notes what they did.
pub(super) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        let there = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let back: String = url::form_urlencoded::byte_serialize(there.as_bytes()).collect();
        let to = if request.method() == Method::GET && there != "/" {
            format!("/login?next={back}")
        } else {
            "/login".to_owned()
        };
        return redirect(&to);
    };
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched.as_ref().map_or("", MatchedPath::as_str);
    if caller.needs_factor && !OPEN_TO_ALL_LOGINS.contains(&path) {
        return redirect("/account");
    }
    let method = if request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
    let route = ROUTES.iter().find(|route| route.method == method && route.path == path);
    let Some(route) = route.filter(|route| caller.may(route.permission)) else {
        return Fault::forbidden().into_response();
    };
    let query = request.uri().query().unwrap_or_default();
    match web.accounts.reaches(&caller, path, request.uri().path(), query).await {
        Ok(true) => {}
        Ok(false) => return Fault::forbidden().into_response(),
        Err(error) => return Fault::from(error).into_response(),
    }
    let from_path = target(path, request.uri().path());
    let response = next.run(request).await;
    // A form that is shown again has changed nothing.
    let done = response.status() == StatusCode::SEE_OTHER
        || response.extensions().get::<AuditTarget>().is_some()
        || route.method == "GET" && response.status().is_success();
    if let Some(action) = route.action.filter(|action| !action.is_empty() && done) {
        let told = response.extensions().get::<AuditTarget>();
        let target = told.map_or(from_path, |told| told.0.clone());
        web.accounts.audit(&caller, action, &target, "").await;
    }
    response
}

/// Nothing from elsewhere, nothing inline, in nobody's frame.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                          connect-src 'self'; form-action 'self'; base-uri 'none'; \
                          frame-ancestors 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_is_there_once_and_its_changes_are_audited() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| (other.method, other.path) == (route.method, route.path);
            assert_eq!(ROUTES.iter().position(|one| same(&one)), Some(at), "twice: {route:?}");
            assert!(route.method == "GET" || route.action.is_some(), "{route:?}");
        }
    }

    #[test]
    fn every_route_of_the_pages_has_its_row() {
        let source = include_str!("mod.rs");
        let between = |from, to| source.split(from).nth(1).unwrap().split(to).next().unwrap();
        let pages = [between("let pages", ".layer("), between("fn account_pages()", "\n}")];
        let mut known = 0;
        for route in pages.iter().flat_map(|part| part.split(".route(").skip(1)) {
            let path = route.split('"').nth(1).unwrap();
            for (verb, method) in [("get(", "GET"), ("post(", "POST")] {
                if route.contains(verb) {
                    let found = ROUTES.iter().any(|r| r.path == path && r.method == method);
                    assert!(found, "{method} {path} has no row");
                    known += 1;
                }
            }
        }
        assert_eq!(known, ROUTES.len(), "a row has no route");
    }
}
