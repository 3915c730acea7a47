//! What happened: the list of events, and a run's changes as they come.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use catalog::{CatalogError, EventQuery};
use futures::{Stream, StreamExt as _};
use model::{RunId, RunState};
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    Api, Problem, Shared,
    extract::{Json, Path, Query},
    runs,
};

/// Lines read from the catalog at once.
const LINES: u64 = 1_000;

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

/// A reader who lost the connection names the last line seen, and misses none.
pub(super) async fn of_run(
    State(api): Api,
    Path(run): Path<String>,
    Query(runs::After { after }): Query<runs::After>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let run = api.engine.catalog().run(runs::id(&run)?).await?.id;
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(after);
    let (sender, events) = channel(16);
    tokio::spawn(async move {
        // A catalog that fails ends the stream; the reader comes back and goes on.
        let _ = follow(&api, run, seen, &sender).await;
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(received(events).map(Ok)).keep_alive(keep_alive))
}

fn received(events: Receiver<Event>) -> impl Stream<Item = Event> {
    futures::stream::unfold(events, |mut events| async { Some((events.recv().await?, events)) })
}

async fn follow(
    shared: &Shared,
    id: RunId,
    mut seen: i64,
    sender: &Sender<Event>,
) -> Result<(), CatalogError> {
    let catalog = shared.engine.catalog();
    let mut before = String::new();
    loop {
        // The state is read before the log: an ended run's last lines are then there.
        let shown = runs::shown(catalog, id).await?;
        loop {
            let lines = catalog.log_after(id, seen, LINES).await?;
            let Some(last) = lines.last() else { break };
            seen = last.seq;
            for line in &lines {
                let event = Event::default().event("log").id(line.seq.to_string());
                if sender.send(event.data(text(line))).await.is_err() {
                    return Ok(());
                }
            }
        }
        let now = text(&shown);
        let ended = shown.run.state.is_terminal();
        if ended || now != before {
            let event = Event::default().event(if ended { "end" } else { "progress" });
            if sender.send(event.data(&now)).await.is_err() || ended {
                return Ok(());
            }
            before = now;
        }
        let pause = if shown.run.state == RunState::Queued { 1_000 } else { 500 };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            () = sender.closed() => return Ok(()),
            () = shared.closing.cancelled() => return Ok(()),
        }
    }
}

fn text(value: &impl serde::Serialize) -> String {
    // Nothing of what we send can fail to be JSON.
    serde_json::to_string(value).unwrap_or_default()
}
