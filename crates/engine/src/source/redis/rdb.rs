//! What a snapshot file must have: its magic, its end mark and its checksum.

use crc::{CRC_64_REDIS, Crc, Digest, Table};
use model::{Failure, FailureCode};

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);
const END_MARK: u8 = 0xff;
/// The magic and the version: `REDIS0011`, `VALKEY080`.
const HEAD_BYTES: usize = 9;
/// A checksum of this length ends the file since version 5.
const CHECKSUM_BYTES: usize = 8;

/// A snapshot as it passes by.
pub(super) struct Rdb {
    digest: Digest<'static, u64, Table<16>>,
    head: Vec<u8>,
    /// The last bytes, which may be the checksum and so are not part of it.
    tail: Vec<u8>,
    last_before_tail: Option<u8>,
    size_bytes: u64,
}

impl Default for Rdb {
    fn default() -> Self {
        Self {
            digest: CHECKSUM.digest(),
            head: Vec::new(),
            tail: Vec::new(),
            last_before_tail: None,
            size_bytes: 0,
        }
    }
}

impl Rdb {
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Errs where it is no snapshot.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.size_bytes += chunk.len() as u64;
        if self.head.len() < HEAD_BYTES {
            let missing = (HEAD_BYTES - self.head.len()).min(chunk.len());
            self.head.extend_from_slice(&chunk[..missing]);
            if self.head.len() == HEAD_BYTES {
                self.version()?;
            }
        }
        // All but the last bytes that are here now are certainly not the checksum.
        let known = (self.tail.len() + chunk.len()).saturating_sub(CHECKSUM_BYTES);
        let from_tail = known.min(self.tail.len());
        let from_chunk = known - from_tail;
        self.settle_tail(from_tail);
        self.settle(&chunk[..from_chunk]);
        self.tail.extend_from_slice(&chunk[from_chunk..]);
        Ok(())
    }

    fn settle_tail(&mut self, count: usize) {
        let settled: Vec<u8> = self.tail.drain(..count).collect();
        self.settle(&settled);
    }

    fn settle(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.digest.update(bytes);
            self.last_before_tail = Some(*last);
        }
    }

    fn version(&self) -> Result<u32, Failure> {
        let digits = self.head.strip_prefix(b"REDIS").or_else(|| self.head.strip_prefix(b"VALKEY"));
        let version = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        version.ok_or_else(|| {
            let message = "the server sent something that is no Redis or Valkey snapshot";
            Failure::new(FailureCode::SourceFormat, message)
        })
    }

    /// Errs where it is not whole or not sound.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let cut_off = || {
            let message = "the snapshot has no end mark: nothing was kept";
            Failure::new(FailureCode::SourceTruncated, message)
        };
        if self.head.len() < HEAD_BYTES {
            return Err(cut_off());
        }
        if self.version()? < 5 {
            return (self.tail.last() == Some(&END_MARK)).then_some(()).ok_or_else(cut_off);
        }
        let written: [u8; CHECKSUM_BYTES] = self.tail[..].try_into().map_err(|_| cut_off())?;
        if self.last_before_tail != Some(END_MARK) {
            return Err(cut_off());
        }
        let written = u64::from_le_bytes(written);
        // Zero: the server was told to write none (`rdbchecksum no`).
        if written != 0 && written != self.digest.clone().finalize() {
            let message =
                "the snapshot's checksum is wrong: it changed on its way; nothing was kept";
            return Err(Failure::new(FailureCode::SourceMismatch, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(head: &str, has_checksum: bool) -> Vec<u8> {
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend((0..5_000_u32).flat_map(u32::to_le_bytes));
        bytes.push(END_MARK);
        let checksum = if has_checksum { CHECKSUM.checksum(&bytes) } else { 0 };
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8], step: usize) -> Result<(), Failure> {
        let mut rdb = Rdb::default();
        for chunk in bytes.chunks(step) {
            rdb.push(chunk)?;
        }
        assert_eq!(rdb.size_bytes(), bytes.len() as u64);
        rdb.finish()
    }

    #[test]
    fn whole_snapshots_are_sound_however_they_come() {
        assert_eq!(CHECKSUM.checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        for head in ["REDIS0011", "VALKEY080"] {
            for step in [1, 3, 7, 8, 9, 4_096, 1 << 20] {
                read(&snapshot(head, true), step).unwrap();
                read(&snapshot(head, false), step).unwrap();
            }
        }
        let mut old = b"REDIS0003 keys".to_vec();
        old.push(END_MARK);
        read(&old, 4).unwrap();
    }

    #[test]
    fn anything_else_is_refused() {
        let whole = snapshot("REDIS0011", true);
        let code = |bytes: &[u8]| read(bytes, 1_000).unwrap_err().code;
        assert_eq!(code(&whole[..whole.len() - 1]), FailureCode::SourceTruncated);
        assert_eq!(code(&whole[..5]), FailureCode::SourceTruncated);
        assert_eq!(code(&[]), FailureCode::SourceTruncated);
        assert_eq!(code(b"<html>no</html>"), FailureCode::SourceFormat);
        let mut damaged = whole.clone();
        damaged[700] ^= 1;
        assert_eq!(code(&damaged), FailureCode::SourceMismatch);
    }
}
