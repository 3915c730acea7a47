//! Retention plans, recorded before anything is deleted.

use jiff::Timestamp;
use model::{AppId, DestinationId, PlanId, RunId};

use crate::{
    Catalog, CatalogError,
    sql::{execute, micros},
};

/// A plan as it is recorded.
#[derive(Debug, Clone)]
pub struct PlanRecord {
    /// Identity.
    pub id: PlanId,
    /// When it was made.
    pub at: Timestamp,
    /// For which app.
    pub app_id: AppId,
    /// At which destination.
    pub destination_id: DestinationId,
    /// By which run.
    pub run_id: Option<RunId>,
    /// The plan with its reasons, as JSON.
    pub plan_json: String,
}

impl Catalog {
    /// Records a plan.
    pub async fn record_plan(&self, plan: &PlanRecord) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "INSERT INTO retention_plan (id, app_id, destination_id, run_id, at, plan) VALUES ($1, $2, $3, $4, $5, $6)";
        let values = vec![
            plan.id.to_string().into(),
            plan.app_id.to_string().into(),
            plan.destination_id.to_string().into(),
            plan.run_id.map(|id| id.to_string()).into(),
            micros(plan.at).into(),
            plan.plan_json.clone().into(),
        ];
        execute(&write.tx, sql, values).await?;
        write.commit().await
    }

    /// Records what came of a plan.
    pub async fn finish_plan(
        &self,
        id: PlanId,
        at: Timestamp,
        outcome_json: &str,
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "UPDATE retention_plan SET finished_at = $1, outcome = $2 WHERE id = $3";
        execute(
            &write.tx,
            sql,
            vec![micros(at).into(), outcome_json.into(), id.to_string().into()],
        )
        .await?;
        write.commit().await
    }
}
