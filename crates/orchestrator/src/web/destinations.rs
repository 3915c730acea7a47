//! Destinations: what they are, how they are, adding, editing, trying, removing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use catalog::CopyCount;
use engine::{DestinationDraft, FieldError, Report};
use model::{App, Destination, DestinationId, DestinationKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use super::{
    Web,
    conflict::{Basis, Conflict, Told, item, refused, saved, version},
    destination_fields::{FieldRows, fields_of},
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    format::When,
    lang::Lang,
    mark::Mark,
    page::{Nav, Page},
    report::CheckRow,
    repositories::RepositoryPanel,
    storage::StoragePanel,
    visitor::Visitor,
};

/// Apps that the list names of each.
const FEW_APPS: usize = 8;

struct DestinationRow {
    name: String,
    kind: String,
    place: String,
    mark: Mark,
    checked: Option<When>,
    problem: Option<String>,
    apps: Vec<String>,
    /// Apps beside those.
    more_apps: usize,
    snapshots: u64,
    stored: String,
    /// What of it archives of WAL take, where there is any.
    wal: Option<String>,
    append_only: bool,
    verify_every_days: Option<u32>,
    /// What it is declared in, where that is not here.
    managed: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "destinations.html")]
struct DestinationsPage {
    page: Page,
    rows: Vec<DestinationRow>,
}

/// `counts` of all destinations' copies, `archives` of all destinations' WAL, in bytes.
fn row(
    visitor: &Visitor,
    one: &Destination,
    apps: &[Arc<App>],
    counts: &[CopyCount],
    archives: &HashMap<DestinationId, u64>,
) -> DestinationRow {
    let lang = visitor.lang;
    let held = counts.iter().filter(|held| held.destination_id == one.id);
    let wal = archives.get(&one.id).copied().unwrap_or(0);
    let mark = match &one.last_check {
        None => Mark { class: "never", word: lang.t("destination-unchecked") },
        Some(check) if check.problem.is_some() => {
            Mark { class: "failed", word: lang.t("destination-problem") }
        }
        Some(_) => Mark { class: "good", word: lang.t("destination-works") },
    };
    let setting = |key: &str| one.settings.get(key).map_or("", String::as_str);
    let place = match one.kind {
        DestinationKind::Local => setting("path").to_owned(),
        DestinationKind::Tree if setting("host").is_empty() => setting("path").to_owned(),
        DestinationKind::S3 | DestinationKind::B2 | DestinationKind::Gcs => {
            format!("{}/{}", setting("bucket"), setting("prefix")).trim_end_matches('/').to_owned()
        }
        DestinationKind::Azblob => {
            let folder = setting("prefix");
            format!("{}/{}/{folder}", setting("account"), setting("container"))
                .trim_end_matches('/')
                .to_owned()
        }
        DestinationKind::Gdrive => {
            let root = [setting("folder_id"), setting("team_drive")];
            let root = root.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
            format!("{root}/{}", setting("path")).trim_matches('/').to_owned()
        }
        DestinationKind::Rclone => format!("{}:{}", setting("remote"), setting("path")),
        DestinationKind::Sftp | DestinationKind::Tree => {
            format!("{}:{}", setting("host"), setting("path"))
        }
        DestinationKind::Rest => setting("url").to_owned(),
        DestinationKind::Webdav => {
            format!("{}/{}", setting("url").trim_end_matches('/'), setting("path"))
        }
    };
    DestinationRow {
        name: one.name.to_string(),
        kind: lang.t(&format!("destination-kind-{}", one.kind)),
        place,
        mark,
        checked: one.last_check.as_ref().map(|check| visitor.when(check.at)),
        problem: one
            .last_check
            .as_ref()
            .and_then(model::destination::DestinationCheck::wrong)
            .map(|why| visitor.sentence(&why)),
        apps: apps
            .iter()
            .filter(|app| app.destinations.iter().any(|b| b.destination_id == one.id))
            .map(|app| app.name.to_string())
            .collect(),
        more_apps: 0,
        snapshots: held.clone().map(|held| held.copies).sum(),
        stored: lang.size(held.map(|held| held.bytes).sum::<u64>() + wal),
        wal: (wal > 0).then(|| lang.with("stored-wal", "size", lang.size(wal))),
        append_only: one.append_only,
        verify_every_days: one.verify_every_days,
        managed: one.managed_by.map(Into::into),
    }
}

pub(super) async fn list(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    let mut rows = Vec::new();
    let catalog = web.engine.catalog();
    let (apps, counts) = (catalog.every_app().await?, catalog.copy_counts().await?);
    let archives = web.engine.archived_bytes().await?;
    for one in catalog.all_destinations().await? {
        let mut row = row(&visitor, &one, &apps, &counts, &archives);
        row.more_apps = row.apps.len().saturating_sub(FEW_APPS);
        row.apps.truncate(FEW_APPS);
        rows.push(row);
    }
    let page = visitor.page(visitor.t("nav-destinations"), Nav::Destinations);
    Ok(show(&DestinationsPage { page, rows }))
}

pub(super) struct KindChoice {
    pub(super) word: String,
    pub(super) text: String,
    pub(super) href: String,
    pub(super) here: bool,
}

impl KindChoice {
    /// Every kind, each with the page at `path` that asks for it.
    pub(super) fn all(path: &str, chosen: DestinationKind, lang: Lang) -> Vec<Self> {
        let choice = |one: DestinationKind| Self {
            word: lang.t(&format!("destination-kind-{one}")),
            text: lang.t(&format!("destination-text-{one}")),
            href: format!("{path}?kind={one}"),
            here: one == chosen,
        };
        DestinationKind::iter().map(choice).collect()
    }
}

#[derive(Template)]
#[template(path = "destination_form.html")]
struct FormPage {
    page: Page,
    editing: Option<String>,
    basis: Basis,
    kind: String,
    kinds: Vec<KindChoice>,
    name: String,
    append_only: bool,
    verify_every_days: String,
    fields: FieldRows,
    errors: Errors,
    /// The same from the command line.
    command: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Kind {
    kind: String,
}

/// What a form shows besides what was asked.
struct Filled {
    name: String,
    append_only: bool,
    verify_every_days: String,
    values: HashMap<String, String>,
    basis: Basis,
    errors: Errors,
}

impl Filled {
    fn of(one: &Destination) -> Self {
        Self {
            name: one.name.to_string(),
            append_only: one.append_only,
            verify_every_days: one.verify_every_days.map(|d| d.to_string()).unwrap_or_default(),
            values: one.settings.clone().into_iter().collect(),
            basis: Basis::stored(one.version, one.id),
            errors: Errors::default(),
        }
    }

    /// What it says; of secrets nothing.
    fn told(&self, kind: DestinationKind, lang: Lang) -> Told {
        let mut told = Told::default();
        told.say(lang.t("name"), &self.name);
        fields_of(kind, None, &self.values, &self.errors, lang).tell(&mut told, lang);
        told.tick(lang.t("append-only"), self.append_only, lang);
        told.say(lang.t("verify-every"), &self.verify_every_days);
        told
    }
}

fn form(
    visitor: &Visitor,
    kind: DestinationKind,
    current: Option<&Destination>,
    filled: Filled,
) -> Html<String> {
    let lang = visitor.lang;
    let fields = fields_of(kind, current, &filled.values, &filled.errors, lang);
    let title = match current {
        Some(one) => lang.with("destination-edit-title", "name", one.name.as_str()),
        None => lang.t("destination-add"),
    };
    show(&FormPage {
        page: visitor.page(title, Nav::Destinations),
        editing: current.map(|one| one.name.to_string()),
        kinds: KindChoice::all("/new/destination", kind, lang),
        kind: kind.to_string(),
        name: filled.name,
        append_only: filled.append_only,
        verify_every_days: filled.verify_every_days,
        command: match current {
            Some(one) => {
                format!("backup-orchestrator destination edit {} {}", one.name, fields.flags(None))
            }
            None => format!(
                "backup-orchestrator destination add NAME {}",
                fields.flags(Some(&kind.to_string()))
            ),
        },
        fields,
        basis: filled.basis,
        errors: filled.errors,
    })
}

pub(super) async fn blank(visitor: Visitor, Query(asked): Query<Kind>) -> Html<String> {
    let kind = asked.kind.parse().unwrap_or(DestinationKind::Local);
    let filled = Filled {
        name: String::new(),
        append_only: false,
        verify_every_days: String::new(),
        values: HashMap::new(),
        basis: Basis::blank(),
        errors: Errors::default(),
    };
    form(&visitor, kind, None, filled)
}

pub(super) async fn stored(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Html<String>, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    Ok(form(&visitor, one.kind, Some(&one), Filled::of(&one)))
}

pub(super) fn draft(
    fields: &Fields,
    kind: DestinationKind,
    errors: &mut Vec<FieldError>,
) -> DestinationDraft {
    let known = engine::fields_of(kind);
    let value = |name: &str| fields.text(&format!("set-{name}")).to_owned();
    let settings: BTreeMap<_, _> = known
        .required
        .iter()
        .chain(known.optional)
        .map(|name| ((*name).to_owned(), value(name)))
        .collect();
    let secrets = known
        .secrets
        .iter()
        .map(|name| ((*name).to_owned(), SecretString::from(value(name))))
        .collect();
    DestinationDraft {
        name: fields.text("name").to_owned(),
        kind: kind.to_string(),
        settings,
        secrets,
        append_only: fields.ticked("append_only"),
        verify_every_days: fields.number("verify_every_days", errors),
        forget_secrets: known
            .secrets
            .iter()
            .filter(|name| fields.ticked(&format!("forget-{name}")))
            .map(|name| (*name).to_owned())
            .collect(),
    }
}

async fn sent(
    visitor: Visitor,
    web: Web,
    fields: Fields,
    current: Option<Destination>,
) -> Result<Response, Fault> {
    let kind = match &current {
        Some(one) => one.kind,
        None => fields.text("kind").parse().map_err(|_| Fault::not_found())?,
    };
    let mut unread = Vec::new();
    let asked = draft(&fields, kind, &mut unread);
    // A form that comes back does not show a recipient whose identity went with it.
    let mut draft = asked.clone();
    let generated = draft.generate_identity(current.as_ref());
    let password = draft.generate_password(current.as_ref());
    let again = |current: Option<&Destination>, errors, is_overtaken| {
        let mut filled = Filled {
            name: asked.name.clone(),
            append_only: asked.append_only,
            verify_every_days: fields.text("verify_every_days").to_owned(),
            values: asked.settings.clone().into_iter().collect(),
            basis: Basis::blank(),
            errors,
        };
        let secrets = asked.secrets.values().any(|typed| !typed.expose_secret().is_empty());
        let now = current.map(|one| {
            let now = Filled::of(one).told(kind, visitor.lang);
            let typed = filled.told(kind, visitor.lang);
            (one.version, Conflict::between(&typed, &now, secrets))
        });
        filled.basis = Basis::back(&fields, is_overtaken, now);
        let status =
            if is_overtaken { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
        (status, form(&visitor, kind, current, filled)).into_response()
    };
    if !unread.is_empty() {
        return Ok(again(current.as_ref(), visitor.errors(&unread), false));
    }
    let saved = match &current {
        Some(one) => web.engine.edit_destination(one.id, version(&fields), draft).await,
        None => web.engine.add_destination(draft).await,
    };
    match saved {
        Ok(one) => {
            // The first question about a destination is whether it works.
            let tried = web.engine.doctor_destination(&one).await;
            if generated.is_some() || password.is_some() {
                // A redirect could not carry it.
                let one = web.engine.catalog().destination(one.id).await?;
                let once = Once { identity: generated, password };
                return Ok(page_of(&web, &visitor, &one, None, None, once).await?.into_response());
            }
            tried?;
            Ok(redirect(&format!("/destinations/{}?done=saved", one.name)))
        }
        Err(error) => {
            let (errors, is_overtaken) = refused(error, &visitor)?;
            let current = match current {
                Some(one) if is_overtaken => Some(web.engine.catalog().destination(one.id).await?),
                other => other,
            };
            Ok(again(current.as_ref(), errors, is_overtaken))
        }
    }
}

pub(super) async fn add(
    visitor: Visitor,
    State(web): State<Web>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    sent(visitor, web, fields, None).await
}

pub(super) async fn edit(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(item(&fields, &name)).await?;
    let was = one.name.clone();
    Ok(saved(sent(visitor, web, fields, Some(one)).await?, &was))
}

#[derive(Template)]
#[template(path = "destination.html")]
struct DestinationPage {
    page: Page,
    row: DestinationRow,
    settings: Vec<(String, String)>,
    secrets: Vec<String>,
    checks: Option<Vec<CheckRow>>,
    confirm: bool,
    wrong_name: bool,
    pub(super) identity: Option<String>,
    pub(super) password: Option<String>,
    storage: Option<StoragePanel>,
    repository: Option<RepositoryPanel>,
    /// Whether Google can be asked, and how it stands; `None` where there is nothing to ask.
    google: Option<Google>,
}

struct Google {
    /// The OAuth client is known.
    ready: bool,
    connected: bool,
}

impl Google {
    fn of(one: &Destination) -> Option<Self> {
        let has = |name| one.secrets.contains_key(name);
        (one.kind == DestinationKind::Gdrive && !has("service_account")).then(|| Self {
            ready: one.settings.contains_key("client_id") && has("client_secret"),
            connected: has("token"),
        })
    }
}

/// Secrets that were made, and are shown once.
#[derive(Default)]
pub(super) struct Once {
    pub(super) identity: Option<SecretString>,
    pub(super) password: Option<SecretString>,
}

pub(super) async fn page_of(
    web: &Web,
    visitor: &Visitor,
    one: &Destination,
    report: Option<Report>,
    typed: Option<&str>,
    once: Once,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let (apps, counts) = (catalog.every_app().await?, catalog.copy_counts().await?);
    let archives = web.engine.archived_bytes().await?;
    let shown = |secret: SecretString| secret.expose_secret().to_owned();
    let label = |name: &str| visitor.t(&format!("field-{}", name.replace('_', "-")));
    Ok(show(&DestinationPage {
        page: visitor.page(one.name.as_str(), Nav::Destinations),
        row: row(visitor, one, &apps, &counts, &archives),
        settings: one.settings.iter().map(|(name, value)| (label(name), value.clone())).collect(),
        secrets: one.secrets.keys().map(|name| label(name)).collect(),
        checks: report.map(|report| CheckRow::all(&report, visitor)),
        confirm: typed.is_some(),
        wrong_name: typed.is_some_and(|typed| !typed.is_empty()),
        identity: once.identity.map(shown),
        password: once.password.map(shown),
        repository: RepositoryPanel::of(web, visitor, one).await?,
        storage: StoragePanel::new(&web.engine.storage_at(one).await?, visitor.lang),
        google: Google::of(one),
    }))
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Html<String>, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    page_of(&web, &visitor, &one, None, None, Once::default()).await
}

pub(super) async fn test(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Html<String>, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    let report = web.engine.doctor_destination(&one).await?;
    let one = web.engine.catalog().destination_by_name(&name).await?;
    page_of(&web, &visitor, &one, Some(report), None, Once::default()).await
}

/// Removing asks for the destination's name.
pub(super) async fn remove(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.catalog().destination_by_name(&name).await?;
    let typed = fields.text("confirm");
    if typed != one.name.as_str() {
        let page = page_of(&web, &visitor, &one, None, Some(typed), Once::default()).await?;
        return Ok(page.into_response());
    }
    web.engine.remove_destination(one.id).await?;
    Ok(redirect("/destinations?done=removed"))
}
