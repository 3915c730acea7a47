//! A tar read as one stream, as hostile as it may be: every length is bounded before it is used,
//! and nothing is held but what one member is.

mod dense;
mod fields;
mod pax;
mod sparse;

use std::{
    borrow::Cow,
    io::{self, Read},
    ops::Range,
};

use tar::{EntryType, Header};

pub use dense::{DenseError, dense};
use fields::{number, signed};
use pax::Records;

const BLOCK: usize = 512;
/// Bytes that the headers of one member may take, names and attributes together.
const MAX_EXTENSION: u64 = 4 << 20;

/// Why a tar cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// Its bytes do not come.
    #[error("the archive cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It ends before its end is marked.
    #[error("the archive ends at byte {at}, before its own end")]
    Truncated {
        /// Where.
        at: u64,
    },
    /// It says what no tar may say.
    #[error("the archive is damaged or hostile at byte {at}: {what}")]
    Malformed {
        /// Where the member begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl TarError {
    /// Whether reading it anew may do better.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of a file that came before.
    Link,
    /// A FIFO.
    Fifo,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// Something of one program's own.
    Other,
}

/// What a file system keeps of a member beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Extended attributes.
    pub extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One member. Its name is as the archive has it: nobody has judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Its length, holes included, in bytes.
    pub size: u64,
    /// What of it is in the archive, in bytes.
    pub stored: u64,
    /// Where its data is, for a file with holes; in order, and together as long as `stored`.
    pub parts: Option<Vec<Range<u64>>>,
    /// What else is kept of it.
    pub attributes: Attributes,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Where it begins in the archive, with all that belongs to it.
    pub begins: u64,
    /// Where its data begins in the archive.
    pub data_at: u64,
}

/// The members of a tar, in its order.
#[derive(Debug)]
pub struct Members<R> {
    from: R,
    at: u64,
    /// Of the current member's data.
    left: u64,
    padding: u64,
    global: Records,
    ended: bool,
}

impl<R: Read> Members<R> {
    /// Of the tar that `from` gives.
    pub fn new(from: R) -> Self {
        Self { from, at: 0, left: 0, padding: 0, global: Records::default(), ended: false }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next member; what is left of the one before is passed over.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        self.skip()?;
        if self.ended {
            return Ok(None);
        }
        let begins = self.at;
        let malformed = |what| TarError::Malformed { at: begins, what };
        let (mut name, mut link, mut records) = (None, None, self.global.clone());
        let mut room = MAX_EXTENSION;
        loop {
            let Some(header) = self.header(begins)? else {
                self.ended = true;
                let is_whole = name.is_none() && link.is_none() && self.at - begins == BLOCK as u64;
                return if is_whole {
                    Ok(None)
                } else {
                    Err(malformed("a name or attributes belong to no member"))
                };
            };
            let kind = header.entry_type();
            let stored = number(&header.as_old().size).ok_or(malformed("its size is no number"))?;
            if !matches!(kind.as_byte(), b'L' | b'K' | b'x' | b'X' | b'g') {
                return self.member(begins, &header, name, link, &records).map(Some);
            }
            room = room.checked_sub(stored).ok_or(malformed("its headers are too long"))?;
            let content = self.whole(stored)?;
            match kind.as_byte() {
                b'L' => name = Some(until_nul(content)),
                b'K' => link = Some(until_nul(content)),
                b'g' => {
                    let more = Records::parse(&content).ok_or(malformed("a global header"))?;
                    self.global = self.global.clone().with(more);
                    if self.global.bytes() > MAX_EXTENSION {
                        return Err(malformed("its global headers are too long"));
                    }
                    records = self.global.clone().with(records);
                }
                _ => {
                    let more = Records::parse(&content).ok_or(malformed("a PAX header"))?;
                    records = records.with(more);
                }
            }
        }
    }

    fn member(
        &mut self,
        begins: u64,
        header: &Header,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        records: &Records,
    ) -> Result<Member, TarError> {
        let malformed = |what| TarError::Malformed { at: begins, what };
        let fields = header.as_old();
        let text = |key: &str| records.get(key).map(<[u8]>::to_vec);
        let name = text("GNU.sparse.name").or_else(|| text("path")).or(long_name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = text("linkpath").or(long_link);
        let link =
            link.unwrap_or_else(|| header.link_name_bytes().map_or_else(Vec::new, Cow::into_owned));
        let mut kind = kind_of(header.entry_type());
        if kind == Kind::File && name.ends_with(b"/") && header.entry_type().as_byte() == 0 {
            kind = Kind::Folder;
        }
        let mut stored = number(&fields.size).ok_or(malformed("its size is no number"))?;
        if let Some(size) = records.get("size") {
            stored = pax::whole(size).ok_or(malformed("its size is no number"))?;
        }
        // What has no content may still declare the size of what it stands for.
        if !matches!(kind, Kind::File | Kind::Other) {
            stored = 0;
        }
        self.left = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
        if self.at.checked_add(stored).and_then(|end| end.checked_add(BLOCK as u64)).is_none() {
            return Err(malformed("its size is beyond all measure"));
        }
        let holes = self.holes(begins, header, records)?;
        let (size, parts) = match holes {
            Some((size, parts)) => (size, Some(parts)),
            None => (self.left, None),
        };
        let device = header.as_ustar().map(|it| (&it.dev_major, &it.dev_minor));
        let device = device.or(header.as_gnu().map(|it| (&it.dev_major, &it.dev_minor)));
        let device = match (kind, device) {
            (Kind::Char | Kind::Block, Some((major, minor))) => (id(major), id(minor)),
            _ => (Some(0), Some(0)),
        };
        let owner = |key: &str, field: &[u8; 8]| match records.get(key) {
            Some(text) => pax::whole(text).and_then(|id| u32::try_from(id).ok()),
            None => id(field),
        };
        let mtime = match records.get("mtime") {
            Some(text) => pax::time(text),
            None => signed(&fields.mtime).map(|secs| (secs, 0)),
        };
        Ok(Member {
            name,
            kind,
            link,
            size,
            stored: self.left,
            parts,
            attributes: Attributes {
                mode: id(&fields.mode).ok_or(malformed("its mode is no number"))? & 0o7777,
                uid: owner("uid", &fields.uid).ok_or(malformed("its owner is no number"))?,
                gid: owner("gid", &fields.gid).ok_or(malformed("its group is no number"))?,
                mtime: mtime.ok_or(malformed("its time is no number"))?,
                extended: records.extended(),
            },
            device: device.0.zip(device.1).ok_or(malformed("its device is no number"))?,
            begins,
            data_at: self.at,
        })
    }

    /// One header, its checksum proven; `None` for a block of zeros, which is the end.
    fn header(&mut self, begins: u64) -> Result<Option<Header>, TarError> {
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !is_header(bytes) {
            return Err(TarError::Malformed { at: begins, what: "a header's checksum is wrong" });
        }
        Ok(Some(header))
    }

    /// The content of a header that is content; its length is bounded already.
    fn whole(&mut self, length: u64) -> Result<Vec<u8>, TarError> {
        let mut content = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut content)?;
        let padding = usize::try_from(length.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        self.fill(&mut [0; BLOCK][..padding])?;
        Ok(content)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        self.from.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Truncated { at: self.at },
            _ => TarError::Read(error),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), TarError> {
        let mut rest = std::mem::take(&mut self.left) + std::mem::take(&mut self.padding);
        let mut block = [0; 16 << 10];
        while rest > 0 {
            let take = block.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.fill(&mut block[..take])?;
            rest -= take as u64;
        }
        Ok(())
    }

    /// Reads on to the very end, so that whoever sends is heard out.
    pub fn drain(&mut self) -> Result<(), TarError> {
        io::copy(&mut self.from, &mut io::sink()).map(drop).map_err(TarError::Read)
    }

    /// Fills `buffer` from the current member's data; gives 0 at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.fill(&mut buffer[..room])?;
        self.left -= room as u64;
        Ok(room)
    }
}

/// Whether a block is a member's header: whether its checksum is right.
pub fn is_header(block: &[u8; BLOCK]) -> bool {
    let (before, rest) = block.split_at(148);
    let sum = |part: &[u8]| part.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let expected = sum(before) + 8 * u64::from(b' ') + sum(&rest[8..]);
    number(&rest[..8]) == Some(expected)
}

fn kind_of(kind: EntryType) -> Kind {
    match kind.as_byte() {
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::Link,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        _ => Kind::Other,
    }
}

fn id(field: &[u8]) -> Option<u32> {
    u32::try_from(number(field)?).ok()
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}
