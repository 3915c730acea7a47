//! Apps as the API shows them: without their secrets.

use std::collections::BTreeMap;

use engine::{AppCard, AppDraft, Health, Overview};
use jiff::Timestamp;
use model::{
    App, AppId, Binding, CodePlan, DrillPlan, Limits, ManagedBy, Name, Proof, QuiescePlan,
    RecoveryPlan, Run, RunState, Snapshot, Source, retention::RetentionPolicy, schedule::Schedule,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An app without its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = App)]
pub(in crate::api) struct AppShown {
    /// Identity; stays when the app is renamed.
    id: AppId,
    /// Unique among apps, compared without case.
    name: Name,
    /// A disabled app keeps its snapshots and does not run.
    enabled: bool,
    /// At least one; several make one snapshot.
    sources: Vec<SourceShown>,
    /// Where copies go; the order is the user's.
    destinations: Vec<Binding>,
    /// When it runs; `null` runs by hand only.
    schedule: Option<Schedule>,
    /// Which snapshots are kept, where a destination says nothing else.
    retention: RetentionPolicy,
    /// Bounds of a run.
    limits: Limits,
    /// How its artifacts are compressed: `none`, `gzip`, `zstd:3`; null is `auto`.
    compression: Option<String>,
    /// What its drills do.
    drill: DrillPlan,
    /// How it is brought to stand still while its sources are read.
    quiesce: QuiescePlan,
    /// Its code; `null` where the orchestrator does not know of it.
    code: Option<CodePlan>,
    /// Its continuous archive of WAL; `null` where there is none.
    recovery: Option<RecoveryPlan>,
    /// What it is declared in, where that is not here; it is changed there.
    managed_by: Option<ManagedBy>,
    /// When it was registered.
    created_at: Timestamp,
    /// When it was last edited.
    updated_at: Timestamp,
    /// Counts edits; an edit names the version it saw.
    version: i64,
}

/// One source of an app, without its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Source)]
pub(in crate::api) struct SourceShown {
    /// Unique within the app.
    name: Name,
    /// `contract`, `postgres`, `mysql`, `redis`, `sqlite`, `volume` or `files`.
    kind: String,
    /// Its settings, by the kind's own keys.
    settings: BTreeMap<String, String>,
    /// Names of the secrets that are stored for it.
    secrets: Vec<String>,
}

/// How an app is.
#[derive(Serialize, ToSchema)]
#[schema(as = AppCard)]
pub(in crate::api) struct CardShown {
    /// The app.
    app: AppShown,
    /// How it is, the worst truth first.
    health: Health,
    /// Its last ended run.
    last_run: Option<Run>,
    /// Its run under way or waiting.
    active_run: Option<Run>,
    /// Its newest good snapshot.
    last_good: Option<Snapshot>,
    /// When it runs next.
    next_fire: Option<Timestamp>,
    /// Age of the newest good snapshot, in seconds: what would be lost now.
    rpo_secs: Option<i64>,
    /// How old it may get, in seconds.
    objective_secs: i64,
    /// Longest time between two of its snapshots in the last 30 days, up to now, in seconds.
    longest_gap_secs: Option<i64>,
    /// Its last drill that ended.
    last_drill: Option<Run>,
    /// Its last drill that proved that a snapshot can come back.
    proven: Option<Proof>,
    /// Seconds that its last good drill took, else its last restore.
    rto_secs: Option<f64>,
    /// Seconds that a restore may take at most; `null` where nobody said.
    restore_objective_secs: Option<u64>,
    /// Bytes that its copies and its archive of WAL take, all destinations together.
    stored_bytes: u64,
    /// One state for each of the last 30 days, oldest first; `null` where nothing ran.
    strip: Vec<Option<RunState>>,
}

/// How all apps are.
#[derive(Serialize, ToSchema)]
#[schema(as = Overview)]
pub(in crate::api) struct OverviewShown {
    /// When it was looked at.
    at: Timestamp,
    /// The apps, the ones in trouble first.
    apps: Vec<CardShown>,
    /// Apps that are good, running or partial.
    protected: usize,
    /// Apps overdue.
    late: usize,
    /// Apps failed or damaged.
    failed: usize,
    /// Apps in all.
    total: usize,
}

/// An edit of an app; it names the version it saw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct AppEdit {
    /// The version that was edited.
    pub(in crate::api) version: i64,
    #[serde(flatten)]
    pub(in crate::api) draft: AppDraft,
}

/// The moments at which a schedule fires next.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Fires {
    /// The moments, the first one first.
    pub(in crate::api) fires: Vec<Timestamp>,
}

impl From<Source> for SourceShown {
    fn from(source: Source) -> Self {
        Self {
            kind: source.word().to_owned(),
            settings: engine::shown_settings(&source),
            secrets: engine::stored_secrets(&source),
            name: source.name,
        }
    }
}

impl From<App> for AppShown {
    fn from(app: App) -> Self {
        Self {
            id: app.id,
            name: app.name,
            enabled: app.enabled,
            sources: app.sources.into_iter().map(Into::into).collect(),
            destinations: app.destinations,
            schedule: app.schedule,
            retention: app.retention,
            limits: app.limits,
            compression: app.compression,
            drill: app.drill,
            quiesce: app.quiesce,
            code: app.code,
            recovery: app.recovery,
            managed_by: app.managed_by,
            created_at: app.created_at,
            updated_at: app.updated_at,
            version: app.version,
        }
    }
}

impl From<AppCard> for CardShown {
    fn from(card: AppCard) -> Self {
        Self {
            restore_objective_secs: card.app.limits.restore_objective_secs,
            app: card.app.into(),
            health: card.health,
            last_run: card.last_run,
            active_run: card.active_run,
            last_good: card.last_good,
            next_fire: card.next_fire,
            rpo_secs: card.rpo_secs,
            objective_secs: card.objective_secs,
            longest_gap_secs: card.longest_gap_secs,
            last_drill: card.last_drill,
            proven: card.proven,
            rto_secs: card.rto_secs,
            stored_bytes: card.stored_bytes,
            strip: card.strip,
        }
    }
}

impl From<Overview> for OverviewShown {
    fn from(all: Overview) -> Self {
        Self {
            at: all.at,
            apps: all.cards.into_iter().map(Into::into).collect(),
            protected: all.protected,
            late: all.late,
            failed: all.failed,
            total: all.total,
        }
    }
}
