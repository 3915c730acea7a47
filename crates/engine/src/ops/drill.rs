//! Asking for drills, and saying what they are to do.

use model::{
    App, AppId, DrillBoot, DrillPlan, DrillReport, Run, RunId, RunKind, Snapshot, SnapshotId,
    Trigger,
};

use super::managed::refuse_if_managed;
use crate::{Engine, EngineError, FieldError, run::backup};

/// Most questions and commands of one app.
const MAX_CHECKS: usize = 100;
/// Longest that an app may take to answer.
const MAX_BOOT_SECS: u64 = 3_600;

impl Engine {
    /// Queues a drill of an app's newest good snapshot.
    pub async fn drill_app(&self, app: &App) -> Result<Run, EngineError> {
        let last = self.0.catalog.last_good_snapshots(&[app.id]).await?;
        let snapshot = last.get(&app.id).ok_or_else(|| {
            EngineError::Refused(format!(
                "`{}` has no good snapshot to try: back it up first",
                app.name
            ))
        })?;
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
            let message = model::Fact::CommandsOff {}.to_string();
            errors.push(FieldError::new("commands", message));
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

/// What is wrong with a plan; fields are named below `at`.
pub(super) fn check_plan(plan: &DrillPlan, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if plan.questions.len() + plan.commands.len() > MAX_CHECKS {
        let message = format!("at most {MAX_CHECKS} questions and commands");
        errors.push(FieldError::new(format!("{at}questions"), message));
    }
    for (n, question) in plan.questions.iter().enumerate() {
        if question.sql.trim().is_empty() || question.sql.contains('\0') {
            errors.push(FieldError::new(format!("{at}questions[{n}].sql"), "a query"));
        }
    }
    for (n, command) in plan.commands.iter().enumerate() {
        if command.argv.is_empty() || command.argv.iter().any(|word| word.contains('\0')) {
            let message = "a program and its arguments";
            errors.push(FieldError::new(format!("{at}commands[{n}].argv"), message));
        }
    }
    errors.extend(plan.boot.iter().flat_map(|boot| check_boot(boot, at)));
    errors
}

fn check_boot(boot: &DrillBoot, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |is_wrong: bool, field: &str, message: &str| {
        if is_wrong {
            errors.push(FieldError::new(format!("{at}boot.{field}"), message));
        }
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let container = &boot.container;
    wrong(container.is_empty() || !container.chars().all(is_name), "container", "a container");
    let path = boot.path.as_deref().unwrap_or("/");
    let is_path = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic());
    wrong(!is_path, "path", "a path that begins with / and has no spaces");
    wrong(boot.port == Some(0), "port", "a port, from 1 to 65535");
    let is_status = boot.status.is_none_or(|status| (100..600).contains(&status));
    wrong(!is_status, "status", "a status, from 100 to 599");
    let is_time = boot.timeout_secs.is_none_or(|secs| (1..=MAX_BOOT_SECS).contains(&secs));
    wrong(!is_time, "timeout_secs", "seconds, from 1 to 3600");
    let user = boot.user.as_deref().unwrap_or("user");
    wrong(user.is_empty() || user.chars().any(char::is_control), "user", "a user");
    errors
}
