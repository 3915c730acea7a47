//! Compressors behind one face: bytes in, chunks of bounded size out.

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use zstd::stream::raw::{self, CParameter, InBuffer, Operation as _, OutBuffer};

use crate::{Compression, Recipe, SealError};

/// Size of the chunks that compressors hand out.
pub(crate) const CHUNK_BYTES: usize = 128 << 10;
/// Largest window, as a power of two: 2 MiB. It bounds what a reader must hold as well.
const WINDOW_LOG: u32 = 21;
/// Window of a frugal recipe: 512 KiB.
const FRUGAL_WINDOW_LOG: u32 = 19;
/// Levels from here on would choose a larger window by themselves.
const LEVEL_WITH_LARGE_WINDOW: i32 = 9;
/// The level of a recipe in a hurry: symbols are hardly coded, matches are looked for here and there.
const HURRIED_LEVEL: i32 = -3;
/// Input that one worker compresses at a time.
const JOB_BYTES: u32 = 1 << 20;
/// More threads than this would pass the memory we promise.
const MAX_WORKERS: u32 = 8;

pub(crate) enum Encoder {
    Store,
    Gzip(Box<Compress>, Vec<u8>),
    Zstd(Box<raw::Encoder<'static>>, Vec<u8>),
}

impl Encoder {
    pub(crate) fn new(recipe: Recipe) -> Result<Self, SealError> {
        if !recipe.compression.is_valid() {
            return Err(SealError::Level(recipe.compression));
        }
        let buffer = Vec::new();
        Ok(match recipe.compression {
            Compression::None => Self::Store,
            Compression::Gzip { level } => Self::Gzip(
                Box::new(Compress::new_gzip(flate2::Compression::new(level), 15)),
                buffer,
            ),
            Compression::Zstd { level } => {
                let level = if recipe.hurried { HURRIED_LEVEL } else { level };
                let mut encoder = raw::Encoder::new(level).map_err(SealError::Compressor)?;
                let mut set =
                    |parameter| encoder.set_parameter(parameter).map_err(SealError::Compressor);
                set(CParameter::ChecksumFlag(true))?;
                if recipe.frugal {
                    set(CParameter::WindowLog(FRUGAL_WINDOW_LOG))?;
                } else if level >= LEVEL_WITH_LARGE_WINDOW {
                    set(CParameter::WindowLog(WINDOW_LOG))?;
                }
                if recipe.workers > 0 {
                    set(CParameter::NbWorkers(recipe.workers.min(MAX_WORKERS)))?;
                    set(CParameter::JobSize(JOB_BYTES))?;
                }
                Self::Zstd(Box::new(encoder), buffer)
            }
        })
    }

    pub(crate) fn is_store(&self) -> bool {
        matches!(self, Self::Store)
    }

    pub(crate) fn push(
        &mut self,
        chunk: Bytes,
        out: &mut dyn FnMut(Bytes),
    ) -> Result<(), SealError> {
        match self {
            Self::Store => {
                if !chunk.is_empty() {
                    out(chunk);
                }
            }
            Self::Gzip(compress, buffer) => {
                let mut rest = &chunk[..];
                while !rest.is_empty() {
                    flush_if_full(buffer, out);
                    let before = compress.total_in();
                    compress
                        .compress_vec(rest, buffer, FlushCompress::None)
                        .map_err(|error| SealError::Compressor(error.into()))?;
                    rest = &rest[consumed(compress.total_in() - before)..];
                }
            }
            Self::Zstd(encoder, buffer) => {
                let mut input = InBuffer::around(&chunk);
                while input.pos() < chunk.len() {
                    flush_if_full(buffer, out);
                    let position = buffer.len();
                    encoder
                        .run(&mut input, &mut OutBuffer::around_pos(buffer, position))
                        .map_err(SealError::Compressor)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the frame or member and hands the rest of it out; what is pushed next begins another.
    pub(crate) fn end_frame(&mut self, out: &mut dyn FnMut(Bytes)) -> Result<(), SealError> {
        match self {
            Self::Store => {}
            Self::Gzip(compress, buffer) => loop {
                flush_if_full(buffer, out);
                let status = compress
                    .compress_vec(&[], buffer, FlushCompress::Finish)
                    .map_err(|error| SealError::Compressor(error.into()))?;
                if status == Status::StreamEnd {
                    hand_over(buffer, out);
                    compress.reset();
                    break;
                }
            },
            Self::Zstd(encoder, buffer) => loop {
                flush_if_full(buffer, out);
                let position = buffer.len();
                let left = encoder
                    .finish(&mut OutBuffer::around_pos(buffer, position), true)
                    .map_err(SealError::Compressor)?;
                if left == 0 {
                    hand_over(buffer, out);
                    break;
                }
            },
        }
        Ok(())
    }
}

/// The compressors report positions as `u64`; within one chunk they fit.
pub(crate) fn consumed(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Makes room in `buffer`, handing it over where it is full.
pub(crate) fn flush_if_full(buffer: &mut Vec<u8>, out: &mut dyn FnMut(Bytes)) {
    if buffer.capacity() == 0 {
        buffer.reserve_exact(CHUNK_BYTES);
    }
    if buffer.len() == buffer.capacity() {
        hand_over(buffer, out);
        buffer.reserve_exact(CHUNK_BYTES);
    }
}

pub(crate) fn hand_over(buffer: &mut Vec<u8>, out: &mut dyn FnMut(Bytes)) {
    if !buffer.is_empty() {
        out(Bytes::from(std::mem::take(buffer)));
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Store => "Store",
            Self::Gzip(..) => "Gzip",
            Self::Zstd(..) => "Zstd",
        })
    }
}
