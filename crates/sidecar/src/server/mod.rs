//! The contract's endpoints.

mod answer;
mod auth;
mod export;
mod import;
mod job;
mod range;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware::from_fn_with_state,
    response::Response,
    routing::{get, post},
};
use contract::Capabilities;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, jobs::Jobs, redact::Redactor};

/// Largest request body, in bytes.
const MAX_BODY: usize = 64 << 10;
/// How long what is under way may go on after SIGTERM: Docker kills after ten seconds.
const DRAIN: Duration = Duration::from_secs(7);
/// How long what is cancelled then may take to end.
const CLEAN_UP: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or Ctrl-C.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    let address = (config.app.host.clone(), config.app.port);
    let redactor = Redactor::new(&config, &std::env::vars().collect());
    let jobs = Arc::new(Jobs::new(Arc::new(config), redactor));
    let listener = tokio::net::TcpListener::bind(&address)
        .await
        .with_context(|| format!("{}:{} cannot be listened on", address.0, address.1))?;
    jobs.sweep().await;
    tracing::info!("serving the contract on {}", listener.local_addr()?);
    let ending = CancellationToken::new();
    let signalled = end_on_signal(ending.clone())?;
    let serving = axum::serve(listener, router(Arc::clone(&jobs)))
        .with_graceful_shutdown(ending.clone().cancelled_owned());
    let late = async {
        ending.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = serving.into_future() => served,
        () = late => Ok(()),
        () = jobs.expire() => Ok(()),
    };
    signalled.abort();
    jobs.shut_down(CLEAN_UP).await;
    Ok(served?)
}

fn router(jobs: Arc<Jobs>) -> Router {
    let guarded = Router::new()
        .route("/backup/capabilities", get(capabilities))
        .route("/backup/export", post(export::export))
        .route("/backup/import", post(import::import))
        .route("/backup/jobs/{id}", get(job::status).delete(job::delete))
        .route("/backup/jobs/{id}/download", get(job::download))
        .layer(from_fn_with_state(Arc::clone(&jobs), auth::authorize));
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .merge(guarded)
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(jobs)
}

fn end_on_signal(ending: CancellationToken) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        ending.cancel();
    }))
}

async fn nothing() -> Response {
    answer::problem(StatusCode::NOT_FOUND, "the contract has nothing here")
}

async fn capabilities(State(jobs): State<Arc<Jobs>>) -> Json<Capabilities> {
    let config = &jobs.config;
    // The contract wants both numbers; 0 is unknown.
    Json(Capabilities {
        version: contract::wire::VERSION.to_owned(),
        types: config.capabilities.types.clone(),
        est_seconds: Some(config.capabilities.est_seconds.unwrap_or(0)),
        est_size: Some(config.capabilities.est_size.unwrap_or(0)),
        formats: config.strategy.artifact.format.iter().cloned().collect(),
        restore: config.restore.enabled,
        is_async: true,
        streaming: true,
        app: config.app.name.clone(),
        strategy: Some(config.strategy.r#type.as_str().to_owned()),
        max_concurrent: Some(1),
    })
}
