//! A past, written at once, for demonstrations and measurements: what runs leave behind them,
//! without the runs.

use model::{DestinationOutcome, DrillReport, Event, LogLine, Run, RunId, Snapshot};

use crate::{
    Catalog, CatalogError, events, runs, snapshots,
    sql::{count, execute, json, micros},
};

/// What runs left behind.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Ended runs.
    pub runs: Vec<Run>,
    /// How they went at each destination.
    pub outcomes: Vec<DestinationOutcome>,
    /// What they made.
    pub snapshots: Vec<Snapshot>,
    /// What was told of them.
    pub events: Vec<Event>,
    /// What they logged.
    pub logs: Vec<(RunId, LogLine)>,
    /// What came of those that were drills.
    pub drills: Vec<(RunId, DrillReport)>,
}

impl Catalog {
    /// Writes all of `past` or nothing. Runs that have not ended are refused: nobody works on them.
    pub async fn write_past(&self, past: &Past) -> Result<(), CatalogError> {
        if let Some(run) = past.runs.iter().find(|run| !run.state.is_terminal()) {
            let (from, to) = (run.state.to_string(), "a past".to_owned());
            return Err(CatalogError::Transition { from, to });
        }
        let write = self.write().await?;
        for run in &past.runs {
            runs::insert_run(&write.tx, run).await?;
            let update = "UPDATE run SET finished_at = $1, bytes_read = $2, doc = $3 WHERE id = $4";
            let values = vec![
                run.finished_at.map(micros).into(),
                count(run.bytes_read).into(),
                json(run)?.into(),
                run.id.to_string().into(),
            ];
            execute(&write.tx, update, values).await?;
        }
        for outcome in &past.outcomes {
            let sql = "INSERT INTO run_outcome (run_id, destination_id, doc) VALUES ($1, $2, $3)";
            let values = vec![
                outcome.run_id.to_string().into(),
                outcome.destination_id.to_string().into(),
                json(outcome)?.into(),
            ];
            execute(&write.tx, sql, values).await?;
        }
        let all: Vec<&Snapshot> = past.snapshots.iter().collect();
        snapshots::insert_all(&write.tx, &all).await?;
        events::insert(&write.tx, &past.events).await?;
        for (run, line) in &past.logs {
            let sql = "INSERT INTO run_log (run_id, seq, doc) VALUES ($1, $2, $3)";
            let values = vec![run.to_string().into(), line.seq.into(), json(line)?.into()];
            execute(&write.tx, sql, values).await?;
        }
        for (run, report) in &past.drills {
            let sql = "INSERT INTO run_report (run_id, doc) VALUES ($1, $2)";
            execute(&write.tx, sql, vec![run.to_string().into(), json(report)?.into()]).await?;
        }
        write.commit().await
    }
}
