//! Plain bytes in, bytes to store out.

use bytes::Bytes;

use crate::{Compression, Digest, Recipe, digest::Digester, encode::Encoder, manifest::Restart};

/// Why a stream could not be sealed. None of them passes with another try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A compression level outside the accepted ones.
    #[error("`{0}` is no compression level: use gzip:1 to gzip:9 or zstd:1 to zstd:19")]
    Level(Compression),
    /// The compressor gave up, usually for want of memory.
    #[error("the compressor failed: {0}; lower the level or the number of workers")]
    Compressor(#[source] std::io::Error),
    /// age gave up.
    #[error("the encryption failed: {0}")]
    Encryption(#[source] std::io::Error),
}

impl SealError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        // Want of memory passes; a wrong level does not.
        matches!(self, Self::Compressor(_))
    }
}

/// Plain bytes after which the first frames end: what a reader of one file in a large archive has
/// to read beside it. Closing one costs a pause of the compressor's threads.
const FRAME_BYTES: u64 = 64 << 20;
/// So many frames are of one length; then it doubles, so that their list stays short.
const FRAMES_OF_A_LENGTH: usize = 256;

/// Hashes and compresses one stream.
///
/// Memory does not depend on the stream's length: without compression nothing is held; gzip
/// holds about 0.4 MiB; zstd in the caller's thread about 4 MiB at level 3 and 45 MiB at 19;
/// with workers add about 1 MiB of input and 1 MiB of output for each, and its tables (1 MiB at
/// level 3). Output comes in chunks of 128 KiB.
#[derive(Debug)]
pub struct Sealer {
    plain: Digester,
    /// `None` where what is stored is what came: hashed once.
    packed: Option<Packed>,
    encoder: Encoder,
    frame_bytes: u64,
}

/// What the compressor has given.
#[derive(Debug)]
struct Packed {
    all: Digester,
    /// What of it belongs to the frame that is open, unless hashing it twice costs too much.
    frame: Option<Digester>,
    /// Where that began.
    frame_at: u64,
    /// Where that began in the stream as it came.
    began: u64,
    restarts: Vec<Restart>,
}

/// What a [`Sealer`] saw and made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The stream as it came.
    pub plain: Digest,
    /// The stream as it is to be stored.
    pub stored: Digest,
    /// Where reading can begin; empty where that is the beginning alone, or anywhere.
    pub restarts: Vec<Restart>,
}

impl Sealer {
    /// A sealer for one stream.
    pub fn new(recipe: Recipe) -> Result<Self, SealError> {
        let encoder = Encoder::new(recipe)?;
        let packed = (!encoder.is_store()).then(Packed::new);
        Ok(Self { plain: Digester::new(), packed, encoder, frame_bytes: FRAME_BYTES })
    }

    /// The same with frames of another length, at least one byte.
    pub fn with_frames_of(self, frame_bytes: u64) -> Self {
        Self { frame_bytes: frame_bytes.max(1), ..self }
    }

    /// Takes `chunk`, and hands to `out` whatever is ready to be stored. Without compression
    /// that is `chunk` itself, not a copy.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), SealError> {
        let Some(packed) = &mut self.packed else {
            self.plain.update(&chunk);
            return self.encoder.push(chunk, out);
        };
        while !chunk.is_empty() {
            let doubled = packed.restarts.len() / FRAMES_OF_A_LENGTH;
            let length = self.frame_bytes << doubled.min(32);
            let within = self.plain.size_bytes() - packed.began;
            // Ended only now that more has come: no frame is empty but that of an empty stream.
            if within >= length {
                self.encoder.end_frame(&mut |bytes| packed.emit(bytes, out))?;
                packed.restart(self.plain.size_bytes());
                continue;
            }
            let room = usize::try_from(length - within).unwrap_or(usize::MAX);
            let part = chunk.split_to(room.min(chunk.len()));
            self.plain.update(&part);
            self.encoder.push(part, &mut |bytes| packed.emit(bytes, out))?;
        }
        Ok(())
    }

    /// Bytes taken so far.
    pub fn plain_bytes(&self) -> u64 {
        self.plain.size_bytes()
    }

    /// Ends the stream, handing the rest to `out`. The caller must know that the stream is whole:
    /// nothing here can tell.
    pub fn finish(mut self, out: &mut impl FnMut(Bytes)) -> Result<Sealed, SealError> {
        if let Some(packed) = &mut self.packed {
            self.encoder.end_frame(&mut |bytes| packed.emit(bytes, out))?;
            packed.restart(self.plain.size_bytes());
        }
        let plain = self.plain.finish();
        Ok(match self.packed {
            None => Sealed { plain, stored: plain, restarts: Vec::new() },
            Some(packed) => {
                let restarts = if packed.restarts.len() > 1 { packed.restarts } else { Vec::new() };
                Sealed { plain, stored: packed.all.finish(), restarts }
            }
        })
    }
}

impl Packed {
    fn new() -> Self {
        Self { all: Digester::new(), frame: None, frame_at: 0, began: 0, restarts: Vec::new() }
    }

    fn emit(&mut self, bytes: Bytes, out: &mut impl FnMut(Bytes)) {
        self.all.update(&bytes);
        if let Some(frame) = &mut self.frame {
            frame.update(&bytes);
        }
        out(bytes);
    }

    /// Notes the frame that has ended where `plain_bytes` have been read.
    fn restart(&mut self, plain_bytes: u64) {
        let frame = self.frame.take().map(Digester::finish);
        // All there is so far is the first.
        let first = self.restarts.is_empty().then(|| self.all.clone().finish());
        self.restarts.push(Restart {
            plain_offset: self.began,
            packed_offset: self.frame_at,
            sha256: first.or(frame).map(|digest| digest.sha256),
        });
        // Of a stream that does not shrink, a second hash would take a third of the whole time.
        let packed_bytes = self.all.size_bytes() - self.frame_at;
        let shrinks = packed_bytes <= (plain_bytes - self.began) / 2;
        self.frame = shrinks.then(Digester::new);
        self.frame_at = self.all.size_bytes();
        self.began = plain_bytes;
    }
}
