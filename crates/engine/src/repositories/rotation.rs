//! Another password for a repository, in one step that may be interrupted anywhere.
//!
//! What is under way is noted in the catalog first: which key goes and which one comes. The new key
//! is written and proven, then its password is stored, then the old key is removed. Whoever comes
//! upon the note later sees by the password in the catalog how far it got, and ends it: the key that
//! this password does not open goes.

use model::{Destination, Event, EventId, EventKind, Fact, Severity};
use repository::Id;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{PASSWORD, told};
use crate::{Engine, EngineError, vault::Purpose};

/// What is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rotation {
    /// The key that goes.
    old: String,
    /// The key that comes.
    new: String,
}

/// Which password a change that was cut off left in force.
#[derive(Debug, Clone, Copy)]
enum InForce {
    Old,
    New,
    /// A third one.
    Neither,
}

fn setting(destination: &Destination) -> String {
    format!("repository_rotation:{}", destination.id)
}

impl Engine {
    /// Puts another password in the place of the one in use, which opens nothing any more; gives the
    /// new key's id.
    pub(crate) async fn rotate_password(
        &self,
        destination: &Destination,
        password: &SecretString,
    ) -> Result<String, EngineError> {
        self.end_rotation(destination).await?;
        let told = |error| told(destination, error);
        let objects = self.repository_at(destination).await?;
        let repository = objects.repository();
        let key =
            repository.make_key(password, self.0.config.repository_kdf).await.map_err(told)?;
        // Nobody else changes or ends anything meanwhile, and nobody goes on with the key that goes.
        let alone = objects.alone().await.map_err(told)?;
        let stored = async {
            let mut changed = self.0.catalog.destination(destination.id).await?;
            if changed.version != destination.version {
                return Err(EngineError::conflict(Fact::ChangedMeanwhile {
                    destination: destination.name.to_string(),
                }));
            }
            let note = Rotation { old: repository.key_id().to_hex(), new: key.id.to_hex() };
            self.note_rotation(destination, Some(&note)).await?;
            repository.save_key(&key, password).await.map_err(told)?;
            let sealed = self.seal(Purpose::DestinationSecret, password);
            changed.secrets.insert(PASSWORD.to_owned(), sealed);
            Ok(self.0.catalog.update_destination(&changed, self.now()).await?)
        };
        let stored = stored.await;
        alone.release().await.map_err(told)?;
        let changed = stored?;
        if let Err(error) = self.settle_rotation(&changed).await {
            // The password is another already; upkeep goes on trying.
            let name = &destination.name;
            tracing::warn!(%error, %name, "the old key of the repository waits to be removed");
        }
        Ok(key.id.to_hex())
    }

    /// Ends a change of the password that was interrupted, and tells which one is in force.
    pub(crate) async fn end_rotation(&self, destination: &Destination) -> Result<(), EngineError> {
        let name = destination.name.to_string();
        let told = match self.settle_rotation(destination).await? {
            None => return Ok(()),
            Some(InForce::Old) => Fact::RotationOld { destination: name },
            Some(InForce::New) => Fact::RotationNew { destination: name },
            Some(InForce::Neither) => Fact::RotationNeither { destination: name },
        };
        let event = Event {
            id: self.new_id(EventId::generate),
            at: self.now(),
            kind: EventKind::RotationEnded,
            severity: Severity::Warning,
            app_id: None,
            run_id: None,
            snapshot_id: None,
            destination_id: Some(destination.id),
            sentence: told.into(),
        };
        Ok(self.0.catalog.append_events(&[event]).await?)
    }

    /// Removes the key that the password in the catalog does not open; `None` where nothing is under
    /// way.
    async fn settle_rotation(
        &self,
        destination: &Destination,
    ) -> Result<Option<InForce>, EngineError> {
        if self.rotation(destination).await?.is_none() {
            return Ok(None);
        }
        let told = |error| told(destination, error);
        let alone = self.repository_at(destination).await?.alone().await.map_err(told)?;
        let ended = async {
            // While nobody can go on with it: how far it got.
            let now = self.0.catalog.destination(destination.id).await?;
            let Some(note) = self.rotation(&now).await? else { return Ok(None) };
            let objects = self.repository_at(&now).await?;
            let current = objects.repository().key_id().to_hex();
            // Somebody may have entered a third password: then both stay to be looked at.
            let (in_force, goes) = match () {
                () if current == note.old => (InForce::Old, Some(note.new)),
                () if current == note.new => (InForce::New, Some(note.old)),
                () => (InForce::Neither, None),
            };
            if let Some(id) = goes {
                let id: Id =
                    id.parse().map_err(|error| EngineError::invalid("id", Fact::said(error)))?;
                objects.repository().remove_key(alone.lock(), &id).await.map_err(told)?;
            }
            self.note_rotation(&now, None).await?;
            Ok(Some(in_force))
        };
        let ended = ended.await;
        alone.release().await.map_err(told)?;
        ended
    }

    async fn rotation(&self, destination: &Destination) -> Result<Option<Rotation>, EngineError> {
        let text = self.0.catalog.setting(&setting(destination)).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn note_rotation(
        &self,
        destination: &Destination,
        note: Option<&Rotation>,
    ) -> Result<(), EngineError> {
        // What is empty is no note.
        let text = note.map(serde_json::to_string).transpose();
        let text = text.ok().flatten().unwrap_or_default();
        Ok(self.0.catalog.set_setting(&setting(destination), &text).await?)
    }
}

/// What is to be the password: the one given, or one that is made.
pub(crate) fn chosen(
    given: Option<SecretString>,
    make: impl FnOnce() -> SecretString,
) -> (SecretString, Option<SecretString>) {
    match given.filter(|word| !word.expose_secret().is_empty()) {
        Some(given) => (given, None),
        None => {
            let made = make();
            (made.clone(), Some(made))
        }
    }
}
