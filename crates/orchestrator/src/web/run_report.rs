//! What restores and drills tell of themselves: on their run's page, and as a page to print.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};
use model::{
    BootReport, Condition, DrillItem, DrillReport, DrillState, Landing, RestoreReport, RestoreStep,
    Run, RunKind, RunState, StepState, WholeAct,
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

/// One thing that was looked at.
pub(super) struct Check {
    pub(super) mark: Mark,
    pub(super) name: Option<String>,
    pub(super) message: String,
}

/// One artifact on its way back.
pub(super) struct Step {
    pub(super) artifact: String,
    pub(super) target: String,
    pub(super) mark: Mark,
    pub(super) made: Option<String>,
    pub(super) kept: Option<String>,
    pub(super) from: Option<String>,
    pub(super) notes: Vec<String>,
}

/// Where a server that was brought to a moment landed.
pub(super) struct Landed {
    pub(super) last: Option<When>,
    pub(super) replayed: String,
    pub(super) timeline: String,
    pub(super) is_promoted: bool,
    pub(super) base: Option<String>,
}

impl Landed {
    fn of(landing: &Landing, visitor: &Visitor) -> Self {
        let end = |at: Option<model::Lsn>| at.map(|at| at.to_string());
        let replayed = end(landing.replayed_to).unwrap_or_else(|| "–".to_owned());
        let replayed = match end(landing.replay_end).filter(|end| *end != replayed) {
            Some(end) => format!("{replayed} / {end}"),
            None => replayed,
        };
        let timeline = landing.timeline.map(|timeline| timeline.to_string());
        Self {
            last: landing.last_commit_at.map(|at| visitor.when(at)),
            replayed,
            timeline: timeline.unwrap_or_else(|| "–".to_owned()),
            is_promoted: landing.is_promoted,
            base: landing.base.map(|id| id.to_string()),
        }
    }
}

/// One artifact that was tried.
pub(super) struct Item {
    pub(super) artifact: String,
    pub(super) scratch: String,
    pub(super) mark: Mark,
    pub(super) restore: String,
    pub(super) check: String,
    pub(super) checks: Vec<Check>,
    pub(super) landed: Option<Landed>,
}

/// The app that was booted on what came back.
pub(super) struct Boot {
    pub(super) container: String,
    pub(super) scratch: String,
    pub(super) mark: Mark,
    pub(super) took: String,
    pub(super) checks: Vec<Check>,
}

/// A report in words.
pub(super) struct Told {
    /// In what state a restore left the app, or whether a drill proved something.
    pub(super) verdict: Option<Mark>,
    pub(super) steps: Vec<Step>,
    pub(super) items: Vec<Item>,
    pub(super) boot: Option<Boot>,
    pub(super) undo: Option<String>,
    /// The run and the app's name, where what a server had before can take its place again.
    pub(super) back: Option<(String, String)>,
    pub(super) landed: Option<Landed>,
    pub(super) took: String,
}

/// What a run tells, if it is of a kind that does and has begun.
pub(super) async fn told(web: &Web, visitor: &Visitor, run: &Run) -> Result<Option<Told>, Fault> {
    let ended = run.state.is_terminal();
    Ok(match run.kind {
        RunKind::Restore => match web.engine.restore_report(run.id).await? {
            Some(report) => {
                let mut told = of_restore(web, &report, ended, visitor).await;
                if run.state == RunState::Succeeded && engine::may_go_back(run, &report) {
                    let app = match run.app_id {
                        Some(id) => web.engine.catalog().app(id).await.ok(),
                        None => None,
                    };
                    told.back = app.map(|app| (run.id.to_string(), app.name.to_string()));
                }
                Some(told)
            }
            None => None,
        },
        RunKind::Drill => {
            let report = web.engine.drill_report(run.id).await?;
            report.map(|report| of_drill(&report, ended, visitor))
        }
        _ => None,
    })
}

async fn of_restore(web: &Web, report: &RestoreReport, ended: bool, visitor: &Visitor) -> Told {
    let lang = visitor.lang;
    let mut steps = Vec::new();
    for step in &report.steps {
        let from = match step.read_from {
            Some(id) => web.engine.catalog().destination(id).await.ok().map(|d| d.name.to_string()),
            None => None,
        };
        steps.push(of_step(step, from, ended, visitor));
    }
    let acts = report.whole.iter().flat_map(|whole| &whole.acts);
    steps.extend(acts.map(|act| of_act(act, ended, visitor)));
    let verdict = ended.then(|| Mark {
        class: match report.condition {
            Condition::Untouched => "disabled",
            Condition::Restored => "good",
            Condition::Mixed => "damaged",
        },
        word: lang.t(&format!("condition-{}", report.condition)),
    });
    Told {
        verdict,
        steps,
        items: Vec::new(),
        boot: None,
        undo: report.undo_snapshot.map(|id| id.to_string()),
        back: None,
        landed: report.landing.as_ref().map(|landing| Landed::of(landing, visitor)),
        took: seconds(report.took_secs, lang),
    }
}

fn of_step(step: &RestoreStep, from: Option<String>, ended: bool, visitor: &Visitor) -> Step {
    let class = match (step.state, ended) {
        (StepState::Done, _) => "good",
        (StepState::Waiting, false) => "queued",
        (_, false) => "running",
        (StepState::Waiting, true) => "never",
        (StepState::Switching, true) => "damaged",
        (_, true) => "interrupted",
    };
    Step {
        artifact: step.artifact.to_string(),
        target: visitor.sentence(&step.target),
        mark: Mark { class, word: visitor.t(&format!("step-{}", step.state)) },
        made: step.made.clone(),
        kept: step.kept.clone(),
        from,
        notes: step.notes.iter().map(|note| visitor.sentence(note)).collect(),
    }
}

/// What is done of the app as a whole, as one more step.
fn of_act(act: &WholeAct, ended: bool, visitor: &Visitor) -> Step {
    let (class, word) = match (act.done, ended) {
        (true, _) => ("good", "act-done"),
        (false, false) => ("queued", "step-waiting"),
        (false, true) => ("never", "step-waiting"),
    };
    Step {
        artifact: visitor.t(&format!("whole-{}", act.step)),
        target: String::new(),
        mark: Mark { class, word: visitor.t(word) },
        made: None,
        kept: None,
        from: None,
        notes: act.notes.iter().map(|note| visitor.sentence(note)).collect(),
    }
}

fn of_drill(report: &DrillReport, ended: bool, visitor: &Visitor) -> Told {
    let lang = visitor.lang;
    Told {
        verdict: ended.then(|| proof_mark(report.is_proof(), lang)),
        steps: Vec::new(),
        items: report.items.iter().map(|item| of_item(item, visitor)).collect(),
        boot: report.boot.as_ref().map(|boot| of_boot(boot, visitor)),
        undo: None,
        back: None,
        landed: None,
        took: seconds(report.took_secs, lang),
    }
}

fn of_item(item: &DrillItem, visitor: &Visitor) -> Item {
    let lang = visitor.lang;
    Item {
        artifact: item.artifact.to_string(),
        scratch: visitor.sentence(&item.scratch),
        mark: proof_mark(item.is_proof(), lang),
        restore: seconds(item.restore_secs, lang),
        check: seconds(item.check_secs, lang),
        checks: item.checks.iter().map(|one| of_check(one, visitor)).collect(),
        landed: item.landing.as_ref().map(|landing| Landed::of(landing, visitor)),
    }
}

fn of_boot(boot: &BootReport, visitor: &Visitor) -> Boot {
    Boot {
        container: boot.container.clone(),
        scratch: visitor.sentence(&boot.scratch),
        mark: proof_mark(boot.is_proof(), visitor.lang),
        took: seconds(boot.took_secs, visitor.lang),
        checks: boot.checks.iter().map(|one| of_check(one, visitor)).collect(),
    }
}

fn of_check(check: &model::DrillCheck, visitor: &Visitor) -> Check {
    Check {
        mark: Mark {
            class: match check.state {
                DrillState::Passed => "good",
                DrillState::Failed => "failed",
                DrillState::Skipped => "disabled",
            },
            word: visitor.t(&format!("drill-check-{}", check.state)),
        },
        name: Some(visitor.check_name(&check.name)),
        message: visitor.sentence(&check.sentence),
    }
}

/// Whether something is proven to come back.
pub(super) fn proof_mark(passed: bool, lang: Lang) -> Mark {
    if passed {
        Mark { class: "good", word: lang.t("proven") }
    } else {
        Mark { class: "failed", word: lang.t("not-proven") }
    }
}

/// A measured length of time.
pub(super) fn seconds(secs: f64, lang: Lang) -> String {
    lang.measured(jiff::SignedDuration::try_from_secs_f64(secs).unwrap_or_default())
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    page: Page,
    run: String,
    kind: String,
    app: Option<String>,
    snapshot: Option<(String, When)>,
    began: When,
    mark: Mark,
    why: Option<String>,
    told: Told,
}

/// The report as a page of its own, to print or to keep.
pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(text): Path<String>,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let run = catalog.run(text.parse().map_err(|_| Fault::not_found())?).await?;
    let told = told(&web, &visitor, &run).await?.ok_or_else(Fault::not_found)?;
    let app = match run.app_id {
        Some(id) => catalog.app(id).await.ok().map(|app| app.name.to_string()),
        None => None,
    };
    let snapshot = match run.snapshot_id {
        Some(id) => catalog.snapshot(id).await.ok(),
        None => None,
    };
    let title = visitor.t(&format!("report-of-{}", run.kind));
    Ok(show(&ReportPage {
        page: visitor.page(title, Nav::Runs),
        run: run.id.to_string(),
        kind: visitor.t(&format!("kind-{}", run.kind)),
        app,
        snapshot: snapshot.map(|one| (one.id.to_string(), visitor.when(one.taken_at))),
        began: visitor.when(run.started_at.unwrap_or(run.queued_at)),
        mark: Mark::run(run.state, visitor.lang),
        why: run.failure.as_ref().map(|failure| visitor.failure(failure)),
        told,
    }))
}
