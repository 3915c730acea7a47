//! Rows of `COPY … TO stdout` in its text format: one to a line, for a line break inside a value
//! is written as `\n`.

/// What `pg_dump` writes after the rows of a table.
const END: &[u8; 5] = b"\\.\n\n\n";

/// Counts the rows of one table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    lines: u64,
    tail: Vec<u8>,
}

impl Rows {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        let kept = bytes.len().min(END.len());
        self.tail.extend_from_slice(&bytes[bytes.len() - kept..]);
        let over = self.tail.len().saturating_sub(END.len());
        self.tail.drain(..over);
    }

    /// `None` where the rows did not end as rows of a COPY do.
    pub(super) fn finish(self) -> Option<u64> {
        (self.tail == END).then(|| self.lines.saturating_sub(3))
    }
}
