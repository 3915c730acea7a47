//! Exports that are answered with the artifact itself.

use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Checker, Finding, drain,
    report::{Outcome, Reporter},
    request,
};
use crate::{Capabilities, ContractError, JobAccepted, connect::Answer, header};

pub(super) async fn all(checker: &Checker, capabilities: &Capabilities, report: &mut Reporter<'_>) {
    let mut seen = Seen::default();
    report.add("export", plain(checker, &mut seen).await);
    match seen.headers {
        Some(headers) => {
            report.add("file-name", file_name(&headers));
            report.add("checksum-placement", placement(&headers, seen.ended, capabilities));
        }
        None => report.skip(
            &["file-name", "checksum-placement"],
            "the export without a body was not answered with an artifact",
        ),
    }
    report.add("unknown-members", unknown_members(checker, capabilities).await);
    report.add("spool", spool(checker, capabilities).await);
}

/// What the first export showed to the checks that come after it.
#[derive(Default)]
struct Seen {
    headers: Option<HeaderMap>,
    /// It came to its end, and everything declared held.
    ended: bool,
}

/// An export without a body, read and proven to its end.
async fn plain(checker: &Checker, seen: &mut Seen) -> Outcome {
    let (url, answer) = checker.export(None).await?;
    let wanted = [StatusCode::OK, StatusCode::ACCEPTED];
    let answer = checker.client.expect(&url, answer, &wanted).await?;
    if answer.response.status() == StatusCode::ACCEPTED {
        return whole_job(checker, &url, answer).await;
    }
    seen.headers = Some(answer.response.headers().clone());
    let mut stream = checker.stream(&url, answer)?;
    let size = drain(&mut stream).await?;
    seen.ended = true;
    if size == 0 {
        return Err(Finding::failed(
            "the artifact is empty",
            "fail the export where there is nothing to export: an empty copy saves nothing",
        ));
    }
    Ok(format!("{size} bytes, framing, size and checksum hold"))
}

/// A server that answers everything with a job: the job is followed to its artifact.
async fn whole_job(checker: &Checker, url: &Url, answer: Answer) -> Outcome {
    let deadline = Instant::now() + checker.client.limits.total_timeout;
    let job: JobAccepted = checker.client.json(url, answer).await?;
    let followed = checker.client.follow(&job, None, deadline, CancellationToken::new());
    let mut download = followed.await?;
    while download.chunk().await?.is_some() {}
    let size = download.outcome().map_or(0, |outcome| outcome.size_bytes);
    Ok(format!("{size} bytes by way of a job, size and checksum hold"))
}

fn file_name(headers: &HeaderMap) -> Outcome {
    let advice = "send `Content-Disposition: attachment; filename=\"NAME\"` with a plain base \
                  name, and a Content-Type";
    let Some(name) = header::file_name(headers) else {
        return Err(Finding::failed("the export tells no file name", advice));
    };
    let told = headers.get(http::header::CONTENT_DISPOSITION);
    let told = told.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let told = told.unwrap_or_default();
    let as_told = [format!("\"{name}\""), format!("={name}")];
    if !as_told.iter().any(|whole| told.contains(whole)) && !told.contains("filename*") {
        return Err(Finding::failed(format!("`{told}` would be kept as `{name}`"), advice));
    }
    if !headers.contains_key(http::header::CONTENT_TYPE) {
        return Err(Finding::failed("the export tells no Content-Type", advice));
    }
    let format = header::text(headers, &header::FORMAT);
    Ok(match format {
        Some(format) => format!("`{name}`, format `{format}`"),
        None => format!("`{name}`; X-Format would tell what it is"),
    })
}

/// Headers or announced trailers, as the capabilities promise.
fn placement(headers: &HeaderMap, ended: bool, capabilities: &Capabilities) -> Outcome {
    let in_headers = headers.contains_key(&header::CHECKSUM) && headers.contains_key(&header::SIZE);
    if in_headers {
        return Ok("size and checksum come in headers".to_owned());
    }
    let announced = |wanted: &str| {
        headers
            .get_all(http::header::TRAILER)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .any(|name| name.trim().eq_ignore_ascii_case(wanted))
    };
    let missing = [header::CHECKSUM, header::SIZE];
    if let Some(name) = missing.iter().find(|name| !announced(name.as_str())) {
        return Err(Finding::failed(
            format!("{name} is neither a header nor announced by `Trailer`"),
            "send `Trailer: X-Checksum-SHA256, X-Size` and both after the last chunk",
        ));
    }
    if !ended {
        return Err(Finding::skipped("trailers are announced; the export did not come to its end"));
    }
    if !capabilities.streaming {
        return Err(Finding::failed(
            "the checksum comes in trailers, and the capabilities do not say so",
            "say `\"streaming\": true`",
        ));
    }
    Ok("size and checksum come in trailers that `Trailer` announces".to_owned())
}

async fn unknown_members(checker: &Checker, capabilities: &Capabilities) -> Outcome {
    let unknown = json!({ "prefer": "stream", "x_unknown": { "deep": [1, null, "x"] } });
    let (url, answer) = checker.export(Some(&request(capabilities, unknown))).await?;
    let wanted = [StatusCode::OK, StatusCode::ACCEPTED];
    match checker.client.expect(&url, answer, &wanted).await {
        Ok(answer) if answer.response.status() == StatusCode::OK => {
            let size = drain(&mut checker.stream(&url, answer)?).await?;
            Ok(format!("they are ignored; {size} bytes came"))
        }
        Ok(answer) => {
            super::jobs::dismiss(checker, &url, answer).await;
            Ok("they are ignored; a job was begun".to_owned())
        }
        Err(error @ ContractError::Status { .. }) => Err(Finding::failed(
            error.to_string(),
            "ignore members that you do not know: later versions of clients may send more",
        )),
        Err(error) => Err(error.into()),
    }
}

async fn spool(checker: &Checker, capabilities: &Capabilities) -> Outcome {
    let body = request(capabilities, json!({ "prefer": "spool" }));
    let (url, answer) = checker.export(Some(&body)).await?;
    let wanted = [StatusCode::OK, StatusCode::ACCEPTED];
    let answer = checker.client.expect(&url, answer, &wanted).await?;
    if answer.response.status() == StatusCode::ACCEPTED {
        super::jobs::dismiss(checker, &url, answer).await;
        return Err(Finding::skipped("it is answered with a job"));
    }
    let mut stream = checker.stream(&url, answer)?;
    let in_headers = stream.meta().declared.is_some();
    let size = drain(&mut stream).await?;
    if in_headers {
        Ok(format!("{size} bytes, announced and proven by headers"))
    } else {
        Err(Finding::skipped("the server does not spool; the artifact came with trailers, whole"))
    }
}
