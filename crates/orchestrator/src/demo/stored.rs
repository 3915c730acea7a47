//! What runs of the demonstration stored: artifacts, snapshots and their copies.

use model::{
    App, Artifact, CopyState, Name, Proof, Run, RunId, Snapshot, SnapshotId, SnapshotKind,
    StoredCopy, StoredObject,
};
use rand::RngExt as _;

use super::{
    company::Kept,
    history::{History, RATE, after, hours},
};

/// Days from one drill to the next.
const DRILL_DAYS: i64 = 7;

impl History {
    /// What its sources gave: a little more every day.
    pub(super) fn artifacts(&mut self, kept: &[Kept], run: &Run, days_ago: i64) -> Vec<Artifact> {
        let mut all = Vec::new();
        let mut began = run.queued_at;
        for one in kept {
            let begun = one.mib << 20;
            let grown = begun / 400 * (self.days - days_ago).unsigned_abs();
            let size = begun + grown + self.rng.random_range(0..begun / 100);
            let ended = after(began, 1 + (size / RATE).cast_signed());
            let (ending, format) = one.file();
            let Ok(source) = one.name.parse::<Name>() else { continue };
            all.push(Artifact {
                source,
                part: None,
                began_at: Some(began),
                ended_at: Some(ended),
                file_name: format!("{}.{ending}", one.name),
                format: Some(format.to_owned()),
                content_type: None,
                size_bytes: size,
                sha256: self.digest(),
                contents: one.contents(size),
                base: None,
                image: None,
            });
            began = ended;
        }
        all
    }

    fn digest(&mut self) -> String {
        format!("{:032x}{:032x}", self.rng.random::<u128>(), self.rng.random::<u128>())
    }

    pub(super) fn snapshot(
        &mut self,
        app: &App,
        run: &Run,
        artifacts: Vec<Artifact>,
        is_partial: bool,
        days_ago: i64,
    ) -> Snapshot {
        let taken_at = run.queued_at;
        let is_deployment = run.snapshot_kind == SnapshotKind::PreDeploy;
        let day = taken_at.strftime("%Y%m%d_%H%M");
        let stem = format!("apps/{0}/{0}_{day}", app.name);
        let object = |one: &Artifact, stored_sha256| StoredObject {
            source: one.source.clone(),
            key: format!("{stem}_{}.zst", one.file_name),
            stored_size_bytes: one.size_bytes / 3,
            stored_sha256,
            compression: "zstd".to_owned(),
            encryption: "none".to_owned(),
            tree: None,
        };
        let objects: Vec<_> = artifacts.iter().map(|one| object(one, self.digest())).collect();
        let is_kept = is_deployment || self.kept.contains(&days_ago);
        let state = if is_kept { CopyState::Good } else { CopyState::Expired };
        let committed_at = run.finished_at.unwrap_or(taken_at);
        let copies = self.destinations[..if is_partial { 1 } else { 2 }].iter();
        let copies = copies.map(|destination| StoredCopy {
            destination_id: *destination,
            state,
            manifest_key: format!("{stem}.manifest.json"),
            objects: objects.clone(),
            committed_at,
            verified_at: Some(after(committed_at, 20 * 60)),
            expiring_since: (!is_kept).then(|| hours(self.now, -(days_ago - 8) * 24)),
            log_key: None,
        });
        let copies = copies.collect();
        let bytes: u64 = artifacts.iter().map(|one| one.size_bytes).sum();
        let secs = (bytes / RATE).cast_signed() + 30;
        let is_drilled = days_ago % DRILL_DAYS == 1 && !is_deployment;
        let proof = is_drilled.then(|| Proof {
            run_id: RunId::generate(taken_at, &mut self.rng),
            at: after(hours(taken_at, 1), secs),
            passed: true,
            took_secs: secs as f64,
        });
        Snapshot {
            id: SnapshotId::generate(taken_at, &mut self.rng),
            app_id: app.id,
            run_id: run.id,
            taken_at,
            kind: run.snapshot_kind,
            label: run.label.clone(),
            git_commit: run.git_commit.clone(),
            pinned: is_deployment && days_ago % 14 == 2,
            verified_by_source: true,
            anomalous: false,
            warnings: Vec::new(),
            app_state: None,
            proof,
            artifacts,
            copies,
        }
    }
}
