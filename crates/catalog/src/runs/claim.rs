//! Leases: taken, renewed, lost.

use jiff::{SignedDuration, Timestamp};
use model::{Run, RunId, Stage};
use sea_orm::ConnectionTrait;

use super::{COLUMNS, Heartbeat, Progress, read};
use crate::{
    Backend, Catalog, CatalogError,
    sql::{count, execute, json, micros, row, rows},
};

impl Catalog {
    /// Takes the oldest run that may start, for `lease`. An app's runs go one at a time; no two
    /// workers get the same run.
    pub async fn claim(
        &self,
        owner: &str,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Option<Run>, CatalogError> {
        let idle = "SELECT 1 FROM run WHERE state = 'queued' AND cancel_requested = 0 AND not_before <= $1 LIMIT 1";
        // Looking is free, writing is not: an empty queue takes no turn.
        if row(&self.db, idle, vec![micros(now).into()]).await?.is_none() {
            return Ok(None);
        }
        let write = self.write().await?;
        let skip_locked = match self.backend() {
            Backend::Postgres => "FOR UPDATE SKIP LOCKED",
            Backend::Sqlite => "",
        };
        let select = format!(
            "SELECT {COLUMNS}, id FROM run WHERE state = 'queued' AND cancel_requested = 0 AND not_before <= $1 \
             AND (app_id IS NULL OR NOT EXISTS (SELECT 1 FROM run busy WHERE busy.app_id = run.app_id AND busy.state = 'running')) \
             ORDER BY not_before, id LIMIT 1 {skip_locked}"
        );
        let Some(found) = row(&write.tx, &select, vec![micros(now).into()]).await? else {
            return Ok(None);
        };
        let mut run = read(&found)?;
        run.started_at.get_or_insert(now);
        let expires = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        let update = "UPDATE run SET state = 'running', lease_owner = $1, lease_token = lease_token + 1, lease_expires_at = $2, doc = $3 WHERE id = $4 AND state = 'queued'";
        let values = vec![
            owner.into(),
            micros(expires).into(),
            json(&run)?.into(),
            run.id.to_string().into(),
        ];
        match execute(&write.tx, update, values).await {
            Ok(done) if done.rows_affected() == 1 => {}
            Ok(_) => return Ok(None),
            // Another worker took another run of the same app at the same moment.
            Err(CatalogError::Unavailable(text))
                if text.contains("run_one_at_a_time") || text.contains("run.app_id") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let select = format!("SELECT {COLUMNS} FROM run WHERE id = $1");
        let found = row(&write.tx, &select, vec![run.id.to_string().into()]).await?;
        let run = found.map(|found| read(&found)).transpose()?;
        write.commit().await?;
        Ok(run)
    }

    /// Renews a lease that has not run out.
    pub async fn heartbeat(
        &self,
        id: RunId,
        token: i64,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Heartbeat, CatalogError> {
        let write = self.write().await?;
        let expires = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        let update = "UPDATE run SET lease_expires_at = $1 WHERE id = $2 AND lease_token = $3 AND state = 'running' AND lease_expires_at > $4";
        let values =
            vec![micros(expires).into(), id.to_string().into(), token.into(), micros(now).into()];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::LeaseLost { run: id.to_string() });
        }
        let select = "SELECT cancel_requested FROM run WHERE id = $1";
        let found = row(&write.tx, select, vec![id.to_string().into()]).await?;
        let asked = found.map_or(Ok(0), |found| found.try_get::<i64>("", "cancel_requested"))?;
        write.commit().await?;
        Ok(Heartbeat { cancel_requested: asked != 0 })
    }

    /// Errs unless `token` holds the run now.
    pub async fn check_lease(
        &self,
        id: RunId,
        token: i64,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let select = "SELECT 1 FROM run WHERE id = $1 AND lease_token = $2 AND state = 'running' AND lease_expires_at > $3";
        let values = vec![id.to_string().into(), token.into(), micros(now).into()];
        match row(&self.db, select, values).await? {
            Some(_) => Ok(()),
            None => Err(CatalogError::LeaseLost { run: id.to_string() }),
        }
    }

    /// Writes how far a run is.
    pub async fn progress(
        &self,
        id: RunId,
        token: i64,
        progress: &Progress,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let update = "UPDATE run SET stage = $1, bytes_read = $2, bytes_expected = $3 WHERE id = $4 AND lease_token = $5 AND state = 'running'";
        let values = vec![
            progress.stage.to_string().into(),
            count(progress.bytes_read).into(),
            progress.bytes_expected.map(count).into(),
            id.to_string().into(),
            token.into(),
        ];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::LeaseLost { run: id.to_string() });
        }
        for (destination, bytes) in &progress.written {
            super::finish::note_bytes(&write.tx, id, *destination, *bytes).await?;
        }
        write.commit().await
    }

    /// Notes that a run left its stage and entered `stage`.
    pub async fn enter_stage(
        &self,
        id: RunId,
        token: i64,
        stage: Stage,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        holds(&write.tx, id, token).await?;
        let leave = "UPDATE run_stage SET finished_at = $1 WHERE run_id = $2 AND finished_at IS NULL AND stage <> $3";
        let values = vec![micros(now).into(), id.to_string().into(), stage.to_string().into()];
        execute(&write.tx, leave, values).await?;
        let enter = "INSERT INTO run_stage (run_id, stage, started_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let values = vec![id.to_string().into(), stage.to_string().into(), micros(now).into()];
        execute(&write.tx, enter, values).await?;
        let update = "UPDATE run SET stage = $1 WHERE id = $2";
        execute(&write.tx, update, vec![stage.to_string().into(), id.to_string().into()]).await?;
        write.commit().await
    }

    /// Runs whose worker has been silent for longer than its lease. A lease that ends more than
    /// a day from now is of a clock that was ahead, and of nobody who renews it.
    pub async fn interrupted(&self, now: Timestamp) -> Result<Vec<Run>, CatalogError> {
        let select = format!(
            "SELECT {COLUMNS} FROM run WHERE state = 'running' AND (lease_expires_at <= $1 OR lease_expires_at > $2)"
        );
        let ahead = now.saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        rows(&self.db, &select, vec![micros(now).into(), micros(ahead).into()])
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

/// Errs unless `token` is the run's last one and the run is under way.
pub(crate) async fn holds<C: ConnectionTrait>(
    on: &C,
    id: RunId,
    token: i64,
) -> Result<(), CatalogError> {
    let select = "SELECT 1 FROM run WHERE id = $1 AND lease_token = $2 AND state = 'running'";
    match row(on, select, vec![id.to_string().into(), token.into()]).await? {
        Some(_) => Ok(()),
        None => Err(CatalogError::LeaseLost { run: id.to_string() }),
    }
}
