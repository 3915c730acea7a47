//! What a tar is beside the content of its files: its own bytes, and which blobs lie between them.
//!
//! A stream of records behind [`MAGIC`]. A record is a byte for its kind, a number, and as many
//! bytes ([`RAW`]: they belong to the tar) or ids of blobs, 32 bytes each ([`CONTENT`]: what is in
//! those belongs there). Numbers are LEB128, seven bits in a byte, the lowest first.
//!
//! Where a skeleton has many blobs, a table tells for each of them how many bytes of the tar its
//! records are: a number each. One that begins within the content of a file has 0, and its bytes are
//! counted with the blob in which that content begins.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::{Id, RepositoryError};

/// Begins every skeleton.
pub(crate) const MAGIC: &[u8] = b"tar skeleton 1\n";
/// Is behind the name of the folder whose tar it is.
pub(crate) const SUFFIX: &str = ".skeleton";
/// Is behind the name of the folder, for content that is in the tar and in none of its files.
pub(crate) const REST_SUFFIX: &str = ".rest";
/// Is behind the name of the folder, for the table of a skeleton with many blobs.
pub(crate) const OFFSETS_SUFFIX: &str = ".offsets";
/// A skeleton of fewer blobs is read from its begin.
pub(crate) const MIN_OFFSETS: usize = 16;
const RAW: u8 = 0;
const CONTENT: u8 = 1;
const ID_BYTES: usize = 32;
/// Most ids of one record; more content is several.
const MAX_IDS: usize = 4096;
/// Most bytes of one record.
const MAX_RECORD: usize = 4 << 20;

/// A part of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// These bytes.
    Raw(Bytes),
    /// What is in these blobs.
    Content(Vec<Id>),
}

fn number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    to.push(u8::try_from(number).unwrap_or_default());
}

/// Appends bytes of the tar.
pub(crate) fn put_raw(to: &mut Vec<u8>, bytes: &[u8]) {
    for part in bytes.chunks(MAX_RECORD / 2) {
        to.push(RAW);
        number(to, part.len());
        to.extend_from_slice(part);
    }
}

/// Appends the content of a file.
pub(crate) fn put_content(to: &mut Vec<u8>, ids: &[Id]) {
    for part in ids.chunks(MAX_IDS) {
        to.push(CONTENT);
        number(to, part.len());
        for id in part {
            to.extend_from_slice(id.as_bytes());
        }
    }
}

/// Reads records from pieces of a skeleton as they come.
#[derive(Debug, Default)]
pub(crate) struct Records {
    waiting: BytesMut,
    begun: bool,
}

fn bad(how: &str) -> RepositoryError {
    RepositoryError::malformed("the skeleton of a tar", how)
}

/// The table of a skeleton whose blobs have these lengths, in bytes of the tar.
pub(crate) fn table(lengths: &[u64]) -> Vec<u8> {
    let mut table = Vec::with_capacity(3 * lengths.len());
    for length in lengths {
        let mut left = *length;
        while left >= 0x80 {
            table.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        table.push(left.to_le_bytes()[0]);
    }
    table
}

/// From which blob of a skeleton on its records have to be read for what begins at byte `start` of the
/// tar, and at which byte those begin. `None` where the table is not of a skeleton of `blobs` blobs.
pub(crate) fn place(table: &[u8], blobs: usize, start: u64) -> Option<(usize, u64)> {
    let (mut found, mut at) = ((0, 0), 0_u64);
    let (mut length, mut shift, mut count) = (0_u64, 0, 0);
    for byte in table {
        length |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 != 0 {
            continue;
        }
        if at <= start && (length > 0 || count == 0) {
            found = (count, at);
        }
        at = at.checked_add(length)?;
        (length, shift, count) = (0, 0, count + 1);
    }
    (count == blobs && shift == 0).then_some(found)
}

impl Records {
    /// Records from the begin of a blob that is not the first.
    pub(crate) fn going_on() -> Self {
        Self { begun: true, ..Self::default() }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.waiting.extend_from_slice(piece);
    }

    /// The next record that is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, RepositoryError> {
        if !self.begun {
            if self.waiting.len() < MAGIC.len() {
                return Ok(None);
            }
            if !self.waiting.starts_with(MAGIC) {
                return Err(bad("it does not begin as one that this version knows"));
            }
            self.waiting.advance(MAGIC.len());
            self.begun = true;
        }
        let Some(kind) = self.waiting.first().copied() else { return Ok(None) };
        let Some((count, head)) = read_number(&self.waiting[1..])? else { return Ok(None) };
        let bytes = match kind {
            RAW => count,
            CONTENT => count.saturating_mul(ID_BYTES),
            _ => return Err(bad("it has a record of an unknown kind")),
        };
        if bytes > MAX_RECORD {
            return Err(bad("it has a record that is too long"));
        }
        if self.waiting.len() < 1 + head + bytes {
            return Ok(None);
        }
        self.waiting.advance(1 + head);
        let body = self.waiting.split_to(bytes).freeze();
        Ok(Some(match kind {
            RAW => Record::Raw(body),
            _ => Record::Content(body.as_chunks().0.iter().map(|id| Id::new(*id)).collect()),
        }))
    }

    /// Nothing may be left of a record at the end.
    pub(crate) fn end(&self) -> Result<(), RepositoryError> {
        if self.begun && self.waiting.is_empty() { Ok(()) } else { Err(bad("it is cut off")) }
    }
}

/// A number, and how many bytes it has.
fn read_number(from: &[u8]) -> Result<Option<(usize, usize)>, RepositoryError> {
    let mut number = 0;
    for (at, byte) in from.iter().enumerate() {
        if at == 5 {
            return Err(bad("it has a number that is too large"));
        }
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Record>, RepositoryError> {
        let (mut records, mut all) = (Records::default(), Vec::new());
        for piece in pieces {
            records.push(piece);
            while let Some(record) = records.next()? {
                all.push(record);
            }
        }
        records.end().map(|()| all)
    }

    #[test]
    fn records_are_read_as_they_were_written_wherever_the_pieces_end() {
        let ids: Vec<_> = (0..MAX_IDS + 2).map(|n| Id::of(&n.to_le_bytes())).collect();
        let mut skeleton = MAGIC.to_vec();
        put_raw(&mut skeleton, &[7; 512]);
        put_content(&mut skeleton, &ids);
        put_raw(&mut skeleton, b"");
        put_raw(&mut skeleton, b"x");
        let expected = [
            Record::Raw(Bytes::from_static(&[7; 512])),
            Record::Content(ids[..MAX_IDS].to_vec()),
            Record::Content(ids[MAX_IDS..].to_vec()),
            Record::Raw(Bytes::from_static(b"x")),
        ];
        for length in [1, 7, 513, skeleton.len()] {
            let pieces: Vec<_> = skeleton.chunks(length).collect();
            assert_eq!(read(&pieces).unwrap(), expected, "{length}");
        }
        for cut in [0, 3, MAGIC.len() + 1, MAGIC.len() + 100, skeleton.len() - 1] {
            assert!(read(&[&skeleton[..cut]]).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_table_tells_where_to_begin() {
        let lengths = [300, 70_000, 0, 0, 1 << 40, 5];
        let table = table(&lengths);
        for (start, expected) in [
            (0, (0, 0)),
            (299, (0, 0)),
            (300, (1, 300)),
            (70_299, (1, 300)),
            (70_300, (4, 70_300)),
            (70_300 + (1 << 40), (5, 70_300 + (1 << 40))),
            (u64::MAX, (5, 70_300 + (1 << 40))),
        ] {
            assert_eq!(place(&table, lengths.len(), start), Some(expected), "{start}");
        }
        assert_eq!(place(&table, 5, 0), None);
        assert_eq!(place(&table[..table.len() - 1], 6, 0), None);
        assert_eq!(place(&[0xff; 20], 1, 0), None);
        assert_eq!(place(&[], 1, 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much_for_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[MAGIC, &bytes]);
            let _ = read(&[&bytes]);
            let _ = place(&bytes, 3, 7);
        }
    }
}
