//! Rows of what came back, against those that were counted when it was stored.

use std::collections::BTreeMap;

use model::{Contents, DrillCheck, DrillState, Fact};

use super::check;

/// More tables than this are not named one by one.
const MAX_NAMED: usize = 5;

/// Compares the rows by table with what was stored; `unread` tables could not be counted here.
pub(super) fn compared(
    counts: &BTreeMap<String, u64>,
    unread: u64,
    stored: Option<&Contents>,
) -> DrillCheck {
    let total: u64 = counts.values().sum();
    let Some(Contents::Tables { tables, total: expected }) = stored else {
        let read = Fact::TablesRead { tables: counts.len() as u64, rows: total };
        // Nothing is known of what there should be: some of it at least.
        let state = if total > 0 { DrillState::Passed } else { DrillState::Failed };
        return check("rows", state, read);
    };
    let wrong: Vec<_> = tables
        .iter()
        .filter(|one| counts.get(&one.table) != Some(&one.rows))
        .map(|one| {
            let (table, rowsbefore) = (one.table.clone(), one.rows);
            match counts.get(&one.table) {
                Some(&rows) => Fact::RowsDiffer { table, rows, rowsbefore },
                None => Fact::TableMissing { table, rowsbefore },
            }
        })
        .collect();
    let count = wrong.len() as u64;
    let shown = wrong.into_iter().take(MAX_NAMED);
    if let Some(which) = shown.reduce(Fact::also) {
        let differ = Fact::TablesDiffer { count, which: which.into() };
        return check("rows", DrillState::Failed, differ);
    }
    if counts.is_empty() && unread == 0 && *expected == 0 {
        return check("rows", DrillState::Skipped, Fact::TablesNone {});
    }
    let agree = Fact::TablesAgree {
        tables: counts.len() as u64,
        rows: total,
        counted: tables.len() as u64,
    };
    check("rows", DrillState::Passed, agree)
}

#[cfg(test)]
mod tests {
    use model::TableRows;

    use super::*;

    #[test]
    fn rows_that_are_missing_are_found() {
        let stored = |rows| {
            let tables = vec![TableRows { table: "t".to_owned(), rows }];
            Contents::Tables { tables, total: 1 }
        };
        let counts = BTreeMap::from([("t".to_owned(), 7)]);
        let state =
            |counts: &BTreeMap<_, _>, stored: Option<&Contents>| compared(counts, 0, stored).state;
        assert_eq!(state(&counts, Some(&stored(7))), DrillState::Passed);
        assert_eq!(state(&counts, Some(&stored(8))), DrillState::Failed);
        assert_eq!(state(&BTreeMap::new(), Some(&stored(0))), DrillState::Failed);
        assert_eq!(state(&counts, None), DrillState::Passed);
        assert_eq!(state(&BTreeMap::new(), None), DrillState::Failed);
        let none = Contents::Tables { tables: Vec::new(), total: 0 };
        assert_eq!(state(&BTreeMap::new(), Some(&none)), DrillState::Skipped);
    }
}
