//! The REST API under `/api/v1`.

mod apps;
mod destinations;
mod problem;
mod runs;
mod snapshots;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use engine::Engine;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use problem::Problem;

/// Largest request body, in bytes.
const MAX_BODY: usize = 1 << 20;

struct Shared {
    engine: Engine,
    token: SecretString,
}

type Api = State<Arc<Shared>>;

pub(crate) fn router(engine: Engine, token: SecretString) -> Router {
    let shared = Arc::new(Shared { engine, token });
    let guarded = Router::new()
        .route("/apps", get(apps::list).post(apps::add))
        .route("/apps/{app}", get(apps::show).put(apps::edit).delete(apps::remove))
        .route("/apps/{app}/enabled", post(apps::enable))
        .route("/apps/{app}/run", post(apps::run))
        .route("/apps/{app}/doctor", post(apps::doctor))
        .route("/apps/{app}/retention", get(apps::retention))
        .route("/apps/{app}/expire", post(apps::expire))
        .route("/apps/{app}/snapshots", get(snapshots::of_app))
        .route("/overview", get(apps::overview))
        .route("/destinations", get(destinations::list).post(destinations::add))
        .route(
            "/destinations/{destination}",
            get(destinations::show).put(destinations::edit).delete(destinations::remove),
        )
        .route("/destinations/{destination}/test", post(destinations::test))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/log", get(runs::log))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/snapshots", get(snapshots::recent))
        .route("/snapshots/{snapshot}", get(snapshots::show))
        .route("/snapshots/{snapshot}/pin", post(snapshots::pin).delete(snapshots::unpin))
        .route("/snapshots/{snapshot}/accept", post(snapshots::accept))
        .route("/snapshots/{snapshot}/verify", post(snapshots::verify))
        .route("/snapshots/{snapshot}/copy", post(snapshots::copy))
        .route("/snapshots/{snapshot}/artifacts/{source}", get(snapshots::download))
        .layer(from_fn_with_state(Arc::clone(&shared), authorize));
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .nest("/api/v1", guarded)
        .fallback(|| async { Problem::not_found("page") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(harden))
        .with_state(shared)
}

async fn ready(State(shared): Api) -> Result<&'static str, Problem> {
    shared.engine.catalog().ping().await.map_err(engine::EngineError::from)?;
    Ok("ok")
}

async fn authorize(State(shared): Api, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    let digest = |bytes| ring::digest::digest(&ring::digest::SHA256, bytes);
    // Digests have one length and tell nothing of how much of the token was right.
    if digest(given).as_ref() == digest(shared.token.expose_secret().as_bytes()).as_ref() {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
