//! Retention in words: rules, what each snapshot is kept for, and the whole plan as a preview.

use std::collections::{BTreeMap, HashMap};

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};
use engine::RetentionPreview;
use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use model::{
    CopyState, SnapshotId,
    retention::{Reason, RetentionPolicy, Rule, Verdict, date},
};

use super::{
    Web,
    fault::{Fault, show},
    filters,
    format::When,
    lang::Lang,
    mark::Mark,
    page::{Nav, Page},
    visitor::Visitor,
};

/// A policy's rules in words.
pub(crate) struct Rules<'a>(&'a RetentionPolicy);

impl<'a> Rules<'a> {
    pub(crate) fn of(policy: &'a RetentionPolicy) -> Self {
        Self(policy)
    }

    /// `keeps the last 3, 7 daily, 4 weekly`.
    pub(crate) fn sentence(&self, lang: Lang) -> String {
        let policy = self.0;
        let mut parts = Vec::new();
        for (rule, count) in [
            ("last", policy.keep_last),
            ("hourly", policy.keep_hourly),
            ("daily", policy.keep_daily),
            ("weekly", policy.keep_weekly),
            ("monthly", policy.keep_monthly),
            ("yearly", policy.keep_yearly),
            ("pre-deploy", policy.keep_pre_deploy),
        ] {
            if let Some(count) = count {
                parts.push(lang.with(&format!("keeps-{rule}"), "count", count));
            }
        }
        if let Some(within) = policy.keep_within {
            let length = lang.span(i64::try_from(within.secs()).unwrap_or(i64::MAX));
            parts.push(lang.with("keeps-within", "length", length));
        }
        if parts.is_empty() {
            lang.t("keeps-everything")
        } else {
            lang.with("keeps", "rules", parts.join(", "))
        }
    }
}

/// Why a snapshot stays or goes, in words.
pub(crate) fn reason(reason: &Reason, lang: Lang) -> String {
    match reason {
        Reason::Rule { rule, number, of } => {
            let rule = match rule {
                Rule::Last => "last",
                Rule::Hourly => "hourly",
                Rule::Daily => "daily",
                Rule::Weekly => "weekly",
                Rule::Monthly => "monthly",
                Rule::Yearly => "yearly",
                Rule::PreDeploy => "pre-deploy",
            };
            lang.fill(
                &format!("reason-{rule}"),
                [("number", (*number).into()), ("of", (*of).into())],
            )
        }
        Reason::Within { within } => {
            let length = lang.span(i64::try_from(within.secs()).unwrap_or(i64::MAX));
            lang.with("reason-within", "length", length)
        }
        Reason::Locked { until } => lang.with("reason-locked", "until", date(*until)),
        other => word(other)
            .and_then(|word| lang.find(&format!("reason-{word}")))
            .unwrap_or_else(|| other.to_string()),
    }
}

/// The word under which a reason is stored.
fn word(reason: &Reason) -> Option<String> {
    let value = serde_json::to_value(reason).ok()?;
    Some(value.get("reason")?.as_str()?.replace('_', "-"))
}

/// What each snapshot is kept for at each destination.
pub(crate) struct Badges(HashMap<SnapshotId, Vec<String>>);

impl Badges {
    pub(crate) fn new(previews: &[RetentionPreview], lang: Lang) -> Self {
        let mut all: HashMap<SnapshotId, Vec<String>> = HashMap::new();
        for decision in previews.iter().flat_map(|preview| &preview.plan.decisions) {
            let words = all.entry(decision.id).or_default();
            for one in &decision.reasons {
                let text = reason(one, lang);
                if !words.contains(&text) {
                    words.push(text);
                }
            }
        }
        Self(all)
    }

    pub(crate) fn of(&self, id: SnapshotId) -> &[String] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// One snapshot of a plan.
pub(crate) struct PlanRow {
    pub(crate) id: String,
    pub(crate) when: When,
    pub(crate) mark: Mark,
    pub(crate) keep: bool,
    pub(crate) reasons: String,
    pub(crate) size: String,
    pub(crate) leaves: Option<String>,
}

/// A day on the calendar.
pub(crate) struct Cell {
    pub(crate) day: i8,
    pub(crate) class: &'static str,
    pub(crate) words: String,
}

pub(crate) struct Month {
    pub(crate) name: String,
    pub(crate) weeks: Vec<Vec<Option<Cell>>>,
}

/// The plan at one destination.
pub(crate) struct Plan {
    pub(crate) destination: String,
    pub(crate) rules: String,
    pub(crate) refusal: Option<String>,
    pub(crate) keep: usize,
    pub(crate) expire: usize,
    pub(crate) months: Vec<Month>,
    pub(crate) rows: Vec<PlanRow>,
}

impl Plan {
    pub(crate) fn new(
        preview: &RetentionPreview,
        zone: &TimeZone,
        grace: std::time::Duration,
        visitor: &Visitor,
    ) -> Self {
        let lang = visitor.lang;
        let decisions: HashMap<_, _> =
            preview.plan.decisions.iter().map(|decision| (decision.id, decision)).collect();
        let mut days: BTreeMap<Date, (usize, usize)> = BTreeMap::new();
        let rows: Vec<_> = preview
            .snapshots
            .iter()
            .map(|one| {
                let decision = decisions.get(&one.id);
                let keep = decision.is_none_or(|decision| decision.verdict == Verdict::Keep);
                let day = days.entry(one.taken_at.to_zoned(zone.clone()).date()).or_default();
                if keep {
                    day.0 += 1;
                } else {
                    day.1 += 1;
                }
                let leaves = one
                    .expiring_since
                    .filter(|_| one.state == CopyState::Expiring)
                    .and_then(|since| since.checked_add(grace).ok());
                PlanRow {
                    id: one.id.to_string(),
                    when: lang.when(one.taken_at, visitor.now, zone),
                    mark: Mark::copy(one.state, lang),
                    keep,
                    reasons: decision
                        .map(|d| d.reasons.iter().map(|r| reason(r, lang)).collect::<Vec<_>>())
                        .unwrap_or_default()
                        .join(" · "),
                    size: lang.size(one.stored_bytes),
                    leaves: leaves.map(|at| visitor.when(at).absolute),
                }
            })
            .collect();
        Self {
            destination: preview.destination.clone(),
            rules: Rules::of(&preview.policy).sentence(lang),
            refusal: preview
                .plan
                .refusal
                .map(|refusal| visitor.sentence(&model::Fact::from(refusal).into())),
            keep: rows.iter().filter(|row| row.keep).count(),
            expire: rows.iter().filter(|row| !row.keep).count(),
            months: calendar(&days, lang),
            rows,
        }
    }
}

/// The months that hold snapshots, newest first; a year at most, the table has the rest.
fn calendar(days: &BTreeMap<Date, (usize, usize)>, lang: Lang) -> Vec<Month> {
    let mut firsts: Vec<Date> = days.keys().map(|day| day.first_of_month()).collect();
    firsts.dedup();
    firsts.into_iter().rev().take(12).map(|first| month(first, days, lang)).collect()
}

fn month(first: Date, days: &BTreeMap<Date, (usize, usize)>, lang: Lang) -> Month {
    let mut weeks = vec![Vec::new()];
    for _ in 0..first.weekday().to_monday_zero_offset() {
        weeks[0].push(None);
    }
    for offset in 0..first.days_in_month() {
        let date = first.checked_add(i64::from(offset).days()).unwrap_or(first);
        if weeks.last().is_some_and(|week| week.len() == 7) {
            weeks.push(Vec::new());
        }
        let (class, words) = match days.get(&date) {
            None => ("none", String::new()),
            Some((keep, expire)) => (
                match (keep, expire) {
                    (0, _) => "expire",
                    (_, 0) => "keep",
                    _ => "both",
                },
                lang.fill(
                    "calendar-day",
                    [
                        ("date", lang.date(date).into()),
                        ("keep", (*keep).into()),
                        ("expire", (*expire).into()),
                    ],
                ),
            ),
        };
        if let Some(week) = weeks.last_mut() {
            week.push(Some(Cell { day: date.day(), class, words }));
        }
    }
    let name = lang.date(first);
    let name = name.split_once(' ').map_or(name.clone(), |(_, rest)| rest.to_owned());
    Month { name, weeks }
}

#[derive(Template)]
#[template(path = "retention.html")]
struct RetentionPage {
    page: Page,
    app: String,
    grace: String,
    plans: Vec<Plan>,
}

pub(super) async fn preview(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Html<String>, Fault> {
    let app = web.engine.catalog().app_by_name(&name).await?;
    let zone = app.schedule.as_ref().map_or(TimeZone::UTC, |s| s.time_zone.zone());
    let grace = web.engine.config().expire_grace;
    let previews = web.engine.preview_retention(&app, None).await?;
    let title = visitor.lang.with("retention-of", "app", app.name.as_str());
    Ok(show(&RetentionPage {
        page: visitor.page(title, Nav::Overview),
        app: app.name.to_string(),
        grace: visitor.lang.span(i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)),
        plans: previews.iter().map(|one| Plan::new(one, &zone, grace, &visitor)).collect(),
    }))
}
