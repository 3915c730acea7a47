//! Applies retention: plan, record, mark, and delete what was marked long enough ago.
//!
//! Two phases with a grace period between them. A copy is deleted only when a plan said so, the
//! plan was recorded, the grace period passed, a new plan says so still, the destination's own
//! listing agrees with the catalog, and nobody pinned or uses the snapshot meanwhile.

use std::collections::{BTreeSet, HashSet};

use catalog::{CatalogError, CopyUpdate, PlanRecord};
use futures::TryStreamExt as _;
use jiff::SignedDuration;
use model::{
    App, Binding, CopyState, Destination, Event, EventId, EventKind, Fact, Failure, FailureCode,
    PlanId, RunState, Sentence, Severity, Snapshot, SnapshotId, Stage, StoredCopy,
    retention::{RetentionPlan, Verdict},
};
use store::{Key, Prefix, Store};

use super::{Outcome, RunContext, failure};
use crate::{
    ops::retention,
    timekeeping::{self, Timekeeping},
};

/// Applies the retention policies of the run's app, destination by destination.
pub(crate) async fn expire(context: &RunContext) -> Outcome {
    let mut outcome = Outcome::succeeded();
    if let Err(failure) = apply(context, &mut outcome).await {
        context.journal.error(&failure.message);
        outcome.state = Some(RunState::Failed);
        outcome.failure = Some(failure);
    }
    outcome
}

async fn apply(context: &RunContext, outcome: &mut Outcome) -> Result<(), Failure> {
    let app = context.app().await?;
    context.journal.enter(Stage::Expire).await.map_err(|error| failure::of_catalog(&error))?;
    let mut failures = Vec::new();
    for binding in &app.destinations {
        context.check_lease().await?;
        let destination = context
            .engine
            .0
            .catalog
            .destination(binding.destination_id)
            .await
            .map_err(|error| failure::of_catalog(&error))?;
        match apply_at(context, &app, binding, &destination, outcome).await {
            Ok(()) => {}
            Err(failure)
                if matches!(
                    failure.code,
                    FailureCode::Interrupted | FailureCode::Cancelled | FailureCode::Catalog
                ) =>
            {
                return Err(failure);
            }
            Err(failure) => {
                let place = destination.name.to_string();
                let failure = failure.told_in(|why| Fact::At { place, why });
                outcome.events.push(event(
                    context,
                    EventKind::RetentionRefused,
                    Severity::Warning,
                    binding,
                    failure.clone(),
                ));
                failures.push(failure);
            }
        }
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

async fn apply_at(
    context: &RunContext,
    app: &App,
    binding: &Binding,
    destination: &Destination,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    if destination.append_only {
        context.journal.info(format!("{}: append-only, nothing is expired", destination.name));
        return Ok(());
    }
    let engine = &context.engine;
    let snapshots = engine
        .0
        .catalog
        .snapshots_of_app(app.id)
        .await
        .map_err(|error| failure::of_catalog(&error))?;
    let plan =
        retention::plan_for(engine, app, (binding, destination), &snapshots, Some(context.run.id))
            .await
            .map_err(|error| failure::of_engine(&error))?;
    if let Some(refusal) = &plan.refusal {
        return Err(Failure::new(FailureCode::RetentionRefused, Fact::from(*refusal)));
    }
    let changes = changes(&plan, &snapshots, binding);
    let unfinished = in_state(&snapshots, binding, CopyState::Deleting);
    if changes.is_empty() && unfinished.is_empty() {
        context.journal.info(format!("{}: nothing to expire", destination.name));
        return Ok(());
    }

    let store =
        engine.0.store_for(destination).await.map_err(|error| failure::of_engine(&error))?;
    let listed = list(store.as_ref(), binding).await?;
    agree(&snapshots, binding, &listed)?;
    let record = PlanRecord {
        id: engine.new_id(PlanId::generate),
        at: engine.now(),
        app_id: app.id,
        destination_id: destination.id,
        run_id: Some(context.run.id),
        plan_json: serde_json::to_string(&plan).unwrap_or_default(),
    };
    engine.0.catalog.record_plan(&record).await.map_err(|error| failure::of_catalog(&error))?;

    let clock = timekeeping::look(engine).await.map_err(|error| failure::of_engine(&error))?;
    let mut deleted = 0_usize;
    for (snapshot, copy) in unfinished {
        delete_copy(context, store.as_ref(), binding, snapshot, copy).await?;
        deleted += 1;
    }
    for change in &changes {
        context.check_lease().await?;
        if carry_out(context, store.as_ref(), (binding, destination), &clock, change).await? {
            deleted += 1;
        }
    }
    engine
        .0
        .catalog
        .finish_plan(record.id, engine.now(), &format!("{{\"deleted\":{deleted}}}"))
        .await
        .map_err(|error| failure::of_catalog(&error))?;
    if deleted > 0 {
        let expired = Fact::ExpiredAt {
            count: deleted as u64,
            app: app.name.to_string(),
            destination: destination.name.to_string(),
        };
        outcome.events.push(event(
            context,
            EventKind::SnapshotsExpired,
            Severity::Info,
            binding,
            expired,
        ));
    }
    Ok(())
}

/// A copy whose state a plan changes.
struct Change<'a> {
    snapshot: &'a Snapshot,
    copy: &'a StoredCopy,
    verdict: Verdict,
}

/// What differs between the plan and how copies are marked now.
fn changes<'a>(
    plan: &RetentionPlan,
    snapshots: &'a [Snapshot],
    binding: &Binding,
) -> Vec<Change<'a>> {
    plan.decisions
        .iter()
        .filter_map(|decision| {
            let snapshot = snapshots.iter().find(|one| one.id == decision.id)?;
            let copy = copy_at(snapshot, binding)?;
            let acts = match decision.verdict {
                Verdict::Keep => {
                    copy.state == CopyState::Expiring
                        || copy.expiring_since.is_some() && is_bad(copy)
                }
                Verdict::Expire => !matches!(copy.state, CopyState::Deleting | CopyState::Expired),
            };
            acts.then_some(Change { snapshot, copy, verdict: decision.verdict })
        })
        .collect()
}

/// Marks, unmarks or deletes one copy; tells whether it was deleted.
async fn carry_out(
    context: &RunContext,
    store: &dyn Store,
    (binding, destination): (&Binding, &Destination),
    clock: &Timekeeping,
    change: &Change<'_>,
) -> Result<bool, Failure> {
    let engine = &context.engine;
    let now = engine.now();
    let Change { snapshot, copy, verdict } = change;
    let mark = |state, expiring_since| CopyUpdate {
        snapshot_id: snapshot.id,
        destination_id: copy.destination_id,
        state,
        verified_at: copy.verified_at,
        expiring_since,
    };
    // A mark in the future is of a clock that was ahead: marked anew, the grace period is whole.
    let since = copy.expiring_since.filter(|since| *since <= now);
    // A copy that is known to be bad stays known as that while it waits.
    let unless_bad = |state| if is_bad(copy) { copy.state } else { state };
    let update = match (verdict, since) {
        (Verdict::Keep, _) => {
            context
                .journal
                .info(format!("{}: {} is kept after all", destination.name, copy.manifest_key));
            mark(unless_bad(CopyState::Good), None)
        }
        (Verdict::Expire, None) => {
            context.journal.info(format!("{}: {} expires", destination.name, copy.manifest_key));
            mark(unless_bad(CopyState::Expiring), Some(now))
        }
        (Verdict::Expire, Some(since)) => {
            let grace = SignedDuration::try_from(engine.0.config.expire_grace)
                .unwrap_or(SignedDuration::MAX);
            if clock.lived(since, now) < grace {
                return Ok(false);
            }
            return begin_and_delete(context, store, binding, snapshot, copy).await;
        }
    };
    engine
        .0
        .catalog
        .update_copy(context.run.id, context.lease_token, &update)
        .await
        .map_err(|error| failure::of_catalog(&error))?;
    // Without a grace period the second phase follows at once.
    if *verdict == Verdict::Expire && engine.0.config.expire_grace.is_zero() {
        return begin_and_delete(context, store, binding, snapshot, copy).await;
    }
    Ok(false)
}

/// The point of no return, taken in one transaction that fails if somebody pinned or uses it.
async fn begin_and_delete(
    context: &RunContext,
    store: &dyn Store,
    binding: &Binding,
    snapshot: &Snapshot,
    copy: &StoredCopy,
) -> Result<bool, Failure> {
    let begun = context
        .engine
        .0
        .catalog
        .begin_delete(context.run.id, context.lease_token, snapshot.id, copy.destination_id)
        .await;
    match begun {
        Ok(()) => {}
        Err(CatalogError::InUse { .. }) => {
            context.journal.info(format!("{} is pinned or in use: skipped", copy.manifest_key));
            return Ok(false);
        }
        Err(error) => return Err(failure::of_catalog(&error)),
    }
    delete_copy(context, store, binding, snapshot, copy).await?;
    Ok(true)
}

/// Deletes exactly what the copy's record names: first the manifest (from then on it is no
/// snapshot), then its objects.
async fn delete_copy(
    context: &RunContext,
    store: &dyn Store,
    binding: &Binding,
    snapshot: &Snapshot,
    copy: &StoredCopy,
) -> Result<(), Failure> {
    let objects = copy.objects.iter().map(|object| &object.key);
    let trees = copy.trees();
    let names =
        std::iter::once(&copy.manifest_key).chain(trees).chain(objects).chain(&copy.log_key);
    for name in names {
        context.check_lease().await?;
        let key = Key::new(name).map_err(|error| {
            Failure::new(FailureCode::Internal, format!("`{name}` is no key: {error}"))
        })?;
        store.delete(&key).await.map_err(|error| failure::of_store(&error))?;
    }
    leave(context, store, binding, copy).await;
    let update = CopyUpdate {
        snapshot_id: snapshot.id,
        destination_id: copy.destination_id,
        state: CopyState::Expired,
        verified_at: copy.verified_at,
        expiring_since: copy.expiring_since,
    };
    context
        .engine
        .0
        .catalog
        .update_copy(context.run.id, context.lease_token, &update)
        .await
        .map_err(|error| failure::of_catalog(&error))?;
    context.journal.info(format!("deleted {}", copy.manifest_key));
    Ok(())
}

/// Removes the folders that the copy's name made, where nothing else is in them. What stays does
/// no harm.
async fn leave(context: &RunContext, store: &dyn Store, binding: &Binding, copy: &StoredCopy) {
    let root = binding.folder.trim_matches('/');
    let mut key = copy.manifest_key.as_str();
    while let Some((folder, _)) = key.rsplit_once('/') {
        let is_inside =
            root.is_empty() || folder.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        let Some(prefix) = Prefix::new(folder).ok().filter(|_| is_inside) else { return };
        if let Err(error) = store.remove_empty(&prefix).await {
            context.journal.warn(format!("the folder {folder} stays: {error}"));
            return;
        }
        key = folder;
    }
}

/// Everything under the app's folder. A listing that fails is a failure, never a short list.
async fn list(store: &dyn Store, binding: &Binding) -> Result<HashSet<String>, Failure> {
    let folder = binding.folder.trim_matches('/');
    let prefix = if folder.is_empty() {
        Prefix::root()
    } else {
        Prefix::new(folder).map_err(|error| {
            Failure::new(FailureCode::DestinationConfig, format!("`{folder}`: {error}"))
        })?
    };
    let listing = store.list(&prefix).await.map_err(|error| failure::of_store(&error))?;
    let objects: Vec<_> = listing.try_collect().await.map_err(|error| failure::of_store(&error))?;
    Ok(objects.into_iter().map(|object| object.key.to_string()).collect())
}

/// Refuses to delete where the destination shows less than the catalog believes.
fn agree(
    snapshots: &[Snapshot],
    binding: &Binding,
    listed: &HashSet<String>,
) -> Result<(), Failure> {
    let folder = binding.folder.trim_matches('/');
    let inside = |key: &str| folder.is_empty() || key.starts_with(&format!("{folder}/"));
    let absent: BTreeSet<_> = snapshots
        .iter()
        .filter_map(|snapshot| copy_at(snapshot, binding))
        .filter(|copy| copy.state.is_restorable())
        .flat_map(|copy| {
            std::iter::once(copy.manifest_key.as_str())
                .chain(copy.objects.iter().map(|object| object.key.as_str()))
                .chain(copy.trees().map(String::as_str))
        })
        .filter(|key| inside(key) && !listed.contains(*key))
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = absent.iter().take(3).copied().collect();
    Err(Failure::new(
        FailureCode::RetentionRefused,
        format!(
            "its listing lacks {} objects that should be there ({}): nothing is deleted; verify \
             the snapshots, then run retention again",
            absent.len(),
            shown.join(", ")
        ),
    ))
}

fn is_bad(copy: &StoredCopy) -> bool {
    matches!(copy.state, CopyState::Damaged | CopyState::Missing)
}

fn in_state<'a>(
    snapshots: &'a [Snapshot],
    binding: &Binding,
    state: CopyState,
) -> Vec<(&'a Snapshot, &'a StoredCopy)> {
    snapshots
        .iter()
        .filter_map(|snapshot| Some((snapshot, copy_at(snapshot, binding)?)))
        .filter(|(_, copy)| copy.state == state)
        .collect()
}

fn copy_at<'a>(snapshot: &'a Snapshot, binding: &Binding) -> Option<&'a StoredCopy> {
    snapshot.copies.iter().find(|copy| copy.destination_id == binding.destination_id)
}

fn event(
    context: &RunContext,
    kind: EventKind,
    severity: Severity,
    binding: &Binding,
    sentence: impl Into<Sentence>,
) -> Event {
    Event {
        id: context.engine.new_id(EventId::generate),
        at: context.engine.now(),
        kind,
        severity,
        app_id: context.run.app_id,
        run_id: Some(context.run.id),
        snapshot_id: None::<SnapshotId>,
        destination_id: Some(binding.destination_id),
        sentence: sentence.into(),
    }
}
