//! What ended runs come to. Counted as each ends, so that the numbers only ever grow, whatever
//! becomes of the runs.

use std::time::Duration;

use jiff::Timestamp;
use model::{AppId, DestinationOutcome, Run, RunKind, RunState};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Catalog, CatalogError,
    sql::{count, doc, execute, micros, moment, rows},
};

/// Runs of one app that did the same and ended alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTotal {
    /// Whose; `None` for runs that concern a destination as a whole.
    pub app_id: Option<AppId>,
    /// What they did.
    pub kind: RunKind,
    /// How they ended.
    pub state: RunState,
    /// How many.
    pub runs: u64,
    /// How long they were worked on, together.
    pub worked: Duration,
    /// Bytes read from sources.
    pub bytes_read: u64,
    /// Bytes that destinations took, all together.
    pub bytes_written: u64,
}

/// What waits and what is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Runs that wait for a worker, or for their time.
    pub queued: u64,
    /// Runs under way, in all processes.
    pub running: u64,
    /// Since when the one that waits longest may start.
    pub due_since: Option<Timestamp>,
}

impl Catalog {
    /// What all runs that ended come to, those of removed apps included.
    pub async fn run_totals(&self) -> Result<Vec<RunTotal>, CatalogError> {
        let select = "SELECT app_id, kind, state, runs, micros, bytes_read, bytes_written FROM run_total ORDER BY app_id, kind, state";
        rows(&self.db, select, vec![]).await?.iter().map(total).collect()
    }

    /// The queue at `now`.
    pub async fn queue(&self, now: Timestamp) -> Result<Queue, CatalogError> {
        let select = "SELECT state, COUNT(*) AS runs, MIN(not_before) AS since FROM run WHERE state IN ('queued', 'running') GROUP BY state";
        let mut queue = Queue::default();
        for found in rows(&self.db, select, vec![]).await? {
            let runs = found.try_get::<i64>("", "runs")?.cast_unsigned();
            if found.try_get::<String>("", "state")? == "running" {
                queue.running = runs;
                continue;
            }
            queue.queued = runs;
            let since = moment(found.try_get("", "since")?)?;
            queue.due_since = (since <= now).then_some(since);
        }
        Ok(queue)
    }
}

fn total(found: &QueryResult) -> Result<RunTotal, CatalogError> {
    let word = |error: strum::ParseError| CatalogError::Corrupt(error.to_string());
    let number = |name: &str| found.try_get::<i64>("", name).map(i64::cast_unsigned);
    let app: String = found.try_get("", "app_id")?;
    let app_id = (!app.is_empty()).then(|| app.parse()).transpose();
    Ok(RunTotal {
        app_id: app_id
            .map_err(|e: model::id::ParseIdError| CatalogError::Corrupt(e.to_string()))?,
        kind: found.try_get::<String>("", "kind")?.parse().map_err(word)?,
        state: found.try_get::<String>("", "state")?.parse().map_err(word)?,
        runs: number("runs")?,
        worked: Duration::from_micros(number("micros")?),
        bytes_read: number("bytes_read")?,
        bytes_written: number("bytes_written")?,
    })
}

/// Counts `ended`, a run in its terminal state, in the transaction that ends it.
pub(crate) async fn add<C: ConnectionTrait>(on: &C, ended: &Run) -> Result<(), CatalogError> {
    let select = "SELECT doc FROM run_outcome WHERE run_id = $1";
    let mut written: u64 = 0;
    for found in rows(on, select, vec![ended.id.to_string().into()]).await? {
        written = written.saturating_add(doc::<DestinationOutcome>(&found)?.bytes_written);
    }
    let worked = match (ended.started_at, ended.finished_at) {
        (Some(from), Some(to)) => micros(to).saturating_sub(micros(from)).max(0),
        _ => 0,
    };
    let app = ended.app_id.map(|id| id.to_string()).unwrap_or_default();
    let which = [app.into(), ended.kind.to_string().into(), ended.state.to_string().into()];
    let sql = "INSERT INTO run_total (app_id, kind, state, runs, micros, bytes_read, bytes_written) VALUES ($1, $2, $3, 1, $4, $5, $6) \
        ON CONFLICT (app_id, kind, state) DO UPDATE SET runs = run_total.runs + 1, micros = run_total.micros + excluded.micros, \
        bytes_read = run_total.bytes_read + excluded.bytes_read, bytes_written = run_total.bytes_written + excluded.bytes_written";
    let mut values = which.to_vec();
    values.extend([worked.into(), count(ended.bytes_read).into(), count(written).into()]);
    execute(on, sql, values).await.map(drop)
}
