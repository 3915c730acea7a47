//! A tar for those who know no holes: files that have some are written out whole.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

use super::{BLOCK, Members, TarError, fields::number};
use crate::{Member, names, tar::fractional};

/// Why a tar was not passed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DenseError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] TarError),
    /// Nobody takes it.
    #[error("the archive is not taken: {0}")]
    Write(#[source] io::Error),
    /// Its holes are longer than was allowed.
    #[error("the holes of {name} are too long to be written out")]
    TooLong {
        /// The file that went beyond.
        name: String,
    },
}

impl DenseError {
    /// Whether reading it anew may do better.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::Write(_) => true,
            Self::TooLong { .. } => false,
        }
    }
}

/// Passes a tar on, byte for byte, but for files with holes: those become ordinary files. All holes
/// together may be `room` bytes long. Gives how long they were.
pub fn dense(from: impl Read, to: &mut impl Write, room: u64) -> Result<u64, DenseError> {
    let from = Kept { from, read: Vec::new(), keeps: false };
    let mut members = Members::new(from);
    let mut written = 0;
    loop {
        members.skip()?;
        members.from.keeps = true;
        let member = members.next_member()?;
        members.from.keeps = false;
        let head = std::mem::take(&mut members.from.read);
        let Some(member) = member else {
            to.write_all(&head).map_err(DenseError::Write)?;
            io::copy(&mut members.from.from, to).map_err(DenseError::Write)?;
            return Ok(written);
        };
        let length = if member.parts.is_some() {
            let zeros = member.size - member.stored;
            if zeros > room - written {
                let name = String::from_utf8_lossy(&member.name).into_owned();
                return Err(DenseError::TooLong { name });
            }
            written += zeros;
            to.write_all(&global(&head)).map_err(DenseError::Write)?;
            to.write_all(&whole(&member).map_err(DenseError::Write)?).map_err(DenseError::Write)?;
            member.size
        } else {
            to.write_all(&head).map_err(DenseError::Write)?;
            member.stored
        };
        members.copy_content(&member, to)?;
        let padding = usize::try_from(length.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        to.write_all(&[0; BLOCK][..padding]).map_err(DenseError::Write)?;
    }
}

impl<R: Read> Members<R> {
    /// Writes the current member's content, its holes as zeros.
    pub fn copy_content(&mut self, member: &Member, to: &mut impl Write) -> Result<(), DenseError> {
        let whole = 0..member.size;
        let mut block = vec![0; 128 << 10];
        let mut at = 0;
        for part in member.parts.as_deref().unwrap_or(std::slice::from_ref(&whole)) {
            zeros(part.start - at, to)?;
            let mut left = part.end - part.start;
            while left > 0 {
                let room = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let read = self.read_data(&mut block[..room])?;
                if read == 0 {
                    return Err(TarError::Truncated { at: self.at }.into());
                }
                to.write_all(&block[..read]).map_err(DenseError::Write)?;
                left -= read as u64;
            }
            at = part.end;
        }
        zeros(member.size - at, to)
    }
}

fn zeros(count: u64, to: &mut impl Write) -> Result<(), DenseError> {
    io::copy(&mut io::repeat(0).take(count), to).map(drop).map_err(DenseError::Write)
}

/// The headers of a member with holes, as those of an ordinary file.
fn whole(member: &Member) -> io::Result<Vec<u8>> {
    let of = &member.attributes;
    let (secs, nanos) = of.mtime;
    let mut records: Vec<(String, &[u8])> = Vec::new();
    let time = fractional(secs, nanos.into());
    if let Some(time) = &time {
        records.push(("mtime".to_owned(), time.as_bytes()));
    }
    for (name, value) in &of.extended {
        let name = std::str::from_utf8(name).map_err(io::Error::other)?;
        records.push((crate::tar::attribute_key(name), value));
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(of.mode);
    header.set_uid(of.uid.into());
    header.set_gid(of.gid.into());
    header.set_mtime(u64::try_from(secs).unwrap_or_default());
    header.set_size(member.size);
    // A builder that ends would mark the archive's end: this one is never told to.
    let mut head = Builder::new(Vec::new());
    head.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), *value)))?;
    names::append_header(&mut head, &mut header, &member.name)?;
    Ok(head.get_ref().clone())
}

/// Of a member's headers, those that hold for the ones after it too.
fn global(mut head: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Some((header, _)) = head.split_first_chunk::<BLOCK>() {
        let header = Header::from_byte_slice(header);
        let kind = header.entry_type().as_byte();
        if !matches!(kind, b'L' | b'K' | b'x' | b'X' | b'g') {
            break;
        }
        let content = number(&header.as_old().size).unwrap_or_default();
        let length = content.next_multiple_of(BLOCK as u64) + BLOCK as u64;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(head.len());
        let (this, rest) = head.split_at(length);
        if kind == b'g' {
            kept.extend_from_slice(this);
        }
        head = rest;
    }
    kept
}

/// Keeps what is read of headers.
struct Kept<R> {
    from: R,
    read: Vec<u8>,
    keeps: bool,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if self.keeps {
            self.read.extend_from_slice(&buffer[..count]);
        }
        Ok(count)
    }
}
