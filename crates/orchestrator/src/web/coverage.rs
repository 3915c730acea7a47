//! What this host has, and what of it no app reads.

use askama::Template;
use axum::{
    extract::State,
    response::{Html, Response},
};
use engine::{CoverageState, Covered, CoveredKind, EngineError};

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::accounts::AuditTarget;

/// Something of the host.
struct Row {
    id: String,
    name: String,
    kind: String,
    detail: String,
    apps: Vec<String>,
    reason: String,
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
        Self {
            kind: page.t(&format!("covered-{kind}")),
            protect: protect(&one),
            id: one.id,
            name: one.name,
            detail: one.detail,
            apps: one.apps,
            reason: one.reason.unwrap_or_default(),
        }
    }
}

/// The form of a new app, to be filled in by what follows.
const FORM: &str = "/new/app?";

fn protect(one: &Covered) -> String {
    let mut query = url::form_urlencoded::Serializer::for_suffix(FORM.to_owned(), FORM.len());
    query.append_pair("name", &one.name);
    match one.kind {
        CoveredKind::Volume => query.append_pair("kind", "volume").append_pair("volume", &one.name),
        CoveredKind::Database => {
            let told = one.detail.to_lowercase();
            let kind = if told.contains("redis") || told.contains("valkey") {
                "redis"
            } else if told.contains("mysql") || told.contains("mariadb") {
                "mysql"
            } else {
                "postgres"
            };
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
}

pub(super) async fn list(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    let page = visitor.page(visitor.t("coverage"), Nav::Overview);
    let (found, trouble) = match web.engine.coverage().await {
        Ok(found) => (found, None),
        Err(EngineError::Refused(why)) => (Vec::new(), Some(why)),
        Err(error) => return Err(error.into()),
    };
    let of = |state: CoverageState| -> Vec<Row> {
        let those = found.iter().filter(|one| one.state == state).cloned();
        those.map(|one| Row::new(one, &page)).collect()
    };
    Ok(show(&CoveragePage {
        is_on: web.engine.config().docker_host.is_some(),
        trouble,
        uncovered: of(CoverageState::Uncovered),
        ignored: of(CoverageState::Ignored),
        protected: of(CoverageState::Protected),
        stateless: of(CoverageState::Stateless),
        page,
    }))
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
