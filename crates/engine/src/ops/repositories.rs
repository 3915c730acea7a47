//! Destinations that are repositories: as somebody describes them.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use model::{Destination, DestinationKind};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::destinations::DestinationDraft;
use crate::{
    FieldError, keyring,
    repositories::{LAYOUT, PASSWORD, REPOSITORY},
};

impl DestinationDraft {
    /// Makes a password where a repository is asked for and neither `current` nor the draft has
    /// one. It goes into the draft and is given to be shown once: whoever loses it and the catalog
    /// loses the repository.
    pub fn generate_password(&mut self, current: Option<&Destination>) -> Option<SecretString> {
        let is_asked = self.settings.get(LAYOUT).is_some_and(|value| value.trim() == REPOSITORY);
        let stored = current.is_some_and(|one| one.secrets.contains_key(PASSWORD));
        let given = self.secrets.get(PASSWORD).is_some_and(|word| !word.expose_secret().is_empty());
        if !is_asked || stored || given {
            return None;
        }
        let mut bytes = [0_u8; 24];
        rand::rng().fill_bytes(&mut bytes);
        let password = SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        self.secrets.insert(PASSWORD.to_owned(), password.clone());
        Some(password)
    }
}

/// Checks what makes a repository of it.
pub(super) fn settle(
    destination: &mut Destination,
    secrets: &BTreeMap<String, SecretString>,
    errors: &mut Vec<FieldError>,
) {
    match destination.settings.get(LAYOUT).map(String::as_str) {
        Some(REPOSITORY) => {}
        Some("objects") | None => {
            destination.settings.remove(LAYOUT);
            return;
        }
        Some(_) => {
            let message = "`objects` or `repository`";
            return errors.push(FieldError::new(format!("settings.{LAYOUT}"), message));
        }
    }
    if keyring::is_encrypted(destination) {
        let message = "a repository is encrypted by itself: leave this out";
        errors.push(FieldError::new(format!("settings.{}", keyring::ENCRYPTION), message));
    }
    if destination.settings.get("folder_is_drive_id").is_some_and(|value| value == "true") {
        let message = "a repository lies in one folder: give its path";
        errors.push(FieldError::new("settings.folder_is_drive_id", message));
    }
    if destination.kind == DestinationKind::Tree {
        return; // It knows no such setting, which is told already.
    }
    let given = secrets.get(PASSWORD).is_some_and(|word| !word.expose_secret().is_empty());
    if !given && !destination.secrets.contains_key(PASSWORD) {
        let message = "give the repository's password";
        errors.push(FieldError::new(format!("secrets.{PASSWORD}"), message));
    }
}
