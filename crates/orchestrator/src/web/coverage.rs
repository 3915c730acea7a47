//! What this host has, and what of it no app reads.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::{
    CoverageState, Covered, CoveredKind, EngineError, ProtectRequest, RunRequest, ScheduleDraft,
};

use super::{
    Web,
    app_sources::kind_word,
    fault::{Fault, show},
    filters,
    form::{Errors, Sealed, redirect},
    page::{Nav, Page},
    report::CheckRow,
    visitor::Visitor,
};
use crate::accounts::AuditTarget;

/// What coverage says of a volume that no container uses.
const UNUSED: &str = "used by no container";

/// Something of the host.
struct Row {
    id: String,
    name: String,
    kind: String,
    detail: String,
    apps: Vec<String>,
    reason: String,
    /// The compose project it belongs to.
    project: Option<String>,
    /// The database server whose files it holds.
    files_of: Option<String>,
    /// Whether it is ticked at first: what is best not read by itself is not.
    ticked: bool,
    /// Opens the form of a new app, filled in for it.
    protect: String,
}

impl Row {
    fn new(one: Covered, page: &Page) -> Self {
        let kind = match one.kind {
            CoveredKind::Container => "container",
            CoveredKind::Volume => "volume",
            CoveredKind::Database => "database",
        };
        let detail = match (one.kind, one.source_kind.as_deref()) {
            (CoveredKind::Database, Some(kind)) => kind_word(page.lang, kind),
            (CoveredKind::Volume, _) if one.detail == UNUSED => page.t("coverage-unused"),
            _ => one.detail.clone(),
        };
        Self {
            kind: page.t(&format!("covered-{kind}")),
            protect: form_for(&one),
            id: one.id,
            name: one.name,
            detail,
            apps: one.apps,
            ticked: one.files_of.is_none(),
            project: one.project,
            files_of: one.files_of,
            reason: one.reason.unwrap_or_default(),
        }
    }
}

/// The form of a new app, to be filled in by what follows.
const FORM: &str = "/new/app?";

fn form_for(one: &Covered) -> String {
    let mut query = url::form_urlencoded::Serializer::for_suffix(FORM.to_owned(), FORM.len());
    query.append_pair("name", &one.name);
    match one.kind {
        CoveredKind::Volume => query.append_pair("kind", "volume").append_pair("volume", &one.name),
        CoveredKind::Database => {
            let kind = one.source_kind.as_deref().unwrap_or("postgres");
            query.append_pair("kind", kind).append_pair("host", &one.name)
        }
        CoveredKind::Container => &mut query,
    };
    query.finish()
}

#[derive(Template)]
#[template(path = "coverage.html")]
struct CoveragePage {
    page: Page,
    is_on: bool,
    /// Why Docker could not be asked.
    trouble: Option<String>,
    uncovered: Vec<Row>,
    ignored: Vec<Row>,
    protected: Vec<Row>,
    stateless: Vec<Row>,
    /// Names of the destinations.
    destinations: Vec<String>,
    errors: Errors,
    /// What came of protecting what was ticked, for each app.
    made: Vec<Made>,
}

impl CoveragePage {
    /// The same from the command line, with what is ticked at first.
    fn commands(&self) -> Vec<String> {
        let mut all = vec!["backup-orchestrator coverage".to_owned()];
        let ids: Vec<_> =
            self.uncovered.iter().filter(|row| row.ticked).map(|row| row.id.as_str()).collect();
        if !ids.is_empty() && self.page.may_configure {
            let to = self.destinations.first().map_or("DESTINATION", String::as_str);
            let ids = ids.join(" ");
            all.push(format!("backup-orchestrator coverage protect --destination {to} {ids}"));
            all.push("backup-orchestrator coverage ignore ID --reason WHY".to_owned());
        }
        all
    }
}

/// What came of one app that was to be made.
struct Made {
    name: String,
    added: bool,
    /// Its first run, where one was wanted.
    run: Option<String>,
    checks: Vec<CheckRow>,
}

pub(super) async fn list(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    shown(&web, &visitor, Errors::default(), Vec::new()).await
}

async fn shown(
    web: &Web,
    visitor: &Visitor,
    errors: Errors,
    made: Vec<Made>,
) -> Result<Html<String>, Fault> {
    let page = visitor.page(visitor.t("coverage"), Nav::Overview);
    let (found, trouble) = match web.engine.coverage().await {
        Ok(found) => (found, None),
        Err(EngineError::Refused(why)) => (Vec::new(), Some(visitor.sentence(&why.0))),
        Err(error) => return Err(error.into()),
    };
    let of = |state: CoverageState| -> Vec<Row> {
        let those = found.iter().filter(|one| one.state == state).cloned();
        those.map(|one| Row::new(one, &page)).collect()
    };
    let destinations = web.engine.catalog().all_destinations().await?;
    Ok(show(&CoveragePage {
        destinations: destinations.into_iter().map(|one| one.name.to_string()).collect(),
        errors,
        made,
        is_on: web.engine.config().docker_host.is_some(),
        trouble,
        uncovered: of(CoverageState::Uncovered),
        ignored: of(CoverageState::Ignored),
        protected: of(CoverageState::Protected),
        stateless: of(CoverageState::Stateless),
        page,
    }))
}

/// Makes apps of what is ticked; what stands against one is shown.
pub(super) async fn protect(
    visitor: Visitor,
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let request = ProtectRequest {
        ids: fields.all("id").map(str::to_owned).collect(),
        destination: fields.text("destination").to_owned(),
        schedule: Some(ScheduleDraft {
            spec: "0 3 * * *".to_owned(),
            time_zone: visitor.zone.iana_name().unwrap_or("UTC").to_owned(),
            jitter_secs: 3600,
            ..ScheduleDraft::default()
        }),
        retention: None,
    };
    let made = match web.engine.protect(&request).await {
        Ok(made) => made,
        Err(error) => {
            let errors = visitor.refused(error)?;
            let page = shown(&web, &visitor, errors, Vec::new()).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let names: Vec<_> = made.iter().map(|one| one.name.as_str()).collect();
    let target = AuditTarget(names.join(", "));
    let mut rows = Vec::new();
    for one in made {
        let run = if one.added && fields.text("action") == "run" {
            let app = web.engine.catalog().app_by_name(&one.name).await?;
            Some(web.engine.run_now(&app, &RunRequest::default()).await?.id.to_string())
        } else {
            None
        };
        let checks = CheckRow::all(&one.report, &visitor);
        rows.push(Made { name: one.name, added: one.added, run, checks });
    }
    let mut response = shown(&web, &visitor, Errors::default(), rows).await?.into_response();
    response.extensions_mut().insert(target);
    Ok(response)
}

pub(super) async fn ignore(
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let id = fields.text("id").to_owned();
    web.engine.ignore_coverage(&id, fields.text("reason")).await?;
    let mut response = redirect("/coverage");
    response.extensions_mut().insert(AuditTarget(id));
    Ok(response)
}
