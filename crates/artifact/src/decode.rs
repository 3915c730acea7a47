//! Decompressors behind one face: bytes in, chunks of bounded size out, a strict end.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{self, DParameter, InBuffer, Operation as _, OutBuffer};

use crate::{
    Method,
    encode::{consumed, flush_if_full, hand_over},
};

/// Largest window we agree to hold while reading, as a power of two: 128 MiB, the limit of the
/// stock tool. What we write needs 8 MiB at most.
const MAX_WINDOW_LOG: u32 = 27;

/// What is wrong with a compressed stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("{0}")]
    Corrupt(String),
    #[error("its end is missing")]
    Truncated,
}

pub(crate) enum Decoder {
    Store,
    Gzip { inflate: Box<Decompress>, buffer: Vec<u8>, ended: bool },
    Zstd { decoder: Box<raw::Decoder<'static>>, buffer: Vec<u8>, ended: bool },
}

impl Decoder {
    pub(crate) fn new(method: Method) -> Result<Self, DecodeError> {
        let corrupt = |error: std::io::Error| DecodeError::Corrupt(error.to_string());
        Ok(match method {
            Method::None => Self::Store,
            Method::Gzip => Self::Gzip {
                inflate: Box::new(Decompress::new_gzip(15)),
                buffer: Vec::new(),
                ended: false,
            },
            Method::Zstd => {
                let mut decoder = raw::Decoder::new().map_err(corrupt)?;
                decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(corrupt)?;
                Self::Zstd { decoder: Box::new(decoder), buffer: Vec::new(), ended: false }
            }
        })
    }

    /// Feeds `chunk`, handing out what it decodes to in chunks of bounded size. `out` says
    /// whether to go on: an expanding bomb is left as soon as its reader has had enough.
    pub(crate) fn push(
        &mut self,
        chunk: Bytes,
        out: &mut dyn FnMut(Bytes) -> bool,
    ) -> Result<(), DecodeError> {
        match self {
            Self::Store => {
                if !chunk.is_empty() {
                    out(chunk);
                }
                Ok(())
            }
            Self::Gzip { inflate, buffer, ended } => {
                pump(&chunk, buffer, ended, out, |rest, buffer, is_new| {
                    if is_new {
                        **inflate = Decompress::new_gzip(15);
                    }
                    let before = inflate.total_in();
                    let status = inflate
                        .decompress_vec(rest, buffer, FlushDecompress::None)
                        .map_err(|error| DecodeError::Corrupt(error.to_string()))?;
                    Ok((consumed(inflate.total_in() - before), status == Status::StreamEnd))
                })
            }
            Self::Zstd { decoder, buffer, ended } => {
                // It begins a new frame by itself.
                pump(&chunk, buffer, ended, out, |rest, buffer, _| {
                    let mut input = InBuffer::around(rest);
                    let position = buffer.len();
                    let hint = decoder
                        .run(&mut input, &mut OutBuffer::around_pos(buffer, position))
                        .map_err(|error| DecodeError::Corrupt(error.to_string()))?;
                    Ok((input.pos(), hint == 0))
                })
            }
        }
    }

    /// Hands out what is left. The stream must have come to its own end.
    pub(crate) fn finish(self, out: &mut dyn FnMut(Bytes) -> bool) -> Result<(), DecodeError> {
        match self {
            Self::Store => Ok(()),
            Self::Gzip { mut buffer, ended, .. } | Self::Zstd { mut buffer, ended, .. } => {
                hand_over(&mut buffer, &mut |bytes| _ = out(bytes));
                if ended { Ok(()) } else { Err(DecodeError::Truncated) }
            }
        }
    }
}

/// Runs `step` (input, buffer, and whether a frame or member begins, to bytes consumed and whether
/// it ended) until `input` is used up and nothing more comes of it.
fn pump(
    input: &[u8],
    buffer: &mut Vec<u8>,
    ended: &mut bool,
    out: &mut dyn FnMut(Bytes) -> bool,
    mut step: impl FnMut(&[u8], &mut Vec<u8>, bool) -> Result<(usize, bool), DecodeError>,
) -> Result<(), DecodeError> {
    let mut rest = input;
    let mut go_on = true;
    while go_on {
        if *ended && rest.is_empty() {
            return Ok(());
        }
        flush_if_full(buffer, &mut |bytes| go_on = out(bytes));
        let before = buffer.len();
        let (read, end) = step(rest, buffer, *ended)?;
        rest = &rest[read..];
        *ended = end;
        let is_full = buffer.len() == buffer.capacity();
        if !end && rest.is_empty() && !is_full {
            return Ok(());
        }
        if !end && read == 0 && buffer.len() == before {
            return Err(DecodeError::Corrupt("it makes no progress".into()));
        }
    }
    Ok(())
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Store => "Store",
            Self::Gzip { .. } => "Gzip",
            Self::Zstd { .. } => "Zstd",
        })
    }
}
