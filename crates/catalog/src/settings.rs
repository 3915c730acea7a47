//! Settings by name.

use crate::{
    Catalog, CatalogError,
    sql::{execute, row},
};

impl Catalog {
    /// A setting.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, CatalogError> {
        let select = "SELECT value FROM setting WHERE name = $1";
        match row(&self.db, select, vec![name.into()]).await? {
            Some(found) => Ok(Some(found.try_get("", "value")?)),
            None => Ok(None),
        }
    }

    /// Sets a setting.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        execute(&write.tx, sql, vec![name.into(), value.into()]).await?;
        write.commit().await
    }
}
