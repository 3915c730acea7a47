//! Metrics for Prometheus, read from the catalog whenever somebody asks: what is counted there
//! goes on growing after a restart, and several servers on one catalog tell the same.

mod apps;
mod places;
mod server;
mod text;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use engine::{Engine, EngineError};
use jiff::Timestamp;
use model::Permission;
use tokio::sync::Mutex;

use crate::{
    accounts::{Caller, sha256},
    api::Problem,
    settings::{Environment, SettingError, switch},
};

/// How long a page is shown again: many who ask at once cost the catalog no more than one.
const KEPT: Duration = Duration::from_secs(1);
/// Shortest token that may stand in the file.
const MIN_TOKEN: usize = 16;

/// Who may read metrics besides those who may look at everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// Digest of the token that is for metrics alone.
    token_sha256: Option<String>,
    /// Everybody.
    open: bool,
}

impl Access {
    pub(crate) fn read(environment: &Environment) -> Result<Self, SettingError> {
        let name = "METRICS_TOKEN_FILE";
        let file = environment.get(name).filter(|file| !file.is_empty());
        let token_sha256 = file
            .map(|file| {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| SettingError::new(name, format!("{file}: {error}")))?;
                if text.trim().len() < MIN_TOKEN {
                    let problem = format!("{file}: a token has at least {MIN_TOKEN} characters");
                    return Err(SettingError::new(name, problem));
                }
                Ok(sha256(text.trim()))
            })
            .transpose()?;
        Ok(Self { token_sha256, open: switch(environment, "METRICS_OPEN")? })
    }

    fn refuses(&self, headers: &HeaderMap, caller: Option<&Caller>) -> Option<Response> {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let own = bearer.is_some_and(|told| self.token_sha256.as_ref() == Some(&sha256(told)));
        if self.open || own {
            return None;
        }
        match caller {
            Some(caller) if caller.may(Permission::See) => None,
            Some(_) => {
                let detail = format!("this needs the permission `{}`", Permission::See);
                Some(Problem::forbidden(detail).into_response())
            }
            None => {
                let asks = [(header::WWW_AUTHENTICATE, "Bearer")];
                Some((asks, Problem::unauthorized()).into_response())
            }
        }
    }
}

/// What metrics are made from.
pub(crate) struct Metrics {
    engine: Engine,
    access: Access,
    started_at: Timestamp,
    kept: Mutex<Option<(Instant, String)>>,
}

/// `GET /metrics`.
pub(crate) fn router(engine: Engine, access: Access, started_at: Timestamp) -> Router {
    let metrics = Metrics { engine, access, started_at, kept: Mutex::default() };
    Router::new().route("/metrics", get(show)).with_state(Arc::new(metrics))
}

async fn show(
    State(metrics): State<Arc<Metrics>>,
    caller: Option<Caller>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = metrics.access.refuses(&headers, caller.as_ref()) {
        return refusal;
    }
    match metrics.page().await {
        Ok(page) => {
            let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            (StatusCode::OK, [(header::CONTENT_TYPE, media)], page).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

impl Metrics {
    async fn page(&self) -> Result<String, EngineError> {
        let mut kept = self.kept.lock().await;
        if let Some((at, page)) = kept.as_ref()
            && at.elapsed() < KEPT
        {
            return Ok(page.clone());
        }
        let page = self.made().await?;
        *kept = Some((Instant::now(), page.clone()));
        Ok(page)
    }

    async fn made(&self) -> Result<String, EngineError> {
        let (engine, catalog) = (&self.engine, self.engine.catalog());
        let overview = engine.overview().await?;
        let destinations = catalog.all_destinations().await?;
        let mut text = text::Text::default();
        server::server(&mut text, engine, &catalog.queue(engine.now()).await?);
        apps::states(&mut text, &overview);
        apps::totals(&mut text, &overview, &catalog.run_totals().await?);
        let counts = catalog.copy_counts().await?;
        let archived = engine.archived_bytes().await?;
        places::destinations(&mut text, engine, &destinations, &counts, &archived);
        server::process(&mut text, self.started_at).await;
        Ok(text.finish())
    }
}
