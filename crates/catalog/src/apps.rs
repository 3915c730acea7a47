//! Apps.

use std::sync::Arc;

use jiff::Timestamp;
use model::{App, AppId, Fact};

use crate::{
    Catalog, CatalogError, named,
    sql::{doc, gathered, row, split},
};

impl Catalog {
    /// Adds an app.
    pub async fn insert_app(&self, app: &App) -> Result<(), CatalogError> {
        let write = self.write().await?;
        named::insert(&write.tx, app).await?;
        write.commit().await
    }

    /// Replaces an app that was read at `app.version`; gives it with its new version.
    pub async fn update_app(&self, app: &App, now: Timestamp) -> Result<App, CatalogError> {
        let write = self.write().await?;
        let next = named::replace(&write.tx, app, now).await?;
        write.commit().await?;
        Ok(next)
    }

    /// An app that is not removed.
    pub async fn app(&self, id: AppId) -> Result<App, CatalogError> {
        let select = "SELECT doc FROM app WHERE id = $1 AND removed_at IS NULL";
        let found = row(&self.db, select, vec![id.to_string().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("app", id))?)
    }

    /// An app that is not removed, by its name (without regard to case) or id.
    pub async fn app_by_name(&self, name: &str) -> Result<App, CatalogError> {
        named::by_name(&self.db, name).await
    }

    /// Every app that is not removed, by name.
    pub async fn all_apps(&self) -> Result<Vec<App>, CatalogError> {
        Ok(self.every_app().await?.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    /// The same, to be looked at only: a thousand of them are not copied.
    pub async fn every_app(&self) -> Result<Vec<Arc<App>>, CatalogError> {
        let columns = ["name_key", "id", "doc"];
        let found = gathered(&self.db, &columns, "app WHERE removed_at IS NULL").await?;
        self.known.read(split::<3>(&found)?.into_iter().map(|[_, id, doc]| (id, doc)))
    }

    /// Marks an app as removed; refused while a run of it is under way. Its runs and snapshots
    /// stay.
    pub async fn remove_app(&self, id: AppId, now: Timestamp) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let select = "SELECT 1 FROM run WHERE app_id = $1 AND state = 'running' LIMIT 1";
        if row(&write.tx, select, vec![id.to_string().into()]).await?.is_some() {
            let app: App = named::even_removed(&write.tx, id).await?;
            let by = Fact::UsedByRun {}.into();
            return Err(CatalogError::InUse { name: app.name.to_string(), by });
        }
        if !named::remove::<App, _>(&write.tx, id, now).await? {
            return Err(CatalogError::not_found("app", id));
        }
        write.commit().await
    }
}
