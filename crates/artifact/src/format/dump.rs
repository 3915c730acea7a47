//! Dumps of databases, by the words they are told with. The one list of them.

/// A dump of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// `pg_dump --format=custom`.
    PgCustom,
    /// `pg_dump --format=tar`.
    PgTar,
    /// `pg_dump --format=directory`, as a tar.
    PgDirectory,
    /// `pg_dump --format=plain`: SQL.
    PgScript,
    /// `pg_dumpall --globals-only`: roles and tablespaces, as SQL.
    PgRoles,
    /// `mysqldump` or `mariadb-dump`: SQL.
    Mysql,
    /// A snapshot of Redis or Valkey.
    Rdb,
    /// A database file of SQLite.
    Sqlite,
}

/// What each is called; the first is the word of our own.
const WORDS: &[(Dump, &[&str])] = &[
    (
        Dump::PgCustom,
        &["pg_dump_Fc", "pg_dump_custom", "pgdmp", "postgres_custom", "postgresql_custom"],
    ),
    (Dump::PgTar, &["pg_dump_Ft", "pg_dump_tar", "postgres_tar", "postgresql_tar"]),
    (Dump::PgDirectory, &["pg_dump_Fd", "pg_dump_directory"]),
    (
        Dump::PgScript,
        &["pg_dump_Fp", "pg_dump_plain", "postgres_plain", "postgres_sql", "postgresql_sql"],
    ),
    (Dump::PgRoles, &["pg_dumpall"]),
    (Dump::Mysql, &["mysqldump", "mariadb_dump", "mysql_sql", "mariadb_sql"]),
    (Dump::Rdb, &["rdb", "redis_rdb", "valkey_rdb"]),
    (Dump::Sqlite, &["sqlite3", "sqlite"]),
];

impl Dump {
    /// The dump that a declared format (`X-Format`) means; `None` where it is no dump alone.
    pub fn of(format: &str) -> Option<Self> {
        let told = format.trim().replace('-', "_");
        let is_told = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(&told));
        WORDS.iter().find(|(_, words)| is_told(words)).map(|(dump, _)| *dump)
    }

    /// What it is called here.
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(dump, _)| *dump == self).map_or("", |(_, words)| words[0])
    }
}

/// `format` by our own word where it means a dump, else as it is.
pub fn canonical(format: &str) -> &str {
    Dump::of(format).map_or(format, |dump| dump.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_known_by_each_of_its_words() {
        for (dump, words) in WORDS {
            for word in *words {
                assert_eq!(Dump::of(word), Some(*dump), "{word}");
                assert_eq!(Dump::of(&word.to_uppercase().replace('_', "-")), Some(*dump), "{word}");
            }
            assert_eq!(canonical(words[words.len() - 1]), words[0]);
        }
        assert_eq!(canonical("tar.gz"), "tar.gz");
        assert_eq!(Dump::of("pg_dump_Fc.gz"), None, "that has to be unpacked first");
    }
}
