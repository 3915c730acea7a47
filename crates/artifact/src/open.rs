//! Stored bytes in, plain bytes out, and proof that they are the ones.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    Digest, Identities, Method,
    crypt::{CryptError, Decrypter},
    decode::{DecodeError, Decoder},
    digest::Digester,
    manifest::Encryption,
};

/// Why stored bytes are not what the manifest says. The bytes are at fault, or the way they
/// came: read them again once before calling the snapshot damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A stored object ended early.
    #[error("object {part} ended after {actual_bytes} of {expected_bytes} bytes")]
    Short {
        /// Which object, from 0.
        part: usize,
        /// Size in the manifest.
        expected_bytes: u64,
        /// Size found.
        actual_bytes: u64,
    },
    /// More bytes are stored than the manifest says.
    #[error("more bytes are stored than the manifest says")]
    Long,
    /// A stored object has other bytes than were written.
    #[error("object {part} is damaged: its SHA-256 differs from the manifest")]
    Stored {
        /// Which object, from 0.
        part: usize,
    },
    /// The compressed stream is damaged, cut, or followed by something else.
    #[error("its {method} stream is damaged: {reason}")]
    Stream {
        /// The compression.
        method: Method,
        /// What the decompressor says.
        reason: String,
    },
    /// The keys at hand do not open it; from `finish`, the stored objects are whole.
    #[error("it cannot be decrypted: {reason}")]
    Locked {
        /// Why.
        reason: String,
    },
    /// The encrypted stream is damaged, cut, or followed by something else.
    #[error("its age stream is damaged: {reason}")]
    Encrypted {
        /// What age says.
        reason: String,
    },
    /// It decompresses to more than the manifest says; reading stopped there.
    #[error("it decompresses to more than the {expected_bytes} bytes of the manifest")]
    TooLarge {
        /// Size in the manifest.
        expected_bytes: u64,
    },
    /// It decompresses to other bytes than the source sent.
    #[error(
        "it decompresses to other bytes than the source sent ({actual_bytes} of {expected_bytes} bytes)"
    )]
    Plain {
        /// Size in the manifest.
        expected_bytes: u64,
        /// Size found.
        actual_bytes: u64,
    },
}

impl OpenError {
    /// Whether the same bytes may do better. Never: reading them anew may.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Undoes a [`crate::Sealer`] and a [`crate::Encrypter`] and verifies: sizes and SHA-256 as stored and as the source sent
/// them, and the compressor's own framing. What it hands out counts only after `finish`.
///
/// Without the right keys every stored byte is still read and checked; `finish` then gives
/// [`OpenError::Locked`], and only where nothing worse was found.
///
/// Memory: a zstd window (2 MiB for what we write up to level 8, at most 8 MiB) and 128 KiB.
#[derive(Debug)]
pub struct Opener {
    method: Method,
    decoder: Decoder,
    decrypter: Option<Decrypter>,
    locked: Option<String>,
    expected_plain: Digest,
    plain: Digester,
    parts: VecDeque<Digest>,
    part: usize,
    stored: Digester,
}

impl Opener {
    /// An opener for the concatenation of `parts`, which must give `plain`.
    pub fn new(
        method: Method,
        plain: Digest,
        parts: impl IntoIterator<Item = Digest>,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            method,
            decoder: Decoder::new(method).map_err(|error| stream(method, &error))?,
            decrypter: None,
            locked: None,
            expected_plain: plain,
            plain: Digester::new(),
            parts: parts.into_iter().collect(),
            part: 0,
            stored: Digester::new(),
        })
    }

    /// The same for objects that are encrypted with `encryption`.
    pub fn encrypted(self, encryption: Encryption, identities: &Identities) -> Self {
        match encryption {
            Encryption::None => self,
            Encryption::Age if identities.is_empty() => {
                Self { locked: Some("there is no age identity or passphrase".into()), ..self }
            }
            Encryption::Age => Self { decrypter: Some(Decrypter::new(identities.clone())), ..self },
        }
    }

    /// Why the keys at hand do not open it, as soon as that is known.
    pub fn locked(&self) -> Option<OpenError> {
        self.locked.clone().map(|reason| OpenError::Locked { reason })
    }

    /// Takes stored bytes in order, and hands plain ones to `out`.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        while !chunk.is_empty() {
            let Some(expected) = self.parts.front() else { return Err(OpenError::Long) };
            let room = expected.size_bytes - self.stored.size_bytes();
            let take = usize::try_from(room).map_or(chunk.len(), |room| room.min(chunk.len()));
            if take > 0 {
                let bytes = chunk.split_to(take);
                self.stored.update(&bytes);
                self.decode(bytes, out)?;
            }
            self.close_full_part()?;
        }
        Ok(())
    }

    /// Ends the stream, handing the rest to `out`: an error unless everything matched.
    pub fn finish(mut self, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        // Objects of no bytes are closed by nobody else.
        while self.parts.front().is_some_and(|p| p.size_bytes == self.stored.size_bytes()) {
            self.close_full_part()?;
        }
        if let Some(expected) = self.parts.front() {
            return Err(OpenError::Short {
                part: self.part,
                expected_bytes: expected.size_bytes,
                actual_bytes: self.stored.size_bytes(),
            });
        }
        if let Some(decrypter) = self.decrypter.take() {
            let mut held = Vec::new();
            let ended = decrypter.finish(&mut |bytes| {
                held.push(bytes);
                true
            });
            self.note(ended)?;
            for bytes in held {
                self.decompress(bytes, out)?;
            }
        }
        if let Some(reason) = self.locked {
            return Err(OpenError::Locked { reason });
        }
        let Self { method, decoder, expected_plain: expected, mut plain, .. } = self;
        let mut fits = true;
        decoder
            .finish(&mut |bytes| deliver(&mut plain, expected.size_bytes, &mut fits, bytes, out))
            .map_err(|error| stream(method, &error))?;
        if !fits {
            return Err(OpenError::TooLarge { expected_bytes: expected.size_bytes });
        }
        let actual = plain.finish();
        if actual != expected {
            return Err(OpenError::Plain {
                expected_bytes: expected.size_bytes,
                actual_bytes: actual.size_bytes,
            });
        }
        Ok(())
    }

    fn decode(&mut self, bytes: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        if self.locked.is_some() {
            return Ok(());
        }
        let Some(mut decrypter) = self.decrypter.take() else {
            return self.decompress(bytes, out);
        };
        let mut failure = None;
        let decrypted = decrypter.push(&bytes, &mut |bytes| {
            failure = self.decompress(bytes, out).err();
            failure.is_none()
        });
        self.decrypter = Some(decrypter);
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.note(decrypted)
    }

    /// A stream that the keys do not open is read on for its checksum; a damaged one is not.
    fn note(&mut self, result: Result<(), CryptError>) -> Result<(), OpenError> {
        match result {
            Ok(()) => Ok(()),
            Err(CryptError::Key(reason)) => {
                self.locked = Some(reason);
                Ok(())
            }
            Err(CryptError::Corrupt(reason)) => Err(OpenError::Encrypted { reason }),
        }
    }

    fn decompress(&mut self, bytes: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), OpenError> {
        let (plain, limit) = (&mut self.plain, self.expected_plain.size_bytes);
        let mut fits = true;
        self.decoder
            .push(bytes, &mut |bytes| deliver(plain, limit, &mut fits, bytes, out))
            .map_err(|error| stream(self.method, &error))?;
        if fits { Ok(()) } else { Err(OpenError::TooLarge { expected_bytes: limit }) }
    }

    fn close_full_part(&mut self) -> Result<(), OpenError> {
        let Some(expected) = self.parts.front().copied() else { return Ok(()) };
        if self.stored.size_bytes() < expected.size_bytes {
            return Ok(());
        }
        if std::mem::take(&mut self.stored).finish() != expected {
            return Err(OpenError::Stored { part: self.part });
        }
        self.parts.pop_front();
        self.part += 1;
        Ok(())
    }
}

/// Hands on `bytes` while they fit into what the manifest declares.
fn deliver(
    plain: &mut Digester,
    limit_bytes: u64,
    fits: &mut bool,
    bytes: Bytes,
    out: &mut impl FnMut(Bytes),
) -> bool {
    *fits = *fits && plain.size_bytes().saturating_add(bytes.len() as u64) <= limit_bytes;
    if *fits {
        plain.update(&bytes);
        out(bytes);
    }
    *fits
}

pub(crate) fn stream(method: Method, error: &DecodeError) -> OpenError {
    OpenError::Stream { method, reason: error.to_string() }
}
