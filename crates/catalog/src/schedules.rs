//! Which fires were served.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{AppId, Event, Run};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Catalog, CatalogError, Enqueued,
    runs::insert_run,
    sql::{execute, list, micros, moment, parsed, rows},
};

impl Catalog {
    /// The last fire served, app by app.
    pub async fn last_fires(&self) -> Result<HashMap<AppId, Timestamp>, CatalogError> {
        let found = rows(&self.db, "SELECT app_id, at FROM last_fire", vec![]).await?;
        found.iter().map(fire).collect()
    }

    /// The same of `apps` alone.
    pub async fn last_fires_of(
        &self,
        apps: &[AppId],
    ) -> Result<HashMap<AppId, Timestamp>, CatalogError> {
        let mut fires = HashMap::with_capacity(apps.len());
        for some in apps.chunks(500) {
            let select = format!(
                "SELECT app_id, at FROM last_fire WHERE app_id IN ({})",
                list(1, some.len())
            );
            let values = some.iter().map(|id| id.to_string().into()).collect();
            for row in &rows(&self.db, &select, values).await? {
                fires.extend([fire(row)?]);
            }
        }
        Ok(fires)
    }

    /// Says that everything up to `at` is served.
    pub async fn set_last_fire(&self, app: AppId, at: Timestamp) -> Result<(), CatalogError> {
        let write = self.write().await?;
        upsert(&write.tx, app, at).await?;
        write.commit().await
    }

    /// Queues the run of a fire, once however many ask for it, and says that it is served.
    pub async fn enqueue_fire(
        &self,
        run: &Run,
        fire_at: Timestamp,
        events: &[Event],
    ) -> Result<Enqueued, CatalogError> {
        let write = self.write().await?;
        let enqueued = insert_run(&write.tx, run).await?;
        if let Some(app) = run.app_id {
            upsert(&write.tx, app, fire_at).await?;
        }
        if matches!(enqueued, Enqueued::New) {
            crate::events::insert(&write.tx, events).await?;
        }
        write.commit().await?;
        Ok(enqueued)
    }

    /// Says that fires up to `fire_at` passed and are not made up for.
    pub async fn skip_fires(
        &self,
        app: AppId,
        fire_at: Timestamp,
        events: &[Event],
    ) -> Result<(), CatalogError> {
        let write = self.write().await?;
        upsert(&write.tx, app, fire_at).await?;
        crate::events::insert(&write.tx, events).await?;
        write.commit().await
    }
}

fn fire(row: &QueryResult) -> Result<(AppId, Timestamp), CatalogError> {
    let app = parsed(&row.try_get::<String>("", "app_id")?)?;
    Ok((app, moment(row.try_get("", "at")?)?))
}

async fn upsert<C: ConnectionTrait>(on: &C, app: AppId, at: Timestamp) -> Result<(), CatalogError> {
    let sql = "INSERT INTO last_fire (app_id, at) VALUES ($1, $2) ON CONFLICT (app_id) DO UPDATE SET at = excluded.at";
    execute(on, sql, vec![app.to_string().into(), micros(at).into()]).await.map(drop)
}
