//! Names of parts: one for each database, whatever it is called.

use model::Name;
use ring::digest;

use super::super::Part;

/// What the part of a whole server is called.
const GLOBALS: &str = "globals";
/// Longest name of a part, as of all names.
const MAX_LEN: usize = model::name::MAX_LEN;

/// The part for one database among several.
pub(crate) fn of_database(source: &Name, database: &str) -> Part {
    Part { name: name(source, database), part: Some(database.to_owned()) }
}

/// The part for roles and tablespaces.
pub(crate) fn of_globals(source: &Name) -> Part {
    Part { name: plain(source, GLOBALS), part: Some(GLOBALS.to_owned()) }
}

/// Whether `part` is that of roles and tablespaces. No database's part has its name.
pub(crate) fn is_globals(source: &Name, part: &Part) -> bool {
    part.name == of_globals(source).name
}

/// A name that no other database has, also where capitals do not count.
fn name(source: &Name, database: &str) -> Name {
    let is_plain = database
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        && database != GLOBALS
        && !has_digest(database)
        && source.as_str().len() + 1 + database.len() <= MAX_LEN;
    if is_plain && !database.is_empty() {
        return plain(source, database);
    }
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let digest = hex::encode(digest::digest(&digest::SHA256, database.as_bytes()));
    let room = MAX_LEN - 1 - 9;
    let cut: String = source.as_str().chars().take(room / 2).collect();
    let cut = cut.trim_end_matches('.');
    let short: String = database.chars().map(safe).take(room - cut.len()).collect();
    let whole = format!("{cut}.{short}-{}", &digest[..8]);
    whole.parse().unwrap_or_else(|_| source.clone())
}

/// `SOURCE.WORD`, as short as a name has to be.
fn plain(source: &Name, word: &str) -> Name {
    let cut: String = source.as_str().chars().take(MAX_LEN - 1 - word.len()).collect();
    let whole = format!("{}.{word}", cut.trim_end_matches('.'));
    whole.parse().unwrap_or_else(|_| source.clone())
}

/// Whether a name ends like one that was given a digest.
fn has_digest(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, end)| end.len() == 8 && end.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_database_has_a_name_of_its_own() {
        let source: Name = "pg".parse().unwrap();
        assert_eq!(of_database(&source, "shop").name.as_str(), "pg.shop");
        let long = "x".repeat(63);
        let odd = [
            "shop",
            "Shop",
            "SHOP",
            "globals",
            "a b",
            "a_b",
            "a'b",
            "--file=/tmp/x",
            "$(id)",
            "host=evil dbname=x",
            "new\nline",
            "é",
            "..",
            &long,
        ];
        let names: HashSet<_> = odd
            .iter()
            .map(|database| of_database(&source, database).name.as_str().to_ascii_lowercase())
            .chain([of_globals(&source).name.to_string()])
            .collect();
        assert_eq!(names.len(), odd.len() + 1, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("pg.")), "{names:?}");
        let taken = of_database(&source, "a b").name;
        let taken = taken.as_str().strip_prefix("pg.").unwrap();
        assert_ne!(of_database(&source, taken).name, of_database(&source, "a b").name);
        let longest: Name = format!("{}.", "s".repeat(63)).parse().unwrap();
        assert_ne!(of_database(&longest, "a").name, of_database(&longest, "b").name);
        assert!(is_globals(&longest, &of_globals(&longest)));
    }
}
