//! axum's extractors, whose refusals are problem documents here.

use axum::{
    extract::{
        FromRequest, FromRequestParts,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::Problem;

/// Longest told detail, in characters: a refusal repeats some of what was sent.
const MAX_DETAIL: usize = 300;

/// A body of JSON.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Json<T>(pub(super) T);

/// The parameters in the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

/// The parameters after the `?`.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn told(status: StatusCode, detail: &str) -> Problem {
    Problem::new(status, detail.chars().take(MAX_DETAIL).collect())
}

impl From<JsonRejection> for Problem {
    fn from(refused: JsonRejection) -> Self {
        told(refused.status(), &refused.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(refused: PathRejection) -> Self {
        told(refused.status(), &refused.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(refused: QueryRejection) -> Self {
        told(refused.status(), &refused.body_text())
    }
}
