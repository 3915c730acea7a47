//! What alerts are seen from, where nothing else asks for it.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{
    AppId, DestinationId, DestinationOutcome, Failure, Run, RunKind, RunState, Snapshot, SnapshotId,
};
use sea_orm::Value;

use crate::{
    Catalog, CatalogError,
    sql::{count, doc, list, micros, rows},
};

/// Copies of an app at one destination that are damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedCopies {
    /// Whose.
    pub app_id: AppId,
    /// Where.
    pub destination_id: DestinationId,
    /// How many.
    pub count: u64,
    /// The newest of those snapshots.
    pub snapshot_id: SnapshotId,
}

/// What a run shows of a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceEvidence {
    /// Which destination.
    pub destination_id: DestinationId,
    /// When the run ended.
    pub at: Timestamp,
    /// What was wrong there; `None` when the run wrote to it.
    pub failure: Option<Failure>,
    /// The run.
    pub run_id: model::RunId,
}

impl Catalog {
    /// Copies of apps that are not removed which are damaged or missing, by app and destination.
    pub async fn damaged_copies(&self) -> Result<Vec<DamagedCopies>, CatalogError> {
        let select = "SELECT c.app_id AS app_id, c.destination_id AS destination_id, COUNT(*) AS n, MAX(c.snapshot_id) AS snapshot_id FROM snapshot_copy c JOIN app a ON a.id = c.app_id AND a.removed_at IS NULL WHERE c.state IN ('damaged', 'missing') GROUP BY c.app_id, c.destination_id ORDER BY c.app_id, c.destination_id";
        let id = |error: model::id::ParseIdError| CatalogError::Corrupt(error.to_string());
        rows(&self.db, select, vec![])
            .await?
            .iter()
            .map(|found| {
                let text = |name: &str| found.try_get::<String>("", name);
                Ok(DamagedCopies {
                    app_id: text("app_id")?.parse().map_err(id)?,
                    destination_id: text("destination_id")?.parse().map_err(id)?,
                    count: found.try_get::<i64>("", "n")?.unsigned_abs(),
                    snapshot_id: text("snapshot_id")?.parse().map_err(id)?,
                })
            })
            .collect()
    }

    /// How `runs`, which have ended, found the destinations that they wrote to.
    pub async fn evidence_of_places(
        &self,
        runs: &[&Run],
    ) -> Result<Vec<PlaceEvidence>, CatalogError> {
        let ends: HashMap<_, _> = runs.iter().map(|run| (run.id, run.finished_at)).collect();
        let mut evidence = Vec::new();
        for some in runs.chunks(500) {
            let values: Vec<Value> = some.iter().map(|run| run.id.to_string().into()).collect();
            let select =
                format!("SELECT doc FROM run_outcome WHERE run_id IN ({})", list(1, some.len()));
            for found in rows(&self.db, &select, values).await? {
                let outcome: DestinationOutcome = doc(&found)?;
                let Some(at) = ends.get(&outcome.run_id).copied().flatten() else { continue };
                let failure = match outcome.state {
                    RunState::Succeeded => None,
                    RunState::Failed if outcome.failure.is_some() => outcome.failure,
                    // It ended for another reason, which says nothing about the place.
                    _ => continue,
                };
                let (destination_id, run_id) = (outcome.destination_id, outcome.run_id);
                evidence.push(PlaceEvidence { destination_id, at, failure, run_id });
            }
        }
        Ok(evidence)
    }

    /// The last run of `kind` that ended well or not of each of `apps`.
    pub async fn last_ended_of(
        &self,
        apps: &[AppId],
        kind: RunKind,
    ) -> Result<HashMap<AppId, Run>, CatalogError> {
        self.last_of(apps, kind, "state IN ('succeeded', 'failed')").await
    }

    /// Snapshots of an app taken until `until` that looked as usual when they were made, newest
    /// first.
    pub async fn usual_snapshots(
        &self,
        app: AppId,
        until: Timestamp,
        limit: u64,
    ) -> Result<Vec<Snapshot>, CatalogError> {
        // Anomalous ones are rare: a few more than asked for hold enough that are not.
        let select = "SELECT doc, pinned FROM snapshot WHERE app_id = $1 AND taken_at <= $2 ORDER BY taken_at DESC, id DESC LIMIT $3";
        let wide = count(limit.saturating_mul(4));
        let values = vec![app.to_string().into(), micros(until).into(), wide.into()];
        let found = rows(&self.db, select, values).await?;
        let mut snapshots: Vec<Snapshot> = found.iter().map(doc).collect::<Result<_, _>>()?;
        snapshots.retain(|one| !one.anomalous);
        snapshots.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(snapshots)
    }
}
