//! When the catalog is copied by itself: some minutes after settings have changed, and once in a
//! while after anything has.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::copies::mark;
use crate::{Engine, EngineError};

/// Longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a copy that failed waits for the next try, where settings have not changed.
const RETRY_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Copies the catalog when it is due, until `shutdown`.
pub(crate) async fn follow(engine: &Engine, shutdown: CancellationToken) {
    let Some(every) = engine.0.config.catalog_copy_every else { return };
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(engine.0.config.catalog_copy_settle.min(LOOK_EVERY)) => {}
        }
        let done = async {
            if is_due(engine, every, &mut seen).await? {
                seen.tried_at = Some(engine.now());
                engine.copy_catalog().await?;
            }
            Ok::<(), EngineError>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(%error, "the catalog cannot be copied; trying again later");
        }
    }
}

#[derive(Default)]
struct Seen {
    /// The settings as they were, since when.
    settings: Option<(String, Timestamp)>,
    tried_at: Option<Timestamp>,
}

async fn is_due(engine: &Engine, every: Duration, seen: &mut Seen) -> Result<bool, EngineError> {
    let (now, catalog) = (engine.now(), &engine.0.catalog);
    if catalog.is_blank().await? || engine.recovery_hold().await?.is_some_and(|hold| hold.schedules)
    {
        return Ok(false);
    }
    let passed = |since: Timestamp, length: Duration| {
        let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
        now.duration_since(since).abs() >= length
    };
    let state = engine.catalog_copies().await?;
    let settings = mark(&catalog.settings_marks().await?);
    if seen.settings.as_ref().is_none_or(|(known, _)| *known != settings) {
        seen.settings = Some((settings.clone(), now));
        seen.tried_at = None;
    }
    if seen.tried_at.is_some_and(|at| now.duration_since(at).abs() < RETRY_AFTER)
        && state.problems().next().is_some()
    {
        return Ok(false);
    }
    let since = seen.settings.as_ref().map_or(now, |(_, since)| *since);
    if settings != state.settings_mark {
        return Ok(passed(since, engine.0.config.catalog_copy_settle));
    }
    if state.problems().next().is_some() {
        return Ok(true);
    }
    let is_old = state.made_at.is_none_or(|at| passed(at, every));
    Ok(is_old && mark(&catalog.record_marks().await?) != state.records_mark)
}
