//! The file `config`: what a repository is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Id, RepositoryError};

/// Versions of the format. New repositories are of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// Nothing is compressed.
    V1,
    /// Blobs, indexes, snapshots and locks are compressed.
    #[default]
    V2,
}

/// What a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    version: u64,
    /// The repository's own name; random.
    pub id: Id,
    /// The polynomial by which files are cut, in hex.
    chunker_polynomial: String,
    /// What others wrote there.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Config {
    /// The config of a new repository.
    pub fn new(version: Version, id: Id, polynomial: u64) -> Self {
        let version = match version {
            Version::V1 => 1,
            Version::V2 => 2,
        };
        let chunker_polynomial = format!("{polynomial:x}");
        Self { version, id, chunker_polynomial, other: Map::new() }
    }

    /// Reads the plain bytes of the file; a version that we do not know is refused.
    pub fn parse(json: &[u8]) -> Result<Self, RepositoryError> {
        let config: Self =
            serde_json::from_slice(json).map_err(|e| RepositoryError::malformed("config", e))?;
        config.version()?;
        config.polynomial()?;
        Ok(config)
    }

    /// As it is stored, before sealing.
    pub fn to_json(&self) -> Result<Vec<u8>, RepositoryError> {
        serde_json::to_vec(self).map_err(|e| RepositoryError::Internal(e.to_string()))
    }

    /// Which version of the format it is.
    pub fn version(&self) -> Result<Version, RepositoryError> {
        match self.version {
            1 => Ok(Version::V1),
            2 => Ok(Version::V2),
            other => Err(RepositoryError::Version(other)),
        }
    }

    /// The polynomial by which files are cut; bit `n` is the coefficient of x^n.
    pub fn polynomial(&self) -> Result<u64, RepositoryError> {
        u64::from_str_radix(&self.chunker_polynomial, 16)
            .map_err(|e| RepositoryError::malformed("config", format!("the polynomial: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_as_restic_writes_it() {
        let json = br#"{"version":2,"id":"5956a3f67a6230d4a92cefb29529f10196c7d92582ec305fd71ff6d331d6271b","chunker_polynomial":"25b468838dcb75"}"#;
        let config = Config::parse(json).unwrap();
        assert_eq!(config.version().unwrap(), Version::V2);
        assert_eq!(config.polynomial().unwrap(), 0x25_b468_838d_cb75);
        assert_eq!(config.to_json().unwrap(), json);
        let later = String::from_utf8(json.to_vec()).unwrap().replace(":2,", ":3,");
        assert!(matches!(Config::parse(later.as_bytes()), Err(RepositoryError::Version(3))));
    }
}
