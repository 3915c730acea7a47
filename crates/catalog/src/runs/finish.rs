//! The end of a run, with all that follows from it, in one transaction.

use model::{DestinationId, DestinationOutcome, Run, RunId};
use sea_orm::ConnectionTrait;

use super::{COLUMNS, Ending, claim::holds, queue::insert_run, read};
use crate::{
    Catalog, CatalogError, snapshots,
    sql::{count, doc, execute, json, micros, row, rows},
    totals,
};

impl Catalog {
    /// Ends a run that `token` holds.
    pub async fn finish(&self, id: RunId, token: i64, ending: &Ending) -> Result<(), CatalogError> {
        let write = self.write().await?;
        holds(&write.tx, id, token).await?;
        end(&write.tx, id, token, ending).await?;
        write.commit().await
    }

    /// Ends a run that nobody works on any more. The token grows, so that its old holder can
    /// write nothing, should it come back.
    pub async fn end_interrupted(
        &self,
        id: RunId,
        token: i64,
        ending: &Ending,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let fence = "UPDATE run SET lease_token = lease_token + 1 WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let values = vec![id.to_string().into(), token.into()];
        if execute(&write.tx, fence, values).await?.rows_affected() == 0 {
            return Err(CatalogError::LeaseLost { run: id.to_string() });
        }
        end(&write.tx, id, token + 1, ending).await?;
        write.commit().await
    }

    /// Writes how a run stands at one destination.
    pub async fn outcome(
        &self,
        outcome: &DestinationOutcome,
        token: i64,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        holds(&write.tx, outcome.run_id, token).await?;
        let sql = "INSERT INTO run_outcome (run_id, destination_id, doc) VALUES ($1, $2, $3) ON CONFLICT (run_id, destination_id) DO UPDATE SET doc = excluded.doc";
        let values = vec![
            outcome.run_id.to_string().into(),
            outcome.destination_id.to_string().into(),
            json(outcome)?.into(),
        ];
        execute(&write.tx, sql, values).await?;
        write.commit().await
    }

    /// How a run stands or ended, destination by destination.
    pub async fn outcomes(&self, id: RunId) -> Result<Vec<DestinationOutcome>, CatalogError> {
        let select = "SELECT doc FROM run_outcome WHERE run_id = $1 ORDER BY destination_id";
        rows(&self.db, select, vec![id.to_string().into()]).await?.iter().map(doc).collect()
    }
}

/// Notes how much has been sent to a destination. Where the outcome is being rewritten at the same
/// time, that is the newer word, and this one is left out.
pub(super) async fn note_bytes<C: ConnectionTrait>(
    on: &C,
    id: RunId,
    destination: DestinationId,
    bytes_written: u64,
) -> Result<(), CatalogError> {
    let select = "SELECT doc FROM run_outcome WHERE run_id = $1 AND destination_id = $2";
    let which = [id.to_string().into(), destination.to_string().into()];
    let Some(found) = row(on, select, which.to_vec()).await? else { return Ok(()) };
    let before: DestinationOutcome = doc(&found)?;
    if before.state.is_terminal() {
        return Ok(());
    }
    let after = DestinationOutcome { bytes_written, ..before };
    let update =
        "UPDATE run_outcome SET doc = $1 WHERE run_id = $2 AND destination_id = $3 AND doc = $4";
    let [run, destination] = which;
    let values =
        vec![json(&after)?.into(), run, destination, found.try_get::<String>("", "doc")?.into()];
    execute(on, update, values).await?;
    Ok(())
}

async fn end<C: ConnectionTrait>(
    on: &C,
    id: RunId,
    token: i64,
    ending: &Ending,
) -> Result<(), CatalogError> {
    let select = format!("SELECT {COLUMNS} FROM run WHERE id = $1");
    let found = row(on, &select, vec![id.to_string().into()]).await?;
    let run = read(&found.ok_or_else(|| CatalogError::not_found("run", id))?)?;
    if !ending.state.is_terminal() || !run.state.may_become(ending.state) {
        let (from, to) = (run.state.to_string(), ending.state.to_string());
        return Err(CatalogError::Transition { from, to });
    }
    if let Some(snapshot) = &ending.snapshot {
        snapshots::insert(on, snapshot).await?;
        for copy in &snapshot.copies {
            let names = std::iter::once(&copy.manifest_key)
                .chain(copy.objects.iter().map(|object| &object.key))
                .chain(&copy.log_key);
            for name in names {
                let own = "DELETE FROM begun_object WHERE run_id = $1 AND destination_id = $2 AND object_key = $3";
                let destination = copy.destination_id.to_string();
                let values = vec![id.to_string().into(), destination.into(), name.as_str().into()];
                execute(on, own, values).await?;
            }
        }
    }
    for update in &ending.copies {
        snapshots::update(on, update).await?;
    }
    if let Some((snapshot, proof)) = &ending.proof {
        snapshots::prove(on, *snapshot, proof).await?;
    }
    for next in &ending.follow_ups {
        insert_run(on, next).await?;
    }
    crate::events::insert(on, &ending.events).await?;
    let leave = "UPDATE run_stage SET finished_at = $1 WHERE run_id = $2 AND finished_at IS NULL";
    execute(on, leave, vec![micros(ending.at).into(), id.to_string().into()]).await?;
    let ended = Run {
        state: ending.state,
        finished_at: Some(ending.at),
        failure: ending.failure.clone(),
        bytes_read: ending.bytes_read,
        snapshot_id: ending.snapshot.as_ref().map(|snapshot| snapshot.id).or(run.snapshot_id),
        lease: None,
        ..run
    };
    let update = "UPDATE run SET state = $1, finished_at = $2, bytes_read = $3, snapshot_id = $4, doc = $5, lease_owner = NULL, lease_expires_at = NULL WHERE id = $6 AND lease_token = $7 AND state = 'running'";
    let values = vec![
        ended.state.to_string().into(),
        micros(ending.at).into(),
        count(ending.bytes_read).into(),
        ended.snapshot_id.map(|id| id.to_string()).into(),
        json(&ended)?.into(),
        id.to_string().into(),
        token.into(),
    ];
    if execute(on, update, values).await?.rows_affected() == 0 {
        return Err(CatalogError::LeaseLost { run: id.to_string() });
    }
    totals::add(on, &ended).await
}
