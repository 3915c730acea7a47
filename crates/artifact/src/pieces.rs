//! Pieces of an age stream from its middle.

use std::{
    fmt,
    io::{Seek as _, SeekFrom},
};

use age::stream::StreamReader;
use bytes::Bytes;

use crate::{
    Identities,
    crypt::{CryptError, Feed, MAX_HEADER_BYTES, PIECE, STORED_PIECE, drain, header_end, open},
};

/// Decrypts from any piece on, once it has seen the header.
pub(crate) struct PieceDecrypter {
    identities: Identities,
    head: Vec<u8>,
    body: Option<Body>,
}

struct Body {
    reader: Box<StreamReader<Feed>>,
    feed: Feed,
    /// Where the first piece begins in the stream.
    at: u64,
    piece: u64,
    is_placed: bool,
    held: Vec<u8>,
}

impl PieceDecrypter {
    pub(crate) fn new(identities: Identities) -> Self {
        Self { identities, head: Vec::new(), body: None }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.body.is_some()
    }

    /// Takes bytes of the header; gives whether it was whole.
    pub(crate) fn open(&mut self, chunk: &[u8]) -> Result<bool, CryptError> {
        self.head.extend_from_slice(chunk);
        let Some(end) = header_end(&self.head).filter(|end| *end <= self.head.len()) else {
            if self.head.len() <= MAX_HEADER_BYTES {
                return Ok(false);
            }
            return Err(CryptError::Corrupt("its header does not end".into()));
        };
        let feed = Feed::default();
        let reader = Box::new(open(&self.head[..end], &feed, &self.identities)?);
        let (at, held) = (end as u64, Vec::new());
        self.body = Some(Body { reader, feed, at, piece: 0, is_placed: true, held });
        Ok(true)
    }

    /// Where the first piece begins in the stream; 0 before it is open.
    pub(crate) fn body_at(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.at)
    }

    /// What is pushed next begins with this piece.
    pub(crate) fn begin_at(&mut self, piece: u64) {
        if let Some(body) = &mut self.body {
            (body.piece, body.is_placed) = (piece, piece == 0);
        }
    }

    /// Takes stored bytes, and hands on what they hold, with its place, while `out` wants more.
    pub(crate) fn push(
        &mut self,
        mut chunk: &[u8],
        out: &mut dyn FnMut(u64, Bytes) -> bool,
    ) -> Result<(), CryptError> {
        let Some(body) = &mut self.body else { return Ok(()) };
        let whole = usize::try_from(STORED_PIECE).unwrap_or(usize::MAX);
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(whole - body.held.len()));
            body.held.extend_from_slice(now);
            chunk = later;
            if body.held.len() == whole && !body.piece(out)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands on what is left: the last piece of the stream, which is shorter.
    pub(crate) fn finish(
        mut self,
        out: &mut dyn FnMut(u64, Bytes) -> bool,
    ) -> Result<(), CryptError> {
        match &mut self.body {
            None => Err(CryptError::Corrupt("its header is cut".into())),
            Some(body) if body.held.is_empty() => Ok(()),
            Some(body) => {
                body.feed.end();
                body.piece(out).map(|_| ())
            }
        }
    }
}

impl Body {
    fn piece(&mut self, out: &mut dyn FnMut(u64, Bytes) -> bool) -> Result<bool, CryptError> {
        self.feed.put(&std::mem::take(&mut self.held));
        let mut at = self.piece * PIECE;
        if !std::mem::replace(&mut self.is_placed, true) {
            // Into the piece and back: only then does the library not ask for the stream's end.
            for to in [at + 1, at] {
                let moved = self.reader.seek(SeekFrom::Start(to));
                moved.map_err(|error| CryptError::Corrupt(error.to_string()))?;
            }
        }
        self.piece += 1;
        drain(&mut self.reader, &mut |bytes| {
            let length = bytes.len() as u64;
            at += length;
            out(at - length, bytes)
        })
    }
}

impl fmt::Debug for PieceDecrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceDecrypter").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}
