//! zstd, for blobs and for the files that are JSON.

use std::io::Read as _;

use zstd::zstd_safe::{CParameter, Strategy};

use crate::RepositoryError;

/// Most plain bytes of one blob or one JSON file. restic's own blobs of data have at most 8 MiB;
/// a folder of a million entries is one blob too.
pub const MAX_PLAIN_BYTES: u64 = 1 << 30;
/// The level that restic's default corresponds to.
pub const DEFAULT_LEVEL: i32 = 3;
/// Marks JSON that is compressed.
const ENCODING_ZSTD: u8 = 2;

/// Compresses blob after blob with one context.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    /// A context for `level` (1 to 19).
    pub fn new(level: i32) -> Result<Self, RepositoryError> {
        zstd::bulk::Compressor::new(level).map(Self).map_err(failed)
    }

    /// A context for what looks like text, in the place of [`DEFAULT_LEVEL`]: one table of matches
    /// of six bytes, as large as it pays.
    pub(crate) fn for_text() -> Result<Self, RepositoryError> {
        let mut compressor = zstd::bulk::Compressor::new(DEFAULT_LEVEL).map_err(failed)?;
        for parameter in [
            CParameter::Strategy(Strategy::ZSTD_fast),
            CParameter::HashLog(16),
            CParameter::MinMatch(6),
        ] {
            compressor.set_parameter(parameter).map_err(failed)?;
        }
        Ok(Self(compressor))
    }

    /// Compresses `plain` into the place of what is in `to`.
    pub(crate) fn compress_to(
        &mut self,
        plain: &[u8],
        to: &mut Vec<u8>,
    ) -> Result<(), RepositoryError> {
        to.clear();
        to.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.0.compress_to_buffer(plain, to).map(drop).map_err(failed)
    }

    /// `plain`, compressed.
    pub fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        self.0.compress(plain).map_err(failed)
    }
}

fn failed(error: std::io::Error) -> RepositoryError {
    RepositoryError::Internal(format!("zstd: {error}"))
}

/// The plain bytes of a blob that says it has `length` of them.
pub fn decompress(compressed: &[u8], length: u32) -> Result<Vec<u8>, RepositoryError> {
    let plain = decompress_at_most(compressed, u64::from(length))?;
    if plain.len() as u64 != u64::from(length) {
        return Err(RepositoryError::malformed("a blob", "it has another length than it says"));
    }
    Ok(plain)
}

/// Decompresses blob after blob with one context.
#[derive(Default)]
pub(crate) struct Decompressor(Option<zstd::bulk::Decompressor<'static>>);

/// Up to this many bytes, memory is taken for a length that is only claimed.
const TRUSTED_LENGTH: u32 = 16 << 20;

impl Decompressor {
    /// The plain bytes of a blob that says it has `length` of them.
    pub(crate) fn decompress(
        &mut self,
        compressed: &[u8],
        length: u32,
    ) -> Result<Vec<u8>, RepositoryError> {
        if length > TRUSTED_LENGTH {
            return decompress(compressed, length);
        }
        let context = match &mut self.0 {
            Some(context) => context,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(failed)?),
        };
        let plain = context
            .decompress(compressed, length as usize)
            .map_err(|e| RepositoryError::malformed("compressed bytes", e))?;
        if plain.len() != length as usize {
            return Err(RepositoryError::malformed("a blob", "it has another length than it says"));
        }
        Ok(plain)
    }
}

/// Grows with what is really there: a length that only is claimed takes no memory.
fn decompress_at_most(compressed: &[u8], most: u64) -> Result<Vec<u8>, RepositoryError> {
    let bad = |e: std::io::Error| RepositoryError::malformed("compressed bytes", e);
    if most > MAX_PLAIN_BYTES {
        return Err(RepositoryError::TooLarge {
            what: "a blob",
            bytes: most,
            most: MAX_PLAIN_BYTES,
        });
    }
    let start = usize::try_from(most).unwrap_or(usize::MAX).min(compressed.len() * 8 + 4096);
    let mut plain = Vec::with_capacity(start);
    let mut decoder = zstd::Decoder::with_buffer(compressed).map_err(bad)?;
    // A window larger than any honest one would take its memory at once.
    decoder.window_log_max(27).map_err(bad)?;
    decoder.take(most + 1).read_to_end(&mut plain).map_err(bad)?;
    if plain.len() as u64 > most {
        return Err(RepositoryError::malformed("compressed bytes", "they are longer than allowed"));
    }
    Ok(plain)
}

/// JSON as it is stored, before sealing, in version 2.
pub fn encode_json(json: &[u8]) -> Result<Vec<u8>, RepositoryError> {
    let mut encoded = vec![ENCODING_ZSTD];
    encoded.extend(zstd::bulk::compress(json, DEFAULT_LEVEL).map_err(failed)?);
    Ok(encoded)
}

/// The JSON in the plain bytes of a file, of either version.
pub fn decode_json(plain: Vec<u8>) -> Result<Vec<u8>, RepositoryError> {
    match plain.first() {
        Some(b'[' | b'{') => Ok(plain),
        Some(&ENCODING_ZSTD) => decompress_at_most(&plain[1..], MAX_PLAIN_BYTES),
        Some(other) => Err(RepositoryError::malformed("JSON", format!("encoding {other}"))),
        None => Err(RepositoryError::malformed("JSON", "it is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused() {
        let compressed = Compressor::new(3).unwrap().compress(&[7; 10_000]).unwrap();
        assert_eq!(decompress(&compressed, 10_000).unwrap(), vec![7; 10_000]);
        for lie in [0, 9_999, 10_001, u32::MAX] {
            assert!(decompress(&compressed, lie).is_err(), "{lie}");
            assert!(Decompressor::default().decompress(&compressed, lie).is_err(), "{lie}");
        }
        assert!(decompress(&compressed[..8], 10_000).is_err());
    }

    #[test]
    fn json_of_both_versions_is_read() {
        assert_eq!(decode_json(b"{}".to_vec()).unwrap(), b"{}");
        assert_eq!(decode_json(encode_json(b"{\"a\":1}").unwrap()).unwrap(), b"{\"a\":1}");
        assert!(decode_json(Vec::new()).is_err());
        assert!(decode_json(vec![9, 9]).is_err());
    }
}
