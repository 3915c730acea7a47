//! What reads manifests and artifacts that somebody else wrote. The tests of `artifact` feed it too.

use artifact::{Digest, Manifest, Method, Opener};
use bytes::Bytes;

/// Most plain bytes that are asked for.
const MOST: u64 = 1 << 20;

/// A manifest that is read is written as it was read.
pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::from_bytes(bytes) {
        let written = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&written).unwrap(), manifest);
    }
}

/// Stored bytes, of which the first tells how they are compressed: never more comes out than was
/// said to be there, but for one buffer.
pub(crate) fn frames(bytes: &[u8]) {
    let Some((first, stored)) = bytes.split_first() else { return };
    let method = [Method::None, Method::Gzip, Method::Zstd][usize::from(*first) % 3];
    let plain = Digest { size_bytes: MOST, ..Digest::of(b"") };
    let Ok(mut opener) = Opener::new(method, plain, [Digest::of(stored)]) else { return };
    let mut given = 0;
    let mut take = |chunk: Bytes| given += chunk.len() as u64;
    for piece in stored.chunks(4096) {
        if opener.push(Bytes::copy_from_slice(piece), &mut take).is_err() {
            break;
        }
    }
    let _ = opener.finish(&mut take);
    assert!(given <= MOST + (1 << 20), "{given} bytes");
}
