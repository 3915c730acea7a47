//! gzip, inflated to prove each member's CRC and length, and to look inside.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::{FormatError, FormatReport, Kind, layer::Layer};
use crate::encode::consumed;

/// Inflated bytes looked at a time.
const SCRATCH_BYTES: usize = 64 << 10;
const FIRST_BYTE: u8 = 0x1f;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Member,
    /// After a member: another one, zeros, or the end.
    Between,
    /// Zeros, as tapes and block devices leave them.
    Padding,
}

pub(super) struct GzipMembers {
    inflate: Decompress,
    scratch: Vec<u8>,
    state: State,
    has_content: bool,
    inner: Option<Box<Layer>>,
}

impl GzipMembers {
    pub(super) fn new(inner: Option<Layer>) -> Self {
        Self {
            inflate: Decompress::new_gzip(15),
            scratch: vec![0; SCRATCH_BYTES],
            state: State::Member,
            has_content: false,
            inner: inner.map(Box::new),
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), FormatError> {
        while !bytes.is_empty() {
            match (self.state, bytes[0]) {
                (State::Member, _) => {
                    let read = self.inflate(bytes)?;
                    bytes = &bytes[read..];
                }
                (State::Between, FIRST_BYTE) => {
                    self.inflate = Decompress::new_gzip(15);
                    self.state = State::Member;
                }
                (State::Between | State::Padding, 0) => {
                    self.state = State::Padding;
                    bytes = &bytes[1..];
                }
                _ => return Err(corrupt("something else follows its end".into())),
            }
        }
        Ok(())
    }

    /// Inflates what it can of `bytes`, up to the end of a member; gives the bytes used.
    fn inflate(&mut self, bytes: &[u8]) -> Result<usize, FormatError> {
        let mut read = 0;
        loop {
            let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(&bytes[read..], &mut self.scratch, FlushDecompress::None)
                .map_err(|error| corrupt(error.to_string()))?;
            read += consumed(self.inflate.total_in() - total_in);
            let made = consumed(self.inflate.total_out() - total_out);
            self.has_content = self.has_content || made > 0;
            if let Some(inner) = &mut self.inner {
                inner.push(&self.scratch[..made])?;
            }
            if status == Status::StreamEnd {
                self.state = State::Between;
                return Ok(read);
            }
            if made < self.scratch.len() {
                if read < bytes.len() && made == 0 && self.inflate.total_in() == total_in {
                    return Err(corrupt("it makes no progress".into()));
                }
                if read == bytes.len() {
                    return Ok(read);
                }
            }
        }
    }

    /// What is inside; `None` where nothing is known about it but whether it is empty.
    pub(super) fn finish(self) -> Result<(bool, Option<FormatReport>), FormatError> {
        if self.state == State::Member {
            return Err(FormatError::Truncated {
                kind: Kind::Gzip,
                detail: "its last member has no end".into(),
            });
        }
        if !self.has_content {
            return Ok((true, None));
        }
        let inner = self.inner.map(|inner| inner.finish()).transpose()?;
        Ok((inner.as_ref().is_some_and(|report| report.is_empty), inner))
    }
}

impl fmt::Debug for GzipMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipMembers").field("state", &self.state).finish_non_exhaustive()
    }
}

fn corrupt(detail: String) -> FormatError {
    FormatError::Corrupt { kind: Kind::Gzip, detail }
}
