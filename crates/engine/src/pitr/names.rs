//! How objects of an archive are called: names carry all that an index of it needs, so that a
//! listing makes a new one.
//!
//! `FOLDER/wal/SYSTEM-16m/TIMELINE/SEGMENT-HASH-COMMIT.zst[.age]`, with the segment's size in MiB,
//! the first 16 hex digits of the content's SHA-256, and the last commit in microseconds since 1970
//! (0 for none). A beginning is `SEGMENT.partial-END-HASH-COMMIT`, a history `TIMELINE.history-HASH`,
//! anything else that was handed over `NAME-HASH`.

use jiff::Timestamp;
use model::{AppId, WalPiece, WalPieceKind, WalPieceState};
use replication::{Lsn, SegmentSize, SystemId, Timeline};

/// The folder below an app's.
pub(crate) const FOLDER: &str = "wal";
/// What follows the name where it is not encrypted.
const PACKED: &str = ".zst";
/// And where it is.
const SEALED: &str = ".zst.age";
/// Hex digits of a hash.
pub(crate) const HASH: usize = 16;
const MIB: u64 = 1 << 20;

/// What a piece is, and what its object's name tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PieceName {
    pub(crate) system: SystemId,
    pub(crate) size: SegmentSize,
    pub(crate) timeline: Timeline,
    pub(crate) kind: WalPieceKind,
    /// The file's name as PostgreSQL's; of a beginning that of its segment.
    pub(crate) file: String,
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
    pub(crate) hash: String,
    pub(crate) last_commit: Option<Timestamp>,
}

impl PieceName {
    /// The name within the app's folder.
    pub(crate) fn path(&self, is_encrypted: bool) -> String {
        let commit = self.last_commit.map_or(0, |at| at.as_microsecond().max(0));
        let Self { file, hash, .. } = self;
        let name = match self.kind {
            WalPieceKind::Segment => format!("{file}-{hash}-{commit:X}"),
            WalPieceKind::Beginning => {
                format!("{file}.partial-{:X}-{hash}-{commit:X}", self.end.0)
            }
            WalPieceKind::History | WalPieceKind::Label => format!("{file}-{hash}"),
        };
        let suffix = if is_encrypted { SEALED } else { PACKED };
        format!("{}/{:08X}/{name}{suffix}", self.folder(), self.timeline.number())
    }

    /// The folder of its cluster within the app's.
    fn folder(&self) -> String {
        format!("{FOLDER}/{}-{}m", self.system, self.size.bytes() / MIB)
    }

    /// Reads a name within an app's folder; `None` for what is none of ours.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/');
        let (cluster, timeline, name) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let (system, size) = cluster.strip_suffix('m')?.split_once('-')?;
        let size = SegmentSize::new(size.parse::<u64>().ok()?.checked_mul(MIB)?)?;
        let timeline =
            Timeline::new(hex(timeline).filter(|_| timeline.len() == 8)?.try_into().ok()?)?;
        let name = name.strip_suffix(SEALED).or_else(|| name.strip_suffix(PACKED))?;
        let words: Vec<&str> = name.split('-').collect();
        let (file, end, hash, commit) = match words.as_slice() {
            [file, hash] => (*file, None, *hash, "0"),
            [file, hash, commit] => (*file, None, *hash, *commit),
            [file, end, hash, commit] => {
                (file.strip_suffix(".partial")?, Some(hex(end)?), *hash, *commit)
            }
            _ => return None,
        };
        if hash.len() != HASH || hex(hash).is_none() {
            return None;
        }
        let commit = i64::try_from(hex(commit)?).ok()?;
        let segment = size.parse_name(file).filter(|(own, _)| *own == timeline).map(|(_, at)| at);
        let (kind, start, end) = match (words.len(), segment) {
            (3, Some(start)) => (WalPieceKind::Segment, start, start.plus(size.bytes())),
            (4, Some(start)) => {
                let end = Lsn(end?);
                let within = start < end && end < start.plus(size.bytes());
                (WalPieceKind::Beginning, start, within.then_some(end)?)
            }
            (2, _) if file == timeline.history_name() => (WalPieceKind::History, Lsn(0), Lsn(0)),
            (2, _) if is_label(file) => (WalPieceKind::Label, Lsn(0), Lsn(0)),
            _ => return None,
        };
        Some(Self {
            system: system.parse().ok()?,
            size,
            timeline,
            kind,
            file: file.to_owned(),
            start,
            end,
            hash: hash.to_owned(),
            last_commit: (commit > 0).then(|| Timestamp::from_microsecond(commit).ok()).flatten(),
        })
    }

    /// The piece at `key`, as it comes into the catalog.
    pub(crate) fn piece(
        &self,
        app_id: AppId,
        key: &str,
        stored_bytes: u64,
        at: Timestamp,
    ) -> WalPiece {
        WalPiece {
            app_id,
            system: self.system.to_string(),
            timeline: self.timeline.number(),
            kind: self.kind,
            name: self.file.clone(),
            start: told(self.start),
            end: told(self.end),
            segment_bytes: self.size.bytes(),
            hash: self.hash.clone(),
            key: key.to_owned(),
            stored_bytes,
            stored_at: at,
            modified_at: None,
            last_commit: self.last_commit,
            history: None,
            state: WalPieceState::Good,
        }
    }
}

/// Whether what lies at `key` is encrypted.
pub(crate) fn is_encrypted(key: &str) -> bool {
    key.strip_suffix(SEALED).is_some()
}

/// Labels of backups (`….00000028.backup`) and what a promotion leaves (`….partial`).
pub(crate) fn is_label(file: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let begins = file.get(..24).is_some_and(|name| name.chars().all(|c| c.is_ascii_hexdigit()));
    begins && file.len() <= 64 && file.get(24..25) == Some(".") && file.chars().all(is_plain)
}

/// One to sixteen hexadecimal digits.
fn hex(text: &str) -> Option<u64> {
    let fits = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// A position in the words of the model.
pub(crate) fn told(at: Lsn) -> model::Lsn {
    model::Lsn(at.0)
}

/// A position of the model.
pub(crate) fn read(at: model::Lsn) -> Lsn {
    Lsn(at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: WalPieceKind, file: &str, (start, end): (u64, u64)) -> PieceName {
        PieceName {
            system: 7_412_345_678_901_234_567,
            size: SegmentSize::default(),
            timeline: Timeline::new(0x1B).unwrap(),
            kind,
            file: file.to_owned(),
            start: Lsn(start),
            end: Lsn(end),
            hash: "0123456789abcdef".to_owned(),
            last_commit: None,
        }
    }

    #[test]
    fn names_tell_everything_and_nothing_else_is_a_name() {
        use WalPieceKind as K;
        let at = Timestamp::from_microsecond(1_790_000_000_123_456).unwrap();
        let segment = "0000001B0000001600000002";
        let start = 0x16_0200_0000;
        for one in [
            name(K::Segment, segment, (start, start + (16 << 20))),
            PieceName {
                last_commit: Some(at),
                ..name(K::Beginning, segment, (start, start + 8192))
            },
            name(K::History, "0000001B.history", (0, 0)),
            name(K::Label, "0000001B0000001600000002.00000028.backup", (0, 0)),
            name(K::Label, "0000001B0000001600000002.partial", (0, 0)),
        ] {
            for is_encrypted in [false, true] {
                assert_eq!(PieceName::parse(&one.path(is_encrypted)), Some(one.clone()), "{one:?}");
            }
        }
        let good = name(K::Segment, segment, (start, start + (16 << 20))).path(false);
        assert!(good.starts_with("wal/7412345678901234567-16m/0000001B/"), "{good}");
        for (from, to) in [
            ("wal/", "log/"),
            ("-16m", "-15m"),
            ("0000001B/", "0000001C/"),
            (".zst", ".gz"),
            ("0123456789abcdef", "0123456789abcde"),
            ("/0000001B0", "/x0000001B0"),
            ("0000001B/", "0000001B/x/"),
        ] {
            assert_eq!(PieceName::parse(&good.replacen(from, to, 1)), None, "{from}");
        }
    }
}
