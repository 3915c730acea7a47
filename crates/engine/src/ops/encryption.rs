//! The encryption of a destination, as somebody describes it.

use std::collections::BTreeMap;

use artifact::{Identities, Recipients};
use model::{Destination, Fact};
use secrecy::{ExposeSecret as _, SecretString};

use super::destinations::DestinationDraft;
use crate::{
    FieldError,
    keyring::{ENCRYPTION, IDENTITY, PASSPHRASE, RECIPIENTS},
    wrong,
};

impl DestinationDraft {
    /// Makes a pair of keys where encryption is asked for and neither `current` nor the draft
    /// has any. The identity goes into the draft and is given to be shown once: whoever loses it
    /// and the catalog loses what is encrypted to it.
    pub fn generate_identity(&mut self, current: Option<&Destination>) -> Option<SecretString> {
        let is_asked = self.settings.get(ENCRYPTION).is_some_and(|value| value.trim() == "age");
        let has_recipients =
            self.settings.get(RECIPIENTS).is_some_and(|value| !value.trim().is_empty());
        let has_secret = [IDENTITY, PASSPHRASE].into_iter().any(|name| {
            let stored = current.is_some_and(|one| one.secrets.contains_key(name))
                && !self.forget_secrets.iter().any(|forgotten| forgotten == name);
            stored || given(&self.secrets, name).is_some()
        });
        if !is_asked || has_recipients || has_secret {
            return None;
        }
        let (identity, recipient) = Identities::generate();
        self.settings.insert(RECIPIENTS.to_owned(), recipient);
        self.secrets.insert(IDENTITY.to_owned(), identity.clone());
        Some(identity)
    }
}

/// The secret that a draft gives anew.
fn given<'a>(secrets: &'a BTreeMap<String, SecretString>, name: &str) -> Option<&'a SecretString> {
    secrets.get(name).filter(|secret| !secret.expose_secret().is_empty())
}

/// Checks the encryption's settings against each other, and completes the recipients from a new
/// identity.
pub(super) fn settle(
    destination: &mut Destination,
    secrets: &BTreeMap<String, SecretString>,
    errors: &mut Vec<FieldError>,
) {
    let identities = given(secrets, IDENTITY).and_then(|text| {
        let mut identities = Identities::default();
        match identities.add(text) {
            Ok(()) => Some(identities),
            Err(error) => {
                errors.push(FieldError::new(format!("secrets.{IDENTITY}"), wrong::of_key(error)));
                None
            }
        }
    });
    match destination.settings.get(ENCRYPTION).map(String::as_str) {
        Some("age") => {}
        Some("none") | None => {
            destination.settings.remove(ENCRYPTION);
            return;
        }
        Some(_) => {
            let field = format!("settings.{ENCRYPTION}");
            return errors.push(FieldError::new(field, Fact::NoneOrAge {}));
        }
    }
    let passphrase = given(secrets, PASSPHRASE).is_some();
    if let Some(text) = destination.settings.get(RECIPIENTS) {
        match Recipients::parse(text) {
            Err(error) => {
                errors
                    .push(FieldError::new(format!("settings.{RECIPIENTS}"), wrong::of_key(error)));
            }
            Ok(recipients) => {
                if identities.is_some_and(|own| !own.opens(&recipients)) {
                    let field = format!("secrets.{IDENTITY}");
                    errors.push(FieldError::new(field, Fact::OpensNothing {}));
                }
            }
        }
        if passphrase {
            let field = format!("secrets.{PASSPHRASE}");
            errors.push(FieldError::new(field, Fact::RecipientsOrPassphrase {}));
        }
    } else if let Some(recipients) = identities.and_then(|own| own.recipients()) {
        let text = recipients.text().unwrap_or_default();
        destination.settings.insert(RECIPIENTS.to_owned(), text);
    } else if !passphrase && !destination.secrets.contains_key(PASSPHRASE) {
        let field = format!("settings.{RECIPIENTS}");
        errors.push(FieldError::new(field, Fact::GiveEncryption {}));
    }
}
