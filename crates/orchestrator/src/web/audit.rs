//! The audit log: who did what, filtered, a page at a time, and as a table to download.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{Html, Response},
};
use catalog::AuditQuery;
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    form::Errors,
    format::When,
    guard,
    page::{Nav, Page},
    settings::{Tab, tabs},
    visitor::Visitor,
};
use crate::{
    accounts::permissions,
    api::audit::{as_csv, query},
};

const PER_PAGE: u64 = 100;

/// What is looked for, as the form sends it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    who: String,
    action: String,
    from: String,
    to: String,
    page: u64,
}

impl Asked {
    fn query(&self, web: &Web) -> Result<AuditQuery, engine::EngineError> {
        query([&self.who, &self.action, &self.from, &self.to], &web.zone)
    }

    /// What is looked for as it stands in an address, behind `&`.
    fn kept(&self) -> String {
        let mut kept = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("who", &self.who), ("action", &self.action), ("from", &self.from), ("to", &self.to)]
        {
            if !value.trim().is_empty() {
                kept.append_pair(name, value.trim());
            }
        }
        kept.finish()
    }
}

struct Row {
    when: When,
    who: String,
    from: String,
    action: String,
    target: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    asked: Asked,
    errors: Errors,
    /// Who may stand in the list.
    people: Vec<String>,
    /// What may stand in the list: groups and actions.
    actions: Vec<String>,
    filtered: bool,
    download: String,
    before: Option<String>,
    after: Option<String>,
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let number = asked.page.min(1 << 32);
    let (mut entries, errors) = match asked.query(&web) {
        Ok(query) => {
            let query = AuditQuery { offset: number * PER_PAGE, limit: PER_PAGE + 1, ..query };
            (catalog.audit(&query).await?, Errors::default())
        }
        Err(error) => (Vec::new(), visitor.refused(error)?),
    };
    let more = entries.len() as u64 > PER_PAGE;
    entries.truncate(usize::try_from(PER_PAGE).unwrap_or(usize::MAX));
    let rows = entries.into_iter().map(|entry| Row {
        when: visitor.when(entry.at),
        who: entry.who,
        from: entry.from,
        action: entry.action,
        target: entry.target,
        detail: entry.detail,
    });
    let mut people: Vec<_> =
        catalog.all_users().await?.into_iter().map(|user| user.name.to_string()).collect();
    let tokens = catalog.all_tokens().await?;
    people.extend(tokens.into_iter().map(|token| format!("token {}", token.name)));
    people.push(crate::accounts::caller::THIS_MACHINE.to_owned());
    let page = visitor.page(visitor.t("audit"), Nav::Settings);
    let kept = asked.kept();
    let to = |number: u64| match kept.as_str() {
        "" => format!("?page={number}"),
        kept => format!("?page={number}&{kept}"),
    };
    Ok(show(&AuditPage {
        tabs: tabs(&page),
        rows: rows.collect(),
        errors,
        people,
        actions: actions(),
        before: number.checked_sub(1).map(to),
        after: more.then(|| to(number + 1)),
        filtered: !kept.is_empty(),
        download: format!("/settings/audit.csv?{kept}"),
        page,
        asked,
    }))
}

/// What stands in the log: groups first, then each action.
fn actions() -> Vec<String> {
    let routes = permissions::ROUTES.iter().chain(guard::ROUTES);
    let named: BTreeSet<&str> = routes
        .filter_map(|route| route.action)
        .chain(["login", "logout", "login.refused"])
        .filter(|action| !action.is_empty())
        .collect();
    let groups: BTreeSet<&str> =
        named.iter().filter_map(|action| Some(action.split_once('.')?.0)).collect();
    groups.union(&named).map(|one| (*one).to_owned()).collect()
}

pub(super) async fn csv(
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let query = asked.query(&web)?;
    Ok(as_csv(web.engine.catalog().clone(), query))
}
