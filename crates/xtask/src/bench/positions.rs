//! How far an archive of WAL reaches, by the names of the files at its destination.

use std::{collections::BTreeSet, fs, path::Path};

/// The size of a segment, as every server has it that was not told otherwise.
pub(super) const SEGMENT: u64 = 16 << 20;

/// What a name says.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// A whole segment, by its number.
    Whole(u64),
    /// The beginning of a segment, up to a position.
    Beginning(u64, u64),
}

/// Reads a name of ours (`SEGMENT-HASH-COMMIT.zst`, `SEGMENT.partial-END-HASH-COMMIT.zst`), of
/// pgBackRest (`SEGMENT-HASH.zst`) or of `pg_receivewal` (`SEGMENT.gz`); `None` for what is not
/// finished.
fn named(name: &str) -> Option<Named> {
    let (segment, rest) = name.split_at_checked(24)?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    hex(segment.get(..8)?)?;
    let number = hex(&segment[8..16])? * 0x1_0000_0000 / SEGMENT + hex(&segment[16..])?;
    if let Some(rest) = rest.strip_prefix(".partial-") {
        let end = rest.split('-').next().and_then(hex)?;
        return rest.strip_suffix(".zst").map(|_| Named::Beginning(number, end));
    }
    let is_whole = [".zst", ".gz", ".lz4"].iter().any(|end| rest.ends_with(end));
    is_whole.then_some(Named::Whole(number))
}

/// An archive that is looked at again and again.
pub(super) struct Reach {
    /// The first segment that was not seen whole.
    next: u64,
    later: BTreeSet<u64>,
}

impl Reach {
    /// From a segment's start on.
    pub(super) fn from(at: u64) -> Self {
        Self { next: at / SEGMENT, later: BTreeSet::new() }
    }

    /// Up to where everything is in `folder` by now.
    pub(super) fn look(&mut self, folder: &Path) -> u64 {
        let mut longest = (0, 0);
        self.walk(folder, &mut longest);
        while self.later.remove(&self.next) {
            self.next += 1;
        }
        let whole = self.next * SEGMENT;
        if longest.0 == self.next { whole.max(longest.1) } else { whole }
    }

    fn walk(&mut self, folder: &Path, longest: &mut (u64, u64)) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            match name.to_str().and_then(named) {
                Some(Named::Whole(number)) if number >= self.next => {
                    self.later.insert(number);
                }
                Some(Named::Beginning(number, end)) => {
                    *longest = (*longest).max((number, end));
                }
                None if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                    self.walk(&entry.path(), longest);
                }
                Some(Named::Whole(_)) | None => {}
            }
        }
    }
}

/// The latest commit that the names of ours tell, in seconds since 1970.
pub(super) fn newest_commit(folder: &Path) -> f64 {
    let mut newest = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let (Some(_), Some(stem)) = (named(&name), name.strip_suffix(".zst")) {
            let commit = stem.rsplit('-').next().unwrap_or_default();
            newest = newest.max(u64::from_str_radix(commit, 16).unwrap_or_default());
        }
    }
    newest as f64 / 1e6
}

/// A position as PostgreSQL writes it, such as `16/B374D848`.
pub(super) fn position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((hex(high)? << 32) + hex(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_tools_are_read() {
        let segment = "000000010000000200000003";
        let whole = || Some(Named::Whole(2 * 256 + 3));
        assert_eq!(named(&format!("{segment}-0123456789abcdef-6A0.zst")), whole());
        assert_eq!(named(&format!("{segment}-{}.zst", "a".repeat(40))), whole());
        assert_eq!(named(&format!("{segment}.gz")), whole());
        assert_eq!(
            named(&format!("{segment}.partial-2030000A0-0123456789abcdef-0.zst")),
            Some(Named::Beginning(2 * 256 + 3, 0x2_0300_00A0))
        );
        for unfinished in [".gz.partial", ".zst.pgbackrest.tmp", "", ".partial"] {
            assert_eq!(named(&format!("{segment}{unfinished}")), None, "{unfinished}");
        }
        assert_eq!(named("archive.info"), None);
        assert_eq!(position("2/30000A0"), Some(0x2_0300_00A0));
    }

    #[test]
    fn it_reaches_as_far_as_nothing_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let deeper = folder.path().join("0000000100000000");
        fs::create_dir(&deeper).unwrap();
        let put = |name: &str| fs::write(deeper.join(name), "").unwrap();
        let mut reach = Reach::from(4 * SEGMENT);
        put("000000010000000000000003.gz");
        put("000000010000000000000005.gz");
        assert_eq!(reach.look(folder.path()), 4 * SEGMENT);
        put("000000010000000000000006.partial-6000100-0-0.zst");
        put("000000010000000000000004.gz");
        assert_eq!(reach.look(folder.path()), 0x600_0100);
        put("000000010000000000000006-0-64.zst");
        assert_eq!(reach.look(folder.path()), 7 * SEGMENT);
        assert!((newest_commit(&deeper) - 100e-6).abs() < 1e-9);
    }
}
