//! Adding and editing an app: everything is previewed and can be tried before it is saved.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _, Response},
};
use engine::{AppDraft, CheckState, EngineError, Report, RunRequest};
use jiff::tz::TimeZone;
use model::App;

use super::{
    Web, app_command,
    app_fields::{self, DestinationRow, Values, draft},
    app_sources::{self, Choice, SourceBox},
    app_told,
    conflict::{Basis, item, refused, saved, version},
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    page::{Nav, Page},
    report::CheckRow,
    retention::{Plan, Rules},
    visitor::Visitor,
};

#[derive(Template)]
#[template(path = "app_form.html")]
struct FormPage {
    page: Page,
    /// The app's name while it is edited.
    editing: Option<String>,
    basis: Basis,
    values: Values,
    sources: Vec<SourceBox>,
    kinds: Vec<Choice>,
    destinations: Vec<DestinationRow>,
    zones: Vec<String>,
    errors: Errors,
    preview: Preview,
    checks: Option<Vec<CheckRow>>,
    /// Whether a source did not answer, and may yet.
    waits: bool,
    /// What keeps the connection from being tried, where no fields are at hand.
    problems: Vec<String>,
    network: &'static str,
    /// How much of this machine no app reads, where that is known.
    found: Option<usize>,
}

/// The Docker network that apps are reached in.
const NETWORK: &str = "backups_net";
/// What is chosen for another source, until somebody chooses.
const ANOTHER: &str = "postgres";

#[derive(Template)]
#[template(path = "app_form_sources.html")]
struct SourcesPart {
    page: Page,
    sources: Vec<SourceBox>,
    kinds: Vec<Choice>,
    network: &'static str,
}

/// What the form comes to.
struct Preview {
    fires: Vec<(String, String)>,
    schedule_problem: Option<String>,
    by_hand: bool,
    rules: String,
    projection: Option<String>,
    plans: Vec<Plan>,
    /// The same from the command line.
    command: String,
}

#[derive(Template)]
#[template(path = "app_form_preview.html")]
struct PreviewPart {
    page: Page,
    preview: Preview,
}

#[derive(Template)]
#[template(path = "app_form_checks.html")]
struct ChecksPart {
    page: Page,
    checks: Option<Vec<CheckRow>>,
    waits: bool,
    problems: Vec<String>,
}

async fn preview(
    web: &Web,
    visitor: &Visitor,
    draft: &AppDraft,
    current: Option<&App>,
) -> Result<Preview, Fault> {
    let lang = visitor.lang;
    let parsed = draft.schedule.as_ref().map(engine::ScheduleDraft::parse);
    let (schedule, problem) = match parsed {
        Some(Ok(schedule)) => (Some(schedule), None),
        Some(Err(error)) => (None, Some(visitor.sentence(&error.sentence()))),
        None => (None, None),
    };
    let fires = schedule
        .as_ref()
        .map(|schedule| {
            let zone = schedule.time_zone.zone();
            let fires = schedule.upcoming(visitor.now, 5).into_iter();
            fires
                .map(|at| {
                    let when = lang.when(at, visitor.now, &zone);
                    (when.absolute, when.relative)
                })
                .collect()
        })
        .unwrap_or_default();
    let projection = schedule
        .as_ref()
        .filter(|_| draft.retention.check().is_ok())
        .and_then(|schedule| web.engine.project_retention(schedule, &draft.retention))
        .map(|projection| {
            let age = projection.oldest.map_or(0, |at| visitor.now.duration_since(at).as_secs());
            lang.fill(
                "projection",
                [("count", projection.kept.into()), ("age", lang.span(age).into())],
            )
        });
    let mut plans = Vec::new();
    if let Some(app) = current
        && draft.retention.check().is_ok()
    {
        let zone = app.schedule.as_ref().map_or(TimeZone::UTC, |s| s.time_zone.zone());
        let grace = web.engine.config().expire_grace;
        let previews = web.engine.preview_retention(app, Some(&draft.retention)).await?;
        plans = previews
            .iter()
            .filter(|one| !one.snapshots.is_empty())
            .map(|one| Plan::new(one, &zone, grace, visitor))
            .collect();
    }
    Ok(Preview {
        fires,
        schedule_problem: problem,
        by_hand: draft.schedule.is_none(),
        rules: Rules::of(&draft.retention).sentence(lang),
        projection,
        plans,
        command: app_command::of(draft, current, &web.engine.catalog().all_destinations().await?),
    })
}

pub(super) fn zones() -> Vec<String> {
    let mut zones: Vec<String> = jiff::tz::db()
        .available()
        .map(|zone| zone.to_string())
        .filter(|zone| zone == "UTC" || zone.contains('/'))
        .filter(|zone| {
            !["Etc/", "posix/", "right/", "SystemV/"].iter().any(|p| zone.starts_with(p))
        })
        .collect();
    zones.sort();
    zones
}

struct Filled {
    basis: Basis,
    values: Values,
    draft: AppDraft,
    errors: Errors,
    checks: Option<Vec<CheckRow>>,
    waits: bool,
}

impl Filled {
    fn first(basis: Basis, values: Values, draft: AppDraft) -> Self {
        Self { basis, values, draft, errors: Errors::default(), checks: None, waits: false }
    }
}

/// What a form that comes back stands on.
async fn basis(
    web: &Web,
    visitor: &Visitor,
    current: Option<&App>,
    fields: &Fields,
    typed: &AppDraft,
    is_overtaken: bool,
) -> Result<Basis, Fault> {
    let Some(app) = current else { return Ok(Basis::back(fields, is_overtaken, None)) };
    let all = web.engine.catalog().all_destinations().await?;
    let now = draft(&Values::of(app, &all, &visitor.zone).fields(), &mut Vec::new());
    let conflict = app_told::conflict(typed, &now, &all, visitor.lang);
    Ok(Basis::back(fields, is_overtaken, Some((app.version, conflict))))
}

async fn form(
    web: &Web,
    visitor: &Visitor,
    current: Option<&App>,
    filled: Filled,
) -> Result<Html<String>, Fault> {
    let Filled { basis, values, draft, errors, checks, waits } = filled;
    let all = web.engine.catalog().all_destinations().await?;
    let title = match current {
        Some(app) => visitor.lang.with("app-edit-title", "app", app.name.as_str()),
        None => visitor.t("app-add"),
    };
    Ok(show(&FormPage {
        page: visitor.page(title, Nav::Overview),
        editing: current.map(|app| app.name.to_string()),
        basis,
        sources: app_sources::boxes(&values.fields(), current, &errors, visitor.lang),
        kinds: app_sources::kinds(visitor.lang, ANOTHER),
        destinations: DestinationRow::all(&all, &values, &errors),
        zones: zones(),
        preview: preview(web, visitor, &draft, current).await?,
        values,
        errors,
        checks,
        waits,
        problems: Vec::new(),
        network: NETWORK,
        found: match current {
            None => web.engine.uncovered_count().await?,
            Some(_) => None,
        },
    }))
}

/// An empty form; its address may say a name, the kind of its source and settings of that.
pub(super) async fn blank(
    visitor: Visitor,
    State(web): State<Web>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Html<String>, Fault> {
    let all = web.engine.catalog().all_destinations().await?;
    let mut values = Values::blank(&visitor.zone, &all);
    values.extend(app_sources::asked(&query));
    if let Some((_, name)) = query.iter().find(|(key, _)| key == "name") {
        values.set("name", name);
    }
    let fields = values.fields();
    let draft = draft(&fields, &mut Vec::new());
    form(&web, &visitor, None, Filled::first(Basis::blank(), values, draft)).await
}

pub(super) async fn stored(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let app = web.engine.catalog().app_by_name(&name).await?;
    if app.managed_by.is_some() {
        return Ok(redirect(&format!("/apps/{}", app.name)));
    }
    let all = web.engine.catalog().all_destinations().await?;
    let values = Values::of(&app, &all, &visitor.zone);
    let fields = values.fields();
    let draft = draft(&fields, &mut Vec::new());
    let filled = Filled::first(Basis::stored(app.version, app.id), values, draft);
    Ok(form(&web, &visitor, Some(&app), filled).await?.into_response())
}

pub(super) async fn add(
    visitor: Visitor,
    State(web): State<Web>,
    headers: HeaderMap,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    sent(visitor, web, &headers, fields, None).await
}

pub(super) async fn edit(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let app = web.engine.catalog().app_by_name(item(&fields, &name)).await?;
    let was = app.name.clone();
    Ok(saved(sent(visitor, web, &headers, fields, Some(app)).await?, &was))
}

async fn sent(
    visitor: Visitor,
    web: Web,
    headers: &HeaderMap,
    mut fields: Fields,
    current: Option<App>,
) -> Result<Response, Fault> {
    let action = fields.text("action").to_owned();
    let reshaped = app_sources::reshape(&mut fields, &action);
    let mut errors = Vec::new();
    let mut draft = draft(&fields, &mut errors);
    keep_unshown(&mut draft, current.as_ref());
    let part = headers.contains_key("x-part");
    if part && reshaped {
        let (page, lang) = (visitor.page("", Nav::Overview), visitor.lang);
        let shown = Values::sent(&fields).fields();
        let sources = app_sources::boxes(&shown, current.as_ref(), &Errors::default(), lang);
        let kinds = app_sources::kinds(lang, ANOTHER);
        return Ok(show(&SourcesPart { page, sources, kinds, network: NETWORK }).into_response());
    }
    let (mut checks, mut waits) = (None, false);
    match action.as_str() {
        "test" => {
            match web.engine.try_app(&draft, current.as_ref()).await {
                Ok(report) => {
                    waits = does_not_answer(&report);
                    checks = Some(CheckRow::all(&report, &visitor));
                }
                Err(EngineError::Invalid(more)) => errors.extend(more),
                Err(error) => return Err(error.into()),
            }
            if part {
                let problems = app_sources::problems(&fields, &errors, visitor.lang, &visitor.zone);
                let page = visitor.page("", Nav::Overview);
                let part = ChecksPart { page, checks, waits, problems };
                return Ok(show(&part).into_response());
            }
        }
        "save" | "save-run" if errors.is_empty() => {
            let saved = match &current {
                Some(app) => web.engine.edit_app(app.id, version(&fields), draft.clone()).await,
                None => web.engine.register_app(draft.clone()).await,
            };
            match saved {
                Ok(app) if action == "save-run" => {
                    let run = web.engine.run_now(&app, &RunRequest::default()).await?;
                    return Ok(redirect(&format!("/runs/{}", run.id)));
                }
                Ok(app) => return Ok(redirect(&format!("/apps/{}?done=saved", app.name))),
                Err(error) => {
                    return refuse(&web, &visitor, current, &fields, draft, error).await;
                }
            }
        }
        "preview" if part => {
            let preview = preview(&web, &visitor, &draft, current.as_ref()).await?;
            let page = visitor.page("", Nav::Overview);
            return Ok(show(&PreviewPart { page, preview }).into_response());
        }
        _ => {}
    }
    let mut values = Values::sent(&fields);
    if action == "frequent" {
        values.make_frequent();
        errors.clear();
        draft = app_fields::draft(&values.fields(), &mut errors);
        keep_unshown(&mut draft, current.as_ref());
    }
    let basis = basis(&web, &visitor, current.as_ref(), &fields, &draft, false).await?;
    let filled = Filled { basis, values, draft, errors: visitor.errors(&errors), checks, waits };
    Ok(form(&web, &visitor, current.as_ref(), filled).await?.into_response())
}

async fn refuse(
    web: &Web,
    visitor: &Visitor,
    current: Option<App>,
    fields: &Fields,
    draft: AppDraft,
    error: EngineError,
) -> Result<Response, Fault> {
    let (errors, is_overtaken) = refused(error, visitor)?;
    let current = match current {
        Some(app) if is_overtaken => Some(web.engine.catalog().app(app.id).await?),
        other => other,
    };
    let basis = basis(web, visitor, current.as_ref(), fields, &draft, is_overtaken).await?;
    let values = Values::sent(fields);
    let filled = Filled { basis, values, draft, errors, checks: None, waits: false };
    let page = form(web, visitor, current.as_ref(), filled).await?;
    let status = if is_overtaken { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, page).into_response())
}

/// Whether a source cannot be reached, as one whose container is only being started.
fn does_not_answer(report: &Report) -> bool {
    report.checks.iter().any(|check| check.state == CheckState::Failed && check.id == "reachable")
}

/// What the form does not show stays as it is.
fn keep_unshown(draft: &mut AppDraft, current: Option<&App>) {
    let Some(app) = current else { return };
    draft.enabled = app.enabled;
    for binding in &mut draft.destinations {
        let stored =
            app.destinations.iter().find(|b| b.destination_id.to_string() == binding.destination);
        binding.retention = stored.and_then(|binding| binding.retention.clone());
        binding.logs = stored.is_some_and(|binding| binding.logs);
    }
}
