//! Some tables of a dump, with all that is theirs: what is chosen is told to `pg_restore` by number.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    path::PathBuf,
};

use model::{Fact, Failure};

use super::{
    super::{Supply, refused},
    toc::{self, Entry, TocError},
};
use crate::trees::Work;

/// A table of contents that is longer than this is not read, in bytes.
const MAX_TOC: usize = 64 << 20;

/// Kinds of things with rows or columns of their own, which are only there where they were chosen.
const RELATIONS: [&str; 4] = ["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"];
/// Kinds of things that belong to what they need, and come with it.
const BELONGING: [&str; 21] = [
    "TABLE DATA",
    "DEFAULT",
    "SEQUENCE",
    "SEQUENCE SET",
    "SEQUENCE OWNED BY",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "TABLE ATTACH",
    "STATISTICS",
    "STATISTICS DATA",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "COMMENT",
    "ACL",
    "SECURITY LABEL",
    "REPLICA IDENTITY",
];

/// Writes down what of a dump in one file `tables` are: gives the list, which `pg_restore` reads.
pub(super) async fn of_file(
    supply: &Supply<'_>,
    tables: &[String],
    work: &Work,
) -> Result<PathBuf, Failure> {
    let mut bytes = supply.open()?;
    let mut beginning = Vec::new();
    let mut enough = 0;
    loop {
        let chunk = bytes.chunk().await?;
        beginning.extend_from_slice(chunk.as_deref().unwrap_or_default());
        if chunk.is_some() && beginning.len() < enough {
            continue;
        }
        match toc::entries(&beginning) {
            Err(TocError::Short) if chunk.is_some() && beginning.len() < MAX_TOC => {
                // Each look is from the first byte on.
                enough = beginning.len() * 2;
            }
            read => return write(read, tables, work).await,
        }
    }
}

/// The same for what was read of a table of contents.
pub(super) async fn write(
    read: Result<Vec<Entry>, TocError>,
    tables: &[String],
    work: &Work,
) -> Result<PathBuf, Failure> {
    let entries = read.map_err(|error| refused(format!("the dump: {error}")))?;
    let picked = pick(&entries, tables).map_err(|table| refused(Fact::NoTable { table }))?;
    let list = picked.iter().fold(String::new(), |mut list, id| {
        let _ = writeln!(list, "{id};");
        list
    });
    let path = work.file("list");
    let written = tokio::fs::write(&path, list).await;
    written.map_err(|error| refused(format!("{}: {error}", path.display())))?;
    Ok(path)
}

/// The entries to restore for `tables`, in the dump's order; a table is `SCHEMA.NAME`. The error
/// names a table that is not there.
pub(super) fn pick(entries: &[Entry], tables: &[String]) -> Result<Vec<i64>, String> {
    let by_id: HashMap<i64, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let is_table = |entry: &&Entry| RELATIONS[..2].contains(&entry.kind.as_str());
    let mut own = BTreeSet::new();
    for table in tables {
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        let found = entries.iter().filter(is_table);
        let mut found = found.filter(|entry| entry.schema == schema && entry.name == name);
        own.insert(found.next().ok_or_else(|| table.clone())?.id);
    }
    with_parts(entries, &mut own);
    let chosen = own.clone();
    // Whatever belongs to what is theirs, as far as nothing else has to be there for it.
    loop {
        let before = own.len();
        for entry in entries {
            if BELONGING.contains(&entry.kind.as_str())
                && entry.needs.iter().any(|id| own.contains(id))
                && needed(&by_id, entry.id).is_subset_of_relations(&by_id, &chosen)
            {
                own.insert(entry.id);
            }
        }
        if own.len() == before {
            break;
        }
    }
    let all: BTreeSet<i64> =
        own.iter().flat_map(|id| needed(&by_id, *id).0).chain(own.iter().copied()).collect();
    // What is only needed comes without its rows, but with its rights, and a sequence with where it
    // was.
    let is_wanted = |entry: &&Entry| {
        let is_of_all = ["COMMENT", "ACL", "SEQUENCE SET"].contains(&entry.kind.as_str())
            && entry.needs.iter().any(|id| all.contains(id))
            && entry.needs.iter().all(|id| all.contains(id) || !by_id.contains_key(id));
        all.contains(&entry.id) || is_of_all || is_setting(entry)
    };
    Ok(entries.iter().filter(is_wanted).map(|entry| entry.id).collect())
}

/// How the dump itself is to be read.
fn is_setting(entry: &Entry) -> bool {
    ["ENCODING", "STDSTRINGS", "SEARCHPATH"].contains(&entry.kind.as_str())
}

/// Adds the partitions and the children of tables.
fn with_parts(entries: &[Entry], own: &mut BTreeSet<i64>) {
    let named: HashMap<(&str, &str), i64> = entries
        .iter()
        .filter(|entry| RELATIONS[..2].contains(&entry.kind.as_str()))
        .map(|entry| ((entry.schema.as_str(), entry.name.as_str()), entry.id))
        .collect();
    loop {
        let before = own.len();
        for entry in entries {
            let part = match entry.kind.as_str() {
                // It has the name of the part.
                "TABLE ATTACH" => named.get(&(entry.schema.as_str(), entry.name.as_str())).copied(),
                "TABLE" | "FOREIGN TABLE" => Some(entry.id),
                _ => None,
            };
            let whole = entry.needs.iter().any(|id| Some(*id) != part && own.contains(id));
            own.extend(part.filter(|_| whole));
        }
        if own.len() == before {
            return;
        }
    }
}

/// Everything that has to be there before something, and before that.
struct Needed(BTreeSet<i64>);

fn needed(by_id: &HashMap<i64, &Entry>, id: i64) -> Needed {
    let (mut found, mut ahead) = (BTreeSet::new(), vec![id]);
    while let Some(id) = ahead.pop() {
        // What is not in the dump is there already.
        let needs = by_id.get(&id).map(|entry| entry.needs.as_slice()).unwrap_or_default();
        for id in needs.iter().filter(|id| by_id.contains_key(id)) {
            if found.insert(*id) {
                ahead.push(*id);
            }
        }
    }
    Needed(found)
}

impl Needed {
    /// Whether no table or view is among it that was not chosen.
    fn is_subset_of_relations(&self, by_id: &HashMap<i64, &Entry>, chosen: &BTreeSet<i64>) -> bool {
        self.0.iter().all(|id| {
            chosen.contains(id)
                || by_id.get(id).is_none_or(|entry| !RELATIONS.contains(&entry.kind.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, kind: &str, name: &str, needs: &[i64]) -> Entry {
        let (kind, name, schema) = (kind.to_owned(), name.to_owned(), "public".to_owned());
        Entry { id, kind, name, schema, needs: needs.to_vec() }
    }

    #[test]
    fn a_table_comes_with_what_is_its_own_and_nothing_else() {
        let entries = [
            entry(1, "ENCODING", "ENCODING", &[]),
            entry(2, "TYPE", "mood", &[]),
            entry(3, "TABLE", "a", &[2, 99]),
            entry(4, "TABLE", "b", &[]),
            entry(5, "VIEW", "seen", &[3]),
            entry(6, "TABLE", "b_1", &[]),
            entry(7, "TABLE ATTACH", "b_1", &[6, 4]),
            entry(8, "SEQUENCE", "a_id_seq", &[]),
            entry(9, "DEFAULT", "a id", &[3, 8]),
            entry(10, "TABLE DATA", "a", &[3]),
            entry(11, "TABLE DATA", "b_1", &[6]),
            entry(12, "SEQUENCE SET", "a_id_seq", &[8]),
            entry(13, "CONSTRAINT", "a_pkey", &[3]),
            entry(14, "CONSTRAINT", "b_pkey", &[4]),
            entry(15, "FK CONSTRAINT", "a_to_b", &[3, 14]),
            entry(16, "INDEX", "b_at", &[4]),
            entry(17, "INDEX", "b_1_at", &[6]),
            entry(18, "INDEX ATTACH", "b_1_at", &[16, 17]),
            entry(19, "RULE", "of view", &[5, 3]),
        ];
        let of = |tables: &[&str]| {
            let tables: Vec<_> = tables.iter().map(|&table| table.to_owned()).collect();
            pick(&entries, &tables)
        };
        assert_eq!(of(&["public.a"]).unwrap(), [1, 2, 3, 8, 9, 10, 12, 13]);
        assert_eq!(of(&["b"]).unwrap(), [1, 4, 6, 7, 11, 14, 16, 17, 18]);
        assert_eq!(of(&["public.b_1"]).unwrap(), [1, 6, 11, 17]);
        let both = of(&["public.a", "public.b"]).unwrap();
        assert!(both.contains(&15) && !both.contains(&5) && !both.contains(&19), "{both:?}");
        assert_eq!(of(&["other.a"]), Err("other.a".to_owned()));
        assert_eq!(of(&["public.seen"]), Err("public.seen".to_owned()));
    }
}
