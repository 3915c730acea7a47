//! The drills of all apps: what was never proven to come back stands first.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Html,
};
use engine::DrillStanding;
use serde::Deserialize;

use super::{
    Web,
    drills::LastDrill,
    fault::{Fault, show},
    filters,
    format::When,
    lang::Lang,
    mark::Mark,
    page::{Nav, Page},
    pager::Pager,
    run_report::proof_mark,
    visitor::Visitor,
};

const PER_PAGE: usize = 50;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    page: usize,
}

struct Row {
    app: String,
    mark: Mark,
    last: Option<LastDrill>,
    /// The last that proved something, where that was not the last of all.
    proven: Option<When>,
    next: Option<When>,
    /// It should have begun already.
    is_due: bool,
    enabled: bool,
    can_drill: bool,
}

impl Row {
    fn of(one: &DrillStanding, visitor: &Visitor) -> Self {
        let last = LastDrill::of(one.last.as_ref(), visitor);
        let proven = one
            .proven
            .as_ref()
            .filter(|proof| one.last.as_ref().is_none_or(|last| last.id != proof.run_id));
        Self {
            app: one.app.to_string(),
            mark: match (&last, &one.proven) {
                (None, None) => Mark { class: "never", word: visitor.t("drills-never") },
                (Some(last), _) => last.mark.clone(),
                (None, Some(_)) => proof_mark(true, visitor.lang),
            },
            proven: proven.map(|proof| visitor.when(proof.at)),
            next: one.next_due.map(|at| visitor.when(at)),
            is_due: one.next_due.is_some_and(|at| at <= visitor.now),
            enabled: one.enabled,
            can_drill: one.enabled && one.has_snapshot,
            last,
        }
    }
}

#[derive(Template)]
#[template(path = "drills.html")]
struct DrillsPage {
    page: Page,
    sentence: String,
    class: &'static str,
    rows: Vec<Row>,
    pager: Pager,
}

/// What is to be known first; apps that are disabled do not count.
fn sentence(all: &[DrillStanding], lang: Lang) -> (String, &'static str) {
    let enabled = || all.iter().filter(|one| one.enabled);
    let unproven = enabled().filter(|one| one.proven.is_none()).count();
    let failed = enabled().filter(|one| one.has_failed()).count();
    match (enabled().count(), failed, unproven) {
        (0, ..) => (lang.t("drills-empty"), "quiet"),
        (_, 0, 0) => (lang.t("drills-all"), "good"),
        (_, 0, unproven) => (lang.with("drills-unproven", "count", unproven), "late"),
        (_, failed, 0) => (lang.with("drills-failed", "count", failed), "failed"),
        (_, failed, unproven) => {
            let failed = lang.with("drills-failed", "count", failed);
            (format!("{failed} {}", lang.with("drills-unproven", "count", unproven)), "failed")
        }
    }
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let all = web.engine.drills().await?;
    let (sentence, class) = sentence(&all, visitor.lang);
    let pager = Pager::new(asked.page, PER_PAGE, all.len());
    let rows = all[pager.range()].iter().map(|one| Row::of(one, &visitor)).collect();
    let page = visitor.page(visitor.t("drills"), Nav::Overview);
    Ok(show(&DrillsPage { page, sentence, class, rows, pager }))
}
