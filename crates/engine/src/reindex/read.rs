//! A manifest as the snapshot that it tells of.

use std::str::FromStr;

use artifact::Manifest;
use model::{Artifact, CopyState, DestinationId, Snapshot, StoredCopy, StoredObject};

use super::sizes::Sizes;

/// The snapshot of `manifest`, which lies at `key`, with its copy at `destination`, and what is
/// wrong with that copy's objects. An error where it names what cannot be.
pub(super) fn snapshot(
    manifest: &Manifest,
    key: &str,
    destination: DestinationId,
    sizes: &Sizes,
) -> Result<(Snapshot, Option<String>), String> {
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut artifacts = Vec::with_capacity(manifest.artifacts.len());
    let mut objects = Vec::new();
    let (mut state, mut wrong) = (CopyState::Good, None);
    for told in &manifest.artifacts {
        let source = parsed("source", &told.source)?;
        for object in &told.objects {
            let key = inside(folder, &object.key);
            match sizes.get(&key) {
                None => {
                    state = CopyState::Missing;
                    wrong = Some(format!("{key} is not there"));
                }
                Some(found) if found != object.stored.size_bytes => {
                    if state == CopyState::Good {
                        state = CopyState::Damaged;
                    }
                    let expected = object.stored.size_bytes;
                    wrong.get_or_insert(format!("{key} has {found} of {expected} bytes"));
                }
                Some(_) => {}
            }
            objects.push(StoredObject {
                source: model::Name::clone(&source),
                key,
                stored_size_bytes: object.stored.size_bytes,
                stored_sha256: object.stored.sha256.to_string(),
                compression: told.compression.to_string(),
                encryption: told.encryption.as_str().to_owned(),
                tree: object.tree.as_ref().map(|tree| inside(folder, tree)),
            });
        }
        artifacts.push(Artifact {
            source,
            part: told.part.clone(),
            began_at: told.began_at,
            ended_at: told.ended_at,
            file_name: told.file_name.clone(),
            format: told.format.clone(),
            content_type: told.content_type.clone(),
            size_bytes: told.plain.size_bytes,
            sha256: told.plain.sha256.to_string(),
            contents: serde_json::from_value(told.contents.clone()).ok(),
            base: serde_json::from_value(told.base.clone()).ok(),
            image: told.image.clone(),
        });
    }
    let copy = StoredCopy {
        destination_id: destination,
        state,
        manifest_key: key.to_owned(),
        objects,
        committed_at: manifest.committed_at,
        verified_at: None,
        expiring_since: None,
        log_key: None,
    };
    let snapshot = Snapshot {
        id: parsed("snapshot_id", &manifest.snapshot_id)?,
        app_id: parsed("app.id", &manifest.app.id)?,
        run_id: parsed("run_id", &manifest.run_id)?,
        taken_at: manifest.taken_at,
        kind: parsed("kind", &manifest.kind)?,
        label: manifest.label.clone(),
        git_commit: manifest.git_commit.clone(),
        pinned: false,
        verified_by_source: manifest.verified_by_source,
        anomalous: manifest.anomalous,
        warnings: manifest.warnings.clone(),
        app_state: manifest
            .app_state
            .as_ref()
            .and_then(|told| serde_json::from_value(told.clone()).ok()),
        proof: None,
        artifacts,
        copies: vec![copy],
    };
    Ok((snapshot, wrong))
}

/// `name` as it is called from the root, where its folder is `folder`.
fn inside(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn parsed<T: FromStr>(member: &str, text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| format!("its `{member}` cannot be read: {error}"))
}
