//! What a server says to requests it cannot serve.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{Checker, Finding, problem, report::Outcome};

pub(super) async fn not_found(checker: &Checker) -> Outcome {
    let path = "backup/no-such-route-of-the-contract";
    let (url, answer) = checker.ask(Method::GET, path, None, &[]).await?;
    let status = answer.response.status();
    if status != StatusCode::NOT_FOUND {
        return Err(Finding::failed(
            format!("GET /{path} answered {status}"),
            "answer 404 to every path that is not of the contract",
        ));
    }
    problem(checker, &url, answer, false).await
}

pub(super) async fn method_not_allowed(checker: &Checker) -> Outcome {
    let (url, answer) = checker.ask(Method::GET, "backup/export", None, &[]).await?;
    let status = answer.response.status();
    if !matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND) {
        return Err(Finding::failed(
            format!("GET /backup/export answered {status}"),
            "answer 405 (or 404): only POST exports, so that nothing exports by accident",
        ));
    }
    problem(checker, &url, answer, false).await
}

pub(super) async fn unusable_request(checker: &Checker) -> Outcome {
    let body = Bytes::from_static(b"{\"type\": ");
    let (url, answer) = checker.ask(Method::POST, "backup/export", Some(body), &[]).await?;
    let status = answer.response.status();
    if !matches!(status, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST) {
        return Err(Finding::failed(
            format!("a body that is not JSON was answered {status}"),
            "answer 422 with a problem document",
        ));
    }
    problem(checker, &url, answer, true).await
}
