//! Runs: the list, and each with its stages and its log, live while it goes on.

use std::{collections::HashMap, convert::Infallible};

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{Html, Response, Sse, sse::Event},
};
use catalog::{AlertQuery, RunQuery};
use futures::Stream;
use jiff::SignedDuration;
use model::{LogLine, Run, RunId, RunKind, RunState, Stage};
use serde::Deserialize;

use super::{
    Web,
    alerts::AlertRow,
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    format::When,
    mark::Mark,
    page::{Nav, Page},
    run_log::{self, Line, Lines, LogView},
    run_report::{self, Told},
    visitor::Visitor,
};
use crate::follow::{Teller, follow};

const PER_PAGE: u64 = 50;
/// Lines of a log in one part of a stream.
const AT_ONCE: usize = 100;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    app: String,
    page: u64,
    after: i64,
}

/// A run in a list.
pub(super) struct RunRow {
    pub(super) id: String,
    pub(super) app: Option<String>,
    pub(super) kind: String,
    pub(super) trigger: String,
    pub(super) mark: Mark,
    pub(super) when: When,
    pub(super) length: String,
    pub(super) bytes: String,
    pub(super) why: Option<String>,
}

impl RunRow {
    pub(super) fn new(run: &Run, app: Option<String>, visitor: &Visitor) -> Self {
        let lang = visitor.lang;
        Self {
            id: run.id.to_string(),
            app,
            kind: lang.t(&format!("kind-{}", run.kind)),
            trigger: lang.t(&format!("trigger-{}", run.trigger)),
            mark: Mark::run(run.state, lang),
            when: visitor.when(run.queued_at),
            length: run.started_at.map_or_else(
                || "–".to_owned(),
                |start| lang.measured(run.finished_at.unwrap_or(visitor.now).duration_since(start)),
            ),
            bytes: if run.bytes_read > 0 { lang.size(run.bytes_read) } else { "–".to_owned() },
            why: run.failure.as_ref().map(|f| lang.t(&format!("failure-{}", f.code))),
        }
    }
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    page: Page,
    rows: Vec<RunRow>,
    apps: Vec<String>,
    app: String,
    before: Option<String>,
    after: Option<String>,
}

pub(super) async fn list(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let apps = catalog.every_app().await?;
    let app_id = match asked.app.as_str() {
        "" => None,
        name => Some(catalog.app_by_name(name).await?.id),
    };
    let number = asked.page.min(1 << 32);
    let query = RunQuery { app_id, offset: number * PER_PAGE, limit: PER_PAGE + 1 };
    let mut runs = catalog.runs(query).await?;
    let more = runs.len() as u64 > PER_PAGE;
    runs.truncate(usize::try_from(PER_PAGE).unwrap_or(usize::MAX));
    let names: HashMap<_, _> = apps.iter().map(|app| (app.id, app.name.to_string())).collect();
    let kept = if asked.app.is_empty() { String::new() } else { format!("&app={}", asked.app) };
    Ok(show(&RunsPage {
        rows: runs
            .iter()
            .map(|run| {
                RunRow::new(run, run.app_id.and_then(|id| names.get(&id).cloned()), &visitor)
            })
            .collect(),
        apps: apps.iter().map(|app| app.name.to_string()).collect(),
        before: number.checked_sub(1).map(|page| format!("?page={page}{kept}")),
        after: more.then(|| format!("?page={}{kept}", number + 1)),
        page: visitor.page(visitor.t("nav-runs"), Nav::Runs),
        app: asked.app,
    }))
}

/// A stage of a run.
struct StageRow {
    word: String,
    class: &'static str,
    time: String,
}

/// How a run goes at one destination.
struct PlaceRow {
    name: String,
    mark: Mark,
    bytes: String,
    why: Option<String>,
    detail: Option<String>,
}

/// The part of the page that changes while the run goes on.
struct Panel {
    id: String,
    mark: Mark,
    live: bool,
    stages: Vec<StageRow>,
    places: Vec<PlaceRow>,
    read: String,
    expected: Option<String>,
    percent: Option<u64>,
    bytes: u64,
    rate: Option<String>,
    elapsed: String,
    failure: Option<(String, String, String)>,
    snapshot: Option<String>,
    cancelling: bool,
    /// What a restore or a drill tells of itself.
    told: Option<Told>,
}

/// The stages that a run of a kind passes.
fn way(kind: RunKind) -> &'static [Stage] {
    match kind {
        RunKind::Backup => &[
            Stage::Queued,
            Stage::Export,
            Stage::Store,
            Stage::Check,
            Stage::Commit,
            Stage::Expire,
        ],
        RunKind::Restore => &[Stage::Queued, Stage::Prepare, Stage::Load, Stage::Switch],
        RunKind::Drill => &[Stage::Queued, Stage::Load, Stage::Check, Stage::Clean],
        RunKind::Verify | RunKind::Expire | RunKind::Copy | RunKind::Check | RunKind::Free => &[],
    }
}

#[derive(Template)]
#[template(path = "run_panel.html")]
struct PanelPart {
    page: Page,
    panel: Panel,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    page: Page,
    row: RunRow,
    panel: Panel,
    log: LogView,
    label: Option<String>,
    commit: Option<String>,
    attempt: u32,
    missed: u32,
    retry_of: Option<String>,
    /// The app whose backup failed, and may be tried again.
    again: Option<String>,
    /// What it has shown to be wrong.
    alerts: Vec<AlertRow>,
}

pub(super) fn id(text: &str) -> Result<RunId, Fault> {
    text.parse().map_err(|_| Fault::not_found())
}

async fn panel(web: &Web, visitor: &Visitor, run: &Run) -> Result<Panel, Fault> {
    let (catalog, lang) = (web.engine.catalog(), visitor.lang);
    let times = catalog.stage_times(run.id).await?;
    let live = !run.state.is_terminal();
    let mut stages: Vec<StageRow> = times
        .iter()
        .map(|time| {
            let end = time.finished_at.or(run.finished_at);
            StageRow {
                word: lang.t(&format!("stage-{}", time.stage)),
                class: if end.is_some() { "done" } else { "now" },
                time: lang.measured(end.unwrap_or(visitor.now).duration_since(time.started_at)),
            }
        })
        .collect();
    if matches!(run.state, RunState::Failed | RunState::Interrupted | RunState::Cancelled)
        && let Some(last) = stages.last_mut()
    {
        last.class = "stopped";
    }
    if live {
        // A drill passes them once for each artifact.
        let reached = way(run.kind).iter().rposition(|one| times.iter().any(|t| t.stage == *one));
        for stage in way(run.kind).iter().skip(reached.map_or(0, |at| at + 1)) {
            let word = lang.t(&format!("stage-{stage}"));
            stages.push(StageRow { word, class: "ahead", time: String::new() });
        }
    }
    let mut places = Vec::new();
    for outcome in catalog.outcomes(run.id).await? {
        let name = match catalog.destination(outcome.destination_id).await {
            Ok(destination) => destination.name.to_string(),
            Err(_) => visitor.t("destination-removed"),
        };
        places.push(PlaceRow {
            name,
            mark: Mark::run(outcome.state, lang),
            bytes: match outcome.bytes_written {
                0 if !outcome.state.is_terminal() => String::new(),
                bytes => lang.size(bytes),
            },
            why: outcome.failure.as_ref().map(|f| lang.t(&format!("failure-{}", f.code))),
            detail: outcome.failure.map(|f| visitor.failure(&f)),
        });
    }
    let elapsed = run
        .started_at
        .map(|start| run.finished_at.unwrap_or(visitor.now).duration_since(start))
        .unwrap_or_default();
    let streaming =
        times.iter().find(|time| matches!(time.stage, Stage::Store | Stage::Load)).map(|time| {
            time.finished_at
                .or(run.finished_at)
                .unwrap_or(visitor.now)
                .duration_since(time.started_at)
        });
    let rate = streaming.filter(|time| *time >= SignedDuration::from_millis(50)).map(|time| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for show")]
        let per_second = (run.bytes_read as f64 / time.as_secs_f64()) as u64;
        format!("{}/s", lang.size(per_second))
    });
    let percent = run
        .bytes_expected
        .filter(|expected| *expected > 0)
        // What the app expects is a guess; more than it is not yet all.
        .map(|expected| (run.bytes_read.saturating_mul(100) / expected).min(99))
        .filter(|_| live);
    Ok(Panel {
        id: run.id.to_string(),
        mark: Mark::run(run.state, lang),
        live,
        stages,
        places,
        read: lang.size(run.bytes_read),
        expected: run.bytes_expected.filter(|bytes| *bytes > 0).map(|bytes| lang.size(bytes)),
        percent,
        bytes: run.bytes_read,
        rate: rate.filter(|_| run.bytes_read > 0),
        elapsed: lang.measured(elapsed),
        failure: run.failure.as_ref().map(|f| {
            let advice = lang.find(&format!("advice-{}", f.code)).unwrap_or_default();
            (lang.t(&format!("failure-{}", f.code)), visitor.failure(f), advice)
        }),
        snapshot: run.snapshot_id.filter(|_| !live).map(|id| id.to_string()),
        cancelling: run.cancel_requested && live,
        told: run_report::told(web, visitor, run).await?,
    })
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(text): Path<String>,
    Query(asked): Query<run_log::Asked>,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let run = catalog.run(id(&text)?).await?;
    let app = match run.app_id {
        Some(app) => catalog.app(app).await.ok().map(|app| app.name.to_string()),
        None => None,
    };
    let log = LogView::of(&web, &visitor, &run, &asked).await?;
    let mut panel = panel(&web, &visitor, &run).await?;
    // A run whose snapshot is gone has nothing to link to.
    if let Some(snapshot) = run.snapshot_id
        && catalog.snapshot(snapshot).await.is_err()
    {
        panel.snapshot = None;
    }
    let title = match &app {
        Some(app) => visitor.lang.with("run-of", "app", app),
        None => visitor.t("run"),
    };
    let failed = matches!(run.state, RunState::Failed | RunState::Interrupted);
    let again = app.clone().filter(|_| {
        failed && run.kind == RunKind::Backup && visitor.may(model::Permission::Operate)
    });
    let alerts = AlertQuery { run_id: Some(run.id), limit: 20, ..AlertQuery::default() };
    let alerts = web.engine.alerts(alerts).await?;
    Ok(show(&RunPage {
        alerts: alerts.iter().map(|alert| AlertRow::new(alert, &visitor)).collect(),
        page: visitor.page(title, Nav::Runs),
        row: RunRow::new(&run, app, &visitor),
        panel,
        again,
        log,
        label: run.label.as_deref().map(|label| visitor.label(label)),
        commit: run.git_commit,
        attempt: run.attempt,
        missed: run.missed_fires,
        retry_of: run.retry_of.map(|id| id.to_string()),
    }))
}

pub(super) async fn cancel(
    State(web): State<Web>,
    Path(text): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    web.engine.cancel(id(&text)?).await?;
    Ok(redirect(&format!("/runs/{text}")))
}

/// What changes, as it changes.
pub(super) async fn events(
    visitor: Visitor,
    State(web): State<Web>,
    Path(text): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Fault> {
    let run = web.engine.catalog().run(id(&text)?).await?.id;
    let (engine, closing) = (web.engine.clone(), web.closing.clone());
    Ok(follow(engine, closing, run, &headers, asked.after, InHtml { web, visitor }))
}

/// Tells in parts of the page.
struct InHtml {
    web: Web,
    visitor: Visitor,
}

impl Teller for InHtml {
    const STATE: &'static str = "panel";

    fn lines(&self, lines: &[LogLine]) -> Vec<(i64, String)> {
        // In parts, so that what has come before a connection breaks need not come again.
        let parts = lines.chunks(AT_ONCE).map(|some| {
            let last = some.last().map_or(0, |line| line.seq);
            let lines = some.iter().map(|line| Line::new(line, &self.visitor)).collect();
            (last, show(&Lines { lines }).0)
        });
        parts.collect()
    }

    async fn state(&self, run: &Run) -> Option<String> {
        let mut visitor = self.visitor.clone();
        visitor.now = self.web.engine.now();
        let panel = panel(&self.web, &visitor, run).await.ok()?;
        Some(show(&PanelPart { page: visitor.page("", Nav::Runs), panel }).0)
    }
}
