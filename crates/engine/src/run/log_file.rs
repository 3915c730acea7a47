//! The log of a run beside its objects: `logs/backup_YYYYMMDD_HHMMSS_APP.log` at each destination
//! that the app wants it at.
//!
//! It is put there before the run's end is written, so that the snapshot's record names it and
//! deletes it with the snapshot. That of a run without a copy there is remembered on its own and
//! deleted after thirty days. A log that cannot be put is a warning, never a failure.

use std::time::Duration;

use bytes::Bytes;
use catalog::Ending;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{App, Binding, Destination, Failure, FailureCode, LogLine, RunKind};
use serde::{Deserialize, Serialize};
use store::{CreateOptions, Key, Store, StoreError};

use super::{RunContext, StopReason, backup, failure, place::in_folder};
use crate::timekeeping;

/// Longest time for the log at one destination.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the log of a run without a snapshot is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Most logs that are removed after one run.
const SWEPT_AT_ONCE: usize = 100;
/// Lines that are read from the catalog at once.
const PAGE: u64 = 500;
const MAX_SAME_NAMES: u32 = 50;

/// A log of a run that left no copy at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Loose {
    key: String,
    at: Timestamp,
}

/// Puts the log of an ended backup run where its app wants it.
pub(crate) async fn put(context: &RunContext, ending: &mut Ending) {
    let leaves =
        matches!(context.stop_reason(), Some(StopReason::Shutdown | StopReason::LeaseLost));
    if context.run.kind != RunKind::Backup || leaves {
        return;
    }
    let Ok(app) = context.app().await else { return };
    if !app.destinations.iter().any(|binding| binding.logs)
        || context.journal.flush().await.is_err()
    {
        return;
    }
    for binding in app.destinations.iter().filter(|binding| binding.logs) {
        let Ok(destination) = context.engine.0.catalog.destination(binding.destination_id).await
        else {
            continue;
        };
        let put =
            tokio::time::timeout(PATIENCE, put_at(context, &app, binding, &destination, ending));
        let trouble = match put.await {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure.message,
            Err(_) => format!("it does not answer within {} seconds", PATIENCE.as_secs()),
        };
        context.journal.warn(format!("{}: this log is not there: {trouble}", destination.name));
    }
}

async fn put_at(
    context: &RunContext,
    app: &App,
    binding: &Binding,
    destination: &Destination,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let store =
        context.engine.0.store_for(destination).await.map_err(|e| failure::of_engine(&e))?;
    let key = write(context, app, binding, destination, store.as_ref()).await?;
    let copies = ending.snapshot.iter_mut().flat_map(|snapshot| &mut snapshot.copies);
    match copies.into_iter().find(|copy| copy.destination_id == destination.id) {
        Some(copy) => copy.log_key = Some(key.to_string()),
        None => {
            let own = Loose { key: key.to_string(), at: context.engine.now() };
            remember(context, app, destination, store.as_ref(), Some(own)).await?;
            return context.disown(destination.id, &key).await;
        }
    }
    remember(context, app, destination, store.as_ref(), None).await
}

/// Writes the run's lines under the first free name.
async fn write(
    context: &RunContext,
    app: &App,
    binding: &Binding,
    destination: &Destination,
    store: &dyn Store,
) -> Result<Key, Failure> {
    let zone = app.schedule.as_ref().map_or(TimeZone::UTC, |s| s.time_zone.zone());
    let stamp = backup::named_at(context).to_zoned(zone.clone()).strftime("%Y%m%d_%H%M%S");
    let stamp = stamp.to_string();
    for attempt in 1..=MAX_SAME_NAMES {
        let number = if attempt > 1 { format!("_{attempt}") } else { String::new() };
        let name = format!("logs/backup_{stamp}_{}{number}.log", app.name);
        let key = in_folder(destination, &binding.folder, &name)?;
        context.intend(destination.id, &key).await?;
        let mut upload = match store.create(&key, &CreateOptions::default()).await {
            Ok(upload) => upload,
            Err(error) if error.is_already_exists() => {
                context.disown(destination.id, &key).await?;
                continue;
            }
            Err(error) => return Err(failure::of_store(&error)),
        };
        let mut seen = 0;
        loop {
            let catalog = &context.engine.0.catalog;
            let lines = catalog.log_after(context.run.id, seen, PAGE).await;
            let lines = lines.map_err(|error| failure::of_catalog(&error))?;
            let Some(last) = lines.last() else { break };
            seen = last.seq;
            let text: String = lines.iter().map(|line| told(line, &zone)).collect();
            upload.write(Bytes::from(text)).await.map_err(|error| failure::of_store(&error))?;
        }
        match upload.finish().await {
            Ok(_) => return Ok(key),
            // Some stores see only at the end that the name is taken.
            Err(error) if error.is_already_exists() => {
                context.disown(destination.id, &key).await?;
            }
            Err(error) => return Err(failure::of_store(&error)),
        }
    }
    Err(Failure::new(
        FailureCode::DestinationConfig,
        format!("{MAX_SAME_NAMES} logs of the same name are already there"),
    ))
}

fn told(line: &LogLine, zone: &TimeZone) -> String {
    let at = line.at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let level = line.level.to_string().to_uppercase();
    format!("{at} {level:<5} {}: {}\n", line.stage, line.message)
}

/// Keeps the list of logs that belong to no snapshot, and removes those that are old enough.
async fn remember(
    context: &RunContext,
    app: &App,
    destination: &Destination,
    store: &dyn Store,
    own: Option<Loose>,
) -> Result<(), Failure> {
    let catalog = &context.engine.0.catalog;
    let name = format!("loose_logs/{}/{}", app.id, destination.id);
    let stored = catalog.setting(&name).await.map_err(|error| failure::of_catalog(&error))?;
    let before: Vec<Loose> =
        stored.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let now = context.engine.now();
    let clock = timekeeping::look(&context.engine).await;
    let clock = clock.map_err(|error| failure::of_engine(&error))?;
    let may_remove = !destination.append_only && !clock.is_distrusted(now);
    let is_old = |one: &Loose| clock.lived(one.at, now) > KEPT;
    let mut after = Vec::with_capacity(before.len() + 1);
    let mut swept = 0;
    for one in &before {
        let goes = may_remove && swept < SWEPT_AT_ONCE && is_old(one);
        if goes && removed(store, one).await.is_ok() {
            swept += 1;
        } else {
            after.push(one.clone());
        }
    }
    after.extend(own);
    if after == before {
        return Ok(());
    }
    let text = serde_json::to_string(&after).unwrap_or_default();
    catalog.set_setting(&name, &text).await.map_err(|error| failure::of_catalog(&error))
}

async fn removed(store: &dyn Store, one: &Loose) -> Result<(), StoreError> {
    match Key::new(&one.key) {
        Ok(key) => store.delete(&key).await,
        // Of what is no name there is nothing.
        Err(_) => Ok(()),
    }
}
