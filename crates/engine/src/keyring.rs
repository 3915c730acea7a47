//! Who can read what is stored at a destination.
//!
//! A destination with the setting `encryption` = `age` is written to for its `age_recipients`, or
//! for whoever knows its `age_passphrase`. Its `age_identity` is needed to read only.

use artifact::{Identities, KeyError, Recipients};
use model::{Destination, Fact, Failure, FailureCode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Inner, vault::Purpose};

pub(crate) const ENCRYPTION: &str = "encryption";
pub(crate) const RECIPIENTS: &str = "age_recipients";
pub(crate) const IDENTITY: &str = "age_identity";
pub(crate) const PASSPHRASE: &str = "age_passphrase";

/// What to do where a key is missing.
pub(crate) const ADVICE: &str = "enter the age identity (or passphrase) of that time in the \
    destination's settings, or use `age -d` with it by hand";

/// Whether what is written there is encrypted from now on.
pub(crate) fn is_encrypted(destination: &Destination) -> bool {
    destination.settings.get(ENCRYPTION).is_some_and(|value| value == "age")
}

/// A failure that only the right key ends, never the destination's fault.
pub(crate) fn locked(destination: &Destination, why: &str) -> Failure {
    Failure::new(
        FailureCode::SecretUnreadable,
        format!(
            "`{}` is encrypted and cannot be decrypted here: {why}; {ADVICE}",
            destination.name
        ),
    )
}

impl Inner {
    /// To whom `destination` is written; `None` where it is not encrypted.
    pub(crate) fn recipients_of(
        &self,
        destination: &Destination,
    ) -> Result<Option<Recipients>, Failure> {
        if !is_encrypted(destination) {
            return Ok(None);
        }
        let wrong = |error: KeyError| {
            let (destination, why) = (destination.name.to_string(), error.to_string());
            Failure::new(FailureCode::DestinationConfig, Fact::EncryptionWrong { destination, why })
        };
        if let Some(text) = destination.settings.get(RECIPIENTS) {
            return Recipients::parse(text).map(Some).map_err(wrong);
        }
        let passphrase = self.key_of(destination, PASSPHRASE)?.ok_or_else(|| {
            let none = Fact::NoRecipients { destination: destination.name.to_string() };
            Failure::new(FailureCode::DestinationConfig, none)
        })?;
        Recipients::passphrase(passphrase).map(Some).map_err(wrong)
    }

    /// What opens the copies at `destination`, also those from before an edit; empty where it
    /// keeps no key.
    pub(crate) fn identities_of(&self, destination: &Destination) -> Result<Identities, Failure> {
        let mut identities = Identities::default();
        if let Some(text) = self.key_of(destination, IDENTITY)? {
            identities.add(&text).map_err(|error| locked(destination, &error.to_string()))?;
        }
        if let Some(text) = self.key_of(destination, PASSPHRASE)? {
            identities.add_passphrase(text);
        }
        Ok(identities)
    }

    fn key_of(
        &self,
        destination: &Destination,
        name: &str,
    ) -> Result<Option<SecretString>, Failure> {
        let Some(sealed) = destination.secrets.get(name) else { return Ok(None) };
        let opened = self.vault.open(Purpose::DestinationSecret, sealed).map_err(|_| {
            let (what, why) = (destination.name.to_string(), Fact::SecretLocked {}.into());
            Failure::new(FailureCode::SecretUnreadable, Fact::Of { what, why })
        })?;
        Ok((!opened.expose_secret().is_empty()).then_some(opened))
    }
}
