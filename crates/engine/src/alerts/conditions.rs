//! What is wrong now, seen from what is recorded.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use model::{
    Alert, AlertId, AlertKind, App, AppId, CopyState, Destination, DestinationId, Fact, Failure,
    FailureCode, Run, RunKind, RunState, Sentence, Severity, Snapshot, duration::print_secs,
    retention::CLOCK_TOLERANCE,
};

use super::anomalies::Anomalies;
use crate::{
    Engine, EngineError,
    ops::standing::{is_overdue, objective},
    repositories::is_repository,
    timekeeping::{self, Timekeeping},
};

/// A run that takes longer no longer stands for the snapshot that will come of it.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// What is wrong, and what cannot be said now.
#[derive(Default)]
pub(super) struct Seen {
    /// What is wrong, as alerts that would begin now.
    pub(super) holds: Vec<Alert>,
    /// Keys of what may be over or begin soon: something that goes on will tell.
    pub(super) unclear: HashSet<String>,
    /// Apps that are not removed, and whether they are enabled.
    pub(super) apps: HashMap<AppId, bool>,
    /// Names of apps and destinations that are not removed.
    pub(super) app_names: HashMap<AppId, String>,
    pub(super) destination_names: HashMap<DestinationId, String>,
}

impl Seen {
    /// Whether nobody looks any more whether `alert` lasts.
    pub(super) fn is_gone(&self, alert: &Alert) -> bool {
        let app = alert.app_id.is_some_and(|id| match self.apps.get(&id) {
            Some(enabled) => !enabled && alert.kind != AlertKind::CopyDamaged,
            None => true,
        });
        let destination =
            alert.destination_id.is_some_and(|id| !self.destination_names.contains_key(&id));
        app || destination
    }
}

/// One look.
struct Look<'a> {
    engine: &'a Engine,
    now: Timestamp,
    clock: Timekeeping,
    /// Runs that wait or go on.
    active: Vec<Run>,
    seen: Seen,
}

/// An alert that would begin now, about nothing yet.
pub(super) fn alert(
    engine: &Engine,
    kind: AlertKind,
    severity: Severity,
    sentence: impl Into<Sentence>,
) -> Alert {
    Alert {
        id: engine.new_id(AlertId::generate),
        kind,
        severity,
        app_id: None,
        app: None,
        destination_id: None,
        destination: None,
        run_id: None,
        snapshot_id: None,
        opened_at: engine.now(),
        closed_at: None,
        withdrawn: false,
        sentence: sentence.into(),
        told: Vec::new(),
    }
}

fn about(app: &App, alert: Alert) -> Alert {
    Alert { app_id: Some(app.id), app: Some(app.name.to_string()), ..alert }
}

fn at(destination: &Destination, alert: Alert) -> Alert {
    Alert {
        destination_id: Some(destination.id),
        destination: Some(destination.name.to_string()),
        ..alert
    }
}

/// Looks at everything.
pub(super) async fn look(engine: &Engine, anomalies: &mut Anomalies) -> Result<Seen, EngineError> {
    let catalog = &engine.0.catalog;
    let apps = catalog.all_apps().await?;
    let destinations = catalog.all_destinations().await?;
    let seen = Seen {
        apps: apps.iter().map(|app| (app.id, app.enabled)).collect(),
        app_names: apps.iter().map(|app| (app.id, app.name.to_string())).collect(),
        destination_names: destinations.iter().map(|one| (one.id, one.name.to_string())).collect(),
        ..Seen::default()
    };
    let mut look = Look {
        engine,
        now: engine.now(),
        clock: timekeeping::look(engine).await?,
        active: catalog.active_runs().await?,
        seen,
    };
    look.damaged(&apps, &destinations).await?;
    let enabled: Vec<&App> = apps.iter().filter(|app| app.enabled).collect();
    let ids: Vec<AppId> = enabled.iter().map(|app| app.id).collect();
    let runs = look.last_backups(&ids).await?;
    let mut good = catalog.last_good_snapshots(&ids).await?;
    engine.without_the_future(&mut good, look.now).await?;
    let expired = catalog.last_ended_of(&ids, RunKind::Expire).await?;
    let drilled = catalog.last_ended_of(&ids, RunKind::Drill).await?;
    for app in &enabled {
        let last_good = good.get(&app.id);
        look.backup(app, runs.get(&app.id)).await?;
        look.overdue(app, last_good);
        look.retention(app, expired.get(&app.id));
        look.drill(app, drilled.get(&app.id));
        if let Some(snapshot) = last_good {
            look.anomalous(app, snapshot, anomalies).await?;
        }
    }
    anomalies.forget_others(&ids);
    look.places(&destinations, &runs).await?;
    look.own(&destinations).await?;
    Ok(look.seen)
}

impl Look<'_> {
    fn holds(&mut self, alert: Alert) {
        self.seen.holds.push(alert);
    }

    fn unclear(&mut self, kind: AlertKind, app: &App) {
        self.seen.unclear.insert(kind.key(Some(app.id), None));
    }

    fn alert(&self, kind: AlertKind, severity: Severity, sentence: impl Into<Sentence>) -> Alert {
        alert(self.engine, kind, severity, sentence)
    }

    fn horizon(&self) -> Timestamp {
        self.now.saturating_add(CLOCK_TOLERANCE).unwrap_or(Timestamp::MAX)
    }

    fn is_active(&self, app: &App, kind: RunKind) -> bool {
        self.active.iter().any(|run| run.kind == kind && run.app_id == Some(app.id))
    }

    /// The last backup that ended of each app; one that is dated in the future says nothing.
    async fn last_backups(&self, ids: &[AppId]) -> Result<HashMap<AppId, Run>, EngineError> {
        let catalog = &self.engine.0.catalog;
        let mut runs = catalog.last_runs(ids).await?;
        let horizon = self.horizon();
        let ahead = runs.values().filter(|run| run.queued_at > horizon);
        let ahead: Vec<AppId> = ahead.filter_map(|run| run.app_id).collect();
        for id in ahead {
            match catalog.last_ended_run_until(id, RunKind::Backup, horizon).await? {
                Some(run) => runs.insert(id, run),
                None => runs.remove(&id),
            };
        }
        Ok(runs)
    }

    async fn backup(&mut self, app: &App, last: Option<&Run>) -> Result<(), EngineError> {
        let Some(run) = last else { return Ok(()) };
        let goes_on = self.is_active(app, RunKind::Backup);
        match run.state {
            RunState::Failed | RunState::Interrupted if goes_on => {
                self.unclear(AlertKind::BackupFailed, app);
            }
            RunState::Failed | RunState::Interrupted => {
                let alert =
                    self.alert(AlertKind::BackupFailed, Severity::Error, why(run.failure.as_ref()));
                self.holds(Alert { run_id: Some(run.id), ..about(app, alert) });
            }
            RunState::Cancelled => {
                self.unclear(AlertKind::BackupFailed, app);
                self.unclear(AlertKind::BackupPartial, app);
            }
            RunState::PartiallyFailed if self.lacks_copies(app, run).await? => {
                let heals =
                    |one: &Run| one.kind == RunKind::Copy && one.snapshot_id == run.snapshot_id;
                if goes_on || self.active.iter().any(heals) {
                    self.unclear(AlertKind::BackupPartial, app);
                    return Ok(());
                }
                let alert = self.alert(
                    AlertKind::BackupPartial,
                    Severity::Warning,
                    why(run.failure.as_ref()),
                );
                let (run_id, snapshot_id) = (Some(run.id), run.snapshot_id);
                self.holds(Alert { run_id, snapshot_id, ..about(app, alert) });
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a destination of the app still has no copy of what `run` made.
    async fn lacks_copies(&self, app: &App, run: &Run) -> Result<bool, EngineError> {
        let Some(id) = run.snapshot_id else { return Ok(true) };
        let snapshot = match self.engine.0.catalog.snapshot(id).await {
            Ok(snapshot) => snapshot,
            Err(catalog::CatalogError::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let there = |id: DestinationId| {
            let mut copies = snapshot.copies.iter();
            // What expired since was there.
            copies.any(|copy| {
                copy.destination_id == id
                    && !matches!(copy.state, CopyState::Damaged | CopyState::Missing)
            })
        };
        Ok(!app.destinations.iter().all(|binding| there(binding.destination_id)))
    }

    fn overdue(&mut self, app: &App, last_good: Option<&Snapshot>) {
        let objective = objective(app, self.now);
        let since = last_good.map_or(app.created_at, |snapshot| snapshot.taken_at);
        // What the clock skipped, or this machine was off for, is told as such; the app gets its
        // time to catch up.
        let age = self.clock.lived(since, self.now).min(self.now.duration_since(since));
        if !is_overdue(Some(age), objective) {
            return;
        }
        let soon = |run: &Run| {
            run.kind == RunKind::Backup
                && run.app_id == Some(app.id)
                && self.now.duration_since(run.not_before.max(run.queued_at)).abs() < PATIENCE
        };
        if self.active.iter().any(soon) {
            self.unclear(AlertKind::Overdue, app);
            return;
        }
        let objective = print_secs(objective.as_secs().unsigned_abs());
        let name = app.name.to_string();
        let told = match last_good {
            Some(snapshot) => Fact::OverdueSince { app: name, at: snapshot.taken_at, objective },
            None => Fact::OverdueNever { app: name, at: app.created_at, objective },
        };
        let alert = self.alert(AlertKind::Overdue, Severity::Error, told);
        let snapshot_id = last_good.map(|snapshot| snapshot.id);
        self.holds(Alert { snapshot_id, ..about(app, alert) });
    }

    fn retention(&mut self, app: &App, last: Option<&Run>) {
        let Some(run) = last.filter(|run| run.state == RunState::Failed) else { return };
        if run.failure.as_ref().is_some_and(follows_from_another) {
            return;
        }
        if self.is_active(app, RunKind::Expire) {
            return self.unclear(AlertKind::RetentionFailed, app);
        }
        let alert =
            self.alert(AlertKind::RetentionFailed, Severity::Warning, why(run.failure.as_ref()));
        self.holds(Alert { run_id: Some(run.id), ..about(app, alert) });
    }

    fn drill(&mut self, app: &App, last: Option<&Run>) {
        let Some(run) = last.filter(|run| run.state == RunState::Failed) else { return };
        if self.is_active(app, RunKind::Drill) {
            return self.unclear(AlertKind::DrillFailed, app);
        }
        let alert = self.alert(AlertKind::DrillFailed, Severity::Error, why(run.failure.as_ref()));
        let (run_id, snapshot_id) = (Some(run.id), run.snapshot_id);
        self.holds(Alert { run_id, snapshot_id, ..about(app, alert) });
    }

    async fn anomalous(
        &mut self,
        app: &App,
        snapshot: &Snapshot,
        anomalies: &mut Anomalies,
    ) -> Result<(), EngineError> {
        for (kind, told) in anomalies.of(self.engine, app, snapshot).await? {
            let alert = self.alert(kind, Severity::Warning, told);
            let (run_id, snapshot_id) = (Some(snapshot.run_id), Some(snapshot.id));
            self.holds(Alert { run_id, snapshot_id, ..about(app, alert) });
        }
        Ok(())
    }

    /// Copies that are damaged or missing, and repositories that are not whole.
    async fn damaged(
        &mut self,
        apps: &[App],
        destinations: &[Destination],
    ) -> Result<(), EngineError> {
        let apps: HashMap<AppId, &App> = apps.iter().map(|app| (app.id, app)).collect();
        for found in self.engine.0.catalog.damaged_copies().await? {
            let place = destinations.iter().find(|one| one.id == found.destination_id);
            let (Some(app), Some(place)) = (apps.get(&found.app_id), place) else { continue };
            let told = Fact::CopiesDamaged {
                count: found.count,
                app: app.name.to_string(),
                destination: place.name.to_string(),
            };
            let alert = self.alert(AlertKind::CopyDamaged, Severity::Error, told);
            let snapshot_id = Some(found.snapshot_id);
            self.holds(Alert { snapshot_id, ..at(place, about(app, alert)) });
        }
        for place in destinations.iter().filter(|one| is_repository(one)) {
            let Some(checked) = self.engine.repository_state(place).await?.checked else {
                continue;
            };
            if checked.problem_count > 0 {
                let told = Fact::RepositoryNotWhole {
                    destination: place.name.to_string(),
                    count: checked.problem_count,
                };
                let alert = self.alert(AlertKind::CopyDamaged, Severity::Error, told);
                self.holds(at(place, alert));
            }
        }
        Ok(())
    }

    /// What runs and canaries last showed of each destination: the newest word counts.
    async fn places(
        &mut self,
        destinations: &[Destination],
        runs: &HashMap<AppId, Run>,
    ) -> Result<(), EngineError> {
        let runs: Vec<&Run> = runs.values().collect();
        let horizon = self.horizon();
        let mut newest: BTreeMap<DestinationId, (Timestamp, Word)> = BTreeMap::new();
        let mut learn = |id: DestinationId, at: Timestamp, word: Word| {
            let known = newest.get(&id).is_some_and(|(known, _)| *known >= at);
            if !known && at <= horizon {
                newest.insert(id, (at, word));
            }
        };
        for found in self.engine.0.catalog.evidence_of_places(&runs).await? {
            let word = match &found.failure {
                None => Word::Well,
                Some(failure) => {
                    let Some(kind) = kind_of(failure.code) else { continue };
                    let run = runs.iter().find(|run| run.id == found.run_id);
                    let app = run.and_then(|run| run.app_id);
                    let again = |one: &Run| one.kind == RunKind::Backup && one.app_id == app;
                    if self.active.iter().any(again) {
                        Word::Unclear
                    } else {
                        Word::Wrong(kind, failure.clone().into(), Some(found.run_id))
                    }
                }
            };
            learn(found.destination_id, found.at, word);
        }
        for one in destinations {
            let Some(check) = &one.last_check else { continue };
            let word = match check.wrong() {
                None => Word::Well,
                Some(why) => Word::Wrong(AlertKind::DestinationUnreachable, why, None),
            };
            learn(one.id, check.at, word);
        }
        for one in destinations {
            let Some((_, word)) = newest.remove(&one.id) else { continue };
            match word {
                Word::Well => {}
                Word::Unclear => {
                    for kind in [AlertKind::DestinationFull, AlertKind::DestinationUnreachable] {
                        self.seen.unclear.insert(kind.key(None, Some(one.id)));
                    }
                }
                Word::Wrong(kind, why, run_id) => {
                    let place = one.name.to_string();
                    let told = Fact::At { place, why: why.into() };
                    let alert = self.alert(kind, Severity::Error, told);
                    self.holds(Alert { run_id, ..at(one, alert) });
                }
            }
        }
        Ok(())
    }

    /// The orchestrator's own affairs.
    async fn own(&mut self, destinations: &[Destination]) -> Result<(), EngineError> {
        let engine = self.engine;
        if engine.0.config.catalog_copy_every.is_some() {
            let copies = engine.catalog_copies().await?;
            if let Some(why) = copies.problem {
                let told = Fact::CatalogNotCopied { why };
                let alert = self.alert(AlertKind::CatalogCopyFailed, Severity::Error, told);
                self.holds(alert);
            }
            for one in destinations {
                let problem = copies.places.get(&one.id).and_then(|place| place.problem.clone());
                if let Some(why) = problem {
                    let told = Fact::CatalogCopyGone { why };
                    let alert = self.alert(AlertKind::CatalogCopyFailed, Severity::Error, told);
                    self.holds(at(one, alert));
                }
            }
        }
        if engine.kit_was_missed().await? {
            let alert = self.alert(AlertKind::RecoveryKitDue, Severity::Warning, Fact::KitDue {});
            self.holds(alert);
        }
        if let Some(hold) = engine.recovery_hold().await? {
            let from = Sentence { message: hold.from, fact: hold.fact }.into();
            let told = if hold.schedules {
                Fact::CatalogRebuilt { from }
            } else {
                Fact::CatalogRebuiltHere { from }
            };
            let alert = self.alert(AlertKind::RecoveryHold, Severity::Warning, told);
            self.holds(alert);
        }
        Ok(())
    }
}

/// What was last heard of a destination.
enum Word {
    Well,
    /// Something that goes on will tell.
    Unclear,
    Wrong(AlertKind, Sentence, Option<model::RunId>),
}

/// What a failure says of the destination it happened at.
fn kind_of(code: FailureCode) -> Option<AlertKind> {
    match code {
        FailureCode::DestinationFull => Some(AlertKind::DestinationFull),
        FailureCode::DestinationUnavailable
        | FailureCode::DestinationDenied
        | FailureCode::DestinationConfig => Some(AlertKind::DestinationUnreachable),
        _ => None,
    }
}

fn why(failure: Option<&Failure>) -> Sentence {
    failure.map_or_else(|| Fact::RunEndedBadly {}.into(), |failure| failure.clone().into())
}

/// Whether retention only waits for something that is told by itself.
fn follows_from_another(failure: &Failure) -> bool {
    let mut fact = failure.fact.as_deref();
    while let Some(Fact::At { why, .. } | Fact::Of { why, .. }) = fact {
        fact = why.0.fact.as_ref();
    }
    matches!(
        fact,
        Some(
            Fact::KeptAppendOnly {}
                | Fact::KeptLastFailed {}
                | Fact::KeptAnomalous {}
                | Fact::KeptClock {}
                | Fact::KeptRecovered {}
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_that_waits_for_another_alert_is_none_of_its_own() {
        let refused = |fact: Fact| {
            Failure::new(FailureCode::RetentionRefused, fact)
                .told_in(|why| Fact::At { place: "disk".to_owned(), why })
        };
        assert!(follows_from_another(&refused(Fact::KeptLastFailed {})));
        assert!(!follows_from_another(&refused(Fact::KeptLast {})));
        assert!(!follows_from_another(&Failure::new(FailureCode::Missing, "the list disagrees")));
    }
}
