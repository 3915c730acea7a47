//! What each route asks for. A route that is not here is refused to everybody.

use axum::http::Method;
use model::Permission::{self, Administer, Configure, Download, Follow, Operate, Run, See};

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// As the router matches it.
    pub(crate) path: &'static str,
    pub(crate) permission: Permission,
    /// Its name in the audit log; `None` is not worth a line there.
    pub(crate) action: Option<&'static str>,
}

pub(crate) const fn look(path: &'static str, permission: Permission) -> Route {
    Route { method: "GET", path, permission, action: None }
}

pub(crate) const fn act(
    method: &'static str,
    path: &'static str,
    permission: Permission,
    action: &'static str,
) -> Route {
    Route { method, path, permission, action: Some(action) }
}

/// A question that takes a body and changes nothing.
pub(crate) const fn ask(path: &'static str, permission: Permission) -> Route {
    Route { method: "POST", path, permission, action: None }
}

/// Every route of the API that asks for a permission.
pub(crate) const ROUTES: &[Route] = &[
    look("/api/v1/apps", See),
    act("POST", "/api/v1/apps", Configure, "app.add"),
    look("/api/v1/apps/{app}", See),
    act("PUT", "/api/v1/apps/{app}", Configure, "app.edit"),
    act("DELETE", "/api/v1/apps/{app}", Configure, "app.remove"),
    act("POST", "/api/v1/apps/{app}/enabled", Configure, "app.enable"),
    act("POST", "/api/v1/apps/{app}/run", Run, "app.run"),
    act("POST", "/api/v1/apps/{app}/doctor", Operate, "app.doctor"),
    act("POST", "/api/v1/apps/{app}/drill", Operate, "app.drill"),
    act("PUT", "/api/v1/apps/{app}/drill-plan", Configure, "app.drill-plan"),
    look("/api/v1/apps/{app}/retention", See),
    act("POST", "/api/v1/apps/{app}/expire", Configure, "app.expire"),
    look("/api/v1/apps/{app}/recovery", See),
    act("POST", "/api/v1/apps/{app}/recovery/base", Operate, "app.base"),
    act("POST", "/api/v1/apps/{app}/recovery/restore-points", Run, "app.restore-point"),
    ask("/api/v1/apps/{app}/recovery/preflight", Download),
    act("POST", "/api/v1/apps/{app}/recovery/restore", Download, "app.restore"),
    act("POST", "/api/v1/apps/{app}/recovery/drill", Operate, "app.drill"),
    act("GET", "/api/v1/wal/{app}/{name}", Download, "wal.fetch"),
    // A server hands one over every few seconds: in the audit log they would hide all else.
    Route { method: "PUT", path: "/api/v1/wal/{app}/{name}", permission: Run, action: None },
    look("/api/v1/apps/{app}/snapshots", See),
    look("/api/v1/apps/{app}/before-deploy", See),
    look("/api/v1/overview", See),
    act("POST", "/api/v1/connection/test", Configure, "app.test"),
    look("/api/v1/source-kinds", See),
    look("/api/v1/config", See),
    act("POST", "/api/v1/doctor", Operate, "host.doctor"),
    look("/api/v1/storage", See),
    look("/api/v1/coverage", See),
    act("POST", "/api/v1/coverage/ignore", Configure, "coverage.ignore"),
    act("POST", "/api/v1/coverage/protect", Configure, "coverage.protect"),
    look("/api/v1/clock", See),
    act("POST", "/api/v1/clock/accept", Configure, "clock.accept"),
    ask("/api/v1/schedule/next", See),
    look("/api/v1/destinations", See),
    act("POST", "/api/v1/destinations", Configure, "destination.add"),
    look("/api/v1/destinations/{destination}", See),
    look("/api/v1/destinations/{destination}/storage", See),
    act("PUT", "/api/v1/destinations/{destination}", Configure, "destination.edit"),
    act("DELETE", "/api/v1/destinations/{destination}", Configure, "destination.remove"),
    act("POST", "/api/v1/destinations/{destination}/test", Operate, "destination.test"),
    act("POST", "/api/v1/destinations/{destination}/verify", Operate, "destination.verify"),
    act("POST", "/api/v1/destinations/{destination}/reindex", Configure, "destination.reindex"),
    look("/api/v1/destinations/{destination}/repository", See),
    act("POST", "/api/v1/destinations/{destination}/repository/check", Operate, "repository.check"),
    act(
        "POST",
        "/api/v1/destinations/{destination}/repository/prune",
        Configure,
        "repository.prune",
    ),
    act("POST", "/api/v1/destinations/{destination}/repository/copy", Operate, "repository.copy"),
    act(
        "POST",
        "/api/v1/destinations/{destination}/repository/unlock",
        Configure,
        "repository.unlock",
    ),
    act(
        "POST",
        "/api/v1/destinations/{destination}/repository/rotate",
        Configure,
        "repository.key.rotate",
    ),
    look("/api/v1/destinations/{destination}/repository/keys", Configure),
    act(
        "POST",
        "/api/v1/destinations/{destination}/repository/keys",
        Configure,
        "repository.key.add",
    ),
    act(
        "DELETE",
        "/api/v1/destinations/{destination}/repository/keys/{key}",
        Configure,
        "repository.key.remove",
    ),
    look("/api/v1/recovery", See),
    act("POST", "/api/v1/recovery/copy", Operate, "recovery.copy"),
    act("POST", "/api/v1/recovery/confirm", Configure, "recovery.confirm"),
    act("POST", "/api/v1/recovery/look", Administer, "recovery.look"),
    act("POST", "/api/v1/recovery/begin", Administer, "recovery.begin"),
    act("GET", "/api/v1/recovery-kit", Administer, "recovery-kit.show"),
    act("POST", "/api/v1/recovery-kit/stored", Administer, "recovery-kit.store"),
    act("POST", "/api/v1/run-all", Run, "run.all"),
    look("/api/v1/runs", See),
    look("/api/v1/runs/{run}", Follow),
    look("/api/v1/runs/{run}/log", Follow),
    look("/api/v1/runs/{run}/report", Follow),
    look("/api/v1/runs/{run}/events", Follow),
    act("POST", "/api/v1/runs/{run}/cancel", Operate, "run.cancel"),
    act("POST", "/api/v1/runs/{run}/undo", Download, "run.undo"),
    look("/api/v1/snapshots", See),
    look("/api/v1/snapshots/{snapshot}", See),
    act("POST", "/api/v1/snapshots/{snapshot}/pin", Operate, "snapshot.pin"),
    act("DELETE", "/api/v1/snapshots/{snapshot}/pin", Operate, "snapshot.unpin"),
    act("POST", "/api/v1/snapshots/{snapshot}/accept", Operate, "snapshot.accept"),
    act("POST", "/api/v1/snapshots/{snapshot}/verify", Operate, "snapshot.verify"),
    act("POST", "/api/v1/snapshots/{snapshot}/copy", Operate, "snapshot.copy"),
    ask("/api/v1/snapshots/{snapshot}/preflight", Download),
    act("POST", "/api/v1/snapshots/{snapshot}/restore", Download, "snapshot.restore"),
    act("POST", "/api/v1/snapshots/{snapshot}/drill", Operate, "snapshot.drill"),
    act("GET", "/api/v1/snapshots/{snapshot}/artifacts/{source}", Download, "snapshot.download"),
    // Names are content too.
    act("GET", "/api/v1/snapshots/{snapshot}/browse", Download, "snapshot.browse"),
    act("GET", "/api/v1/snapshots/{snapshot}/search", Download, "snapshot.browse"),
    act("GET", "/api/v1/snapshots/{snapshot}/diff", Download, "snapshot.browse"),
    act("GET", "/api/v1/snapshots/{snapshot}/file", Download, "snapshot.download"),
    look("/api/v1/alerts", See),
    look("/api/v1/alert-messages", See),
    look("/api/v1/alert-channel-kinds", See),
    look("/api/v1/alert-channels", See),
    act("POST", "/api/v1/alert-channels", Configure, "alert-channel.add"),
    look("/api/v1/alert-channels/{channel}", See),
    act("PUT", "/api/v1/alert-channels/{channel}", Configure, "alert-channel.edit"),
    act("DELETE", "/api/v1/alert-channels/{channel}", Configure, "alert-channel.remove"),
    act("POST", "/api/v1/alert-channels/{channel}/test", Operate, "alert-channel.test"),
    look("/api/v1/alert-routes", See),
    act("POST", "/api/v1/alert-routes", Configure, "alert-route.add"),
    look("/api/v1/alert-routes/{route}", See),
    act("PUT", "/api/v1/alert-routes/{route}", Configure, "alert-route.edit"),
    act("DELETE", "/api/v1/alert-routes/{route}", Configure, "alert-route.remove"),
    look("/api/v1/apps/{app}/usual", See),
    look("/api/v1/apps/{app}/storage", See),
    look("/api/v1/drills", See),
    look("/api/v1/users", Administer),
    act("POST", "/api/v1/users", Administer, "user.add"),
    act("PUT", "/api/v1/users/{user}", Administer, "user.edit"),
    act("DELETE", "/api/v1/users/{user}", Administer, "user.remove"),
    act("DELETE", "/api/v1/users/{user}/second-factor", Administer, "user.second-factor.reset"),
    act("DELETE", "/api/v1/users/{user}/identity", Administer, "user.unlink"),
    look("/api/v1/login-rules", Administer),
    act("PUT", "/api/v1/login-rules", Administer, "login.rules"),
    act("DELETE", "/api/v1/users/{user}/sessions", Administer, "session.end"),
    look("/api/v1/sessions", Administer),
    act("DELETE", "/api/v1/sessions/{session}", Administer, "session.end"),
    // Everybody's own.
    look("/api/v1/account/sessions", Follow),
    act("DELETE", "/api/v1/account/sessions", Follow, "session.end"),
    act("DELETE", "/api/v1/account/sessions/{session}", Follow, "session.end"),
    look("/api/v1/tokens", Administer),
    act("POST", "/api/v1/tokens", Administer, "token.create"),
    act("DELETE", "/api/v1/tokens/{token}", Administer, "token.revoke"),
    look("/api/v1/audit", Administer),
    look("/api/v1/audit.csv", Administer),
    look("/api/v1/events", See),
    look("/api/v1/openapi.json", See),
];

/// The row of a matched path.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Route> {
    // A HEAD is answered as a GET without its body.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().find(|route| route.method == method && route.path == path)
}

/// The values of a path's parameters, `/`-separated.
pub(crate) fn target(matched: &str, path: &str) -> String {
    let values: Vec<_> = matched
        .split('/')
        .zip(path.split('/'))
        .filter(|(name, _)| name.starts_with('{'))
        .map(|(_, value)| value)
        .collect();
    values.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_there_once_and_unsafe_ones_are_audited() {
        for route in ROUTES {
            let method = route.method.parse().unwrap();
            assert_eq!(find(&method, route.path), Some(route), "twice");
            // What only looks asks for no more than a look; all else is noted.
            let looks = matches!(route.permission, See | Follow)
                && !route.path.starts_with("/api/v1/account/")
                || route.path.ends_with("/preflight")
                || (route.method, route.path) == ("PUT", "/api/v1/wal/{app}/{name}");
            assert!(route.method == "GET" || looks != route.action.is_some(), "{route:?}");
        }
        assert_eq!(find(&Method::PATCH, "/api/v1/apps"), None);
        assert!(find(&Method::HEAD, "/api/v1/apps").is_some());
    }

    #[test]
    fn targets_are_what_the_path_names() {
        let path = "/api/v1/snapshots/{snapshot}/artifacts/{source}";
        assert_eq!(target(path, "/api/v1/snapshots/01x/artifacts/db"), "01x/db");
        assert_eq!(target("/api/v1/apps", "/api/v1/apps"), "");
    }
}
