//! An artifact of which any byte can be read, in blocks from where it lies.

use std::{
    collections::VecDeque,
    io::{self, Read, Seek, SeekFrom},
};

use bytes::Bytes;

use super::{ArtifactBytes, Incoming};

const BLOCK: u64 = 512 << 10;
/// Blocks that are kept.
const KEPT: usize = 8;

/// Blocks; within a runtime's blocking thread.
pub(crate) struct Blocks {
    from: ArtifactBytes,
    size_bytes: u64,
    at: u64,
    /// Blocks by their number, the newest last.
    kept: VecDeque<(u64, Bytes)>,
    /// What goes on after the last block that was read, and that block's successor: within a
    /// compressed frame every other place is reached from the frame's beginning.
    going_on: Option<(u64, Incoming)>,
}

impl Blocks {
    pub(crate) fn new(from: ArtifactBytes, size_bytes: u64) -> Self {
        Self { from, size_bytes, at: 0, kept: VecDeque::new(), going_on: None }
    }

    fn block(&mut self, number: u64) -> io::Result<Bytes> {
        if let Some((_, block)) = self.kept.iter().find(|(known, _)| *known == number) {
            return Ok(block.clone());
        }
        let start = number * BLOCK;
        let end = (start + BLOCK).min(self.size_bytes);
        let mut stream = match self.going_on.take() {
            Some((next, stream)) if next == number => stream,
            _ => self.from.read(start..self.size_bytes),
        };
        let mut block = Vec::new();
        stream.by_ref().take(end - start).read_to_end(&mut block)?;
        if block.len() as u64 != end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.going_on = Some((number + 1, stream));
        let block = Bytes::from(block);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((number, block.clone()));
        Ok(block)
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size_bytes || buffer.is_empty() {
            return Ok(0);
        }
        let block = self.block(self.at / BLOCK)?;
        let within = usize::try_from(self.at % BLOCK).unwrap_or(usize::MAX);
        let part = block.get(within..).unwrap_or_default();
        let count = part.len().min(buffer.len());
        buffer[..count].copy_from_slice(&part[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Blocks {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
