//! Names of parts: one for each database of a server, whatever it is called.

use model::Name;
use ring::digest::{SHA256, digest};

use super::Part;

/// Longest part of a name that comes from a database, before its mark.
const SAFE_LEN: usize = 32;

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
pub(super) fn of_databases(source: &Name, databases: &[String]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::with_capacity(databases.len());
    for database in databases {
        if parts.iter().all(|known| known.part.as_ref() != Some(database)) {
            parts.push(part(source, &safe(database), database));
        }
    }
    parts
}

/// The part of what a server has beside its databases, `what` in one word and `told` in a few; no
/// database's part has two dots.
pub(crate) fn of_server(source: &Name, what: &str, told: &str) -> Part {
    part(source, &format!("server.{what}"), told)
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
        let odd = [
            "shop",
            "Shop",
            "SHOP",
            "a.b",
            "a_b",
            "a;b",
            "a b",
            "a'b",
            "--file=/tmp/x",
            "$(id)",
            "host=evil dbname=x",
            "new\nline",
            "ñ☂",
            "☂",
            "é",
            "..",
            "_x",
            "users",
            "globals",
        ];
        let long = ["x".repeat(64), "x".repeat(63), "x".repeat(33), "x".repeat(32)];
        let marked = [safe("a;b"), safe("Shop")];
        let long = long.into_iter().chain(marked);
        let all: Vec<String> = odd.iter().map(|s| (*s).to_owned()).chain(long).collect();
        for source in
            ["db".to_owned(), "s".repeat(64), format!("{}.{}", "s".repeat(30), "t".repeat(33))]
        {
            let source: Name = source.parse().unwrap();
            let mut parts = of_databases(&source, &all);
            assert_eq!(parts.len(), all.len());
            parts.push(of_server(&source, "users", "users and grants"));
            parts.push(of_server(&source, "globals", "globals"));
            let mut names: Vec<_> =
                parts.iter().map(|part| part.name.as_str().to_lowercase()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all.len() + 2, "{names:?}");
        }
        let source: Name = "db".parse().unwrap();
        let twice = of_databases(&source, &["shop".to_owned(), "shop".to_owned()]);
        assert_eq!(twice.len(), 1);
        assert_eq!(twice[0].name.as_str(), "db.shop");
        assert_eq!(twice[0].part.as_deref(), Some("shop"));
    }
}
