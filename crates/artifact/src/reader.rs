//! Compressed and encrypted files of ours as a reader, where nothing is known of them beforehand.

use std::io::{self, BufReader, Read};

use age::{DecryptError, Decryptor};

use crate::{Identities, OpenError};

/// Reads a zstd stream inside an age file. What is cut or damaged ends in an error, never early.
/// Blocks where `inner` does.
pub fn unseal<R: Read + 'static>(
    inner: R,
    identities: &Identities,
) -> Result<Box<dyn Read>, OpenError> {
    let damaged =
        |error: &dyn std::fmt::Display| OpenError::Encrypted { reason: error.to_string() };
    let decryptor = Decryptor::new(inner).map_err(|error| damaged(&error))?;
    let all = identities.all();
    let opened = decryptor.decrypt(all.iter().map(|one| &**one as &dyn age::Identity));
    let plain = opened.map_err(|error| match error {
        DecryptError::NoMatchingKeys => {
            OpenError::Locked { reason: "it is encrypted to another key".to_owned() }
        }
        other => damaged(&other),
    })?;
    let stream = zstd::stream::Decoder::with_buffer(BufReader::new(plain))
        .map_err(|error| damaged(&error))?;
    Ok(Box::new(Whole(stream)))
}

/// Reads a zstd stream. What is cut or damaged ends in an error, never early. Blocks where `inner`
/// does.
pub fn decompress<R: Read + 'static>(inner: R) -> Result<Box<dyn Read>, OpenError> {
    let stream = zstd::stream::Decoder::new(inner)
        .map_err(|error| OpenError::Encrypted { reason: error.to_string() })?;
    Ok(Box::new(Whole(stream)))
}

/// Passes errors on with what they are about.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            io::Error::new(error.kind(), format!("the encrypted or compressed stream: {error}"))
        })
    }
}
