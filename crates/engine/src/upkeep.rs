//! Asks for what proves that snapshots can come back: copies are re-read as often as their
//! destination says, and apps are drilled by their own schedules.

use std::collections::{HashMap, HashSet};

use catalog::Enqueued;
use jiff::{SignedDuration, Timestamp};
use model::{
    App, Destination, DestinationId, FailureCode, Run, RunId, RunKind, SnapshotId, Trigger,
};
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError, repositories::is_repository, run::backup, stores::object_lock};

/// How often it is looked what is due, by the engine's clock.
const EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Most verify runs of one destination that wait or go on because of this.
const AT_ONCE: usize = 4;
/// Copies looked at in one go.
const LOOK_AT: u64 = 64;
/// How long a destination is left alone after a copy there could not be read for a reason that
/// lies with the destination.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How long a copy that was asked for is not asked for again.
const ONCE_IN: SignedDuration = SignedDuration::from_hours(24);
/// How often what a repository does not need any more is freed.
const FREE_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// How often it is looked whether a repository is whole.
const CHECK_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Asks for what is due until `shutdown`.
pub(crate) async fn keep_up(engine: &Engine, shutdown: CancellationToken) {
    let mut upkeep = Upkeep::default();
    loop {
        let now = engine.now();
        if upkeep.looked_at.is_none_or(|at| now.duration_since(at).abs() >= EVERY) {
            upkeep.looked_at = Some(now);
            if let Err(error) = upkeep.look(engine, now).await {
                tracing::warn!(%error, "what is due for checking cannot be looked at; trying again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(engine.0.config.tick) => {}
        }
    }
}

#[derive(Default)]
struct Upkeep {
    looked_at: Option<Timestamp>,
    /// When a copy was last asked for.
    asked: HashMap<(SnapshotId, DestinationId), Timestamp>,
    /// What was asked for and had not ended when last looked at.
    open: HashMap<DestinationId, Vec<RunId>>,
    /// When a repository was last looked after.
    tended: HashMap<(DestinationId, RunKind), Timestamp>,
    /// Destinations that are left alone until then.
    paused: HashMap<DestinationId, Timestamp>,
}

impl Upkeep {
    async fn look(&mut self, engine: &Engine, now: Timestamp) -> Result<(), EngineError> {
        if engine.recovery_hold().await?.is_some_and(|hold| hold.schedules) {
            return Ok(());
        }
        let active = engine.0.catalog.active_runs().await?;
        drill_what_is_due(engine, &active, now).await?;
        self.asked.retain(|_, at| now.duration_since(*at).abs() < ONCE_IN);
        self.paused.retain(|_, until| *until > now && until.duration_since(now) <= PAUSE);
        for destination in engine.0.catalog.all_destinations().await? {
            self.verify_what_is_due(engine, &destination, &active, now).await?;
            if is_repository(&destination) {
                self.tend(engine, &destination, &active, now).await?;
            }
        }
        Ok(())
    }

    /// Asks for the copies at `destination` that nobody has re-read for as long as it says.
    async fn verify_what_is_due(
        &mut self,
        engine: &Engine,
        destination: &Destination,
        active: &[Run],
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Some(days) = destination.verify_every_days else { return Ok(()) };
        self.learn(engine, destination.id, now).await?;
        if self.paused.contains_key(&destination.id) {
            return Ok(());
        }
        let age = SignedDuration::from_hours(24 * i64::from(days.max(1)));
        let Ok(before) = now.checked_sub(age) else { return Ok(()) };
        let of_this = |run: &&Run| {
            run.kind == RunKind::Verify
                && run.destination_id.is_none_or(|only| only == destination.id)
        };
        let verifying: HashSet<SnapshotId> =
            active.iter().filter(of_this).filter_map(|run| run.snapshot_id).collect();
        let waiting =
            active.iter().filter(of_this).filter(|run| run.trigger == Trigger::Schedule).count();
        let mut room = AT_ONCE.saturating_sub(waiting);
        // Those asked for already are passed over below; there have to be others behind them.
        let asked = self.asked.keys().filter(|(_, at)| *at == destination.id).count() as u64;
        let limit = LOOK_AT + asked;
        let stale = engine.0.catalog.copies_unread_since(destination.id, before, limit).await?;
        for copy in stale {
            let key = (copy.snapshot_id, destination.id);
            if room == 0 {
                break;
            }
            if verifying.contains(&copy.snapshot_id) || self.asked.contains_key(&key) {
                continue;
            }
            let run = Run {
                snapshot_id: Some(copy.snapshot_id),
                destination_id: Some(destination.id),
                ..backup::queued(
                    engine.new_id(RunId::generate),
                    Some(copy.app_id),
                    RunKind::Verify,
                    Trigger::Schedule,
                    now,
                )
            };
            let run = engine.queue(run).await?;
            self.asked.insert(key, now);
            self.open.entry(destination.id).or_default().push(run.id);
            room -= 1;
        }
        Ok(())
    }

    /// Asks for what keeps the repository at `destination` sound.
    async fn tend(
        &mut self,
        engine: &Engine,
        destination: &Destination,
        active: &[Run],
        now: Timestamp,
    ) -> Result<(), EngineError> {
        if let Err(error) = engine.end_rotation(destination).await {
            let name = &destination.name;
            tracing::warn!(%error, %name, "a change of the password waits to be ended");
        }
        let state = engine.repository_state(destination).await?;
        let freed = state.freed.map(|freed| freed.at);
        let checked = state.checked.map(|checked| checked.at);
        // What is locked for a time is locked for longer by either, so daily by one of them.
        let is_checked_daily = destination.append_only && object_lock::is_on(destination);
        let check_every = if is_checked_daily { FREE_EVERY } else { CHECK_EVERY };
        let kinds = [(RunKind::Free, FREE_EVERY, freed), (RunKind::Check, check_every, checked)];
        for (kind, every, last) in kinds {
            let is_of_this = |run: &Run| run.destination_id == Some(destination.id);
            let waits = active.iter().any(|run| run.kind == kind && is_of_this(run));
            let key = (destination.id, kind);
            let last = last.unwrap_or(destination.created_at);
            let last = self.tended.get(&key).map_or(last, |asked| last.max(*asked));
            let is_due = now.duration_since(last) >= every;
            if !is_due || waits || kind == RunKind::Free && destination.append_only {
                continue;
            }
            engine.queue(engine.tending(destination, kind, Trigger::Schedule)).await?;
            self.tended.insert(key, now);
        }
        Ok(())
    }

    /// Leaves a destination alone for a while where what was asked of it could not be read.
    async fn learn(
        &mut self,
        engine: &Engine,
        destination: DestinationId,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Some(open) = self.open.get_mut(&destination) else { return Ok(()) };
        for id in std::mem::take(open) {
            let run = engine.0.catalog.run(id).await?;
            if !run.state.is_terminal() {
                open.push(id);
            } else if run.failure.is_some_and(|failure| is_of_the_destination(failure.code)) {
                let until = now.saturating_add(PAUSE).unwrap_or(now);
                self.paused.insert(destination, until);
            }
        }
        Ok(())
    }
}

/// Whether a copy could not be read for a reason that holds for all of its destination.
fn is_of_the_destination(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::DestinationUnavailable
            | FailureCode::DestinationDenied
            | FailureCode::DestinationConfig
            | FailureCode::SecretUnreadable
            | FailureCode::Timeout
    )
}

/// Asks for a drill of the newest good snapshot of each app whose drill schedule has fired since
/// its last drill was asked for: once, however many fires that were.
async fn drill_what_is_due(
    engine: &Engine,
    active: &[Run],
    now: Timestamp,
) -> Result<(), EngineError> {
    let catalog = &engine.0.catalog;
    let apps: Vec<App> = catalog.all_apps().await?;
    let mut due = Vec::new();
    let scheduled = apps.iter().filter(|app| app.enabled && app.drill.schedule.is_some());
    let scheduled: Vec<&App> = scheduled.collect();
    if scheduled.is_empty() {
        return Ok(());
    }
    let asked = catalog.last_drills_asked(now).await?;
    for app in scheduled {
        let Some(schedule) = &app.drill.schedule else { continue };
        // Without a drill: since the app was last described, which is when it came into force
        // at the earliest.
        let since = asked.get(&app.id).copied().unwrap_or(app.updated_at);
        let Some(fire) = schedule.due(since, now) else { continue };
        let late = now.duration_since(fire.fire_at).unsigned_abs();
        if !schedule.catch_up && late > engine.0.config.catch_up_after {
            continue;
        }
        let waits = |run: &Run| run.kind == RunKind::Drill && run.app_id == Some(app.id);
        if !active.iter().any(waits) {
            due.push((app, schedule, fire.fire_at));
        }
    }
    let ids: Vec<_> = due.iter().map(|(app, ..)| app.id).collect();
    let snapshots = catalog.last_good_snapshots(&ids).await?;
    for (app, schedule, fire_at) in due {
        let of_moment = engine.drill_of_any_moment(app, Trigger::Schedule).await?;
        let snapshot = snapshots.get(&app.id);
        let of_snapshot = snapshot.map(|snapshot| engine.drill_of(snapshot, Trigger::Schedule));
        let mut drills = of_snapshot.into_iter().chain(of_moment);
        let Some(drill) = drills.next() else { continue };
        let delay = schedule.jitter(&app.id.to_string(), fire_at);
        let not_before = fire_at.saturating_add(delay).unwrap_or(now).max(now);
        let run = Run { fire_at: Some(fire_at), not_before, ..drill };
        // Where another orchestrator asked for the same fire, that one is it.
        if catalog.enqueue(&run).await? == Enqueued::New {
            for other in drills {
                catalog.enqueue(&Run { not_before, ..other }).await?;
            }
        }
        engine.0.queue_bell.notify_one();
    }
    Ok(())
}
