//! The recovery key: one age identity, made once, that opens every copy of the catalog.
//!
//! It lies sealed in the catalog, and beside the local copies, where this machine's own secret key
//! opens it when the catalog is damaged.

use std::path::Path;

use artifact::{Identities, Recipients};
use jiff::Timestamp;
use model::SealedSecret;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError, Vault, vault::Purpose, wrong};

const SETTING: &str = "recovery_key";
/// Its name in the folder of local copies.
pub(crate) const FILE: &str = "recovery.key";

/// The key as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its public half.
    pub(crate) recipient: String,
    sealed: SealedSecret,
    pub(crate) made_at: Timestamp,
}

impl Kept {
    /// The secret half.
    pub(crate) fn identity(&self, vault: &Vault) -> Result<SecretString, EngineError> {
        Ok(vault.open(Purpose::RecoveryKey, &self.sealed)?)
    }

    /// What opens copies.
    pub(crate) fn identities(&self, vault: &Vault) -> Result<Identities, EngineError> {
        identities(&self.identity(vault)?)
    }

    pub(crate) fn recipients(&self) -> Result<Recipients, EngineError> {
        Recipients::parse(&self.recipient).map_err(|error| EngineError::damaged(error.to_string()))
    }

    /// What stands for it in names.
    pub(crate) fn mark(&self) -> Result<String, EngineError> {
        Ok(mark_of(&self.recipients()?))
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what lies beside local copies.
    pub(crate) fn beside(folder: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }
}

/// An identity as people enter it.
pub(crate) fn identities(text: &SecretString) -> Result<Identities, EngineError> {
    let mut all = Identities::default();
    all.add(text).map_err(|error| EngineError::invalid("key", wrong::of_key(error)))?;
    Ok(all)
}

/// The beginning of a recipient's fingerprint.
pub(crate) fn mark_of(recipients: &Recipients) -> String {
    let all = recipients.fingerprints();
    let hex = all.first().map(|one| one.trim_start_matches("sha256:")).unwrap_or_default();
    hex.chars().take(16).collect()
}

impl Engine {
    /// The recovery key, made where there is none.
    pub(crate) async fn recovery_key(&self) -> Result<Kept, EngineError> {
        let damaged = |error: serde_json::Error| {
            EngineError::damaged(format!("the recovery key in the catalog: {error}"))
        };
        if let Some(text) = self.0.catalog.setting(SETTING).await? {
            return serde_json::from_str(&text).map_err(damaged);
        }
        let (identity, recipient) = Identities::generate();
        let sealed = self.seal(Purpose::RecoveryKey, &identity);
        let kept = Kept { recipient, sealed, made_at: self.now() };
        let text = self.0.catalog.init_setting(SETTING, &kept.to_text()).await?;
        serde_json::from_str(&text).map_err(damaged)
    }
}
