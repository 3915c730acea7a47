//! Snapshots and their copies.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use model::{
    AppId, CopyState, DestinationId, Fact, Proof, RunId, Snapshot, SnapshotId, StoredCopy,
};
use sea_orm::{ConnectionTrait, QueryResult, Value};

use crate::{
    Catalog, CatalogError,
    runs::holds,
    sql::{count, doc, execute, json, list, lists, micros, row, rows},
};

/// Rows that one statement inserts.
const AT_ONCE: usize = 100;

/// A copy's new state.
#[derive(Debug, Clone)]
pub struct CopyUpdate {
    /// Of which snapshot.
    pub snapshot_id: SnapshotId,
    /// Where.
    pub destination_id: DestinationId,
    /// How it is.
    pub state: CopyState,
    /// When it was last re-read and found right.
    pub verified_at: Option<Timestamp>,
    /// When it was marked to expire.
    pub expiring_since: Option<Timestamp>,
}

/// A snapshot with a copy to read.
const READABLE: &str = "EXISTS (SELECT 1 FROM snapshot_copy WHERE snapshot_id = snapshot.id AND state NOT IN ('expired', 'deleting'))";

/// The newest snapshot of app `a` with a good copy that is no base backup.
pub(crate) const NEWEST_GOOD: &str = "SELECT snapshot_id FROM snapshot_copy WHERE app_id = a.id AND state = 'good' AND (kind IS NULL OR kind <> 'base') ORDER BY snapshot_id DESC LIMIT 1";

impl Catalog {
    /// A snapshot with its copies.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, CatalogError> {
        let select = "SELECT doc, pinned FROM snapshot WHERE id = $1";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        let found = found.ok_or_else(|| CatalogError::not_found("snapshot", id))?;
        let mut all = self.with_copies(&[found]).await?;
        all.pop().ok_or_else(|| CatalogError::not_found("snapshot", id))
    }

    /// Every snapshot of an app, newest first, also those whose copies have all expired.
    pub async fn snapshots_of_app(&self, app: AppId) -> Result<Vec<Snapshot>, CatalogError> {
        let select =
            "SELECT doc, pinned FROM snapshot WHERE app_id = $1 ORDER BY taken_at DESC, id DESC";
        let found = rows(&self.db, select, vec![app.to_string().into()]).await?;
        self.with_copies(&found).await
    }

    /// Snapshots that have a copy to read, newest first; of all apps.
    pub async fn recent_snapshots(
        &self,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<Snapshot>, CatalogError> {
        let select = format!(
            "SELECT doc, pinned FROM snapshot WHERE {READABLE} ORDER BY taken_at DESC, id DESC LIMIT $1 OFFSET $2"
        );
        let values = vec![count(limit.clamp(1, 500)).into(), count(offset).into()];
        let found = rows(&self.db, &select, values).await?;
        self.with_copies(&found).await
    }

    /// How many of them there are; counts to `most`.
    pub async fn recent_count(&self, most: u64) -> Result<u64, CatalogError> {
        let select = format!(
            "SELECT COUNT(*) AS snapshots FROM (SELECT 1 AS one FROM snapshot WHERE {READABLE} ORDER BY taken_at DESC LIMIT $1) AS recent"
        );
        let found = row(&self.db, &select, vec![count(most).into()]).await?;
        let counted = found.map(|row| row.try_get::<i64>("", "snapshots")).transpose()?;
        Ok(counted.unwrap_or(0).cast_unsigned())
    }

    /// Snapshots that have a copy at `destination`.
    pub async fn snapshots_at(
        &self,
        destination: DestinationId,
    ) -> Result<Vec<Snapshot>, CatalogError> {
        let select = "SELECT doc, pinned FROM snapshot WHERE id IN (SELECT snapshot_id FROM snapshot_copy WHERE destination_id = $1 AND state NOT IN ('expired', 'deleting')) ORDER BY taken_at DESC";
        let found = rows(&self.db, select, vec![destination.to_string().into()]).await?;
        self.with_copies(&found).await
    }

    async fn with_copies(&self, found: &[QueryResult]) -> Result<Vec<Snapshot>, CatalogError> {
        let mut snapshots = found
            .iter()
            .map(|row| {
                let mut snapshot: Snapshot = doc(row)?;
                snapshot.pinned = row.try_get::<i64>("", "pinned")? != 0;
                snapshot.copies.clear();
                Ok(snapshot)
            })
            .collect::<Result<Vec<_>, CatalogError>>()?;
        let mut copies: HashMap<String, Vec<StoredCopy>> = HashMap::new();
        let ids: Vec<_> = snapshots.iter().map(|snapshot| snapshot.id.to_string()).collect();
        for some in ids.chunks(500) {
            let select = format!(
                "SELECT snapshot_id, doc FROM snapshot_copy WHERE snapshot_id IN ({}) ORDER BY snapshot_id, destination_id",
                list(1, some.len())
            );
            let values: Vec<Value> = some.iter().map(|id| id.as_str().into()).collect();
            for found in rows(&self.db, &select, values).await? {
                let id: String = found.try_get("", "snapshot_id")?;
                copies.entry(id).or_default().push(doc(&found)?);
            }
        }
        for snapshot in &mut snapshots {
            snapshot.copies = copies.remove(&snapshot.id.to_string()).unwrap_or_default();
        }
        Ok(snapshots)
    }

    /// Pins a snapshot, or lets it go; refused once its deletion has begun.
    pub async fn set_pinned(&self, id: SnapshotId, pinned: bool) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let select = "SELECT 1 FROM snapshot_copy WHERE snapshot_id = $1 AND state = 'deleting'";
        if pinned && row(&write.tx, select, vec![id.to_string().into()]).await?.is_some() {
            let by = Fact::UsedByDeletion {}.into();
            return Err(CatalogError::InUse { name: id.to_string(), by });
        }
        let update = "UPDATE snapshot SET pinned = $1 WHERE id = $2";
        let values = vec![i64::from(pinned).into(), id.to_string().into()];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::not_found("snapshot", id));
        }
        write.commit().await
    }

    /// Says whether a snapshot looks unlike the ones before it.
    pub async fn set_anomalous(&self, id: SnapshotId, anomalous: bool) -> Result<(), CatalogError> {
        let write = self.write().await?;
        change(&write.tx, id, |found| found.anomalous = anomalous).await?;
        write.commit().await
    }

    /// Writes a copy's new state for the run that `token` holds.
    pub async fn update_copy(
        &self,
        run: RunId,
        token: i64,
        change: &CopyUpdate,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        holds(&write.tx, run, token).await?;
        update(&write.tx, change).await?;
        write.commit().await
    }

    /// The point of no return: from marked to expire to `deleting`, unless the snapshot is pinned or
    /// another run that has not ended refers to it.
    pub async fn begin_delete(
        &self,
        run: RunId,
        token: i64,
        id: SnapshotId,
        at: DestinationId,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        holds(&write.tx, run, token).await?;
        let in_use = |by: &str| CatalogError::InUse { name: id.to_string(), by: by.into() };
        let select = "SELECT pinned FROM snapshot WHERE id = $1";
        let found = row(&write.tx, select, vec![id.to_string().into()]).await?;
        let found = found.ok_or_else(|| CatalogError::not_found("snapshot", id))?;
        if found.try_get::<i64>("", "pinned")? != 0 {
            return Err(in_use("a pin"));
        }
        let select = "SELECT 1 FROM run WHERE snapshot_id = $1 AND id <> $2 AND state IN ('queued', 'running') LIMIT 1";
        let values = vec![id.to_string().into(), run.to_string().into()];
        if row(&write.tx, select, values).await?.is_some() {
            return Err(in_use("a run"));
        }
        let copy = copy_at(&write.tx, id, at).await?;
        let marked = match copy.state {
            CopyState::Expiring => true,
            CopyState::Damaged | CopyState::Missing => copy.expiring_since.is_some(),
            CopyState::Good | CopyState::Deleting | CopyState::Expired => false,
        };
        if !marked {
            return Err(in_use("a change of its state"));
        }
        let copy = StoredCopy { state: CopyState::Deleting, ..copy };
        write_copy(&write.tx, id, &copy).await?;
        write.commit().await
    }

    /// Adds a copy to a snapshot for the run that `token` holds, and owns its objects.
    pub async fn add_copy(
        &self,
        run: RunId,
        token: i64,
        id: SnapshotId,
        copy: &StoredCopy,
    ) -> Result<(), CatalogError> {
        let snapshot = self.snapshot(id).await?;
        let write = self.write().await?;
        holds(&write.tx, run, token).await?;
        insert_copy(&write.tx, &snapshot, copy).await?;
        let own = "DELETE FROM begun_object WHERE run_id = $1";
        execute(&write.tx, own, vec![run.to_string().into()]).await?;
        write.commit().await
    }

    /// Snapshots that a queued or running run refers to, `except` that one.
    pub async fn snapshots_in_use(
        &self,
        except: Option<RunId>,
    ) -> Result<HashSet<SnapshotId>, CatalogError> {
        let runs = self.active_runs().await?;
        let used = runs.iter().filter(|run| Some(run.id) != except);
        Ok(used.filter_map(|run| run.snapshot_id).collect())
    }

    /// The newest snapshot with a good copy that is no base backup, app by app.
    pub async fn last_good_snapshots(
        &self,
        apps: &[AppId],
    ) -> Result<HashMap<AppId, Snapshot>, CatalogError> {
        let mut last = HashMap::with_capacity(apps.len());
        for some in apps.chunks(500) {
            let values: Vec<Value> = some.iter().map(|id| id.to_string().into()).collect();
            let select = format!(
                "WITH a (id) AS (VALUES {}) SELECT doc, pinned FROM snapshot WHERE id IN (SELECT ({NEWEST_GOOD}) FROM a)",
                lists(some.len(), 1)
            );
            let found = rows(&self.db, &select, values).await?;
            for snapshot in self.with_copies(&found).await? {
                last.insert(snapshot.app_id, snapshot);
            }
        }
        Ok(last)
    }

    /// Bytes that copies take, app by app.
    pub async fn stored_bytes_by_app(
        &self,
        apps: &[AppId],
    ) -> Result<HashMap<AppId, u64>, CatalogError> {
        let mut stored = HashMap::with_capacity(apps.len());
        for some in apps.chunks(500) {
            let values: Vec<Value> = some.iter().map(|id| id.to_string().into()).collect();
            let select = format!(
                "SELECT app_id, CAST(SUM(stored_bytes) AS BIGINT) AS bytes FROM snapshot_copy WHERE state <> 'expired' AND app_id IN ({}) GROUP BY app_id",
                list(1, some.len())
            );
            for found in rows(&self.db, &select, values).await? {
                let app: String = found.try_get("", "app_id")?;
                let app = app
                    .parse()
                    .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))?;
                stored.insert(app, found.try_get::<i64>("", "bytes")?.cast_unsigned());
            }
        }
        Ok(stored)
    }

    /// Apps that have a copy marked to expire before `before`, or half deleted.
    pub async fn apps_with_copies_expiring_before(
        &self,
        before: Timestamp,
    ) -> Result<Vec<AppId>, CatalogError> {
        let select = "SELECT DISTINCT app_id FROM snapshot_copy WHERE (state IN ('expiring', 'damaged', 'missing') AND expiring_since <= $1) OR state = 'deleting'";
        let found = rows(&self.db, select, vec![micros(before).into()]).await?;
        found
            .iter()
            .map(|row| {
                let app: String = row.try_get("", "app_id")?;
                app.parse()
                    .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))
            })
            .collect()
    }
}

/// Writes what the last drill of a snapshot found.
pub(crate) async fn prove<C: ConnectionTrait>(
    on: &C,
    id: SnapshotId,
    proof: &Proof,
) -> Result<(), CatalogError> {
    change(on, id, |found| found.proof = Some(proof.clone())).await
}

async fn change<C: ConnectionTrait>(
    on: &C,
    id: SnapshotId,
    change: impl FnOnce(&mut Snapshot) + Send,
) -> Result<(), CatalogError> {
    let select = "SELECT doc FROM snapshot WHERE id = $1";
    let found = row(on, select, vec![id.to_string().into()]).await?;
    let mut snapshot: Snapshot =
        doc(&found.ok_or_else(|| CatalogError::not_found("snapshot", id))?)?;
    change(&mut snapshot);
    let update = "UPDATE snapshot SET doc = $1 WHERE id = $2";
    execute(on, update, vec![json(&snapshot)?.into(), id.to_string().into()]).await?;
    Ok(())
}

pub(crate) async fn insert<C: ConnectionTrait>(
    on: &C,
    snapshot: &Snapshot,
) -> Result<(), CatalogError> {
    insert_all(on, &[snapshot]).await
}

/// Inserts snapshots with their copies.
pub(crate) async fn insert_all<C: ConnectionTrait>(
    on: &C,
    snapshots: &[&Snapshot],
) -> Result<(), CatalogError> {
    for some in snapshots.chunks(AT_ONCE) {
        let sql = format!(
            "INSERT INTO snapshot (id, app_id, taken_at, pinned, doc) VALUES {}",
            lists(some.len(), 5)
        );
        let mut values: Vec<Value> = Vec::with_capacity(some.len() * 5);
        for snapshot in some {
            values.extend([
                snapshot.id.to_string().into(),
                snapshot.app_id.to_string().into(),
                micros(snapshot.taken_at).into(),
                i64::from(snapshot.pinned).into(),
                json(&Snapshot { copies: Vec::new(), ..(*snapshot).clone() })?.into(),
            ]);
        }
        execute(on, &sql, values).await?;
    }
    let copies: Vec<_> = snapshots
        .iter()
        .flat_map(|snapshot| snapshot.copies.iter().map(move |copy| (*snapshot, copy)))
        .collect();
    insert_copies(on, &copies).await
}

async fn insert_copy<C: ConnectionTrait>(
    on: &C,
    snapshot: &Snapshot,
    copy: &StoredCopy,
) -> Result<(), CatalogError> {
    insert_copies(on, &[(snapshot, copy)]).await
}

/// Inserts copies, or replaces them.
pub(crate) async fn insert_copies<C: ConnectionTrait>(
    on: &C,
    copies: &[(&Snapshot, &StoredCopy)],
) -> Result<(), CatalogError> {
    for some in copies.chunks(AT_ONCE) {
        let sql = format!(
            "INSERT INTO snapshot_copy (snapshot_id, destination_id, app_id, state, stored_bytes, expiring_since, checked_at, kind, doc) VALUES {} \
             ON CONFLICT (snapshot_id, destination_id) DO UPDATE SET state = excluded.state, stored_bytes = excluded.stored_bytes, expiring_since = excluded.expiring_since, checked_at = excluded.checked_at, doc = excluded.doc",
            lists(some.len(), 9)
        );
        let mut values: Vec<Value> = Vec::with_capacity(some.len() * 9);
        for (snapshot, copy) in some {
            values.extend([
                snapshot.id.to_string().into(),
                copy.destination_id.to_string().into(),
                snapshot.app_id.to_string().into(),
                copy.state.to_string().into(),
                count(copy.stored_bytes()).into(),
                copy.expiring_since.map(micros).into(),
                micros(copy.checked_at()).into(),
                snapshot.kind.to_string().into(),
                json(copy)?.into(),
            ]);
        }
        execute(on, &sql, values).await?;
    }
    Ok(())
}

async fn copy_at<C: ConnectionTrait>(
    on: &C,
    id: SnapshotId,
    at: DestinationId,
) -> Result<StoredCopy, CatalogError> {
    let select = "SELECT doc FROM snapshot_copy WHERE snapshot_id = $1 AND destination_id = $2";
    let found = row(on, select, vec![id.to_string().into(), at.to_string().into()]).await?;
    doc(&found.ok_or_else(|| CatalogError::not_found("copy of snapshot", id))?)
}

pub(crate) async fn write_copy<C: ConnectionTrait>(
    on: &C,
    id: SnapshotId,
    copy: &StoredCopy,
) -> Result<(), CatalogError> {
    let sql = "UPDATE snapshot_copy SET state = $1, expiring_since = $2, checked_at = $3, doc = $4 WHERE snapshot_id = $5 AND destination_id = $6";
    let values = vec![
        copy.state.to_string().into(),
        copy.expiring_since.map(micros).into(),
        micros(copy.checked_at()).into(),
        json(copy)?.into(),
        id.to_string().into(),
        copy.destination_id.to_string().into(),
    ];
    execute(on, sql, values).await.map(drop)
}

pub(crate) async fn update<C: ConnectionTrait>(
    on: &C,
    change: &CopyUpdate,
) -> Result<(), CatalogError> {
    let copy = copy_at(on, change.snapshot_id, change.destination_id).await?;
    let next = StoredCopy {
        state: change.state,
        verified_at: change.verified_at,
        expiring_since: change.expiring_since,
        ..copy
    };
    write_copy(on, change.snapshot_id, &next).await
}
