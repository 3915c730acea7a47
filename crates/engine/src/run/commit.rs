//! The manifest: written last, so that what lies at a destination without one is no snapshot.

use artifact::{
    Digest, Recipients,
    manifest::{AppRef, Manifest, ManifestArtifact, Object},
};
use bytes::Bytes;
use jiff::Timestamp;
use model::{App, Failure, FailureCode, Snapshot, SourceKind, Stage, StoredCopy};
use store::{CreateOptions, Key, Store};

use super::{RunContext, backup, export::tags_of, failure, place::Place};
use crate::trees::Host;

/// How many names are tried for a manifest.
const MAX_SAME_NAMES: u32 = 50;

/// Writes the manifest of `snapshot` at `place` and adds the copy to the snapshot. A
/// destination that refuses is noted as failed.
pub(crate) async fn put_manifest(
    context: &RunContext,
    app: &App,
    snapshot: &mut Snapshot,
    place: &mut Place,
) -> Result<(), Failure> {
    // One moment for the manifest and the catalog: either can be rebuilt from the other.
    let at = context.engine.now();
    match write(context, app, snapshot, place, at).await {
        Ok(key) => {
            context.journal.info(format!("{}: committed {key}", place.destination.name));
            place.manifest_key = Some(key.to_string());
            let copy = backup::stored_copy(context, place, key.to_string());
            snapshot.copies.push(StoredCopy { committed_at: at, ..copy });
        }
        Err(failure)
            if matches!(
                failure.code,
                FailureCode::Catalog | FailureCode::Interrupted | FailureCode::Cancelled
            ) =>
        {
            return Err(failure);
        }
        Err(failure) => place.fail(context, failure),
    }
    place.record(context, Stage::Commit).await
}

async fn write(
    context: &RunContext,
    app: &App,
    snapshot: &Snapshot,
    place: &Place,
    at: Timestamp,
) -> Result<Key, Failure> {
    let store = place.store.clone()?;
    publish_trees(context, place).await?;
    let names = backup::names(context, app, place);
    for attempt in 1..=MAX_SAME_NAMES {
        let key = place.key(&names.manifest(attempt))?;
        let bytes = Bytes::from(manifest_of(context, app, snapshot, place, (&key, at))?);
        context.intend(place.destination.id, &key).await?;
        match put_tagged(store.as_ref(), &key, bytes.clone(), tags_of(context, app)).await {
            Ok(()) => return Ok(key),
            Err(error) if error.is_already_exists() => {
                context.disown(place.destination.id, &key).await?;
            }
            Err(error) => return Err(failure::of_store(&error)),
        }
    }
    Err(Failure::new(
        FailureCode::DestinationConfig,
        format!("{MAX_SAME_NAMES} snapshots of the same name are already there"),
    ))
}

/// Gives trees that were made at `place` their names.
async fn publish_trees(context: &RunContext, place: &Place) -> Result<(), Failure> {
    let inner = &context.engine.0;
    for tree in place.objects.iter().filter_map(|object| object.tree.as_ref()) {
        let host = Host::of(inner, &place.destination).map_err(|e| failure::of_engine(&e))?;
        let internal = || Failure::new(FailureCode::Internal, format!("{tree} is no tree"));
        let (host, key) = (host.ok_or_else(internal)?, Key::new(tree).map_err(|_| internal())?);
        host.publish(&inner.config, &key).await?;
    }
    Ok(())
}

/// Puts a small object and reads it back.
pub(crate) async fn put(
    store: &dyn Store,
    key: &Key,
    bytes: Bytes,
) -> Result<(), store::StoreError> {
    put_tagged(store, key, bytes, Vec::new()).await
}

/// The same with words on it.
async fn put_tagged(
    store: &dyn Store,
    key: &Key,
    bytes: Bytes,
    tags: Vec<String>,
) -> Result<(), store::StoreError> {
    let mut upload = store.create(key, &CreateOptions { tags, ..CreateOptions::default() }).await?;
    if let Err(error) = upload.write(bytes.clone()).await {
        let _ = upload.abort().await;
        return Err(error);
    }
    upload.finish().await?;
    let found = read_small(store, key, bytes.len() as u64 + 1).await?;
    if found == bytes {
        Ok(())
    } else {
        Err(store::StoreError::mismatch(key, "reads back differently"))
    }
}

/// Reads an object of at most `limit_bytes`.
pub(crate) async fn read_small(
    store: &dyn Store,
    key: &Key,
    limit_bytes: u64,
) -> Result<Bytes, store::StoreError> {
    use futures::TryStreamExt as _;
    let mut stream = store.read(key, None).await?;
    let mut all = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        if (all.len() + chunk.len()) as u64 > limit_bytes {
            return Err(store::StoreError::mismatch(key, "is larger than it should be"));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// What `place` holds of `snapshot`, with object names relative to the manifest's folder.
fn manifest_of(
    context: &RunContext,
    app: &App,
    snapshot: &Snapshot,
    place: &Place,
    (key, at): (&Key, Timestamp),
) -> Result<Vec<u8>, Failure> {
    let internal = |what: &dyn std::fmt::Display| {
        Failure::new(FailureCode::Internal, format!("the manifest cannot be written: {what}"))
    };
    let folder = key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut artifacts = Vec::with_capacity(snapshot.artifacts.len());
    for artifact in &snapshot.artifacts {
        let objects: Vec<_> =
            place.objects.iter().filter(|object| object.source == artifact.source).collect();
        let first = objects.first().ok_or_else(|| internal(&"an artifact has no object"))?;
        artifacts.push(ManifestArtifact {
            source: artifact.source.to_string(),
            part: artifact.part.clone(),
            began_at: artifact.began_at,
            ended_at: artifact.ended_at,
            file_name: artifact.file_name.clone(),
            format: artifact.format.clone(),
            content_type: artifact.content_type.clone(),
            plain: digest(artifact.size_bytes, &artifact.sha256).map_err(|e| internal(&e))?,
            compression: first.compression.parse().map_err(|e| internal(&e))?,
            encryption: first.encryption.parse().map_err(|e| internal(&e))?,
            recipients: place.recipients.as_ref().map(Recipients::fingerprints).unwrap_or_default(),
            contents: serde_json::to_value(&artifact.contents).unwrap_or_default(),
            base: serde_json::to_value(&artifact.base).unwrap_or_default(),
            image: artifact.image.clone(),
            objects: objects
                .iter()
                .map(|object| {
                    Ok(Object {
                        key: relative(folder, &object.key).to_owned(),
                        stored: digest(object.stored_size_bytes, &object.stored_sha256)
                            .map_err(|e| internal(&e))?,
                        tree: object.tree.as_ref().map(|tree| relative(folder, tree).to_owned()),
                    })
                })
                .collect::<Result<_, Failure>>()?,
            restarts: place
                .restarts
                .get(&artifact.source)
                .map(|all| all.to_vec())
                .unwrap_or_default(),
        });
    }
    let manifest = Manifest {
        producer: context.engine.0.config.producer.clone(),
        snapshot_id: snapshot.id.to_string(),
        run_id: snapshot.run_id.to_string(),
        app: AppRef { id: app.id.to_string(), name: app.name.to_string() },
        taken_at: snapshot.taken_at,
        committed_at: at,
        kind: snapshot.kind.to_string(),
        label: snapshot.label.clone(),
        git_commit: snapshot.git_commit.clone(),
        verified_by_source: snapshot.verified_by_source,
        anomalous: snapshot.anomalous,
        warnings: snapshot.warnings.clone(),
        app_state: snapshot.app_state.as_ref().and_then(|state| serde_json::to_value(state).ok()),
        artifacts,
        settings: settings_of(app, place),
    };
    manifest.to_bytes().map_err(|error| internal(&error))
}

/// The app as it is set up, without its secrets.
fn settings_of(app: &App, place: &Place) -> serde_json::Value {
    let sources: Vec<_> = app
        .sources
        .iter()
        .map(|source| match &source.kind {
            SourceKind::Contract(server) => serde_json::json!({
                "name": source.name,
                "kind": "contract",
                "url": server.url,
                "export_type": server.export_type,
                "drive_folder_id": server.drive_folder_id,
                "accept_unverified": server.accept_unverified,
                "allow_empty": server.allow_empty,
            }),
            SourceKind::Direct(direct) => serde_json::json!({
                "name": source.name,
                "kind": direct.what,
                "settings": direct.settings,
            }),
        })
        .collect();
    serde_json::json!({
        "enabled": app.enabled,
        "sources": sources,
        "schedule": app.schedule,
        "retention": app.retention,
        "limits": app.limits,
        "compression": app.compression,
        "drill": app.drill,
        "quiesce": app.quiesce,
        "code": app.code,
        "recovery": app.recovery,
        "destination": { "id": place.destination.id, "name": place.destination.name },
        "binding": {
            "folder": place.binding.folder,
            "retention": place.binding.retention,
            "template": place.binding.template,
            "logs": place.binding.logs,
        },
    })
}

pub(crate) fn digest(size_bytes: u64, sha256: &str) -> Result<Digest, artifact::ParseSha256Error> {
    Ok(Digest { size_bytes, sha256: sha256.parse()? })
}

/// `key` as seen from `folder`. Both are of one template, whose folder part they share.
fn relative<'a>(folder: &str, key: &'a str) -> &'a str {
    if folder.is_empty() {
        return key;
    }
    key.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::relative;

    #[test]
    fn a_folder_is_no_prefix_of_its_namesake() {
        assert_eq!(relative("app", "app/x"), "x");
        assert_eq!(relative("app", "app_archive/x"), "app_archive/x");
        assert_eq!(relative("", "x"), "x");
    }
}
