//! Asking for runs, and stopping them.

use catalog::CancelOutcome;
use jiff::Timestamp;
use model::{App, AppId, DestinationId, Run, RunId, RunKind, SnapshotId, SnapshotKind, Trigger};
use serde::{Deserialize, Serialize};

use super::validate;
use crate::{
    Engine, EngineError,
    run::{backup, restore::left},
};

/// What somebody asks of a run by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunRequest {
    /// Kind of the snapshot; manual unless said otherwise.
    pub kind: Option<SnapshotKind>,
    /// The user's own words about it, one line of at most 200 characters.
    pub label: Option<String>,
    /// Commit of the app's code, 7 to 64 hex digits.
    pub git_commit: Option<String>,
    /// Which deployment it is taken before, in the pipeline's words, one line of at most 200
    /// characters.
    pub deploy: Option<String>,
}

impl Engine {
    /// Queues a run of `app` now. While one by hand is queued already, that one is given
    /// instead of a second.
    pub async fn run_now(&self, app: &App, request: &RunRequest) -> Result<Run, EngineError> {
        self.run_named(app, request, None).await
    }

    /// Queues a run of every enabled app; the names of what they make carry one moment.
    pub async fn run_all(&self, request: &RunRequest) -> Result<Vec<Run>, EngineError> {
        let named_at = Some(self.now());
        let mut runs = Vec::new();
        for app in self.0.catalog.all_apps().await? {
            if app.enabled {
                runs.push(self.run_named(&app, request, named_at).await?);
            }
        }
        Ok(runs)
    }

    async fn run_named(
        &self,
        app: &App,
        request: &RunRequest,
        named_at: Option<Timestamp>,
    ) -> Result<Run, EngineError> {
        if request.kind == Some(SnapshotKind::Base) {
            return self.queue_base(app.id).await;
        }
        let label = validate::line("label", request.label.as_deref(), 200)?;
        let git_commit = validate::commit("git_commit", request.git_commit.as_deref())?;
        let deploy = validate::line("deploy", request.deploy.as_deref(), 200)?;
        let snapshot_kind = request.kind.unwrap_or(SnapshotKind::Manual);
        let waiting = self.0.catalog.active_runs().await?.into_iter().find(|run| {
            run.app_id == Some(app.id)
                && run.kind == RunKind::Backup
                && run.trigger == Trigger::Manual
                && run.state == model::RunState::Queued
                && run.label == label
                && run.git_commit == git_commit
                && run.deploy == deploy
                && run.snapshot_kind == snapshot_kind
                && !run.cancel_requested
        });
        if let Some(waiting) = waiting {
            return Ok(waiting);
        }
        let run = Run {
            snapshot_kind,
            label,
            git_commit,
            deploy,
            named_at,
            ..self.queued(Some(app.id), RunKind::Backup)
        };
        self.queue(run).await
    }

    /// Queues a verification of a snapshot, at one destination or at all that hold it.
    pub async fn verify_now(
        &self,
        snapshot: SnapshotId,
        destination: Option<DestinationId>,
    ) -> Result<Run, EngineError> {
        let snapshot = self.0.catalog.snapshot(snapshot).await?;
        let run = Run {
            snapshot_id: Some(snapshot.id),
            destination_id: destination,
            ..self.queued(Some(snapshot.app_id), RunKind::Verify)
        };
        self.queue(run).await
    }

    /// Queues a verification of every snapshot that has a copy at `destination`.
    pub async fn verify_destination(
        &self,
        destination: DestinationId,
    ) -> Result<Vec<Run>, EngineError> {
        let mut runs = Vec::new();
        for snapshot in self.0.catalog.snapshots_at(destination).await? {
            runs.push(self.verify_now(snapshot.id, Some(destination)).await?);
        }
        Ok(runs)
    }

    /// Queues bringing a copy of a snapshot to a destination that has none.
    pub async fn copy_now(
        &self,
        snapshot: SnapshotId,
        to: DestinationId,
    ) -> Result<Run, EngineError> {
        let snapshot = self.0.catalog.snapshot(snapshot).await?;
        let destination = self.0.catalog.destination(to).await?;
        let run = Run {
            snapshot_id: Some(snapshot.id),
            destination_id: Some(destination.id),
            ..self.queued(Some(snapshot.app_id), RunKind::Copy)
        };
        self.queue(run).await
    }

    /// Queues retention of an app.
    pub async fn expire_now(&self, app: AppId) -> Result<Run, EngineError> {
        self.queue(self.queued(Some(app), RunKind::Expire)).await
    }

    /// Asks a run to stop. One that waits ends at once, one under way soon after.
    pub async fn cancel(&self, run: RunId) -> Result<CancelOutcome, EngineError> {
        let id = self.new_id(model::EventId::generate);
        // What the earlier tries of a restore have made is not forgotten with the next one.
        let waiting = self.0.catalog.run(run).await?;
        let clearing = left::of_waiting(self, &waiting).await?;
        let outcome = self.0.catalog.cancel(run, self.now(), id, clearing.as_ref()).await?;
        self.0.queue_bell.notify_one();
        Ok(outcome)
    }

    fn queued(&self, app: Option<AppId>, kind: RunKind) -> Run {
        backup::queued(self.new_id(RunId::generate), app, kind, Trigger::Manual, self.now())
    }
}
