//! `pg_dump --format=custom`, as PostgreSQL's `pg_backup_archiver.c` and `pg_backup_custom.c` write
//! it (versions 1.11 to 1.16): a header, a table of contents, then blocks of data.

use std::collections::HashMap;

use super::{Counted, rows::Rows};

/// A table of contents that is larger is not read.
const MAX_HEAD: usize = 16 << 20;
const BLOCK_DATA: u8 = 1;

/// Reads one archive.
#[derive(Debug, Default)]
pub(super) struct Custom {
    head: Vec<u8>,
    int_size: usize,
    is_compressed: bool,
    /// Names of tables by the id of their data.
    tables: HashMap<u64, String>,
    counted: Counted,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    /// Before a block: its kind and the id of what it belongs to.
    Block,
    /// Before a piece of a table's rows: its length.
    Piece { id: u64, rows: Rows },
    /// Inside a piece.
    Bytes { id: u64, rows: Rows, left: u64 },
    /// Nothing more can be said: large objects, or what cannot be read.
    Rest,
}

impl Custom {
    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        loop {
            match std::mem::take(&mut self.state) {
                State::Head => {
                    self.head.extend_from_slice(chunk);
                    chunk = &[];
                    match Head::read(&self.head) {
                        Some((head, used)) => {
                            self.int_size = head.int_size;
                            self.is_compressed = head.is_compressed;
                            self.tables = head.tables;
                            self.head.drain(..used);
                            self.state = State::Block;
                        }
                        None if self.head.len() > MAX_HEAD || !may_be_read(&self.head) => {
                            self.state = State::Rest;
                        }
                        None => {
                            self.state = State::Head;
                            return;
                        }
                    }
                }
                State::Rest => {
                    self.head = Vec::new();
                    self.state = State::Rest;
                    return;
                }
                State::Block => {
                    self.head.extend_from_slice(chunk);
                    chunk = &[];
                    let mut reader = Reader { bytes: &self.head, int_size: self.int_size };
                    let before = reader.bytes.len();
                    let block = reader.byte().and_then(|kind| Some((kind, reader.int()?)));
                    let used = before - reader.bytes.len();
                    match block {
                        Some((BLOCK_DATA, id)) if !self.is_compressed => {
                            self.head.drain(..used);
                            self.state =
                                State::Piece { id: id.unsigned_abs(), rows: Rows::default() };
                        }
                        Some(_) => self.state = State::Rest,
                        None => {
                            self.state = State::Block;
                            return;
                        }
                    }
                }
                State::Piece { id, rows } => {
                    self.head.extend_from_slice(chunk);
                    chunk = &[];
                    let mut reader = Reader { bytes: &self.head, int_size: self.int_size };
                    let before = reader.bytes.len();
                    let length = reader.int();
                    let used = before - reader.bytes.len();
                    match length {
                        Some(0) => {
                            self.head.drain(..used);
                            self.end_of(id, rows);
                            self.state = State::Block;
                        }
                        Some(length @ 1..) => {
                            self.head.drain(..used);
                            let left = length.unsigned_abs();
                            self.state = State::Bytes { id, rows, left };
                        }
                        Some(_) => self.state = State::Rest,
                        None => {
                            self.state = State::Piece { id, rows };
                            return;
                        }
                    }
                }
                State::Bytes { id, mut rows, left } => {
                    // What was read ahead comes first.
                    let from_head = !self.head.is_empty();
                    let source = if from_head { &self.head[..] } else { chunk };
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(source.len());
                    rows.push(&source[..most]);
                    let left = left - most as u64;
                    if from_head {
                        self.head.drain(..most);
                    } else {
                        chunk = &chunk[most..];
                    }
                    if left == 0 {
                        self.state = State::Piece { id, rows };
                    } else {
                        self.state = State::Bytes { id, rows, left };
                        if chunk.is_empty() && self.head.is_empty() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn end_of(&mut self, id: u64, rows: Rows) {
        if let Some(table) = self.tables.remove(&id) {
            match rows.finish() {
                Some(rows) => *self.counted.tables.entry(table).or_default() += rows,
                None => self.counted.uncounted += 1,
            }
        }
    }

    pub(super) fn finish(mut self) -> Option<Counted> {
        if matches!(self.state, State::Head) {
            return None;
        }
        self.counted.uncounted += self.tables.len() as u64;
        Some(self.counted)
    }
}

/// Whether this is the beginning of an archive of a version that is known here.
fn may_be_read(head: &[u8]) -> bool {
    let seen = head.len().min(7);
    let is_known = |version: &u8| (11..=16).contains(version);
    b"PGDMP\x01".starts_with(&head[..seen.min(6)]) && head.get(6).is_none_or(is_known)
}

struct Head {
    int_size: usize,
    is_compressed: bool,
    tables: HashMap<u64, String>,
}

impl Head {
    /// The header and the table of contents, and how many bytes they take; `None` while they are
    /// not there whole, and for what is none.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes: bytes.strip_prefix(b"PGDMP")?, int_size: 0 };
        let version = (reader.byte()?, reader.byte()?);
        let _revision = reader.byte()?;
        let int_size = usize::from(reader.byte()?);
        let offset_size = usize::from(reader.byte()?);
        let format = reader.byte()?;
        if format != 1 || int_size > 8 {
            return None;
        }
        reader.int_size = int_size;
        let is_compressed = if version.1 >= 15 { reader.byte()? != 0 } else { reader.int()? != 0 };
        for _ in 0..7 {
            reader.int()?;
        }
        for _ in 0..3 {
            reader.text()?;
        }
        let mut tables = HashMap::new();
        for _ in 0..reader.int()? {
            let id = reader.int()?.unsigned_abs();
            let has_data = reader.int()? != 0;
            let (_table_oid, _oid) = (reader.text()?, reader.text()?);
            let (tag, kind) = (reader.text()?, reader.text()?);
            let _section = reader.int()?;
            let (_definition, _drop, copy) = (reader.text()?, reader.text()?, reader.text()?);
            let (schema, _tablespace) = (reader.text()?, reader.text()?);
            if version.1 >= 14 {
                reader.text()?;
            }
            if version.1 >= 16 {
                reader.int()?;
            }
            let (_owner, _oids) = (reader.text()?, reader.text()?);
            while reader.text()?.is_some() {}
            reader.take(1 + offset_size)?;
            if has_data && kind == Some(b"TABLE DATA") && copy.is_some() {
                let text = |part: Option<&[u8]>| {
                    String::from_utf8_lossy(part.unwrap_or_default()).into_owned()
                };
                tables.insert(id, format!("{}.{}", text(schema), text(tag)));
            }
        }
        Some((Self { int_size, is_compressed, tables }, bytes.len() - reader.bytes.len()))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    int_size: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// A sign, then the number, its lowest byte first.
    fn int(&mut self) -> Option<i64> {
        let (rest, int_size) = (self.bytes, self.int_size);
        let whole = rest.get(..=int_size)?;
        self.bytes = &rest[int_size + 1..];
        let number = whole[1..].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let number = i64::try_from(number).ok()?;
        Some(if whole[0] == 0 { number } else { -number })
    }

    /// Its length, then the text; a negative length is none at all.
    #[expect(clippy::option_option)]
    fn text(&mut self) -> Option<Option<&'a [u8]>> {
        match self.int()? {
            length @ 0.. => Some(Some(self.take(usize::try_from(length).ok()?)?)),
            _ => Some(None),
        }
    }
}
