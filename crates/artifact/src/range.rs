//! A part of an artifact, from those stored bytes that it takes.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use crate::{
    Digester, Identities, Method, OpenError, Opener, Restart, Sha256,
    crypt::{CryptError, PIECE, PieceDecrypter, STORED_PIECE},
    decode::Decoder,
    manifest::{Encryption, ManifestArtifact},
    open::stream,
};

/// An artifact without restarts of this size or less is read and proven as a whole, in bytes.
const WHOLE_BYTES: u64 = 64 << 20;
/// How much is asked for at first to find an age header, in bytes.
const HEAD_BYTES: u64 = 4 << 10;

/// Reads a stretch of an artifact's plain bytes. It says what stored bytes it [needs], takes them,
/// and says again, until it needs nothing.
///
/// Frames are read as a whole and proven against the manifest, where it has their SHA-256; without
/// restarts, an artifact of at most 64 MiB as a whole. What was handed out counts only after
/// `finish`, which says whether it is proven.
///
/// [needs]: RangeOpener::needs
#[derive(Debug)]
pub struct RangeOpener {
    wanted: Range<u64>,
    /// Plain bytes up to here were seen.
    at: u64,
    /// What was asked for and has not come, in the concatenation of the stored objects.
    needs: Range<u64>,
    stored_bytes: u64,
    is_proven: bool,
    by: By,
}

#[derive(Debug)]
enum By {
    /// The whole artifact, as ever.
    Whole(Box<Opener>),
    Parts {
        decrypter: Option<PieceDecrypter>,
        /// Of the compressed stream, what is wanted.
        packed: Range<u64>,
        frames: Box<Frames>,
    },
}

/// Frames, from the one in which the stretch begins to the one in which it ends.
#[derive(Debug)]
struct Frames {
    method: Method,
    decoder: Decoder,
    left: VecDeque<Frame>,
    digester: Digester,
    /// Where the next byte is in the compressed stream.
    packed_at: u64,
    /// Plain bytes up to here have come, and may come.
    plain: Range<u64>,
}

#[derive(Debug, Clone)]
struct Frame {
    plain: Range<u64>,
    /// Without an end where that is the stream's.
    packed_end: Option<u64>,
    sha256: Option<Sha256>,
}

/// Whether what was read is what the manifest tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Every byte that it was made of has the right SHA-256.
    Proven,
    /// The manifest has no SHA-256 of a part.
    Unproven,
}

impl RangeOpener {
    /// A reader of the plain bytes `wanted` of `artifact`, as far as it has them.
    pub fn new(
        artifact: &ManifestArtifact,
        wanted: Range<u64>,
        identities: &Identities,
    ) -> Result<Self, OpenError> {
        let size = artifact.plain.size_bytes;
        let wanted = wanted.start.min(size)..wanted.end.min(size);
        let stored_bytes = artifact.objects.iter().map(|one| one.stored.size_bytes).sum();
        let method = artifact.compression;
        let is_whole = wanted == (0..size) || artifact.restarts.is_empty() && size <= WHOLE_BYTES;
        if is_whole {
            let parts = artifact.objects.iter().map(|object| object.stored);
            let opener = Opener::new(method, artifact.plain, parts)?
                .encrypted(artifact.encryption, identities);
            if let Some(locked) = opener.locked() {
                return Err(locked);
            }
            let by = By::Whole(Box::new(opener));
            let needs = 0..stored_bytes;
            return Ok(Self { wanted, at: 0, needs, stored_bytes, is_proven: true, by });
        }
        let (left, packed) = frames_of(artifact, &wanted);
        let decrypter = match artifact.encryption {
            Encryption::None => None,
            Encryption::Age if identities.is_empty() => {
                let reason = "there is no age identity or passphrase".into();
                return Err(OpenError::Locked { reason });
            }
            Encryption::Age => Some(PieceDecrypter::new(identities.clone())),
        };
        let needs = match (&decrypter, left.is_empty()) {
            (_, true) => 0..0,
            (Some(_), _) => 0..HEAD_BYTES.min(stored_bytes),
            (None, _) => packed.start..packed.end.min(stored_bytes),
        };
        let is_proven = left.iter().all(|frame| frame.sha256.is_some());
        let plain = left.front().map_or(0, |one| one.plain.start)
            ..left.back().map_or(0, |one| one.plain.end);
        let frames = Frames {
            method,
            decoder: Decoder::new(method).map_err(|error| stream(method, &error))?,
            left,
            digester: Digester::new(),
            packed_at: packed.start,
            plain: plain.clone(),
        };
        let by = By::Parts { decrypter, packed, frames: Box::new(frames) };
        Ok(Self { wanted, at: plain.start, needs, stored_bytes, is_proven, by })
    }

    /// The stored bytes that it needs next, counted through all objects in their order; `None`
    /// where it needs no more.
    pub fn needs(&self) -> Option<Range<u64>> {
        (!self.needs.is_empty()).then(|| self.needs.clone())
    }

    /// Takes the beginning of what it [`needs`](Self::needs), and hands what is wanted to `out`.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        let room = usize::try_from(self.needs.end - self.needs.start).unwrap_or(usize::MAX);
        let chunk = chunk.slice(..chunk.len().min(room));
        self.needs.start += chunk.len() as u64;
        let (wanted, at) = (&self.wanted, &mut self.at);
        let mut out = |bytes: Bytes| trim(wanted, at, bytes, out);
        match &mut self.by {
            By::Whole(opener) => opener.push(chunk, &mut out)?,
            By::Parts { decrypter: Some(decrypter), packed, .. } if !decrypter.is_open() => {
                if decrypter.open(&chunk).map_err(of_crypt)? {
                    let begins = decrypter.body_at();
                    let pieces = packed.start / PIECE..packed.end.div_ceil(PIECE);
                    let end = pieces.end.saturating_mul(STORED_PIECE).saturating_add(begins);
                    self.needs = begins + pieces.start * STORED_PIECE..end.min(self.stored_bytes);
                    decrypter.begin_at(pieces.start);
                } else if self.needs.is_empty() {
                    // A header of many recipients.
                    let read = self.needs.end;
                    self.needs = read..(read * 4).min(self.stored_bytes);
                }
            }
            By::Parts { decrypter: Some(decrypter), packed, frames } => {
                let mut failure = None;
                let pushed = decrypter.push(&chunk, &mut |at, bytes| {
                    failure = frames.unpack(within(packed, at, bytes), &mut out).err();
                    failure.is_none()
                });
                failure.map_or(Ok(()), Err)?;
                pushed.map_err(of_crypt)?;
            }
            By::Parts { decrypter: None, frames, .. } => frames.unpack(chunk, &mut out)?,
        }
        // Where nothing proves it, what is beyond is of no use.
        if !self.is_proven && self.at >= self.wanted.end {
            self.needs = 0..0;
        }
        Ok(())
    }

    /// Ends it: an error unless all that was needed came, and what can be proven is.
    pub fn finish(self, out: &mut impl FnMut(Bytes)) -> Result<Proof, OpenError> {
        if let Some(needs) = self.needs() {
            return Err(OpenError::Short {
                part: 0,
                expected_bytes: needs.end,
                actual_bytes: needs.start,
            });
        }
        let Self { wanted, mut at, by, is_proven, .. } = self;
        // Left in the middle where nothing after it could prove it.
        let is_done = wanted.is_empty() || !is_proven && at >= wanted.end;
        let mut out = |bytes: Bytes| trim(&wanted, &mut at, bytes, out);
        match by {
            By::Whole(opener) => opener.finish(&mut out)?,
            By::Parts { .. } if is_done => {}
            By::Parts { decrypter, packed, mut frames } => {
                if let Some(decrypter) = decrypter {
                    let mut failure = None;
                    let ended = decrypter.finish(&mut |at, bytes| {
                        failure = frames.unpack(within(&packed, at, bytes), &mut out).err();
                        failure.is_none()
                    });
                    failure.map_or(Ok(()), Err)?;
                    ended.map_err(of_crypt)?;
                }
                frames.finish(is_proven, &mut out)?;
            }
        }
        if at < wanted.end && !wanted.is_empty() {
            return Err(OpenError::Plain { expected_bytes: wanted.end, actual_bytes: at });
        }
        Ok(if is_proven { Proof::Proven } else { Proof::Unproven })
    }
}

/// The frames that hold `wanted`, and what of the compressed stream they take.
fn frames_of(artifact: &ManifestArtifact, wanted: &Range<u64>) -> (VecDeque<Frame>, Range<u64>) {
    let size = artifact.plain.size_bytes;
    if wanted.is_empty() {
        return (VecDeque::new(), 0..0);
    }
    if artifact.compression == Method::None {
        let frame = Frame { plain: wanted.clone(), packed_end: None, sha256: None };
        return (VecDeque::from([frame]), wanted.clone());
    }
    if artifact.restarts.is_empty() {
        let frame = Frame { plain: 0..size, packed_end: None, sha256: None };
        return (VecDeque::from([frame]), 0..u64::MAX);
    }
    let mut start = 0;
    let mut frames = VecDeque::new();
    for (at, restart) in artifact.restarts.iter().enumerate() {
        let next: Option<&Restart> = artifact.restarts.get(at + 1);
        let plain = restart.plain_offset..next.map_or(size, |next| next.plain_offset);
        if plain.end <= wanted.start || plain.start >= wanted.end {
            continue;
        }
        if frames.is_empty() {
            start = restart.packed_offset;
        }
        let packed_end = next.map(|next| next.packed_offset);
        frames.push_back(Frame { plain, packed_end, sha256: restart.sha256 });
    }
    let end = frames.back().and_then(|frame| frame.packed_end).unwrap_or(u64::MAX);
    (frames, start..end)
}

impl Frames {
    /// Takes bytes of the compressed stream.
    fn unpack(&mut self, mut bytes: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        while !bytes.is_empty() {
            let Some(frame) = self.left.front() else { return Err(OpenError::Long) };
            let room = frame.packed_end.map_or(u64::MAX, |end| end - self.packed_at);
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (end, has_sha256) = (frame.packed_end, frame.sha256.is_some());
            let part = bytes.split_to(room);
            self.packed_at += part.len() as u64;
            if has_sha256 {
                self.digester.update(&part);
            }
            let plain = &mut self.plain;
            self.decoder
                .push(part, &mut |bytes| deliver(plain, bytes, out))
                .map_err(|error| stream(self.method, &error))?;
            if self.plain.start > self.plain.end {
                return Err(OpenError::TooLarge { expected_bytes: self.plain.end });
            }
            if end == Some(self.packed_at) {
                self.prove()?;
            }
        }
        Ok(())
    }

    /// Proves the frame that has ended.
    fn prove(&mut self) -> Result<(), OpenError> {
        let found = std::mem::take(&mut self.digester).finish();
        match self.left.pop_front().and_then(|frame| frame.sha256) {
            Some(expected) if expected != found.sha256 => Err(OpenError::Stored { part: 0 }),
            _ => Ok(()),
        }
    }

    fn finish(mut self, is_proven: bool, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        if is_proven {
            // The last one, which ends with the stream.
            self.prove()?;
        }
        let Self { method, decoder, mut plain, left, .. } = self;
        let ended = decoder.finish(&mut |bytes| deliver(&mut plain, bytes, out));
        if !is_proven {
            return Ok(()); // It may have been left in the middle.
        }
        ended.map_err(|error| stream(method, &error))?;
        if left.is_empty() && plain.start == plain.end {
            return Ok(());
        }
        Err(OpenError::Plain { expected_bytes: plain.end, actual_bytes: plain.start })
    }
}

/// Counts and hands on; gives whether more may come.
fn deliver(plain: &mut Range<u64>, bytes: Bytes, out: &mut impl FnMut(Bytes)) -> bool {
    plain.start += bytes.len() as u64;
    if plain.start > plain.end {
        return false;
    }
    out(bytes);
    true
}

/// What of `bytes`, which begin at `at`, lies in `range`.
fn within(range: &Range<u64>, at: u64, bytes: Bytes) -> Bytes {
    let cut = |offset: u64| {
        usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len())
    };
    let (start, end) = (cut(range.start), cut(range.end));
    bytes.slice(start..end.max(start))
}

/// Hands on what of `bytes` is wanted.
fn trim(wanted: &Range<u64>, at: &mut u64, bytes: Bytes, out: &mut impl FnMut(Bytes)) {
    let length = bytes.len() as u64;
    let bytes = within(wanted, *at, bytes);
    *at += length;
    if !bytes.is_empty() {
        out(bytes);
    }
}

fn of_crypt(error: CryptError) -> OpenError {
    match error {
        CryptError::Key(reason) => OpenError::Locked { reason },
        CryptError::Corrupt(reason) => OpenError::Encrypted { reason },
    }
}
