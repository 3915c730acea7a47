//! Asking for drills, and saying what they are to do.

use model::{
    App, AppId, DrillPlan, DrillReport, Run, RunId, RunKind, Snapshot, SnapshotId, Trigger,
};

use super::managed::refuse_if_managed;
use crate::{Engine, EngineError, FieldError, run::backup};

/// Most questions and commands of one app.
const MAX_CHECKS: usize = 100;

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
        let mut errors = Vec::new();
        if plan.questions.len() + plan.commands.len() > MAX_CHECKS {
            let message = format!("at most {MAX_CHECKS} questions and commands");
            errors.push(FieldError::new("questions", message));
        }
        for (n, question) in plan.questions.iter().enumerate() {
            if question.sql.trim().is_empty() || question.sql.contains('\0') {
                errors.push(FieldError::new(format!("questions[{n}].sql"), "a query"));
            }
        }
        for (n, command) in plan.commands.iter().enumerate() {
            if command.argv.is_empty() || command.argv.iter().any(|word| word.contains('\0')) {
                let message = "a program and its arguments";
                errors.push(FieldError::new(format!("commands[{n}].argv"), message));
            }
        }
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
