//! What happened: the list of events, and a run's changes as they come.

use std::convert::Infallible;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Sse, sse::Event},
};
use catalog::EventQuery;
use engine::Engine;
use futures::Stream;
use model::{LogLine, Run};
use serde::Deserialize;

use super::{
    Api, Problem,
    extract::{Json, Path, Query},
    runs,
};
use crate::follow::{Teller, follow};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    app: Option<String>,
    limit: Option<u64>,
}

pub(super) async fn list(
    State(api): Api,
    Query(which): Query<Which>,
) -> Result<Json<Vec<model::Event>>, Problem> {
    let catalog = api.engine.catalog();
    let app_id = match &which.app {
        Some(name) => Some(catalog.app_by_name(name).await?.id),
        None => None,
    };
    let query = EventQuery { app_id, limit: which.limit.unwrap_or(50) };
    Ok(Json(catalog.events(query).await?))
}

pub(super) async fn of_run(
    State(api): Api,
    Path(run): Path<String>,
    Query(runs::After { after }): Query<runs::After>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let run = api.engine.catalog().run(runs::id(&run)?).await?.id;
    let teller = InJson(api.engine.clone());
    Ok(follow(api.engine.clone(), api.closing.clone(), run, &headers, after, teller))
}

/// Tells in JSON.
struct InJson(Engine);

impl Teller for InJson {
    const STATE: &'static str = "progress";

    fn lines(&self, lines: &[LogLine]) -> Vec<(i64, String)> {
        lines.iter().map(|line| (line.seq, text(line))).collect()
    }

    async fn state(&self, run: &Run) -> Option<String> {
        Some(text(&runs::shown(self.0.catalog(), run.id).await.ok()?))
    }
}

fn text(value: &impl serde::Serialize) -> String {
    // Nothing of what we send can fail to be JSON.
    serde_json::to_string(value).unwrap_or_default()
}
