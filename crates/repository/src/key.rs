//! Key files: the master key, sealed with what scrypt makes of a password.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::{MasterKey, RepositoryError, Surroundings};

/// Most memory that scrypt may take for a key file, in bytes.
const MAX_KDF_BYTES: u64 = 1 << 30;
/// Most times that scrypt may go through that memory.
const MAX_PASSES: u64 = 64;

/// How hard it is to guess a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kdf {
    /// scrypt's N, as a power of two.
    pub log_n: u8,
    /// scrypt's r.
    pub r: u32,
    /// scrypt's p.
    pub p: u32,
}

impl Default for Kdf {
    /// 32 MiB of memory, five times: about a third of a second.
    fn default() -> Self {
        Self { log_n: 15, r: 8, p: 5 }
    }
}

/// A key file as it lies in `keys/`, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyFile {
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    #[serde(default)]
    pub username: String,
    /// On which machine.
    #[serde(default)]
    pub hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

impl KeyFile {
    /// A key file that opens `master` with `password`. Slow on purpose.
    pub fn new(
        master: &MasterKey,
        password: &SecretString,
        kdf: Kdf,
        surroundings: &Surroundings,
    ) -> Result<Self, RepositoryError> {
        let salt = surroundings.random::<64>()?;
        let sealing = derive(password, kdf, &salt)?;
        let data = sealing.seal(surroundings.random()?, &master.to_json()?);
        Ok(Self {
            created: surroundings.now(),
            username: surroundings.username.clone(),
            hostname: surroundings.hostname.clone(),
            kdf: "scrypt".to_owned(),
            n: 1 << kdf.log_n,
            r: kdf.r,
            p: kdf.p,
            salt: BASE64_STANDARD.encode(salt),
            data: BASE64_STANDARD.encode(data),
        })
    }

    /// Reads a key file.
    pub fn parse(json: &[u8]) -> Result<Self, RepositoryError> {
        serde_json::from_slice(json).map_err(|e| RepositoryError::malformed("a key file", e))
    }

    /// As it is stored.
    pub fn to_json(&self) -> Result<Vec<u8>, RepositoryError> {
        serde_json::to_vec(self).map_err(|e| RepositoryError::Internal(e.to_string()))
    }

    /// The master key, if `password` is the one; `None` if it is not. Slow on purpose.
    pub fn open(&self, password: &SecretString) -> Result<Option<MasterKey>, RepositoryError> {
        let bad = |how: &str| RepositoryError::malformed("a key file", how);
        if self.kdf != "scrypt" {
            return Err(bad("its way to derive keys is not scrypt"));
        }
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return Err(bad("its scrypt parameters are none"));
        }
        let bytes = self.n.saturating_mul(128).saturating_mul(u64::from(self.r));
        if bytes > MAX_KDF_BYTES || u64::from(self.p) > MAX_PASSES {
            return Err(bad("its scrypt parameters take more than 1 GiB, or too long"));
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        let kdf = Kdf { log_n, r: self.r, p: self.p };
        let decode = |text| BASE64_STANDARD.decode(text).map_err(|e| bad(&e.to_string()));
        let sealing = derive(password, kdf, &decode(&self.salt)?)?;
        let Ok(mut json) = sealing.open(decode(&self.data)?) else { return Ok(None) };
        let master = MasterKey::from_json(&json);
        json.zeroize();
        master.map(Some)
    }
}

fn derive(password: &SecretString, kdf: Kdf, salt: &[u8]) -> Result<MasterKey, RepositoryError> {
    let bad = |how: String| RepositoryError::malformed("a key file", how);
    let mut bytes = [0; 64];
    let params = scrypt::Params::new(kdf.log_n, kdf.r, kdf.p, scrypt::Params::RECOMMENDED_LEN)
        .map_err(|e| bad(e.to_string()))?;
    scrypt::scrypt(password.expose_secret().as_bytes(), salt, &params, &mut bytes)
        .map_err(|e| bad(e.to_string()))?;
    let key = MasterKey::from_bytes(&bytes);
    bytes.zeroize();
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHT: Kdf = Kdf { log_n: 4, r: 8, p: 1 };

    fn file() -> KeyFile {
        let surroundings = Surroundings::of_this_process();
        let master = MasterKey::generate(&surroundings).unwrap();
        KeyFile::new(&master, &"right".to_owned().into(), LIGHT, &surroundings).unwrap()
    }

    #[test]
    fn only_the_password_opens() {
        let again = KeyFile::parse(&file().to_json().unwrap()).unwrap();
        assert!(again.open(&"right".to_owned().into()).unwrap().is_some());
        assert!(again.open(&"wrong".to_owned().into()).unwrap().is_none());
    }

    #[test]
    fn parameters_that_would_eat_the_machine_are_refused() {
        let password = "right".to_owned().into();
        for (n, r, p) in
            [(1 << 40, 8, 1), (16, u32::MAX, 1), (16, 8, u32::MAX), (3, 8, 1), (0, 8, 1)]
        {
            let hostile = KeyFile { n, r, p, ..file() };
            assert!(hostile.open(&password).is_err(), "{n} {r} {p}");
        }
    }
}
