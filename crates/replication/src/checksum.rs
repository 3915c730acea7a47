//! The checksums of base backups' manifests.

use std::fmt;

use ring::digest::{Context, SHA256};

/// How a manifest proves each file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Not at all.
    None,
    /// Against accidents; costs the server next to nothing.
    #[default]
    Crc32c,
    /// Against intent too.
    Sha256,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Crc32c => "CRC32C",
            Self::Sha256 => "SHA256",
        })
    }
}

/// Counts and hashes one file.
pub(crate) enum Hasher {
    None,
    Crc32c(u32),
    Sha256(Box<Context>),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::None => Self::None,
            Algorithm::Crc32c => Self::Crc32c(0),
            Algorithm::Sha256 => Self::Sha256(Box::new(Context::new(&SHA256))),
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
            Self::Sha256(context) => context.update(bytes),
        }
    }

    /// The bytes that the manifest shows in hexadecimal.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            // As the server has it in memory.
            Self::Crc32c(sum) => sum.to_le_bytes().to_vec(),
            Self::Sha256(context) => context.finish().as_ref().to_vec(),
        }
    }
}
