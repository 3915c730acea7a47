//! Packs: sealed blobs one after the other, then a sealed header that tells what they are.

use crate::{
    BlobKind, Id, MasterKey, RepositoryError,
    crypto::{NONCE_BYTES, OVERHEAD_BYTES},
};

/// Bytes of a header's entry for a blob that is not compressed, and for one that is.
const ENTRY_BYTES: usize = 1 + 4 + 32;
const COMPRESSED_ENTRY_BYTES: usize = ENTRY_BYTES + 4;
/// Bytes that tell the header's length.
pub const LENGTH_BYTES: usize = 4;
/// Longest sealed header that is read.
pub const MAX_HEADER_BYTES: u32 = 16 << 20;

/// A blob as it goes into a pack.
#[derive(Debug, Clone)]
pub struct SealedBlob {
    /// What it is.
    pub kind: BlobKind,
    /// SHA-256 of its plain bytes.
    pub id: Id,
    /// Its plain length in bytes, if it is compressed.
    pub uncompressed_length: Option<u32>,
    /// Nonce, ciphertext, MAC.
    pub sealed: Vec<u8>,
}

/// Where a blob lies in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedBlob {
    /// What it is.
    pub kind: BlobKind,
    /// SHA-256 of its plain bytes.
    pub id: Id,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// How long it is as it lies there, sealed, in bytes.
    pub length: u32,
    /// Its plain length in bytes, if it is compressed.
    pub uncompressed_length: Option<u32>,
}

impl PackedBlob {
    /// Its plain length in bytes.
    pub fn plain_length(&self) -> u32 {
        let overhead = u32::try_from(OVERHEAD_BYTES).unwrap_or(u32::MAX);
        self.uncompressed_length.unwrap_or(self.length.saturating_sub(overhead))
    }
}

/// Gathers sealed blobs of one kind into a pack.
#[derive(Debug, Default)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// An empty pack with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), blobs: Vec::new() }
    }

    /// Adds a blob at the end. A pack ends below 4 GiB; all blobs of one are of one kind.
    pub fn add(&mut self, blob: &SealedBlob) -> Result<(), RepositoryError> {
        self.add_parts(blob.kind, blob.id, blob.uncompressed_length, &blob.sealed)
    }

    /// The same without a [`SealedBlob`] around the bytes.
    pub fn add_parts(
        &mut self,
        kind: BlobKind,
        id: Id,
        uncompressed_length: Option<u32>,
        sealed: &[u8],
    ) -> Result<(), RepositoryError> {
        let too_large = |_| RepositoryError::TooLarge {
            what: "a pack",
            bytes: (self.bytes.len() + sealed.len()) as u64,
            most: u64::from(u32::MAX),
        };
        let offset = u32::try_from(self.bytes.len()).map_err(too_large)?;
        let length = u32::try_from(sealed.len()).map_err(too_large)?;
        u32::try_from(self.bytes.len() + sealed.len()).map_err(too_large)?;
        self.bytes.extend_from_slice(sealed);
        self.blobs.push(PackedBlob { kind, id, offset, length, uncompressed_length });
        Ok(())
    }

    /// How many bytes of blobs it holds.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds no blob.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// How many bytes the finished pack will have.
    pub fn finished_len(&self) -> usize {
        let entries: usize = self.blobs.iter().map(entry_bytes).sum();
        self.bytes.len() + entries + OVERHEAD_BYTES + LENGTH_BYTES
    }

    /// What it holds so far.
    pub fn blobs(&self) -> &[PackedBlob] {
        &self.blobs
    }

    /// The pack's bytes, whose SHA-256 is its name, and what is in it.
    pub fn finish(
        mut self,
        key: &MasterKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<(Vec<u8>, Vec<PackedBlob>), RepositoryError> {
        let header = write_header(&self.blobs);
        let sealed_length = header.len() + OVERHEAD_BYTES;
        let length = u32::try_from(sealed_length)
            .ok()
            .filter(|length| *length <= MAX_HEADER_BYTES)
            .ok_or(RepositoryError::TooLarge {
                what: "a pack's header",
                bytes: sealed_length as u64,
                most: u64::from(MAX_HEADER_BYTES),
            })?;
        key.seal_into(nonce, &header, &mut self.bytes);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        Ok((self.bytes, self.blobs))
    }
}

fn entry_bytes(blob: &PackedBlob) -> usize {
    if blob.uncompressed_length.is_some() { COMPRESSED_ENTRY_BYTES } else { ENTRY_BYTES }
}

/// How many bytes a pack with these blobs has.
pub fn size_of<'a>(blobs: impl IntoIterator<Item = &'a PackedBlob>) -> u64 {
    let fixed = (OVERHEAD_BYTES + LENGTH_BYTES) as u64;
    blobs.into_iter().map(|blob| u64::from(blob.length) + entry_bytes(blob) as u64).sum::<u64>()
        + fixed
}

fn write_header(blobs: &[PackedBlob]) -> Vec<u8> {
    let mut header = Vec::with_capacity(blobs.len() * COMPRESSED_ENTRY_BYTES);
    for blob in blobs {
        let kind = match blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        header.push(if blob.uncompressed_length.is_some() { kind | 2 } else { kind });
        header.extend_from_slice(&blob.length.to_le_bytes());
        if let Some(length) = blob.uncompressed_length {
            header.extend_from_slice(&length.to_le_bytes());
        }
        header.extend_from_slice(blob.id.as_bytes());
    }
    header
}

/// The sealed header's length, from the last four bytes of a pack of `pack_size` bytes.
pub fn header_length(tail: [u8; LENGTH_BYTES], pack_size: u64) -> Result<u32, RepositoryError> {
    let bad = |how: &str| RepositoryError::malformed("a pack's header", how);
    let length = u32::from_le_bytes(tail);
    if (length as usize) < OVERHEAD_BYTES + ENTRY_BYTES {
        return Err(bad("it is too short"));
    }
    if length > MAX_HEADER_BYTES || u64::from(length) + LENGTH_BYTES as u64 > pack_size {
        return Err(bad("it is too long"));
    }
    Ok(length)
}

/// What is in a pack of `pack_size` bytes, from its sealed header. The blobs fill exactly what is
/// before the header.
pub fn parse_header(
    sealed: Vec<u8>,
    pack_size: u64,
    key: &MasterKey,
) -> Result<Vec<PackedBlob>, RepositoryError> {
    let before = pack_size.saturating_sub((sealed.len() + LENGTH_BYTES) as u64);
    let plain = key.open(sealed).map_err(|e| RepositoryError::malformed("a pack's header", e))?;
    let blobs = parse_plain_header(&plain)?;
    let filled: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    if filled != before {
        return Err(RepositoryError::malformed(
            "a pack's header",
            format!("its blobs have {filled} bytes, the pack has {before} for them"),
        ));
    }
    Ok(blobs)
}

/// What the plain bytes of a header tell.
pub fn parse_plain_header(mut plain: &[u8]) -> Result<Vec<PackedBlob>, RepositoryError> {
    let bad = |how: &str| RepositoryError::malformed("a pack's header", how);
    let mut blobs = Vec::with_capacity(plain.len() / COMPRESSED_ENTRY_BYTES);
    let mut offset = 0_u32;
    while let Some((kind, rest)) = plain.split_first() {
        if *kind > 3 {
            return Err(bad("a blob is of an unknown type"));
        }
        let short = || bad("it ends within an entry");
        let (length, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let mut uncompressed_length = None;
        if kind & 2 != 0 {
            let (plain_length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            uncompressed_length = Some(u32::from_le_bytes(*plain_length));
            rest = after;
        }
        let (id, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        plain = rest;
        let length = u32::from_le_bytes(*length);
        let kind = if kind & 1 == 0 { BlobKind::Data } else { BlobKind::Tree };
        blobs.push(PackedBlob { kind, id: Id::new(*id), offset, length, uncompressed_length });
        offset = offset.checked_add(length).ok_or_else(|| bad("its blobs are too long"))?;
    }
    Ok(blobs)
}
