//! Destinations that are repositories: as somebody describes them, and what is asked of them.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use model::{CopyState, Destination, DestinationKind, Fact, Run, RunId, RunKind, Trigger};
use rand::Rng as _;
use repository::Id;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{destinations::DestinationDraft, managed::refuse_if_managed};
use crate::{
    Engine, EngineError, FieldError, keyring,
    repositories::{
        LAYOUT, PASSWORD, REPOSITORY, RepositoryState, RepositoryStatistics, apart, chosen, told,
    },
    run::backup,
};

/// A password of a repository, without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryKey {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// On which machine.
    pub hostname: String,
    /// By whom.
    pub username: String,
    /// Whether it is the one in use.
    pub current: bool,
}

impl DestinationDraft {
    /// Makes a password where a repository is asked for and neither `current` nor the draft has
    /// one. It goes into the draft and is given to be shown once: whoever loses it and the catalog
    /// loses the repository.
    pub fn generate_password(&mut self, current: Option<&Destination>) -> Option<SecretString> {
        let is_asked = match self.settings.get(LAYOUT).map(|value| value.trim()) {
            None | Some("") => self.kind == DestinationKind::Rest.to_string(),
            Some(layout) => layout == REPOSITORY,
        };
        let stored = current.is_some_and(|one| one.secrets.contains_key(PASSWORD));
        let given = self.secrets.get(PASSWORD).is_some_and(|word| !word.expose_secret().is_empty());
        if !is_asked || stored || given {
            return None;
        }
        let password = random_password();
        self.secrets.insert(PASSWORD.to_owned(), password.clone());
        Some(password)
    }
}

/// A password that nobody guesses.
fn random_password() -> SecretString {
    let mut bytes = [0_u8; 24];
    rand::rng().fill_bytes(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes).into()
}

impl Engine {
    /// Counts what the repository at `destination` keeps; reads its index and every folder.
    pub async fn count_repository(
        &self,
        destination: &Destination,
    ) -> Result<RepositoryState, EngineError> {
        let objects = self.repository_at(destination).await?;
        let counted = apart(async move || {
            let hold = objects.shared().await?;
            hold.lock().guard(objects.repository().statistics()).await
        });
        let counted = counted.await.map_err(|error| told(destination, error))?;
        let statistics = RepositoryStatistics::new(self.now(), &counted);
        self.note_repository(destination, |state| state.statistics = Some(statistics)).await?;
        self.repository_state(destination).await
    }

    /// Queues a check of the repository at `destination`, of its structure or of every byte.
    pub async fn check_repository(
        &self,
        destination: &Destination,
        read_data: bool,
    ) -> Result<Run, EngineError> {
        self.repository_at(destination).await?;
        self.queue(Run { read_data, ..self.tending(destination, RunKind::Check, Trigger::Manual) })
            .await
    }

    /// Queues freeing what nothing in the repository at `destination` needs.
    pub async fn free_repository(&self, destination: &Destination) -> Result<Run, EngineError> {
        self.repository_at(destination).await?;
        if destination.append_only {
            return Err(EngineError::refused(Fact::NothingDeletedThere {
                destination: destination.name.to_string(),
            }));
        }
        self.queue(self.tending(destination, RunKind::Free, Trigger::Manual)).await
    }

    /// A run that looks after the repository at `destination`.
    pub(crate) fn tending(&self, destination: &Destination, kind: RunKind, by: Trigger) -> Run {
        let id = self.new_id(RunId::generate);
        Run {
            destination_id: Some(destination.id),
            ..backup::queued(id, None, kind, by, self.now())
        }
    }

    /// The passwords of the repository at `destination`.
    pub async fn repository_keys(
        &self,
        destination: &Destination,
    ) -> Result<Vec<RepositoryKey>, EngineError> {
        let objects = self.repository_at(destination).await?;
        let keys = objects.repository().keys().await.map_err(|error| told(destination, error))?;
        let shown = keys.into_iter().map(|key| RepositoryKey {
            id: key.id.to_hex(),
            created_at: key.file.created,
            hostname: key.file.hostname,
            username: key.file.username,
            current: key.is_current,
        });
        Ok(shown.collect())
    }

    /// Adds a password; gives its id, and the password where none was given.
    pub async fn add_repository_key(
        &self,
        destination: &Destination,
        password: Option<SecretString>,
    ) -> Result<(String, Option<SecretString>), EngineError> {
        let objects = self.repository_at(destination).await?;
        let (password, made) = chosen(password, random_password);
        let id = objects.repository().add_key(&password, self.0.config.repository_kdf).await;
        Ok((id.map_err(|error| told(destination, error))?.to_hex(), made))
    }

    /// Puts another password in the place of the one in use, here and in the repository; gives the
    /// new key's id, and the password where none was given. One that is interrupted is ended by the
    /// next, or when repositories are looked after.
    pub async fn rotate_repository_key(
        &self,
        destination: &Destination,
        password: Option<SecretString>,
    ) -> Result<(String, Option<SecretString>), EngineError> {
        refuse_if_managed(&destination.name, destination.managed_by)?;
        if destination.append_only {
            return Err(EngineError::refused(Fact::KeyStaysThere {
                destination: destination.name.to_string(),
            }));
        }
        let (password, made) = chosen(password, random_password);
        Ok((self.rotate_password(destination, &password).await?, made))
    }

    /// Removes a password, by the whole id or how it begins; never the one in use.
    pub async fn remove_repository_key(
        &self,
        destination: &Destination,
        id: &str,
    ) -> Result<(), EngineError> {
        let keys = self.repository_keys(destination).await?;
        let mut named = keys.iter().filter(|key| !id.is_empty() && key.id.starts_with(id));
        let (Some(key), None) = (named.next(), named.next()) else {
            return Err(EngineError::invalid("id", Fact::OneKeyId {}));
        };
        if key.current {
            return Err(EngineError::refused(Fact::KeyInUse {}));
        }
        let objects = self.repository_at(destination).await?;
        let id: Id =
            key.id.parse().map_err(|error| EngineError::invalid("id", Fact::said(error)))?;
        let alone = objects.alone().await.map_err(|error| told(destination, error))?;
        let removed = objects.repository().remove_key(alone.lock(), &id).await;
        alone.release().await.map_err(|error| told(destination, error))?;
        removed.map_err(|error| told(destination, error))
    }

    /// Removes locks whose owners are gone, or all: then nobody may be at work. Gives how many.
    pub async fn unlock_repository(
        &self,
        destination: &Destination,
        all: bool,
    ) -> Result<usize, EngineError> {
        let objects = self.repository_at(destination).await?;
        if all {
            self.refuse_while_used(destination, Fact::MayBeUnlocked {}).await?;
            objects.rest().await;
        }
        objects.repository().clear_locks(all).await.map_err(|error| told(destination, error))
    }

    /// Queues a copy to `to` of every good snapshot at `destination` that is not there.
    pub async fn copy_all(
        &self,
        destination: &Destination,
        to: &Destination,
    ) -> Result<Vec<Run>, EngineError> {
        let mut runs = Vec::new();
        for snapshot in self.0.catalog.snapshots_at(destination.id).await? {
            let state = |id| {
                let copy = snapshot.copies.iter().find(|copy| copy.destination_id == id);
                copy.map(|copy| copy.state)
            };
            let is_here = state(destination.id) == Some(CopyState::Good);
            if is_here && state(to.id).is_none_or(|state| !state.is_restorable()) {
                runs.push(self.copy_now(snapshot.id, to.id).await?);
            }
        }
        Ok(runs)
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
        None if destination.kind == DestinationKind::Rest => {
            destination.settings.insert(LAYOUT.to_owned(), REPOSITORY.to_owned());
        }
        Some("objects") if destination.kind == DestinationKind::Rest => {
            let field = format!("settings.{LAYOUT}");
            return errors.push(FieldError::new(field, Fact::RestLayout {}));
        }
        Some("objects") | None => {
            destination.settings.remove(LAYOUT);
            return;
        }
        Some(_) => {
            let field = format!("settings.{LAYOUT}");
            return errors.push(FieldError::new(field, Fact::ObjectsOrRepository {}));
        }
    }
    if keyring::is_encrypted(destination) {
        let field = format!("settings.{}", keyring::ENCRYPTION);
        errors.push(FieldError::new(field, Fact::RepositoryEncrypted {}));
    }
    if destination.settings.get("folder_is_drive_id").is_some_and(|value| value == "true") {
        errors.push(FieldError::new("settings.folder_is_drive_id", Fact::RepositoryFolder {}));
    }
    if destination.kind == DestinationKind::Tree {
        return; // It knows no such setting, which is told already.
    }
    let given = secrets.get(PASSWORD).is_some_and(|word| !word.expose_secret().is_empty());
    if !given && !destination.secrets.contains_key(PASSWORD) {
        let field = format!("secrets.{PASSWORD}");
        errors.push(FieldError::new(field, Fact::RepositoryPassword {}));
    }
}
