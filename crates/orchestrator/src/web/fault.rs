//! Errors as pages.

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use catalog::CatalogError;
use engine::{EngineError, FieldError};
use model::Sentence;

use super::{
    Web, filters,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::legible;

/// An error on the way to a page.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    status: StatusCode,
    detail: Box<Sentence>,
    errors: Vec<FieldError>,
}

impl Fault {
    pub(crate) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: Box::default(), errors: Vec::new() }
    }

    pub(crate) fn refused(status: StatusCode) -> Self {
        Self { status, detail: Box::default(), errors: Vec::new() }
    }

    pub(crate) fn forbidden() -> Self {
        Self { status: StatusCode::FORBIDDEN, detail: Box::default(), errors: Vec::new() }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let status = crate::api::status_of(&error);
        let detail = Box::new(error.sentence());
        let errors = if let EngineError::Invalid(errors) = error { errors } else { Vec::new() };
        Self { status, detail, errors }
    }
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Self {
        EngineError::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    detail: String,
    /// Each field, and what is wrong with it.
    errors: Vec<(String, String)>,
}

/// Gives every error on the way to a page its page, in the visitor's language.
pub(super) async fn dress(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let visitor = Visitor::of(&web.engine, &web.zone, &parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let plain = response.headers().get(axum::http::header::CONTENT_TYPE).is_none()
        || response.extensions().get::<Fault>().is_some();
    // A page that shows its own errors, such as a form, is left as it is.
    if !plain
        && response.headers()[axum::http::header::CONTENT_TYPE]
            .to_str()
            .is_ok_and(|media| media.starts_with("text/html"))
    {
        return response;
    }
    let fault = response.extensions().get::<Fault>().cloned();
    let title = match status {
        StatusCode::NOT_FOUND => visitor.t("error-not-found"),
        StatusCode::FORBIDDEN => visitor.t("error-forbidden"),
        StatusCode::CONFLICT => visitor.t("error-conflict"),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => visitor.t("error-invalid"),
        StatusCode::BAD_GATEWAY => visitor.t("error-destination"),
        StatusCode::SERVICE_UNAVAILABLE => visitor.t("error-unavailable"),
        _ => visitor.t("error-other"),
    };
    let fault = fault.unwrap_or(Fault { status, detail: Box::default(), errors: Vec::new() });
    let detail = match (fault.detail.is_empty(), status) {
        (false, _) => visitor.sentence(&fault.detail),
        (true, StatusCode::NOT_FOUND) => visitor.t("error-not-found-detail"),
        (true, StatusCode::FORBIDDEN) => visitor.t("error-forbidden-detail"),
        (true, _) => visitor.t("error-other-detail"),
    };
    let page = visitor.page(title, Nav::None);
    let told = fault.errors.iter();
    let errors = told.map(|one| (one.field.clone(), visitor.sentence(&one.sentence()))).collect();
    let page = show(&ErrorPage { page, detail, errors });
    let mut response = (status, page).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// A template as a page.
pub(crate) fn show(template: &impl Template) -> Html<String> {
    // Writing into a string fails only where a value's own formatting does, and ours do not.
    Html(legible::page(template.render().unwrap_or_else(|error| format!("template: {error}"))))
}
