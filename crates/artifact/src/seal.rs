//! Plain bytes in, bytes to store out.

use bytes::Bytes;

use crate::{Compression, Digest, Recipe, digest::Digester, encode::Encoder};

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
    stored: Option<Digester>,
    encoder: Encoder,
}

/// What a [`Sealer`] saw and made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// The stream as it came.
    pub plain: Digest,
    /// The stream as it is to be stored.
    pub stored: Digest,
}

impl Sealer {
    /// A sealer for one stream.
    pub fn new(recipe: Recipe) -> Result<Self, SealError> {
        let encoder = Encoder::new(recipe)?;
        let stored = (!encoder.is_store()).then(Digester::new);
        Ok(Self { plain: Digester::new(), stored, encoder })
    }

    /// Takes `chunk`, and hands to `out` whatever is ready to be stored. Without compression
    /// that is `chunk` itself, not a copy.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), SealError> {
        self.plain.update(&chunk);
        let stored = &mut self.stored;
        self.encoder.push(chunk, &mut |bytes| emit(stored, bytes, out))
    }

    /// Bytes taken so far.
    pub fn plain_bytes(&self) -> u64 {
        self.plain.size_bytes()
    }

    /// Ends the stream, handing the rest to `out`. The caller must know that the stream is whole:
    /// nothing here can tell.
    pub fn finish(self, out: &mut impl FnMut(Bytes)) -> Result<Sealed, SealError> {
        let Self { plain, mut stored, encoder } = self;
        encoder.finish(&mut |bytes| emit(&mut stored, bytes, out))?;
        let plain = plain.finish();
        Ok(Sealed { plain, stored: stored.map_or(plain, Digester::finish) })
    }
}

fn emit(stored: &mut Option<Digester>, bytes: Bytes, out: &mut impl FnMut(Bytes)) {
    if let Some(stored) = stored {
        stored.update(&bytes);
    }
    out(bytes);
}
