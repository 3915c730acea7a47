//! Settings by name.

use crate::{
    Catalog, CatalogError,
    sql::{execute, plain, row, rows},
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

    /// Every setting whose name begins with `prefix`: the rest of its name, and its value.
    pub async fn settings_under(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, CatalogError> {
        let select = "SELECT name, value FROM setting WHERE name LIKE $1 ESCAPE '!' ORDER BY name";
        let found = rows(&self.db, select, vec![format!("{}%", plain(prefix)).into()]).await?;
        let mut settings = Vec::new();
        for row in &found {
            let name: String = row.try_get("", "name")?;
            // `LIKE` of SQLite knows no case.
            if let Some(rest) = name.strip_prefix(prefix) {
                settings.push((rest.to_owned(), row.try_get("", "value")?));
            }
        }
        Ok(settings)
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
