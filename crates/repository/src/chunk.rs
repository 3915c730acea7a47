//! Where streams are cut: by their content as restic does, or every so many bytes.

mod polynomial;
mod rabin;

use std::sync::Arc;

pub use polynomial::{InvalidPolynomial, Polynomial};
pub use rabin::Rabin;

/// Smallest chunk cut by content, in bytes; only the last of a file may be smaller.
pub const MIN_BYTES: usize = 512 << 10;
/// Largest chunk, in bytes.
pub const MAX_BYTES: usize = 8 << 20;
/// Size of the chunks of a database's relation files, in bytes: four pages.
pub const RELATION_BYTES: usize = 32 << 10;

/// How files are cut.
#[derive(Debug, Clone)]
pub enum Chunking {
    /// Where their content says so: insertions move few cuts.
    Content(Arc<Rabin>),
    /// Every so many bytes: for files that are changed in place.
    Fixed(usize),
}

impl Chunking {
    /// Cuts as restic does in a repository with this polynomial.
    pub fn content(polynomial: Polynomial) -> Self {
        Self::Content(Arc::new(Rabin::new(polynomial)))
    }

    /// Begins a stream.
    pub fn cutter(&self) -> Cutter {
        Cutter { chunking: self.clone(), seen: 0 }
    }
}

/// Finds the cuts of one stream.
#[derive(Debug)]
pub struct Cutter {
    chunking: Chunking,
    /// How much of the current chunk holds no cut.
    seen: usize,
}

impl Cutter {
    /// Length of the chunk that begins `data`, if it ends there; otherwise ask again with more
    /// bytes behind the same ones. What is left at the end of the stream is its last chunk.
    pub fn cut(&mut self, data: &[u8]) -> Option<usize> {
        let found = match &self.chunking {
            Chunking::Content(rabin) => rabin.cut(data, self.seen),
            Chunking::Fixed(bytes) => (data.len() >= *bytes).then_some(*bytes),
        };
        self.seen = if found.is_some() { 0 } else { data.len() };
        found
    }

    /// Forgets the chunk that was begun, for another file.
    pub fn reset(&mut self) {
        self.seen = 0;
    }
}
