//! What retention would do: the very plan that an expire run carries out.

use std::collections::HashSet;

use jiff::{Timestamp, tz::TimeZone};
use model::{
    App, Binding, CopyState, Destination, RunId, RunKind, RunState, Snapshot, SnapshotId,
    retention::{CLOCK_TOLERANCE, Candidate, Guards, RetentionPlan, RetentionPolicy, plan},
};
use serde::Serialize;

use crate::{Engine, EngineError, pitr::keep, stores::object_lock, timekeeping};

/// What a policy would do at one destination, for people.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetentionPreview {
    /// Name of the destination.
    pub destination: String,
    /// The policy that holds there.
    pub policy: RetentionPolicy,
    /// The plan, decision by decision, with reasons.
    pub plan: RetentionPlan,
    /// The snapshots it speaks of, newest first.
    pub snapshots: Vec<PreviewedSnapshot>,
}

/// A snapshot in a preview.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewedSnapshot {
    /// Identity.
    pub id: SnapshotId,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Bytes at the destination.
    pub stored_bytes: u64,
    /// How the copy is marked now.
    pub state: CopyState,
    /// When it was marked to expire.
    pub expiring_since: Option<Timestamp>,
}

impl Engine {
    /// What retention would do now, destination by destination; `policy` tries another policy
    /// than the stored ones. Changes nothing.
    pub async fn preview_retention(
        &self,
        app: &App,
        policy: Option<&RetentionPolicy>,
    ) -> Result<Vec<RetentionPreview>, EngineError> {
        let snapshots = self.0.catalog.snapshots_of_app(app.id).await?;
        let mut previews = Vec::with_capacity(app.destinations.len());
        for binding in &app.destinations {
            let binding = match policy {
                Some(policy) => Binding { retention: Some(policy.clone()), ..binding.clone() },
                None => binding.clone(),
            };
            let destination = self.0.catalog.destination(binding.destination_id).await?;
            let plan = plan_for(self, app, (&binding, &destination), &snapshots, None).await?;
            let mut previewed: Vec<_> =
                snapshots.iter().filter_map(|one| previewed(one, &binding)).collect();
            previewed.sort_by_key(|one| std::cmp::Reverse(one.taken_at));
            previews.push(RetentionPreview {
                destination: destination.name.to_string(),
                policy: policy_at(app, &binding).clone(),
                plan,
                snapshots: previewed,
            });
        }
        Ok(previews)
    }
}

fn previewed(snapshot: &Snapshot, binding: &Binding) -> Option<PreviewedSnapshot> {
    let copy = snapshot.copies.iter().find(|c| c.destination_id == binding.destination_id)?;
    (copy.state != CopyState::Expired).then(|| PreviewedSnapshot {
        id: snapshot.id,
        taken_at: snapshot.taken_at,
        stored_bytes: copy.stored_bytes(),
        state: copy.state,
        expiring_since: copy.expiring_since,
    })
}

fn policy_at<'a>(app: &'a App, binding: &'a Binding) -> &'a RetentionPolicy {
    binding.retention.as_ref().unwrap_or(&app.retention)
}

/// The plan of the app's policy at `binding`. `own_run` is the run that asks, which does not
/// count as a use of the snapshots.
pub(crate) async fn plan_for(
    engine: &Engine,
    app: &App,
    (binding, destination): (&Binding, &Destination),
    snapshots: &[Snapshot],
    own_run: Option<RunId>,
) -> Result<RetentionPlan, EngineError> {
    let in_use = engine.0.catalog.snapshots_in_use(own_run).await?;
    let candidates: Vec<_> = snapshots
        .iter()
        .filter(|one| !one.is_base())
        .filter_map(|one| candidate(one, destination, &in_use))
        .collect();
    let guards =
        Guards { append_only: destination.append_only, ..guards(engine, app, snapshots).await? };
    let zone = app.schedule.as_ref().map_or(TimeZone::UTC, |s| s.time_zone.zone());
    let now = engine.now();
    let mut plan = plan(policy_at(app, binding), &candidates, now, &zone, &guards);
    let bases = keep::decide(app, destination, snapshots, &in_use, (now, &guards.jumps));
    plan.refusal = plan.refusal.or_else(|| keep::refusal(&bases, now, &guards));
    plan.decisions.extend(bases);
    Ok(plan)
}

fn candidate(
    snapshot: &Snapshot,
    destination: &Destination,
    in_use: &HashSet<SnapshotId>,
) -> Option<Candidate> {
    let copy = snapshot.copies.iter().find(|c| c.destination_id == destination.id)?;
    let there = !matches!(copy.state, CopyState::Expired | CopyState::Deleting);
    there.then(|| Candidate {
        id: snapshot.id,
        taken_at: snapshot.taken_at,
        pre_deploy: snapshot.kind == model::SnapshotKind::PreDeploy,
        good: matches!(copy.state, CopyState::Good | CopyState::Expiring),
        pinned: snapshot.pinned,
        in_use: in_use.contains(&snapshot.id),
        locked_until: object_lock::until(destination, copy.committed_at),
    })
}

/// Nothing expires after a failed run, or while the newest snapshot looks wrong.
async fn guards(engine: &Engine, app: &App, snapshots: &[Snapshot]) -> Result<Guards, EngineError> {
    let now = engine.now();
    // What is dated in the future neither frees nor blocks: a clock was ahead once.
    let horizon = now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now);
    let last = engine.0.catalog.last_ended_run_until(app.id, RunKind::Backup, horizon).await?;
    let last_run_failed = last.is_some_and(|run| {
        !matches!(run.state, RunState::Succeeded | RunState::PartiallyFailed | RunState::Cancelled)
    });
    let newest = snapshots
        .iter()
        .filter(|snapshot| snapshot.taken_at <= horizon && !snapshot.is_base())
        .max_by_key(|snapshot| snapshot.taken_at);
    let clock = timekeeping::look(engine).await?;
    Ok(Guards {
        append_only: false,
        last_run_failed,
        newest_is_anomalous: newest.is_some_and(|snapshot| snapshot.anomalous),
        recovered: engine.recovery_hold().await?.is_some(),
        clock_jumped_at: clock.jumped_at,
        jumps: clock.jumps,
    })
}
