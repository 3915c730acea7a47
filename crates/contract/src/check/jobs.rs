//! Exports that are jobs.

use std::time::Duration;

use http::{Method, StatusCode, header};
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use super::{
    ANSWER, Checker, Finding, drain,
    report::{Outcome, Reporter},
    request,
};
use crate::{
    Capabilities, ContractClient, ContractError, Declared, JobAccepted, JobState, JobStatus,
    connect::Answer,
};

const CHECKS: [&str; 6] =
    ["job-accepted", "job-run-id", "job-status", "job-download", "job-range", "job-cancel"];

pub(super) async fn all(checker: &Checker, capabilities: &Capabilities, report: &mut Reporter<'_>) {
    if !capabilities.is_async {
        report.skip(&CHECKS, "the capabilities offer no jobs (`async`)");
        return;
    }
    let body = |id: &str| {
        let id = format!("contract-check-{id}-{}", std::process::id());
        request(capabilities, json!({ "prefer": "async", "run_id": id }))
    };
    let first = body("first");
    let job = match begin(checker, &first).await {
        Ok(job) => job,
        Err(finding) => {
            report.add("job-accepted", Err(finding));
            report.skip(&CHECKS[1..], "no job was begun");
            return;
        }
    };
    report.add("job-accepted", Ok(format!("202, job `{}`", job.accepted.job_id)));
    report.add("job-run-id", joins(checker, &first, &job).await);
    let watched = watch(checker, &job).await;
    let ended = watched.is_ok();
    report.add("job-status", watched);
    if ended {
        match download(checker, &job).await {
            Ok((declared, detail)) => {
                report.add("job-download", Ok(detail));
                report.add("job-range", range(checker, &job, declared).await);
            }
            Err(finding) => {
                report.add("job-download", Err(finding));
                report.skip(&["job-range"], "the download failed");
            }
        }
    } else {
        report.skip(&["job-download", "job-range"], "the job did not succeed");
    }
    forget(checker, &job).await;
    report.add("job-cancel", cancel(checker, &body("cancel")).await);
}

struct Job {
    accepted: JobAccepted,
    status: Url,
    download: Url,
}

async fn begin(checker: &Checker, body: &str) -> Result<Job, Finding> {
    let (url, answer) = checker.export(Some(body)).await?;
    let answer =
        checker.client.expect(&url, answer, &[StatusCode::OK, StatusCode::ACCEPTED]).await?;
    if answer.response.status() == StatusCode::OK {
        return Err(Finding::failed(
            "`prefer: async` was answered with the artifact itself",
            "answer 202 with a job, or say `\"async\": false`",
        ));
    }
    accepted(checker, &url, answer).await
}

async fn accepted(checker: &Checker, url: &Url, answer: Answer) -> Result<Job, Finding> {
    let accepted: JobAccepted = checker.client.json(url, answer).await?;
    if accepted.job_id.is_empty() {
        return Err(Finding::failed("`job_id` is empty", "give every job a name of its own"));
    }
    let given = |text: &str| {
        checker.client.given(text).map_err(|error| {
            let advice = "give `status_url` and `download` as absolute paths, or as URLs of this \
                          very origin";
            Finding::failed(error.to_string(), advice)
        })
    };
    let (status, download) = (given(&accepted.status_url)?, given(&accepted.download)?);
    Ok(Job { accepted, status, download })
}

/// Ends a job that no check needs.
pub(super) async fn dismiss(checker: &Checker, url: &Url, answer: Answer) {
    if let Ok(job) = accepted(checker, url, answer).await {
        forget(checker, &job).await;
    }
}

async fn forget(checker: &Checker, job: &Job) {
    // A server that does not hear it lets the job expire.
    let _ = checker.client.authorized(&job.status, Method::DELETE, None, &[], ANSWER).await;
}

/// The same `run_id` joins the job or gives its result; it never begins a second one.
async fn joins(checker: &Checker, body: &str, job: &Job) -> Outcome {
    let (url, answer) = checker.export(Some(body)).await?;
    let answer =
        checker.client.expect(&url, answer, &[StatusCode::OK, StatusCode::ACCEPTED]).await?;
    if answer.response.status() == StatusCode::OK {
        drain(&mut checker.stream(&url, answer)?).await?;
        return Ok("the same run_id gave the finished result".to_owned());
    }
    let again = accepted(checker, &url, answer).await?;
    if again.accepted.job_id == job.accepted.job_id {
        return Ok("the same run_id joined the same job".to_owned());
    }
    forget(checker, &again).await;
    Err(Finding::failed(
        format!(
            "the same run_id began a second job, `{}` after `{}`",
            again.accepted.job_id, job.accepted.job_id
        ),
        "keep run_id with its job, and answer with that job where it comes again",
    ))
}

async fn look(checker: &Checker, url: &Url) -> Result<JobStatus, ContractError> {
    let answer = checker.client.authorized(url, Method::GET, None, &[], ANSWER).await?;
    let answer = checker.client.expect(url, answer, &[StatusCode::OK]).await?;
    checker.client.json(url, answer).await
}

async fn watch(checker: &Checker, job: &Job) -> Outcome {
    let deadline = Instant::now() + checker.client.limits.total_timeout;
    let mut looks = 0;
    loop {
        let status = look(checker, &job.status).await?;
        looks += 1;
        if status.job_id != job.accepted.job_id {
            return Err(Finding::failed(
                format!("`job_id` is `{}`, it was `{}`", status.job_id, job.accepted.job_id),
                "give the same `job_id` as in the 202",
            ));
        }
        if status.progress.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(Finding::failed(
                format!("`progress` is {:?}", status.progress),
                "give `progress` between 0 and 1, or leave it out",
            ));
        }
        match status.state {
            JobState::Succeeded => return Ok(format!("succeeded, after {looks} looks")),
            JobState::Failed | JobState::Cancelled => {
                let message = status.message.unwrap_or_default();
                return Err(ContractError::JobFailed(message).into());
            }
            JobState::Queued | JobState::Running if Instant::now() >= deadline => {
                return Err(Finding::failed(
                    format!(
                        "the job did not end in {} s",
                        checker.client.limits.total_timeout.as_secs()
                    ),
                    "end every job, well or badly; or give this check more time",
                ));
            }
            JobState::Queued | JobState::Running => {
                tokio::time::sleep(checker.client.limits.poll.0).await;
            }
        }
    }
}

async fn open(
    checker: &Checker,
    url: &Url,
    range: Option<String>,
    wanted: StatusCode,
) -> Result<Answer, ContractError> {
    let headers: Vec<_> = range.map(|range| (header::RANGE, range)).into_iter().collect();
    let answer = checker.client.authorized(url, Method::GET, None, &headers, ANSWER).await?;
    checker.client.expect(url, answer, &[wanted]).await
}

async fn download(checker: &Checker, job: &Job) -> Result<(Declared, String), Finding> {
    let answer = open(checker, &job.download, None, StatusCode::OK).await?;
    let mut stream = checker.stream(&job.download, answer)?;
    let declared = stream.meta().declared;
    let size = drain(&mut stream).await?;
    let Some(declared) = declared else {
        return Err(Finding::failed(
            "the download tells its size and checksum in trailers only",
            "a finished artifact has both: send X-Size and X-Checksum-SHA256 as headers",
        ));
    };
    Ok((declared, format!("{size} bytes, framing, size and checksum hold")))
}

/// Reads the artifact in two halves; together they are the whole.
async fn range(checker: &Checker, job: &Job, declared: Declared) -> Outcome {
    let advice = "answer `Range: bytes=N-` with 206, `Content-Range: bytes N-LAST/SIZE` and the \
                  rest of the very same bytes";
    let told = |what: String| Finding::failed(what, advice);
    let middle = declared.size_bytes / 2;
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let answer = open(checker, &job.download, None, StatusCode::OK).await?;
    let mut stream = checker.stream(&job.download, answer)?;
    let mut left = middle;
    while left > 0 {
        let Some(bytes) = stream.chunk().await? else { break };
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        hash.update(&bytes[..part]);
        left -= part as u64;
    }
    // As a cut does.
    drop(stream);
    let answer =
        open(checker, &job.download, Some(format!("bytes={middle}-")), StatusCode::PARTIAL_CONTENT)
            .await
            .map_err(|error| told(format!("a download from byte {middle} on: {error}")))?;
    let mut stream = checker
        .client
        .part(
            &job.download,
            answer,
            middle,
            declared.size_bytes,
            Instant::now() + checker.client.limits.total_timeout,
        )
        .map_err(|error| told(error.to_string()))?;
    while let Some(bytes) = stream.chunk().await? {
        hash.update(&bytes);
    }
    if hash.finish().as_ref() == declared.sha256.as_slice() {
        Ok(format!("a download cut at byte {middle} goes on, and the whole is right"))
    } else {
        Err(told("the two halves of a cut download are not the whole".to_owned()))
    }
}

async fn cancel(checker: &Checker, body: &str) -> Outcome {
    let advice = "let DELETE of the status address end the job: 204, then `cancelled` or 404";
    let job = begin(checker, body).await?;
    let client: &ContractClient = &checker.client;
    let answer = client.authorized(&job.status, Method::DELETE, None, &[], ANSWER).await?;
    let status = answer.response.status();
    drop(answer);
    if !status.is_success() {
        return Err(Finding::failed(format!("DELETE answered {status}"), advice));
    }
    let until = Instant::now() + checker.settle;
    loop {
        match look(checker, &job.status).await {
            Err(ContractError::Status { status: status @ (404 | 410), .. }) => {
                return Ok(format!("the job is gone ({status})"));
            }
            Err(error) => return Err(error.into()),
            Ok(found) => match found.state {
                JobState::Queued | JobState::Running if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                JobState::Queued | JobState::Running => {
                    return Err(Finding::failed("the job goes on after DELETE", advice));
                }
                state => return Ok(format!("the job is {state:?} after DELETE").to_lowercase()),
            },
        }
    }
}
