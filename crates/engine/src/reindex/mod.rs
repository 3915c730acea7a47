//! A destination's manifests, read back into the catalog: the destination is the truth, the
//! catalog an index. Repeating it changes nothing, and nothing is ever removed.

mod apps;
mod read;
mod sizes;

use std::collections::HashSet;

use artifact::{
    ManifestError,
    manifest::{MAX_SIZE_BYTES, Manifest},
};
use catalog::Adoption;
use futures::{StreamExt as _, TryStreamExt as _};
use model::{CopyState, Destination, EventKind, Fact, Severity, Snapshot, SnapshotId};
use serde::Serialize;
use store::{Key, Store};

use self::sizes::Sizes;
use crate::{Engine, EngineError, run::commit::read_small};

/// Manifests that are read at once.
const AT_ONCE: usize = 32;
/// Snapshots that are written at once.
const BATCH: usize = 100;
/// Problems that are told by name; the rest is counted.
const TOLD: usize = 200;

/// What reading a destination's manifests gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reindexed {
    /// Manifests that were found.
    pub manifests: u64,
    /// Snapshots that the catalog did not know.
    pub new_snapshots: u64,
    /// Copies of known snapshots that it did not know.
    pub new_copies: u64,
    /// Copies that are good again after they were missing.
    pub found_again: u64,
    /// Copies whose objects or manifest are not there.
    pub missing: u64,
    /// Copies whose objects or manifest are not what was written.
    pub damaged: u64,
    /// Snapshots whose run goes on.
    pub busy: u64,
    /// Apps that were unknown and are there now, disabled and without their secrets.
    pub new_apps: Vec<String>,
    /// What manifests said that an app's drills run, and which of that app was not taken over.
    pub left_out: Vec<String>,
    /// Manifests that cannot be used, and copies that are not as they were written; the first 200.
    pub problems: Vec<ReindexProblem>,
    /// How many problems there are in all.
    pub problem_count: u64,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReindexProblem {
    /// The manifest.
    pub manifest: String,
    /// What is wrong with it.
    pub message: String,
}

impl Reindexed {
    fn note(&mut self, manifest: &str, message: impl ToString) {
        self.problem_count += 1;
        if self.problems.len() < TOLD {
            let message = message.to_string();
            self.problems.push(ReindexProblem { manifest: manifest.to_owned(), message });
        }
    }
}

/// What was read from one manifest's name.
enum Found {
    Snapshot(Box<Snapshot>, Box<apps::Told>, Option<String>),
    Unusable(String, String),
}

impl Engine {
    /// Reads every manifest at `destination` into the catalog.
    pub async fn reindex(&self, destination: &Destination) -> Result<Reindexed, EngineError> {
        let began = self.now();
        let store = self.0.store_for(destination).await?;
        let mut sizes = Sizes::listed(store.as_ref()).await?;
        let mut report = Reindexed::default();
        let mut apps = apps::Unknown::new(self.0.catalog.known_apps().await?);
        let mut seen: HashSet<SnapshotId> = HashSet::new();
        let reading = futures::stream::iter(sizes.take_manifests())
            .map(|key| read_one(store.as_ref(), destination, &sizes, key))
            .buffer_unordered(AT_ONCE);
        let mut batches = std::pin::pin!(reading.try_chunks(BATCH));
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            report.manifests += batch.len() as u64;
            self.adopt(destination, batch, &mut apps, &mut seen, &mut report).await?;
        }
        self.mark_unseen(destination, began, &seen, &sizes, &mut report).await?;
        (report.new_apps, report.left_out) = self.add_unknown(destination, apps).await?;
        let read = Fact::ManifestsRead {
            manifests: report.manifests,
            destination: destination.name.to_string(),
            snapshots: report.new_snapshots,
            copies: report.new_copies,
            missing: report.missing,
            damaged: report.damaged,
            problems: report.problem_count,
        };
        let told = report.left_out.iter().fold(read, |told, one| Fact::also(told, one.as_str()));
        let severity = if report.problem_count == 0 && report.left_out.is_empty() {
            Severity::Info
        } else {
            Severity::Warning
        };
        self.tell(EventKind::Reindexed, severity, Some(destination.id), told).await?;
        Ok(report)
    }

    async fn adopt(
        &self,
        destination: &Destination,
        batch: Vec<Found>,
        apps: &mut apps::Unknown,
        seen: &mut HashSet<SnapshotId>,
        report: &mut Reindexed,
    ) -> Result<(), EngineError> {
        let (mut snapshots, mut wrongs) = (Vec::new(), Vec::new());
        for found in batch {
            match found {
                Found::Snapshot(snapshot, told, wrong) => {
                    apps.note(snapshot.app_id, snapshot.taken_at, *told);
                    snapshots.push(*snapshot);
                    wrongs.push(wrong);
                }
                Found::Unusable(manifest, message) => report.note(&manifest, message),
            }
        }
        if snapshots.is_empty() {
            return Ok(());
        }
        let adopted = self.0.catalog.adopt(destination.id, &snapshots).await?;
        for ((snapshot, wrong), adoption) in snapshots.iter().zip(wrongs).zip(adopted) {
            let Some(copy) = snapshot.copies.first() else { continue };
            if adoption == Adoption::Elsewhere {
                let message =
                    "it tells of a snapshot that is here under another manifest: left aside";
                report.note(&copy.manifest_key, message);
                continue;
            }
            seen.insert(snapshot.id);
            if let Some(wrong) = wrong {
                report.note(&copy.manifest_key, wrong);
            }
            match adoption {
                Adoption::New => report.new_snapshots += 1,
                Adoption::NewCopy => report.new_copies += 1,
                Adoption::Busy => report.busy += 1,
                Adoption::Changed(CopyState::Good | CopyState::Expiring) => report.found_again += 1,
                Adoption::Changed(_) | Adoption::Known | Adoption::Elsewhere => {}
            }
            match copy.state {
                CopyState::Missing => report.missing += 1,
                CopyState::Damaged => report.damaged += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies that the catalog has here and no manifest tells of.
    async fn mark_unseen(
        &self,
        destination: &Destination,
        began: jiff::Timestamp,
        seen: &HashSet<SnapshotId>,
        sizes: &Sizes,
        report: &mut Reindexed,
    ) -> Result<(), EngineError> {
        let mut after = None;
        loop {
            let page = self.0.catalog.copies_at(destination.id, after, 500).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (id, copy) in page {
                if seen.contains(&id) || copy.committed_at >= began {
                    continue;
                }
                let is_there = sizes.get(&copy.manifest_key).is_some();
                let (state, why) = if is_there {
                    (CopyState::Damaged, "the manifest of this copy is damaged or tells of another")
                } else {
                    (CopyState::Missing, "the manifest of this copy is not there")
                };
                let is_new = matches!(copy.state, CopyState::Good | CopyState::Expiring);
                if is_new && !self.0.catalog.found_copy(id, &copy, state).await? {
                    continue;
                }
                match state {
                    CopyState::Damaged => report.damaged += 1,
                    _ => report.missing += 1,
                }
                report.note(&copy.manifest_key, why);
            }
        }
    }
}

async fn read_one(
    store: &dyn Store,
    destination: &Destination,
    sizes: &Sizes,
    name: Box<str>,
) -> Result<Found, EngineError> {
    let unusable = |why: String| Ok(Found::Unusable(name.to_string(), why));
    let key = match Key::new(&name) {
        Ok(key) => key,
        Err(error) => return unusable(error.to_string()),
    };
    let bytes = match read_small(store, &key, MAX_SIZE_BYTES as u64).await {
        Ok(bytes) => bytes,
        // It was removed after the listing, or is far too large.
        Err(error) if error.is_not_found() || !error.is_retryable() => {
            return unusable(error.to_string());
        }
        Err(error) if error.kind() == store::StoreErrorKind::Mismatch => {
            return unusable(error.to_string());
        }
        Err(error) => return Err(error.into()),
    };
    let manifest = match Manifest::from_bytes(&bytes) {
        Ok(manifest) => manifest,
        Err(error @ ManifestError::Version(_)) => {
            return unusable(format!("{error}; it is left aside until then"));
        }
        Err(error) => return unusable(error.to_string()),
    };
    match read::snapshot(&manifest, &name, destination.id, sizes) {
        Ok((snapshot, wrong)) => {
            let app = apps::Told::of(&manifest, &name);
            Ok(Found::Snapshot(Box::new(snapshot), Box::new(app), wrong))
        }
        Err(why) => unusable(why),
    }
}
