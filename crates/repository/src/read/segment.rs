//! Neighbours in a pack: one request, then opened together.

mod open;

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use bytes::Bytes;

use crate::{FileKind, Id, Location, MasterKey, Repository, RepositoryError, hash::Hashing};

/// Bytes between two blobs that are rather read than asked for apart.
const GAP_BYTES: u64 = 64 << 10;
/// Most bytes of one request, but for a blob that is longer.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;

/// Most bytes of a file of this machine that are read, and that come of them, before they are
/// handed on: what was just read is still in the processor's cache.
const GROUP_BYTES: u64 = 1 << 20;
/// The same where a few blobs are hashed at once.
const WOVEN_BYTES: u64 = 4 << 20;

/// What is wanted of a blob. Each is proven either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Its plain bytes.
    Plain,
    /// Its bytes as they were before sealing: compressed, if they were.
    Payload,
    /// Its bytes as they lie there.
    Sealed,
    /// Nothing but the proof.
    Proof,
}

/// A blob that was read and proven.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// What was wanted.
    pub(crate) bytes: Bytes,
}

/// A blob of a segment, and which of those asked for it is.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) location: Location,
    pub(crate) asked: Vec<usize>,
}

/// Blobs of one pack that are read together.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) pack: Id,
    start: u64,
    end: u64,
    pub(crate) parts: Vec<Part>,
}

fn range(location: &Location) -> (u64, u64) {
    let start = u64::from(location.blob.offset);
    (start, start + u64::from(location.blob.length))
}

/// Segments for what is wanted, by pack and place.
pub(crate) fn plan(wanted: &[Location]) -> Vec<Segment> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|at| (wanted[*at].pack, wanted[*at].blob.offset, wanted[*at].blob.length));
    let mut segments: Vec<Segment> = Vec::new();
    for at in order {
        let location = wanted[at];
        let (start, end) = range(&location);
        if let Some(last) = segments.last_mut()
            && last.pack == location.pack
        {
            if let Some(part) = last.parts.last_mut()
                && part.location == location
            {
                part.asked.push(at);
                continue;
            }
            if start <= last.end + GAP_BYTES && end.max(last.end) - last.start <= SEGMENT_BYTES {
                last.end = last.end.max(end);
                last.parts.push(Part { location, asked: vec![at] });
                continue;
            }
        }
        let parts = vec![Part { location, asked: vec![at] }];
        segments.push(Segment { pack: location.pack, start, end, parts });
    }
    segments
}

/// That a blob is not what it should be.
pub(crate) fn damaged(location: &Location, how: impl std::fmt::Display) -> RepositoryError {
    let blob = &location.blob;
    let how = format!("the {:?} blob {} at byte {}: {how}", blob.kind, blob.id, blob.offset);
    RepositoryError::damaged(FileKind::Pack, &location.pack, how)
}

impl Segment {
    pub(crate) async fn load(&self, repository: &Repository) -> Result<Vec<u8>, RepositoryError> {
        repository.load_range(FileKind::Pack, &self.pack, self.start..self.end).await
    }

    /// Reads the pack as a file of this machine, a group of neighbours at a time, on this thread.
    pub(crate) fn read_here(
        &self,
        mut file: File,
        key: &MasterKey,
        want: Want,
    ) -> Vec<Result<Opened, RepositoryError>> {
        let most = match Hashing::of_this_processor() {
            Hashing::Single => GROUP_BYTES,
            Hashing::Woven => WOVEN_BYTES,
            // Lanes want many blobs at once.
            Hashing::Lanes => SEGMENT_BYTES,
        };
        let mut opened = Vec::with_capacity(self.parts.len());
        let mut buffer = Vec::new();
        let mut rest = &self.parts[..];
        while let Some(first) = rest.first() {
            let start = range(&first.location).0;
            let mut end = range(&first.location).1;
            let mut plain = u64::from(first.location.blob.plain_length());
            let mut count = 1;
            while let Some(next) = rest.get(count).map(|part| &part.location) {
                plain += u64::from(next.blob.plain_length());
                let until = range(next).1.max(end);
                if (until - start).max(plain) > most {
                    break;
                }
                end = until;
                count += 1;
            }
            let (parts, others) = rest.split_at(count);
            rest = others;
            match self.read_file(&mut file, start..end, &mut buffer) {
                Ok(()) => {
                    opened.extend(open::parts(parts, start, &mut buffer, key, want));
                }
                Err(error) => opened.extend(told(parts, error)),
            }
        }
        opened
    }

    fn read_file(
        &self,
        file: &mut File,
        range: std::ops::Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), RepositoryError> {
        let length = range.end - range.start;
        buffer.clear();
        let read = file
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| {
                // A length may lie: what is there decides how much memory is taken.
                buffer.reserve(usize::try_from(length.min(SEGMENT_BYTES)).unwrap_or(0));
                file.by_ref().take(length).read_to_end(buffer)
            })
            .map_err(|error| {
                let name = FileKind::Pack.path(&self.pack);
                RepositoryError::Store(store::StoreError::io("reading", &name, &error))
            })?;
        if read as u64 != length {
            let how = "it is shorter than the index says";
            return Err(RepositoryError::damaged(FileKind::Pack, &self.pack, how));
        }
        Ok(())
    }

    /// What each blob is told when the pack could not be read: the reason once.
    pub(crate) fn failed(&self, error: RepositoryError) -> Vec<Result<Opened, RepositoryError>> {
        let error = match error {
            RepositoryError::Store(error) if error.is_not_found() => {
                RepositoryError::damaged(FileKind::Pack, &self.pack, "it is not there")
            }
            other => other,
        };
        told(&self.parts, error)
    }

    /// Opens, decompresses and proves each blob. Work for a thread.
    pub(crate) fn open(
        &self,
        mut sealed: Vec<u8>,
        key: &MasterKey,
        want: Want,
    ) -> Vec<Result<Opened, RepositoryError>> {
        open::parts(&self.parts, self.start, &mut sealed, key, want)
    }
}

fn told(parts: &[Part], error: RepositoryError) -> Vec<Result<Opened, RepositoryError>> {
    let others = parts[1..].iter();
    let others: Vec<_> = others.map(|part| Err(damaged(&part.location, &error))).collect();
    std::iter::once(Err(error)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobKind, PackedBlob};

    fn at(pack: u8, offset: u32, length: u32) -> Location {
        let id = Id::new([u8::try_from(offset % 251).unwrap(); 32]);
        let blob =
            PackedBlob { kind: BlobKind::Data, id, offset, length, uncompressed_length: None };
        Location { pack: Id::new([pack; 32]), blob }
    }

    #[test]
    fn neighbours_are_read_together_and_no_more() {
        let far = 20 << 20;
        let wanted = [at(2, 0, 10), at(1, 10, 10), at(1, 0, 10), at(1, far, 10), at(1, 10, 10)];
        let planned = plan(&wanted);
        let told: Vec<_> = planned.iter().map(|s| (s.start, s.end, s.parts.len())).collect();
        assert_eq!(told, [(0, 20, 2), (u64::from(far), u64::from(far) + 10, 1), (0, 10, 1)]);
        assert_eq!(planned[0].parts[1].asked, [1, 4]);
        let large: Vec<_> = (0..20).map(|n| at(1, n << 20, 1 << 20)).collect();
        assert_eq!(plan(&large).len(), 2);
    }
}
