//! Sealing: AES-256 in counter mode, and Poly1305-AES over what comes of it.
//!
//! Sealed bytes are `nonce (16) || ciphertext || MAC (16)`.

use aes::{
    Aes128, Aes256, Block,
    cipher::{
        BlockCipherEncrypt as _, InnerIvInit as _, KeyInit as _, StreamCipher as _,
        StreamCipherCoreWrapper,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use poly1305::{Poly1305, universal_hash::UniversalHash as _};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{RepositoryError, Surroundings};

/// How many bytes precede the ciphertext.
pub const NONCE_BYTES: usize = 16;
/// How many bytes follow the ciphertext.
pub const MAC_BYTES: usize = 16;
/// How much longer sealed bytes are.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + MAC_BYTES;

/// How much is encrypted, and then goes into the MAC while it is in the processor's cache, in
/// bytes: a multiple of what either takes at once.
const PIECE_BYTES: usize = 16 << 10;

type Cipher = StreamCipherCoreWrapper<ctr::CtrCore<Aes256, ctr::flavors::Ctr128BE>>;

/// The bits of a Poly1305 key that have to be clear.
const R_MASK: [u8; 16] =
    [255, 255, 255, 15, 252, 255, 255, 15, 252, 255, 255, 15, 252, 255, 255, 15];

/// What seals and opens everything in a repository. Cheap to use from many threads at once.
#[derive(Clone)]
pub struct MasterKey {
    raw: RawKey,
    cipher: Aes256,
    mac: Aes128,
}

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct RawKey {
    encrypt: [u8; 32],
    k: [u8; 16],
    r: [u8; 16],
}

/// The bytes were changed, or sealed with another key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the MAC does not fit")]
pub struct Forged;

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// The key in 64 bytes: 32 to encrypt, 16 and 16 for the MAC.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut raw = RawKey { encrypt: [0; 32], k: [0; 16], r: [0; 16] };
        raw.encrypt.copy_from_slice(&bytes[..32]);
        raw.k.copy_from_slice(&bytes[32..48]);
        for (to, (from, mask)) in raw.r.iter_mut().zip(bytes[48..].iter().zip(R_MASK)) {
            *to = from & mask;
        }
        Self { cipher: Aes256::new(&raw.encrypt.into()), mac: Aes128::new(&raw.k.into()), raw }
    }

    /// A new random key.
    pub fn generate(surroundings: &Surroundings) -> Result<Self, RepositoryError> {
        let mut bytes = surroundings.random::<64>()?;
        let key = Self::from_bytes(&bytes);
        bytes.zeroize();
        Ok(key)
    }

    /// Appends `plain`, sealed, to `to`. A `nonce` must be random, and used once.
    pub fn seal_into(&self, nonce: [u8; NONCE_BYTES], plain: &[u8], to: &mut Vec<u8>) {
        to.reserve(plain.len() + OVERHEAD_BYTES);
        to.extend_from_slice(&nonce);
        let (mut cipher, mut mac) = (self.cipher(nonce), self.mac(nonce));
        let mut pieces = plain.chunks_exact(PIECE_BYTES);
        for piece in &mut pieces {
            let text = encrypted(&mut cipher, piece, to);
            mac.update(Block::slice_as_chunks(text).0);
        }
        let text = encrypted(&mut cipher, pieces.remainder(), to);
        let mac = finished(mac, text);
        to.extend_from_slice(&mac);
    }

    /// `plain`, sealed.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        self.seal_into(nonce, plain, &mut sealed);
        sealed
    }

    /// Opens `sealed` where it lies; the plain bytes are what is returned.
    pub fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_BYTES>().ok_or(Forged)?;
        let (text, mac) = rest.split_last_chunk_mut::<MAC_BYTES>().ok_or(Forged)?;
        let wanted = finished(self.mac(*nonce), text);
        // Every byte is looked at, so that the time tells nothing.
        if wanted.iter().zip(mac.iter()).fold(0, |sum, (a, b)| sum | (a ^ b)) != 0 {
            return Err(Forged);
        }
        self.cipher(*nonce).apply_keystream(text);
        Ok(text)
    }

    /// The plain bytes of `sealed`.
    pub fn open(&self, mut sealed: Vec<u8>) -> Result<Vec<u8>, Forged> {
        let length = self.open_in_place(&mut sealed)?.len();
        sealed.copy_within(NONCE_BYTES..NONCE_BYTES + length, 0);
        sealed.truncate(length);
        Ok(sealed)
    }

    fn cipher(&self, nonce: [u8; NONCE_BYTES]) -> Cipher {
        Cipher::from_core(ctr::CtrCore::inner_iv_init(self.cipher.clone(), &nonce.into()))
    }

    fn mac(&self, nonce: [u8; NONCE_BYTES]) -> Poly1305 {
        let mut block = Block::from(nonce);
        self.mac.encrypt_block(&mut block);
        let mut key = [0; 32];
        key[..16].copy_from_slice(&self.raw.r);
        key[16..].copy_from_slice(&block);
        let mac = Poly1305::new(&key.into());
        key.zeroize();
        mac
    }

    /// The key as it lies, sealed with a password's key, in a key file.
    pub(crate) fn to_json(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, RepositoryError> {
        let b64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let json = KeyJson {
            mac: MacJson { k: b64(&self.raw.k), r: b64(&self.raw.r) },
            encrypt: b64(&self.raw.encrypt),
        };
        let told = serde_json::to_vec(&json);
        told.map(Into::into).map_err(|e| RepositoryError::Internal(e.to_string()))
    }

    pub(crate) fn from_json(json: &[u8]) -> Result<Self, RepositoryError> {
        let bad =
            |how: &dyn ToString| RepositoryError::malformed("the master key", how.to_string());
        let json: KeyJson = serde_json::from_slice(json).map_err(|e| bad(&e))?;
        let mut bytes = [0; 64];
        let parts = [(&json.encrypt, 0..32), (&json.mac.k, 32..48), (&json.mac.r, 48..64)];
        for (text, to) in parts {
            let part = BASE64_STANDARD.decode(text).map_err(|e| bad(&e))?;
            if part.len() != to.len() {
                return Err(bad(&"a part has a wrong length"));
            }
            bytes[to].copy_from_slice(&part);
        }
        let key = Self::from_bytes(&bytes);
        bytes.zeroize();
        Ok(key)
    }
}

/// Appends `plain`, encrypted, to `to`; gives what was appended.
fn encrypted<'a>(cipher: &mut Cipher, plain: &[u8], to: &'a mut Vec<u8>) -> &'a [u8] {
    let from = to.len();
    to.extend_from_slice(plain);
    let text = &mut to[from..];
    cipher.apply_keystream(text);
    text
}

/// The MAC once `rest` has followed. Four blocks at once go a quicker way than one by one.
fn finished(mut mac: Poly1305, rest: &[u8]) -> [u8; MAC_BYTES] {
    let (most, last) = rest.split_at(rest.len() - rest.len() % (4 * MAC_BYTES));
    mac.update(Block::slice_as_chunks(most).0);
    mac.compute_unpadded(last).into()
}

#[derive(Serialize, Deserialize, ZeroizeOnDrop)]
struct KeyJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize, Zeroize)]
struct MacJson {
    k: String,
    r: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        let bytes: Vec<u8> = (0..64).collect();
        MasterKey::from_bytes(bytes.as_slice().try_into().unwrap())
    }

    /// The first of the examples in Bernstein's paper on Poly1305-AES.
    #[test]
    fn the_mac_is_poly1305_aes() {
        let mut bytes = [0; 64];
        bytes[32..48].copy_from_slice(&hex::decode("ec074c835580741701425b623235add6").unwrap());
        bytes[48..].copy_from_slice(&hex::decode("851fc40c3467ac0be05cc20404f3f700").unwrap());
        let nonce = hex::decode("fb447350c4e868c52ac3275cf9d4327e").unwrap();
        let mac = MasterKey::from_bytes(&bytes).mac(nonce.try_into().unwrap());
        let tag = finished(mac, &[0xf3, 0xf6]);
        assert_eq!(hex::encode(tag), "f4c633c3044fc145f84f335cb81953de");
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else() {
        let key = key();
        for length in [0, 1, 15, 16, 17, 63, 64, 65, 1000] {
            let plain: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let sealed = key.seal([7; 16], &plain);
            assert_eq!(sealed.len(), plain.len() + OVERHEAD_BYTES);
            assert_eq!(key.open(sealed.clone()).unwrap(), plain);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 0x10;
                assert_eq!(key.open(changed), Err(Forged), "byte {at} of {length}");
            }
            assert_eq!(key.open(sealed[1..].to_vec()), Err(Forged));
            assert_eq!(key.open(sealed[..sealed.len() - 1].to_vec()), Err(Forged));
        }
        assert_eq!(key.open(Vec::new()), Err(Forged));
    }

    #[test]
    fn pieces_are_sealed_as_one() {
        let key = key();
        for length in [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 77] {
            let plain: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut text = plain.clone();
            key.cipher([7; 16]).apply_keystream(&mut text);
            let tag: [u8; 16] = key.mac([7; 16]).compute_unpadded(&text).into();
            let sealed = key.seal([7; 16], &plain);
            assert_eq!(sealed[NONCE_BYTES..][..length], text, "{length}");
            assert_eq!(sealed[NONCE_BYTES + length..], tag, "{length}");
            assert_eq!(key.open(sealed).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn a_key_goes_through_json() {
        let again = MasterKey::from_json(&key().to_json().unwrap()).unwrap();
        assert_eq!(again.open(key().seal([1; 16], b"x")).unwrap(), b"x");
        assert_eq!(format!("{:?}", key()), "MasterKey(..)");
    }
}
