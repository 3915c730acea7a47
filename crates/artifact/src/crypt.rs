//! The age layer, fed in pieces: `https://c2sp.org/age`.
//!
//! The library writes to a writer and reads from a reader; between its calls and ours lies a
//! buffer of at most one piece.

use std::{
    collections::VecDeque,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{Arc, Mutex, PoisonError},
};

use age::{
    DecryptError, Decryptor,
    stream::{StreamReader, StreamWriter},
};
use bytes::Bytes;

pub(crate) use crate::pieces::PieceDecrypter;
use crate::{Digest, Digester, Identities, Recipients, SealError};

/// Plain bytes that age encrypts at a time.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
/// The same as a number of bytes in a stream, and with what age adds to it.
pub(crate) const PIECE: u64 = PIECE_BYTES as u64;
pub(crate) const STORED_PIECE: u64 = PIECE + 16;
/// Headers longer than this are refused; one of 64 recipients has 10 KiB.
pub(crate) const MAX_HEADER_BYTES: usize = 64 << 10;
/// What follows a header's last line.
const NONCE_BYTES: usize = 16;

/// Encrypts one stream: what a [`crate::Sealer`] hands out goes in, what is stored comes out.
///
/// Memory: 256 KiB, and 64 MiB for a moment at the start where there is a passphrase. The start
/// blocks for a fraction of a second then.
pub struct Encrypter {
    writer: StreamWriter<Shared>,
    shared: Shared,
    stored: Digester,
}

impl Encrypter {
    /// An encrypter for one stream.
    pub fn new(recipients: &Recipients) -> Result<Self, SealError> {
        let shared = Shared::default();
        let encryptor = recipients
            .encryptor()
            .map_err(|error| SealError::Encryption(io::Error::other(error.to_string())))?;
        let writer = encryptor.wrap_output(shared.clone()).map_err(SealError::Encryption)?;
        Ok(Self { writer, shared, stored: Digester::new() })
    }

    /// Takes `chunk`, and hands to `out` whatever is ready to be stored.
    pub fn push(&mut self, chunk: &[u8], out: &mut dyn FnMut(Bytes)) -> Result<(), SealError> {
        for piece in chunk.chunks(PIECE_BYTES) {
            self.writer.write_all(piece).map_err(SealError::Encryption)?;
            emit(&self.shared, &mut self.stored, out);
        }
        Ok(())
    }

    /// Ends the stream, handing the rest to `out`; gives what was stored.
    pub fn finish(self, out: &mut dyn FnMut(Bytes)) -> Result<Digest, SealError> {
        let Self { writer, shared, mut stored } = self;
        writer.finish().map_err(SealError::Encryption)?;
        emit(&shared, &mut stored, out);
        Ok(stored.finish())
    }
}

fn emit(shared: &Shared, stored: &mut Digester, out: &mut dyn FnMut(Bytes)) {
    let bytes = shared.take();
    if !bytes.is_empty() {
        stored.update(&bytes);
        out(bytes.into());
    }
}

impl std::fmt::Debug for Encrypter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encrypter(…)")
    }
}

/// Why an encrypted stream gives nothing.
#[derive(Debug)]
pub(crate) enum CryptError {
    /// The keys do not open it; its bytes may be right.
    Key(String),
    /// Its bytes are not what age wrote.
    Corrupt(String),
}

/// Undoes an [`Encrypter`].
pub(crate) enum Decrypter {
    /// Collects the header.
    Header {
        identities: Identities,
        head: Vec<u8>,
    },
    Body {
        reader: Box<StreamReader<Feed>>,
        feed: Feed,
    },
    /// It cannot be opened; the rest is passed over.
    Closed,
}

impl Decrypter {
    pub(crate) fn new(identities: Identities) -> Self {
        Self::Header { identities, head: Vec::new() }
    }

    /// Takes stored bytes, and hands on what they hold while `out` wants more.
    pub(crate) fn push(
        &mut self,
        chunk: &[u8],
        out: &mut dyn FnMut(Bytes) -> bool,
    ) -> Result<(), CryptError> {
        match self {
            Self::Header { identities, head } => {
                head.extend_from_slice(chunk);
                let Some(end) = header_end(head) else {
                    if head.len() <= MAX_HEADER_BYTES {
                        return Ok(());
                    }
                    *self = Self::Closed;
                    return Err(CryptError::Corrupt("its header does not end".into()));
                };
                if head.len() < end {
                    return Ok(());
                }
                let (identities, head) = (std::mem::take(identities), std::mem::take(head));
                *self = Self::Closed;
                let feed = Feed::default();
                let reader = open(&head[..end], &feed, &identities)?;
                *self = Self::Body { reader: Box::new(reader), feed };
                self.push(&head[end..], out)
            }
            Self::Body { reader, feed } => {
                for piece in chunk.chunks(PIECE_BYTES) {
                    feed.put(piece);
                    if !drain(reader, out)? {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Self::Closed => Ok(()),
        }
    }

    /// Hands on what is left. The stream must have come to its own end.
    pub(crate) fn finish(self, out: &mut dyn FnMut(Bytes) -> bool) -> Result<(), CryptError> {
        match self {
            Self::Header { .. } => Err(CryptError::Corrupt("its header is cut".into())),
            Self::Body { mut reader, feed } => {
                feed.end();
                drain(&mut reader, out).map(|_| ())
            }
            Self::Closed => Ok(()),
        }
    }
}

/// Where the header with its nonce ends, once its last line is there.
pub(crate) fn header_end(head: &[u8]) -> Option<usize> {
    let line = head.windows(5).position(|window| window == b"\n--- ")? + 1;
    let length = head[line..].iter().position(|byte| *byte == b'\n')?;
    Some(line + length + 1 + NONCE_BYTES)
}

pub(crate) fn open(
    head: &[u8],
    feed: &Feed,
    identities: &Identities,
) -> Result<StreamReader<Feed>, CryptError> {
    feed.put(head);
    let opened = Decryptor::new(feed.clone()).and_then(|decryptor| {
        let all = identities.all();
        decryptor.decrypt(all.iter().map(|one| &**one as &dyn age::Identity))
    });
    opened.map_err(|error| match error {
        DecryptError::NoMatchingKeys
        | DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed => {
            CryptError::Key("it is encrypted to another key".into())
        }
        DecryptError::ExcessiveWork { required, .. } => CryptError::Key(format!(
            "its passphrase takes more work than is agreed to here (2^{required}): use `age -d`"
        )),
        other => CryptError::Corrupt(other.to_string()),
    })
}

/// Reads until the feed is empty; gives whether more is wanted.
pub(crate) fn drain(
    reader: &mut StreamReader<Feed>,
    out: &mut dyn FnMut(Bytes) -> bool,
) -> Result<bool, CryptError> {
    loop {
        let mut buffer = vec![0; PIECE_BYTES];
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) => {
                buffer.truncate(read);
                if !out(buffer.into()) {
                    return Ok(false);
                }
            }
            // The reader keeps what it has and goes on from there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(CryptError::Corrupt(error.to_string())),
        }
    }
}

impl std::fmt::Debug for Decrypter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header { .. } => "Header",
            Self::Body { .. } => "Body",
            Self::Closed => "Closed",
        })
    }
}

/// What the library has written and nobody has taken.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came and the library has not read yet.
#[derive(Clone, Default)]
pub(crate) struct Feed(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    /// Where they begin in the stream.
    at: u64,
    ended: bool,
}

impl Feed {
    pub(crate) fn put(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.extend(bytes);
    }

    pub(crate) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes.is_empty() && !waiting.ended && !buffer.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = waiting.bytes.read(buffer)?;
        waiting.at += read as u64;
        Ok(read)
    }
}

/// What is put after seeking is what lies there.
impl Seek for Feed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match to {
            SeekFrom::Start(at) => waiting.at = at,
            SeekFrom::Current(0) => {}
            SeekFrom::Current(_) | SeekFrom::End(_) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        Ok(waiting.at)
    }
}
