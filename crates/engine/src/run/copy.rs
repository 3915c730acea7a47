//! Brings a snapshot's copy from a destination that has it to one that has not.

use std::sync::Arc;

use artifact::{
    Compression, Digest, Method, Recipients, Sha256,
    manifest::{Encryption, Manifest, ManifestArtifact, Object},
};
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::SignedDuration;
use model::{
    App, Binding, CopyState, Destination, DestinationId, Fact, Failure, FailureCode, Run, RunId,
    RunKind, Snapshot, Stage, StoredCopy, StoredObject, Trigger,
};
use store::{CreateOptions, Key, Store, Upload};

use super::{
    Outcome, RunContext, backup,
    commit::{digest, put, read_small},
    failure,
    place::encryption_for,
    plain::Plain,
    reseal::{Target, named, reseal},
    upload::Sending,
};
use crate::repositories::is_repository;

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
    let catalog = &context.engine.0.catalog;
    let app = context.app().await?;
    let snapshot =
        catalog.snapshot(snapshot_id).await.map_err(|error| failure::of_catalog(&error))?;
    if snapshot.copies.iter().any(|c| c.destination_id == to && c.state == CopyState::Good) {
        context.journal.info("the destination has a good copy already");
        return Ok(Outcome::succeeded());
    }
    // One that takes no key first.
    let mut sources: Vec<_> = snapshot
        .copies
        .iter()
        .filter(|copy| copy.state.is_restorable() && copy.destination_id != to)
        .cloned()
        .collect();
    let has_trees = |copy: &StoredCopy| copy.trees().next().is_some();
    if !sources.is_empty() && sources.iter().all(has_trees) {
        return Err(Failure::new(
            FailureCode::DestinationConfig,
            "a tree of files is not copied to another destination: let another app read the \
             same files for that one",
        ));
    }
    sources.retain(|copy| !has_trees(copy));
    sources.sort_by_key(StoredCopy::is_encrypted);
    let to = Place::open(context, &app, to).await?;
    context.journal.enter(Stage::Store).await.map_err(|error| failure::of_catalog(&error))?;
    let mut refusal = Failure::new(FailureCode::Missing, "no good copy is left to copy from");
    for source in &sources {
        match bring_from(context, &snapshot, source, &to).await {
            Ok(copy) => {
                catalog
                    .add_copy(context.run.id, context.lease_token, snapshot.id, &copy)
                    .await
                    .map_err(|error| failure::of_catalog(&error))?;
                return Ok(Outcome::succeeded());
            }
            Err(failure) if failure.code == FailureCode::SecretUnreadable => {
                context.journal.warn(&failure.message);
                refusal = failure;
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(refusal)
}

/// Where the copy goes.
struct Place {
    id: DestinationId,
    store: Arc<dyn Store>,
    recipients: Option<Recipients>,
    takes_plain: bool,
    folder: String,
}

impl Place {
    async fn open(context: &RunContext, app: &App, id: DestinationId) -> Result<Self, Failure> {
        let (destination, store) = open(context, id).await?;
        let recipients = context.engine.0.recipients_of(&destination)?;
        let takes_plain = is_repository(&destination);
        Ok(Self { id, store, recipients, takes_plain, folder: folder_at(app, id) })
    }

    /// How is compressed here what was by `method`.
    fn compression(&self, method: Method, as_it_is: bool) -> Compression {
        match method {
            _ if self.takes_plain => Compression::None,
            _ if !as_it_is => Compression::default(),
            Method::None => Compression::None,
            // By its word: its level is not known any more.
            other => other.as_str().parse().unwrap_or_default(),
        }
    }

    /// Whether what is stored for `told` may be stored here as it is.
    fn takes(&self, told: &ManifestArtifact) -> bool {
        match &self.recipients {
            None if self.takes_plain => {
                told.encryption == Encryption::None && told.compression == Method::None
            }
            None => told.encryption == Encryption::None,
            // One passphrase looks like another.
            Some(to) => {
                told.encryption == Encryption::Age
                    && to.text().is_some()
                    && told.recipients == to.fingerprints()
            }
        }
    }
}

async fn bring_from(
    context: &RunContext,
    snapshot: &Snapshot,
    source: &StoredCopy,
    to: &Place,
) -> Result<StoredCopy, Failure> {
    let (from, from_store) = open(context, source.destination_id).await?;
    let mut manifest = read_manifest(&from_store, source).await?;
    let mut objects = Vec::with_capacity(source.objects.len());
    for artifact in &snapshot.artifacts {
        let told =
            manifest.artifacts.iter_mut().find(|told| told.source == artifact.source.as_str());
        let told = told.ok_or_else(|| {
            let message = format!("{} tells of another snapshot", source.manifest_key);
            Failure::new(FailureCode::Damaged, message)
        })?;
        let stored: Vec<_> =
            source.objects.iter().filter(|object| object.source == artifact.source).collect();
        let Some(first) = stored.first() else { continue };
        let first_new = objects.len();
        // The catalog's own word counts too: a manifest lies where others can write.
        let is_as_told = stored.iter().all(|one| one.encryption == told.encryption.as_str());
        // What a repository compressed by itself is compressed for others.
        let as_it_is = to.takes_plain || !is_repository(&from);
        if is_as_told && as_it_is && to.takes(told) {
            for object in stored {
                let key = rebased(&to.folder, &object.key)?;
                carry(context, &from_store, &to.store, to.id, object, &key).await?;
                objects.push(StoredObject { key: key.to_string(), ..object.clone() });
            }
        } else {
            let identities = context.engine.0.identities_of(&from)?;
            let plain = Plain::read(from_store.clone(), source, artifact, &identities)
                .map_err(|error| about(&from, error.failure()))?;
            let recipients = to.recipients.as_ref();
            let compression = to.compression(told.compression, as_it_is);
            let name = named(&first.key, told.compression, compression.method(), recipients);
            let key = rebased(&to.folder, &name)?;
            let target = Target { id: to.id, store: &to.store, recipients, key };
            let (object, restarts) = reseal(context, plain, artifact, compression, target)
                .await
                .map_err(|failure| about(&from, failure))?;
            context.journal.info(format!("copied {}, stored anew", object.key));
            objects.push(object);
            told.restarts = restarts;
            told.compression = compression.method();
            told.encryption = encryption_for(recipients);
            told.recipients = recipients.map(Recipients::fingerprints).unwrap_or_default();
        }
        told.objects = listed(&objects[first_new..])?;
    }

    context.journal.enter(Stage::Commit).await.map_err(|error| failure::of_catalog(&error))?;
    context.check_lease().await?;
    let manifest_key = put_manifest(context, to, &manifest, source).await?;
    Ok(StoredCopy {
        destination_id: to.id,
        state: CopyState::Good,
        manifest_key,
        objects,
        committed_at: context.engine.now(),
        verified_at: None,
        expiring_since: None,
        log_key: None,
    })
}

/// A missing key is told with the destination it belongs to.
fn about(from: &Destination, failure: Failure) -> Failure {
    if failure.code == FailureCode::SecretUnreadable {
        failure.told_in(|why| Fact::Of { what: from.name.to_string(), why })
    } else {
        failure
    }
}

/// Objects as a manifest beside them lists them.
fn listed(objects: &[StoredObject]) -> Result<Vec<Object>, Failure> {
    objects
        .iter()
        .map(|object| {
            let stored = digest(object.stored_size_bytes, &object.stored_sha256)
                .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
            let key = object.key.rsplit('/').next().unwrap_or(&object.key).to_owned();
            Ok(Object { key, stored, tree: None })
        })
        .collect()
}

async fn open(
    context: &RunContext,
    id: DestinationId,
) -> Result<(Destination, Arc<dyn Store>), Failure> {
    let destination =
        context.engine.0.catalog.destination(id).await.map_err(|e| failure::of_catalog(&e))?;
    let store =
        context.engine.0.store_for(&destination).await.map_err(|e| failure::of_engine(&e))?;
    Ok((destination, store))
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
    let source_key = Key::new(&object.key)
        .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
    let mut stream = from.read(&source_key, None).await.map_err(|e| failure::of_store(&e))?;
    let mut sending = begin(context, to, to_id, key, object.stored_size_bytes).await?;
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
    publish(context, to.as_ref(), upload, key, &expected).await?;
    context.journal.info(format!("copied {key}"));
    Ok(())
}

/// Begins an object that must be new, and notes it first.
pub(crate) async fn begin(
    context: &RunContext,
    to: &Arc<dyn Store>,
    to_id: DestinationId,
    key: &Key,
    most_bytes: u64,
) -> Result<Sending, Failure> {
    context.intend(to_id, key).await?;
    let options = CreateOptions { most_bytes: Some(most_bytes), ..CreateOptions::default() };
    match Sending::begin(to, key.clone(), Arc::default(), &options).await {
        Ok(sending) => Ok(sending),
        Err(error) => {
            if error.is_already_exists() {
                context.disown(to_id, key).await?;
            }
            Err(failure::of_store(&error))
        }
    }
}

/// Makes an object visible and looks at it where it lies.
pub(crate) async fn publish(
    context: &RunContext,
    to: &dyn Store,
    upload: Box<dyn Upload>,
    key: &Key,
    expected: &Digest,
) -> Result<(), Failure> {
    context.check_lease().await?;
    upload.finish().await.map_err(|e| failure::of_store(&e))?;
    let meta = to.stat(key).await.map_err(|e| failure::of_store(&e))?;
    if meta.size_bytes != expected.size_bytes {
        return Err(Failure::new(
            FailureCode::DestinationMismatch,
            format!("{key} has {} bytes there, {} were sent", meta.size_bytes, expected.size_bytes),
        ));
    }
    Ok(())
}

async fn read_manifest(from: &Arc<dyn Store>, source: &StoredCopy) -> Result<Manifest, Failure> {
    let key = Key::new(&source.manifest_key)
        .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
    let bytes = read_small(from.as_ref(), &key, artifact::manifest::MAX_SIZE_BYTES as u64)
        .await
        .map_err(|e| failure::of_store(&e))?;
    Manifest::from_bytes(&bytes)
        .map_err(|error| Failure::new(FailureCode::Damaged, format!("{key}: {error}")))
}

/// Writes the manifest there.
async fn put_manifest(
    context: &RunContext,
    to: &Place,
    manifest: &Manifest,
    source: &StoredCopy,
) -> Result<String, Failure> {
    let key = rebased(&to.folder, &source.manifest_key)?;
    context.intend(to.id, &key).await?;
    let bytes = manifest.to_bytes().map_err(|error| {
        Failure::new(FailureCode::Internal, format!("the manifest cannot be written: {error}"))
    })?;
    put(to.store.as_ref(), &key, bytes.into()).await.map_err(|e| failure::of_store(&e))?;
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
