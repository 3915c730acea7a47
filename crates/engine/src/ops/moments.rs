//! Asking for restores and drills of a server at a moment.

use jiff::Timestamp;
use model::{
    App, AppId, Fact, Lsn, Moment, MomentOrder, Name, Preflight, PreflightCheck, PreflightLevel,
    RestoreOrder, RestoreReport, RestoreTarget, Run, RunId, RunKind, Snapshot, SnapshotId, Trigger,
};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    Engine, EngineError,
    docker::{self, served::Served},
    pitr::restore::{
        choose::{Missed, Way, choose, spans},
        known::{Archive, base_of},
        wal,
    },
    run::{backup, restore::look},
    source::direct::Asked,
};

/// How long finding a container may take: a page waits for it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// How much of a container's name, and of a moment's, is in that of a copy.
const MAX_OF_CONTAINER: usize = 36;
const MAX_OF_WORD: usize = 22;

/// What somebody asks of a restore to a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MomentRequest {
    /// The moment.
    pub order: MomentOrder,
    /// Where the server goes; left out, into a new container beside the one that it is in.
    #[serde(default)]
    pub target: Option<RestoreTarget>,
    /// The app's name, where something would be replaced.
    #[serde(default)]
    pub confirm: Option<String>,
    /// What is in its place may be replaced; `confirm` has to be there too.
    #[serde(default)]
    pub overwrite: bool,
}

/// What a restore to a moment would meet.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MomentPreflight {
    /// As for every restore.
    #[serde(flatten)]
    pub preflight: Preflight,
    /// The base backup it begins with; `None` where the moment cannot be reached.
    pub base: Option<SnapshotId>,
    /// When that was whole.
    pub base_at: Option<Timestamp>,
    /// The timeline that is followed.
    pub timeline: Option<u32>,
    /// Where replay begins.
    pub replay_from: Option<Lsn>,
    /// Up to where WAL is read.
    pub replay_to: Option<Lsn>,
    /// WAL to be read, in bytes.
    pub wal_bytes: u64,
    /// The nearest moment before, where this one cannot be reached.
    pub nearest_before: Option<Timestamp>,
    /// The nearest moment after, where this one cannot be reached.
    pub nearest_after: Option<Timestamp>,
}

/// Whether `run`, of which `report` tells, put a server in the place of another, which can take its
/// place again.
pub fn may_go_back(run: &Run, report: &RestoreReport) -> bool {
    let is_in_place = run
        .restore
        .as_ref()
        .is_some_and(|order| order.moment.is_some() && order.target == RestoreTarget::App);
    is_in_place && report.steps.iter().any(|step| step.kept.is_some())
}

impl Engine {
    /// What a restore to a moment would meet; changes nothing.
    pub async fn moment_preflight(
        &self,
        app: AppId,
        request: &MomentRequest,
    ) -> Result<MomentPreflight, EngineError> {
        let app = self.0.catalog.app(app).await?;
        self.look_at_moment(&app, request).await.map(|(seen, _)| seen)
    }

    /// Queues a restore to a moment. Where it replaces something, the app's name has to be given.
    pub async fn restore_to_moment(
        &self,
        app: AppId,
        request: MomentRequest,
    ) -> Result<Run, EngineError> {
        let app = self.0.catalog.app(app).await?;
        let target = self.moment_target(&app, &request).await?;
        let request = MomentRequest { target: Some(target.clone()), ..request };
        let (seen, base) = self.look_at_moment(&app, &request).await?;
        let mut checks = seen.preflight.checks.iter();
        if let Some(blocked) = checks.find(|check| check.level == PreflightLevel::Blocked) {
            return Err(EngineError::refused(blocked.sentence.clone()));
        }
        let base = base.ok_or_else(no_base)?;
        if let Some(wanted) = &seen.preflight.confirm
            && (!request.overwrite || request.confirm.as_deref().map(str::trim) != Some(wanted))
        {
            let what: Vec<_> =
                seen.preflight.items.iter().filter_map(|item| item.replaces.as_deref()).collect();
            return Err(EngineError::refused(Fact::ConfirmReplaced {
                what: what.join(", "),
                app: wanted.clone(),
            }));
        }
        let order = RestoreOrder {
            overwrite: seen.preflight.confirm.is_some(),
            ..order(&base, target, request.order)
        };
        self.queue(self.run_to_moment(&app, &base, RunKind::Restore, order, Trigger::Manual)).await
    }

    /// Queues a restore that goes back on `run`, which put a server in the place of another: what it
    /// kept takes its place again. The app's name has to be given.
    pub async fn undo_moment(&self, run: RunId, confirm: Option<&str>) -> Result<Run, EngineError> {
        let before = self.0.catalog.run(run).await?;
        let report = self.restore_report(run).await?;
        let nothing = || EngineError::refused(Fact::NothingKept {});
        let report = report.filter(|report| may_go_back(&before, report));
        let (Some(_), Some(order), Some(app), Some(base)) =
            (report, before.restore, before.app_id, before.snapshot_id)
        else {
            return Err(nothing());
        };
        let app = self.0.catalog.app(app).await?;
        let base = self.0.catalog.snapshot(base).await?;
        let order = RestoreOrder { undoes: Some(run), overwrite: true, given_up: None, ..order };
        let looked = look::look(self, &app, &base, &order, "preflight").await;
        let seen = looked.map_err(EngineError::refused)?;
        let mut checks = seen.checks.iter();
        if let Some(blocked) = checks.find(|check| check.level == PreflightLevel::Blocked) {
            return Err(EngineError::refused(blocked.sentence.clone()));
        }
        if confirm.map(str::trim) != Some(app.name.as_str()) {
            return Err(EngineError::refused(Fact::ConfirmGoBack { app: app.name.to_string() }));
        }
        self.queue(self.run_to_moment(&app, &base, RunKind::Restore, order, Trigger::Manual)).await
    }

    /// The container that the app's server is in, where it is in one that can be copied.
    pub async fn moment_container(&self, app: &App) -> Option<String> {
        self.served(app).await.map(|served| served.name)
    }

    async fn served(&self, app: &App) -> Option<Served> {
        let plan = app.recovery.as_ref()?;
        self.0.config.docker_host.as_ref()?;
        let source = app.sources.iter().find(|source| source.name == plan.source)?;
        let model::SourceKind::Direct(direct) = &source.kind else { return None };
        let asked = Asked { engine: self, app, source, direct };
        let found = async {
            let docker = docker::connect(&self.0.config).await.ok()?;
            Served::of(&docker, &asked).await.ok()?
        };
        tokio::time::timeout(PATIENCE, found).await.ok()?
    }

    /// Where a server goes if nobody says where: beside the container that it is in, by a name that
    /// says the moment.
    async fn moment_target(
        &self,
        app: &App,
        request: &MomentRequest,
    ) -> Result<RestoreTarget, EngineError> {
        if let Some(target) = &request.target {
            return Ok(target.clone());
        }
        let served = self.served(app).await;
        let served = served.ok_or_else(|| EngineError::invalid("target", Fact::SayFolder {}))?;
        let word = match &request.order.moment {
            Moment::Time { at } => at.strftime("%Y%m%d-%H%M%S").to_string(),
            Moment::Lsn { at } => at.to_string().replace('/', "-"),
            Moment::RestorePoint { name } => name.clone(),
            Moment::Latest => "latest".to_owned(),
        };
        Ok(RestoreTarget::Beside { name: copied_name(&served.name, &word)? })
    }

    /// Queues a drill of a moment; without one, of any moment that can be restored.
    pub async fn drill_moment(
        &self,
        app: AppId,
        order: Option<MomentOrder>,
    ) -> Result<Run, EngineError> {
        let app = self.0.catalog.app(app).await?;
        let archive = Archive::of(self, &app).await?;
        let order = match order {
            Some(order) => order,
            None => self.any_moment(&archive).ok_or_else(no_base)?,
        };
        let run = self.drill_to(&app, &archive, order, Trigger::Manual)?;
        self.queue(run).await
    }

    /// A drill of any moment of `app`, not queued yet; `None` where none can be restored.
    pub(crate) async fn drill_of_any_moment(
        &self,
        app: &App,
        trigger: Trigger,
    ) -> Result<Option<Run>, EngineError> {
        if app.recovery.is_none() {
            return Ok(None);
        }
        let archive = Archive::of(self, app).await?;
        let any = self.any_moment(&archive);
        Ok(any.and_then(|order| self.drill_to(app, &archive, order, trigger).ok()))
    }

    fn drill_to(
        &self,
        app: &App,
        archive: &Archive,
        order: MomentOrder,
        trigger: Trigger,
    ) -> Result<Run, EngineError> {
        let way = choose(&archive.known, &order, None, self.now());
        let way = way.map_err(|missed| EngineError::refused(*missed.why))?;
        let base = archive.bases.iter().find(|one| one.id == way.base.snapshot);
        let base = base.ok_or_else(no_base)?;
        // Its own folder is chosen by the drill.
        let target = RestoreTarget::Folder { path: std::path::PathBuf::new() };
        let order = self::order(base, target, MomentOrder { pause: false, ..order });
        Ok(self.run_to_moment(app, base, RunKind::Drill, order, trigger))
    }

    /// A moment that can be restored, any of them as likely as any other.
    pub(crate) fn any_moment(&self, archive: &Archive) -> Option<MomentOrder> {
        let spans = spans(&archive.known);
        let lengths: Vec<u64> = spans.iter().map(|(from, until)| micros(*from, *until)).collect();
        let total: u64 = lengths.iter().sum();
        let (first, _) = spans.first()?;
        let mut at = if total == 0 { 0 } else { self.with_rng(|rng| rng.random_range(0..total)) };
        let mut moment = *first;
        for ((from, _), length) in spans.iter().zip(&lengths) {
            if at < *length {
                moment = from.saturating_add(std::time::Duration::from_micros(at)).ok()?;
                break;
            }
            at -= length;
        }
        Some(MomentOrder { moment: Moment::Time { at: moment }, timeline: None, pause: false })
    }

    async fn look_at_moment(
        &self,
        app: &App,
        request: &MomentRequest,
    ) -> Result<(MomentPreflight, Option<Snapshot>), EngineError> {
        let archive = Archive::of(self, app).await?;
        let way = match choose(&archive.known, &request.order, None, self.now()) {
            Ok(way) => way,
            Err(missed) => return Ok((cannot(missed), None)),
        };
        let base = archive.bases.into_iter().find(|one| one.id == way.base.snapshot);
        let base = base.ok_or_else(no_base)?;
        let target = self.moment_target(app, request).await?;
        let order = order(&base, target, request.order.clone());
        let looked = look::look(self, app, &base, &order, "preflight").await;
        let preflight = looked.map_err(EngineError::refused)?;
        Ok((can(&way, preflight), Some(base)))
    }

    fn run_to_moment(
        &self,
        app: &App,
        base: &Snapshot,
        kind: RunKind,
        order: RestoreOrder,
        trigger: Trigger,
    ) -> Run {
        let id = self.new_id(RunId::generate);
        Run {
            snapshot_id: Some(base.id),
            restore: Some(order),
            ..backup::queued(id, Some(app.id), kind, trigger, self.now())
        }
    }
}

/// A restore of the base backup in `base`, and nothing else of it, to a moment.
fn order(base: &Snapshot, target: RestoreTarget, moment: MomentOrder) -> RestoreOrder {
    let only = base_of(base).map(|artifact| model::Selection {
        artifact: artifact.source.clone(),
        paths: Vec::new(),
        tables: Vec::new(),
    });
    RestoreOrder {
        target,
        only: only.into_iter().collect(),
        from: None,
        overwrite: false,
        whole: None,
        moment: Some(moment),
        undoes: None,
        given_up: None,
    }
}

/// A name for the copy of `container` at the moment `word`.
fn copied_name(container: &str, word: &str) -> Result<Name, EngineError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let plain = |text: &str, most: usize| -> String {
        text.chars().map(|c| if allowed(c) { c } else { '-' }).take(most).collect()
    };
    let name = format!("{}-at-{}", plain(container, MAX_OF_CONTAINER), plain(word, MAX_OF_WORD));
    name.parse().map_err(|error: model::NameError| EngineError::invalid("target", error))
}

fn no_base() -> EngineError {
    EngineError::refused(Fact::NoBase {})
}

fn can(way: &Way, preflight: Preflight) -> MomentPreflight {
    let wal_bytes = wal::size(way);
    let size_bytes = preflight.size_bytes.saturating_add(wal_bytes);
    MomentPreflight {
        preflight: Preflight { size_bytes, ..preflight },
        base: Some(way.base.snapshot),
        base_at: Some(way.base.at),
        timeline: Some(way.history.timeline().number()),
        replay_from: Some(Lsn(way.base.base.start.0)),
        replay_to: Some(Lsn(way.end.0)),
        wal_bytes,
        ..MomentPreflight::default()
    }
}

fn cannot(missed: Missed) -> MomentPreflight {
    let check = PreflightCheck {
        artifact: None,
        level: PreflightLevel::Blocked,
        sentence: (*missed.why).into(),
    };
    MomentPreflight {
        preflight: Preflight { checks: vec![check], ..Preflight::default() },
        nearest_before: missed.before,
        nearest_after: missed.after,
        ..MomentPreflight::default()
    }
}

fn micros(from: Timestamp, until: Timestamp) -> u64 {
    u64::try_from(until.as_microsecond() - from.as_microsecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_names_that_docker_takes() {
        let name = |container: &str, word: &str| copied_name(container, word).unwrap().to_string();
        assert_eq!(name("shop-db", "20261121-133000"), "shop-db-at-20261121-133000");
        assert_eq!(name("shop.db", "before deploy 7"), "shop-db-at-before-deploy-7");
        assert_eq!(name(&"x".repeat(99), &"y".repeat(99)).len(), 62);
    }
}
