//! Apps.

use jiff::Timestamp;
use model::{App, AppId};

use crate::{
    Catalog, CatalogError,
    sql::{doc, execute, json, micros, row, rows},
};

impl Catalog {
    /// Adds an app.
    pub async fn insert_app(&self, app: &App) -> Result<(), CatalogError> {
        let write = self.write().await?;
        self.app_name_is_free(&write.tx, app).await?;
        let insert = "INSERT INTO app (id, name_key, version, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![
            app.id.to_string().into(),
            app.name.as_str().to_lowercase().into(),
            app.version.into(),
            json(app)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// Replaces an app that was read at `app.version`; gives it with its new version.
    pub async fn update_app(&self, app: &App, now: Timestamp) -> Result<App, CatalogError> {
        let next = App { version: app.version + 1, updated_at: now, ..app.clone() };
        let write = self.write().await?;
        self.app_name_is_free(&write.tx, app).await?;
        let update = "UPDATE app SET name_key = $1, version = $2, doc = $3 WHERE id = $4 AND version = $5 AND removed_at IS NULL";
        let values = vec![
            next.name.as_str().to_lowercase().into(),
            next.version.into(),
            json(&next)?.into(),
            app.id.to_string().into(),
            app.version.into(),
        ];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::Stale { name: app.name.to_string() });
        }
        write.commit().await?;
        Ok(next)
    }

    async fn app_name_is_free<C: sea_orm::ConnectionTrait>(
        &self,
        on: &C,
        app: &App,
    ) -> Result<(), CatalogError> {
        let select = "SELECT id FROM app WHERE name_key = $1 AND id <> $2 AND removed_at IS NULL";
        let values = vec![app.name.as_str().to_lowercase().into(), app.id.to_string().into()];
        match row(on, select, values).await? {
            Some(_) => Err(CatalogError::NameTaken { what: "app", name: app.name.to_string() }),
            None => Ok(()),
        }
    }

    /// An app that is not removed.
    pub async fn app(&self, id: AppId) -> Result<App, CatalogError> {
        let select = "SELECT doc FROM app WHERE id = $1 AND removed_at IS NULL";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("app", id))?)
    }

    /// An app that is not removed, by its name (without regard to case) or id.
    pub async fn app_by_name(&self, name: &str) -> Result<App, CatalogError> {
        let select = "SELECT doc FROM app WHERE (name_key = $1 OR id = $1) AND removed_at IS NULL";
        let found = row(&self.db, select, vec![name.to_lowercase().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("app", name))?)
    }

    /// Every app that is not removed, by name.
    pub async fn all_apps(&self) -> Result<Vec<App>, CatalogError> {
        let select = "SELECT doc FROM app WHERE removed_at IS NULL ORDER BY name_key";
        rows(&self.db, select, vec![]).await?.iter().map(doc).collect()
    }

    /// Marks an app as removed; refused while a run of it is under way. Its runs and snapshots
    /// stay.
    pub async fn remove_app(&self, id: AppId, now: Timestamp) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let select = "SELECT 1 FROM run WHERE app_id = $1 AND state = 'running' LIMIT 1";
        if row(&write.tx, select, vec![id.to_string().into()]).await?.is_some() {
            let by = "a run under way: wait for its end or cancel it".to_owned();
            return Err(CatalogError::InUse { name: id.to_string(), by });
        }
        let update = "UPDATE app SET removed_at = $1 WHERE id = $2 AND removed_at IS NULL";
        let values = vec![micros(now).into(), id.to_string().into()];
        if execute(&write.tx, update, values).await?.rows_affected() == 0 {
            return Err(CatalogError::not_found("app", id));
        }
        write.commit().await
    }
}
