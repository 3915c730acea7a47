//! Chunks gathered into batches.

use std::sync::mpsc::SyncSender;

use bytes::Bytes;

use super::{
    contents::SEGMENT,
    pipeline::Job,
    receipt::{Piece, Promise, Stopped},
};
use crate::{BlobKind, buffers::Buffers, chunk::MAX_BYTES, hash::Hashing};

/// Most chunks of a batch: of small ones many are hashed and handed over at once.
const MANY: usize = 64;
/// Enough bytes for a batch that is hashed one chunk after the other.
const ENOUGH: usize = 1 << 20;
/// How much of the last chunk is carried over into the next buffer, mostly; in bytes.
const USUAL_REST: usize = 3 << 19;
/// Buffers that wait to be filled again, at most.
const KEPT: usize = 1;
/// Chunks of a batch that is hashed in lanes, where they are large.
const IN_LANES: usize = 16;

/// Gathers chunks of data for the pipeline.
pub(super) struct Feeder {
    jobs: SyncSender<Job>,
    hashing: Hashing,
    chunks: Vec<Bytes>,
    bytes: usize,
    promise: Promise,
    buffers: Buffers,
}

impl Feeder {
    pub(super) fn new(jobs: SyncSender<Job>, hashing: Hashing) -> Self {
        let buffers = Buffers::new(MAX_BYTES + SEGMENT, SEGMENT + USUAL_REST, KEPT);
        Self { jobs, hashing, chunks: Vec::new(), bytes: 0, promise: Promise::default(), buffers }
    }

    /// What large files are read into.
    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Adds a chunk; waits where the pipeline is behind.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<Piece, Stopped> {
        let piece = Piece::new(self.promise.receipt(), self.chunks.len());
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        let enough = match self.hashing {
            Hashing::Single | Hashing::Woven => self.bytes >= ENOUGH,
            Hashing::Lanes => self.chunks.len() >= IN_LANES && self.bytes >= ENOUGH,
        };
        if enough || self.chunks.len() >= MANY {
            self.flush()?;
        }
        Ok(piece)
    }

    /// Hands over what was gathered: whoever waits for a piece has to call this first.
    pub(super) fn flush(&mut self) -> Result<(), Stopped> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let job = self.job();
        self.jobs.send(job).map_err(|_| Stopped)
    }

    fn job(&mut self) -> Job {
        Job {
            kind: BlobKind::Data,
            blobs: std::mem::take(&mut self.chunks),
            ids: None,
            promise: std::mem::take(&mut self.promise),
        }
    }
}
