//! Secrets as the catalog keeps them: sealed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret encrypted under `APP_SECRET_KEY` (text form of the ciphertext). The engine's vault
/// seals and opens it; nobody else can.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(String);

impl SealedSecret {
    /// Wraps a ciphertext that the vault has made.
    pub fn from_ciphertext(text: String) -> Self {
        Self(text)
    }

    /// The ciphertext, for the vault and the catalog.
    pub fn ciphertext(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret(…)")
    }
}
