//! Fires schedules: each fire exactly once, also with several orchestrators, after downtime and
//! when the clock moves.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use model::{
    App, AppId, Event, EventId, EventKind, Fact, Run, RunId, RunKind, Severity, SnapshotKind,
    Trigger,
};
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError, run::backup, timekeeping};

/// How often the apps are read anew, for changes made by other orchestrators.
const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// How often apps are looked through for copies whose grace period has ended.
const EXPIRE_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// A step of the clock larger than this, either way, is told.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// Fires schedules until `shutdown`.
pub(crate) async fn fire_schedules(engine: &Engine, shutdown: CancellationToken) {
    let mut scheduler = Scheduler::default();
    loop {
        engine.0.pulse.look();
        if let Err(error) = scheduler.tick(engine).await {
            tracing::warn!(%error, "schedules cannot be looked at; trying again");
            scheduler.loaded_at = None;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.0.schedule_bell.notified() => scheduler.loaded_at = None,
            () = tokio::time::sleep(engine.0.config.tick) => {}
        }
    }
}

#[derive(Default)]
struct Scheduler {
    watched: HashMap<AppId, Watched>,
    loaded_at: Option<Instant>,
    last_tick: Option<(Timestamp, Instant)>,
    expired_at: Option<Timestamp>,
    told_at: Option<Timestamp>,
    /// A rebuilt catalog awaits a person before it fires anything.
    held: bool,
}

struct Watched {
    app: App,
    /// The fire that was served last, or when the schedule came into force.
    anchor: Timestamp,
    /// When to look again.
    next: Option<Timestamp>,
}

impl Scheduler {
    async fn tick(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let now = engine.now();
        self.watch_the_clock(engine, now).await?;
        if self.loaded_at.is_none_or(|at| at.elapsed() >= RELOAD_EVERY) {
            self.load(engine, now).await?;
        }
        if self.held {
            return self.expire_what_is_due(engine, now).await;
        }
        let due: Vec<_> = self
            .watched
            .iter()
            .filter(|(_, watched)| watched.next.is_some_and(|next| next <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.fire(engine, id, now).await?;
        }
        self.expire_what_is_due(engine, now).await
    }

    async fn load(&mut self, engine: &Engine, now: Timestamp) -> Result<(), EngineError> {
        let catalog = &engine.0.catalog;
        let apps = catalog.all_apps().await?;
        let anchors = catalog.last_fires().await?;
        let mut watched = HashMap::with_capacity(apps.len());
        for app in apps.into_iter().filter(|app| app.enabled && app.schedule.is_some()) {
            let mut anchor = anchors.get(&app.id).copied().unwrap_or(app.created_at);
            if anchor > now.saturating_add(SKEW).unwrap_or(now) {
                // Served while the clock was ahead. Without this the app would not run until
                // the clock is there again; a fire time already served is not served twice
                // because the catalog knows it.
                anchor = now;
                catalog.set_last_fire(app.id, now).await?;
                self.tell_skew(engine, now, Some(app.id), Fact::ServedInFuture {}).await?;
            }
            let next = match self.watched.get(&app.id) {
                Some(old) if old.anchor == anchor && old.app.version == app.version => old.next,
                _ => next_fire(&app, anchor),
            };
            watched.insert(app.id, Watched { app, anchor, next });
        }
        self.watched = watched;
        self.held = engine.recovery_hold().await?.is_some_and(|hold| hold.schedules);
        self.loaded_at = Some(Instant::now());
        Ok(())
    }

    async fn fire(
        &mut self,
        engine: &Engine,
        id: AppId,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Some(watched) = self.watched.get_mut(&id) else { return Ok(()) };
        let app = &watched.app;
        let Some(schedule) = &app.schedule else { return Ok(()) };
        let Some(due) = schedule.due(watched.anchor, now) else {
            watched.next = next_fire(app, watched.anchor);
            return Ok(());
        };
        let lateness = now.duration_since(due.fire_at);
        let late = lateness.unsigned_abs() > engine.0.config.catch_up_after;
        let mut events = Vec::new();
        if due.missed > 0 || late {
            events.push(Event {
                id: engine.new_id(EventId::generate),
                at: now,
                kind: EventKind::FiresMissed,
                severity: Severity::Warning,
                app_id: Some(id),
                run_id: None,
                snapshot_id: None,
                destination_id: None,
                sentence: Fact::FiresMissed {
                    count: u64::from(due.missed) + u64::from(late),
                    app: app.name.to_string(),
                }
                .into(),
            });
        }
        if late && !schedule.catch_up {
            engine.0.catalog.skip_fires(id, due.fire_at, &events).await?;
        } else {
            let delay = schedule.jitter(&id.to_string(), due.fire_at);
            let run = Run {
                fire_at: Some(due.fire_at),
                missed_fires: due.missed,
                snapshot_kind: SnapshotKind::Automatic,
                not_before: if late {
                    now
                } else {
                    due.fire_at.saturating_add(delay).unwrap_or(now)
                },
                ..backup::queued(
                    engine.new_id(RunId::generate),
                    Some(id),
                    RunKind::Backup,
                    if late { Trigger::CatchUp } else { Trigger::Schedule },
                    now,
                )
            };
            engine.0.catalog.enqueue_fire(&run, due.fire_at, &events).await?;
            engine.0.queue_bell.notify_one();
        }
        engine.0.pulse.fired(Duration::try_from(lateness).unwrap_or_default());
        watched.anchor = due.fire_at;
        watched.next = next_fire(&watched.app, due.fire_at);
        Ok(())
    }

    /// Queues retention for apps that have copies to delete and no run that would do it.
    async fn expire_what_is_due(
        &mut self,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        if self.expired_at.is_some_and(|at| !is_past(at, EXPIRE_EVERY, now)) {
            return Ok(());
        }
        self.expired_at = Some(now);
        let grace =
            SignedDuration::try_from(engine.0.config.expire_grace).unwrap_or(SignedDuration::MAX);
        let Ok(before) = now.checked_sub(grace) else { return Ok(()) };
        for app_id in engine.0.catalog.apps_with_copies_expiring_before(before).await? {
            let run = backup::queued(
                engine.new_id(RunId::generate),
                Some(app_id),
                RunKind::Expire,
                Trigger::Schedule,
                now,
            );
            engine.0.catalog.enqueue(&run).await?;
            engine.0.queue_bell.notify_one();
        }
        Ok(())
    }

    /// Compares the wall clock's pace with the one that cannot be set.
    async fn watch_the_clock(
        &mut self,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let first = self.last_tick.is_none();
        let expected = match self.last_tick {
            None => {
                // Since another process saw it, perhaps long ago.
                let expected = timekeeping::tell(engine, None, now).await?;
                self.told_at = Some(now);
                expected
            }
            Some((wall, steady)) => {
                let passed = SignedDuration::try_from(steady.elapsed());
                let expected = wall.saturating_add(passed.unwrap_or(SignedDuration::MAX));
                let expected = expected.unwrap_or(now);
                let skewed = now.duration_since(expected).abs() > SKEW;
                if skewed || self.told_at.is_none_or(|at| is_past(at, timekeeping::TELL_EVERY, now))
                {
                    timekeeping::tell(engine, Some(expected), now).await?;
                    self.told_at = Some(now);
                }
                skewed.then_some(expected)
            }
        };
        if let Some(expected) = expected {
            self.loaded_at = None;
            self.expired_at = Some(now);
            let step = now.duration_since(expected);
            if step.is_negative() {
                // Runs that were queued by a clock ahead of this one must not wait for it.
                engine.0.catalog.start_what_waits_too_long(now).await?;
            }
            let minutes = step.unsigned_abs().as_secs() / 60;
            let told = match (step.is_negative(), first) {
                (true, false) => Fact::ClockBack { minutes },
                (false, false) => Fact::ClockForward { minutes },
                (true, true) => Fact::ClockBackSince { minutes },
                (false, true) => Fact::ClockForwardSince { minutes },
            };
            self.tell_skew(engine, now, None, told).await?;
        }
        // Only now: what could not be written is seen again at the next tick.
        self.last_tick = Some((now, Instant::now()));
        Ok(())
    }

    async fn tell_skew(
        &self,
        engine: &Engine,
        now: Timestamp,
        app_id: Option<AppId>,
        told: Fact,
    ) -> Result<(), EngineError> {
        let event = Event {
            id: engine.new_id(EventId::generate),
            at: now,
            kind: EventKind::ClockSkew,
            severity: Severity::Warning,
            app_id,
            run_id: None,
            snapshot_id: None,
            destination_id: None,
            sentence: told.into(),
        };
        engine.0.catalog.append_events(&[event]).await?;
        Ok(())
    }
}

/// Whether `at` is `length` away from `now`, whichever way the clock went.
fn is_past(at: Timestamp, length: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(at).abs() >= length
}

fn next_fire(app: &App, anchor: Timestamp) -> Option<Timestamp> {
    app.schedule.as_ref().and_then(|schedule| schedule.next_after(anchor))
}
