//! How each app is, for the lists.

use std::{collections::HashSet, sync::Arc};

use catalog::{AppStanding, NewestGood};
use jiff::{SignedDuration, Timestamp};
use model::{App, AppId, CopyState, RunKind, RunState, Snapshot, retention::CLOCK_TOLERANCE};
use serde::Serialize;

use crate::{Engine, EngineError};

/// Age at which an app counts as overdue where neither it nor its schedule says otherwise.
const OBJECTIVE: SignedDuration = SignedDuration::from_hours(24);

/// How an app is, the worst truth first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Health {
    /// A copy of its newest snapshot is damaged or missing.
    Damaged,
    /// Its last run failed.
    Failed,
    /// Its newest good snapshot is older than its objective.
    Late,
    /// Its last run left a destination without a copy.
    Partial,
    /// It has never run.
    NeverRun,
    /// A run is under way, and nothing is wrong.
    Running,
    /// Its newest good snapshot is recent enough.
    Good,
    /// It is disabled.
    Disabled,
}

/// How an app is, in short.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The app.
    pub app: Arc<App>,
    /// How it is.
    pub health: Health,
    /// When its newest good snapshot was taken.
    pub last_good_at: Option<Timestamp>,
    /// When it last ran by its schedule, where it did.
    last_fire: Option<Timestamp>,
}

impl Standing {
    /// When it runs next, as seen at `now`.
    pub fn next_fire(&self, now: Timestamp) -> Option<Timestamp> {
        next_fire(&self.app, self.last_fire, now)
    }
}

impl Engine {
    /// How every app is, the ones in trouble first: what a list has to know of all of them;
    /// [`Engine::cards`] tells the rest of some.
    pub async fn standings(&self) -> Result<Vec<Standing>, EngineError> {
        let catalog = &self.0.catalog;
        let now = self.now();
        let mut found = catalog.standings().await?;
        let horizon = now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now);
        let is_ahead =
            |one: &AppStanding| one.newest.is_some_and(|newest| newest.taken_at > horizon);
        let ahead: Vec<AppId> =
            found.iter().filter(|one| is_ahead(one)).map(|one| one.app.id).collect();
        if !ahead.is_empty() {
            let mut known = catalog.last_good_snapshots(&ahead).await?;
            self.without_the_future(&mut known, now).await?;
            for one in found.iter_mut().filter(|one| is_ahead(one)) {
                one.newest = known.get(&one.app.id).map(newest_of);
            }
        }
        let active: HashSet<AppId> = catalog
            .active_runs()
            .await?
            .into_iter()
            .filter(|run| run.kind == RunKind::Backup)
            .filter_map(|run| run.app_id)
            .collect();
        let mut all: Vec<Standing> = found
            .into_iter()
            .map(|one| {
                let seen = Seen {
                    last: one.last_end,
                    is_active: active.contains(&one.app.id),
                    is_harmed: one.newest.is_some_and(|newest| newest.is_harmed),
                    age: one.newest.map(|newest| now.duration_since(newest.taken_at)),
                };
                Standing {
                    health: health(&one.app, seen, now),
                    last_good_at: one.newest.map(|newest| newest.taken_at),
                    last_fire: one.last_fire,
                    app: one.app,
                }
            })
            .collect();
        all.sort_by(|a, b| (a.health, a.app.name.as_str()).cmp(&(b.health, b.app.name.as_str())));
        Ok(all)
    }
}

fn newest_of(snapshot: &Snapshot) -> NewestGood {
    NewestGood { taken_at: snapshot.taken_at, is_harmed: is_harmed(snapshot) }
}

pub(super) fn is_harmed(snapshot: &Snapshot) -> bool {
    let harmed =
        |copy: &model::StoredCopy| matches!(copy.state, CopyState::Damaged | CopyState::Missing);
    snapshot.copies.iter().any(harmed)
}

/// When an app runs next.
pub(super) fn next_fire(app: &App, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let schedule = app.schedule.as_ref().filter(|_| app.enabled)?;
    let anchor = last
        .unwrap_or(app.created_at)
        .max(now.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(now));
    schedule.next_after(anchor)
}

/// What is seen of an app.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// How its last run ended.
    pub(super) last: Option<RunState>,
    pub(super) is_active: bool,
    /// Whether a copy of its newest good snapshot is damaged or missing.
    pub(super) is_harmed: bool,
    /// Of that snapshot.
    pub(super) age: Option<SignedDuration>,
}

pub(super) fn health(app: &App, seen: Seen, now: Timestamp) -> Health {
    if !app.enabled {
        return Health::Disabled;
    }
    if seen.is_harmed {
        return Health::Damaged;
    }
    match seen.last {
        Some(RunState::Failed | RunState::Interrupted) => return Health::Failed,
        None if !seen.is_active => return Health::NeverRun,
        _ => {}
    }
    if seen.last.is_some() && is_late(app, seen.age, now) {
        return Health::Late;
    }
    match seen.last {
        _ if seen.is_active => Health::Running,
        Some(RunState::PartiallyFailed) => Health::Partial,
        _ => Health::Good,
    }
}

/// The schedule is asked only where it matters: every objective that it gives is a day or more.
fn is_late(app: &App, age: Option<SignedDuration>, now: Timestamp) -> bool {
    let is_recent = app.limits.objective_secs.is_none() && age.is_some_and(|age| age <= OBJECTIVE);
    !is_recent && is_overdue(age, objective(app, now))
}

/// How old the newest good snapshot may get: the app's own word, or twice its schedule's
/// interval, at least a day.
pub(crate) fn objective(app: &App, now: Timestamp) -> SignedDuration {
    if let Some(secs) = app.limits.objective_secs {
        return SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
    }
    let interval = app.schedule.as_ref().and_then(|schedule| {
        let first = schedule.next_after(now)?;
        Some(schedule.next_after(first)?.duration_since(first))
    });
    interval.map_or(OBJECTIVE, |interval| (interval * 2).max(OBJECTIVE))
}

/// Whether a newest good snapshot of this `age` is too old; also where there is none.
pub(crate) fn is_overdue(age: Option<SignedDuration>, objective: SignedDuration) -> bool {
    age.is_none_or(|age| age > objective)
}
