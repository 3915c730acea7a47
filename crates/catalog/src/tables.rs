//! What the tables look like at each version, read from the statements that make them: so that a
//! copy of a catalog fits either database, and no list of columns is kept twice.

use crate::schema::VERSIONS;

/// What no copy of a catalog holds: it belongs to a process (logins, what a run owes, whose turn it
/// is) or would be dangerous later (what a run had begun may have become a snapshot since, messages
/// that waited may have been sent), or is only long (the pieces of WAL, which a listing of their
/// destination tells).
const LEFT_OUT: &[&str] = &[
    "run_log",
    "login_session",
    "begun_object",
    "run_duty",
    "alert_inbox",
    "delivery",
    "turn",
    "wal_piece",
    "wal_receiver",
    "wal_standing",
];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, Kind)>,
    /// The columns that tell one row from another.
    pub(crate) key: Vec<String>,
}

/// The tables of `version` that a copy holds.
pub(crate) fn kept(version: usize) -> Vec<Table> {
    let mut all = all(version);
    all.retain(|table| !LEFT_OUT.contains(&table.name.as_str()));
    all
}

/// Every table of `version`.
pub(crate) fn all(version: usize) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for statement in VERSIONS.iter().take(version).flat_map(|one| one.iter()) {
        if let Some(rest) = statement.strip_prefix("CREATE TABLE ") {
            tables.extend(created(rest));
        } else if let Some(rest) = statement.strip_prefix("ALTER TABLE ")
            && let Some((name, column)) = rest.split_once(" ADD COLUMN ")
            && let Some(table) = tables.iter_mut().find(|table| table.name == name)
        {
            table.columns.extend(column_of(column));
        }
    }
    tables
}

fn created(text: &str) -> Option<Table> {
    let (name, body) = text.split_once(" (")?;
    let body = body.strip_suffix(')')?;
    let mut table = Table { name: name.to_owned(), columns: Vec::new(), key: Vec::new() };
    for part in parts(body) {
        if let Some(key) = part.strip_prefix("PRIMARY KEY (") {
            table.key = key.trim_end_matches(')').split(", ").map(str::to_owned).collect();
            continue;
        }
        let column = column_of(part)?;
        if part.contains("PRIMARY KEY") {
            table.key = vec![column.0.clone()];
        }
        table.columns.push(column);
    }
    Some(table)
}

/// What stands between the commas outside of parentheses.
fn parts(body: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in body.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(body[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(body[from..].trim());
    found
}

fn column_of(text: &str) -> Option<(String, Kind)> {
    let mut words = text.split_whitespace();
    let name = words.next()?.to_owned();
    match words.next()? {
        "TEXT" => Some((name, Kind::Text)),
        "BIGINT" => Some((name, Kind::Number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait as _, Database};

    use super::*;
    use crate::sql;

    /// SQLite itself says what each version's statements make.
    #[tokio::test]
    async fn the_tables_are_those_that_the_statements_make() {
        let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
        options.max_connections(1);
        let db = Database::connect(options).await.unwrap();
        for version in 1..=VERSIONS.len() {
            for statement in VERSIONS[version - 1] {
                db.execute_unprepared(statement).await.unwrap();
            }
            let select = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
            let mut told: Vec<Table> = Vec::new();
            for row in sql::rows(&db, select, vec![]).await.unwrap() {
                let name: String = row.try_get("", "name").unwrap();
                let select =
                    format!("SELECT name, type, pk FROM pragma_table_info('{name}') ORDER BY cid");
                let (mut columns, mut key) = (Vec::new(), Vec::new());
                for row in sql::rows(&db, &select, vec![]).await.unwrap() {
                    let column: String = row.try_get("", "name").unwrap();
                    let kind: String = row.try_get("", "type").unwrap();
                    let kind = if kind == "TEXT" { Kind::Text } else { Kind::Number };
                    let at: i64 = row.try_get("", "pk").unwrap();
                    if at > 0 {
                        key.push((at, column.clone()));
                    }
                    columns.push((column, kind));
                }
                key.sort();
                let key = key.into_iter().map(|(_, column)| column).collect();
                told.push(Table { name, columns, key });
            }
            let mut read = all(version);
            read.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(read, told, "version {version}");
            assert!(kept(version).iter().all(|table| !table.key.is_empty()));
        }
        for name in LEFT_OUT {
            assert!(all(VERSIONS.len()).iter().any(|table| table.name == *name), "{name}");
        }
    }
}
