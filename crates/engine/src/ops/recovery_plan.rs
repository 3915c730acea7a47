//! What people say of an app's continuous archive of WAL, and what is made of it.

use model::{
    Binding, Destination, DestinationKind, DirectKind, Fact, RecoveryPlan, Source, SourceKind,
    WalWay,
};
use serde::{Deserialize, Serialize};

use crate::FieldError;

/// Longest way from one base backup to the next, in hours: 31 days.
const MOST_HOURS: u32 = 31 * 24;
/// Longest window, in days.
const MOST_DAYS: u32 = 3650;
/// Least that a server may keep for us: fewer would be let go of by a short outage.
const LEAST_KEPT: u64 = 256 << 20;

/// What people say of an app's continuous archive of WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryDraft {
    /// Whether there is one; false takes away the plan and leaves what is stored.
    pub enabled: bool,
    /// The source; left out where only one is a PostgreSQL server.
    pub source: Option<String>,
    /// How WAL comes.
    pub way: WalWay,
    /// One of the app's destinations, by its name or id; left out: the first.
    pub destination: Option<String>,
    /// Hours from one base backup to the next.
    pub base_every_hours: u32,
    /// How many days back any moment can be restored.
    pub window_days: u32,
    /// Whether a row is written in the server every minute, by which drills prove the moment.
    pub heartbeat: bool,
    /// WAL that the server may keep for us, in bytes; left out: 10 GiB.
    pub most_kept_bytes: Option<u64>,
}

impl Default for RecoveryDraft {
    fn default() -> Self {
        Self {
            enabled: true,
            source: None,
            way: WalWay::Stream,
            destination: None,
            base_every_hours: 24,
            window_days: 7,
            heartbeat: false,
            most_kept_bytes: None,
        }
    }
}

impl RecoveryDraft {
    /// The plan for an app with `sources` and `bindings`; `None` where it is taken away, or where
    /// something is wrong, which is added to `errors`.
    pub(super) fn parse(
        &self,
        sources: &[Source],
        bindings: &[Binding],
        known: &[Destination],
        errors: &mut Vec<FieldError>,
    ) -> Option<RecoveryPlan> {
        if !self.enabled {
            return None;
        }
        let before = errors.len();
        let mut wrong = |field: &str, why: Fact| {
            errors.push(FieldError::new(format!("recovery.{field}"), why));
        };
        let servers: Vec<&Source> = sources.iter().filter(|one| is_postgres(one)).collect();
        let source = match (self.source.as_deref(), servers.as_slice()) {
            (Some(named), _) => servers.iter().copied().find(|one| one.name.as_str() == named),
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        if source.is_none() {
            wrong("source", Fact::NamePostgres {});
        }
        let destination = match self.destination.as_deref() {
            Some(named) => bindings.iter().find(|one| {
                let is_it = |place: &Destination| {
                    place.id == one.destination_id
                        && (place.id.to_string() == named || place.name.as_str() == named)
                };
                known.iter().any(is_it)
            }),
            None => bindings.first(),
        };
        if destination.is_none() {
            wrong("destination", Fact::NameOwnDestination {});
        }
        let place = destination.and_then(|one| known.iter().find(|at| at.id == one.destination_id));
        if place.is_some_and(|place| !keeps_wal(place)) {
            wrong("destination", Fact::NoWalThere {});
        }
        if !(1..=MOST_HOURS).contains(&self.base_every_hours) {
            wrong("base_every_hours", Fact::HoursUpTo { most: u64::from(MOST_HOURS) });
        }
        if !(1..=MOST_DAYS).contains(&self.window_days) {
            wrong("window_days", Fact::DaysUpTo { most: u64::from(MOST_DAYS) });
        }
        if self.most_kept_bytes.is_some_and(|bytes| bytes < LEAST_KEPT) {
            wrong("most_kept_bytes", Fact::AtLeastKept {});
        }
        if errors.len() > before {
            return None;
        }
        Some(RecoveryPlan {
            source: source?.name.clone(),
            way: self.way,
            destination: destination?.destination_id,
            base_every_hours: self.base_every_hours,
            window_days: self.window_days,
            heartbeat: self.heartbeat,
            most_kept_bytes: self.most_kept_bytes,
        })
    }
}

impl From<&RecoveryPlan> for RecoveryDraft {
    fn from(plan: &RecoveryPlan) -> Self {
        Self {
            enabled: true,
            source: Some(plan.source.to_string()),
            way: plan.way,
            destination: Some(plan.destination.to_string()),
            base_every_hours: plan.base_every_hours,
            window_days: plan.window_days,
            heartbeat: plan.heartbeat,
            most_kept_bytes: plan.most_kept_bytes,
        }
    }
}

/// Whether objects that are none of a repository can lie at `destination`.
pub(crate) fn keeps_wal(destination: &Destination) -> bool {
    destination.kind != DestinationKind::Rest
}

/// Whether `source` is a server that WAL can be had from.
pub(crate) fn is_postgres(source: &Source) -> bool {
    matches!(&source.kind, SourceKind::Direct(direct) if direct.what == DirectKind::Postgres)
}

impl super::apps::AppDraft {
    /// The plan that is said, or else the one that was.
    pub(super) fn recovery_plan(
        &self,
        current: Option<&model::App>,
        sources: &[Source],
        bindings: &[Binding],
        known: &[Destination],
        errors: &mut Vec<FieldError>,
    ) -> Option<RecoveryPlan> {
        let kept = || current.and_then(|app| app.recovery.as_ref()).map(RecoveryDraft::from);
        self.recovery.clone().or_else(kept)?.parse(sources, bindings, known, errors)
    }
}
