//! Errors as problem documents (RFC 9457).

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use catalog::CatalogError;
use engine::{EngineError, FieldError};
use model::Fact;
use serde::Serialize;
use utoipa::ToSchema;

/// An error as the API tells it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The status in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What failed, on what, and what to do next.
    detail: String,
    /// What is wrong with the fields that were sent; left out where it is not about fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { title, status: status.as_u16(), detail, errors: Vec::new(), retry_after: None }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "log in, or send a token as `Authorization: Bearer`";
        Self::new(StatusCode::UNAUTHORIZED, detail.to_owned())
    }

    pub(crate) fn too_many(detail: String, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// The same, about a field.
    pub(crate) fn about(mut self, field: &str, wrong: Fact) -> Self {
        self.errors.push(FieldError::new(field, wrong));
        self
    }

    pub(crate) fn forbidden(detail: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail.to_string())
    }
}

/// The status that tells an error.
pub(crate) fn status_of(error: &EngineError) -> StatusCode {
    match error {
        EngineError::NotFound { .. } => StatusCode::NOT_FOUND,
        EngineError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        EngineError::Conflict(_) | EngineError::Refused(_) | EngineError::Locked(_) => {
            StatusCode::CONFLICT
        }
        EngineError::Store(_) | EngineError::Damaged(_) => StatusCode::BAD_GATEWAY,
        EngineError::Catalog(inner) => match inner {
            CatalogError::NameTaken { .. }
            | CatalogError::Stale { .. }
            | CatalogError::InUse { .. }
            | CatalogError::IdentityTaken { .. }
            | CatalogError::LastAdmin { .. } => StatusCode::CONFLICT,
            CatalogError::NotFound { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let status = status_of(&error);
        let mut problem = Self::new(status, error.to_string());
        if let EngineError::Invalid(errors) = error {
            problem.errors = errors;
        }
        problem
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        EngineError::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let busy = (status == StatusCode::SERVICE_UNAVAILABLE).then(|| Duration::from_secs(5));
        let wait = self.retry_after.or(busy);
        let mut response = (status, Json(self)).into_response();
        let media = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        response
    }
}
