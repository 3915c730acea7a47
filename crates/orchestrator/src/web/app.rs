//! One app: its state, snapshots, runs, and what can be done with it.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{Html, Response},
};
use catalog::RunQuery;
use engine::{AppCard, Report, RunRequest};
use model::{App, CopyState, Snapshot, SnapshotKind, Source, SourceKind};

use super::{
    Web,
    alerts::UsualPanel,
    app_sources,
    drills::{LastDrill, Planned},
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    format::When,
    lang::Lang,
    moments,
    overview::{Row, row},
    page::{Nav, Page},
    report::CheckRow,
    retention::{Badges, Rules},
    runs::RunRow,
    snapshots::SnapshotRow,
    storage::StoragePanel,
    visitor::Visitor,
};

/// Snapshots shown on the app's own page.
const SNAPSHOTS: usize = 30;

/// Where copies go.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) folder: String,
    pub(super) rules: String,
    pub(super) template: String,
}

/// Where data comes from.
struct SourceRow {
    name: String,
    kind: String,
    place: String,
    /// Its token was changed, and the one before is still tried.
    rotating: bool,
}

impl SourceRow {
    fn new(source: &Source, lang: Lang) -> Self {
        Self {
            name: source.name.to_string(),
            kind: app_sources::kind_word(lang, source.word()),
            place: app_sources::place(lang, source),
            rotating: matches!(
                &source.kind,
                SourceKind::Contract(server) if server.previous_token.is_some()
            ),
        }
    }
}

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage {
    page: Page,
    row: Row,
    sources: Vec<SourceRow>,
    places: Vec<Place>,
    schedule: Option<String>,
    zone: String,
    fires: Vec<When>,
    rules: String,
    snapshots: Vec<SnapshotRow>,
    more_snapshots: usize,
    runs: Vec<RunRow>,
    checks: Option<Vec<CheckRow>>,
    confirm: bool,
    wrong_name: bool,
    /// The snapshot that a restore would most likely be of.
    newest: Option<String>,
    /// Which moments can be gone back to, where its server can.
    moments: Option<(String, &'static str)>,
    drill: Option<LastDrill>,
    plan: Planned,
    usual: UsualPanel,
    /// What its copies and its WAL take.
    storage: Option<StoragePanel>,
    /// When a copy of any of its snapshots was last read again.
    verified: Option<When>,
}

impl AppPage {
    /// What its buttons at the end do, from the command line.
    fn commands(&self) -> Vec<String> {
        let command = |verb: &str| format!("backup-orchestrator {verb} {}", self.row.name);
        let mut all = Vec::new();
        if self.page.may_operate {
            all.push(command("doctor app"));
        }
        if self.page.may_configure && self.row.managed.is_none() {
            all.push(command(if self.row.enabled { "app disable" } else { "app enable" }));
            all.push(command("app remove"));
        }
        all
    }
}

/// The newest good snapshot that is restored as it is: a base backup is brought to a moment.
fn newest(card: &AppCard, snapshots: &[Snapshot]) -> Option<String> {
    let is_whole = |one: &&Snapshot| one.kind != SnapshotKind::Base;
    let last = card.last_good.as_ref().filter(is_whole);
    let newest = last.or_else(|| snapshots.iter().filter(is_whole).find(|one| one.is_good()));
    newest.map(|one| one.id.to_string())
}

async fn moments(
    web: &Web,
    app: &App,
    visitor: &Visitor,
) -> Result<Option<(String, &'static str)>, Fault> {
    if app.recovery.is_none() {
        return Ok(None);
    }
    let state = moments::known(web, app).await?;
    Ok(Some(moments::sentence(&state, visitor)))
}

async fn find(web: &Web, name: &str) -> Result<App, Fault> {
    Ok(web.engine.catalog().app_by_name(name).await?)
}

#[derive(Default)]
struct Extra {
    checks: Option<Report>,
    confirm: bool,
    wrong_name: bool,
}

async fn page_of(
    web: &Web,
    visitor: &Visitor,
    app: App,
    extra: Extra,
) -> Result<Html<String>, Fault> {
    let (catalog, lang) = (web.engine.catalog(), visitor.lang);
    let names: HashMap<_, _> =
        catalog.all_destinations().await?.into_iter().map(|d| (d.id, d.name)).collect();
    let name_of = |id| names.get(&id).map_or_else(|| "–".to_owned(), ToString::to_string);
    let badges = Badges::new(&web.engine.preview_retention(&app, None).await?, lang);
    let mut snapshots = catalog.snapshots_of_app(app.id).await?;
    snapshots.retain(|one| one.copies.iter().any(|copy| copy.state != CopyState::Expired));
    snapshots.sort_by_key(|one| std::cmp::Reverse(one.taken_at));
    let more_snapshots = snapshots.len().saturating_sub(SNAPSHOTS);
    let runs =
        catalog.runs(RunQuery { app_id: Some(app.id), limit: 8, ..RunQuery::default() }).await?;
    let card = web.engine.card(app.clone()).await?;
    let page = AppPage {
        newest: newest(&card, &snapshots),
        moments: moments(web, &app, visitor).await?,
        drill: LastDrill::of(card.last_drill.as_ref(), visitor),
        plan: Planned::of(&app, visitor),
        usual: UsualPanel::new(&web.engine.usual(&app).await?, lang),
        storage: StoragePanel::new(&web.engine.storage_of(app.id).await?, lang),
        verified: snapshots
            .iter()
            .flat_map(|one| one.copies.iter().filter_map(|copy| copy.verified_at))
            .max()
            .map(|at| visitor.when(at)),
        page: visitor.page(app.name.as_str(), Nav::Overview),
        sources: app.sources.iter().map(|one| SourceRow::new(one, lang)).collect(),
        places: app
            .destinations
            .iter()
            .map(|binding| Place {
                name: name_of(binding.destination_id),
                folder: binding.folder.clone(),
                rules: binding
                    .retention
                    .as_ref()
                    .map(|policy| Rules::of(policy).sentence(lang))
                    .unwrap_or_default(),
                template: binding.template.as_ref().map(ToString::to_string).unwrap_or_default(),
            })
            .collect(),
        schedule: app.schedule.as_ref().map(|schedule| schedule.spec.to_string()),
        zone: app.schedule.as_ref().map(|s| s.time_zone.to_string()).unwrap_or_default(),
        fires: app
            .schedule
            .as_ref()
            .filter(|_| app.enabled)
            .map(|schedule| {
                let zone = schedule.time_zone.zone();
                let fires = schedule.upcoming(visitor.now, 5);
                fires.into_iter().map(|at| lang.when(at, visitor.now, &zone)).collect()
            })
            .unwrap_or_default(),
        rules: Rules::of(&app.retention).sentence(lang),
        snapshots: snapshots
            .iter()
            .take(SNAPSHOTS)
            .map(|one| SnapshotRow::new(one, None, &badges, &name_of, visitor))
            .collect(),
        more_snapshots,
        runs: runs
            .iter()
            .map(|run| RunRow::new(run, Some(app.name.to_string()), visitor))
            .collect(),
        checks: extra.checks.map(|report| CheckRow::all(&report, visitor)),
        confirm: extra.confirm,
        wrong_name: extra.wrong_name,
        row: row(&card, visitor),
    };
    Ok(show(&page))
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Html<String>, Fault> {
    let app = find(&web, &name).await?;
    page_of(&web, &visitor, app, Extra::default()).await
}

pub(super) async fn run(
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let request = RunRequest {
        kind: Some(SnapshotKind::Manual),
        label: Some(fields.text("label").to_owned()),
        git_commit: None,
        deploy: None,
    };
    let run = web.engine.run_now(&app, &request).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

pub(super) async fn enable(
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let enabled = fields.text("enabled") == "true";
    web.engine.set_app_enabled(&app, enabled).await?;
    let done = if enabled { "enabled" } else { "disabled" };
    Ok(redirect(&format!("/apps/{}?done={done}", app.name)))
}

pub(super) async fn doctor(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Html<String>, Fault> {
    let app = find(&web, &name).await?;
    let report = web.engine.doctor_app(&app).await;
    page_of(&web, &visitor, app, Extra { checks: Some(report), ..Extra::default() }).await
}

pub(super) async fn expire(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let run = web.engine.expire_now(app.id).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

/// Removing asks for the app's name.
pub(super) async fn remove(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Result<Response, Html<String>>, Fault> {
    let app = find(&web, &name).await?;
    let typed = fields.text("confirm");
    if typed != app.name.as_str() {
        let extra = Extra { confirm: true, wrong_name: !typed.is_empty(), checks: None };
        return Ok(Err(page_of(&web, &visitor, app, extra).await?));
    }
    web.engine.remove_app(app.id).await?;
    Ok(Ok(redirect("/?done=removed")))
}
