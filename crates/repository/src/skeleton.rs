//! What a tar is beside the content of its files: its own bytes, and which blobs lie between them.
//!
//! A stream of records behind [`MAGIC`]. A record is a byte for its kind, a number, and as many
//! bytes ([`RAW`]: they belong to the tar) or ids of blobs, 32 bytes each ([`CONTENT`]: what is in
//! those belongs there). Numbers are LEB128, seven bits in a byte, the lowest first.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::{Id, RepositoryError};

/// Begins every skeleton.
pub(crate) const MAGIC: &[u8] = b"tar skeleton 1\n";
/// Is behind the name of the folder whose tar it is.
pub(crate) const SUFFIX: &str = ".skeleton";
/// Is behind the name of the folder, for content that is in the tar and in none of its files.
pub(crate) const REST_SUFFIX: &str = ".rest";
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

impl Records {
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

    proptest! {
        #[test]
        fn no_bytes_are_too_much_for_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[MAGIC, &bytes]);
            let _ = read(&[&bytes]);
        }
    }
}
