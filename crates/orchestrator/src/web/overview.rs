//! The first page: the truth in one sentence, then every app.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{Html, Response},
};
use catalog::EventQuery;
use engine::{AppCard, Health, Standing};
use model::{App, AppId, Event, EventKind, FailureCode, Run, RunKind, Severity};
use serde::Deserialize;

use super::{
    Web,
    app_sources::kind_word,
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    format::When,
    lang::Lang,
    mark::Mark,
    page::{Nav, Page},
    pager::Pager,
    recovery::{Waiting, waiting},
    run_report::seconds,
    storage::StoragePanel,
    strip::Strip,
    visitor::Visitor,
};

const PER_PAGE: usize = 50;
const HAPPENINGS: usize = 8;
const TROUBLES: usize = 3;

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    state: String,
    /// What the apps are sorted by; the ones in trouble first where it is empty.
    sort: String,
    page: usize,
    part: String,
}

/// One app on the page.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) mark: Mark,
    /// What is read of it, as shapes and words.
    pub(super) sources: Vec<(&'static str, String)>,
    pub(super) strip: Strip,
    pub(super) last: Option<When>,
    pub(super) next: Option<When>,
    pub(super) size: String,
    /// What would be lost now, and what may be.
    pub(super) loss: Goal,
    /// The longest time without a new snapshot.
    pub(super) gap: Option<String>,
    /// What coming back takes, and what it may take.
    pub(super) back: Option<Goal>,
    pub(super) proven: Option<When>,
    pub(super) why: Option<String>,
    pub(super) run: Option<String>,
    pub(super) enabled: bool,
    pub(super) verified: Option<When>,
    /// What it is declared in, where that is not here.
    pub(super) managed: Option<&'static str>,
}

/// Something measured, beside what was wanted.
pub(super) struct Goal {
    pub(super) mark: Mark,
    pub(super) measured: String,
    pub(super) wanted: Option<String>,
}

impl Goal {
    fn loss(card: &AppCard, lang: Lang) -> Self {
        let late = card.rpo_secs.is_none_or(|secs| secs > card.objective_secs);
        Self {
            mark: Mark::kept(!late, lang),
            measured: card.rpo_secs.map_or_else(|| "–".to_owned(), |secs| lang.span(secs)),
            wanted: Some(lang.span(card.objective_secs)),
        }
    }

    fn back(card: &AppCard, lang: Lang) -> Option<Self> {
        let took = card.rto_secs?;
        let wanted = card.app.limits.restore_objective_secs;
        Some(Self {
            mark: Mark::kept(wanted.is_none_or(|wanted| took <= wanted as f64), lang),
            measured: seconds(took, lang),
            wanted: wanted.map(|secs| lang.span(i64::try_from(secs).unwrap_or(i64::MAX))),
        })
    }
}

/// Something that happened lately.
pub(super) struct Happening {
    pub(super) when: When,
    pub(super) word: String,
    pub(super) class: &'static str,
    pub(super) app: Option<String>,
    pub(super) run: Option<String>,
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    sentence: String,
    sentence_class: &'static str,
    troubles: Vec<(String, String)>,
    counters: Vec<Counter>,
    /// Volumes and databases of this machine that are in no app.
    uncovered: usize,
    rows: Vec<Row>,
    pager: Pager,
    q: String,
    state: String,
    sort: String,
    /// What they can be sorted by, with its word.
    sorts: Vec<(&'static str, String)>,
    total: usize,
    happenings: Vec<Happening>,
    next: Option<String>,
    /// What copies take everywhere.
    storage: Option<StoragePanel>,
    no_destination: bool,
    /// Nothing is here yet: it may come back from a backup.
    offers_recovery: bool,
    /// When the clock jumped, while retention waits because of it.
    clock: Option<When>,
    /// What waits after the catalog was rebuilt.
    waiting: Option<Waiting>,
    /// The recovery kit is to be stored.
    kit_due: bool,
    /// Why nobody would hear of a failure, where to change that, and by which words.
    told_nobody: Option<(&'static str, &'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "overview_live.html")]
struct Live {
    page: Page,
    sentence: String,
    sentence_class: &'static str,
    troubles: Vec<(String, String)>,
    counters: Vec<Counter>,
    rows: Vec<Row>,
}

struct Counter {
    href: &'static str,
    class: &'static str,
    word: String,
    count: usize,
}

pub(super) async fn show_overview(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let all = web.engine.standings().await?;
    let count = Counted::of(&all);
    let page = visitor.page(visitor.t("nav-overview"), Nav::Overview);
    let (sentence, sentence_class) = sentence(&web, count, &visitor).await?;
    let uncovered = web.engine.uncovered_count().await?;
    let counters = counters(count, uncovered, visitor.lang);
    let wanted = asked.q.trim().to_lowercase();
    let mut some: Vec<&Standing> = all
        .iter()
        .filter(|one| one.app.name.as_str().to_lowercase().contains(&wanted))
        .filter(|one| in_group(one.health, &asked.state))
        .collect();
    sort(&web, &mut some, &asked.sort).await?;
    let pager = Pager::new(asked.page, PER_PAGE, some.len())
        .keep("q", &asked.q)
        .keep("sort", &asked.sort)
        .keep("state", &asked.state);
    let shown = &some[pager.range()];
    let worst: Vec<&Standing> =
        all.iter().filter(|one| is_trouble(one.health)).take(TROUBLES).collect();
    // The worst are mostly among those that are shown.
    let is_shown = |one: &&&Standing| shown.iter().any(|other| other.app.id == one.app.id);
    let others = worst.iter().filter(|one| !is_shown(one));
    let apps = shown.iter().chain(others).map(|one| App::clone(&one.app)).collect();
    let cards = web.engine.cards(apps).await?;
    let rows: Vec<Row> = cards[..shown.len()].iter().map(|card| row(card, &visitor)).collect();
    let troubles = troubles(&worst, &cards, visitor.lang);
    if asked.part == "live" {
        return Ok(show(&Live { page, sentence, sentence_class, troubles, counters, rows }));
    }
    let catalog = web.engine.catalog();
    let names =
        |id| all.iter().find(|one| Some(one.app.id) == id).map(|one| one.app.name.to_string());
    let mut happenings = Vec::new();
    let events = catalog.events(EventQuery { limit: 40, ..EventQuery::default() }).await?;
    let ids: Vec<_> = events.iter().filter_map(|event| event.run_id).collect();
    let runs = catalog.runs_by_id(&ids).await?;
    for event in events {
        let run = event.run_id.and_then(|id| runs.get(&id));
        // That retention had nothing to say is no news, and restores and drills say more by
        // events of their own.
        let quiet = run.is_some_and(|run| match run.kind {
            RunKind::Expire | RunKind::Restore => event.kind == EventKind::RunSucceeded,
            RunKind::Drill => {
                let proves =
                    run.failure.as_ref().is_none_or(|f| f.code == FailureCode::DrillFailed);
                proves && matches!(event.kind, EventKind::RunSucceeded | EventKind::RunFailed)
            }
            _ => false,
        });
        if !quiet {
            happenings.push(happening(&event, run, names(event.app_id), &visitor));
        }
        if happenings.len() == HAPPENINGS {
            break;
        }
    }
    let now = web.engine.now();
    let next = all.iter().filter_map(|one| Some((one.next_fire(now)?, &one.app.name))).min().map(
        |(at, name)| {
            let when = visitor.when(at);
            visitor.lang.fill(
                "overview-next",
                [
                    ("app", name.as_str().into()),
                    ("at", when.absolute.into()),
                    ("in", when.relative.into()),
                ],
            )
        },
    );
    Ok(show(&OverviewPage {
        page,
        sentence,
        sentence_class,
        troubles,
        counters,
        uncovered: uncovered.unwrap_or(0),
        rows,
        pager,
        q: asked.q,
        state: asked.state,
        sort: asked.sort,
        sorts: SORTS.iter().map(|(by, key)| (*by, visitor.t(key))).collect(),
        total: all.len(),
        happenings,
        next,
        storage: StoragePanel::new(&web.engine.storage().await?, visitor.lang),
        clock: web.engine.clock_jumped_at().await?.map(|at| visitor.when(at)),
        waiting: waiting(&web, &visitor).await?,
        kit_due: web.engine.kit_is_due().await?,
        told_nobody: if all.is_empty() { None } else { told_nobody(&web).await? },
        offers_recovery: all.is_empty() && super::recover::is_offered(&web).await?,
        no_destination: all.is_empty() && catalog.all_destinations().await?.is_empty(),
    }))
}

/// What apps can be sorted by, and the messages with its words.
const SORTS: [(&str, &str); 5] = [
    ("", "sort-state"),
    ("name", "name"),
    ("last", "col-last-good"),
    ("next", "col-next"),
    ("stored", "col-stored"),
];

/// Puts the oldest snapshot first, the next run first, or what takes most.
async fn sort(web: &Web, all: &mut [&Standing], by: &str) -> Result<(), Fault> {
    match by {
        "name" => all.sort_by_key(|one| one.app.name.as_str().to_lowercase()),
        "last" => all.sort_by_key(|one| one.last_good_at),
        "next" => {
            let now = web.engine.now();
            all.sort_by_cached_key(|one| {
                let next = one.next_fire(now);
                (next.is_none(), next)
            });
        }
        "stored" => {
            let ids: Vec<AppId> = all.iter().map(|one| one.app.id).collect();
            let stored = web.engine.stored_bytes(&ids).await?;
            all.sort_by_key(|one| std::cmp::Reverse(stored.get(&one.app.id).copied()));
        }
        _ => {}
    }
    Ok(())
}

/// Why nobody would hear of a failure, where to change that, and by which words.
async fn told_nobody(
    web: &Web,
) -> Result<Option<(&'static str, &'static str, &'static str)>, Fault> {
    if web.engine.alert_channels().await?.is_empty() {
        return Ok(Some(("alerts-nobody", "/new/alert-channel", "channel-add")));
    }
    let has_route = !web.engine.alert_routes().await?.is_empty();
    Ok((!has_route).then_some(("alerts-no-route", "/new/alert-route", "route-add")))
}

fn in_group(health: Health, group: &str) -> bool {
    match group {
        "protected" => matches!(health, Health::Good | Health::Running),
        "partial" => health == Health::Partial,
        "late" => matches!(health, Health::Late | Health::NeverRun),
        "failed" => matches!(health, Health::Failed | Health::Damaged),
        "disabled" => health == Health::Disabled,
        _ => true,
    }
}

/// How many apps are how.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    total: usize,
    /// Good or running.
    good: usize,
    /// Protected, but without a copy somewhere.
    partial: usize,
    late: usize,
    failed: usize,
    disabled: usize,
}

impl Counted {
    fn of(all: &[Standing]) -> Self {
        let mut count = Self { total: all.len(), ..Self::default() };
        for one in all {
            *match one.health {
                Health::Good | Health::Running => &mut count.good,
                Health::Partial => &mut count.partial,
                Health::Late | Health::NeverRun => &mut count.late,
                Health::Failed | Health::Damaged => &mut count.failed,
                Health::Disabled => &mut count.disabled,
            } += 1;
        }
        count
    }
}

/// The worst state wins; it counts every app that is listed beneath it.
async fn sentence(
    web: &Web,
    count: Counted,
    visitor: &Visitor,
) -> Result<(String, &'static str), Fault> {
    let lang = visitor.lang;
    let troubled = count.failed + count.late;
    Ok(if count.total == 0 {
        (lang.t("sentence-empty"), "quiet")
    } else if troubled > 0 {
        (
            lang.with("sentence-trouble", "count", troubled + count.partial),
            if count.failed > 0 { "failed" } else { "late" },
        )
    } else if count.partial > 0 {
        (lang.with("sentence-partial", "count", count.partial), "partial")
    } else if count.good == 0 {
        (lang.t("sentence-disabled"), "quiet")
    } else {
        let proven = match web.engine.catalog().last_success(RunKind::Drill).await? {
            Some(at) => lang.with("sentence-proven", "when", visitor.when(at).relative),
            None => lang.t("sentence-unproven"),
        };
        (format!("{} {proven}", lang.with("sentence-good", "count", count.good)), "good")
    })
}

fn is_trouble(health: Health) -> bool {
    !matches!(health, Health::Running | Health::Good | Health::Disabled)
}

/// What is the matter with `worst`, by their cards.
fn troubles(worst: &[&Standing], cards: &[AppCard], lang: Lang) -> Vec<(String, String)> {
    let card = |one: &&Standing| cards.iter().find(|card| card.app.id == one.app.id);
    let told = worst.iter().filter_map(card).filter_map(|card| {
        let why = match card.health {
            Health::NeverRun => lang.t("why-never"),
            _ => why(card, lang)?,
        };
        Some((card.app.name.to_string(), why))
    });
    told.collect()
}

/// What is the matter with an app, if anything.
pub(super) fn why(card: &AppCard, lang: Lang) -> Option<String> {
    let age = card.rpo_secs.map(|secs| lang.span(secs));
    match card.health {
        Health::Late | Health::Failed => {
            let age = match age {
                Some(age) => lang.with("why-age", "age", age),
                None => lang.t("why-none"),
            };
            let failure = card.last_run.as_ref().and_then(|run| run.failure.as_ref());
            Some(match failure.filter(|_| card.health == Health::Failed) {
                Some(failure) => {
                    format!("{} {age}", lang.t(&format!("failure-{}", failure.code)))
                }
                None => age,
            })
        }
        Health::Damaged => Some(lang.t("why-damaged")),
        Health::Partial => Some(lang.t("why-partial")),
        Health::NeverRun | Health::Running | Health::Good | Health::Disabled => None,
    }
}

/// `uncovered` is `None` where nobody looks at this machine.
fn counters(all: Counted, uncovered: Option<usize>, lang: Lang) -> Vec<Counter> {
    let counter = |href, class, word: &str, count| Counter {
        href,
        class,
        word: lang.t(&format!("counter-{word}")),
        count,
    };
    let mut counters = vec![
        counter("/?state=protected", "good", "protected", all.good),
        counter("/?state=late", "late", "late", all.late),
        counter("/?state=failed", "failed", "failed", all.failed),
    ];
    if all.partial > 0 {
        counters.insert(1, counter("/?state=partial", "partial", "partial", all.partial));
    }
    if all.disabled > 0 {
        counters.push(counter("/?state=disabled", "disabled", "disabled", all.disabled));
    }
    if let Some(uncovered) = uncovered {
        counters.push(counter("/coverage", "late", "uncovered", uncovered));
    }
    counters
}

/// The kinds of an app's sources, each once.
fn kinds(card: &AppCard, lang: Lang) -> Vec<(&'static str, String)> {
    let mut kinds: Vec<(&'static str, String)> = Vec::new();
    for source in &card.app.sources {
        let icon = match source.word() {
            "contract" => "source-contract",
            "volume" => "source-volume",
            "files" => "source-files",
            _ => "source-database",
        };
        let word = kind_word(lang, source.word());
        if kinds.iter().all(|(_, known)| *known != word) {
            kinds.push((icon, word));
        }
    }
    kinds
}

pub(super) fn row(card: &AppCard, visitor: &Visitor) -> Row {
    let lang = visitor.lang;
    let verified = card
        .last_good
        .as_ref()
        .and_then(|snapshot| snapshot.copies.iter().filter_map(|copy| copy.verified_at).max());
    Row {
        name: card.app.name.to_string(),
        mark: Mark::health(card.health, lang),
        sources: kinds(card, lang),
        strip: Strip::new(card, visitor.now, lang),
        last: card.last_good.as_ref().map(|snapshot| visitor.when(snapshot.taken_at)),
        next: card.next_fire.map(|at| visitor.when(at)),
        size: lang.size(card.stored_bytes),
        loss: Goal::loss(card, lang),
        gap: card.longest_gap_secs.map(|secs| lang.span(secs)),
        back: Goal::back(card, lang),
        proven: card.proven.as_ref().map(|proof| visitor.when(proof.at)),
        why: why(card, lang),
        run: card.active_run.as_ref().map(|run| run.id.to_string()),
        enabled: card.app.enabled,
        verified: verified.map(|at| visitor.when(at)),
        managed: card.app.managed_by.map(Into::into),
    }
}

fn happening(
    event: &Event,
    run: Option<&Run>,
    app: Option<String>,
    visitor: &Visitor,
) -> Happening {
    let word = visitor.t(&format!("event-{}", event.kind));
    Happening {
        when: visitor.when(event.at),
        word: match run {
            Some(run) => format!("{}: {word}", visitor.t(&format!("kind-{}", run.kind))),
            None => word,
        },
        class: match event.severity {
            Severity::Info => "quiet",
            Severity::Warning => "late",
            Severity::Error => "failed",
        },
        app,
        run: event.run_id.map(|id| id.to_string()),
        text: match (event.kind, run.and_then(|run| run.failure.as_ref())) {
            // The word says it, and the run's page the rest.
            (EventKind::RunSucceeded | EventKind::Restored | EventKind::DrillPassed, _) => {
                String::new()
            }
            // Older events have no more than their words.
            (_, Some(failure)) if failure.message == event.sentence.message => {
                visitor.failure(failure)
            }
            _ => visitor.sentence(&event.sentence),
        },
    }
}

/// Says that the clock is right after it jumped.
pub(super) async fn accept_clock(State(web): State<Web>, _: Sealed) -> Result<Response, Fault> {
    web.engine.accept_clock().await?;
    Ok(redirect("/?done=accepted"))
}
