//! Compares what is wrong with what is open, and writes what begins and ends.

use std::collections::{HashMap, HashSet};

use catalog::{AlertChanges, CatalogError};
use jiff::{SignedDuration, Timestamp};
use model::{Alert, AlertKind, Event};
use tokio_util::sync::CancellationToken;

use super::{
    anomalies::Anomalies,
    conditions::{self, Seen},
    messages::{self, Ways},
};
use crate::{Engine, EngineError, timekeeping};

/// Whose turn it is to look, among several orchestrators.
const TURN: &str = "alerts";
/// How long a turn lasts unless it is renewed.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
const RENEW_EVERY: SignedDuration = SignedDuration::from_secs(15);
/// How long messages that were sent or given up are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How many of them at most.
const MOST_KEPT: u64 = 20_000;
/// How often it is looked which are older, and how many are let go of in one go.
const FORGET_EVERY: SignedDuration = SignedDuration::from_hours(1);
const AT_ONCE: u64 = 500;
/// Events that are told in one go.
const EVENTS: u64 = 200;

/// Looks regularly until `shutdown`.
pub(super) async fn watch(engine: &Engine, shutdown: CancellationToken) {
    let mut watcher = Watcher::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(engine.0.config.alerts_every) => {}
        }
        match watcher.look(engine).await {
            Ok(()) => {}
            // Another orchestrator was quicker, because this one was silent for long.
            Err(EngineError::Catalog(CatalogError::Stale { .. })) => watcher.turn_at = None,
            Err(error) => {
                tracing::warn!(%error, "alerts cannot be looked at; trying again");
            }
        }
    }
    if watcher.turn_at.is_some() {
        let _ = engine.0.catalog.yield_turn(TURN, &engine.0.config.instance).await;
    }
}

#[derive(Default)]
struct Watcher {
    /// When this orchestrator last took or renewed its turn.
    turn_at: Option<Timestamp>,
    anomalies: Anomalies,
    /// When it last had no old messages to let go of.
    forgot_at: Option<Timestamp>,
}

impl Watcher {
    async fn look(&mut self, engine: &Engine) -> Result<(), EngineError> {
        if !self.has_turn(engine).await? {
            return Ok(());
        }
        let seen = conditions::look(engine, &mut self.anomalies).await?;
        let changes = changes(engine, &seen).await?;
        if !changes.is_empty() {
            engine.0.catalog.change_alerts(&changes).await?;
        }
        if messages::release(engine).await? || !changes.deliveries.is_empty() {
            engine.0.delivery_bell.notify_one();
        }
        self.forget_old(engine).await
    }

    /// Lets go of messages that ended long ago, some at a time; of none while nobody knows how
    /// long ago that is.
    async fn forget_old(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let now = engine.now();
        if self.forgot_at.is_some_and(|at| now.duration_since(at).abs() < FORGET_EVERY) {
            return Ok(());
        }
        if !timekeeping::look(engine).await?.is_distrusted(now) {
            let before = now.saturating_sub(KEPT_FOR).unwrap_or(Timestamp::MIN);
            let gone = engine.0.catalog.forget_deliveries(before, MOST_KEPT, AT_ONCE).await?;
            if gone == AT_ONCE {
                return Ok(());
            }
        }
        self.forgot_at = Some(now);
        Ok(())
    }

    async fn has_turn(&mut self, engine: &Engine) -> Result<bool, EngineError> {
        let now = engine.now();
        if self.turn_at.is_some_and(|at| now.duration_since(at).abs() < RENEW_EVERY) {
            return Ok(true);
        }
        let catalog = &engine.0.catalog;
        let held = catalog.hold_turn(TURN, &engine.0.config.instance, now, LEASE).await?;
        self.turn_at = held.then_some(now);
        Ok(held)
    }
}

/// What begins, what ends and what is told again.
async fn changes(engine: &Engine, seen: &Seen) -> Result<AlertChanges, EngineError> {
    let (catalog, now) = (&engine.0.catalog, engine.now());
    let ways = Ways::of(engine).await?;
    let mut changes = AlertChanges::default();
    let open: HashMap<String, Alert> =
        catalog.open_alerts().await?.into_iter().map(|alert| (alert.key(), alert)).collect();
    let mut lasting: HashSet<String> = HashSet::new();
    for found in &seen.holds {
        let key = found.key();
        if !lasting.insert(key.clone()) {
            continue;
        }
        match open.get(&key) {
            None => {
                let mut alert = found.clone();
                changes.deliveries.extend(ways.open(engine, &mut alert));
                changes.opened.push(alert);
            }
            Some(alert) => {
                let mut alert = alert.clone();
                // Channels that a route leads to only since then hear of it as well, once.
                let mut deliveries = ways.open(engine, &mut alert);
                deliveries.extend(ways.remind(engine, &mut alert));
                if !deliveries.is_empty() {
                    changes.deliveries.extend(deliveries);
                    changes.told.push(alert);
                }
            }
        }
    }
    let over = open.into_iter().filter(|(key, _)| !lasting.contains(key));
    for (key, alert) in over {
        let withdrawn = seen.is_gone(&alert);
        if !withdrawn && seen.unclear.contains(&key) {
            continue;
        }
        let alert = Alert { closed_at: Some(now), withdrawn, ..alert };
        if !withdrawn {
            changes.deliveries.extend(ways.close(engine, &alert));
        }
        changes.closed.push(alert);
    }
    for event in catalog.events_to_tell(EVENTS).await? {
        changes.events.push(event.id);
        let Some(kind) = AlertKind::of_event(event.kind) else { continue };
        let mut alert = moment(engine, seen, kind, event);
        changes.deliveries.extend(ways.open(engine, &mut alert));
        changes.opened.push(alert);
    }
    Ok(changes)
}

/// What an event alone tells of.
fn moment(engine: &Engine, seen: &Seen, kind: AlertKind, event: Event) -> Alert {
    let blank = conditions::alert(engine, kind, event.severity, event.sentence);
    Alert {
        app_id: event.app_id,
        app: event.app_id.and_then(|id| seen.app_names.get(&id).cloned()),
        destination_id: event.destination_id,
        destination: event.destination_id.and_then(|id| seen.destination_names.get(&id).cloned()),
        run_id: event.run_id,
        snapshot_id: event.snapshot_id,
        opened_at: event.at,
        closed_at: Some(event.at),
        ..blank
    }
}
