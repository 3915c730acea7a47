//! Brings a snapshot's copy from a destination that has it to one that has not.

use std::sync::Arc;

use artifact::{Digest, Sha256, manifest::Manifest};
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::SignedDuration;
use model::{
    App, Binding, CopyState, DestinationId, Failure, FailureCode, Run, RunId, RunKind, Snapshot,
    Stage, StoredCopy, StoredObject, Trigger,
};
use store::{Key, Store};

use super::{
    Outcome, RunContext, backup,
    commit::{put, read_small},
    failure,
    upload::Sending,
};

/// Wait before a missing copy is brought, so that a passing fault can pass.
const HEAL_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// The run that brings the copy a partially failed run could not write.
pub(crate) fn heal(context: &RunContext, snapshot: &Snapshot, to: DestinationId) -> Run {
    let engine = &context.engine;
    let now = engine.now();
    Run {
        snapshot_id: Some(snapshot.id),
        destination_id: Some(to),
        not_before: now.saturating_add(HEAL_AFTER).unwrap_or(now),
        ..backup::queued(
            engine.new_id(RunId::generate),
            Some(snapshot.app_id),
            RunKind::Copy,
            Trigger::Retry,
            now,
        )
    }
}

/// Copies the run's snapshot to the run's destination.
pub(crate) async fn copy(context: &RunContext) -> Outcome {
    match bring(context).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            context.journal.error(&failure.message);
            if context.stop_reason() != Some(super::StopReason::LeaseLost) {
                let _ = crate::takeover::remove_leftovers(&context.engine, context.run.id).await;
            }
            Outcome::failed(failure)
        }
    }
}

async fn bring(context: &RunContext) -> Result<Outcome, Failure> {
    let (Some(snapshot_id), Some(to)) = (context.run.snapshot_id, context.run.destination_id)
    else {
        return Err(Failure::new(
            FailureCode::Internal,
            "a copy run must name its snapshot and its destination",
        ));
    };
    let engine = &context.engine;
    let catalog = &engine.0.catalog;
    let app = context.app().await?;
    let mut snapshot =
        catalog.snapshot(snapshot_id).await.map_err(|error| failure::of_catalog(&error))?;
    if snapshot.copies.iter().any(|c| c.destination_id == to && c.state == CopyState::Good) {
        context.journal.info("the destination has a good copy already");
        return Ok(Outcome::succeeded());
    }
    let source = snapshot
        .copies
        .iter()
        .find(|copy| copy.state.is_restorable() && copy.destination_id != to)
        .cloned()
        .ok_or_else(|| Failure::new(FailureCode::Missing, "no good copy is left to copy from"))?;
    let folder = folder_at(&app, to);

    context.journal.enter(Stage::Store).await.map_err(|error| failure::of_catalog(&error))?;
    let from_store = open(context, source.destination_id).await?;
    let to_store = open(context, to).await?;
    let mut objects = Vec::with_capacity(source.objects.len());
    for object in &source.objects {
        let key = rebased(&folder, &object.key)?;
        carry(context, &from_store, &to_store, to, object, &key).await?;
        objects.push(StoredObject { key: key.to_string(), ..object.clone() });
    }

    context.journal.enter(Stage::Commit).await.map_err(|error| failure::of_catalog(&error))?;
    context.check_lease().await?;
    let manifest_key =
        carry_manifest(context, &from_store, &to_store, to, &source, &folder).await?;
    let copy = StoredCopy {
        destination_id: to,
        state: CopyState::Good,
        manifest_key,
        objects,
        committed_at: engine.now(),
        verified_at: None,
        expiring_since: None,
    };
    catalog
        .add_copy(context.run.id, context.lease_token, snapshot.id, &copy)
        .await
        .map_err(|error| failure::of_catalog(&error))?;
    snapshot.copies.push(copy);
    Ok(Outcome::succeeded())
}

async fn open(context: &RunContext, id: DestinationId) -> Result<Arc<dyn Store>, Failure> {
    let destination =
        context.engine.0.catalog.destination(id).await.map_err(|e| failure::of_catalog(&e))?;
    context.engine.0.store_for(&destination).await.map_err(|e| failure::of_engine(&e))
}

/// The app's folder there; the destination's root where the app does not use it (any more).
fn folder_at(app: &App, to: DestinationId) -> String {
    app.destinations
        .iter()
        .find(|binding: &&Binding| binding.destination_id == to)
        .map(|binding| binding.folder.trim_matches('/').to_owned())
        .unwrap_or_default()
}

/// The last part of `key`, inside `folder`.
fn rebased(folder: &str, key: &str) -> Result<Key, Failure> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let text = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    Key::new(&text)
        .map_err(|error| Failure::new(FailureCode::DestinationConfig, format!("`{text}`: {error}")))
}

/// Streams one object across, and proves it against the record on the way.
async fn carry(
    context: &RunContext,
    from: &Arc<dyn Store>,
    to: &Arc<dyn Store>,
    to_id: DestinationId,
    object: &StoredObject,
    key: &Key,
) -> Result<(), Failure> {
    context.intend(to_id, key).await?;
    let source_key = Key::new(&object.key)
        .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
    let mut stream = from.read(&source_key, None).await.map_err(|e| failure::of_store(&e))?;
    let mut sending =
        match Sending::begin(to, key.clone(), Arc::default(), Some(object.stored_size_bytes)).await
        {
            Ok(sending) => sending,
            Err(error) => {
                if error.is_already_exists() {
                    context.disown(to_id, key).await?;
                }
                return Err(failure::of_store(&error));
            }
        };
    let mut digester = artifact::Digester::new();
    let feed = sending.feed();
    loop {
        let chunk = tokio::select! {
            biased;
            failure = context.stopped() => { sending.abort().await; return Err(failure) }
            chunk = stream.try_next() => chunk,
        };
        match chunk {
            Ok(Some(chunk)) => {
                let chunk: Bytes = chunk;
                digester.update(&chunk);
                context.journal.add_bytes(chunk.len());
                if let Some(feed) = &feed
                    && feed.send(chunk).await.is_err()
                {
                    break; // The upload failed; finishing it says why.
                }
            }
            Ok(None) => break,
            Err(error) => {
                sending.abort().await;
                return Err(failure::of_store(&error));
            }
        }
    }
    drop(feed);
    let upload = sending.into_upload().await.map_err(|e| failure::of_store(&e))?;
    let expected = Digest {
        size_bytes: object.stored_size_bytes,
        sha256: object
            .stored_sha256
            .parse::<Sha256>()
            .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?,
    };
    if digester.finish() != expected {
        let _ = upload.abort().await;
        return Err(Failure::new(
            FailureCode::Damaged,
            format!("{} is damaged where it was copied from: verify the snapshot", object.key),
        ));
    }
    context.check_lease().await?;
    upload.finish().await.map_err(|e| failure::of_store(&e))?;
    let meta = to.stat(key).await.map_err(|e| failure::of_store(&e))?;
    if meta.size_bytes != expected.size_bytes {
        return Err(Failure::new(
            FailureCode::DestinationMismatch,
            format!("{key} has {} bytes there, {} were sent", meta.size_bytes, expected.size_bytes),
        ));
    }
    context.journal.info(format!("copied {key}"));
    Ok(())
}

/// Writes the manifest there, its object names adjusted to where they are now.
async fn carry_manifest(
    context: &RunContext,
    from: &Arc<dyn Store>,
    to: &Arc<dyn Store>,
    to_id: DestinationId,
    source: &StoredCopy,
    folder: &str,
) -> Result<String, Failure> {
    let old_key = Key::new(&source.manifest_key)
        .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
    let bytes = read_small(from.as_ref(), &old_key, artifact::manifest::MAX_SIZE_BYTES as u64)
        .await
        .map_err(|e| failure::of_store(&e))?;
    let damaged = |error: artifact::manifest::ManifestError| {
        Failure::new(FailureCode::Damaged, format!("{old_key}: {error}"))
    };
    let mut manifest = Manifest::from_bytes(&bytes).map_err(damaged)?;
    for told in &mut manifest.artifacts {
        for object in &mut told.objects {
            object.key = object.key.rsplit('/').next().unwrap_or(&object.key).to_owned();
        }
    }
    let key = rebased(folder, &source.manifest_key)?;
    context.intend(to_id, &key).await?;
    let bytes = manifest.to_bytes().map_err(damaged)?;
    put(to.as_ref(), &key, bytes.into()).await.map_err(|e| failure::of_store(&e))?;
    Ok(key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_go_into_the_folder_of_the_new_place() {
        assert_eq!(rebased("shop", "old/deep/a.dump").unwrap().to_string(), "shop/a.dump");
        assert_eq!(rebased("", "a.dump").unwrap().to_string(), "a.dump");
    }
}
