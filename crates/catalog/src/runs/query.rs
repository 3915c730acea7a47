//! Looking at runs.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{AppId, Run, RunId, RunKind, RunState};
use sea_orm::Value;

use super::{COLUMNS, read};
use crate::{
    Catalog, CatalogError,
    sql::{count, joined, list, micros, moment, parsed, row, rows},
};

/// Which runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunQuery {
    /// Of this app only.
    pub app_id: Option<AppId>,
    /// How many to leave out, from the newest.
    pub offset: u64,
    /// How many; at most 500.
    pub limit: u64,
}

/// Of a run that is over.
pub(crate) const ENDED: &str = "state NOT IN ('queued', 'running')";

impl Catalog {
    /// A run.
    pub async fn run(&self, id: RunId) -> Result<Run, CatalogError> {
        let select = format!("SELECT {COLUMNS} FROM run WHERE id = $1");
        let found = row(&self.db, &select, vec![id.to_string().into()]).await?;
        read(&found.ok_or_else(|| CatalogError::not_found("run", id))?)
    }

    /// Those of `ids` that there are.
    pub async fn runs_by_id(&self, ids: &[RunId]) -> Result<HashMap<RunId, Run>, CatalogError> {
        let mut found = HashMap::with_capacity(ids.len());
        for some in ids.chunks(500) {
            let select = format!("SELECT {COLUMNS} FROM run WHERE id IN ({})", list(1, some.len()));
            let values = some.iter().map(|id| id.to_string().into()).collect();
            for row in rows(&self.db, &select, values).await? {
                let run = read(&row)?;
                found.insert(run.id, run);
            }
        }
        Ok(found)
    }

    /// Runs, newest first.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, CatalogError> {
        let mut values: Vec<Value> =
            vec![count(query.limit.clamp(1, 500)).into(), count(query.offset).into()];
        let only = query.app_id.map_or("", |app| {
            values.push(app.to_string().into());
            "WHERE app_id = $3"
        });
        let select = format!(
            "SELECT {COLUMNS} FROM run {only} ORDER BY queued_at DESC, id DESC LIMIT $1 OFFSET $2"
        );
        rows(&self.db, &select, values).await?.iter().map(read).collect()
    }

    /// Runs that wait or are under way.
    pub async fn active_runs(&self) -> Result<Vec<Run>, CatalogError> {
        let select = format!(
            "SELECT {COLUMNS} FROM run WHERE state IN ('queued', 'running') ORDER BY queued_at LIMIT 5000"
        );
        rows(&self.db, &select, vec![]).await?.iter().map(read).collect()
    }

    /// The last run of `kind` that ended, of one app.
    pub async fn last_ended_run(
        &self,
        app: AppId,
        kind: RunKind,
    ) -> Result<Option<Run>, CatalogError> {
        self.last_ended_run_until(app, kind, Timestamp::MAX).await
    }

    /// The last run of `kind` that ended, of one app, among those queued until `until`.
    pub async fn last_ended_run_until(
        &self,
        app: AppId,
        kind: RunKind,
        until: Timestamp,
    ) -> Result<Option<Run>, CatalogError> {
        let select = format!(
            "SELECT {COLUMNS} FROM run WHERE app_id = $1 AND kind = $2 AND queued_at <= $3 AND {ENDED} ORDER BY queued_at DESC, id DESC LIMIT 1"
        );
        let values = vec![app.to_string().into(), kind.to_string().into(), micros(until).into()];
        row(&self.db, &select, values).await?.map(|found| read(&found)).transpose()
    }

    /// The last ended backup run of each of `apps`.
    pub async fn last_runs(&self, apps: &[AppId]) -> Result<HashMap<AppId, Run>, CatalogError> {
        self.last_of(apps, RunKind::Backup, ENDED).await
    }

    /// When a run of `kind` last ended well, of whichever app.
    pub async fn last_success(&self, kind: RunKind) -> Result<Option<Timestamp>, CatalogError> {
        let select =
            "SELECT MAX(finished_at) AS at FROM run WHERE kind = $1 AND state = 'succeeded'";
        let found = row(&self.db, select, vec![kind.to_string().into()]).await?;
        let at = found.map(|found| found.try_get::<Option<i64>>("", "at")).transpose()?;
        at.flatten().map(moment).transpose()
    }

    /// When backup runs ended since `since`, and how, app by app, oldest first.
    pub async fn run_ends(
        &self,
        apps: &[AppId],
        since: Timestamp,
    ) -> Result<HashMap<AppId, Vec<(Timestamp, RunState)>>, CatalogError> {
        let mut ends: HashMap<AppId, Vec<(Timestamp, RunState)>> = HashMap::new();
        for some in apps.chunks(500) {
            let mut values: Vec<Value> = vec![micros(since).into()];
            values.extend(some.iter().map(|id| Value::from(id.to_string())));
            let ended = joined(&self.db, "CAST(finished_at AS TEXT) || ' ' || state");
            let select = format!(
                "SELECT app_id, {ended} AS ended FROM run WHERE kind = 'backup' AND finished_at >= $1 AND app_id IN ({}) GROUP BY app_id",
                list(2, some.len())
            );
            for found in rows(&self.db, &select, values).await? {
                let app = parsed(&found.try_get::<String>("", "app_id")?)?;
                let ended: String = found.try_get("", "ended")?;
                let ended = ended.split(',').map(|one| {
                    let (at, state) = one.split_once(' ').unwrap_or((one, ""));
                    Ok((moment(parsed(at)?)?, parsed(state)?))
                });
                let mut ended = ended.collect::<Result<Vec<_>, CatalogError>>()?;
                ended.sort_by_key(|(at, _)| *at);
                ends.insert(app, ended);
            }
        }
        Ok(ends)
    }
}
