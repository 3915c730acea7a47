//! Jobs: their state, their artifact, their end.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use contract::JobAccepted;

use super::answer;
use crate::jobs::{Job, Jobs, State};

/// How long the answer to a cancel waits for the end of the job.
const CANCEL_WAIT: Duration = Duration::from_secs(10);

/// `202`: where the job is.
pub(super) fn accepted(jobs: &Jobs, job: &Job) -> Response {
    let accepted = JobAccepted {
        job_id: job.id.clone(),
        status_url: format!("/backup/jobs/{}", job.id),
        download: format!("/backup/jobs/{}/download", job.id),
    };
    let head = [answer::retry_after(&jobs.config)];
    (StatusCode::ACCEPTED, head, Json(accepted)).into_response()
}

fn unknown() -> Response {
    answer::problem(StatusCode::NOT_FOUND, "there is no such job; it may have expired")
}

pub(super) async fn status(Shared(jobs): Shared<Arc<Jobs>>, Path(id): Path<String>) -> Response {
    let Some(job) = jobs.get(&id) else { return unknown() };
    let mut response = Json(job.status()).into_response();
    if job.is_running() {
        response.headers_mut().extend([answer::retry_after(&jobs.config)]);
    }
    response
}

pub(super) async fn download(
    Shared(jobs): Shared<Arc<Jobs>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(job) = jobs.get(&id) else { return unknown() };
    ended(&jobs, &headers, &job, job.state()).await
}

/// What a job has come to.
pub(super) async fn ended(
    jobs: &Arc<Jobs>,
    headers: &HeaderMap,
    job: &Arc<Job>,
    state: State,
) -> Response {
    match state {
        State::Succeeded(artifact) => answer::artifact(jobs, headers, &artifact, job.read()).await,
        State::Failed(why) => answer::problem(StatusCode::INTERNAL_SERVER_ERROR, why),
        State::Cancelled => answer::problem(StatusCode::GONE, "the export was cancelled"),
        State::Running => {
            let mut response = answer::problem(StatusCode::CONFLICT, "the export is under way");
            response.headers_mut().extend([answer::retry_after(&jobs.config)]);
            response
        }
    }
}

/// Cancels what is under way, removes what has ended.
pub(super) async fn delete(Shared(jobs): Shared<Arc<Jobs>>, Path(id): Path<String>) -> Response {
    let Some(job) = jobs.get(&id) else { return unknown() };
    if !job.is_running() {
        jobs.forget(&id);
        return StatusCode::NO_CONTENT.into_response();
    }
    job.cancel.cancel();
    match tokio::time::timeout(CANCEL_WAIT, job.ended()).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => StatusCode::ACCEPTED.into_response(),
    }
}
