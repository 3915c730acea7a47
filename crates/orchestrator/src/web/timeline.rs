//! What happened to an app, by time: snapshots, the archive of WAL, deployments, drills, incidents.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Html,
};
use catalog::{EventQuery, RunQuery};
use jiff::{SignedDuration, Timestamp, civil::Date};
use model::{App, CopyState, Event, Run, RunKind, Severity, Snapshot, SnapshotKind};
use serde::Deserialize;

use super::{
    Web,
    band::{Dot, Frame, Happened, Stretch, Tick},
    fault::{Fault, show},
    filters,
    format::When,
    mark::{Mark, run_class},
    moments::{known, sentence},
    page::{Nav, Page},
    visitor::Visitor,
};

/// Lines of the table at most.
const LINES: usize = 200;
/// Runs looked through at most, in pages of 500.
const PAGES: u64 = 8;
/// Runs and events that are asked for at once.
const AT_ONCE: u64 = 500;

/// How much of the past is seen.
const SPANS: [(&str, i64); 4] = [("day", 1), ("week", 7), ("month", 30), ("year", 365)];

/// What is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    span: String,
    /// The last day that is shown; today where it is empty.
    until: String,
}

/// A row of the picture.
struct Lane {
    word: String,
    dots: Vec<Dot>,
    summary: String,
}

/// A line of the table.
struct Line {
    when: When,
    class: &'static str,
    lane: String,
    words: String,
    href: String,
}

struct Choice {
    word: String,
    href: String,
    here: bool,
}

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage {
    page: Page,
    app: String,
    spans: Vec<Choice>,
    earlier: String,
    later: Option<String>,
    label: String,
    lanes: Vec<Lane>,
    /// The archive of WAL, where there is one.
    archive: Option<(Vec<Stretch>, String)>,
    ticks: Vec<Tick>,
    lines: Vec<Line>,
    /// There is more than is shown.
    is_cut: bool,
}

/// The stretch of time that an address asks for, and the name and days of its span.
fn frame(wanted: &Wanted, visitor: &Visitor) -> (Frame, &'static str, i64) {
    let known = SPANS.iter().find(|(word, _)| *word == wanted.span);
    let (span, days) = *known.unwrap_or(&SPANS[1]);
    let end = wanted.until.parse::<Date>().ok().and_then(|date| {
        let next = date.tomorrow().ok()?;
        Some(next.to_zoned(visitor.zone.clone()).ok()?.timestamp())
    });
    let until = end.map_or(visitor.now, |end| end.min(visitor.now));
    let from = until.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(until);
    (Frame::new(from, until), span, days)
}

fn address(app: &App, span: &str, until: Option<Date>) -> String {
    let until = until.map(|date| format!("&until={date}")).unwrap_or_default();
    format!("/apps/{}/timeline?span={span}{until}", app.name)
}

/// The runs of an app in `frame` that are of the kinds `wanted`, and whether that is all.
async fn runs(
    web: &Web,
    app: &App,
    frame: Frame,
    wanted: &[RunKind],
) -> Result<(Vec<Run>, bool), Fault> {
    let mut all = Vec::new();
    for at in 0..PAGES {
        let query = RunQuery { app_id: Some(app.id), offset: at * AT_ONCE, limit: AT_ONCE };
        let page = web.engine.catalog().runs(query).await?;
        let is_last = page.last().is_none_or(|run| run.queued_at < frame.from);
        all.extend(page.into_iter().filter(|run| wanted.contains(&run.kind)));
        if is_last {
            return Ok((all, true));
        }
    }
    Ok((all, false))
}

/// How the copy stands that is worth the most: one that retention lets go of is no failure.
fn best(one: &Snapshot) -> Option<CopyState> {
    let worth = |state: &CopyState| match state {
        CopyState::Good => 0,
        CopyState::Expiring => 1,
        CopyState::Damaged => 2,
        CopyState::Missing => 3,
        CopyState::Deleting => 4,
        CopyState::Expired => 5,
    };
    one.copies.iter().map(|copy| copy.state).min_by_key(worth)
}

fn of_snapshot(one: &Snapshot, visitor: &Visitor) -> Happened {
    let kind = visitor.t(&format!("snapshot-kind-{}", one.kind));
    let best = best(one);
    let words = format!("{}: {kind}", visitor.when(one.taken_at).absolute);
    let other = best.filter(|state| *state != CopyState::Good);
    Happened {
        at: one.taken_at,
        class: match best {
            Some(CopyState::Good) => "good",
            Some(CopyState::Damaged | CopyState::Missing) | None => "failed",
            Some(CopyState::Expiring | CopyState::Deleting | CopyState::Expired) => "plain",
        },
        words: other.map_or_else(
            || words.clone(),
            |state| format!("{words}, {}", Mark::copy(state, visitor.lang).word),
        ),
        href: format!("/snapshots/{}", one.id),
    }
}

fn of_deploy(one: &Snapshot, visitor: &Visitor) -> Option<Happened> {
    let deploy = one.app_state.as_ref().and_then(|state| state.deploy.clone());
    let is_before = one.kind == SnapshotKind::PreDeploy;
    if !is_before && deploy.is_none() {
        return None;
    }
    let what = deploy.or_else(|| one.label.clone()).or_else(|| one.git_commit.clone());
    let what = what.unwrap_or_else(|| visitor.t("snapshot-kind-pre-deploy"));
    Some(Happened {
        at: one.taken_at,
        class: "plain",
        words: format!("{}: {what}", visitor.when(one.taken_at).absolute),
        href: format!("/snapshots/{}", one.id),
    })
}

fn of_run(run: &Run, visitor: &Visitor) -> Happened {
    let at = run.finished_at.unwrap_or(run.queued_at);
    let class = run_class(run.state);
    let kind = visitor.t(&format!("kind-{}", run.kind));
    Happened {
        at,
        class: match class {
            "good" => "good",
            "failed" | "interrupted" => "failed",
            "partial" => "late",
            _ => "plain",
        },
        words: format!(
            "{}: {kind}, {}",
            visitor.when(at).absolute,
            visitor.t(&format!("state-{class}"))
        ),
        href: format!("/runs/{}", run.id),
    }
}

fn of_event(event: &Event, app: &App, visitor: &Visitor) -> Happened {
    let word = visitor.t(&format!("event-{}", event.kind));
    let is_wal =
        event.kind.to_string().starts_with("wal_") || event.kind == model::EventKind::SlotReleased;
    Happened {
        at: event.at,
        class: if event.severity == Severity::Error { "failed" } else { "late" },
        words: format!(
            "{}: {word}. {}",
            visitor.when(event.at).absolute,
            visitor.sentence(&event.sentence)
        ),
        href: match (event.run_id, event.snapshot_id) {
            (Some(run), _) => format!("/runs/{run}"),
            (None, Some(snapshot)) => format!("/snapshots/{snapshot}"),
            (None, None) if is_wal => format!("/apps/{}/recovery", app.name),
            (None, None) => format!("/apps/{}", app.name),
        },
    }
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let app = catalog.app_by_name(&name).await?;
    let (frame, span, days) = frame(&wanted, &visitor);
    let mut snapshots = catalog.snapshots_of_app(app.id).await?;
    snapshots.retain(|one| one.copies.iter().any(|copy| copy.state != CopyState::Expired));
    let (drills, all_runs) = runs(&web, &app, frame, &[RunKind::Drill, RunKind::Restore]).await?;
    let query = EventQuery { app_id: Some(app.id), limit: AT_ONCE };
    let events = catalog.events(query).await?;
    let is_short = events.len() as u64 == AT_ONCE
        && events.last().is_some_and(|oldest| oldest.at > frame.from);
    let incidents = events.iter().filter(|event| event.severity != Severity::Info);
    let of_lane: [(&str, Vec<Happened>); 4] = [
        ("timeline-snapshots", snapshots.iter().map(|one| of_snapshot(one, &visitor)).collect()),
        ("timeline-deploys", snapshots.iter().filter_map(|one| of_deploy(one, &visitor)).collect()),
        ("timeline-drills", drills.iter().map(|run| of_run(run, &visitor)).collect()),
        ("timeline-incidents", incidents.map(|one| of_event(one, &app, &visitor)).collect()),
    ];
    let lines = lines(&of_lane, frame, &visitor);
    let is_cut = is_short || !all_runs || lines.1;
    let lanes = of_lane.into_iter().map(|(key, all)| lane(key, all, (frame, span), &app, &visitor));
    let state = known(&web, &app).await?;
    let has_archive = app.recovery.is_some() || !state.windows.is_empty();
    let here = format!("/apps/{}/recovery", app.name);
    let archive =
        has_archive.then(|| (frame.archive(&state, &here, &visitor), sentence(&state, &visitor).0));
    let date = |at: Timestamp| at.to_zoned(visitor.zone.clone()).date();
    let later =
        frame.until.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(frame.until);
    let given = wanted.until.parse::<Date>().ok();
    let title = visitor.lang.with("timeline-title", "app", app.name.as_str());
    let label = visitor.lang.fill(
        "timeline-label",
        [
            ("from", visitor.when(frame.from).absolute.into()),
            ("until", visitor.when(frame.until).absolute.into()),
        ],
    );
    Ok(show(&TimelinePage {
        page: visitor.page(title, Nav::Overview),
        spans: SPANS
            .iter()
            .map(|(word, _)| Choice {
                word: visitor.t(&format!("timeline-{word}")),
                href: address(&app, word, given),
                here: *word == span,
            })
            .collect(),
        earlier: address(&app, span, Some(date(frame.from))),
        later: (frame.until < visitor.now)
            .then(|| address(&app, span, (later < visitor.now).then(|| date(later)))),
        label,
        lanes: lanes.collect(),
        archive,
        ticks: frame.ticks(visitor.lang, &visitor.zone),
        lines: lines.0,
        is_cut,
        app: app.name.to_string(),
    }))
}

fn lane(
    key: &str,
    all: Vec<Happened>,
    (frame, span): (Frame, &str),
    app: &App,
    visitor: &Visitor,
) -> Lane {
    let word = visitor.t(key);
    let nearer = SPANS.iter().rev().skip_while(|(known, _)| *known != span).nth(1);
    let dots = frame.dots(all, |count, first, last| {
        let told = visitor.lang.fill(
            "timeline-several",
            [
                ("count", count.into()),
                ("what", word.as_str().into()),
                ("from", visitor.when(first).absolute.into()),
                ("until", visitor.when(last).absolute.into()),
            ],
        );
        let date = last.to_zoned(visitor.zone.clone()).date();
        let href = nearer.map(|(span, _)| address(app, span, Some(date)));
        (told, href.unwrap_or_else(|| "#lines".to_owned()))
    });
    let count: usize = dots.iter().map(|dot| dot.count).sum();
    let values = [("what", word.as_str().into()), ("count", count.into())];
    Lane { summary: visitor.lang.fill("timeline-summary", values), word, dots }
}

/// The table, newest first, and whether something is left out.
fn lines(lanes: &[(&str, Vec<Happened>)], frame: Frame, visitor: &Visitor) -> (Vec<Line>, bool) {
    let all = lanes.iter().flat_map(|(key, all)| all.iter().map(move |one| (*key, one)));
    let mut all: Vec<_> = all.filter(|(_, one)| frame.holds(one.at)).collect();
    all.sort_by_key(|(_, one)| std::cmp::Reverse(one.at));
    let is_cut = all.len() > LINES;
    let lines = all.into_iter().take(LINES).map(|(key, one)| Line {
        when: visitor.when(one.at),
        class: one.class,
        lane: visitor.t(key),
        // Its moment has a column.
        words: one.words.split_once(": ").map_or("", |(_, words)| words).to_owned(),
        href: one.href.clone(),
    });
    (lines.collect(), is_cut)
}
