//! Runs.

use axum::extract::State;
use catalog::{Catalog, CatalogError, LogQuery, RunQuery};
use engine::EngineError;
use model::{Fact, LogLevel, LogLine, Run, RunId};
use serde::Deserialize;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
    shapes::{Cancelled, RunShown},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct Which {
    app: Option<String>,
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn list(
    State(api): Api,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Run>>, Problem> {
    let catalog = api.engine.catalog();
    let app_id = match &which.app {
        Some(name) => Some(catalog.app_by_name(name).await?.id),
        None => None,
    };
    let limit = which.limit.unwrap_or(50);
    let query = RunQuery { app_id, offset: which.offset.min(1 << 40), limit };
    Ok(Json(catalog.runs(query).await?))
}

pub(super) fn id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| Problem::not_found("run"))
}

/// A run as it stands.
pub(super) async fn shown(catalog: &Catalog, id: RunId) -> Result<RunShown, CatalogError> {
    Ok(RunShown {
        run: catalog.run(id).await?,
        stages: catalog.stage_times(id).await?,
        destinations: catalog.outcomes(id).await?,
    })
}

pub(super) async fn show(
    State(api): Api,
    Path(run): Path<String>,
) -> Result<Json<RunShown>, Problem> {
    Ok(Json(shown(api.engine.catalog(), id(&run)?).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct After {
    pub(super) after: i64,
}

/// Lines of a log given at once, unless told otherwise.
const LINES: u64 = 1_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lines {
    after: i64,
    search: String,
    level: String,
    offset: u64,
    limit: Option<u64>,
}

pub(super) async fn log(
    State(api): Api,
    Path(run): Path<String>,
    Query(lines): Query<Lines>,
) -> Result<Json<Vec<LogLine>>, Problem> {
    let level = match lines.level.as_str() {
        "" => None,
        word => Some(level(word).ok_or_else(|| EngineError::invalid("level", Fact::LogLevels {}))?),
    };
    let query = LogQuery {
        level,
        search: lines.search,
        after: lines.after,
        offset: lines.offset.min(1 << 40),
        limit: lines.limit.unwrap_or(LINES),
    };
    Ok(Json(api.engine.catalog().log_lines(id(&run)?, &query).await?))
}

/// A level by its word, and by the longer one that people say.
pub(crate) fn level(word: &str) -> Option<LogLevel> {
    if word == "warning" { Some(LogLevel::Warn) } else { word.parse().ok() }
}

pub(super) async fn cancel(
    State(api): Api,
    Path(run): Path<String>,
) -> Result<Json<Cancelled>, Problem> {
    Ok(Json(api.engine.cancel(id(&run)?).await?.into()))
}
