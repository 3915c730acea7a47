//! Compressions around a tar, and how much they may grow.

use std::io::{self, Read};

/// How an archive is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// gzip, of one member or several.
    Gzip,
    /// bzip2, of one stream or several.
    Bzip2,
    /// xz, of one stream or several.
    Xz,
    /// Zstandard, of one frame or several.
    Zstd,
}

/// Largest window of Zstandard that is held, as a power of two: 128 MiB, as the stock tool has it.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Memory that xz may take, in bytes: what its highest level takes, and some.
const XZ_MEMORY: u64 = 128 << 20;

impl Packing {
    /// By the first bytes of a stream; six are enough.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What `from` is when it is unpacked. Where more than `ratio` bytes come of one, reading
    /// fails: see [`Limits::ratio`](crate::Limits::ratio).
    pub fn open<'r>(
        self,
        from: impl Read + Send + 'r,
        ratio: Option<u64>,
    ) -> io::Result<Box<dyn Read + Send + 'r>> {
        let counted = Counted { from, count: Count::default() };
        let count = counted.count.clone();
        let inner: Box<dyn Read + Send + 'r> = match self {
            Self::None => return Ok(Box::new(counted)),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(counted)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(counted)),
            Self::Xz => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
                Box::new(liblzma::read::XzDecoder::new_stream(counted, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(counted)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        };
        let Some(ratio) = ratio else { return Ok(inner) };
        Ok(Box::new(Bounded { inner, read: count, ratio, grown: 0 }))
    }
}

type Count = std::sync::Arc<std::sync::atomic::AtomicU64>;
const RELAXED: std::sync::atomic::Ordering = std::sync::atomic::Ordering::Relaxed;

struct Counted<R> {
    from: R,
    count: Count,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count.fetch_add(read as u64, RELAXED);
        Ok(read)
    }
}

struct Bounded<R> {
    inner: R,
    read: Count,
    ratio: u64,
    grown: u64,
}

/// Up to here nobody asks how it grows, in bytes.
pub(crate) const HARMLESS: u64 = 256 << 20;

/// What an archive that grows too much is called.
#[derive(Debug, thiserror::Error)]
#[error("it grows to more than {0} times its size, as a bomb does")]
pub(crate) struct Bomb(pub(crate) u64);

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.grown += read as u64;
        let allowed = self.read.load(RELAXED).saturating_mul(self.ratio).max(HARMLESS);
        if self.grown > allowed {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Bomb(self.ratio)));
        }
        Ok(read)
    }
}
