//! Logins that last: one's own, and an administrator's list of all.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{Html, Response},
};
use model::Session;

use super::{
    Web,
    fault::{Fault, show},
    form::{Sealed, redirect},
    format::When,
    page::{Nav, Page},
    settings::{Tab, tabs},
    visitor::Visitor,
};
use crate::accounts::{Caller, CallerKind};

/// A session as pages show it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) browser: String,
    pub(super) from: String,
    pub(super) since: When,
    pub(super) seen: When,
    /// The one that asks.
    pub(super) here: bool,
}

impl Row {
    fn new(session: Session, user: String, visitor: &Visitor, caller: &Caller) -> Self {
        let here =
            matches!(caller.kind, CallerKind::Session { session: own, .. } if own == session.id);
        Self {
            id: session.id.to_string(),
            user,
            browser: session.browser,
            from: session.from,
            since: visitor.when(session.created_at),
            seen: visitor.when(session.seen_at),
            here,
        }
    }
}

pub(super) async fn own(web: &Web, visitor: &Visitor, caller: &Caller) -> Result<Vec<Row>, Fault> {
    let all = web.accounts.own_sessions(caller).await?;
    let row = |session| Row::new(session, caller.name.clone(), visitor, caller);
    Ok(all.into_iter().map(row).collect())
}

/// Ends one's own: one of them, or all but the one that asks.
pub(super) async fn end_own(
    State(web): State<Web>,
    caller: Caller,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    if fields.ticked("others") {
        web.accounts.end_other_sessions(&caller).await?;
        web.accounts.audit(&caller, "session.end", "all others", "").await;
        return Ok(redirect("/account?done=sessions"));
    }
    let id = fields.text("session");
    web.accounts.end_own_session(&caller, id).await?;
    web.accounts.audit(&caller, "session.end", id, "").await;
    Ok(redirect("/account?done=session"))
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
}

pub(super) async fn list(
    visitor: Visitor,
    caller: Caller,
    State(web): State<Web>,
) -> Result<Html<String>, Fault> {
    let all = web.accounts.all_sessions(None).await?;
    let page = visitor.page(visitor.t("sessions"), Nav::Settings);
    let row = |(session, user): (Session, model::User)| {
        Row::new(session, user.name.to_string(), &visitor, &caller)
    };
    Ok(show(&SessionsPage { tabs: tabs(&page), rows: all.into_iter().map(row).collect(), page }))
}

pub(super) async fn end(
    State(web): State<Web>,
    Path(id): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    web.accounts.end_any_session(&id).await?;
    Ok(redirect("/settings/sessions?done=session"))
}
