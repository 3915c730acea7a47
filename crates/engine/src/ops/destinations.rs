//! Adding, editing and removing destinations.

use std::collections::BTreeMap;

use model::{Destination, DestinationId, DestinationKind, Fact, RunState, SealedSecret};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use store::Prefix;

use super::{managed::refuse_if_managed, validate};
use crate::{
    Engine, EngineError, FieldError,
    keyring::{ENCRYPTION as RULE, IDENTITY as KEY, PASSPHRASE as WORD, RECIPIENTS as TO},
    recovery::copies::UNWANTED as COPY,
    repositories::{LAYOUT, PASSWORD, is_repository},
    stores::object_lock,
    vault::Purpose,
};

/// A destination as somebody describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DestinationDraft {
    /// Unique name.
    pub name: String,
    /// `local`, `s3`, `rclone`, `sftp`, `webdav`, `b2`, `azblob`,
    /// `gcs`, `gdrive`, `tree` or `rest`; cannot be changed later.
    pub kind: String,
    /// Settings that may be shown.
    pub settings: BTreeMap<String, String>,
    /// Settings that may not. When editing, one left out stays as it is.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = BTreeMap<String, String>, write_only, default = json!({}))
    )]
    pub secrets: BTreeMap<String, SecretString>,
    /// When editing: names of stored secrets to forget.
    pub forget_secrets: Vec<String>,
    /// Its keys cannot delete.
    pub append_only: bool,
    /// How often every copy there is re-read, in days; `null` is only when asked.
    pub verify_every_days: Option<u32>,
}

/// Longest time between two readings of a copy, in days.
const MAX_VERIFY_DAYS: u32 = 3_650;

/// The settings and secrets that a kind knows, the ones it must have first.
#[derive(Debug, Clone, Copy)]
pub struct DestinationFields {
    /// Settings it cannot do without.
    pub required: &'static [&'static str],
    /// Settings it can.
    pub optional: &'static [&'static str],
    /// Secrets.
    pub secrets: &'static [&'static str],
}

/// The settings and secrets that `kind` knows.
pub fn fields_of(kind: DestinationKind) -> DestinationFields {
    match kind {
        DestinationKind::Local => DestinationFields {
            required: &["path"],
            optional: &[RULE, TO, COPY, LAYOUT],
            secrets: &[KEY, WORD, PASSWORD],
        },
        DestinationKind::S3 => DestinationFields {
            required: &["bucket"],
            optional: &[
                "region",
                "endpoint",
                "prefix",
                "path_style",
                "storage_class",
                object_lock::MODE,
                object_lock::DAYS,
                RULE,
                TO,
                COPY,
                LAYOUT,
            ],
            secrets: &["access_key_id", "secret_access_key", "session_token", KEY, WORD, PASSWORD],
        },
        DestinationKind::Rclone => DestinationFields {
            required: &[],
            optional: &["remote", "path", "folder_is_drive_id", RULE, TO, COPY, LAYOUT],
            secrets: &[KEY, WORD, PASSWORD],
        },
        DestinationKind::Sftp => DestinationFields {
            required: &["host", "username", "host_key", "path"],
            optional: &["port", RULE, TO, COPY, LAYOUT],
            secrets: &["private_key", "passphrase", "password", KEY, WORD, PASSWORD],
        },
        // What can be browsed is not encrypted.
        DestinationKind::Tree => DestinationFields {
            required: &["path"],
            optional: &["host", "username", "host_key", "port"],
            secrets: &["private_key"],
        },
        DestinationKind::Webdav => DestinationFields {
            required: &["url"],
            optional: &["path", "username", RULE, TO, COPY, LAYOUT],
            secrets: &["password", KEY, WORD, PASSWORD],
        },
        // A repository, which is encrypted by itself.
        DestinationKind::Rest => DestinationFields {
            required: &["url"],
            optional: &["username", COPY, LAYOUT],
            secrets: &["password", PASSWORD],
        },
        DestinationKind::B2 => DestinationFields {
            required: &["bucket", "region"],
            optional: &["prefix", RULE, TO, COPY, LAYOUT],
            secrets: &["application_key_id", "application_key", KEY, WORD, PASSWORD],
        },
        DestinationKind::Azblob => DestinationFields {
            required: &["account", "container"],
            optional: &["prefix", "endpoint", RULE, TO, COPY, LAYOUT],
            secrets: &["account_key", "sas_token", KEY, WORD, PASSWORD],
        },
        DestinationKind::Gcs => DestinationFields {
            required: &["bucket"],
            optional: &["prefix", "storage_class", RULE, TO, COPY, LAYOUT],
            secrets: &["hmac_key_id", "hmac_secret", KEY, WORD, PASSWORD],
        },
        DestinationKind::Gdrive => DestinationFields {
            required: &[],
            optional: &[
                "client_id",
                "path",
                "folder_id",
                "team_drive",
                "folder_is_drive_id",
                RULE,
                TO,
                COPY,
                LAYOUT,
            ],
            secrets: &["client_secret", "service_account", "token", KEY, WORD, PASSWORD],
        },
    }
}

impl Engine {
    /// Adds a destination.
    pub async fn add_destination(
        &self,
        draft: DestinationDraft,
    ) -> Result<Destination, EngineError> {
        let blank = self.blank_destination(&draft.kind)?;
        let destination = self.described(blank, draft)?;
        if is_repository(&destination) {
            self.0.make_repository(&destination).await?;
        } else if !awaits_google(&destination) {
            self.0.open_store(&destination).await?;
        }
        self.0.catalog.insert_destination(&destination).await?;
        Ok(destination)
    }

    /// A new destination of `kind`, not described yet.
    pub(super) fn blank_destination(&self, kind: &str) -> Result<Destination, EngineError> {
        let now = self.now();
        let kind = kind.parse::<DestinationKind>();
        let kind = kind.map_err(|error| EngineError::invalid("kind", error))?;
        Ok(Destination {
            id: self.new_id(DestinationId::generate),
            name: "x".parse().map_err(|error| EngineError::invalid("name", error))?,
            kind,
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            append_only: false,
            verify_every_days: None,
            managed_by: None,
            created_at: now,
            updated_at: now,
            version: 1,
            last_check: None,
        })
    }

    /// Changes a destination that was read at `version`.
    pub async fn edit_destination(
        &self,
        id: DestinationId,
        version: i64,
        draft: DestinationDraft,
    ) -> Result<Destination, EngineError> {
        let current = Destination { version, ..self.0.catalog.destination(id).await? };
        refuse_if_managed(&current.name, current.managed_by)?;
        if !draft.kind.is_empty() && draft.kind != current.kind.to_string() {
            return Err(EngineError::invalid("kind", Fact::DestinationKindStays {}));
        }
        let before = current.settings.clone();
        let destination = self.described(current, draft)?;
        if destination.settings.get(LAYOUT) != before.get(LAYOUT) {
            return Err(EngineError::invalid(format!("settings.{LAYOUT}"), Fact::LayoutStays {}));
        }
        if destination.settings != before {
            // What a run writes there would be recorded as lying where it does not.
            self.refuse_while_used(&destination, Fact::MayBeChanged {}).await?;
        }
        if !awaits_google(&destination) {
            self.0.open_store(&destination).await?;
        }
        Ok(self.0.catalog.update_destination(&destination, self.now()).await?)
    }

    /// Removes a destination that no app and no run under way uses. Nothing at the destination
    /// is touched.
    pub async fn remove_destination(&self, id: DestinationId) -> Result<(), EngineError> {
        let destination = self.0.catalog.destination(id).await?;
        refuse_if_managed(&destination.name, destination.managed_by)?;
        self.refuse_while_used(&destination, Fact::MayBeRemoved {}).await?;
        Ok(self.0.catalog.remove_destination(id, self.now()).await?)
    }

    /// Errs while a run that writes to, reads from or deletes at `destination` is under way.
    pub(super) async fn refuse_while_used(
        &self,
        destination: &Destination,
        wanted: Fact,
    ) -> Result<(), EngineError> {
        let catalog = &self.0.catalog;
        for run in catalog.active_runs().await? {
            if run.state != RunState::Running {
                continue;
            }
            let bound = match run.app_id {
                Some(id) => catalog.app(id).await.is_ok_and(|app| {
                    app.destinations.iter().any(|one| one.destination_id == destination.id)
                }),
                None => false,
            };
            // An edit may have taken the destination from the app after its run began.
            let wrote = catalog.outcomes(run.id).await?;
            if bound
                || run.destination_id == Some(destination.id)
                || wrote.iter().any(|one| one.destination_id == destination.id)
            {
                return Err(EngineError::conflict(Fact::RunWorksThere {
                    run: run.id.to_string(),
                    destination: destination.name.to_string(),
                    wanted: wanted.into(),
                }));
            }
        }
        Ok(())
    }

    /// How many objects and bytes lie at a destination; reads its whole listing.
    pub async fn usage(&self, destination: &Destination) -> Result<(u64, u64), EngineError> {
        use futures::TryStreamExt as _;
        let store = self.0.store_for(destination).await?;
        let mut listing = store.list(&Prefix::root()).await?;
        let (mut objects, mut bytes) = (0, 0);
        while let Some(object) = listing.try_next().await? {
            objects += 1;
            bytes += object.size_bytes;
        }
        Ok((objects, bytes))
    }

    pub(super) fn described(
        &self,
        mut destination: Destination,
        draft: DestinationDraft,
    ) -> Result<Destination, EngineError> {
        let mut errors = Vec::new();
        if let Some(name) = validate::name("name", &draft.name, &mut errors) {
            destination.name = name;
        }
        let fields = fields_of(destination.kind);
        let settings: BTreeMap<_, _> = draft
            .settings
            .into_iter()
            .map(|(key, value)| (key, value.trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        for key in fields.required {
            if !settings.contains_key(*key) {
                errors.push(FieldError::new(format!("settings.{key}"), Fact::IsNeeded {}));
            }
        }
        for (key, value) in &settings {
            check_setting(&fields, key, value, &mut errors);
        }
        for key in draft.forget_secrets {
            destination.secrets.remove(&key);
        }
        destination.settings = settings;
        super::encryption::settle(&mut destination, &draft.secrets, &mut errors);
        super::repositories::settle(&mut destination, &draft.secrets, &mut errors);
        object_lock::check(&destination, &mut errors);
        for (key, secret) in draft.secrets {
            if !fields.secrets.contains(&key.as_str()) {
                errors.push(unknown("secrets", &key, fields.secrets));
            } else if secret.expose_secret().is_empty() {
                // An empty field of a form: the stored one stays.
            } else {
                destination.secrets.insert(key, self.seal(Purpose::DestinationSecret, &secret));
            }
        }
        destination.append_only = draft.append_only;
        destination.verify_every_days = draft.verify_every_days;
        if draft.verify_every_days.is_some_and(|days| !(1..=MAX_VERIFY_DAYS).contains(&days)) {
            let within = Fact::DaysWithin { least: 1, most: u64::from(MAX_VERIFY_DAYS) };
            errors.push(FieldError::new("verify_every_days", within));
        }
        if errors.is_empty() { Ok(destination) } else { Err(EngineError::Invalid(errors)) }
    }

    pub(crate) fn seal(&self, purpose: Purpose, secret: &SecretString) -> SealedSecret {
        self.with_rng(|rng| self.0.vault.seal(purpose, secret, rng))
    }
}

/// Whether somebody has still to allow it at Google.
pub(super) fn awaits_google(destination: &Destination) -> bool {
    let has = |name| destination.secrets.contains_key(name);
    destination.kind == DestinationKind::Gdrive
        && destination.settings.contains_key("client_id")
        && !has("token")
        && !has("service_account")
}

fn check_setting(fields: &DestinationFields, key: &str, value: &str, errors: &mut Vec<FieldError>) {
    let known = || fields.required.iter().chain(fields.optional);
    if !known().any(|one| *one == key) {
        let all: Vec<_> = known().copied().collect();
        errors.push(unknown("settings", key, &all));
    } else if value.len() > 1_024 || value.chars().any(char::is_control) {
        errors.push(FieldError::new(format!("settings.{key}"), Fact::SettingCharacters {}));
    } else if key == COPY && value != "true" && value != "false" {
        errors.push(FieldError::new(format!("settings.{key}"), Fact::TrueOrFalse {}));
    } else if value.starts_with('-') {
        // Values reach other programs' argument lists.
        errors.push(FieldError::new(format!("settings.{key}"), Fact::NoDashFirst {}));
    }
}

fn unknown(group: &str, key: &str, known: &[&str]) -> FieldError {
    let key: String = key.chars().take(64).collect();
    let wrong = if known.is_empty() {
        Fact::KindHasNone {}
    } else {
        Fact::KindKnows { words: known.join(", ") }
    };
    FieldError::new(format!("{group}.{key}"), wrong)
}
