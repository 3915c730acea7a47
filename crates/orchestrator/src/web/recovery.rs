//! Coming back after a loss: copies of the catalog, what waits for a person, the kit to print.

use askama::Template;
use axum::{
    Extension,
    extract::{Path, Query, State},
    response::{Html, IntoResponse as _, Response},
};
use engine::recovery::{KitPlace, is_wanted};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    format::When,
    page::{Nav, Page},
    settings::{Tab, tabs},
    visitor::Visitor,
};
use crate::accounts::{AuditTarget, Caller};

/// Where all of it is.
pub(super) const HOME: &str = "/settings/recovery";

/// The newest copy of the catalog at one destination.
struct Row {
    destination: String,
    wanted: bool,
    at: Option<When>,
    size: String,
    problem: Option<String>,
}

/// What waits after the catalog was rebuilt.
pub(super) struct Waiting {
    pub(super) at: When,
    pub(super) from: String,
    pub(super) schedules: bool,
}

/// What of a recovery every overview tells.
pub(super) async fn waiting(web: &Web, visitor: &Visitor) -> Result<Option<Waiting>, Fault> {
    let hold = web.engine.recovery_hold().await?;
    Ok(hold.map(|hold| Waiting {
        at: visitor.when(hold.at),
        from: match hold.fact {
            Some(fact) => visitor.sentence(&fact.into()),
            None => hold.from,
        },
        schedules: hold.schedules,
    }))
}

#[derive(Template)]
#[template(path = "recovery.html")]
struct RecoveryPage {
    page: Page,
    tabs: Vec<Tab>,
    waiting: Option<Waiting>,
    kit_due: bool,
    made: Option<When>,
    problem: Option<String>,
    rows: Vec<Row>,
}

pub(super) async fn page(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    let copies = web.engine.catalog_copies().await?;
    let all = web.engine.catalog().all_destinations().await?;
    let rows = all
        .iter()
        .map(|one| {
            let place = copies.places.get(&one.id).cloned().unwrap_or_default();
            Row {
                destination: one.name.to_string(),
                wanted: is_wanted(one),
                at: place.at.map(|at| visitor.when(at)),
                size: visitor.lang.size(place.size_bytes),
                problem: place.problem,
            }
        })
        .collect();
    let page = visitor.page(visitor.t("recovery"), Nav::Settings);
    Ok(show(&RecoveryPage {
        tabs: tabs(&page),
        waiting: waiting(&web, &visitor).await?,
        kit_due: web.engine.kit_is_due().await?,
        made: copies.made_at.map(|at| visitor.when(at)),
        problem: copies.problem,
        rows,
        page,
    }))
}

pub(super) async fn copy(State(web): State<Web>, _: Sealed) -> Result<Response, Fault> {
    let state = web.engine.copy_catalog().await?;
    let word = if state.problems().next().is_none() { "?done=catalog-copied" } else { "" };
    Ok(redirect(&format!("{HOME}{word}")))
}

pub(super) async fn confirm(State(web): State<Web>, _: Sealed) -> Result<Response, Fault> {
    web.engine.confirm_recovery().await?;
    Ok(redirect(&format!("{HOME}?done=recovery-confirmed")))
}

pub(super) async fn reindex(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    web.engine.reindex(&one).await?;
    Ok(redirect(&format!("/destinations/{}?done=reindexed", one.name)))
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    secrets: String,
}

/// A destination on the kit.
struct Place {
    name: String,
    kind: String,
    credentials: String,
    encrypted: bool,
    has_catalog: bool,
    catalog_at: Option<When>,
    command: String,
    /// What restores without us, a line each.
    restic: String,
    secrets: Vec<(String, String)>,
}

impl Place {
    fn new(one: &KitPlace, visitor: &Visitor) -> Self {
        let secrets = one.secrets.iter();
        Self {
            name: one.name.clone(),
            kind: visitor.t(&format!("destination-kind-{}", one.kind)),
            credentials: one.credentials.join(", "),
            encrypted: one.encrypted,
            has_catalog: one.has_catalog,
            catalog_at: one.catalog_at.map(|at| visitor.when(at)),
            command: one.command(),
            restic: one.restic.join("\n"),
            secrets: secrets
                .map(|(name, secret)| (name.clone(), secret.expose_secret().to_owned()))
                .collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "recovery_kit.html")]
struct KitPage {
    page: Page,
    at: When,
    made: When,
    identity: String,
    places: Vec<Place>,
    with_secrets: bool,
    stored: Option<(When, String)>,
}

pub(super) async fn kit(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let with_secrets = asked.secrets == "yes";
    let kit = web.engine.recovery_kit(with_secrets).await?;
    let html = show(&KitPage {
        page: visitor.page(visitor.t("recovery-kit"), Nav::Settings),
        at: visitor.when(kit.at),
        made: visitor.when(kit.key_made_at),
        identity: kit.identity.expose_secret().to_owned(),
        places: kit.places.iter().map(|one| Place::new(one, &visitor)).collect(),
        with_secrets,
        stored: kit.stored.map(|stored| (visitor.when(stored.at), stored.by)),
    });
    let target = if with_secrets { "with credentials" } else { "without credentials" };
    let mut response = html.into_response();
    response.extensions_mut().insert(AuditTarget(target.to_owned()));
    Ok(response)
}

pub(super) async fn stored(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    _: Sealed,
) -> Result<Response, Fault> {
    web.engine.note_kit_stored(&caller.who()).await?;
    Ok(redirect(&format!("{HOME}?done=kit-stored")))
}
