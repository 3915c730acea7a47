//! Whether the server lives, and whether it may be sent work. Neither needs a login, and neither
//! tells more than that.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::api::Problem;

#[derive(Clone)]
struct Health {
    engine: Engine,
    closing: CancellationToken,
}

/// `GET /healthz` (also `/health`): the process answers. `GET /readyz` (also `/ready`): the catalog
/// answers, schedules are looked at, and nobody has asked the server to stop.
pub(crate) fn router(engine: Engine, closing: CancellationToken) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/health", get(alive))
        .route("/readyz", get(ready))
        .route("/ready", get(ready))
        .with_state(Health { engine, closing })
}

/// The same while the catalog is rebuilt: alive, and not ready.
pub(crate) fn while_recovering() -> Router {
    let wait = || async { not_ready("the catalog is rebuilt from a destination") };
    Router::new()
        .route("/healthz", get(alive))
        .route("/health", get(alive))
        .route("/readyz", get(wait))
        .route("/ready", get(wait))
}

async fn alive() -> &'static str {
    "ok"
}

async fn ready(State(health): State<Health>) -> Response {
    if health.closing.is_cancelled() {
        return not_ready("the server is stopping");
    }
    // What is wrong with it stands in the log: this is for anybody.
    if health.engine.catalog().ping().await.is_err() {
        return not_ready("the catalog does not answer");
    }
    if !health.engine.pace().goes_on() {
        return not_ready("schedules are not looked at");
    }
    "ok".into_response()
}

fn not_ready(why: &str) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()).into_response()
}
