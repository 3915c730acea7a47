//! Everything back from a backup, on a server where nothing is yet: where from, what is there, how
//! far it is, what to do next.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    middleware::from_fn,
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use engine::recovery::address;
use jiff::tz::TimeZone;
use model::DestinationKind;
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use super::{
    Web, assets,
    destination_fields::{FieldRows, fields_of},
    destinations::{KindChoice, draft},
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    format::When,
    guard,
    lang::Lang,
    mark::Mark,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::recover::{BootstrapError, Found, NAME, Request, Step, Told, WayBack};

#[derive(Template)]
#[template(path = "recover.html")]
struct AskPage {
    page: Page,
    /// Something is there already, which this would replace.
    refused: bool,
    kind: String,
    kinds: Vec<KindChoice>,
    fields: FieldRows,
    address: String,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "recover_found.html")]
struct FoundPage {
    page: Page,
    word: String,
    at: When,
    counts: Vec<(String, u64)>,
    passed_over: Vec<String>,
}

#[derive(Template)]
#[template(path = "recovering.html")]
struct ProgressPage {
    page: Page,
    steps: Vec<Mark>,
    failed: Option<String>,
    done: Option<Came>,
}

/// What came of it.
struct Came {
    rows: u64,
    destination: String,
    new_snapshots: u64,
    problems: u64,
    kept: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    kind: String,
    address: String,
}

/// Whether nobody has anything here that would be lost.
pub(super) async fn is_offered(web: &Web) -> Result<bool, Fault> {
    let catalog = web.engine.catalog();
    Ok(catalog.all_destinations().await?.is_empty() && catalog.all_apps().await?.is_empty())
}

fn form(
    visitor: &Visitor,
    kind: DestinationKind,
    values: &HashMap<String, String>,
    address: &str,
    errors: Errors,
) -> Html<String> {
    let lang = visitor.lang;
    show(&AskPage {
        page: visitor.page(lang.t("recover-title"), Nav::Overview),
        refused: false,
        kind: kind.to_string(),
        kinds: KindChoice::all("/recover", kind, lang),
        fields: fields_of(kind, None, values, &errors, lang).retain(|field| {
            !OF_NEW.contains(&&*field.name) && !field.name.starts_with(OF_ENCRYPTION)
        }),
        address: address.to_owned(),
        errors,
    })
}

/// Settings of a destination that say nothing of where it is.
const OF_NEW: &[&str] = &["encryption", "no_catalog_copy", "object_lock", "object_lock_days"];
/// Those of its encryption: the copy of the catalog is for the recovery key alone.
const OF_ENCRYPTION: &str = "age_";

pub(super) async fn ask(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    if !is_offered(&web).await? {
        return Ok((StatusCode::CONFLICT, refusal(&visitor)).into_response());
    }
    let kind = asked.kind.parse().unwrap_or(DestinationKind::Local);
    let address = asked.address.trim();
    if address.is_empty() {
        return Ok(form(&visitor, kind, &HashMap::new(), "", Errors::default()).into_response());
    }
    Ok(match address::parse(address) {
        Ok((kind, settings)) => {
            let values = settings.into_iter().collect();
            form(&visitor, kind, &values, address, Errors::default()).into_response()
        }
        Err(error) => {
            let errors = visitor.refused(error)?;
            let page = form(&visitor, kind, &HashMap::new(), address, errors);
            (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
        }
    })
}

fn refusal(visitor: &Visitor) -> Html<String> {
    show(&AskPage {
        page: visitor.page(visitor.t("recover-title"), Nav::Overview),
        refused: true,
        kind: String::new(),
        kinds: Vec::new(),
        fields: FieldRows::default(),
        address: String::new(),
        errors: Errors::default(),
    })
}

/// Looks what is there; changes nothing.
pub(super) async fn look(
    visitor: Visitor,
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    if !is_offered(&web).await? {
        return Ok((StatusCode::CONFLICT, refusal(&visitor)).into_response());
    }
    let kind: DestinationKind = fields.text("kind").parse().map_err(|_| Fault::not_found())?;
    let (request, values) = read(&fields, kind);
    let again = |errors| {
        let page = form(&visitor, kind, &values, "", errors);
        (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
    };
    if request.identity.is_none() {
        return Ok(again(Errors::at("key", visitor.t("recover-key-missing"))));
    }
    match web.way_back.look(&web.settings, request).await {
        Ok((word, found)) => Ok(of_found(&visitor, word, found).into_response()),
        Err(error) => Ok(again(Errors::at("", why(&error, visitor.lang)))),
    }
}

/// Why nothing came back, in the reader's language.
fn why(error: &BootstrapError, lang: Lang) -> String {
    match error {
        BootstrapError::NothingThere => lang.t("recover-nothing-there"),
        BootstrapError::NoneUsable(why) => lang.with("recover-none-usable", "why", why.as_str()),
        BootstrapError::OtherKey => lang.t("recover-other-key"),
        // Nothing that is said of settings names a moment.
        BootstrapError::Wrong(told) => lang.sentence(told, &TimeZone::UTC),
        BootstrapError::Refused(_) | BootstrapError::Failed(_) => error.to_string(),
    }
}

fn read(fields: &Fields, kind: DestinationKind) -> (Request, HashMap<String, String>) {
    let mut draft = draft(fields, kind, &mut Vec::new());
    draft.settings.retain(|_, value| !value.is_empty());
    let empty =
        |secret: &secrecy::SecretString| secrecy::ExposeSecret::expose_secret(secret).is_empty();
    draft.secrets.retain(|_, secret| !empty(secret));
    let values = draft.settings.clone().into_iter().collect();
    let key = fields.text("key");
    let request = Request {
        kind,
        settings: draft.settings,
        secrets: draft.secrets,
        identity: (!key.is_empty()).then(|| key.into()),
        name: NAME.to_owned(),
        known_as: None,
        // What this server made of itself when it was started first is kept aside.
        force: true,
    };
    (request, values)
}

fn of_found(visitor: &Visitor, word: String, found: Found) -> Html<String> {
    let count = |(table, name): (&str, &str)| {
        (visitor.t(name), found.rows.get(table).copied().unwrap_or_default())
    };
    let tables = [
        ("app", "recover-apps"),
        ("destination", "recover-destinations"),
        ("snapshot", "recover-snapshots"),
        ("user_account", "recover-users"),
    ];
    show(&FoundPage {
        page: visitor.page(visitor.t("recover-title"), Nav::Overview),
        word,
        at: visitor.when(found.at),
        counts: tables.map(count).to_vec(),
        passed_over: found.passed_over,
    })
}

pub(super) async fn begin(
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    if !is_offered(&web).await? {
        return Err(Fault::refused(StatusCode::CONFLICT));
    }
    let word = fields.text("word");
    if web.way_back.begin(word) {
        Ok(redirect(&format!("/recover/progress/{word}")))
    } else {
        // Another look has taken its place.
        Ok(redirect("/recover"))
    }
}

/// How far it is, for whoever began it.
pub(super) async fn progress(
    State(web): State<Web>,
    Path(word): Path<String>,
    headers: HeaderMap,
) -> Result<Html<String>, Fault> {
    let told = web.way_back.told(&word).ok_or_else(Fault::not_found)?;
    Ok(of_told(told, &headers))
}

fn of_told(told: Told, headers: &HeaderMap) -> Html<String> {
    let page = Page::bare(headers, |lang| lang.t("recover-title"));
    let lang = page.lang;
    let at = match &told {
        Told::Running(step) => Some(*step),
        _ => None,
    };
    let position = |step| Step::iter().position(|one| one == step);
    let mark = |step: Step| {
        let class = match (&told, at) {
            (Told::Done(_), _) => "good",
            (_, Some(now)) if now == step => "running",
            (_, Some(now)) if position(now) > position(step) => "good",
            _ => "never",
        };
        Mark { class, word: lang.t(&format!("recover-step-{step}")) }
    };
    let steps = Step::iter().map(mark).collect();
    let (failed, done) = match told {
        Told::Running(_) => (None, None),
        Told::Failed(error) => (Some(why(&error, lang)), None),
        Told::Done(done) => {
            let came = Came {
                rows: done.rows,
                destination: done.destination,
                new_snapshots: done.reindexed.new_snapshots,
                problems: done.reindexed.problem_count,
                kept: done.kept_aside.iter().map(|path| path.display().to_string()).collect(),
            };
            (None, Some(came))
        }
    };
    show(&ProgressPage { page, steps, failed, done })
}

/// What is served while the catalog is rebuilt: how far it is to whoever began it, and to
/// everybody else that they have to wait.
pub(crate) fn while_recovering(way_back: Arc<WayBack>) -> Router {
    async fn of(
        State(way_back): State<Arc<WayBack>>,
        Path(word): Path<String>,
        headers: HeaderMap,
    ) -> Response {
        match way_back.told(&word) {
            Some(told) => of_told(told, &headers).into_response(),
            None => wait(headers).await,
        }
    }
    async fn wait(headers: HeaderMap) -> Response {
        let page = Page::bare(&headers, |lang| lang.t("recover-title"));
        let page = ProgressPage { page, steps: Vec::new(), failed: None, done: None };
        (StatusCode::SERVICE_UNAVAILABLE, show(&page)).into_response()
    }
    Router::new()
        .route("/recover/progress/{word}", get(of))
        .route("/static/{mark}/{name}", get(assets::serve))
        .fallback(wait)
        .layer(from_fn(guard::harden))
        .with_state(way_back)
}
