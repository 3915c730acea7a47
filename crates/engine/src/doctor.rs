//! Looks for what would make a run fail, and says what to do about it.

use bytes::Bytes;
use contract::ContractError;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use model::{
    App, ContractSource, Destination, DestinationKind, Fact, Failure, Name, Sentence, Size,
    SourceKind, destination::DestinationCheck,
};
use serde::Serialize;
use store::{Key, Prefix, S3, Store};

use crate::{
    Engine, EngineError, pitr,
    repositories::is_repository,
    run::{commit::put, failure},
    source,
    stores::object_lock,
    trees::Host,
};

/// The folder of a destination where it is tried.
pub(crate) const CANARY: &str = ".backup-orchestrator-canary";

/// What the doctor found.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    /// What was looked at.
    pub subject: String,
    /// When.
    pub at: Timestamp,
    /// One for each thing looked at, in order; later ones are left out where an earlier one
    /// makes them pointless.
    pub checks: Vec<Check>,
}

/// One thing looked at.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Stable word (`token`, `canary_write`).
    pub id: &'static str,
    /// Which of the app's sources it is about.
    pub source: Option<Name>,
    /// How it stands.
    pub state: CheckState,
    /// What was found, in English.
    pub detail: String,
    /// The same without its language, where it is a sentence of ours with a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
    /// What to do, where something is wrong; in English.
    pub advice: Option<String>,
    /// The same without its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice_fact: Option<Fact>,
}

impl Check {
    /// What was found.
    pub fn found(&self) -> Sentence {
        Sentence { message: self.detail.clone(), fact: self.fact.clone() }
    }

    /// What to do about it.
    pub fn advised(&self) -> Option<Sentence> {
        self.advice_fact.clone().map(Sentence::from)
    }
}

/// What a check says: a sentence of ours, which is told in every language, or why something failed.
/// Text alone is neither: what somebody else said is [`said`].
pub(crate) struct Finding(Sentence);

impl From<Fact> for Finding {
    fn from(fact: Fact) -> Self {
        Self(fact.into())
    }
}

impl From<Failure> for Finding {
    fn from(failure: Failure) -> Self {
        Self(failure.into())
    }
}

impl From<Finding> for Sentence {
    fn from(finding: Finding) -> Self {
        finding.0
    }
}

/// What a program, a server or the system said, in its own words.
pub(crate) fn said(text: impl ToString) -> Fact {
    Fact::Said { said: text.to_string() }
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Works, and deserves a look.
    Warning,
    /// A run would fail.
    Failed,
}

impl Report {
    /// Whether nothing has failed.
    pub fn is_well(&self) -> bool {
        self.checks.iter().all(|check| check.state != CheckState::Failed)
    }

    pub(crate) fn ok(&mut self, id: &'static str, found: impl Into<Finding>) {
        self.push(id, CheckState::Ok, found, None);
    }

    pub(crate) fn failed(&mut self, id: &'static str, found: impl Into<Finding>, advice: Fact) {
        self.push(id, CheckState::Failed, found, Some(advice));
    }

    pub(crate) fn push(
        &mut self,
        id: &'static str,
        state: CheckState,
        found: impl Into<Finding>,
        advice: Option<Fact>,
    ) {
        let Sentence { message: detail, fact } = found.into().0;
        let told = advice.as_ref().map(ToString::to_string);
        let check =
            Check { id, source: None, state, detail, fact, advice: told, advice_fact: advice };
        self.checks.push(check);
    }
}

impl Engine {
    /// Looks at an app, registered or only described: name, connection, token, contract.
    pub async fn doctor_app(&self, app: &App) -> Report {
        let mut report =
            Report { subject: app.name.to_string(), at: self.now(), checks: Vec::new() };
        for source in &app.sources {
            let before = report.checks.len();
            match &source.kind {
                SourceKind::Contract(server) => {
                    self.doctor_contract(app, server, &mut report).await;
                }
                SourceKind::Direct(direct) => {
                    let asked = source::direct::Asked { engine: self, app, source, direct };
                    source::direct::driver(direct.what).doctor(&asked, &mut report).await;
                }
            }
            for check in report.checks.iter_mut().skip(before) {
                check.source = Some(source.name.clone());
            }
        }
        if let Some(plan) = &app.recovery {
            let before = report.checks.len();
            pitr::doctor::look(self, app, &mut report).await;
            for check in report.checks.iter_mut().skip(before) {
                check.source = Some(plan.source.clone());
            }
        }
        report
    }

    async fn doctor_contract(&self, app: &App, server: &ContractSource, report: &mut Report) {
        let client = match source::client_for(self, app, server) {
            Ok(client) => client,
            Err(failure) => {
                report.failed("secrets", failure, Fact::DoTokenAgain {});
                return;
            }
        };
        match client.health().await {
            Ok(()) => report.ok("reachable", Fact::Answers { place: server.url.to_string() }),
            Err(error) if is_connection(&error) => {
                let host = server.url.host_str().unwrap_or_default().to_owned();
                let advice = Fact::DoNetwork { host };
                report.failed("reachable", failure::of_contract(&error), advice);
                return;
            }
            // `/healthz` is for people and container engines; a run does not need it.
            Err(error) => report.push(
                "reachable",
                CheckState::Warning,
                failure::of_contract(&error),
                Some(Fact::DoHealthz {}),
            ),
        }
        match client.capabilities().await {
            Ok(found) => {
                report.ok("token", Fact::TokenAccepted {});
                let (version, types) = (found.version, found.types.join(", "));
                report.ok("contract", Fact::ContractIs { version, types });
                let size = Size(found.est_size.unwrap_or(0));
                let limit = Size(app.limits.max_size_bytes.unwrap_or(self.0.config.max_size_bytes));
                if size.0 > limit.0 {
                    let found = Fact::ExpectsTooMuch { size, limit };
                    report.failed("size", found, Fact::DoRaiseLimit {});
                } else {
                    report.ok("size", Fact::Expects { size });
                }
            }
            Err(error @ ContractError::Unauthorized { .. }) => {
                report.failed("token", failure::of_contract(&error), Fact::DoPasteToken {});
            }
            Err(error) => {
                report.failed("contract", failure::of_contract(&error), Fact::DoContractCheck {});
            }
        }
    }

    /// Writes, reads back, lists and deletes a canary at a destination, and notes the outcome
    /// on it where it is registered.
    pub async fn doctor_destination(
        &self,
        destination: &Destination,
    ) -> Result<Report, EngineError> {
        let mut report =
            Report { subject: destination.name.to_string(), at: self.now(), checks: Vec::new() };
        match self.0.open_store(destination).await {
            Ok(store) => {
                let place = store.capability().location;
                report.ok("settings", Fact::OpensAs { place });
                self.canary(destination, store.as_ref(), &mut report).await;
                self.lock_files(destination, &mut report).await;
                self.object_lock(destination, &mut report).await;
                self.keys(destination, &mut report);
                self.trees(destination, &mut report).await;
            }
            Err(error) => {
                let advice = Fact::DoDestinationSettings {};
                report.failed("settings", failure::of_engine(&error), advice);
            }
        }
        let failed = report.checks.iter().find(|check| check.state == CheckState::Failed);
        let check = DestinationCheck {
            at: report.at,
            problem: failed.map(|check| check.detail.clone()),
            fact: failed.and_then(|check| check.fact.clone()).map(Box::new),
        };
        match self.0.catalog.set_destination_check(destination.id, &check).await {
            Ok(()) | Err(catalog::CatalogError::NotFound { .. }) => Ok(report),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the lock files of a repository go when they are given back.
    async fn lock_files(&self, destination: &Destination, report: &mut Report) {
        if !is_repository(destination) {
            return;
        }
        let tried = async {
            let objects = self.0.objects_for(destination).await?;
            drop(objects.shared().await.map_err(store::StoreError::from)?);
            objects.rest().await;
            Ok::<_, EngineError>(objects.locks_stay())
        };
        match tried.await {
            Ok(false) => report.ok("lock_files", Fact::LocksGo {}),
            Ok(true) => report.push(
                "lock_files",
                CheckState::Warning,
                Fact::LocksStay {},
                Some(Fact::DoLetLocksGo {}),
            ),
            Err(error) => {
                report.failed("lock_files", failure::of_engine(&error), Fact::DoSeeLocks {});
            }
        }
    }

    /// Whether a bucket knows Object Lock, where the destination counts on it.
    async fn object_lock(&self, destination: &Destination, report: &mut Report) {
        if destination.kind != DestinationKind::S3
            || !destination.settings.contains_key(object_lock::MODE)
        {
            return;
        }
        let asked = async {
            let config = self.0.s3(destination)?;
            Ok::<_, EngineError>(S3::open(&config)?.has_object_lock().await?)
        };
        match asked.await {
            Ok(true) => report.ok("object_lock", Fact::ObjectLockOn {}),
            Ok(false) => {
                report.failed("object_lock", Fact::ObjectLockOff {}, Fact::DoObjectLock {});
            }
            Err(error) => report.push(
                "object_lock",
                CheckState::Warning,
                failure::of_engine(&error),
                Some(Fact::DoAskObjectLock {}),
            ),
        }
    }

    /// Whether trees of files can be made there.
    async fn trees(&self, destination: &Destination, report: &mut Report) {
        let Ok(Some(host)) = Host::of(&self.0, destination) else { return };
        match host.ready(&self.0.config).await {
            Ok(()) => report.ok("trees", Fact::TreesReady {}),
            Err(failure) => report.failed("trees", failure, Fact::DoTrees {}),
        }
    }

    /// Whether what is written there can be encrypted, and read again from here.
    fn keys(&self, destination: &Destination, report: &mut Report) {
        let recipients = match self.0.recipients_of(destination) {
            Ok(None) => return,
            Ok(Some(recipients)) => recipients,
            Err(failure) => return report.failed("encryption", failure, Fact::DoEncryption {}),
        };
        match self.0.identities_of(destination) {
            Ok(own) if own.opens(&recipients) => {
                report.ok("encryption", Fact::Encrypted {});
            }
            Ok(own) => report.push(
                "encryption",
                CheckState::Warning,
                if own.is_empty() { Fact::EncryptedNoKey {} } else { Fact::EncryptedOtherKey {} },
                Some(Fact::DoIdentity {}),
            ),
            Err(failure) => report.failed("encryption", failure, Fact::DoIdentityAgain {}),
        }
    }

    async fn canary(&self, destination: &Destination, store: &dyn Store, report: &mut Report) {
        let id = self.new_id(model::RunId::generate);
        let (Ok(key), Ok(prefix)) = (Key::new(&format!("{CANARY}/{id}.txt")), Prefix::new(CANARY))
        else {
            return;
        };
        let body = Bytes::from(format!("canary {id}, safe to delete\n"));
        match put(store, &key, body).await {
            Ok(()) => report.ok("write_read", Fact::CanaryWritten {}),
            Err(error) => {
                let why = failure::of_store(&error);
                return report.failed("write_read", why, Fact::DoCanary {});
            }
        }
        let listing = async { store.list(&prefix).await?.try_collect::<Vec<_>>().await };
        match listing.await {
            Ok(found) if found.iter().any(|object| object.key == key) => {
                report.ok("list", Fact::CanaryListed {});
            }
            Ok(_) => report.failed("list", Fact::CanaryNotListed {}, Fact::DoTrueListing {}),
            Err(error) => report.failed("list", failure::of_store(&error), Fact::DoLetList {}),
        }
        let told = |error: &store::StoreError| Finding::from(failure::of_store(error));
        let deleted = match store.delete(&key).await {
            Ok(()) => match store.stat(&key).await {
                Err(error) if error.is_not_found() => Ok(()),
                Err(error) => Err(told(&error)),
                Ok(_) => Err(Fact::CanaryStays {}.into()),
            },
            Err(error) => Err(told(&error)),
        };
        match (deleted, destination.append_only) {
            (Ok(()), false) => report.ok("delete", Fact::CanaryDeleted {}),
            (Ok(()), true) => report.push(
                "delete",
                CheckState::Warning,
                Fact::DeletionPossible {},
                Some(Fact::DoNotDelete {}),
            ),
            (Err(why), true) => {
                report.ok("delete", Fact::DeletionRefused { why: why.into() });
            }
            (Err(why), false) => report.failed("delete", why, Fact::DoLetDelete {}),
        }
    }
}

fn is_connection(error: &ContractError) -> bool {
    error.is_connection()
}
