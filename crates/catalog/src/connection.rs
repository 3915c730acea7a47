//! Opening, migrating, and the one writer at a time that SQLite wants.

use std::{path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::Connection as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, MutexGuard};

use crate::{CatalogError, known::KnownApps, schema, sql};

/// Which database a catalog is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file of this process alone.
    Sqlite,
    /// Shared by several orchestrators.
    Postgres,
}

/// The index. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) db: DatabaseConnection,
    /// SQLite has one writer at a time: waiting here is fair and never times out.
    writing: Arc<Mutex<()>>,
    pub(crate) known: Arc<KnownApps>,
}

/// A transaction, and the right to write while it lasts.
pub(crate) struct Write<'a> {
    pub(crate) tx: DatabaseTransaction,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Write<'_> {
    pub(crate) async fn commit(self) -> Result<(), CatalogError> {
        Ok(self.tx.commit().await?)
    }
}

/// Rows that wait for whoever asked.
const ROWS: usize = 512;

impl Catalog {
    /// Opens `url` (`sqlite:///path?mode=rwc` or `postgres://…`) and brings it to the newest
    /// schema. A SQLite file that is changed is copied first.
    pub async fn open(url: &SecretString, max_connections: u32) -> Result<Self, CatalogError> {
        let catalog = Self::connect(url, max_connections).await?;
        catalog.migrate(sqlite_path(url.expose_secret())).await?;
        Ok(catalog)
    }

    /// Opens `url` as it is.
    pub(crate) async fn connect(
        url: &SecretString,
        max_connections: u32,
    ) -> Result<Self, CatalogError> {
        let text = url.expose_secret();
        let is_sqlite = text.starts_with("sqlite:");
        let mut options = ConnectOptions::new(text);
        options
            .max_connections(max_connections)
            .connect_timeout(Duration::from_secs(10))
            .acquire_timeout(Duration::from_secs(10))
            // A file does not go away between two questions, and each is looked at afterwards.
            .test_before_acquire(!is_sqlite)
            .sqlx_logging(false);
        if is_sqlite {
            options.map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .foreign_keys(true)
                    .pragma("journal_mode", "WAL")
                    .pragma("synchronous", "FULL")
                    .pragma("busy_timeout", "10000")
                    // Each time that it is full costs two changes of threads: lists have hundreds
                    // of rows.
                    .row_buffer_size(ROWS)
            });
            // Where its disk is full SQLite itself ends a transaction, which the driver does not
            // notice: it would go on inside of one that is not there, and what it then begins
            // would hold the right to write for ever. Such a connection is used no more.
            options.map_sqlx_sqlite_pool_opts(|pool| {
                pool.after_release(|connection, _| {
                    Box::pin(async move {
                        // What was given up may still be rolled back.
                        connection.ping().await?;
                        Ok(!connection.is_in_transaction())
                    })
                })
            });
        }
        let db = Database::connect(options).await.map_err(|error| {
            // What the driver says may hold the whole URL, and so the password.
            let said = error.to_string().replace(text, "…");
            match CatalogError::from(error) {
                CatalogError::Corrupt(_) => CatalogError::Corrupt(said),
                _ => CatalogError::Unavailable(said),
            }
        })?;
        Ok(Self { db, writing: Arc::default(), known: Arc::default() })
    }

    /// Which database it is on.
    pub fn backend(&self) -> Backend {
        match self.db.get_database_backend() {
            DbBackend::Postgres => Backend::Postgres,
            _ => Backend::Sqlite,
        }
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), CatalogError> {
        Ok(self.db.ping().await?)
    }

    /// Begins a transaction that writes.
    pub(crate) async fn write(&self) -> Result<Write<'_>, CatalogError> {
        let turn = match self.backend() {
            Backend::Sqlite => Some(self.writing.lock().await),
            Backend::Postgres => None,
        };
        // A transaction that was given up is rolled back when its connection goes back to the
        // pool, after the turn has passed on. One that begins by reading could then not write:
        // SQLite waits for the other only where nothing has been read yet.
        let options = TransactionOptions {
            sqlite_transaction_mode: turn.as_ref().map(|_| SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(Write { tx: self.db.begin_with_options(options).await?, _turn: turn })
    }

    /// A transaction that sees one moment, to read in.
    pub(crate) async fn still(&self) -> Result<DatabaseTransaction, CatalogError> {
        let options = TransactionOptions {
            isolation_level: match self.backend() {
                Backend::Postgres => Some(IsolationLevel::RepeatableRead),
                // A transaction of SQLite sees one moment by itself.
                Backend::Sqlite => None,
            },
            ..TransactionOptions::default()
        };
        Ok(self.db.begin_with_options(options).await?)
    }

    async fn migrate(&self, file: Option<&Path>) -> Result<(), CatalogError> {
        let known = schema::VERSIONS.len() as i64;
        if let Some(file) = file {
            // Before the transaction: SQLite copies itself only outside of one. A SQLite file
            // has one process, so nobody changes it in between.
            let found = self.schema_version(&self.db).await?;
            if (1..known).contains(&found) {
                self.keep_copy(&file.with_extension(format!("before-v{known}"))).await?;
            }
        }
        let write = self.write().await?;
        if self.backend() == Backend::Postgres {
            // Several orchestrators may start at once.
            sql::execute(&write.tx, "SELECT pg_advisory_xact_lock(5550)", vec![]).await?;
        }
        let found = self.schema_version(&write.tx).await?;
        if found > known {
            return Err(CatalogError::Newer { found, known });
        }
        if found == known {
            return write.commit().await;
        }
        for (number, statements) in (1_i64..).zip(schema::VERSIONS) {
            if number <= found {
                continue;
            }
            Self::apply(&write.tx, number, statements).await?;
        }
        write.commit().await
    }

    /// Brings the tables from the version before to `number`.
    pub(crate) async fn apply<C: ConnectionTrait>(
        on: &C,
        number: i64,
        statements: &[&str],
    ) -> Result<(), CatalogError> {
        for statement in statements {
            sql::execute(on, statement, vec![]).await?;
        }
        let insert = "INSERT INTO schema_version (version) VALUES ($1)";
        sql::execute(on, insert, vec![number.into()]).await.map(drop)
    }

    pub(crate) async fn schema_version<C: ConnectionTrait>(
        &self,
        on: &C,
    ) -> Result<i64, CatalogError> {
        let create = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
        sql::execute(on, create, vec![]).await?;
        let found = sql::row(on, "SELECT MAX(version) AS v FROM schema_version", vec![]).await?;
        match found {
            Some(row) => Ok(row.try_get::<Option<i64>>("", "v")?.unwrap_or(0)),
            None => Ok(0),
        }
    }

    /// A whole copy, with what still waits in the write-ahead log, under its name only when done,
    /// and on the disk before anything is changed: SQLite does not wait for that.
    async fn keep_copy(&self, copy: &Path) -> Result<(), CatalogError> {
        let told = |error: std::io::Error| {
            CatalogError::Unavailable(format!("{}: {error}", copy.display()))
        };
        let partial = copy.with_added_extension("partial");
        match tokio::fs::remove_file(&partial).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
            _ => {}
        }
        let path = partial.to_str().ok_or_else(|| {
            CatalogError::Unavailable(format!("{}: the path is no text", partial.display()))
        })?;
        sql::execute(&self.db, "VACUUM INTO $1", vec![path.into()]).await?;
        tokio::fs::File::open(&partial).await.map_err(told)?.sync_all().await.map_err(told)?;
        tokio::fs::rename(&partial, copy).await.map_err(told)?;
        let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        tokio::fs::File::open(folder).await.map_err(told)?.sync_all().await.map_err(told)
    }
}

fn sqlite_path(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:")?.split('?').next()?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty() && path != ":memory:").then(|| Path::new(path))
}
