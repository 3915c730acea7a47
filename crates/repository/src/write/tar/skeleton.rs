//! The skeleton as it is written: cut between entries, by what the entries are.

use std::sync::mpsc::SyncSender;

use bytes::Bytes;

use crate::{
    BlobKind, Id,
    skeleton::{MAGIC, put_content, put_raw},
    write::{
        contents::Contents,
        pipeline::Job,
        receipt::{Promise, Stopped},
    },
};

/// One of so many entries is the first of a blob. Fewer would have more written anew for each file
/// that changed, more would be more blobs to know of.
const ENTRIES: u32 = 32;
/// A blob has at least so many bytes, where it is not the last.
const MIN_BYTES: usize = 4 << 10;
/// With so many bytes a blob is closed whatever follows.
const MAX_BYTES: usize = 256 << 10;

/// Writes a skeleton.
pub(super) struct Skeleton {
    jobs: SyncSender<Job>,
    buffer: Vec<u8>,
    done: Contents,
}

impl Skeleton {
    pub(super) fn new(jobs: SyncSender<Job>) -> Self {
        Self { jobs, buffer: MAGIC.to_vec(), done: Contents::default() }
    }

    /// An entry begins whose header has this checksum: the same entry is cut at in every tar.
    pub(super) fn begin(&mut self, checksum: u32) -> Result<(), Stopped> {
        if checksum.is_multiple_of(ENTRIES) && self.buffer.len() >= MIN_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        put_raw(&mut self.buffer, bytes);
        self.full()
    }

    pub(super) fn content(&mut self, ids: &[Id]) -> Result<(), Stopped> {
        // One go at a time, or the list of a very large file would be one very large blob.
        for ids in ids.chunks(MAX_BYTES / 32) {
            put_content(&mut self.buffer, ids);
            self.full()?;
        }
        Ok(())
    }

    fn full(&mut self) -> Result<(), Stopped> {
        if self.buffer.len() >= MAX_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let blob = Bytes::from(std::mem::take(&mut self.buffer));
        self.done.size_bytes += blob.len() as u64;
        let id = Id::of(&blob);
        self.done.blobs.push(id);
        let job = Job {
            kind: BlobKind::Data,
            blobs: vec![blob],
            ids: Some(vec![id]),
            promise: Promise::default(),
        };
        self.jobs.send(job).map_err(|_| Stopped)
    }

    pub(super) fn finish(mut self) -> Result<Contents, Stopped> {
        self.flush()?;
        Ok(self.done)
    }
}
