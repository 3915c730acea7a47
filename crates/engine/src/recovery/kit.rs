//! The recovery kit: what a person has to keep away from this machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{Destination, DestinationKind, EventKind, Fact, Severity};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    address,
    copies::{is_wanted, mark},
};
use crate::{Engine, EngineError, fields_of, keyring, repositories::is_repository};

const STORED: &str = "recovery_kit_stored";
const REMINDED: &str = "recovery_kit_reminded";

/// What it takes to come back.
#[derive(Debug, Clone)]
pub struct Kit {
    /// When the key was made.
    pub key_made_at: Timestamp,
    /// The public half of the key.
    pub recipient: String,
    /// The key: an age identity.
    pub identity: SecretString,
    /// When this kit was put together.
    pub at: Timestamp,
    /// Where copies are.
    pub places: Vec<KitPlace>,
    /// When and by whom it was stored as it is now; `None` where that is still to be done.
    pub stored: Option<Stored>,
}

/// One destination.
#[derive(Debug, Clone)]
pub struct KitPlace {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: DestinationKind,
    /// What `bootstrap` is given.
    pub address: String,
    /// Names of the credentials that it takes.
    pub credentials: Vec<String>,
    /// The commands that restore from here without us, where it is a repository.
    pub restic: Vec<String>,
    /// Whether snapshots there are encrypted.
    pub encrypted: bool,
    /// Whether copies of the catalog go there.
    pub has_catalog: bool,
    /// When the newest one was made.
    pub catalog_at: Option<Timestamp>,
    /// Credentials and keys, where they were asked for.
    pub secrets: BTreeMap<String, SecretString>,
}

/// That somebody stored the kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stored {
    /// When.
    pub at: Timestamp,
    /// Who said so.
    pub by: String,
    /// What it told.
    mark: String,
}

impl Engine {
    /// The kit as it is now; with credentials and the destinations' own keys only where asked for.
    pub async fn recovery_kit(&self, with_secrets: bool) -> Result<Kit, EngineError> {
        let kept = self.recovery_key().await?;
        let copies = self.catalog_copies().await?;
        let mut places = Vec::new();
        for one in self.0.catalog.all_destinations().await? {
            let mut secrets = BTreeMap::new();
            for key in one.secrets.keys().filter(|_| with_secrets) {
                if let Some(secret) = self.0.secret(&one, key)? {
                    secrets.insert(key.clone(), secret);
                }
            }
            let credentials = fields_of(one.kind)
                .secrets
                .iter()
                .filter(|name| one.secrets.contains_key(**name))
                .map(|name| (*name).to_owned())
                .collect();
            places.push(KitPlace {
                name: one.name.to_string(),
                kind: one.kind,
                address: address::print(one.kind, &one.settings),
                credentials,
                restic: restic_of(&one),
                encrypted: keyring::is_encrypted(&one),
                has_catalog: is_wanted(&one),
                catalog_at: copies.places.get(&one.id).and_then(|place| place.at),
                secrets,
            });
        }
        Ok(Kit {
            key_made_at: kept.made_at,
            recipient: kept.recipient.clone(),
            identity: kept.identity(&self.0.vault)?,
            at: self.now(),
            places,
            stored: self.kit_stored().await?,
        })
    }

    /// When and by whom the kit was stored as it is now. A new destination or another key makes
    /// another kit of it.
    pub async fn kit_stored(&self) -> Result<Option<Stored>, EngineError> {
        let text = self.0.catalog.setting(STORED).await?;
        let stored: Option<Stored> = text.and_then(|text| serde_json::from_str(&text).ok());
        let mark = self.kit_mark().await?;
        Ok(stored.filter(|stored| stored.mark == mark))
    }

    /// Whether somebody should store the kit: there is something to come back for, and nobody has.
    pub async fn kit_is_due(&self) -> Result<bool, EngineError> {
        let some = !self.0.catalog.all_destinations().await?.is_empty();
        Ok(some && self.kit_stored().await?.is_none())
    }

    /// The same once somebody was reminded of it: who has just begun is not told at once.
    pub(crate) async fn kit_was_missed(&self) -> Result<bool, EngineError> {
        Ok(self.0.catalog.setting(REMINDED).await?.is_some() && self.kit_is_due().await?)
    }

    /// Notes that `who` has stored the kit as it is now.
    pub async fn note_kit_stored(&self, who: &str) -> Result<(), EngineError> {
        let stored = Stored { at: self.now(), by: who.to_owned(), mark: self.kit_mark().await? };
        let text = serde_json::to_string(&stored).unwrap_or_default();
        Ok(self.0.catalog.set_setting(STORED, &text).await?)
    }

    /// An event where the kit is to be stored, once for each kit.
    pub(crate) async fn remind_of_kit(&self) -> Result<(), EngineError> {
        let mark = self.kit_mark().await?;
        let reminded = self.0.catalog.setting(REMINDED).await?;
        if reminded.as_deref() == Some(&mark) || !self.kit_is_due().await? {
            return Ok(());
        }
        let kind = EventKind::RecoveryKitDue;
        self.tell(kind, Severity::Warning, None, Fact::KitDue {}).await?;
        Ok(self.0.catalog.set_setting(REMINDED, &mark).await?)
    }

    /// What of the kit a person would have to print again.
    async fn kit_mark(&self) -> Result<String, EngineError> {
        let mut lines = vec![self.recovery_key().await?.recipient];
        for one in self.0.catalog.all_destinations().await? {
            let keys = one.settings.get(keyring::RECIPIENTS).cloned().unwrap_or_default();
            lines.push(format!("{} {} {keys}", one.id, address::print(one.kind, &one.settings)));
        }
        Ok(mark(&lines))
    }
}

/// What restores from a repository with stock restic.
fn restic_of(one: &Destination) -> Vec<String> {
    if !is_repository(one) {
        return Vec::new();
    }
    let place = address::restic(one.kind, &one.settings).unwrap_or_else(|| {
        // What restic does not know, rclone may.
        format!("rclone:REMOTE:{}", one.settings.get("path").cloned().unwrap_or_default())
    });
    let place = place.replace('\'', "'\\''");
    let call = format!("restic --password-file repository_password.txt -r '{place}'");
    vec![format!("{call} snapshots --tag app=NAME"), format!("{call} restore ID --target FOLDER")]
}

impl Kit {
    /// The kit as a JSON document, secrets and all.
    pub fn exposed(&self) -> serde_json::Value {
        let places: Vec<_> = self
            .places
            .iter()
            .map(|place| {
                let secrets: BTreeMap<_, _> = place
                    .secrets
                    .iter()
                    .map(|(key, secret)| (key, secret.expose_secret()))
                    .collect();
                serde_json::json!({
                    "name": place.name,
                    "kind": place.kind,
                    "address": place.address,
                    "credentials": place.credentials,
                    "encrypted": place.encrypted,
                    "has_catalog": place.has_catalog,
                    "catalog_at": place.catalog_at,
                    "secrets": secrets,
                    "command": place.command(),
                    "restic": place.restic,
                })
            })
            .collect();
        serde_json::json!({
            "at": self.at,
            "key_made_at": self.key_made_at,
            "recipient": self.recipient,
            "identity": self.identity.expose_secret(),
            "destinations": places,
            "stored": self.stored.as_ref().map(|stored| serde_json::json!({
                "at": stored.at, "by": stored.by,
            })),
        })
    }
}

impl KitPlace {
    /// The command that brings everything back from here.
    pub fn command(&self) -> String {
        let address = self.address.replace('\'', "'\\''");
        let mut command =
            format!("backup-orchestrator bootstrap '{address}' --key-file recovery-key.txt");
        for name in &self.credentials {
            command.extend([" --set-file ", name, "=", name, ".txt"]);
        }
        command
    }
}
