//! Re-reads every byte of a snapshot at its destinations and says which copies hold.

use std::sync::Arc;

use artifact::{
    Identities, OpenError,
    manifest::{MAX_SIZE_BYTES, Manifest},
};
use catalog::CopyUpdate;
use model::{
    CopyState, Event, EventId, EventKind, Fact, Failure, FailureCode, RunState, Severity, Snapshot,
    Stage, StoredCopy,
};
use store::Key;

use super::{
    Outcome, RunContext,
    commit::read_small,
    failure,
    plain::{Plain, ReadError},
};
use crate::{keyring, trees};

/// Verifies the run's snapshot, at one destination or at all that hold it.
pub(crate) async fn verify(context: &RunContext) -> Outcome {
    match check_copies(context).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::failed(failure),
    }
}

async fn check_copies(context: &RunContext) -> Result<Outcome, Failure> {
    let id = context.run.snapshot_id.ok_or_else(|| {
        Failure::new(FailureCode::Internal, "a verify run must name its snapshot")
    })?;
    let catalog = &context.engine.0.catalog;
    let snapshot = catalog.snapshot(id).await.map_err(|error| failure::of_catalog(&error))?;
    context.journal.enter(Stage::Check).await.map_err(|error| failure::of_catalog(&error))?;

    let mut outcome = Outcome::succeeded();
    let mut checked = 0_usize;
    let mut failures: Vec<Failure> = Vec::new();
    let copies: Vec<_> = snapshot
        .copies
        .iter()
        .filter(|copy| copy.state != CopyState::Expired)
        .filter(|copy| context.run.destination_id.is_none_or(|only| only == copy.destination_id))
        .collect();
    for copy in copies {
        context.keep_going()?;
        checked += 1;
        let destination = catalog
            .destination(copy.destination_id)
            .await
            .map_err(|error| failure::of_catalog(&error))?;
        context.journal.info(format!("{}: reading {}", destination.name, copy.manifest_key));
        match check_copy(context, &snapshot, copy, &destination).await {
            Ok(checked) => {
                match checked {
                    Checked::Contents => {
                        context.journal.info(format!("{}: every byte is right", destination.name));
                    }
                    Checked::StoredOnly => context.journal.warn(format!(
                        "{}: every stored byte is right; what it decrypts to could not be \
                         checked, for the age identity is not here",
                        destination.name
                    )),
                }
                let state = match copy.state {
                    // Found right again, for example after a mount came back.
                    CopyState::Damaged | CopyState::Missing => CopyState::Good,
                    state => state,
                };
                outcome.copies.push(update(context, &snapshot, copy, state, true));
            }
            Err(failure) => {
                let place = destination.name.to_string();
                let failure = failure.told_in(|why| Fact::At { place, why });
                context.journal.error(&failure.message);
                let verdict = match failure.code {
                    FailureCode::Damaged => Some(CopyState::Damaged),
                    FailureCode::Missing => Some(CopyState::Missing),
                    FailureCode::Cancelled | FailureCode::Interrupted => return Err(failure),
                    _ => None,
                };
                if let Some(state) = verdict {
                    outcome.copies.push(update(context, &snapshot, copy, state, false));
                    outcome.events.push(damage_event(context, &snapshot, copy, &failure));
                }
                failures.push(failure);
            }
        }
    }
    if checked == 0 {
        return Err(Failure::new(
            FailureCode::Missing,
            "this snapshot has no copy to verify at the destination asked for",
        ));
    }
    conclude(&mut outcome, failures, checked);
    Ok(outcome)
}

fn conclude(outcome: &mut Outcome, failures: Vec<Failure>, checked: usize) {
    if failures.is_empty() {
        return;
    }
    outcome.state =
        Some(if failures.len() < checked { RunState::PartiallyFailed } else { RunState::Failed });
    outcome.failure = failures.into_iter().reduce(Failure::and);
}

async fn check_copy(
    context: &RunContext,
    snapshot: &Snapshot,
    copy: &StoredCopy,
    destination: &model::Destination,
) -> Result<Checked, Failure> {
    let identities = if copy.is_encrypted() {
        context.engine.0.identities_of(destination)?
    } else {
        Identities::default()
    };
    let mut locked = None;
    let store = context
        .engine
        .0
        .store_for(destination)
        .await
        .map_err(|error| failure::of_engine(&error))?;
    check_manifest(store.as_ref(), snapshot, copy).await?;
    for artifact in &snapshot.artifacts {
        let mut plain =
            Plain::prove(store.clone(), copy, artifact, &identities).map_err(|e| e.failure())?;
        loop {
            let chunk = tokio::select! {
                biased;
                failure = context.stopped() => return Err(failure),
                chunk = plain.chunk() => chunk,
            };
            match chunk {
                Ok(Some(chunk)) => context.journal.add_bytes(chunk.len()),
                Ok(None) => break,
                // Its stored bytes are right; the others are looked at first.
                Err(ReadError::Open(OpenError::Locked { reason })) => {
                    locked = Some(format!("`{}`: {reason}", artifact.source));
                    break;
                }
                Err(error) => {
                    let what = artifact.source.to_string();
                    return Err(error.failure().told_in(|why| Fact::Of { what, why }));
                }
            }
        }
    }
    check_trees(context, snapshot, copy, destination, &store).await?;
    match locked {
        None => Ok(Checked::Contents),
        Some(_) if identities.is_empty() => Ok(Checked::StoredOnly),
        Some(why) => Err(keyring::locked(
            destination,
            &format!("the stored bytes are right, but the key here is another ({why})"),
        )),
    }
}

/// Compares the copy's trees with their listings.
async fn check_trees(
    context: &RunContext,
    snapshot: &Snapshot,
    copy: &StoredCopy,
    destination: &model::Destination,
    store: &Arc<dyn store::Store>,
) -> Result<(), Failure> {
    for artifact in &snapshot.artifacts {
        let mut objects = copy.objects.iter().filter(|object| object.source == artifact.source);
        let Some(tree) = objects.find_map(|object| object.tree.as_ref()) else { continue };
        let work = trees::Work::of_run(context).await?;
        let told = |bytes| context.journal.add_bytes(usize::try_from(bytes).unwrap_or(0));
        let from = (store, copy, artifact);
        let proving = trees::prove(&context.engine, destination, from, tree, "", &work, told);
        tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            proven = proving => drop(proven?),
        }
    }
    Ok(())
}

/// How far a copy could be checked.
enum Checked {
    /// Down to what the source sent.
    Contents,
    /// The stored bytes, without the key to look inside.
    StoredOnly,
}

/// The manifest must be whole and tell of this very snapshot and these very objects.
async fn check_manifest(
    store: &dyn store::Store,
    snapshot: &Snapshot,
    copy: &StoredCopy,
) -> Result<(), Failure> {
    let damaged = |message: String| Failure::new(FailureCode::Damaged, message);
    let key = Key::new(&copy.manifest_key).map_err(|error| damaged(error.to_string()))?;
    let bytes = read_small(store, &key, MAX_SIZE_BYTES as u64).await.map_err(|error| {
        if error.is_not_found() {
            Failure::new(FailureCode::Missing, error.to_string())
        } else {
            failure::of_store(&error)
        }
    })?;
    let manifest =
        Manifest::from_bytes(&bytes).map_err(|error| damaged(format!("{key}: {error}")))?;
    let same_objects = manifest.artifacts.len() == snapshot.artifacts.len()
        && manifest.artifacts.iter().all(|told| {
            snapshot.artifacts.iter().any(|known| {
                known.source.as_str() == told.source
                    && known.size_bytes == told.plain.size_bytes
                    && known.sha256 == told.plain.sha256.to_string()
            })
        });
    if manifest.snapshot_id != snapshot.id.to_string() || !same_objects {
        return Err(damaged(format!("{key} tells of another snapshot")));
    }
    Ok(())
}

fn update(
    context: &RunContext,
    snapshot: &Snapshot,
    copy: &StoredCopy,
    state: CopyState,
    verified: bool,
) -> CopyUpdate {
    CopyUpdate {
        snapshot_id: snapshot.id,
        destination_id: copy.destination_id,
        state,
        verified_at: if verified { Some(context.engine.now()) } else { copy.verified_at },
        expiring_since: copy.expiring_since.filter(|_| state == CopyState::Expiring),
    }
}

fn damage_event(
    context: &RunContext,
    snapshot: &Snapshot,
    copy: &StoredCopy,
    failure: &Failure,
) -> Event {
    Event {
        id: context.engine.new_id(EventId::generate),
        at: context.engine.now(),
        kind: EventKind::CopyDamaged,
        severity: Severity::Error,
        app_id: Some(snapshot.app_id),
        run_id: Some(context.run.id),
        snapshot_id: Some(snapshot.id),
        destination_id: Some(copy.destination_id),
        sentence: failure.clone().into(),
    }
}
