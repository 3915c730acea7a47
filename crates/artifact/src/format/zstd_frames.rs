//! The framing of zstd (RFC 8878, section 3) without decoding: a cut or an appended byte shows.

use super::{FormatError, Kind};

const FRAME_MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// A block holds at most this much, as stored (section 3.1.1.2.3).
const MAX_BLOCK_BYTES: u32 = 128 << 10;
/// The optional checksum of a frame's content.
const CHECKSUM_BYTES: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    SkippableSize,
    Descriptor,
    BlockHeader,
}

/// Walks frames and blocks.
#[derive(Debug)]
pub(super) struct ZstdFrames {
    state: State,
    /// Bytes of the field being read.
    field: Vec<u8>,
    /// Bytes to pass over before the next field.
    skip_bytes: u64,
    has_checksum: bool,
    has_frame: bool,
    has_content: bool,
}

impl ZstdFrames {
    pub(super) fn new() -> Self {
        Self {
            state: State::Magic,
            field: Vec::with_capacity(4),
            skip_bytes: 0,
            has_checksum: false,
            has_frame: false,
            has_content: false,
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), FormatError> {
        while !bytes.is_empty() {
            if self.skip_bytes > 0 {
                let room = usize::try_from(self.skip_bytes).unwrap_or(usize::MAX);
                let step = room.min(bytes.len());
                self.skip_bytes -= step as u64;
                bytes = &bytes[step..];
                continue;
            }
            let wanted = match self.state {
                State::Magic | State::SkippableSize => 4,
                State::Descriptor => 1,
                State::BlockHeader => 3,
            };
            let step = (wanted - self.field.len()).min(bytes.len());
            self.field.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if self.field.len() == wanted {
                let mut little_endian = [0; 4];
                little_endian[..wanted].copy_from_slice(&self.field);
                self.field.clear();
                self.take(u32::from_le_bytes(little_endian))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, field: u32) -> Result<(), FormatError> {
        match self.state {
            State::Magic if field == FRAME_MAGIC => {
                self.has_frame = true;
                self.state = State::Descriptor;
            }
            State::Magic if field & 0xffff_fff0 == SKIPPABLE_MAGIC => {
                self.state = State::SkippableSize;
            }
            State::Magic => return Err(corrupt("something else follows its end")),
            State::SkippableSize => {
                self.skip_bytes = field.into();
                self.state = State::Magic;
            }
            State::Descriptor => {
                if field & 0b1000 != 0 {
                    return Err(corrupt("a reserved bit is set"));
                }
                let is_single_segment = field & 0b10_0000 != 0;
                let window_bytes = u64::from(!is_single_segment);
                let dictionary_bytes = [0, 1, 2, 4][(field & 0b11) as usize];
                let content_size_bytes = match field >> 6 {
                    0 => u64::from(is_single_segment),
                    1 => 2,
                    2 => 4,
                    _ => 8,
                };
                self.has_checksum = field & 0b100 != 0;
                self.skip_bytes = window_bytes + dictionary_bytes + content_size_bytes;
                self.state = State::BlockHeader;
            }
            State::BlockHeader => {
                let (is_last, kind, size_bytes) = (field & 1 != 0, field >> 1 & 0b11, field >> 3);
                if size_bytes > MAX_BLOCK_BYTES {
                    return Err(corrupt("a block is too large"));
                }
                self.skip_bytes = match kind {
                    // Raw, run of one byte, compressed.
                    0 | 2 => size_bytes.into(),
                    1 => 1,
                    _ => return Err(corrupt("a block has a reserved type")),
                };
                self.has_content = self.has_content || size_bytes > 0;
                if is_last {
                    self.skip_bytes += if self.has_checksum { CHECKSUM_BYTES } else { 0 };
                    self.state = State::Magic;
                }
            }
        }
        Ok(())
    }

    /// Whether it holds nothing.
    pub(super) fn finish(&self) -> Result<bool, FormatError> {
        let is_between_frames =
            self.state == State::Magic && self.field.is_empty() && self.skip_bytes == 0;
        if !is_between_frames || !self.has_frame {
            return Err(FormatError::Truncated {
                kind: Kind::Zstd,
                detail: "its last frame has no end".into(),
            });
        }
        Ok(!self.has_content)
    }
}

fn corrupt(detail: &str) -> FormatError {
    FormatError::Corrupt { kind: Kind::Zstd, detail: detail.into() }
}
