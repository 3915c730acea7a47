//! Names of databases, as parts of a snapshot and in file names.

use model::{Failure, FailureCode, Name};
use ring::digest::{SHA256, digest};

use super::{Part, USERS};
use crate::source::direct::Asked;

/// The server's own databases.
const OWN: &[&str] = &["information_schema", "performance_schema", "sys", "mysql"];
/// Longest part of a name that comes from a database, before its mark.
const SAFE_LEN: usize = 32;

/// Whether a database is the server's own.
pub(super) fn is_own(database: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(database))
}

/// Refuses a name that could end a comment of the dump and begin a statement.
pub(super) fn check(database: &str) -> Result<(), Failure> {
    if !database.is_empty() && !database.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!(
        "the database `{}` has control characters in its name: rename it, or name the databases \
         to dump one by one",
        database.escape_debug()
    );
    Err(Failure::new(FailureCode::SourceConfig, message))
}

/// The name in letters, digits, `-`, `_` and `.`; what it loses is marked, so that two names stay
/// two, and the same from run to run.
pub(super) fn safe(database: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let kept: String = database.chars().take(SAFE_LEN).map(keep).collect();
    let is_plain = kept == database
        && kept.starts_with(|c: char| c.is_ascii_alphanumeric())
        // Where capitals do not count, they tell no two files apart.
        && !kept.contains(|c: char| c.is_ascii_uppercase())
        && !has_mark(&kept);
    if is_plain {
        return kept;
    }
    let mark = hex::encode(&digest(&SHA256, database.as_bytes()).as_ref()[..4]);
    let kept = kept.trim_start_matches(['-', '_']);
    if kept.is_empty() { format!("db-{mark}") } else { format!("{kept}-{mark}") }
}

/// Whether a name ends like one that was given a mark.
fn has_mark(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, end)| end.len() == 8 && end.chars().all(|c| c.is_ascii_hexdigit()))
}

/// One part for each database.
pub(super) fn parts(source: &Name, databases: &[String]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::with_capacity(databases.len());
    for database in databases {
        if parts.iter().all(|known| known.part.as_ref() != Some(database)) {
            parts.push(part(source, &safe(database), database));
        }
    }
    parts
}

/// The part of users and grants; no database's part has two dots.
pub(super) fn users(source: &Name) -> Part {
    part(source, "server.users", USERS)
}

/// Whether `part` is that of users and grants.
pub(super) fn is_users(asked: &Asked<'_>, part: &Part) -> bool {
    asked.flag("users") && *part == users(&asked.source.name)
}

fn part(source: &Name, safe: &str, word: &str) -> Part {
    // A source's name of 64 characters leaves no room: its beginning will do, with a mark.
    let room = model::name::MAX_LEN - safe.len() - 1;
    let whole = source.as_str();
    let begin = if whole.len() <= room {
        whole.to_owned()
    } else {
        let mark = hex::encode(&digest(&SHA256, whole.as_bytes()).as_ref()[..4]);
        format!("{}-{mark}", whole[..room - 9].trim_end_matches('.'))
    };
    let name = format!("{}.{safe}", begin.trim_end_matches('.'));
    let name = name.parse().expect("letters, digits, `-`, `_` and single dots only");
    Part { name, part: Some(word.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_has_a_name_of_its_own() {
        let odd = ["shop", "Shop", "a.b", "a_b", "a;b", "--x", "$(id)", "ñ☂", "☂", "..", "_x"];
        let long = ["x".repeat(64), "x".repeat(63), "x".repeat(33), "x".repeat(32)];
        let marked = [safe("a;b"), safe("Shop")];
        let long = long.into_iter().chain(marked);
        let all: Vec<String> = odd.iter().map(|s| (*s).to_owned()).chain(long).collect();
        for source in
            ["db".to_owned(), "s".repeat(64), format!("{}.{}", "s".repeat(30), "t".repeat(33))]
        {
            let source: Name = source.parse().unwrap();
            let mut parts = parts(&source, &all);
            assert_eq!(parts.len(), all.len());
            parts.push(users(&source));
            let mut names: Vec<_> =
                parts.iter().map(|part| part.name.as_str().to_lowercase()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all.len() + 1, "{names:?}");
        }
        let source: Name = "db".parse().unwrap();
        let twice = parts(&source, &["shop".to_owned(), "shop".to_owned()]);
        assert_eq!(twice.len(), 1);
        assert_eq!(twice[0].name.as_str(), "db.shop");
        assert_eq!(twice[0].part.as_deref(), Some("shop"));
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(check("a;b --x $(id) ñ").is_ok());
        for bad in ["", "a\nb", "a\rb", "a\u{85}b", "\0"] {
            assert_eq!(check(bad).unwrap_err().code, FailureCode::SourceConfig);
        }
    }
}
