//! Each app with an archive has somebody who looks after it; one that has none any more lets its
//! server's slot go.

use std::collections::HashMap;

use model::{App, AppId, WalWay};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{address, asked, receive, slot};
use crate::{Engine, EngineError};

/// How often apps are looked at.
const EVERY: std::time::Duration = std::time::Duration::from_secs(2);

struct Task {
    app: App,
    /// Of the app and its destination: others begin anew.
    versions: (i64, i64),
    stop: CancellationToken,
    handle: JoinHandle<()>,
}

/// Looks after all archives until `shutdown`.
pub(crate) async fn follow(engine: &Engine, shutdown: CancellationToken) {
    let mut tasks: HashMap<AppId, Task> = HashMap::new();
    while !shutdown.is_cancelled() {
        if let Err(error) = reconcile(engine, &mut tasks).await {
            tracing::warn!(%error, "apps with an archive of WAL cannot be looked at; trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(EVERY.min(engine.0.config.tick * 4)) => {}
        }
    }
    for task in tasks.into_values() {
        end(task).await;
    }
}

async fn end(task: Task) -> App {
    task.stop.cancel();
    if let Err(error) = task.handle.await {
        tracing::error!(%error, "looking after an archive of WAL ended by a fault of ours");
    }
    task.app
}

async fn reconcile(engine: &Engine, tasks: &mut HashMap<AppId, Task>) -> Result<(), EngineError> {
    let mut wanted = HashMap::new();
    // A catalog that was rebuilt may be a second one: two must not receive for one app.
    if !engine.recovery_hold().await?.is_some_and(|hold| hold.schedules) {
        for app in engine.0.catalog.all_apps().await? {
            let Some(plan) = &app.recovery else { continue };
            let destination = engine.0.catalog.destination(plan.destination).await?;
            wanted.insert(app.id, ((app.version, destination.version), app));
        }
    }
    let gone: Vec<AppId> = tasks
        .iter()
        .filter(|(id, task)| {
            wanted.get(*id).is_none_or(|(versions, _)| *versions != task.versions)
                || task.handle.is_finished()
        })
        .map(|(id, _)| *id)
        .collect();
    for id in gone {
        let Some(task) = tasks.remove(&id) else { continue };
        let before = end(task).await;
        let streams = |app: &App| {
            app.recovery
                .as_ref()
                .filter(|plan| plan.way == WalWay::Stream)
                .map(|p| p.source.clone())
        };
        let after = engine.0.catalog.app(id).await.ok().filter(|_| wanted.contains_key(&id));
        let is_held = engine.recovery_hold().await?.is_some();
        if !is_held && streams(&before) != after.as_ref().and_then(streams) {
            let_go(engine, &before).await;
        }
    }
    for (id, (versions, app)) in wanted {
        tasks.entry(id).or_insert_with(|| {
            let stop = CancellationToken::new();
            let work = receive::look_after(engine.clone(), app.clone(), stop.clone());
            Task { app, versions, stop, handle: tokio::spawn(work) }
        });
    }
    Ok(())
}

/// Drops the slot of an app that receives no more: it would fill the server's disk.
async fn let_go(engine: &Engine, app: &App) {
    let dropped = async {
        let asked = asked(engine, app)?;
        if app.recovery.as_ref().is_none_or(|plan| plan.way != WalWay::Stream) {
            return Ok(());
        }
        let settings = address::of(&asked).await.map_err(super::ops::refused)?;
        let dropped = slot::release(&settings, &slot::name(app.id)).await;
        dropped.map_err(|error| EngineError::refused(error.to_string()))
    };
    if let Err(error) = dropped.await {
        let slot = slot::name(app.id);
        tracing::warn!(%error, app = %app.name, slot, "the slot stays on the server: drop it there");
    }
}
