//! Drills: asked for, how the last one went, and what they are to do.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::FieldError;
use model::{App, DrillBoot, DrillCommand, DrillPlan, DrillQuestion, Fact, Name, Run, SnapshotId};

use super::{
    Web,
    app_fields::{Values, schedule},
    app_form::zones,
    conflict::{Basis, Conflict, item, refused, saved, version},
    drill_told::told,
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    format::When,
    mark::Mark,
    page::{Nav, Page},
    run_report::{proof_mark, seconds},
    visitor::Visitor,
};

/// How an app's last drill went.
pub(super) struct LastDrill {
    pub(super) mark: Mark,
    pub(super) run: String,
    pub(super) when: When,
    pub(super) took: String,
    pub(super) why: Option<String>,
}

impl LastDrill {
    /// Of the last drill that ended, if there was one.
    pub(super) fn of(run: Option<&Run>, visitor: &Visitor) -> Option<Self> {
        let run = run?;
        let ended = run.finished_at?;
        let began = run.started_at.unwrap_or(ended);
        Some(Self {
            mark: proof_mark(run.state == model::RunState::Succeeded, visitor.lang),
            run: run.id.to_string(),
            when: visitor.when(ended),
            took: seconds(ended.duration_since(began).as_secs_f64(), visitor.lang),
            why: run.failure.as_ref().map(|failure| visitor.failure(failure)),
        })
    }
}

/// An app's drill plan, for its page.
pub(super) struct Planned {
    pub(super) schedule: Option<String>,
    pub(super) next: Option<When>,
    pub(super) checks: usize,
}

impl Planned {
    pub(super) fn of(app: &App, visitor: &Visitor) -> Self {
        let schedule = app.drill.schedule.as_ref();
        let next = schedule.filter(|_| app.enabled).and_then(|one| {
            let at = one.next_after(visitor.now)?;
            Some(visitor.lang.when(at, visitor.now, &one.time_zone.zone()))
        });
        Self {
            schedule: schedule.map(|one| format!("{} ({})", one.spec, one.time_zone)),
            next,
            checks: app.drill.questions.len()
                + app.drill.commands.len()
                + usize::from(app.drill.boot.is_some()),
        }
    }
}

pub(super) async fn drill_app(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let app = web.engine.catalog().app_by_name(&name).await?;
    let run = web.engine.drill_app(&app).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

pub(super) async fn drill_snapshot(
    State(web): State<Web>,
    Path(text): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let id: SnapshotId = text.parse().map_err(|_| Fault::not_found())?;
    let run = web.engine.drill_snapshot(id).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

/// A question or a command, as the form shows it.
#[derive(Default)]
struct Row {
    artifact: String,
    text: String,
    expect: String,
}

#[derive(Template)]
#[template(path = "drill_plan.html")]
struct PlanPage {
    page: Page,
    app: String,
    basis: Basis,
    values: Values,
    zones: Vec<String>,
    questions: Vec<Row>,
    commands: Vec<Row>,
    /// Why there can be none here.
    no_commands: Option<String>,
    artifacts: Vec<String>,
    /// Whether there is something to see in what is folded away.
    opens_commands: bool,
    opens_boot: bool,
    errors: Errors,
}

/// Rows left empty for more.
const BLANK: usize = 2;

async fn form(
    web: &Web,
    visitor: &Visitor,
    app: &App,
    basis: Basis,
    filled: (Values, Vec<Row>, Vec<Row>),
    errors: Errors,
) -> Result<Html<String>, Fault> {
    let (values, mut questions, mut commands) = filled;
    let opens_commands = !commands.is_empty() || errors.has("commands");
    questions.extend((0..BLANK).map(|_| Row::default()));
    let allowed = web.engine.config().drill_commands;
    if allowed {
        commands.extend((0..BLANK).map(|_| Row::default()));
    }
    let mut artifacts: Vec<_> = app.sources.iter().map(|one| one.name.to_string()).collect();
    let last = web.engine.catalog().last_good_snapshots(&[app.id]).await?;
    if let Some(snapshot) = last.get(&app.id) {
        artifacts = snapshot.artifacts.iter().map(|one| one.source.to_string()).collect();
    }
    Ok(show(&PlanPage {
        page: visitor
            .page(visitor.lang.with("drill-plan-title", "app", app.name.as_str()), Nav::Overview),
        app: app.name.to_string(),
        basis,
        opens_commands,
        opens_boot: !values.get("boot-container").is_empty() || errors.has("boot"),
        values,
        zones: zones(),
        questions,
        commands,
        no_commands: (!allowed).then(|| visitor.sentence(&Fact::CommandsOff {}.into())),
        artifacts,
        errors,
    }))
}

pub(super) async fn plan(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let app = web.engine.catalog().app_by_name(&name).await?;
    if app.managed_by.is_some() {
        return Ok(redirect(&format!("/apps/{}", app.name)));
    }
    let mut values = Values::blank(&visitor.zone, &[]);
    values.of_schedule(app.drill.schedule.as_ref());
    of_boot(&mut values, app.drill.boot.as_ref());
    let questions = app.drill.questions.iter().map(|one| Row {
        artifact: one.artifact.to_string(),
        text: one.sql.clone(),
        expect: one.expect.clone().unwrap_or_default(),
    });
    let commands = app.drill.commands.iter().map(|one| Row {
        artifact: one.artifact.to_string(),
        text: one.argv.join("\n"),
        expect: String::new(),
    });
    let filled = (values, questions.collect(), commands.collect());
    let basis = Basis::stored(app.version, app.id);
    let page = form(&web, &visitor, &app, basis, filled, Errors::default()).await?;
    Ok(page.into_response())
}

/// The rows of one kind that say something.
fn rows(fields: &Fields, text: &str, artifact: &str, expect: &str) -> Vec<Row> {
    let rows = fields.all(text).zip(fields.all(artifact)).enumerate().map(|(n, row)| Row {
        text: row.0.trim().to_owned(),
        artifact: row.1.trim().to_owned(),
        expect: fields.all(expect).nth(n).unwrap_or_default().trim().to_owned(),
    });
    rows.filter(|row| !row.text.is_empty()).collect()
}

fn read(
    fields: &Fields,
    questions: &[Row],
    commands: &[Row],
) -> Result<DrillPlan, Vec<FieldError>> {
    let mut errors = Vec::new();
    let schedule = schedule(fields, &mut errors)
        .and_then(|draft| draft.parse().map_err(|error| errors.push(error)).ok());
    let mut named = |field: String, text: &str| -> Option<Name> {
        text.parse().map_err(|error| errors.push(FieldError::new(field, error))).ok()
    };
    let mut plan = DrillPlan { schedule, ..DrillPlan::default() };
    for (n, row) in questions.iter().enumerate() {
        if let Some(artifact) = named(format!("questions[{n}].artifact"), &row.artifact) {
            let expect = Some(row.expect.clone()).filter(|text| !text.is_empty());
            plan.questions.push(DrillQuestion { artifact, sql: row.text.clone(), expect });
        }
    }
    for (n, row) in commands.iter().enumerate() {
        if let Some(artifact) = named(format!("commands[{n}].artifact"), &row.artifact) {
            let argv = row.text.lines().map(str::trim).filter(|word| !word.is_empty());
            let argv = argv.map(str::to_owned).collect();
            plan.commands.push(DrillCommand { artifact, argv });
        }
    }
    plan.boot = boot(fields, &mut errors);
    if errors.is_empty() { Ok(plan) } else { Err(errors) }
}

/// The app that is to be booted; none where no container is named.
fn boot(fields: &Fields, errors: &mut Vec<FieldError>) -> Option<DrillBoot> {
    let text = |key: &str| Some(fields.text(key).trim()).filter(|text| !text.is_empty());
    let container = text("boot-container")?.to_owned();
    let mut number = |key: &str, field: &str| -> Option<u64> {
        let field = format!("boot.{field}");
        let wrong = |_| errors.push(FieldError::new(field, Fact::WholeNumber {}));
        text(key)?.parse().map_err(wrong).ok()
    };
    let narrow = |number: Option<u64>| number.map(|all| u16::try_from(all).unwrap_or(0));
    let (port, status) = (number("boot-port", "port"), number("boot-status", "status"));
    let timeout_secs = number("boot-timeout", "timeout_secs");
    let needs = text("boot-needs").unwrap_or_default();
    let needs = needs.split(|c: char| c == ',' || c.is_whitespace()).filter(|one| !one.is_empty());
    let wrong = |error| errors.push(FieldError::new("boot.needs", error));
    Some(DrillBoot {
        container,
        path: text("boot-path").map(str::to_owned),
        port: narrow(port),
        status: narrow(status),
        timeout_secs,
        user: text("boot-user").map(str::to_owned),
        needs: needs.map(str::parse).collect::<Result<_, _>>().map_err(wrong).unwrap_or_default(),
    })
}

/// What the form calls the fields of a boot.
fn of_boot(values: &mut Values, plan: Option<&DrillBoot>) {
    let Some(plan) = plan else { return };
    let number = |number: Option<u64>| number.map(|one| one.to_string()).unwrap_or_default();
    let needs: Vec<_> = plan.needs.iter().map(Name::as_str).collect();
    for (key, value) in [
        ("boot-container", plan.container.clone()),
        ("boot-path", plan.path.clone().unwrap_or_default()),
        ("boot-port", number(plan.port.map(u64::from))),
        ("boot-status", number(plan.status.map(u64::from))),
        ("boot-timeout", number(plan.timeout_secs)),
        ("boot-user", plan.user.clone().unwrap_or_default()),
        ("boot-needs", needs.join(", ")),
    ] {
        values.set(key, value);
    }
}

pub(super) async fn save(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let app = web.engine.catalog().app_by_name(item(&fields, &name)).await?;
    let questions = rows(&fields, "q-sql", "q-artifact", "q-expect");
    let commands = rows(&fields, "c-argv", "c-artifact", "");
    let mut typed = None;
    let (errors, is_overtaken) = match read(&fields, &questions, &commands) {
        Ok(plan) => {
            typed = Some(told(&plan, visitor.lang));
            match web.engine.plan_drills(app.id, version(&fields), plan).await {
                Ok(planned) => {
                    let to = redirect(&format!("/apps/{}?done=saved", planned.name));
                    return Ok(saved(to, &app.name));
                }
                Err(error) => refused(error, &visitor)?,
            }
        }
        Err(errors) => (visitor.errors(&errors), false),
    };
    let app = if is_overtaken { web.engine.catalog().app(app.id).await? } else { app };
    let now = typed.map(|typed| {
        let now = told(&app.drill, visitor.lang);
        (app.version, Conflict::between(&typed, &now, false))
    });
    let basis = Basis::back(&fields, is_overtaken, now);
    let filled = (Values::sent(&fields), questions, commands);
    let page = form(&web, &visitor, &app, basis, filled, errors).await?;
    let status = if is_overtaken { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, page).into_response())
}
