//! What is to be looked at again: copies by their age, apps by their drills.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{AppId, DestinationId, Run, RunKind, SnapshotId, StoredCopy};
use sea_orm::Value;

use crate::{
    Catalog, CatalogError,
    runs::{COLUMNS, read},
    snapshots::write_copy,
    sql::{count, doc, joined, list, lists, micros, moment, parsed, rows},
};

/// A copy that nobody has re-read for long.
#[derive(Debug, Clone, PartialEq)]
pub struct StaleCopy {
    /// Of which snapshot.
    pub snapshot_id: SnapshotId,
    /// Whose snapshot.
    pub app_id: AppId,
    /// When its bytes were last known to be right.
    pub checked_at: Timestamp,
}

impl Catalog {
    /// Good copies at `destination` that were last known to be right before `before`, the oldest
    /// first.
    pub async fn copies_unread_since(
        &self,
        destination: DestinationId,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<StaleCopy>, CatalogError> {
        self.note_when_checked(destination).await?;
        let select = "SELECT snapshot_id, app_id, checked_at FROM snapshot_copy WHERE destination_id = $1 AND state = 'good' AND checked_at < $2 ORDER BY checked_at, snapshot_id LIMIT $3";
        let values =
            vec![destination.to_string().into(), micros(before).into(), count(limit).into()];
        let id = |error: model::id::ParseIdError| CatalogError::Corrupt(error.to_string());
        rows(&self.db, select, values)
            .await?
            .iter()
            .map(|found| {
                let text = |name: &str| found.try_get::<String>("", name);
                Ok(StaleCopy {
                    snapshot_id: text("snapshot_id")?.parse().map_err(id)?,
                    app_id: text("app_id")?.parse().map_err(id)?,
                    checked_at: moment(found.try_get("", "checked_at")?)?,
                })
            })
            .collect()
    }

    /// Fills in the column for copies recorded before there was one.
    async fn note_when_checked(&self, destination: DestinationId) -> Result<(), CatalogError> {
        let select = "SELECT snapshot_id, doc FROM snapshot_copy WHERE destination_id = $1 AND checked_at IS NULL AND state = 'good' LIMIT 500";
        loop {
            let write = self.write().await?;
            let found = rows(&write.tx, select, vec![destination.to_string().into()]).await?;
            if found.is_empty() {
                return Ok(());
            }
            for row in &found {
                let id: String = row.try_get("", "snapshot_id")?;
                let id = id
                    .parse()
                    .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))?;
                let copy: StoredCopy = doc(row)?;
                write_copy(&write.tx, id, &copy).await?;
            }
            write.commit().await?;
        }
    }

    /// When a drill was last asked for until `until`, app by app.
    pub async fn last_drills_asked(
        &self,
        until: Timestamp,
    ) -> Result<HashMap<AppId, Timestamp>, CatalogError> {
        let select = "SELECT app_id, MAX(queued_at) AS at FROM run WHERE kind = 'drill' AND queued_at <= $1 AND app_id IS NOT NULL GROUP BY app_id";
        rows(&self.db, select, vec![micros(until).into()])
            .await?
            .iter()
            .map(|found| {
                let app: String = found.try_get("", "app_id")?;
                let app = app
                    .parse()
                    .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))?;
                Ok((app, moment(found.try_get("", "at")?)?))
            })
            .collect()
    }

    /// The last drill that ended of each of `apps`; with `proven`, the last that proved something.
    pub async fn last_drills(
        &self,
        apps: &[AppId],
        proven: bool,
    ) -> Result<HashMap<AppId, Run>, CatalogError> {
        let ended = if proven { "state = 'succeeded'" } else { "state IN ('succeeded', 'failed')" };
        self.last_of(apps, RunKind::Drill, ended).await
    }

    /// The last restore that ended well of each of `apps`.
    pub async fn last_restores(&self, apps: &[AppId]) -> Result<HashMap<AppId, Run>, CatalogError> {
        self.last_of(apps, RunKind::Restore, "state = 'succeeded'").await
    }

    /// The last run of `kind` of each of `apps` of which `ended` holds.
    pub(crate) async fn last_of(
        &self,
        apps: &[AppId],
        kind: RunKind,
        ended: &str,
    ) -> Result<HashMap<AppId, Run>, CatalogError> {
        let mut last = HashMap::with_capacity(apps.len());
        for some in apps.chunks(500) {
            let mut values: Vec<Value> = some.iter().map(|id| id.to_string().into()).collect();
            values.push(kind.to_string().into());
            let select = format!(
                "WITH a (id) AS (VALUES {}) SELECT {COLUMNS} FROM run WHERE id IN (SELECT (SELECT id FROM run WHERE app_id = a.id AND kind = ${} AND {ended} ORDER BY queued_at DESC, id DESC LIMIT 1) FROM a)",
                lists(some.len(), 1),
                values.len()
            );
            for found in rows(&self.db, &select, values).await? {
                let run = read(&found)?;
                if let Some(app) = run.app_id {
                    last.insert(app, run);
                }
            }
        }
        Ok(last)
    }

    /// When the good snapshots that there are since `since` were taken, app by app, oldest first.
    pub async fn good_moments(
        &self,
        apps: &[AppId],
        since: Timestamp,
    ) -> Result<HashMap<AppId, Vec<Timestamp>>, CatalogError> {
        let mut moments: HashMap<AppId, Vec<Timestamp>> = HashMap::new();
        for some in apps.chunks(500) {
            let mut values: Vec<Value> = vec![micros(since).into()];
            values.extend(some.iter().map(|id| Value::from(id.to_string())));
            let taken = joined(&self.db, "CAST(taken_at AS TEXT)");
            let select = format!(
                "SELECT app_id, {taken} AS taken FROM snapshot WHERE taken_at >= $1 AND app_id IN ({}) AND id NOT IN (SELECT snapshot_id FROM snapshot_copy WHERE kind = 'base') GROUP BY app_id",
                list(2, some.len())
            );
            for found in rows(&self.db, &select, values).await? {
                let app = parsed(&found.try_get::<String>("", "app_id")?)?;
                let taken: String = found.try_get("", "taken")?;
                let taken = taken.split(',').map(|at| moment(parsed(at)?));
                let mut taken = taken.collect::<Result<Vec<_>, CatalogError>>()?;
                taken.sort_unstable();
                moments.insert(app, taken);
            }
        }
        Ok(moments)
    }
}
