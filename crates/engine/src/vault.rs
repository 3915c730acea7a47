//! Secrets at rest: sealed under a key derived from `APP_SECRET_KEY`.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a random 192-bit nonce; the key comes from
//! the passphrase by HKDF-SHA256 (RFC 5869). What a secret is for is bound to it as associated
//! data, so that a token cannot be passed off as a password.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use model::SealedSecret;
use rand::{CryptoRng, RngExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

const VERSION: &str = "v1:";
const NONCE_LEN: usize = 24;

/// Shortest accepted `APP_SECRET_KEY`, in bytes.
pub const MIN_KEY_LEN: usize = 16;

/// Seals and opens secrets.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    secret_key: SecretString,
}

/// What a sealed secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An app's bearer token.
    AppToken,
    /// A destination's credential.
    DestinationSecret,
    /// A direct source's credential.
    SourceSecret,
    /// A credential of a channel for alerts.
    ChannelSecret,
    /// A user's second factor.
    Totp,
    /// A login between its password and its code, in the browser's keeping.
    HalfLogin,
    /// A login through another service, in the browser's keeping.
    ProviderLogin,
    /// The key that opens copies of the catalog.
    RecoveryKey,
    /// The known text that tells whether the key is the one the catalog was written with.
    KeyCheck,
}

/// A secret could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stored secret cannot be opened with the present APP_SECRET_KEY: put back the key the \
     catalog was written with, or enter the secret again"
)]
pub struct VaultError;

impl Vault {
    /// A vault whose key is derived from `secret_key`.
    pub fn new(secret_key: &SecretString) -> Self {
        let salt = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"backup-orchestrator");
        let pseudo_random = salt.extract(secret_key.expose_secret().as_bytes());
        let mut key = Zeroizing::new([0_u8; 32]);
        pseudo_random
            .expand(&[b"secrets at rest, v1"], ring::hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut *key))
            .expect("HKDF-SHA256 gives 32 bytes");
        let cipher = XChaCha20Poly1305::new((&*key).into());
        Self { cipher, secret_key: secret_key.clone() }
    }

    /// What the key was derived from: for the encrypted copy of the catalog alone.
    pub(crate) fn secret_key(&self) -> &SecretString {
        &self.secret_key
    }

    /// Seals `secret` for `purpose`.
    pub fn seal(
        &self,
        purpose: Purpose,
        secret: &SecretString,
        rng: &mut impl CryptoRng,
    ) -> SealedSecret {
        let nonce: [u8; NONCE_LEN] = rng.random();
        let sealed = self
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload { msg: secret.expose_secret().as_bytes(), aad: purpose.label() },
            )
            .expect("a secret is far below the cipher's length limit");
        let bytes = [nonce.as_slice(), &sealed].concat();
        SealedSecret::from_ciphertext(format!("{VERSION}{}", BASE64.encode(bytes)))
    }

    /// Opens what [`Self::seal`] made for the same `purpose`.
    pub fn open(
        &self,
        purpose: Purpose,
        sealed: &SealedSecret,
    ) -> Result<SecretString, VaultError> {
        let text = sealed.ciphertext().strip_prefix(VERSION).ok_or(VaultError)?;
        let bytes = BASE64.decode(text).map_err(|_| VaultError)?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(VaultError)?;
        let plain = self
            .cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: purpose.label() })
            .map_err(|_| VaultError)?;
        String::from_utf8(plain).map(SecretString::from).map_err(|_| VaultError)
    }
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::AppToken => b"app token",
            Self::DestinationSecret => b"destination secret",
            Self::SourceSecret => b"source secret",
            Self::ChannelSecret => b"channel secret",
            Self::Totp => b"totp",
            Self::HalfLogin => b"half login",
            Self::ProviderLogin => b"provider login",
            Self::RecoveryKey => b"recovery key",
            Self::KeyCheck => b"key check",
        }
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (Vault, SealedSecret) {
        let vault = Vault::new(&"a long enough secret key".into());
        let sealed = vault.seal(Purpose::AppToken, &"canary".into(), &mut rand::rng());
        (vault, sealed)
    }

    #[test]
    fn opens_what_it_sealed() {
        let (vault, sealed) = sealed();
        assert_eq!(vault.open(Purpose::AppToken, &sealed).unwrap().expose_secret(), "canary");
        assert!(!format!("{vault:?}{sealed:?}{}", sealed.ciphertext()).contains("canary"));
    }

    #[test]
    fn other_key_purpose_or_bytes_do_not_open() {
        let (vault, sealed) = sealed();
        assert!(vault.open(Purpose::DestinationSecret, &sealed).is_err());
        let other = Vault::new(&"another long secret key".into());
        assert!(other.open(Purpose::AppToken, &sealed).is_err());
        let mut text = sealed.ciphertext().to_owned();
        let last = if text.pop() == Some('A') { 'B' } else { 'A' };
        text.push(last);
        assert!(vault.open(Purpose::AppToken, &SealedSecret::from_ciphertext(text)).is_err());
    }
}
