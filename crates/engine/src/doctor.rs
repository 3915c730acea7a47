//! Looks for what would make a run fail, and says what to do about it.

use bytes::Bytes;
use contract::ContractError;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use model::{
    App, ContractSource, Destination, DestinationKind, Name, SourceKind,
    destination::DestinationCheck,
};
use serde::Serialize;
use store::{Key, Prefix, S3, Store};

use crate::{
    Engine, EngineError, pitr, repositories::is_repository, run::commit::put, source,
    stores::object_lock, trees::Host,
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
    /// What was found.
    pub detail: String,
    /// What to do, where something is wrong.
    pub advice: Option<String>,
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

    pub(crate) fn ok(&mut self, id: &'static str, detail: impl Into<String>) {
        self.push(id, CheckState::Ok, detail, None);
    }

    pub(crate) fn failed(
        &mut self,
        id: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.push(id, CheckState::Failed, detail, Some(advice.into()));
    }

    pub(crate) fn push(
        &mut self,
        id: &'static str,
        state: CheckState,
        detail: impl Into<String>,
        advice: Option<String>,
    ) {
        self.checks.push(Check { id, source: None, state, detail: detail.into(), advice });
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
                report.failed("secrets", failure.message, "enter the token again");
                return;
            }
        };
        match client.health().await {
            Ok(()) => report.ok("reachable", format!("{} answers", server.url)),
            Err(error) if is_connection(&error) => {
                report.failed(
                    "reachable",
                    error.to_string(),
                    unreachable_advice(server.url.host_str()),
                );
                return;
            }
            // `/healthz` is for people and container engines; a run does not need it.
            Err(error) => report.push(
                "reachable",
                CheckState::Warning,
                error.to_string(),
                Some("serve GET /healthz so that container engines can see it live".into()),
            ),
        }
        match client.capabilities().await {
            Ok(found) => {
                report.ok("token", "the token is accepted");
                report.ok(
                    "contract",
                    format!("contract {}, types {}", found.version, found.types.join(", ")),
                );
                let size = found.est_size.unwrap_or(0);
                let limit = app.limits.max_size_bytes.unwrap_or(self.0.config.max_size_bytes);
                if size > limit {
                    report.failed(
                        "size",
                        format!("it expects {size} bytes, {limit} are allowed"),
                        "raise BACKUP_MAX_SIZE_MB or the app's own limit",
                    );
                } else {
                    report.ok("size", format!("it expects {size} bytes"));
                }
            }
            Err(error @ ContractError::Unauthorized { .. }) => report.failed(
                "token",
                error.to_string(),
                "paste the token from the sidecar's `.env` (BACKUP_API_TOKEN)",
            ),
            Err(error) => report.failed(
                "contract",
                error.to_string(),
                "look at the app's or sidecar's log; `contract check` tells more",
            ),
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
                report.ok("settings", format!("opens as {}", store.capability().location));
                self.canary(destination, store.as_ref(), &mut report).await;
                self.lock_files(destination, &mut report).await;
                self.object_lock(destination, &mut report).await;
                self.keys(destination, &mut report);
                self.trees(destination, &mut report).await;
            }
            Err(error) => {
                report.failed("settings", error.to_string(), "correct the destination's settings");
            }
        }
        let problem = report
            .checks
            .iter()
            .find(|check| check.state == CheckState::Failed)
            .map(|check| check.detail.clone());
        let check = DestinationCheck { at: report.at, problem };
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
            Ok(false) => report.ok("lock_files", "lock files are removed when they are given back"),
            Ok(true) => report.push(
                "lock_files",
                CheckState::Warning,
                "lock files cannot be removed: each counts for half an hour, and then lies there",
                Some(
                    "allow deletion in the folder `locks` alone, or let a rule of the storage \
                     remove what is a day old there"
                        .into(),
                ),
            ),
            Err(error) => report.failed(
                "lock_files",
                error.to_string(),
                "see who else works on the repository, and that the folder `locks` can be written",
            ),
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
            Ok(true) => report.ok("object_lock", "the bucket knows Object Lock"),
            Ok(false) => report.failed(
                "object_lock",
                "Object Lock is off in this bucket: nothing that is written can be locked",
                "switch it on in the bucket's properties, or leave the setting out",
            ),
            Err(error) => report.push(
                "object_lock",
                CheckState::Warning,
                error.to_string(),
                Some("allow s3:GetBucketObjectLockConfiguration to see whether it is on".into()),
            ),
        }
    }

    /// Whether trees of files can be made there.
    async fn trees(&self, destination: &Destination, report: &mut Report) {
        let Ok(Some(host)) = Host::of(&self.0, destination) else { return };
        match host.ready(&self.0.config).await {
            Ok(()) => report.ok("trees", "rsync and what else trees need are there"),
            Err(failure) => {
                let advice = "install rsync, and on a server also GNU findutils, coreutils and tar";
                report.failed("trees", failure.message, advice);
            }
        }
    }

    /// Whether what is written there can be encrypted, and read again from here.
    fn keys(&self, destination: &Destination, report: &mut Report) {
        let recipients = match self.0.recipients_of(destination) {
            Ok(None) => return,
            Ok(Some(recipients)) => recipients,
            Err(failure) => {
                let advice = "correct the destination's encryption";
                return report.failed("encryption", failure.message, advice);
            }
        };
        match self.0.identities_of(destination) {
            Ok(own) if own.opens(&recipients) => {
                report.ok("encryption", "encrypted with age, and the key to read it is here");
            }
            Ok(own) => report.push(
                "encryption",
                CheckState::Warning,
                if own.is_empty() {
                    "encrypted with age, and the identity is not here: verification sees damage \
                     to stored bytes only, and nothing can be restored from here"
                } else {
                    "encrypted with age, and the identity here does not belong to its \
                     recipients: what is written now cannot be restored from here"
                },
                Some(
                    "enter the age identity, or keep it where a restore by hand will find it"
                        .into(),
                ),
            ),
            Err(failure) => {
                report.failed("encryption", failure.message, "enter the age identity again");
            }
        }
    }

    async fn canary(&self, destination: &Destination, store: &dyn Store, report: &mut Report) {
        let id = self.new_id(model::RunId::generate);
        let (Ok(key), Ok(prefix)) = (Key::new(&format!("{CANARY}/{id}.txt")), Prefix::new(CANARY))
        else {
            return;
        };
        let body = Bytes::from(format!("canary {id}, safe to delete\n"));
        let advice = "check that the credentials may write there, and that there is room";
        match put(store, &key, body).await {
            Ok(()) => report.ok("write_read", "a small object was written and read back"),
            Err(error) => return report.failed("write_read", error.to_string(), advice),
        }
        let listing = async { store.list(&prefix).await?.try_collect::<Vec<_>>().await };
        match listing.await {
            Ok(found) if found.iter().any(|object| object.key == key) => {
                report.ok("list", "the listing shows it");
            }
            Ok(_) => report.failed(
                "list",
                "the listing does not show what was just written",
                "retention needs true listings: check for caches between here and there",
            ),
            Err(error) => {
                report.failed("list", error.to_string(), "the credentials must be able to list");
            }
        }
        let deleted = match store.delete(&key).await {
            Ok(()) => match store.stat(&key).await {
                Err(error) if error.is_not_found() => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err("it is still there after its deletion".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        };
        match (deleted, destination.append_only) {
            (Ok(()), false) => report.ok("delete", "it was deleted"),
            (Ok(()), true) => report.push(
                "delete",
                CheckState::Warning,
                "deletion is possible although the destination is said to be append-only",
                Some("use credentials that cannot delete, or switch append-only off".into()),
            ),
            (Err(detail), true) => report.ok("delete", format!("deletion is refused: {detail}")),
            (Err(detail), false) => report.failed(
                "delete",
                detail,
                "retention needs to delete: allow it, or say that the destination is append-only",
            ),
        }
    }
}

fn is_connection(error: &ContractError) -> bool {
    error.is_connection()
}

fn unreachable_advice(host: Option<&str>) -> String {
    let host = host.unwrap_or("the app");
    format!(
        "check that `{host}` runs, is on the network `backups_net`, listens on 0.0.0.0, and that \
         the port is right: docker network connect backups_net {host}"
    )
}
