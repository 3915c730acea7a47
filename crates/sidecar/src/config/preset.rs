//! Databases that need no command: what is known of each.

use schemars::JsonSchema;
use serde::Deserialize;

/// A database that the sidecar knows how to dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    /// PostgreSQL, by `pg_dump`.
    Postgres,
    /// MySQL, by `mysqldump`.
    Mysql,
    /// MariaDB, by `mariadb-dump`.
    Mariadb,
    /// Redis, by `redis-cli --rdb`.
    Redis,
    /// Valkey, by `valkey-cli --rdb`.
    Valkey,
    /// SQLite, by `sqlite3`: an online copy of a file in use.
    Sqlite,
}

impl Preset {
    /// Programs that do it; the first that is there is taken.
    pub(crate) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["pg_dump"],
            Self::Mysql => &["mysqldump", "mariadb-dump"],
            Self::Mariadb => &["mariadb-dump", "mysqldump"],
            Self::Redis => &["redis-cli", "valkey-cli"],
            Self::Valkey => &["valkey-cli", "redis-cli"],
            Self::Sqlite => &["sqlite3"],
        }
    }

    /// Programs that all are needed to restore, where others cannot stand in for them.
    pub(crate) fn restorers(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["psql", "pg_restore"],
            _ => &[],
        }
    }

    /// Debian package that brings them.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql-client",
            Self::Mysql | Self::Mariadb => "mariadb-client",
            Self::Redis | Self::Valkey => "redis-tools",
            Self::Sqlite => "sqlite3",
        }
    }

    /// Whether its program writes a file, and not to standard output.
    pub(crate) fn leaves_a_file(self) -> bool {
        matches!(self, Self::Redis | Self::Valkey | Self::Sqlite)
    }

    /// `X-Format`.
    pub(crate) fn format(self) -> &'static str {
        match self {
            Self::Postgres => "pg_dump_Fc",
            Self::Mysql | Self::Mariadb => "mysql_sql",
            Self::Redis | Self::Valkey => "redis_rdb",
            Self::Sqlite => "sqlite3",
        }
    }

    /// `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Postgres | Self::Redis | Self::Valkey => "application/octet-stream",
            Self::Mysql | Self::Mariadb => "application/sql",
            Self::Sqlite => "application/vnd.sqlite3",
        }
    }

    /// File name of a dump of `database`.
    pub(crate) fn filename(self, database: Option<&str>) -> String {
        let base = database.and_then(|name| std::path::Path::new(name).file_stem());
        let base: String = base
            .map(|name| name.to_string_lossy())
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        let (otherwise, extension) = match self {
            Self::Postgres => ("postgres", "dump"),
            Self::Mysql | Self::Mariadb => ("all-databases", "sql"),
            Self::Redis | Self::Valkey => ("redis", "rdb"),
            Self::Sqlite => ("sqlite", "sqlite3"),
        };
        let is_server = matches!(self, Self::Redis | Self::Valkey);
        let base = if base.is_empty() || is_server { otherwise } else { &base };
        format!("{base}.{extension}")
    }

    /// Schemes of its URLs.
    pub(crate) fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql", "postgres"],
            Self::Mysql | Self::Mariadb => &["mysql", "mariadb"],
            Self::Redis | Self::Valkey => &["redis", "rediss", "valkey", "valkeys"],
            Self::Sqlite => &[],
        }
    }
}
