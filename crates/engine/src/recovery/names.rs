//! What copies of the catalog are called: `_orchestrator/catalog-TIME-KEY.jsonl.zst.age`.
//!
//! TIME is in UTC; KEY is the beginning of the recovery key's fingerprint, so that several
//! orchestrators may share a destination and each tells its own copies from the others'.

use std::collections::HashSet;

use jiff::{Timestamp, tz::TimeZone};
use store::{InvalidKey, Key};

/// The folder of our own at every destination; no app may have it.
pub const FOLDER: &str = "_orchestrator";
const BEGIN: &str = "catalog-";
const END: &str = ".jsonl.zst.age";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// How many of the newest are kept, and beside them the last one of each month.
const KEPT: usize = 7;

/// A copy by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyName {
    /// When it was begun, to the second.
    pub at: Timestamp,
    /// Beginning of the recovery key's fingerprint, 16 hex digits.
    pub key: String,
}

impl CopyName {
    /// The file's own name.
    pub fn file(&self) -> String {
        let at = self.at.to_zoned(TimeZone::UTC).strftime(TIME);
        format!("{BEGIN}{at}-{}{END}", self.key)
    }

    /// Where it lies at a destination.
    pub fn object(&self) -> Result<Key, InvalidKey> {
        Key::new(&format!("{FOLDER}/{}", self.file()))
    }

    /// Reads a file's name; `None` unless it is exactly one that [`Self::file`] gives.
    pub fn of_file(name: &str) -> Option<Self> {
        let (time, key) = name.strip_prefix(BEGIN)?.strip_suffix(END)?.split_once('-')?;
        let at = jiff::civil::DateTime::strptime(TIME, time).ok()?;
        let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let read = Self { at, key: key.to_owned() };
        let is_ours =
            key.len() == 16 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (is_ours && read.file() == name).then_some(read)
    }

    /// The same of an object's whole name.
    pub fn of_object(name: &str) -> Option<Self> {
        Self::of_file(name.strip_prefix(FOLDER)?.strip_prefix('/')?)
    }
}

/// Whether `path` lies in our folder, however it is written.
pub fn is_ours(path: &str) -> bool {
    let first = path.trim_matches('/').split('/').next().unwrap_or_default();
    first.eq_ignore_ascii_case(FOLDER)
}

/// Which of `names` are too many: all but the newest seven and the last of each month.
pub(crate) fn too_many(mut names: Vec<CopyName>) -> Vec<CopyName> {
    names.sort();
    names.reverse();
    let mut months = HashSet::new();
    let mut at = 0;
    names.retain(|name| {
        let date = name.at.to_zoned(TimeZone::UTC).date();
        let last_of_month = months.insert((date.year(), date.month()));
        at += 1;
        at > KEPT && !last_of_month
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(day: i64) -> CopyName {
        let at = Timestamp::from_second(1_780_000_000 + day * 86_400).unwrap();
        CopyName { at, key: "0123456789abcdef".into() }
    }

    #[test]
    fn only_names_of_our_own_are_read() {
        let one = name(1);
        assert_eq!(CopyName::of_file(&one.file()), Some(one.clone()));
        assert_eq!(CopyName::of_object(one.object().unwrap().as_str()), Some(one.clone()));
        let file = one.file();
        for other in [
            file.replace(".age", ".ag"),
            file.replace("0123456789abcdef", "0123456789ABCDEF"),
            file.replace("0123456789abcdef", "0123"),
            format!("x{file}"),
            format!("{file}.age"),
            format!("a/{file}"),
            "catalog-20260101T000000Z.jsonl.zst.age".to_owned(),
            "catalog-20260101T990000Z-0123456789abcdef.jsonl.zst.age".to_owned(),
        ] {
            assert_eq!(CopyName::of_file(&other), None, "{other}");
        }
        assert!(is_ours("/_Orchestrator/x") && is_ours("_orchestrator"));
        assert!(!is_ours("_orchestrator2/x") && !is_ours("x/_orchestrator"));
    }

    #[test]
    fn the_newest_seven_and_one_of_each_month_stay() {
        let all: Vec<_> = (0..100).map(name).collect();
        let gone = too_many(all.clone());
        let kept: Vec<_> = all.iter().filter(|one| !gone.contains(one)).collect();
        assert!(kept.contains(&&all[99]) && kept.contains(&&all[93]));
        let months = |names: &[CopyName]| -> HashSet<_> {
            let month = |one: &CopyName| one.at.to_zoned(TimeZone::UTC).date().first_of_month();
            names.iter().map(month).collect()
        };
        let before = months(&all).difference(&months(&all[93..])).count();
        assert_eq!(kept.len(), 7 + before);
        assert_eq!(too_many(kept.into_iter().cloned().collect()), []);
    }
}
