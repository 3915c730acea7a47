//! Repositories that restic reads.

pub mod chunk;
pub mod hash;
