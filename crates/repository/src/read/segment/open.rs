//! Opening, decompressing and proving what was read.

use std::ops::Range;

use bytes::Bytes;

use super::{Opened, Part, Want, damaged, range};
use crate::{MasterKey, RepositoryError, compress::Decompressor, hash::Hashing};

/// What is not compressed is handed on within what was read, if it is at least this share of it:
/// it keeps all of that in memory.
const SHARE: usize = 4;

/// The plain bytes of a blob.
enum Plain {
    /// Where they lie in what was read.
    There(Range<usize>),
    Decompressed(Vec<u8>),
}

impl Plain {
    fn bytes<'a>(&'a self, read: &'a [u8]) -> &'a [u8] {
        match self {
            Self::There(range) => &read[range.clone()],
            Self::Decompressed(bytes) => bytes,
        }
    }
}

/// Opens `parts` of what begins at `start`; `sealed` is there to be used again, or empty.
pub(super) fn parts(
    parts: &[Part],
    start: u64,
    sealed: &mut Vec<u8>,
    key: &MasterKey,
    want: Want,
) -> Vec<Result<Opened, RepositoryError>> {
    let kept = if want == Want::Sealed { Bytes::from(sealed.clone()) } else { Bytes::new() };
    let mut decompressor = Decompressor::default();
    let mut open = |part: &Part| {
        let (from, to) = range(&part.location);
        let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        let place = at(from)..at(to);
        let sealed = sealed
            .get_mut(place.clone())
            .ok_or_else(|| damaged(&part.location, "it overlaps another one"))?;
        let payload = key.open_in_place(sealed).map_err(|e| damaged(&part.location, e))?;
        let there = place.start + crate::crypto::NONCE_BYTES;
        let there = there..there + payload.len();
        let plain = match part.location.blob.uncompressed_length {
            Some(length) => decompressor
                .decompress(payload, length)
                .map(Plain::Decompressed)
                .map_err(|e| damaged(&part.location, e))?,
            None => Plain::There(there.clone()),
        };
        Ok::<_, RepositoryError>((place, there, plain))
    };
    let opened: Vec<_> = parts.iter().map(&mut open).collect();
    let plain: Vec<&[u8]> =
        opened.iter().flatten().map(|(.., plain)| plain.bytes(sealed)).collect();
    let mut digests = Hashing::of_this_processor().digests(&plain).into_iter();
    drop(plain);
    let is_shared = want == Want::Plain
        && opened.iter().flatten().any(
            |(.., plain)| matches!(plain, Plain::There(at) if at.len() * SHARE >= sealed.len()),
        );
    let (shared, read) = if is_shared {
        let shared = Bytes::from(std::mem::take(sealed));
        (shared.clone(), shared)
    } else {
        (Bytes::new(), Bytes::new())
    };
    let read: &[u8] = if is_shared { &read } else { sealed };
    let hand_on = |(part, opened): (&Part, Result<_, RepositoryError>)| {
        let (place, there, plain): (Range<usize>, Range<usize>, Plain) = opened?;
        if digests.next() != Some(*part.location.blob.id.as_bytes()) {
            return Err(damaged(&part.location, "its SHA-256 is not its id"));
        }
        let bytes = match (want, plain) {
            (Want::Proof, _) => Bytes::new(),
            (Want::Sealed, _) => kept.slice(place),
            (Want::Payload, _) => Bytes::copy_from_slice(&read[there]),
            (Want::Plain, Plain::Decompressed(bytes)) => bytes.into(),
            (Want::Plain, Plain::There(at)) if at.len() * SHARE >= read.len() => shared.slice(at),
            (Want::Plain, Plain::There(at)) => Bytes::copy_from_slice(&read[at]),
        };
        Ok(Opened { bytes })
    };
    parts.iter().zip(opened).map(hand_on).collect()
}
