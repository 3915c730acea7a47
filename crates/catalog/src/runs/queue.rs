//! Into the queue, and out of it before anybody took it.

use jiff::{SignedDuration, Timestamp};
use model::{
    Event, EventId, EventKind, Fact, Run, RunId, RunKind, RunState, Severity, SnapshotKind,
};
use sea_orm::ConnectionTrait;

use super::{COLUMNS, CancelOutcome, Enqueued, read};
use crate::{
    Catalog, CatalogError,
    sql::{execute, json, micros, row},
};

impl Catalog {
    /// Queues a run; of a fire, once.
    pub async fn enqueue(&self, run: &Run) -> Result<Enqueued, CatalogError> {
        let write = self.write().await?;
        let enqueued = insert_run(&write.tx, run).await?;
        write.commit().await?;
        Ok(enqueued)
    }

    /// Lets runs start that a clock far ahead of `now` has put off; no wait of ours is as long
    /// as two days.
    pub async fn start_what_waits_too_long(&self, now: Timestamp) -> Result<(), CatalogError> {
        let limit = now.saturating_add(SignedDuration::from_hours(48)).unwrap_or(Timestamp::MAX);
        let write = self.write().await?;
        let update = "UPDATE run SET not_before = $1 WHERE state = 'queued' AND not_before > $2";
        execute(&write.tx, update, vec![micros(now).into(), micros(limit).into()]).await?;
        write.commit().await
    }

    /// Stops a run: one that waits ends at once, told by the event `event_id`, and `follow_up` is
    /// queued in its stead; one under way is asked to.
    pub async fn cancel(
        &self,
        id: RunId,
        now: Timestamp,
        event_id: EventId,
        follow_up: Option<&Run>,
    ) -> Result<CancelOutcome, CatalogError> {
        let write = self.write().await?;
        let select = format!("SELECT {COLUMNS} FROM run WHERE id = $1");
        let found = row(&write.tx, &select, vec![id.to_string().into()]).await?;
        let mut run = read(&found.ok_or_else(|| CatalogError::not_found("run", id))?)?;
        let outcome = match run.state {
            RunState::Queued => {
                run.state = RunState::Cancelled;
                run.finished_at = Some(now);
                let update = "UPDATE run SET state = 'cancelled', cancel_requested = 1, finished_at = $1, doc = $2 WHERE id = $3 AND state = 'queued'";
                let values = vec![micros(now).into(), json(&run)?.into(), id.to_string().into()];
                if execute(&write.tx, update, values).await?.rows_affected() == 0 {
                    return Err(CatalogError::Stale { name: id.to_string() });
                }
                let event = Event {
                    id: event_id,
                    at: now,
                    kind: EventKind::RunCancelled,
                    severity: Severity::Info,
                    app_id: run.app_id,
                    run_id: Some(id),
                    snapshot_id: None,
                    destination_id: None,
                    sentence: Fact::CancelledBefore {}.into(),
                };
                crate::events::insert(&write.tx, &[event]).await?;
                if let Some(follow_up) = follow_up {
                    insert_run(&write.tx, follow_up).await?;
                }
                CancelOutcome::CancelledNow
            }
            RunState::Running => {
                let update = "UPDATE run SET cancel_requested = 1 WHERE id = $1";
                execute(&write.tx, update, vec![id.to_string().into()]).await?;
                CancelOutcome::Requested
            }
            _ => CancelOutcome::AlreadyEnded,
        };
        write.commit().await?;
        Ok(outcome)
    }
}

/// The kind by which a run is looked for. One that makes a base backup says nothing of whether its
/// app is backed up, so it is none of those.
fn sought(run: &Run) -> String {
    match (run.kind, run.snapshot_kind) {
        (RunKind::Backup, SnapshotKind::Base) => SnapshotKind::Base.to_string(),
        (kind, _) => kind.to_string(),
    }
}

pub(crate) async fn insert_run<C: ConnectionTrait>(
    on: &C,
    run: &Run,
) -> Result<Enqueued, CatalogError> {
    let insert = "INSERT INTO run (id, app_id, kind, state, attempt, fire_at, snapshot_id, not_before, queued_at, cancel_requested, lease_token, stage, bytes_read, doc) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10, 0, $11) ON CONFLICT DO NOTHING";
    let values = vec![
        run.id.to_string().into(),
        run.app_id.map(|id| id.to_string()).into(),
        sought(run).into(),
        run.state.to_string().into(),
        i64::from(run.attempt).into(),
        run.fire_at.map(micros).into(),
        run.snapshot_id.map(|id| id.to_string()).into(),
        micros(run.not_before).into(),
        micros(run.queued_at).into(),
        run.stage.to_string().into(),
        json(run)?.into(),
    ];
    let new = execute(on, insert, values).await?.rows_affected() == 1;
    Ok(if new { Enqueued::New } else { Enqueued::Duplicate })
}
