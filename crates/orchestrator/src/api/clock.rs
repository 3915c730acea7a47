//! The machine's clock, as far as it is trusted with deletions.

use axum::{extract::State, http::StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Problem, extract::Json};

/// The server's clock.
#[derive(Serialize, ToSchema)]
pub(super) struct Clock {
    /// The present moment by it.
    now: Timestamp,
    /// When it moved by more than a day, while nothing expires because of it; `null` otherwise.
    jumped_at: Option<Timestamp>,
}

pub(super) async fn show(State(api): Api) -> Result<Json<Clock>, Problem> {
    let jumped_at = api.engine.clock_jumped_at().await?;
    Ok(Json(Clock { now: api.engine.now(), jumped_at }))
}

pub(super) async fn accept(State(api): Api) -> Result<StatusCode, Problem> {
    api.engine.accept_clock().await?;
    Ok(StatusCode::NO_CONTENT)
}
