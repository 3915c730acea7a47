//! Sealing, opening, format checks and manifests, against damage and against stock tools.

// A sealer gives what it sealed, an opener what it opened.
#![allow(clippy::similar_names)]

mod by_hand;
mod crypt;
mod format;
mod manifest;
mod range;
#[path = "../../../../fuzz/reads/artifact.rs"]
mod reads;
mod seal;
mod survival;

use artifact::{Compression, Opener, Recipe, Sealed, Sealer};
use bytes::Bytes;

/// Every way to store.
pub(crate) const RECIPES: &[Recipe] = &[
    Recipe::new(Compression::None),
    Recipe::new(Compression::Gzip { level: 1 }),
    Recipe::new(Compression::Zstd { level: 1 }),
    Recipe::new(Compression::Zstd { level: 3 }).with_workers(2),
    Recipe::new(Compression::Zstd { level: 3 }).frugal(),
    Recipe::new(Compression::Zstd { level: 2 }).hurried(),
];

/// Seals `plain` in pieces of `step` bytes.
pub(crate) fn seal(recipe: Recipe, plain: &[u8], step: usize) -> (Sealed, Vec<u8>) {
    let mut stored = Vec::new();
    let mut out = |bytes: Bytes| stored.extend_from_slice(&bytes);
    let mut sealer = Sealer::new(recipe).unwrap();
    for piece in plain.chunks(step.max(1)) {
        sealer.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    let sealed = sealer.finish(&mut out).unwrap();
    (sealed, stored)
}

/// Opens `stored` in pieces of `step` bytes.
pub(crate) fn open(
    recipe: Recipe,
    sealed: &Sealed,
    stored: &[u8],
    step: usize,
) -> Result<Vec<u8>, artifact::OpenError> {
    let mut plain = Vec::new();
    let mut out = |bytes: Bytes| plain.extend_from_slice(&bytes);
    let mut opener = Opener::new(recipe.compression.method(), sealed.plain, [sealed.stored])?;
    for piece in stored.chunks(step.max(1)) {
        opener.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    opener.finish(&mut out)?;
    Ok(plain)
}

/// Bytes that compress a little and differ everywhere.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if at % 3 == 0 { b'x' } else { state.to_le_bytes()[0] }
        })
        .collect()
}
