//! What keeps a repository sound: looking whether it is whole, and freeing what nothing needs.

use model::{Destination, Failure, FailureCode, Stage, Trigger};
use repository::{CheckOptions, Checked, FileKind, Id, Objects, PruneOptions, Pruned, ReadData};
use store::{Key, StoreError};

use super::{Outcome, RunContext, failure};
use crate::{
    repositories::{
        RepositoryCheck, RepositoryFreed, RepositoryLocked, RepositoryState, RepositoryStatistics,
        apart, told as told_of,
    },
    stores::object_lock,
};

/// How many problems are told.
const MAX_TOLD: usize = 20;

/// Looks whether the run's repository is whole.
pub(crate) async fn check(context: &RunContext) -> Outcome {
    let checked = check_it(context).await;
    // Whatever the check found: what is there stays there.
    let prolonged = prolong(context).await;
    ended(context, checked.and(prolonged))
}

/// Frees what nothing in the run's repository needs.
pub(crate) async fn free(context: &RunContext) -> Outcome {
    let prolonged = match prolong(context).await {
        // Whoever wants the run to end wants nothing freed either.
        Err(failure) if context.stop_reason().is_some() => return ended(context, Err(failure)),
        other => other,
    };
    let freed = free_it(context).await;
    ended(context, freed.and(prolonged))
}

fn ended(context: &RunContext, done: Result<(), Failure>) -> Outcome {
    match done {
        Ok(()) => Outcome::succeeded(),
        Err(failure) => {
            context.journal.error(&failure.message);
            Outcome::failed(failure)
        }
    }
}

async fn open(context: &RunContext) -> Result<(Destination, Objects), Failure> {
    let id = context
        .run
        .destination_id
        .ok_or_else(|| Failure::new(FailureCode::Internal, "this run must name its destination"))?;
    let catalog = &context.engine.0.catalog;
    let destination = catalog.destination(id).await.map_err(|e| failure::of_catalog(&e))?;
    let objects = context.engine.repository_at(&destination).await;
    Ok((destination, objects.map_err(|error| failure::of_engine(&error))?))
}

async fn check_it(context: &RunContext) -> Result<(), Failure> {
    let (destination, objects) = open(context).await?;
    context.journal.enter(Stage::Check).await.map_err(|e| failure::of_catalog(&e))?;
    let (ids, absent) = expected(context, &destination, &objects).await?;
    let read_data = if context.run.read_data { ReadData::All } else { ReadData::Nothing };
    let expected = ids.into_iter().map(|id| (FileKind::Snapshot, id)).collect();
    let options = CheckOptions { read_data, expected };
    let work = apart(async move || {
        let hold = objects.shared().await?;
        let repository = objects.repository();
        let found = hold.lock().guard(repository.check(&options)).await?;
        Ok((found, repository.statistics().await.ok()))
    });
    let (found, statistics) = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        done = work => done.map_err(|error| failure::of_store(&StoreError::from(error)))?,
    };
    for note in &found.notes {
        context.journal.info(note);
    }
    let now = context.engine.now();
    let told = told(&found, &absent, (now, context.run.read_data));
    for problem in &told.problems {
        context.journal.error(problem);
    }
    for step in &told.advice {
        context.journal.warn(step);
    }
    let problems = told.problems.clone();
    note(context, &destination, |state| {
        state.statistics =
            statistics.map(|of| RepositoryStatistics::new(now, &of)).or(state.statistics);
        state.checked = Some(told);
    })
    .await?;
    if problems.is_empty() {
        let how = if context.run.read_data { "every byte is right" } else { "nothing is missing" };
        context.journal.info(format!("{}: {} packs, {how}", destination.name, found.packs));
        return Ok(());
    }
    let count = found.problem_count + absent.len() as u64;
    Err(Failure::new(
        FailureCode::Damaged,
        format!(
            "{count} problems in the repository, the first: {}; verify the snapshots at `{}` to \
             learn which of them are hurt",
            problems[0], destination.name
        ),
    ))
}

fn told(
    found: &Checked,
    absent: &[Key],
    (at, read_data): (jiff::Timestamp, bool),
) -> RepositoryCheck {
    let gone = absent.iter().map(|key| format!("{key}: its snapshot is not there"));
    let wrong = found.problems.iter().map(|problem| format!("{}: {}", problem.about, problem.what));
    RepositoryCheck {
        at,
        read_data,
        packs: found.packs,
        bytes_read: found.bytes_read,
        problem_count: found.problem_count + absent.len() as u64,
        problems: gone.chain(wrong).take(MAX_TOLD).collect(),
        advice: found.advice().into_iter().map(str::to_owned).collect(),
    }
}

async fn free_it(context: &RunContext) -> Result<(), Failure> {
    let (destination, objects) = open(context).await?;
    if destination.append_only {
        return Err(Failure::new(
            FailureCode::DestinationConfig,
            format!("`{}` is append-only: nothing is deleted there", destination.name),
        ));
    }
    context.journal.enter(Stage::Expire).await.map_err(|e| failure::of_catalog(&e))?;
    let (ids, absent) = expected(context, &destination, &objects).await?;
    if let Some(key) = absent.first() {
        return Err(Failure::new(
            FailureCode::Missing,
            format!(
                "{} snapshots that the catalog knows are not in the repository, {key} for one: \
                 nothing is freed before somebody has looked; verify them to record that they are \
                 gone",
                absent.len()
            ),
        ));
    }
    let there = objects.snapshot_ids().await.map_err(|e| failure::of_store(&e.into()))?;
    let of = fingerprint(there);
    let state = context.engine.repository_state(&destination).await;
    let last = state.map_err(|error| failure::of_engine(&error))?.freed;
    let is_same = last.is_some_and(|last| last.of == of && last.marked + last.waiting == 0);
    if is_same && context.run.trigger == Trigger::Schedule {
        context.journal.info("nothing was forgotten since it was last freed");
        let now = context.engine.now();
        return note(context, &destination, move |state| {
            if let Some(freed) = &mut state.freed {
                freed.at = now;
            }
        })
        .await;
    }
    context.check_lease().await?;
    let options = PruneOptions {
        // What is locked goes when its lock has passed.
        grace: context.engine.0.config.repository_grace.max(object_lock::longest(&destination)),
        expected: ids,
        ..PruneOptions::default()
    };
    let work = apart(async move || {
        let alone = objects.alone().await?;
        let repository = objects.repository();
        let pruned = repository.prune(alone.lock(), &options).await;
        alone.release().await?;
        Ok((pruned?, repository.statistics().await.ok()))
    });
    let (pruned, statistics) = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        done = work => done.map_err(|error| failure::of_engine(&told_of(&destination, error)))?,
    };
    let now = context.engine.now();
    context.journal.info(format!(
        "{}: {} packs ({} bytes) were deleted, {} ({} bytes) marked, {} written anew, {} wait",
        destination.name,
        pruned.deleted,
        pruned.deleted_bytes,
        pruned.marked,
        pruned.marked_bytes,
        pruned.rewritten,
        pruned.waiting
    ));
    note(context, &destination, |state| {
        state.statistics =
            statistics.map(|of| RepositoryStatistics::new(now, &of)).or(state.statistics);
        state.freed = Some(freed(now, &pruned, of));
    })
    .await
}

/// Locks what snapshots need for as long as they are, where the storage locks anything.
async fn prolong(context: &RunContext) -> Result<(), Failure> {
    let (destination, objects) = open(context).await?;
    if !object_lock::is_on(&destination) {
        return Ok(());
    }
    let work = apart(async move || {
        let hold = objects.shared().await?;
        hold.lock().guard(objects.repository().prolong_locks()).await
    });
    let told = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        done = work => done.map_err(|error| failure::of_store(&StoreError::from(error)))?,
    };
    let Some(told) = told else { return Ok(()) };
    let until = told.newest_until.map_or_else(|| "-".to_owned(), |until| until.to_string());
    context.journal.info(format!(
        "{}: {} objects are locked, {} of them for longer now; what the newest snapshot needs, \
         until {until}",
        destination.name, told.objects, told.prolonged
    ));
    if told.missing > 0 {
        context.journal.warn(format!(
            "{} of what snapshots need could not be found, and was not locked for longer: check the \
             repository",
            told.missing
        ));
    }
    let locked = RepositoryLocked {
        at: context.engine.now(),
        objects: told.objects,
        prolonged: told.prolonged,
        newest_until: told.newest_until,
        last_until: told.last_until,
    };
    note(context, &destination, |state| state.locked = Some(locked)).await
}

fn freed(at: jiff::Timestamp, pruned: &Pruned, of: String) -> RepositoryFreed {
    RepositoryFreed {
        at,
        deleted: pruned.deleted,
        deleted_bytes: pruned.deleted_bytes,
        marked: pruned.marked,
        marked_bytes: pruned.marked_bytes,
        rewritten: pruned.rewritten,
        waiting: pruned.waiting,
        of,
    }
}

/// One word for a set of snapshots.
fn fingerprint(mut ids: Vec<Id>) -> String {
    ids.sort_unstable();
    let all: Vec<u8> = ids.iter().flat_map(|id| id.to_hex().into_bytes()).collect();
    Id::of(&all).to_hex()
}

/// The snapshots that the catalog knows to be at `destination`, and which of those are not there.
async fn expected(
    context: &RunContext,
    destination: &Destination,
    objects: &Objects,
) -> Result<(Vec<Id>, Vec<Key>), Failure> {
    let catalog = &context.engine.0.catalog;
    let held = catalog.snapshots_at(destination.id).await.map_err(|e| failure::of_catalog(&e))?;
    let believed = held
        .iter()
        .flat_map(|snapshot| &snapshot.copies)
        .filter(|copy| copy.destination_id == destination.id && copy.state.is_restorable());
    let names = believed
        .flat_map(|copy| copy.objects.iter().map(|object| &object.key).chain([&copy.manifest_key]));
    let keys: Vec<_> = names.filter_map(|name| Key::new(name).ok()).collect();
    objects.snapshots_of(&keys).await.map_err(|error| failure::of_store(&error.into()))
}

async fn note(
    context: &RunContext,
    destination: &Destination,
    change: impl FnOnce(&mut RepositoryState) + Send,
) -> Result<(), Failure> {
    context.check_lease().await?;
    let noted = context.engine.note_repository(destination, change).await;
    noted.map_err(|error| failure::of_engine(&error))
}
