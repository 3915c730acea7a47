//! Packs, read from end to end: their header tells what the index tells, and each blob is whole.
//!
//! Blobs and header fill a pack without a gap, each with a MAC of its own, so that no byte can
//! change unseen; the pack's own SHA-256 would tell nothing more.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Checked, ReadData};
use crate::{
    FileKind, Id, IndexedPack, Location, PackedBlob, Reader, Repository, RepositoryError,
    pack::{self, LENGTH_BYTES},
    read::{Want, batches_for_proof},
};

/// How many packs are read at once.
const PACKS: usize = 2;
/// How much of a pack's end is read first: most headers fit.
const TAIL_BYTES: u64 = 64 << 10;

/// What the index tells of a pack.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PackSum {
    /// Its size in bytes, from its blobs.
    pub(crate) size: u64,
    /// How many blobs it has.
    pub(crate) blobs: usize,
}

/// What the index files tell of packs.
#[derive(Debug, Default)]
pub(crate) struct PackSums(BTreeMap<Id, PackSum>);

impl PackSums {
    /// A pack that two files tell of is told the same by both.
    pub(crate) fn add(&mut self, pack: &IndexedPack) {
        let sum = PackSum { size: pack::size_of(&pack.blobs), blobs: pack.blobs.len() };
        let known = self.0.entry(pack.id).or_insert(sum);
        if sum.blobs > known.blobs {
            *known = sum;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Id, &PackSum)> {
        self.0.iter()
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.0.contains_key(id)
    }
}

/// Whether a pack is in the part that is to be read.
fn is_wanted(id: &Id, wanted: ReadData) -> bool {
    match wanted {
        ReadData::Nothing => false,
        ReadData::All => true,
        ReadData::Part { part, of } => {
            let bytes = id.as_bytes();
            let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            number % of.max(1) == part
        }
    }
}

pub(super) async fn read(
    reader: &Reader,
    sums: &PackSums,
    wanted: ReadData,
    checked: &mut Checked,
) -> Result<(), RepositoryError> {
    let packs: Vec<_> =
        sums.iter().filter(|(id, _)| is_wanted(id, wanted)).map(|(id, sum)| (*id, *sum)).collect();
    let mut done = stream::iter(packs)
        .map(|(id, sum)| async move {
            let problems = read_pack(reader, id, sum).await?;
            Ok::<_, RepositoryError>((id, sum, problems))
        })
        .buffer_unordered(PACKS);
    while let Some((id, sum, problems)) = done.try_next().await? {
        checked.packs_read += 1;
        checked.bytes_read += sum.size;
        for problem in problems {
            checked.problem(FileKind::Pack.path(&id), problem);
        }
    }
    Ok(())
}

/// What is wrong with a pack. A store that does not answer is an error.
async fn read_pack(
    reader: &Reader,
    id: Id,
    sum: PackSum,
) -> Result<Vec<RepositoryError>, RepositoryError> {
    let told = |error: RepositoryError| match error {
        RepositoryError::Store(error) if !error.is_not_found() => Err(error.into()),
        error => Ok(vec![error]),
    };
    let blobs = match read_header(reader.repository(), id, sum.size).await {
        Ok(blobs) => blobs,
        Err(error) => return told(error),
    };
    let mut problems = Vec::new();
    let in_index = blobs.iter().filter(|blob| {
        let found = reader.index().get(blob.kind, &blob.id);
        found.is_some_and(|found| found.pack != id || found.blob == **blob)
    });
    if blobs.len() != sum.blobs || in_index.count() != blobs.len() {
        let how = "its header and the index tell different blobs";
        problems.push(RepositoryError::damaged(FileKind::Pack, &id, how));
    }
    let locations = blobs.into_iter().map(|blob| Location { pack: id, blob }).collect();
    for batch in batches_for_proof(locations) {
        for read in reader.fetch(&batch, Want::Proof).await {
            if let Err(error) = read {
                problems.extend(told(error)?);
            }
        }
    }
    Ok(problems)
}

/// What the header of a pack of `size` bytes tells.
pub(crate) async fn read_header(
    repository: &Repository,
    id: Id,
    size: u64,
) -> Result<Vec<PackedBlob>, RepositoryError> {
    let damaged = |how: RepositoryError| RepositoryError::damaged(FileKind::Pack, &id, how);
    let start = size.saturating_sub(TAIL_BYTES);
    let mut tail = repository.load_range(FileKind::Pack, &id, start..size).await?;
    let length = *tail.last_chunk::<LENGTH_BYTES>().ok_or_else(|| {
        RepositoryError::damaged(FileKind::Pack, &id, "it is too short for a header")
    })?;
    let length = pack::header_length(length, size).map_err(damaged)?;
    let end = size - LENGTH_BYTES as u64;
    let header = if u64::from(length) <= end - start {
        let to = tail.len() - LENGTH_BYTES;
        tail.truncate(to);
        tail.split_off(to - length as usize)
    } else {
        repository.load_range(FileKind::Pack, &id, end - u64::from(length)..end).await?
    };
    pack::parse_header(header, size, repository.key()).map_err(damaged)
}
