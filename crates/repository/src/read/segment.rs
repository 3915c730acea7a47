//! Neighbours in a pack: one request, then opened together.

use bytes::Bytes;

use crate::{
    FileKind, Id, Location, MasterKey, Repository, RepositoryError, compress::Decompressor,
    hash::Hashing,
};

/// Bytes between two blobs that are rather read than asked for apart.
const GAP_BYTES: u64 = 64 << 10;
/// Most bytes of one request, but for a blob that is longer.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;

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

    /// What each blob is told when the pack could not be read: the reason once.
    pub(crate) fn failed(&self, error: RepositoryError) -> Vec<Result<Opened, RepositoryError>> {
        let error = match error {
            RepositoryError::Store(error) if error.is_not_found() => {
                RepositoryError::damaged(FileKind::Pack, &self.pack, "it is not there")
            }
            other => other,
        };
        let others = self.parts[1..].iter();
        let others: Vec<_> = others.map(|part| Err(damaged(&part.location, &error))).collect();
        std::iter::once(Err(error)).chain(others).collect()
    }

    /// Opens, decompresses and proves each blob. Work for a thread.
    pub(crate) fn open(
        &self,
        mut sealed: Vec<u8>,
        key: &MasterKey,
        want: Want,
    ) -> Vec<Result<Opened, RepositoryError>> {
        let kept = if want == Want::Sealed { Bytes::from(sealed.clone()) } else { Bytes::new() };
        let mut decompressor = Decompressor::default();
        let mut opened: Vec<Result<(Bytes, Bytes), RepositoryError>> = Vec::new();
        for part in &self.parts {
            let (start, end) = range(&part.location);
            let at = |offset: u64| usize::try_from(offset - self.start).unwrap_or(usize::MAX);
            let range = at(start)..at(end);
            let result = sealed
                .get_mut(range.clone())
                .ok_or_else(|| damaged(&part.location, "it overlaps another one"))
                .and_then(|sealed| {
                    let payload =
                        key.open_in_place(sealed).map_err(|e| damaged(&part.location, e))?;
                    let plain = match part.location.blob.uncompressed_length {
                        Some(length) => decompressor
                            .decompress(payload, length)
                            .map_err(|e| damaged(&part.location, e))?,
                        None => payload.to_vec(),
                    };
                    let wanted = match want {
                        Want::Payload => Bytes::copy_from_slice(payload),
                        Want::Sealed => kept.slice(range),
                        Want::Plain | Want::Proof => Bytes::new(),
                    };
                    Ok((Bytes::from(plain), wanted))
                });
            opened.push(result);
        }
        let plain: Vec<&[u8]> = opened.iter().flatten().map(|(plain, _)| plain.as_ref()).collect();
        let mut digests = Hashing::of_this_processor().digests(&plain).into_iter();
        let prove = |(part, opened): (&Part, Result<(Bytes, Bytes), RepositoryError>)| {
            let (plain, wanted) = opened?;
            if digests.next() != Some(*part.location.blob.id.as_bytes()) {
                return Err(damaged(&part.location, "its SHA-256 is not its id"));
            }
            Ok(Opened { bytes: if want == Want::Plain { plain } else { wanted } })
        };
        self.parts.iter().zip(opened).map(prove).collect()
    }
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
