//! More than one client, and clients that go away.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::{Checker, Finding, drain, is_busy, problem, report::Outcome};
use crate::ContractError;

/// Longest time for which the first export is held open before it is read on.
const HOLD: Duration = Duration::from_secs(2);

/// A second export while the first is held open: refused as busy, or as good as the first.
pub(super) async fn concurrent(checker: &Checker) -> Outcome {
    let (url, answer) = checker.export(None).await?;
    let wanted = [StatusCode::OK, StatusCode::ACCEPTED];
    let answer = checker.client.expect(&url, answer, &wanted).await?;
    if answer.response.status() == StatusCode::ACCEPTED {
        super::jobs::dismiss(checker, &url, answer).await;
        return Err(Finding::skipped("exports are jobs"));
    }
    let mut first = checker.stream(&url, answer)?;
    let first_one = async {
        first.chunk().await?;
        tokio::time::sleep(HOLD.min(checker.settle / 2)).await;
        drain(&mut first).await
    };
    let (first, second) = tokio::join!(first_one, second(checker));
    first?;
    second
}

async fn second(checker: &Checker) -> Outcome {
    // The first has its turn by then.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let url = checker.client.at("backup/export")?;
    let wait = checker.client.limits.total_timeout;
    let body = Some(Bytes::from_static(b"{\"run_id\": \"contract-check-second\"}"));
    let answer = checker.client.authorized(&url, Method::POST, body, &[], wait).await?;
    let status = answer.response.status();
    if is_busy(status) {
        return problem(checker, &url, answer, false).await;
    }
    let answer = checker
        .client
        .expect(&url, answer, &[StatusCode::OK, StatusCode::ACCEPTED])
        .await
        .map_err(|error| {
            let advice = "answer 409, or 429 or 503 with Retry-After, while another is under way";
            Finding::failed(format!("a second export at once: {error}"), advice)
        })?;
    if status == StatusCode::ACCEPTED {
        super::jobs::dismiss(checker, &url, answer).await;
        return Ok("the second export is a job".to_owned());
    }
    let size = drain(&mut checker.stream(&url, answer)?).await?;
    Ok(format!("both exports came whole, the second with {size} bytes"))
}

/// A client that goes away in the middle: the server stays well, and is free again soon.
pub(super) async fn abort(checker: &Checker) -> Outcome {
    let (url, answer) = checker.export(None).await?;
    let wanted = [StatusCode::OK, StatusCode::ACCEPTED];
    let answer = checker.client.expect(&url, answer, &wanted).await?;
    if answer.response.status() == StatusCode::ACCEPTED {
        super::jobs::dismiss(checker, &url, answer).await;
        return Err(Finding::skipped("exports are jobs"));
    }
    let mut stream = checker.stream(&url, answer)?;
    stream.chunk().await?;
    drop(stream);
    let gone = Instant::now();
    let told = |what: &str, error: ContractError| {
        Finding::failed(
            format!("after an export was cut, {what}: {error}"),
            "notice that the client is gone (a write fails), end the command with its whole \
             process group, and free the turn",
        )
    };
    match checker.client.health().await {
        Err(error) if error.is_connection() => return Err(told("GET /healthz failed", error)),
        _ => {}
    }
    checker.client.capabilities().await.map_err(|error| told("capabilities failed", error))?;
    let again = async {
        let (url, answer) = checker.export(None).await?;
        let answer = checker.client.expect(&url, answer, &[StatusCode::OK]).await?;
        drain(&mut checker.stream(&url, answer)?).await
    };
    again.await.map_err(|error| told("the next export failed", error))?;
    Ok(format!("free again and exporting {} ms later", gone.elapsed().as_millis()))
}
