//! Everything that happens: schedules, runs, retention, doctor.
//!
//! An [`Engine`] is handed its catalog, clock, vault, randomness and configuration. Its loops
//! ([`Engine::serve`]) fire schedules, work off runs and take over what dead workers left; its
//! operations (`ops`) are what the API, the web pages and the command line call.

mod alerts;
mod anomaly;
mod clock;
mod config;
mod contact;
mod docker;
mod doctor;
mod doctor_host;
mod durable;
mod duty;
mod error;
mod index;
mod keyring;
mod ops;
mod orphans;
mod pitr;
mod process;
mod pulse;
pub mod recovery;
mod reindex;
mod removal;
mod repositories;
mod run;
mod scheduler;
mod source;
mod stores;
mod takeover;
mod target;
mod timekeeping;
mod trees;
mod upkeep;
pub mod vault;
mod worker;
mod wrong;

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use catalog::Catalog;
use jiff::Timestamp;
use model::Clock;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use alerts::{DigestEntry, Notice, PlainWording, Usual, Wording};
pub use clock::SystemClock;
pub use config::{EngineConfig, GoogleUrls, WalTimes};
pub use contact::Contact;
pub use docker::{
    coverage::{CoverageState, Covered, CoveredKind},
    discovery::{ProtectRequest, Protected},
};
pub use doctor::{Check, CheckState, Report};
pub use error::{EngineError, FieldError};
pub use index::{ArchiveEntry, EntryKind, Listing, Reading};
pub use ops::repositories::RepositoryKey;
pub use ops::{
    apps::{AppDraft, BindingDraft, ScheduleDraft},
    browse::MemberStream,
    channels::ChannelDraft,
    destinations::{DestinationDraft, DestinationFields, fields_of},
    diff::{Aspect, Change, Compared, DiffEntry, SnapshotDiff, SourceDiff},
    drill::DrillStanding,
    google::GoogleQuestion,
    indexing::is_archive,
    managed::{DeclareError, Declared, Entry, Reconciled},
    moments::{MomentPreflight, MomentRequest, may_go_back},
    overview::{AppCard, Overview},
    projection::Projection,
    recovery_plan::RecoveryDraft,
    restore::{PartRequest, RestoreRequest},
    retention::{PreviewedSnapshot, RetentionPreview},
    routes::{DeliveryShown, RouteDraft},
    runs::RunRequest,
    snapshots::PlainStream,
    sources::{SourceDraft, shown_settings, stored_secrets},
    standing::{Health, Standing},
    storage::{StorageDay, StorageForecast, StorageTrend},
};
pub use pitr::{Handed, Pushed, WalBody, WalStream};
pub use pulse::Pace;
pub use reindex::{ReindexProblem, Reindexed};
pub use repositories::{
    RepositoryCheck, RepositoryFreed, RepositoryLocked, RepositoryState, RepositoryStatistics,
    is_repository,
};
pub use source::direct::{SettingField, SettingValue, secrets_of, settings_of};
pub use vault::Vault;

/// The engine. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    vault: Vault,
    config: EngineConfig,
    wording: Arc<dyn Wording>,
    rng: Mutex<StdRng>,
    stores: stores::StoreCache,
    repositories: stores::RepositoryCache,
    /// Where WAL lies beside repositories.
    wal_stores: stores::StoreCache,
    /// Exports this process works on.
    streams: AtomicUsize,
    /// Whose turn it is to write progress.
    reporting: tokio::sync::Semaphore,
    /// What is in snapshots' archives.
    indexes: index::Cache,
    /// What copies took, day by day.
    storage: ops::storage_kept::Kept,
    /// How the loops go.
    pulse: pulse::Pulse,
    /// Which destinations answered.
    contacts: contact::Contacts,
    /// Rung when there may be something to work on sooner than the next tick.
    queue_bell: Notify,
    /// Rung when schedules may have changed.
    schedule_bell: Notify,
    /// Rung when there may be a message to send.
    delivery_bell: Notify,
}

/// What an engine is made of.
pub struct Parts {
    /// The index.
    pub catalog: Catalog,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Opens and seals secrets.
    pub vault: Vault,
    /// Bounds and permissions.
    pub config: EngineConfig,
    /// Puts alerts into words.
    pub wording: Arc<dyn Wording>,
    /// Where randomness comes from.
    pub rng: StdRng,
}

impl Engine {
    /// Puts an engine together. Nothing happens before [`Self::serve`].
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            catalog: parts.catalog,
            clock: parts.clock,
            vault: parts.vault,
            indexes: index::Cache::beside(&parts.config.spool),
            config: parts.config,
            wording: parts.wording,
            rng: Mutex::new(parts.rng),
            stores: stores::StoreCache::default(),
            repositories: stores::RepositoryCache::default(),
            wal_stores: stores::StoreCache::default(),
            streams: AtomicUsize::new(0),
            reporting: tokio::sync::Semaphore::new(1),
            storage: ops::storage_kept::Kept::default(),
            pulse: pulse::Pulse::default(),
            contacts: contact::Contacts::default(),
            queue_bell: Notify::new(),
            schedule_bell: Notify::new(),
            delivery_bell: Notify::new(),
        }))
    }

    /// Fires schedules, works off runs, takes over abandoned ones and sweeps orphans until
    /// `shutdown`. Runs under way then get ten seconds, are recorded as interrupted and queued
    /// again.
    pub async fn serve(&self, shutdown: CancellationToken) {
        tokio::join!(
            scheduler::fire_schedules(self, shutdown.clone()),
            takeover::end_abandoned_runs(self, shutdown.clone()),
            duty::settle_what_is_left(self, shutdown.clone()),
            orphans::sweep_regularly(self, shutdown.clone()),
            upkeep::keep_up(self, shutdown.clone()),
            worker::work_off_runs(self, shutdown.clone()),
            docker::follow_labels(self, shutdown.clone()),
            docker::coverage::follow_coverage(self, shutdown.clone()),
            docker::strays::remove_strays(self, shutdown.clone()),
            recovery::follow::follow(self, shutdown.clone()),
            alerts::follow(self, shutdown.clone()),
            pitr::follow(self, shutdown.clone()),
        );
    }

    /// Ends at once what an earlier process on the same data left running. Only where one
    /// process at a time may use the catalog; elsewhere leases run out by themselves.
    pub async fn take_over_at_start(&self) -> Result<(), EngineError> {
        Ok(takeover::end_runs_of_the_past(self).await?)
    }

    /// The index this engine works on.
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// The present moment by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The configuration it was given.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// The vault that seals its secrets.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Does something with the engine's randomness.
    pub fn with_rng<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A new identifier, made by one of the `generate` functions of `model`.
    pub(crate) fn new_id<T>(&self, generate: impl FnOnce(Timestamp, &mut StdRng) -> T) -> T {
        let now = self.now();
        self.with_rng(|rng| generate(now, rng))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("instance", &self.0.config.instance).finish_non_exhaustive()
    }
}
