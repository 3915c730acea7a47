//! One layer of a stream: its first bytes, a walk through its middle, its last bytes.

use super::{
    FormatError, FormatReport, Kind,
    gzip::GzipMembers,
    hints::Claim,
    kind::{Page, TAR_BLOCK, contains, is_json_error, sniff, sniff_page},
    tar::TarWalk,
    zstd_frames::ZstdFrames,
};

/// First bytes kept: enough for every magic and for the opening comment of a dump.
const HEAD_BYTES: usize = 4096;
/// Last bytes kept: a zip's end record with its longest comment, and then some.
const TAIL_BYTES: usize = 66 << 10;
/// A zip's end record without its comment.
const ZIP_END_BYTES: usize = 22;

#[derive(Debug)]
enum Walk {
    /// The first bytes are still coming.
    Undecided,
    /// Only the length and the tail matter.
    Tail,
    /// The members too.
    Tar(TarWalk),
    Gzip(GzipMembers),
    Zstd(ZstdFrames),
}

#[derive(Debug)]
pub(super) struct Layer {
    claims: Vec<Claim>,
    expects_page: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
    total_bytes: u64,
    kind: Option<Kind>,
    walk: Walk,
    warnings: Vec<String>,
}

impl Layer {
    pub(super) fn new(claims: Vec<Claim>, expects_page: bool) -> Self {
        Self {
            claims,
            expects_page,
            head: Vec::new(),
            tail: Vec::new(),
            total_bytes: 0,
            kind: None,
            walk: Walk::Undecided,
            warnings: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), FormatError> {
        self.total_bytes += bytes.len() as u64;
        if matches!(self.walk, Walk::Undecided) {
            let step = (HEAD_BYTES - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if self.head.len() < HEAD_BYTES {
                return Ok(());
            }
            self.decide()?;
        }
        self.follow(bytes)
    }

    pub(super) fn finish(mut self) -> Result<FormatReport, FormatError> {
        if matches!(self.walk, Walk::Undecided) {
            if self.total_bytes == 0 {
                return Ok(FormatReport { kind: None, is_empty: true, warnings: self.warnings });
            }
            self.decide()?;
        }
        let is_empty = match std::mem::replace(&mut self.walk, Walk::Tail) {
            Walk::Gzip(members) => {
                let (is_empty, inner) = members.finish()?;
                self.warnings.extend(inner.into_iter().flat_map(|report| report.warnings));
                is_empty
            }
            Walk::Zstd(frames) => frames.finish()?,
            Walk::Tar(walk) => {
                let is_empty = self.check_tail()?;
                if walk.is_cut() {
                    let detail = "it ends inside a member".into();
                    return Err(FormatError::Truncated { kind: Kind::Tar, detail });
                }
                is_empty
            }
            Walk::Tail | Walk::Undecided => self.check_tail()?,
        };
        Ok(FormatReport { kind: self.kind, is_empty, warnings: self.warnings })
    }

    /// Chooses what to look for, from the first bytes; these are then walked themselves.
    fn decide(&mut self) -> Result<(), FormatError> {
        let found = sniff(&self.head);
        let page = if self.expects_page { None } else { self.page() };
        let fits = |claim: &Claim| match (claim.outer, found) {
            // A custom dump or an archive under a `.sql` name is told by its bytes.
            (Kind::Sql, None) => page.is_none(),
            (outer, found) => found == Some(outer),
        };
        let inner = if let Some(claim) = self.claims.iter().find(|claim| fits(claim)) {
            self.kind = Some(claim.outer);
            claim.inner.map(|kind| (kind, claim.text.clone(), claim.is_strong))
        } else {
            if let Some(page) = page {
                return Err(FormatError::Page(page));
            }
            if let Some(claim) = self.claims.first() {
                let found = match found {
                    Some(kind) if !claim.is_strong => {
                        self.warnings
                            .push(format!("named `{}`, but the bytes are {kind}", claim.text));
                        Some(kind)
                    }
                    found => {
                        return Err(FormatError::NotAsDeclared {
                            declared: claim.text.clone(),
                            found: found.map_or("nothing known".into(), |kind| kind.to_string()),
                        });
                    }
                };
                self.kind = found;
            }
            None
        };
        self.walk = match self.kind {
            Some(Kind::Gzip) => {
                Walk::Gzip(GzipMembers::new(inner.map(|(kind, text, is_strong)| {
                    let claim = Claim { outer: kind, inner: None, text, is_strong };
                    Layer::new(vec![claim], false)
                })))
            }
            Some(Kind::Zstd) => Walk::Zstd(ZstdFrames::new()),
            Some(Kind::Tar) => Walk::Tar(TarWalk::new()),
            _ => Walk::Tail,
        };
        // Unclaimed bytes are named, not judged by what they resemble.
        self.kind = self.kind.or(found);
        let head = std::mem::take(&mut self.head);
        let walked = self.follow(&head);
        self.head = head;
        walked
    }

    fn page(&self) -> Option<&'static str> {
        match sniff_page(&self.head)? {
            Page::Html => Some("an HTML page"),
            // A whole collection exported as JSON is an artifact; a short complaint is not.
            Page::Json => (!self.claims.is_empty()
                || (self.total_bytes <= HEAD_BYTES as u64 && is_json_error(&self.head)))
            .then_some("a JSON document"),
        }
    }

    fn follow(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        match &mut self.walk {
            Walk::Gzip(members) => members.push(bytes),
            Walk::Zstd(frames) => frames.push(bytes),
            walk => {
                if let Walk::Tar(tar) = walk {
                    tar.push(bytes);
                }
                let start = bytes.len().saturating_sub(TAIL_BYTES);
                self.tail.extend_from_slice(&bytes[start..]);
                // Cut only now and then: moving the tail on every push would cost more.
                if self.tail.len() > 2 * TAIL_BYTES {
                    self.tail.drain(..self.tail.len() - TAIL_BYTES);
                }
                Ok(())
            }
        }
    }

    /// Looks at the last bytes; whether the stream holds nothing. Only claimed formats are
    /// judged.
    fn check_tail(&self) -> Result<bool, FormatError> {
        let Some(kind) = self.kind.filter(|_| !self.claims.is_empty()) else { return Ok(false) };
        let truncated = |detail: &str| Err(FormatError::Truncated { kind, detail: detail.into() });
        match kind {
            Kind::Tar => {
                let end = self.tail.len().saturating_sub(2 * TAR_BLOCK);
                let is_closed = self.tail[end..].iter().all(|byte| *byte == 0);
                if !self.total_bytes.is_multiple_of(TAR_BLOCK as u64) || !is_closed {
                    return truncated("its closing zero blocks are missing");
                }
                Ok(self.head.iter().all(|byte| *byte == 0))
            }
            Kind::Zip if !has_zip_end(&self.tail) => truncated("its central directory is missing"),
            Kind::Xz if !self.tail.ends_with(b"YZ") => truncated("its footer is missing"),
            Kind::Rdb if !has_rdb_end(&self.tail) => truncated("its end mark is missing"),
            Kind::Sqlite => match sqlite_size(&self.head) {
                Some(size_bytes) if self.total_bytes < size_bytes => truncated("pages are missing"),
                _ => Ok(false),
            },
            Kind::Sql => match closing_line(&self.head) {
                Some(line) if !contains(&self.tail, line) => {
                    truncated("its closing line is missing")
                }
                _ => Ok(self.tail.iter().all(u8::is_ascii_whitespace)),
            },
            _ => Ok(false),
        }
    }
}

/// The end record, followed by exactly the comment it announces (APPNOTE 4.3.16).
fn has_zip_end(tail: &[u8]) -> bool {
    tail.windows(ZIP_END_BYTES).enumerate().any(|(at, record)| {
        record.starts_with(b"PK\x05\x06")
            && at + ZIP_END_BYTES + usize::from(u16::from_le_bytes([record[20], record[21]]))
                == tail.len()
    })
}

/// An end opcode, followed by a checksum of 8 bytes since version 5.
fn has_rdb_end(tail: &[u8]) -> bool {
    const END: u8 = 0xff;
    tail.len() >= 9 && tail[tail.len() - 9] == END || tail.last() == Some(&END)
}

/// Length that the header announces, where it is valid (sqlite.org/fileformat2, 1.3.8).
fn sqlite_size(head: &[u8]) -> Option<u64> {
    let field = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let page_bytes = match u16::from_be_bytes(head.get(16..18)?.try_into().ok()?) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let is_valid = field(24)? == field(92)?;
    is_valid.then_some(page_bytes * u64::from(field(28)?))
}

/// The line that the dump's own program writes last.
fn closing_line(head: &[u8]) -> Option<&'static [u8]> {
    const LINES: &[(&[u8], &[u8])] = &[
        (b"-- PostgreSQL database dump", b"dump complete"),
        (b"-- PostgreSQL database cluster dump", b"dump complete"),
        (b"-- MySQL dump", b"-- Dump completed"),
        (b"-- MariaDB dump", b"-- Dump completed"),
    ];
    LINES.iter().find_map(|(opening, closing)| contains(head, opening).then_some(*closing))
}
