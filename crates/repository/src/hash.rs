//! SHA-256 of many blobs: woven where the processor has instructions for it, several at once in
//! vector lanes where it has none.

mod woven;

use std::sync::LazyLock;

use ring::digest::{SHA256, digest};

/// A SHA-256.
pub type Digest = [u8; 32];

/// How many blobs are hashed at once, at most: some more than lanes, so that blobs of about the
/// same length go together.
pub const BATCH: usize = 32;

/// How SHA-256 is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashing {
    /// One message at a time.
    Single,
    /// A few messages at once, by SHA instructions that would wait for each other.
    Woven,
    /// Messages in the lanes of vector registers, for whoever has several.
    Lanes,
}

impl Hashing {
    /// The faster one of this processor.
    pub fn of_this_processor() -> Self {
        static KIND: LazyLock<Hashing> = LazyLock::new(detect);
        *KIND
    }

    /// How many blobs are to be gathered before they are hashed.
    pub fn batch(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Woven => woven::WIDTH,
            Self::Lanes => BATCH,
        }
    }

    /// The digest of each blob.
    pub fn digests(self, blobs: &[&[u8]]) -> Vec<Digest> {
        match self {
            Self::Woven if blobs.len() > 1 => woven::digests(blobs),
            Self::Lanes if blobs.len() > 1 => in_lanes(blobs),
            _ => blobs.iter().map(|blob| single(blob)).collect(),
        }
    }
}

/// The digest of one blob.
pub fn single(blob: &[u8]) -> Digest {
    digest(&SHA256, blob).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Hashing {
    if std::is_x86_feature_detected!("sha") && std::is_x86_feature_detected!("sse4.1") {
        Hashing::Woven
    } else if std::is_x86_feature_detected!("avx2") {
        Hashing::Lanes
    } else {
        Hashing::Single
    }
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Hashing {
    if std::arch::is_aarch64_feature_detected!("sha2") { Hashing::Single } else { Hashing::Lanes }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Hashing {
    Hashing::Single
}

/// Lanes run as long as their longest message: so equal lengths go together.
fn in_lanes(blobs: &[&[u8]]) -> Vec<Digest> {
    let mut order: Vec<usize> = (0..blobs.len()).collect();
    order.sort_unstable_by_key(|&at| std::cmp::Reverse(blobs[at].len()));
    let sorted: Vec<&[u8]> = order.iter().map(|&at| blobs[at]).collect();
    let mut hashed = vec![[0; 32]; blobs.len()];
    tape_sha256::hash_many(&sorted, &mut hashed);
    let mut digests = vec![[0; 32]; blobs.len()];
    for (at, digest) in order.into_iter().zip(hashed) {
        digests[at] = digest;
    }
    digests
}
