//! A SQLite file for each test; one PostgreSQL for all, a database for each.

use std::path::PathBuf;

use sea_orm::{ConnectionTrait as _, Database};
use secrecy::SecretString;
use tempfile::TempDir;

pub(crate) use crate::postgres::database as postgres;

pub(crate) struct Sqlite(TempDir);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("catalog.sqlite")
    }

    pub(crate) fn url(&self) -> SecretString {
        format!("sqlite://{}?mode=rwc", self.file().display()).into()
    }

    pub(crate) async fn sql(&self, sql: &str) {
        let url = format!("sqlite://{}", self.file().display());
        let db = Database::connect(url).await.unwrap();
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }
}
