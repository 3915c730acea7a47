//! The pages: rendered here, useful without a script, in two languages.

mod account;
mod alert_channels;
mod alert_routes;
mod alerts;
mod app;
mod app_command;
mod app_fields;
mod app_form;
mod app_sources;
mod app_state;
mod app_told;
mod assets;
mod audit;
mod band;
mod browse;
mod conflict;
mod coverage;
mod destination_fields;
mod destinations;
mod diff;
mod drill_list;
mod drill_told;
mod drills;
mod fault;
mod filters;
mod form;
mod format;
mod google;
mod guard;
mod lang;
mod login;
mod mark;
mod moment_form;
mod moments;
mod overview;
mod page;
mod pager;
mod provider;
mod qr;
mod recover;
mod recovery;
mod reference;
mod report;
mod repositories;
mod restore;
mod retention;
mod run_log;
mod run_report;
mod runs;
mod sentence;
mod sessions;
mod settings;
mod snapshots;
mod storage;
mod strip;
mod timeline;
mod tokens;
mod users;
mod visitor;
mod wording;

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use engine::Engine;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use tower_http::compression::{
    CompressionLayer, DefaultPredicate, Predicate as _, predicate::NotForContentType,
};

use crate::{accounts::Accounts, recover::WayBack, settings::Settings};
pub(crate) use google::Questions;
pub(crate) use lang::Lang;
pub(crate) use recover::while_recovering;
pub(crate) use wording::Words;

/// What every page reaches.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) accounts: Accounts,
    /// What people were sent to Google for.
    pub(crate) google: Questions,
    /// Whose clock the pages show.
    pub(crate) zone: TimeZone,
    pub(crate) settings: Arc<Settings>,
    /// The way back from a backup, on a server where nothing is yet.
    pub(crate) way_back: Arc<WayBack>,
    /// Ends what would go on for ever.
    pub(crate) closing: CancellationToken,
}

pub(crate) type Web = Arc<Shared>;

/// A new page goes into `guard.rs` as well: nobody sees one that is not there.
pub(crate) fn router(shared: Web) -> Router {
    let pages = Router::new()
        .route("/", get(overview::show_overview))
        .route("/clock", post(overview::accept_clock))
        .route("/alerts", get(alerts::page))
        .route("/alerts/all", get(alerts::all))
        .route("/new/alert-channel", get(alert_channels::blank).post(alert_channels::add))
        .route("/alerts/channels/{channel}", get(alert_channels::stored).post(alert_channels::edit))
        .route("/alerts/channels/{channel}/test", post(alert_channels::test))
        .route("/alerts/channels/{channel}/remove", post(alert_channels::remove))
        .route("/new/alert-route", get(alert_routes::blank).post(alert_routes::add))
        .route("/alerts/routes/{route}", get(alert_routes::stored).post(alert_routes::edit))
        .route("/alerts/routes/{route}/remove", post(alert_routes::remove))
        .route("/drills", get(drill_list::page))
        .route("/coverage", get(coverage::list))
        .route("/coverage/ignore", post(coverage::ignore))
        .route("/coverage/protect", post(coverage::protect))
        .route("/new/app", get(app_form::blank).post(app_form::add))
        .route("/apps/{app}", get(app::page))
        .route("/apps/{app}/edit", get(app_form::stored).post(app_form::edit))
        .route("/apps/{app}/run", post(app::run))
        .route("/apps/{app}/enabled", post(app::enable))
        .route("/apps/{app}/doctor", post(app::doctor))
        .route("/apps/{app}/expire", post(app::expire))
        .route("/apps/{app}/remove", post(app::remove))
        .route("/apps/{app}/retention", get(retention::preview))
        .route("/apps/{app}/drill", post(drills::drill_app))
        .route("/apps/{app}/drills", get(drills::plan).post(drills::save))
        .route("/apps/{app}/recovery", get(moments::ask).post(moments::sent))
        .route("/apps/{app}/recovery/base", post(moments::base))
        .route("/apps/{app}/recovery/points", post(moments::point))
        .route("/apps/{app}/recovery/drill", post(moments::drill))
        .route("/apps/{app}/timeline", get(timeline::page))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::page))
        .route("/runs/{run}/events", get(runs::events))
        .route("/runs/{run}/log", get(run_log::log))
        .route("/runs/{run}/report", get(run_report::page))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/undo", post(moments::undo))
        .route("/snapshots", get(snapshots::list))
        .route("/snapshots/{snapshot}", get(snapshots::page))
        .route("/snapshots/{snapshot}/pin", post(snapshots::pin))
        .route("/snapshots/{snapshot}/accept", post(snapshots::accept))
        .route("/snapshots/{snapshot}/verify", post(snapshots::verify))
        .route("/snapshots/{snapshot}/copy", post(snapshots::copy))
        .route("/snapshots/{snapshot}/restore", get(restore::ask).post(restore::sent))
        .route("/snapshots/{snapshot}/drill", post(drills::drill_snapshot))
        .route("/snapshots/{snapshot}/download/{source}", get(snapshots::download))
        .route("/snapshots/{snapshot}/browse/{source}", get(browse::page))
        .route("/snapshots/{snapshot}/file/{source}", get(browse::file))
        .route("/snapshots/{snapshot}/diff", get(diff::page))
        .route("/destinations", get(destinations::list))
        .route("/new/destination", get(destinations::blank).post(destinations::add))
        .route("/destinations/{destination}", get(destinations::page))
        .route(
            "/destinations/{destination}/edit",
            get(destinations::stored).post(destinations::edit),
        )
        .route("/destinations/{destination}/test", post(destinations::test))
        .route("/destinations/{destination}/google", get(google::ask))
        .route("/destinations/gdrive/finish", get(google::finish))
        .route("/destinations/{destination}/remove", post(destinations::remove))
        .route("/destinations/{destination}/reindex", post(recovery::reindex))
        .route("/destinations/{destination}/repository/count", post(repositories::count))
        .route("/destinations/{destination}/repository/check", post(repositories::check))
        .route("/destinations/{destination}/repository/prune", post(repositories::free))
        .route("/destinations/{destination}/repository/rotate", post(repositories::rotate))
        .route("/recover", get(recover::ask).post(recover::look))
        .route("/recover/begin", post(recover::begin))
        .route("/settings/recovery", get(recovery::page))
        .route("/settings/recovery/copy", post(recovery::copy))
        .route("/settings/recovery/confirm", post(recovery::confirm))
        .route("/recovery-kit", get(recovery::kit))
        .route("/recovery-kit/stored", post(recovery::stored))
        .route("/settings", get(settings::server))
        .merge(account_pages())
        .route("/settings/audit", get(audit::page))
        .route("/settings/audit.csv", get(audit::csv))
        .route("/api", get(reference::page))
        .route("/logout", post(login::log_out))
        .layer(from_fn_with_state(Arc::clone(&shared), guard::guard));
    let squeezed =
        DefaultPredicate::new().and(NotForContentType::const_new("application/octet-stream"));
    pages
        .route("/login", get(login::ask).post(login::log_in))
        .route("/login/code", get(login::ask_code).post(login::log_in_with_code))
        .route("/login/oidc", get(provider::ask))
        .route("/login/oidc/callback", get(provider::back))
        .route("/login/oidc/finish", get(provider::finish))
        .route("/preferences", post(login::prefer))
        // Whoever began it has no session in the catalog that comes back.
        .route("/recover/progress/{word}", get(recover::progress))
        .route("/destinations/gdrive/callback", get(google::back))
        .fallback(|| async { fault::Fault::not_found() })
        .layer(from_fn_with_state(Arc::clone(&shared), fault::dress))
        .layer(from_fn(guard::harden))
        .layer(CompressionLayer::new().compress_when(squeezed))
        .route("/static/{mark}/{name}", get(assets::serve))
        .with_state(shared)
}

/// One's own account, users, logins, tokens.
fn account_pages() -> Router<Web> {
    Router::new()
        .route("/account", get(account::account).post(account::change_password))
        .route("/account/second-factor", post(account::second_factor))
        .route("/account/sessions", post(sessions::end_own))
        .route("/account/link", get(provider::link))
        .route("/account/unlink", post(provider::unlink))
        .route("/settings/users", get(users::users).post(users::add_user))
        .route("/settings/users/{user}", post(users::edit_user))
        .route("/settings/login-rules", post(users::edit_rules))
        .route("/settings/sessions", get(sessions::list))
        .route("/settings/sessions/{session}", post(sessions::end))
        .route("/settings/tokens", get(tokens::tokens).post(tokens::create_token))
        .route("/settings/tokens/{token}", post(tokens::revoke_token))
}
