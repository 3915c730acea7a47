//! Tar archives, plain or compressed, told by their bytes.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Stop;

const BLOCK: usize = 512;
/// Window of a zstd frame: that of `zstd --long=27`, 128 MiB.
const MAX_WINDOW_LOG: u32 = 27;
/// Memory of xz: its strongest preset takes 65 MiB.
const MAX_XZ_MEMORY: u64 = 256 << 20;

/// The plain bytes of a file, whatever it is compressed with.
fn plain(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::with_capacity(6);
    Read::by_ref(&mut file).take(6).read_to_end(&mut magic)?;
    let file = BufReader::with_capacity(256 << 10, File::open(path)?);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut zstd = zstd::Decoder::with_buffer(file)?;
            zstd.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(zstd)
        }
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let concatenated = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, concatenated);
            let stream = stream.map_err(io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        _ => Box::new(file),
    })
}

/// Whether the file is a tar archive: its first header's checksum is right.
pub(super) fn is_tar(path: &Path) -> io::Result<bool> {
    let mut block = Vec::with_capacity(BLOCK);
    // What does not even unpack is no archive; its bytes are proven already.
    if plain(path)?.take(BLOCK as u64).read_to_end(&mut block).is_err() || block.len() < BLOCK {
        return Ok(false);
    }
    let field = String::from_utf8_lossy(&block[148..156]).into_owned();
    let told = field.trim_matches(|c: char| c == '\0' || c == ' ');
    let told = u32::from_str_radix(told, 8).ok();
    let sum = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => u32::from(b' '),
        _ => u32::from(*byte),
    });
    Ok(told == Some(sum.sum()))
}

/// How many bytes may still be read before the next entry must have begun.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// Plain bytes, until somebody says stop.
pub(super) struct Source {
    inner: Box<dyn Read>,
    stop: Stop,
    allowance: Option<Allowance>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_set() {
            // Not `Interrupted`: that would be tried again.
            return Err(io::Error::other("interrupted"));
        }
        let count = self.inner.read(buffer)?;
        if let Some(Allowance(left)) = &self.allowance {
            let after = left.load(Ordering::Relaxed).checked_sub(count as u64);
            let Some(after) = after else {
                return Err(io::Error::other("a name in it is too long"));
            };
            left.store(after, Ordering::Relaxed);
        }
        Ok(count)
    }
}

pub(super) fn open(path: &Path, stop: &Stop) -> io::Result<tar::Archive<Source>> {
    Ok(tar::Archive::new(Source { inner: plain(path)?, stop: stop.clone(), allowance: None }))
}

/// The same, with an allowance that keeps names from filling the memory.
pub(super) fn open_sparingly(
    path: &Path,
    stop: &Stop,
) -> io::Result<(tar::Archive<Source>, Allowance)> {
    let allowance = Allowance(Arc::default());
    let inner = plain(path)?;
    let source = Source { inner, stop: stop.clone(), allowance: Some(allowance.clone()) };
    Ok((tar::Archive::new(source), allowance))
}
