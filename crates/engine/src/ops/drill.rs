//! Asking for drills, and saying what they are to do.

use jiff::Timestamp;
use model::{
    App, AppId, DrillBoot, DrillPlan, DrillReport, Fact, Name, Proof, Run, RunId, RunKind,
    RunState, Snapshot, SnapshotId, Trigger,
};
use serde::Serialize;

use super::{managed::refuse_if_managed, overview::proof};
use crate::{Engine, EngineError, FieldError, run::backup};

/// Most questions and commands of one app.
const MAX_CHECKS: usize = 100;
/// Longest that an app may take to answer.
const MAX_BOOT_SECS: u64 = 3_600;

/// How the drills of an app stand.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillStanding {
    /// The app.
    pub app: Name,
    /// Whether its schedules run.
    pub enabled: bool,
    /// Whether there is a good snapshot to try.
    pub has_snapshot: bool,
    /// The last drill that ended.
    pub last: Option<Run>,
    /// The last drill that proved that a snapshot can come back.
    pub proven: Option<Proof>,
    /// When the next one is due, or was; `None` where it is only drilled when asked.
    pub next_due: Option<Timestamp>,
}

impl DrillStanding {
    /// Whether the last drill proved nothing.
    pub fn has_failed(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.state != RunState::Succeeded)
    }

    /// Never proven, failed lately, proven longest ago; what is disabled last.
    fn order(&self) -> (bool, u8, Option<Timestamp>, String) {
        let group = match (&self.proven, self.has_failed()) {
            (None, _) => 0,
            (Some(_), true) => 1,
            (Some(_), false) => 2,
        };
        let name = self.app.as_str().to_lowercase();
        (!self.enabled, group, self.proven.as_ref().map(|proof| proof.at), name)
    }
}

impl Engine {
    /// How the drills of all apps stand: those that were never proven to come back first, then those
    /// whose last drill failed, then those that were proven longest ago; disabled apps last.
    pub async fn drills(&self) -> Result<Vec<DrillStanding>, EngineError> {
        let (catalog, now) = (&self.0.catalog, self.now());
        let apps = catalog.all_apps().await?;
        let ids: Vec<AppId> = apps.iter().map(|app| app.id).collect();
        let mut last = catalog.last_drills(&ids, false).await?;
        let proven = catalog.last_drills(&ids, true).await?;
        let good = catalog.last_good_snapshots(&ids).await?;
        let asked = catalog.last_drills_asked(now).await?;
        let mut all: Vec<_> = apps
            .into_iter()
            .map(|app| DrillStanding {
                has_snapshot: good.contains_key(&app.id),
                last: last.remove(&app.id),
                proven: proven.get(&app.id).and_then(proof),
                next_due: next_due(&app, asked.get(&app.id).copied(), now),
                enabled: app.enabled,
                app: app.name,
            })
            .collect();
        all.sort_by_cached_key(DrillStanding::order);
        Ok(all)
    }

    /// Queues a drill of an app's newest good snapshot.
    pub async fn drill_app(&self, app: &App) -> Result<Run, EngineError> {
        let last = self.0.catalog.last_good_snapshots(&[app.id]).await?;
        let snapshot = last
            .get(&app.id)
            .ok_or_else(|| EngineError::refused(Fact::NoGoodToTry { app: app.name.to_string() }))?;
        self.queue(self.drill_of(snapshot, Trigger::Manual)).await
    }

    /// Queues a drill of one snapshot.
    pub async fn drill_snapshot(&self, id: SnapshotId) -> Result<Run, EngineError> {
        let snapshot = self.0.catalog.snapshot(id).await?;
        self.queue(self.drill_of(&snapshot, Trigger::Manual)).await
    }

    /// What came of a drill, as far as it is.
    pub async fn drill_report(&self, run: RunId) -> Result<Option<DrillReport>, EngineError> {
        Ok(self.0.catalog.report(run).await?)
    }

    /// Says what an app's drills are to do.
    pub async fn plan_drills(
        &self,
        app: AppId,
        version: i64,
        plan: DrillPlan,
    ) -> Result<App, EngineError> {
        let current = self.0.catalog.app(app).await?;
        refuse_if_managed(&current.name, current.managed_by)?;
        let mut errors = check_plan(&plan, "");
        if !plan.commands.is_empty() && !self.0.config.drill_commands {
            errors.push(FieldError::new("commands", Fact::CommandsOff {}));
        }
        if !errors.is_empty() {
            return Err(EngineError::Invalid(errors));
        }
        let next = App { drill: plan, version, ..current };
        Ok(self.0.catalog.update_app(&next, self.now()).await?)
    }

    pub(crate) fn drill_of(&self, snapshot: &Snapshot, trigger: Trigger) -> Run {
        let id = self.new_id(RunId::generate);
        Run {
            snapshot_id: Some(snapshot.id),
            ..backup::queued(id, Some(snapshot.app_id), RunKind::Drill, trigger, self.now())
        }
    }
}

/// When a drill is due by an app's own schedule: one that fired since a drill was `asked` for is due
/// still, where it is caught up with.
fn next_due(app: &App, asked: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let schedule = app.drill.schedule.as_ref().filter(|_| app.enabled)?;
    let missed = schedule.due(asked.unwrap_or(app.updated_at), now);
    let missed = missed.filter(|_| schedule.catch_up).map(|fire| fire.fire_at);
    missed.or_else(|| schedule.next_after(now))
}

/// What is wrong with a plan; fields are named below `at`.
pub(super) fn check_plan(plan: &DrillPlan, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if plan.questions.len() + plan.commands.len() > MAX_CHECKS {
        let most = Fact::AtMostChecks { count: MAX_CHECKS as u64 };
        errors.push(FieldError::new(format!("{at}questions"), most));
    }
    for (n, question) in plan.questions.iter().enumerate() {
        if question.sql.trim().is_empty() || question.sql.contains('\0') {
            errors.push(FieldError::new(format!("{at}questions[{n}].sql"), Fact::AQuery {}));
        }
    }
    for (n, command) in plan.commands.iter().enumerate() {
        if command.argv.is_empty() || command.argv.iter().any(|word| word.contains('\0')) {
            let field = format!("{at}commands[{n}].argv");
            errors.push(FieldError::new(field, Fact::ProgramAndArguments {}));
        }
    }
    errors.extend(plan.boot.iter().flat_map(|boot| check_boot(boot, at)));
    errors
}

fn check_boot(boot: &DrillBoot, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |is_wrong: bool, field: &str, what: Fact| {
        if is_wrong {
            errors.push(FieldError::new(format!("{at}boot.{field}"), what));
        }
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let container = &boot.container;
    let is_container = !container.is_empty() && container.chars().all(is_name);
    wrong(!is_container, "container", Fact::AContainer {});
    let path = boot.path.as_deref().unwrap_or("/");
    let is_path = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic());
    wrong(!is_path, "path", Fact::PathFromRoot {});
    wrong(boot.port == Some(0), "port", Fact::APort {});
    let is_status = boot.status.is_none_or(|status| (100..600).contains(&status));
    wrong(!is_status, "status", Fact::AStatus {});
    let is_time = boot.timeout_secs.is_none_or(|secs| (1..=MAX_BOOT_SECS).contains(&secs));
    wrong(!is_time, "timeout_secs", Fact::BootSeconds {});
    let user = boot.user.as_deref().unwrap_or("user");
    wrong(user.is_empty() || user.chars().any(char::is_control), "user", Fact::AUser {});
    errors
}
