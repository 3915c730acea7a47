//! Going back to any moment: what can be reached, which moment and where to, what it would meet;
//! then it begins.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::{EngineError, MomentPreflight, MomentRequest};
use jiff::Timestamp;
use model::{App, PreflightLevel, RecoveryState, WalWay};
use serde::Deserialize;

use super::{
    Web,
    app_form::zones,
    band::{Frame, Stretch, Tick},
    fault::{Fault, show},
    filters,
    form::{Errors, Sealed, redirect},
    format::When,
    mark::Mark,
    moment_form::{Asked, command, words},
    page::{Nav, Page},
    run_report::Check,
    visitor::Visitor,
};

/// A line of the table behind the picture.
struct Row {
    class: &'static str,
    word: String,
    from: String,
    until: String,
    timeline: String,
    base: Option<String>,
}

/// A moment with a name.
struct Point {
    name: String,
    at: String,
    when: When,
}

/// How WAL comes.
struct Standing {
    mark: Mark,
    trouble: Option<String>,
    heard: Option<When>,
    lag: String,
    stored_to: String,
    server_at: String,
    kept: Option<String>,
    /// How much it may keep, and how much is free there.
    limit: Option<String>,
    free: Option<String>,
    slot: Option<String>,
    size: String,
}

/// What an app asked for.
struct Planned {
    source: String,
    way: String,
    days: usize,
    hours: usize,
    heartbeat: bool,
    is_pushed: bool,
}

#[derive(Template)]
#[template(path = "moments.html")]
struct MomentsPage {
    page: Page,
    app: String,
    plan: Option<Planned>,
    managed: Option<&'static str>,
    standing: Standing,
    sentence: String,
    class: &'static str,
    stretches: Vec<Stretch>,
    ticks: Vec<Tick>,
    rows: Vec<Row>,
    points: Vec<Point>,
    asked: Asked,
    /// The container that the server is in.
    container: Option<String>,
    zones: Vec<String>,
    /// Folders of the server that may be written into.
    roots: Vec<String>,
    errors: Errors,
    point_name: String,
    command: String,
}

struct Item {
    artifact: String,
    target: String,
    replaces: Option<String>,
    size: String,
}

#[derive(Template)]
#[template(path = "moments_preflight.html")]
struct PreflightPage {
    page: Page,
    app: String,
    moment: String,
    fields: Vec<(&'static str, String)>,
    items: Vec<Item>,
    checks: Vec<Check>,
    base: Option<(String, Option<When>)>,
    replay: Option<(String, String, String)>,
    wal: String,
    size: String,
    estimate: Option<String>,
    pauses: bool,
    may_begin: bool,
    /// What has to be typed, where something is replaced.
    confirm: Option<String>,
    /// The nearest moments that can be reached, as they are told and as an address has them.
    nearest: Vec<(String, String)>,
    errors: Errors,
    command: String,
}

/// What an address may say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FromAddress {
    /// The moment to begin with.
    at: String,
}

async fn find(web: &Web, name: &str) -> Result<App, Fault> {
    Ok(web.engine.catalog().app_by_name(name).await?)
}

/// What is known, also where nothing is kept yet.
pub(super) async fn known(web: &Web, app: &App) -> Result<RecoveryState, Fault> {
    match web.engine.recovery_state(app.id).await {
        Ok(state) => Ok(state),
        Err(EngineError::Refused(_) | EngineError::NotFound { .. }) => Ok(RecoveryState::default()),
        Err(error) => Err(error.into()),
    }
}

/// From the oldest moment that is known to now.
fn frame(state: &RecoveryState, now: Timestamp) -> Frame {
    let windows = state.windows.iter().map(|one| one.start_at);
    let gaps = state.gaps.iter().filter_map(|gap| gap.from_at);
    let hour = jiff::SignedDuration::from_secs(3_600);
    let from = windows.chain(gaps).min().unwrap_or(now);
    Frame::new(from.min(now.saturating_sub(hour).unwrap_or(now)), now)
}

/// How it stands, in one sentence.
pub(super) fn sentence(state: &RecoveryState, visitor: &Visitor) -> (String, &'static str) {
    let last = state.windows.iter().max_by_key(|one| one.end_at);
    let Some(last) = last else { return (visitor.t("moments-none"), "late") };
    let told = visitor.lang.fill(
        "moments-sentence",
        [
            ("from", visitor.when(last.start_at).absolute.into()),
            ("until", visitor.when(last.end_at).absolute.into()),
            ("ago", visitor.when(last.end_at).relative.into()),
        ],
    );
    let class = match (state.standing.is_live, state.gaps.iter().any(|gap| gap.until_at.is_none()))
    {
        (_, true) => "failed",
        (false, _) => "late",
        (true, false) => "good",
    };
    (told, class)
}

fn standing(state: &RecoveryState, visitor: &Visitor) -> Standing {
    let (lang, one) = (visitor.lang, &state.standing);
    let position = |at: Option<model::Lsn>| at.map_or_else(|| "–".to_owned(), |at| at.to_string());
    Standing {
        mark: Mark {
            class: if one.is_live { "good" } else { "late" },
            word: visitor.t(if one.is_live { "wal-live" } else { "wal-silent" }),
        },
        trouble: one.trouble.as_ref().map(|told| visitor.sentence(told)),
        heard: one.heard_at.map(|at| visitor.when(at)),
        lag: lang.span(i64::try_from(one.lag_secs).unwrap_or(i64::MAX)),
        stored_to: position(one.stored_to),
        server_at: position(one.server_at),
        kept: one.kept_bytes.map(|bytes| lang.size(bytes)),
        limit: one.kept_limit.map(|most| lang.with("wal-limit", "size", lang.size(most))),
        free: one.free_bytes.map(|free| lang.with("wal-free", "size", lang.size(free))),
        slot: one.slot_status.clone(),
        size: lang.size(state.stored_bytes),
    }
}

fn rows(state: &RecoveryState, visitor: &Visitor) -> Vec<Row> {
    let told = |at: Timestamp| visitor.when(at).absolute;
    let windows = state.windows.iter().map(|one| {
        let row = Row {
            class: "good",
            word: visitor.t("moments-any"),
            from: told(one.start_at),
            until: told(one.end_at),
            timeline: one.timeline.to_string(),
            base: Some(one.base.to_string()),
        };
        (one.start_at, row)
    });
    let gaps = state.gaps.iter().map(|gap| {
        let or = |at: Option<Timestamp>, none| at.map_or_else(|| visitor.t(none), told);
        let row = Row {
            class: "failed",
            word: visitor.t("moments-lost"),
            from: or(gap.from_at, "moments-gap-before"),
            until: or(gap.until_at, "moments-gap-open"),
            timeline: gap.timeline.to_string(),
            base: None,
        };
        (gap.from_at.unwrap_or(Timestamp::MIN), row)
    });
    let mut all: Vec<_> = windows.chain(gaps).collect();
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, row)| row).collect()
}

/// Where a server would go, unless somebody says otherwise.
fn folder(web: &Web, app: &App) -> String {
    let root = web.engine.config().restore_roots.first();
    root.map(|root| root.join(format!("{}-restored", app.name)).display().to_string())
        .unwrap_or_default()
}

fn planned(app: &App, visitor: &Visitor) -> Option<Planned> {
    let plan = app.recovery.as_ref()?;
    Some(Planned {
        source: plan.source.to_string(),
        way: visitor.t(&format!("wal-{}", plan.way)),
        days: plan.window_days as usize,
        hours: plan.base_every_hours as usize,
        heartbeat: plan.heartbeat,
        is_pushed: plan.way == WalWay::Push,
    })
}

async fn form(
    web: &Web,
    visitor: &Visitor,
    app: &App,
    asked: Option<Asked>,
    errors: Errors,
    point_name: &str,
) -> Result<Html<String>, Fault> {
    let state = known(web, app).await?;
    let frame = frame(&state, visitor.now);
    let (sentence, class) = sentence(&state, visitor);
    let roots = &web.engine.config().restore_roots;
    let container = web.engine.moment_container(app).await;
    let asked = asked.unwrap_or_else(|| {
        let path = folder(web, app);
        Asked::blank(path, container.is_some(), None, &state, &visitor.zone, visitor.now)
    });
    let points = state.restore_points.iter().map(|point| Point {
        name: point.name.clone(),
        at: point.at.to_string(),
        when: visitor.when(point.made_at),
    });
    let here = format!("/apps/{}/recovery", app.name);
    let title = visitor.lang.with("moments-title", "app", app.name.as_str());
    Ok(show(&MomentsPage {
        page: visitor.page(title, Nav::Overview),
        app: app.name.to_string(),
        plan: planned(app, visitor),
        managed: app.managed_by.map(Into::into),
        standing: standing(&state, visitor),
        sentence,
        class,
        stretches: frame.archive(&state, &here, visitor),
        ticks: frame.ticks(visitor.lang, &visitor.zone),
        rows: rows(&state, visitor),
        points: points.collect(),
        asked,
        container,
        zones: zones(),
        roots: roots.iter().map(|one| one.display().to_string()).collect(),
        errors,
        point_name: point_name.to_owned(),
        command: format!("backup-orchestrator recovery status {}", app.name),
    }))
}

pub(super) async fn ask(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(query): Query<FromAddress>,
) -> Result<Html<String>, Fault> {
    let app = find(&web, &name).await?;
    let asked = match query.at.parse::<Timestamp>() {
        Ok(at) => {
            let state = RecoveryState::default();
            let has_container = web.engine.moment_container(&app).await.is_some();
            let path = folder(&web, &app);
            Some(Asked::blank(path, has_container, Some(at), &state, &visitor.zone, visitor.now))
        }
        Err(_) => None,
    };
    form(&web, &visitor, &app, asked, Errors::default(), "").await
}

pub(super) async fn sent(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let asked = Asked::of(&fields);
    let action = fields.text("action");
    if action == "edit" {
        return again(&web, &visitor, &app, asked, Errors::default()).await;
    }
    let request = match asked.request() {
        Ok(request) => request,
        Err(errors) => return again(&web, &visitor, &app, asked, visitor.errors(&errors)).await,
    };
    let mut errors = Errors::default();
    let mut status = StatusCode::OK;
    let begins = action == "begin";
    let typed = Some(fields.text("confirm").to_owned()).filter(|typed| !typed.is_empty());
    if begins {
        let confirmed =
            MomentRequest { confirm: typed.clone(), overwrite: typed.is_some(), ..request.clone() };
        match web.engine.restore_to_moment(app.id, confirmed).await {
            Ok(run) => return Ok(redirect(&format!("/runs/{}", run.id))),
            Err(error) => errors = visitor.refused(error)?,
        }
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    match web.engine.moment_preflight(app.id, &request).await {
        Ok(seen) => {
            if begins
                && let Some(wanted) = &seen.preflight.confirm
                && typed.as_ref() != Some(wanted)
            {
                errors = Errors::at("confirm", visitor.t("wrong-name"));
            }
            let page = preflight(&visitor, &app, &asked, &request, seen, errors);
            Ok((status, page).into_response())
        }
        Err(
            error @ (EngineError::Invalid(_) | EngineError::Refused(_) | EngineError::Conflict(_)),
        ) => {
            let errors = visitor.refused(error)?;
            again(&web, &visitor, &app, asked, errors).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The form again, with what is wrong in it.
async fn again(
    web: &Web,
    visitor: &Visitor,
    app: &App,
    asked: Asked,
    errors: Errors,
) -> Result<Response, Fault> {
    let status = if errors.any() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, form(web, visitor, app, Some(asked), errors, "").await?).into_response())
}

fn preflight(
    visitor: &Visitor,
    app: &App,
    asked: &Asked,
    request: &MomentRequest,
    seen: MomentPreflight,
    errors: Errors,
) -> Html<String> {
    let (lang, met) = (visitor.lang, seen.preflight);
    let checks = met.checks.iter().map(|check| Check {
        mark: Mark::preflight(check.level, lang),
        name: check.artifact.as_ref().map(ToString::to_string),
        message: visitor.sentence(&check.sentence),
    });
    let mut checks: Vec<_> = checks.collect();
    // What stands against it comes first.
    checks.sort_by_key(|check| match check.mark.class {
        "failed" => 0,
        "late" => 1,
        _ => 2,
    });
    let nearest = [seen.nearest_before, seen.nearest_after].into_iter().flatten();
    let replay = seen.replay_from.zip(seen.replay_to).zip(seen.timeline);
    show(&PreflightPage {
        page: visitor.page(lang.with("moments-title", "app", app.name.as_str()), Nav::Overview),
        app: app.name.to_string(),
        moment: words(&request.order, visitor),
        fields: asked.fields(),
        may_begin: seen.base.is_some()
            && met.checks.iter().all(|check| check.level != PreflightLevel::Blocked),
        checks,
        confirm: met.confirm,
        base: seen.base.map(|id| (id.to_string(), seen.base_at.map(|at| visitor.when(at)))),
        replay: replay
            .map(|((from, to), timeline)| (from.to_string(), to.to_string(), timeline.to_string())),
        wal: lang.size(seen.wal_bytes),
        size: lang.size(met.size_bytes),
        estimate: met.estimate_secs.map(|secs| lang.span(i64::try_from(secs).unwrap_or(i64::MAX))),
        pauses: request.order.pause,
        nearest: nearest.map(|at| (visitor.when(at).absolute, at.to_string())).collect(),
        items: met
            .items
            .into_iter()
            .map(|item| Item {
                artifact: item.artifact.to_string(),
                target: visitor.sentence(&item.target),
                replaces: item.replaces.as_ref().map(|what| visitor.sentence(what)),
                size: lang.size(item.size_bytes),
            })
            .collect(),
        errors,
        command: command(app.name.as_str(), request) + " --wait",
    })
}

pub(super) async fn base(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let run = web.engine.queue_base(app.id).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

pub(super) async fn point(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let called = fields.text("point-name");
    match web.engine.make_restore_point(app.id, called).await {
        Ok(_) => Ok(redirect(&format!("/apps/{}/recovery?done=point-made", app.name))),
        Err(error) => {
            let errors = visitor.refused(error)?.moved("point-name", "name");
            let page = form(&web, &visitor, &app, None, errors, called).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

pub(super) async fn drill(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let app = find(&web, &name).await?;
    let run = web.engine.drill_moment(app.id, None).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

/// Goes back on a restore that took the place of a server.
pub(super) async fn undo(
    State(web): State<Web>,
    Path(run): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let run = run.parse().map_err(|_| Fault::not_found())?;
    let run = web.engine.undo_moment(run, Some(fields.text("confirm"))).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}
