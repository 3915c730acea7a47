//! The REST API under `/api/v1`.

mod alerts;
mod apps;
pub(crate) mod audit;
pub(crate) mod browse;
mod clock;
mod config;
mod destinations;
mod events;
mod extract;
mod host;
mod moments;
mod openapi;
mod problem;
mod recover;
mod recovery;
mod repositories;
mod restores;
pub(crate) mod runs;
mod session;
mod sessions;
mod shapes;
mod snapshots;
mod source_kinds;
mod tokens;
mod users;
mod wal;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::{delete, get, post, put},
};
use engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{Accounts, caller},
    backups_file::BackupsFile,
    recover::WayBack,
    settings::Settings,
};
pub(crate) use openapi::openapi;
pub(crate) use problem::{Problem, status_of};
pub(crate) use recover::while_recovering;
pub(crate) use shapes::draft_of;
pub(crate) use snapshots::artifact_response;

/// What every handler reaches.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) accounts: Accounts,
    pub(crate) backups_file: BackupsFile,
    pub(crate) settings: Arc<Settings>,
    /// The way back from a backup, on a server where nothing is yet.
    pub(crate) way_back: Arc<WayBack>,
    /// Ends what would otherwise never end.
    pub(crate) closing: CancellationToken,
}

pub(crate) type Api = State<Arc<Shared>>;

/// A new route goes into `accounts/permissions.rs` as well: nobody may use one that is not there.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let accounts = shared.accounts.clone();
    let guarded = Router::new()
        .route("/apps", get(apps::list).post(apps::add))
        .route("/apps/{app}", get(apps::show).put(apps::edit).delete(apps::remove))
        .route("/apps/{app}/enabled", post(apps::enable))
        .route("/apps/{app}/run", post(apps::run))
        .route("/apps/{app}/doctor", post(apps::doctor))
        .route("/apps/{app}/drill", post(restores::drill_app))
        .route("/apps/{app}/drill-plan", put(restores::plan))
        .route("/apps/{app}/retention", get(apps::retention))
        .route("/apps/{app}/expire", post(apps::expire))
        .route("/apps/{app}/recovery", get(moments::show))
        .route("/apps/{app}/recovery/base", post(moments::base))
        .route("/apps/{app}/recovery/restore-points", post(moments::point))
        .route("/apps/{app}/recovery/preflight", post(moments::preflight))
        .route("/apps/{app}/recovery/restore", post(moments::restore))
        .route("/apps/{app}/recovery/drill", post(moments::drill))
        .route("/wal/{app}/{name}", get(wal::fetch).put(wal::push))
        .route("/apps/{app}/snapshots", get(snapshots::of_app))
        .route("/apps/{app}/usual", get(alerts::usual))
        .route("/apps/{app}/storage", get(apps::storage))
        .route("/apps/{app}/before-deploy", get(snapshots::before_deploy))
        .route("/overview", get(apps::overview))
        .route("/drills", get(restores::drills))
        .route("/connection/test", post(apps::try_draft))
        .route("/source-kinds", get(source_kinds::list))
        .route("/config", get(config::show))
        .route("/doctor", post(host::doctor))
        .route("/coverage", get(host::coverage))
        .route("/coverage/ignore", post(host::ignore))
        .route("/coverage/protect", post(host::protect))
        .route("/storage", get(host::storage))
        .route("/clock", get(clock::show))
        .route("/clock/accept", post(clock::accept))
        .route("/schedule/next", post(apps::fires))
        .merge(of_destinations())
        .route("/recovery", get(recovery::show))
        .route("/recovery/copy", post(recovery::copy))
        .route("/recovery/confirm", post(recovery::confirm))
        .route("/recovery/look", post(recover::look))
        .route("/recovery/begin", post(recover::begin))
        .route("/recovery-kit", get(recovery::kit))
        .route("/recovery-kit/stored", post(recovery::stored))
        .route("/run-all", post(apps::run_all))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/log", get(runs::log))
        .route("/runs/{run}/report", get(restores::report))
        .route("/runs/{run}/events", get(events::of_run))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/undo", post(moments::undo))
        .route("/snapshots", get(snapshots::recent))
        .route("/snapshots/{snapshot}", get(snapshots::show))
        .route("/snapshots/{snapshot}/pin", post(snapshots::pin).delete(snapshots::unpin))
        .route("/snapshots/{snapshot}/accept", post(snapshots::accept))
        .route("/snapshots/{snapshot}/verify", post(snapshots::verify))
        .route("/snapshots/{snapshot}/copy", post(snapshots::copy))
        .route("/snapshots/{snapshot}/preflight", post(restores::preflight))
        .route("/snapshots/{snapshot}/restore", post(restores::restore))
        .route("/snapshots/{snapshot}/drill", post(restores::drill_snapshot))
        .route("/snapshots/{snapshot}/artifacts/{source}", get(snapshots::download))
        .route("/snapshots/{snapshot}/browse", get(browse::browse))
        .route("/snapshots/{snapshot}/search", get(browse::search))
        .route("/snapshots/{snapshot}/diff", get(browse::diff))
        .route("/snapshots/{snapshot}/file", get(browse::file))
        .merge(of_alerts())
        .merge(account_routes())
        .route("/audit", get(audit::list))
        .route("/audit.csv", get(audit::csv))
        .route("/events", get(events::list))
        .route("/openapi.json", get(openapi::show))
        .layer(from_fn_with_state(accounts, caller::authorize));
    Router::new()
        .route("/api/v1/session", get(session::show).post(session::login).delete(session::logout))
        .route("/api/v1/session/password", put(session::change_password))
        .route(
            "/api/v1/session/second-factor",
            post(session::begin_factor).put(session::confirm_factor),
        )
        .route("/api/v1/session/second-factor/end", post(session::end_factor))
        .route("/api/v1/recovery/progress/{word}", get(recover::progress))
        .nest("/api/v1", guarded.fallback(|| async { Problem::not_found("route") }))
        .layer(from_fn(harden))
        .with_state(shared)
}

/// Where copies go.
fn of_destinations() -> Router<Arc<Shared>> {
    Router::new()
        .route("/destinations", get(destinations::list).post(destinations::add))
        .route(
            "/destinations/{destination}",
            get(destinations::show).put(destinations::edit).delete(destinations::remove),
        )
        .route("/destinations/{destination}/storage", get(destinations::storage))
        .route("/destinations/{destination}/test", post(destinations::test))
        .route("/destinations/{destination}/verify", post(destinations::verify))
        .route("/destinations/{destination}/reindex", post(recovery::reindex))
        .route("/destinations/{destination}/repository", get(repositories::show))
        .route("/destinations/{destination}/repository/check", post(repositories::check))
        .route("/destinations/{destination}/repository/prune", post(repositories::free))
        .route("/destinations/{destination}/repository/copy", post(repositories::copy))
        .route("/destinations/{destination}/repository/rotate", post(repositories::rotate))
        .route("/destinations/{destination}/repository/unlock", post(repositories::unlock))
        .route(
            "/destinations/{destination}/repository/keys",
            get(repositories::keys).post(repositories::add_key),
        )
        .route(
            "/destinations/{destination}/repository/keys/{key}",
            delete(repositories::remove_key),
        )
}

/// Users, logins, tokens.
fn account_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/users", get(users::list).post(users::add))
        .route("/users/{user}", put(users::edit).delete(users::remove))
        .route("/users/{user}/second-factor", delete(users::reset_factor))
        .route("/users/{user}/identity", delete(users::unlink))
        .route("/login-rules", get(users::rules).put(users::edit_rules))
        .route("/users/{user}/sessions", delete(sessions::end_of_user))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{session}", delete(sessions::end))
        .route("/account/sessions", get(sessions::own).delete(sessions::end_others))
        .route("/account/sessions/{session}", delete(sessions::end_own))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{token}", delete(tokens::revoke))
}

fn of_alerts() -> Router<Arc<Shared>> {
    Router::new()
        .route("/alerts", get(alerts::list))
        .route("/alert-messages", get(alerts::sent))
        .route("/alert-channel-kinds", get(alerts::kinds))
        .route("/alert-channels", get(alerts::channels).post(alerts::add_channel))
        .route(
            "/alert-channels/{channel}",
            get(alerts::channel).put(alerts::edit_channel).delete(alerts::remove_channel),
        )
        .route("/alert-channels/{channel}/test", post(alerts::test_channel))
        .route("/alert-routes", get(alerts::routes).post(alerts::add_route))
        .route(
            "/alert-routes/{route}",
            get(alerts::route).put(alerts::edit_route).delete(alerts::remove_route),
        )
}

async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
