//! The state of everything, for the first page and the lists.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{App, AppId, Proof, Run, RunKind, RunState, Snapshot, retention::CLOCK_TOLERANCE};
use serde::Serialize;

use super::standing::{Health, Seen, health, is_harmed, next_fire, objective};
use crate::{Engine, EngineError, pitr::taken::Taken};

/// Days on the strip of an app's card.
pub(crate) const STRIP_DAYS: usize = 30;

/// One app on the first page.
#[derive(Debug, Clone, Serialize)]
pub struct AppCard {
    /// The app.
    pub app: App,
    /// How it is.
    pub health: Health,
    /// Its last ended run.
    pub last_run: Option<Run>,
    /// Its run under way or waiting.
    pub active_run: Option<Run>,
    /// Its newest good snapshot.
    pub last_good: Option<Snapshot>,
    /// When it runs next.
    pub next_fire: Option<Timestamp>,
    /// Age of the newest good snapshot, in seconds: what would be lost now.
    pub rpo_secs: Option<i64>,
    /// How old it may get, in seconds.
    pub objective_secs: i64,
    /// Longest time between two of its snapshots in the last 30 days, in seconds, up to now.
    pub longest_gap_secs: Option<i64>,
    /// Its last drill that ended.
    pub last_drill: Option<Run>,
    /// Its last drill that proved that a snapshot can come back.
    pub proven: Option<Proof>,
    /// Seconds that its last good drill took, else its last restore: what coming back takes.
    pub rto_secs: Option<f64>,
    /// Bytes that its copies and its archive of WAL take, all destinations together.
    pub stored_bytes: u64,
    /// One state for each of the last days, oldest first; `None` where nothing ran.
    pub strip: Vec<Option<RunState>>,
}

/// All apps and the one sentence's numbers.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// When it was looked at.
    pub at: Timestamp,
    /// The apps asked for, the ones in trouble first.
    pub cards: Vec<AppCard>,
    /// Apps that are good, running or partial.
    pub protected: usize,
    /// Apps overdue.
    pub late: usize,
    /// Apps failed or damaged.
    pub failed: usize,
    /// Apps in all.
    pub total: usize,
}

impl Engine {
    /// The state of every app.
    pub async fn overview(&self) -> Result<Overview, EngineError> {
        let apps = self.0.catalog.all_apps().await?;
        let mut cards = self.cards(apps).await?;
        cards.sort_by(|a, b| (a.health, a.app.name.as_str()).cmp(&(b.health, b.app.name.as_str())));
        let count = |wanted: &[Health]| cards.iter().filter(|c| wanted.contains(&c.health)).count();
        Ok(Overview {
            at: self.now(),
            protected: count(&[Health::Good, Health::Running, Health::Partial]),
            late: count(&[Health::Late, Health::NeverRun]),
            failed: count(&[Health::Failed, Health::Damaged]),
            total: cards.len(),
            cards,
        })
    }

    /// The state of one app.
    pub async fn card(&self, app: App) -> Result<AppCard, EngineError> {
        let id = app.id;
        self.cards(vec![app]).await?.pop().ok_or_else(|| EngineError::not_found("app", id))
    }

    /// Bytes that the copies and the archive of WAL of each of `apps` take.
    pub async fn stored_bytes(&self, apps: &[AppId]) -> Result<HashMap<AppId, u64>, EngineError> {
        let mut stored = self.0.catalog.stored_bytes_by_app(apps).await?;
        let archives = Taken::all(self).await?;
        for app in apps {
            if let Some(taken) = archives.get(&app.to_string()) {
                *stored.entry(*app).or_default() += taken.bytes();
            }
        }
        Ok(stored)
    }

    /// The state of `apps`, in their order.
    pub async fn cards(&self, apps: Vec<App>) -> Result<Vec<AppCard>, EngineError> {
        let catalog = &self.0.catalog;
        let now = self.now();
        let ids: Vec<AppId> = apps.iter().map(|app| app.id).collect();
        let since = now
            .saturating_sub(SignedDuration::from_hours(24 * STRIP_DAYS as i64))
            .unwrap_or(Timestamp::MIN);
        let good = async {
            let mut found = catalog.last_good_snapshots(&ids).await?;
            self.without_the_future(&mut found, now).await?;
            Ok::<_, EngineError>(found)
        };
        let runs = async {
            let last = catalog.last_runs(&ids).await?;
            let drills = catalog.last_drills(&ids, false).await?;
            let proven = catalog.last_drills(&ids, true).await?;
            let restores = catalog.last_restores(&ids).await?;
            Ok((last, drills, proven, restores, catalog.active_runs().await?))
        };
        let times = async {
            let fires = catalog.last_fires_of(&ids).await?;
            let ends = catalog.run_ends(&ids, since).await?;
            Ok((fires, ends, catalog.good_moments(&ids, since).await?))
        };
        // One after the other they would wait for each other's changes of threads.
        let (mut last_good, stored, runs, times) =
            tokio::try_join!(good, self.stored_bytes(&ids), runs, times)?;
        let (mut last_runs, mut last_drills, mut proven, mut restores, active) = runs;
        let (fires, ends, taken) = times;
        let mut active: HashMap<AppId, Run> = active
            .into_iter()
            .filter(|run| run.kind == RunKind::Backup)
            .filter_map(|run| Some((run.app_id?, run)))
            .collect();
        Ok(apps
            .into_iter()
            .map(|app| {
                let last_run = last_runs.remove(&app.id);
                let last_good = last_good.remove(&app.id);
                let active_run = active.remove(&app.id);
                let proven = proven.remove(&app.id).and_then(|run| proof(&run));
                let restored = restores.remove(&app.id).and_then(|run| length(&run));
                let next_fire = next_fire(&app, fires.get(&app.id).copied(), now);
                let objective = objective(&app, now);
                let age = last_good.as_ref().map(|snapshot| now.duration_since(snapshot.taken_at));
                let seen = Seen {
                    last: last_run.as_ref().map(|run| run.state),
                    is_active: active_run.is_some(),
                    is_harmed: last_good.as_ref().is_some_and(is_harmed),
                    age,
                };
                let health = health(&app, seen, now);
                AppCard {
                    health,
                    strip: strip(ends.get(&app.id).map_or(&[][..], Vec::as_slice), &app, now),
                    stored_bytes: stored.get(&app.id).copied().unwrap_or(0),
                    rpo_secs: age.map(|age| age.as_secs()),
                    objective_secs: objective.as_secs(),
                    longest_gap_secs: longest_gap(
                        taken.get(&app.id).map_or(&[][..], Vec::as_slice),
                        now,
                    ),
                    last_drill: last_drills.remove(&app.id),
                    rto_secs: proven.as_ref().map(|proof| proof.took_secs).or(restored),
                    proven,
                    app,
                    last_run,
                    active_run,
                    last_good,
                    next_fire,
                }
            })
            .collect())
    }
}

impl Engine {
    /// Takes the newest one of the past where the newest of all is dated in the future: it says
    /// nothing about today.
    pub(crate) async fn without_the_future(
        &self,
        last_good: &mut HashMap<AppId, Snapshot>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let horizon = now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now);
        let ahead: Vec<AppId> = last_good
            .iter()
            .filter(|(_, snapshot)| snapshot.taken_at > horizon)
            .map(|(id, _)| *id)
            .collect();
        for id in ahead {
            let all = self.0.catalog.snapshots_of_app(id).await?;
            match all.into_iter().find(|one| one.taken_at <= horizon && one.is_good()) {
                Some(past) => last_good.insert(id, past),
                None => last_good.remove(&id),
            };
        }
        Ok(())
    }
}

/// Seconds that a run was worked on.
fn length(run: &Run) -> Option<f64> {
    Some(run.finished_at?.duration_since(run.started_at?).as_secs_f64().max(0.0))
}

/// What a drill that ended well proved.
pub(super) fn proof(run: &Run) -> Option<Proof> {
    Some(Proof { run_id: run.id, at: run.finished_at?, passed: true, took_secs: length(run)? })
}

/// The longest time between two of `taken`, oldest first, and between the last of them and now.
fn longest_gap(taken: &[Timestamp], now: Timestamp) -> Option<i64> {
    let past: Vec<_> = taken.iter().copied().filter(|at| *at <= now).collect();
    let ends = past.iter().copied().skip(1).chain([now]);
    past.iter().zip(ends).map(|(from, to)| to.duration_since(*from).as_secs()).max()
}

/// One state a day in the app's own time zone; the worst of the day's last words: what the day
/// ended with.
fn strip(ends: &[(Timestamp, RunState)], app: &App, now: Timestamp) -> Vec<Option<RunState>> {
    let zone = app.schedule.as_ref().map_or(TimeZone::UTC, |s| s.time_zone.zone());
    let today = now.to_zoned(zone.clone()).date();
    let mut days = vec![None; STRIP_DAYS];
    for (at, state) in ends {
        let day = at.to_zoned(zone.clone()).date();
        let Ok(ago) = day.until(today) else { continue };
        let Ok(ago) = usize::try_from(ago.get_days()) else { continue };
        if let Some(slot) = (STRIP_DAYS - 1).checked_sub(ago).and_then(|i| days.get_mut(i)) {
            *slot = Some(*state);
        }
    }
    days
}
