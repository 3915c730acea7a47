//! Runs.

use axum::extract::State;
use catalog::{Catalog, CatalogError, RunQuery};
use model::{LogLine, Run, RunId};
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

pub(super) async fn log(
    State(api): Api,
    Path(run): Path<String>,
    Query(After { after }): Query<After>,
) -> Result<Json<Vec<LogLine>>, Problem> {
    Ok(Json(api.engine.catalog().log_after(id(&run)?, after, 1_000).await?))
}

pub(super) async fn cancel(
    State(api): Api,
    Path(run): Path<String>,
) -> Result<Json<Cancelled>, Problem> {
    Ok(Json(api.engine.cancel(id(&run)?).await?.into()))
}
