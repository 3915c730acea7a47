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

    /// Sets a setting where there is none; gives the one that holds then, also where several
    /// orchestrators do this at once.
    pub async fn init_setting(&self, name: &str, value: &str) -> Result<String, CatalogError> {
        let write = self.write().await?;
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        execute(&write.tx, sql, vec![name.into(), value.into()]).await?;
        write.commit().await?;
        Ok(self.setting(name).await?.unwrap_or_else(|| value.to_owned()))
    }

    /// Forgets a setting.
    pub async fn forget_setting(&self, name: &str) -> Result<(), CatalogError> {
        let write = self.write().await?;
        execute(&write.tx, "DELETE FROM setting WHERE name = $1", vec![name.into()]).await?;
        write.commit().await
    }
}
