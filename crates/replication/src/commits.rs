//! When transactions were committed and where tablespaces were made, read from WAL as it passes.
//!
//! Only what is the same from PostgreSQL 13 to 18 is read: page headers, the fixed part of records,
//! the time with which every commit's data begins, and what a new tablespace is. WAL of a machine with other byte order is
//! not understood, and told as holding no commit.

use jiff::Timestamp;

use crate::{Lsn, SegmentSize, stream::time};

/// Header of a page; the first one of a segment is longer.
const PAGE: usize = 24;
const FIRST_PAGE: usize = 40;
/// The fixed part of a record.
const RECORD: usize = 24;
/// As much of a record as holds a commit's time: heads of data, origin and top-level transaction.
const HEAD: usize = 64;
/// The same of a new tablespace: its number and its path, which `MAXPGPATH` bounds.
const TABLESPACE_HEAD: usize = RECORD + 5 + 4 + 1024;
/// The page begins with the rest of a record.
const CONTINUED: u16 = 1;

const RM_XACT: u8 = 1;
const COMMIT: u8 = 0x00;
const COMMIT_PREPARED: u8 = 0x30;
const RM_TABLESPACE: u8 = 5;
const CREATE: u8 = 0x00;

/// Commits in a stretch of WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commits {
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

impl Commits {
    /// Both together.
    pub fn join(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(Self {
                first: one.first.min(other.first),
                last: one.last.max(other.last),
                count: one.count + other.count,
            }),
            (one, other) => one.or(other),
        }
    }
}

/// A tablespace that is made in WAL: replay makes it in the same folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTablespace {
    /// Where its record begins.
    pub at: Lsn,
    /// The folder; empty where it lies within the data directory.
    pub path: String,
    /// The latest commit that was seen before it.
    pub after: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within the header of a page.
    Page,
    /// Within the head of a record.
    Head,
    /// So many bytes of a record are left.
    Body(u64),
    /// Between a record and the next multiple of eight.
    Padding,
    /// Not understood until the next segment, as after a switch of segments.
    Lost,
}

/// Reads WAL in pieces of any size.
#[derive(Debug)]
pub struct Scanner {
    segment: u64,
    page: u64,
    at: u64,
    state: State,
    /// What goes on after a page's header; `None` where nothing is known.
    within: Option<State>,
    header: Vec<u8>,
    head: Vec<u8>,
    /// Where the record in hand begins.
    record: u64,
    found: Option<Commits>,
    tablespaces: Vec<NewTablespace>,
}

impl Scanner {
    /// Begins at the start of a segment.
    pub fn new(size: SegmentSize, start: Lsn) -> Self {
        Self {
            segment: size.bytes(),
            page: 8192,
            at: size.start_of(start).0,
            state: State::Page,
            within: None,
            header: Vec::with_capacity(FIRST_PAGE),
            head: Vec::with_capacity(HEAD),
            record: 0,
            found: None,
            tablespaces: Vec::new(),
        }
    }

    /// What was found since this was asked last.
    pub fn take(&mut self) -> Option<Commits> {
        self.found.take()
    }

    /// The tablespaces that were made, in their order; asked for once.
    pub fn take_tablespaces(&mut self) -> Vec<NewTablespace> {
        std::mem::take(&mut self.tablespaces)
    }

    /// Reads on.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            self.at += taken as u64;
            bytes = &bytes[taken..];
        }
    }

    /// Takes some of `bytes`, or none where only the state changes.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let of_segment = self.at & (self.segment - 1);
        if self.state == State::Lost {
            if of_segment != 0 {
                return at_most(bytes, self.segment - of_segment);
            }
            self.begin_page(None);
        }
        let of_page = self.at & (self.page - 1);
        if of_page == 0 && self.state != State::Page {
            let within = Some(self.state);
            self.begin_page(within);
        }
        let room = at_most(bytes, self.page - of_page);
        match self.state {
            // Left above.
            State::Lost => room,
            State::Page => {
                let first = (self.at - self.header.len() as u64) & (self.segment - 1) == 0;
                let taken = fill(&mut self.header, if first { FIRST_PAGE } else { PAGE }, bytes);
                if let Some(taken) = taken {
                    self.state = self.page_state(taken);
                    return taken;
                }
                bytes.len()
            }
            State::Head => self.record_head(&bytes[..room]),
            State::Body(left) => {
                let taken = at_most(&bytes[..room], left);
                self.state = match left - taken as u64 {
                    0 => State::Padding,
                    left => State::Body(left),
                };
                taken
            }
            State::Padding => {
                let pad = (8 - self.at % 8) % 8;
                if pad <= room as u64 {
                    self.begin_record();
                }
                at_most(&bytes[..room], pad)
            }
        }
    }

    fn begin_page(&mut self, within: Option<State>) {
        self.within = within;
        self.header.clear();
        self.state = State::Page;
    }

    fn begin_record(&mut self) {
        self.head.clear();
        self.state = State::Head;
    }

    /// What follows a page's header whose last `taken` bytes are at `self.at`.
    fn page_state(&mut self, taken: usize) -> State {
        let start = self.at + taken as u64 - self.header.len() as u64;
        let flags = u16::from_le_bytes([self.header[2], self.header[3]]);
        let left = u64::from(u32_at(&self.header, 16));
        // PostgreSQL 13 is 0xD106; every version counts on.
        if self.header[1] != 0xD1 || u64_at(&self.header, 8) != start {
            return State::Lost;
        }
        if self.header.len() == FIRST_PAGE {
            let page = u64::from(u32_at(&self.header, 36));
            if !page.is_power_of_two() || !(1024..=65536).contains(&page) {
                return State::Lost;
            }
            self.page = page;
        }
        match self.within {
            Some(State::Head) if flags & CONTINUED != 0 && !self.head.is_empty() => State::Head,
            Some(State::Body(known)) if flags & CONTINUED != 0 && known == left => {
                State::Body(known)
            }
            // The beginning of what goes on here was not seen, or is not what goes on here.
            _ if flags & CONTINUED != 0 => State::Body(left),
            // Nothing goes on: what was begun was given up in a crash.
            _ => {
                self.head.clear();
                State::Head
            }
        }
    }

    fn record_head(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if self.head.is_empty() {
            self.record = self.at;
        }
        if self.head.len() < 4 {
            let Some(part) = fill(&mut self.head, 4, bytes) else { return bytes.len() };
            taken = part;
        }
        let length = u32_at(&self.head, 0) as usize;
        if length < RECORD {
            // Nothing more was written here.
            self.state = State::Lost;
            return taken;
        }
        let Some(part) = fill(&mut self.head, RECORD, &bytes[taken..]) else { return bytes.len() };
        taken += part;
        let most = if self.head[17] == RM_TABLESPACE { TABLESPACE_HEAD } else { HEAD };
        let wanted = length.min(most);
        let Some(part) = fill(&mut self.head, wanted, &bytes[taken..]) else { return bytes.len() };
        self.look();
        self.state = match length - wanted {
            0 => State::Padding,
            left => State::Body(left as u64),
        };
        taken + part
    }

    /// Looks whether the record is a commit, or makes a tablespace.
    fn look(&mut self) {
        let kind = self.head[16] & 0xF0;
        match self.head[17] {
            RM_XACT if matches!(kind & 0x70, COMMIT | COMMIT_PREPARED) => self.commit(),
            RM_TABLESPACE if kind == CREATE => self.tablespace(),
            _ => {}
        }
    }

    /// The data of the record in hand, as far as its head reaches.
    fn data(&self) -> Option<&[u8]> {
        let mut at = RECORD;
        // Heads of other parts come before that of the data; a record without pages has no others.
        let data = loop {
            match self.head.get(at) {
                Some(255) => break at + 2,
                Some(254) => break at + 5,
                Some(253) => at += 3,
                Some(252) => at += 5,
                _ => return None,
            }
        };
        self.head.get(data..)
    }

    fn commit(&mut self) {
        let Some(micros) = self.data().and_then(|data| data.first_chunk()) else { return };
        if let Some(time) = time(i64::from_le_bytes(*micros)) {
            let one = Commits { first: time, last: time, count: 1 };
            self.found = Commits::join(self.found, Some(one));
        }
    }

    fn tablespace(&mut self) {
        let Some(path) = self.data().and_then(|data| data.get(4..)) else { return };
        let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
        let path = String::from_utf8_lossy(path).into_owned();
        let after = self.found.map(|found| found.last);
        self.tablespaces.push(NewTablespace { at: Lsn(self.record), path, after });
    }
}

/// How many of `bytes` are within `limit`.
fn at_most(bytes: &[u8], limit: u64) -> usize {
    usize::try_from(limit).map_or(bytes.len(), |limit| limit.min(bytes.len()))
}

/// Takes from `bytes` until `buffer` holds `wanted`; how many were taken, `None` for all of them
/// and still too few.
fn fill(buffer: &mut Vec<u8>, wanted: usize, bytes: &[u8]) -> Option<usize> {
    let missing = wanted.saturating_sub(buffer.len());
    let taken = missing.min(bytes.len());
    buffer.extend_from_slice(&bytes[..taken]);
    (taken == missing).then_some(taken)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_stop(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9000), 0..8),
        ) {
            let mut scanner = Scanner::new(SegmentSize::default(), Lsn(0));
            for piece in pieces {
                scanner.feed(&piece);
            }
        }

        /// Real pages with any record lengths: the way through them does not depend on the cuts.
        #[test]
        fn cuts_make_no_difference(
            lengths in proptest::collection::vec(24usize..20_000, 1..20),
            cuts in proptest::collection::vec(1usize..9000, 1..40),
        ) {
            let (wal, commits) = written(&lengths);
            let mut whole = Scanner::new(SegmentSize::default(), Lsn(0));
            whole.feed(&wal);
            let mut cut = Scanner::new(SegmentSize::default(), Lsn(0));
            let mut rest = &wal[..];
            for size in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at((*size).min(rest.len()));
                cut.feed(piece);
                rest = more;
            }
            let (whole, cut) = (whole.take(), cut.take());
            prop_assert_eq!(whole, cut);
            prop_assert_eq!(whole.map_or(0, |found| found.count), commits);
        }
    }

    #[test]
    fn new_tablespaces_are_found_wherever_pages_cut_them() {
        for before in (8_192 - 40 - 96..8_192 - 40).step_by(8) {
            let mut record = vec![0u8; RECORD];
            record[17] = RM_TABLESPACE;
            record.extend([255, 0]);
            record.extend(16_400u32.to_le_bytes());
            record.extend(b"/srv/fast disk\0");
            let mut scanner = Scanner::new(SegmentSize::default(), Lsn(0));
            scanner.feed(&pages(&[vec![0; before], record]));
            let [found] = scanner.take_tablespaces().try_into().unwrap();
            assert_eq!((found.path.as_str(), found.after), ("/srv/fast disk", None), "{before}");
            assert!(found.at.0 >= before as u64 && found.at.0 % 8 == 0, "{found:?}");
            assert!(scanner.take_tablespaces().is_empty());
        }
    }

    /// Pages with these records, whose lengths are filled in.
    fn pages(records: &[Vec<u8>]) -> Vec<u8> {
        let mut wal = Vec::new();
        for record in records {
            let mut record = record.clone();
            let length = u32::try_from(record.len()).unwrap();
            record[..4].copy_from_slice(&length.to_le_bytes());
            let mut left = &record[..];
            while !left.is_empty() {
                if wal.len() % 8192 == 0 {
                    let mut header = vec![0u8; if wal.is_empty() { FIRST_PAGE } else { PAGE }];
                    header[..2].copy_from_slice(&0xD110u16.to_le_bytes());
                    header[2] = u8::from(left.len() < record.len());
                    header[8..16].copy_from_slice(&(wal.len() as u64).to_le_bytes());
                    header[16..20]
                        .copy_from_slice(&u32::try_from(left.len()).unwrap().to_le_bytes());
                    if wal.is_empty() {
                        header[36..40].copy_from_slice(&8192u32.to_le_bytes());
                    }
                    wal.extend(header);
                }
                let room = left.len().min(8192 - wal.len() % 8192);
                wal.extend_from_slice(&left[..room]);
                left = &left[room..];
            }
            wal.resize(wal.len().next_multiple_of(8), 0);
        }
        wal
    }

    /// WAL with records of these lengths, commits all of them that have room for a time.
    fn written(lengths: &[usize]) -> (Vec<u8>, u64) {
        let mut commits = 0;
        let records = lengths.iter().map(|length| {
            let mut record = vec![0u8; *length];
            record[17] = RM_XACT;
            if *length >= RECORD + 5 + 8 {
                record[RECORD] = 254;
                record[RECORD + 5..RECORD + 13].copy_from_slice(&1_000_000i64.to_le_bytes());
                commits += 1;
            }
            record
        });
        let records: Vec<_> = records.collect();
        (pages(&records), commits)
    }
}
