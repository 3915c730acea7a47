//! Everything that answers HTTP, and what holds for all of it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
use engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{Accounts, caller},
    api,
    backups_file::BackupsFile,
    recover::WayBack,
    settings::Settings,
    telemetry::{health, metrics, traces},
    unread, web,
};

/// Largest request body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// What answers are made of.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) accounts: Accounts,
    pub(crate) backups_file: BackupsFile,
    pub(crate) settings: Arc<Settings>,
    pub(crate) way_back: Arc<WayBack>,
    /// When the process began.
    pub(crate) started_at: jiff::Timestamp,
    /// Ends what would go on for ever.
    pub(crate) closing: CancellationToken,
}

/// What answers while the catalog is rebuilt.
pub(crate) fn while_recovering(way_back: Arc<WayBack>) -> Router {
    api::while_recovering(Arc::clone(&way_back))
        .merge(health::while_recovering())
        .merge(web::while_recovering(way_back))
        .layer(from_fn(harden))
}

pub(crate) fn router(parts: Parts) -> Router {
    let Parts { engine, accounts, backups_file, settings, way_back, started_at, closing } = parts;
    let watched = health::router(engine.clone(), closing.clone()).merge(metrics::router(
        engine.clone(),
        settings.metrics.clone(),
        started_at,
    ));
    let api = api::router(Arc::new(api::Shared {
        engine: engine.clone(),
        accounts: accounts.clone(),
        backups_file,
        settings: Arc::clone(&settings),
        way_back: Arc::clone(&way_back),
        closing: closing.clone(),
    }));
    let shared = web::Shared {
        engine,
        accounts: accounts.clone(),
        google: web::Questions::default(),
        zone: settings.zone.clone(),
        settings,
        way_back,
        closing,
    };
    web::router(Arc::new(shared))
        .merge(api)
        .layer(from_fn(traces::around))
        .merge(watched)
        .layer(from_fn_with_state(accounts, caller::identify))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(unread::read))
        .layer(from_fn(harden))
}

async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it browsers hide from us where our own forms come from.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Only what carries its content's mark in its address may be kept.
    let uncached = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(uncached);
    response
}
