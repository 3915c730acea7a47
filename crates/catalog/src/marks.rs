//! What tells whether a catalog has changed, and whether the file it lies in is whole.

use crate::{
    Backend, Catalog, CatalogError,
    sql::{row, rows},
    tables::{self, Kind},
};

/// Changes of these are rare and matter: who, what, where, and what was pinned.
const SETTINGS: &[&str] = &[
    "SELECT 'app ' || id || ' ' || version || ' ' || COALESCE(removed_at, 0) AS mark FROM app",
    "SELECT 'destination ' || id || ' ' || version || ' ' || COALESCE(removed_at, 0) AS mark FROM destination",
    "SELECT 'user ' || id || ' ' || version AS mark FROM user_account",
    "SELECT 'token ' || id AS mark FROM api_token",
    "SELECT 'channel ' || id || ' ' || version || ' ' || COALESCE(removed_at, 0) AS mark FROM alert_channel",
    "SELECT 'route ' || id || ' ' || version || ' ' || COALESCE(removed_at, 0) AS mark FROM alert_route",
    "SELECT 'pinned ' || id AS mark FROM snapshot WHERE pinned <> 0",
];
/// Changes of these come with every run.
const RECORDS: &[&str] = &[
    "SELECT CAST(COUNT(*) AS TEXT) || ' ' || COALESCE(MAX(id), '') AS mark FROM snapshot",
    "SELECT CAST(COUNT(*) AS TEXT) || ' ' || COALESCE(MAX(id), '') AS mark FROM run",
    "SELECT COALESCE(MAX(id), '') AS mark FROM event",
    "SELECT COALESCE(MAX(id), '') AS mark FROM audit",
];
/// Files up to this size are checked with all their indexes; larger ones more quickly.
const SMALL_BYTES: i64 = 64 << 20;

impl Catalog {
    /// Lines that are others once settings have changed.
    pub async fn settings_marks(&self) -> Result<Vec<String>, CatalogError> {
        self.marks(SETTINGS).await
    }

    /// Lines that are others once anything has been recorded.
    pub async fn record_marks(&self) -> Result<Vec<String>, CatalogError> {
        self.marks(RECORDS).await
    }

    async fn marks(&self, selects: &[&str]) -> Result<Vec<String>, CatalogError> {
        let mut marks = Vec::new();
        for select in selects {
            for found in rows(&self.db, select, vec![]).await? {
                marks.push(found.try_get("", "mark")?);
            }
        }
        marks.sort();
        Ok(marks)
    }

    /// Looks whether the file is whole; [`CatalogError::Corrupt`] where it is not. PostgreSQL looks
    /// after its own.
    pub async fn check(&self) -> Result<(), CatalogError> {
        if self.backend() == Backend::Postgres {
            return Ok(());
        }
        let number = |sql: &'static str, name: &'static str| async move {
            let found = row(&self.db, sql, vec![]).await?;
            found.map_or(Ok(0), |row| Ok::<i64, CatalogError>(row.try_get("", name)?))
        };
        let pages = number("PRAGMA page_count", "page_count").await?;
        let size = pages.saturating_mul(number("PRAGMA page_size", "page_size").await?);
        let (check, column) = if size <= SMALL_BYTES {
            ("PRAGMA integrity_check(1)", "integrity_check")
        } else {
            ("PRAGMA quick_check(1)", "quick_check")
        };
        let said: String = match row(&self.db, check, vec![]).await? {
            Some(row) => row.try_get("", column)?,
            None => String::new(),
        };
        if said != "ok" {
            return Err(CatalogError::Corrupt(said));
        }
        for table in tables::all(crate::schema::VERSIONS.len()) {
            if !table.columns.contains(&("doc".to_owned(), Kind::Text)) {
                continue;
            }
            let select = format!("SELECT 1 FROM {} WHERE NOT json_valid(doc) LIMIT 1", table.name);
            if row(&self.db, &select, vec![]).await?.is_some() {
                return Err(CatalogError::Corrupt(format!("a row of `{}` is no JSON", table.name)));
            }
        }
        self.all_apps().await?;
        self.all_destinations().await?;
        self.alert_channels().await?;
        self.alert_routes().await?;
        self.all_users().await?;
        self.all_tokens().await.map(drop)
    }
}
