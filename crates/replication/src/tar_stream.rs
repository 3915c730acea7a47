//! The members of a tar, taken from a stream of pieces; knows no network.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use bytes::{Buf, Bytes};

use crate::Error;

const BLOCK: usize = 512;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file, whose bytes follow.
    File,
    /// A folder.
    Folder,
    /// A symbolic link to this.
    Link(PathBuf),
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Within the archive; never absolute, never with `..`.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permissions.
    pub mode: u32,
    /// In bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u64,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    Member(Member),
    Data(Bytes),
    /// The file is whole.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Data(u64),
    Padding(u64),
    /// After the first empty block.
    Trailer,
}

/// Reads one archive.
#[derive(Debug)]
pub(crate) struct TarStream {
    state: State,
    header: Vec<u8>,
    padding: u64,
}

impl TarStream {
    pub(crate) fn new() -> Self {
        Self { state: State::Header, header: Vec::with_capacity(BLOCK), padding: 0 }
    }

    /// The next step out of `input`; `None` where more is needed.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Step>, Error> {
        loop {
            match self.state {
                State::Header => {
                    let taken = input.len().min(BLOCK - self.header.len());
                    self.header.extend_from_slice(&input.split_to(taken));
                    if self.header.len() < BLOCK {
                        return Ok(None);
                    }
                    let member = member(&self.header)?;
                    self.header.clear();
                    let Some(member) = member else {
                        self.state = State::Trailer;
                        continue;
                    };
                    if member.kind == Kind::File {
                        self.padding = padding(member.size);
                        self.state = State::Data(member.size);
                    }
                    return Ok(Some(Step::Member(member)));
                }
                State::Data(0) => {
                    self.state = State::Padding(self.padding);
                    return Ok(Some(Step::End));
                }
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    self.state = State::Data(left - taken as u64);
                    return Ok(Some(Step::Data(input.split_to(taken))));
                }
                State::Padding(left) => {
                    let taken = left.min(input.len() as u64);
                    input.advance(usize::try_from(taken).unwrap_or(input.len()));
                    if taken < left {
                        self.state = State::Padding(left - taken);
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Trailer => {
                    if input.iter().any(|byte| *byte != 0) {
                        return Err(Error::protocol("something follows the end of a tar"));
                    }
                    input.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// The archive has ended. Servers before 15 leave out the empty blocks at its end.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Header if self.header.is_empty() => Ok(()),
            State::Trailer => Ok(()),
            _ => Err(Error::protocol("a tar is cut off")),
        }
    }
}

/// What fills the last block of a file.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Reads a header; `None` for an empty block.
fn member(block: &[u8]) -> Result<Option<Member>, Error> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bad = |how: &str| Error::protocol(format!("a header of a tar: {how}"));
    let header = tar::Header::from_byte_slice(block);
    let unreadable = |error: std::io::Error| bad(&error.to_string());
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum();
    if header.cksum().map_err(unreadable)? != sum + 8 * u32::from(b' ') {
        return Err(bad("its checksum is wrong"));
    }
    let path = relative(&header.path_bytes())?;
    let kind = match header.entry_type() {
        tar::EntryType::Regular => Kind::File,
        tar::EntryType::Directory => Kind::Folder,
        tar::EntryType::Symlink => {
            let target = header.link_name_bytes().ok_or_else(|| bad("a link to nothing"))?;
            Kind::Link(PathBuf::from(OsStr::from_bytes(&target)))
        }
        _ => return Err(bad(&format!("{} is neither file, folder nor link", path.display()))),
    };
    Ok(Some(Member {
        path,
        kind,
        mode: header.mode().map_err(unreadable)? & 0o7777,
        size: header.entry_size().map_err(unreadable)?,
        modified: header.mtime().map_err(unreadable)?,
    }))
}

/// A path that stays below where it is put.
fn relative(bytes: &[u8]) -> Result<PathBuf, Error> {
    let path = Path::new(OsStr::from_bytes(bytes));
    let mut kept = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => kept.push(part),
            Component::CurDir => {}
            _ => {
                let path = path.display();
                return Err(Error::protocol(format!("{path} leads out of the data directory")));
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(tar: &mut TarStream, piece: &[u8]) -> Result<Vec<(PathBuf, u64)>, Error> {
        let mut input = Bytes::copy_from_slice(piece);
        let mut seen = Vec::new();
        while let Some(step) = tar.next(&mut input)? {
            match step {
                Step::Member(member) => seen.push((member.path, 0)),
                Step::Data(data) => seen.push((PathBuf::new(), data.len() as u64)),
                Step::End => {}
            }
        }
        Ok(seen)
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..6),
        ) {
            let mut tar = TarStream::new();
            for piece in pieces {
                if read(&mut tar, &piece).is_err() {
                    break;
                }
            }
            let _ = tar.finish();
        }

        #[test]
        fn cuts_make_no_difference(
            sizes in proptest::collection::vec(0usize..3000, 1..8),
            cut in 1usize..2000,
            trailer in any::<bool>(),
        ) {
            let mut builder = tar::Builder::new(Vec::new());
            for (number, size) in sizes.iter().enumerate() {
                let mut header = tar::Header::new_ustar();
                header.set_size(*size as u64);
                header.set_mode(0o600);
                builder.append_data(&mut header, format!("base/{number}"), &vec![7u8; *size][..]).unwrap();
            }
            let mut written = builder.into_inner().unwrap();
            if !trailer {
                written.truncate(written.len() - 2 * BLOCK);
            }
            let mut tar = TarStream::new();
            let mut seen: Vec<(PathBuf, u64)> = Vec::new();
            for piece in written.chunks(cut) {
                for (path, size) in read(&mut tar, piece).unwrap() {
                    if path.as_os_str().is_empty() {
                        seen.last_mut().unwrap().1 += size;
                    } else {
                        seen.push((path, size));
                    }
                }
            }
            prop_assert!(tar.finish().is_ok());
            prop_assert_eq!(seen.len(), sizes.len());
            for ((path, size), (number, wanted)) in seen.iter().zip(sizes.iter().enumerate()) {
                prop_assert_eq!(path, &PathBuf::from(format!("base/{number}")));
                prop_assert_eq!(*size, *wanted as u64);
            }
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in ["../x", "/etc/passwd", "a/../../b"] {
            assert!(relative(path.as_bytes()).is_err(), "{path}");
        }
        assert_eq!(relative(b"./a/b").unwrap(), PathBuf::from("a/b"));
    }
}
