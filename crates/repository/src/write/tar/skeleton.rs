//! The skeleton as it is written: cut between entries, by what the entries are.

use std::sync::mpsc::SyncSender;

use bytes::Bytes;

use crate::{
    BlobKind, Id,
    skeleton::{MAGIC, MIN_OFFSETS, put_content, put_raw, table},
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
    /// Of each blob that is done, how many bytes of the tar its records are.
    lengths: Vec<u64>,
    /// The same of the buffer.
    bytes: u64,
    /// Whether the buffer begins within the content of a file.
    is_within: bool,
    /// The last blob that does not.
    first: usize,
}

impl Skeleton {
    pub(super) fn new(jobs: SyncSender<Job>) -> Self {
        Self {
            jobs,
            buffer: MAGIC.to_vec(),
            done: Contents::default(),
            lengths: Vec::new(),
            bytes: 0,
            is_within: false,
            first: 0,
        }
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
        self.bytes += bytes.len() as u64;
        self.full()
    }

    /// What is in these blobs, `size` bytes of the tar.
    pub(super) fn content(&mut self, ids: &[Id], size: u64) -> Result<(), Stopped> {
        self.bytes += size;
        // One go at a time, or the list of a very large file would be one very large blob.
        let mut left = ids.len();
        for ids in ids.chunks(MAX_BYTES / 32) {
            put_content(&mut self.buffer, ids);
            self.full()?;
            left -= ids.len();
            self.is_within |= left > 0 && self.buffer.is_empty();
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
        let bytes = std::mem::take(&mut self.bytes);
        if std::mem::take(&mut self.is_within) {
            self.lengths[self.first] += bytes;
            self.lengths.push(0);
        } else {
            self.first = self.lengths.len();
            self.lengths.push(bytes);
        }
        self.done.size_bytes += blob.len() as u64;
        self.done.blobs.push(self.send(blob)?);
        Ok(())
    }

    fn send(&self, blob: Bytes) -> Result<Id, Stopped> {
        let id = Id::of(&blob);
        let job = Job {
            kind: BlobKind::Data,
            blobs: vec![blob],
            ids: Some(vec![id]),
            promise: Promise::default(),
        };
        self.jobs.send(job).map_err(|_| Stopped)?;
        Ok(id)
    }

    /// The skeleton, and the table of one with many blobs.
    pub(super) fn finish(mut self) -> Result<(Contents, Contents), Stopped> {
        self.flush()?;
        let mut offsets = Contents::default();
        if self.lengths.len() >= MIN_OFFSETS {
            for part in table(&self.lengths).chunks(MAX_BYTES) {
                offsets.size_bytes += part.len() as u64;
                offsets.blobs.push(self.send(Bytes::copy_from_slice(part))?);
            }
        }
        Ok((self.done, offsets))
    }
}
