//! Routes of alerts: adding, editing, removing.

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::{FieldError, RouteDraft};
use model::{AlertKind, AlertRoute, DigestEvery, Severity};
use strum::IntoEnumIterator as _;

use super::{
    Web,
    alerts::{Names, kind_word},
    conflict::{Basis, Conflict, Told, item, refused, saved, version},
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    lang::Lang,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::{accounts::AuditTarget, api::draft_of};

/// Fields that are folded away where they say nothing.
const FOLDED: &[&str] = &[
    "quiet_from",
    "quiet_to",
    "digest",
    "digest_hour",
    "remind_every_hours",
    "time_zone",
    "position",
];

/// Something that can be ticked or chosen.
struct Choice {
    value: String,
    word: String,
    chosen: bool,
}

impl Choice {
    fn new(value: impl ToString, word: String, chosen: bool) -> Self {
        Self { value: value.to_string(), word, chosen }
    }
}

#[derive(Template)]
#[template(path = "alert_route_form.html")]
struct FormPage {
    page: Page,
    editing: Option<String>,
    basis: Basis,
    managed: Option<&'static str>,
    draft: RouteDraft,
    remind: String,
    channels: Vec<Choice>,
    apps: Vec<Choice>,
    kinds: Vec<Choice>,
    least: Vec<Choice>,
    digests: Vec<Choice>,
    /// Whether there is something to see in what is folded away.
    opens: bool,
    errors: Errors,
}

impl FormPage {
    /// The same from the command line.
    fn commands(&self) -> Vec<String> {
        let command = |verb: &str, name: &str, more: &str| {
            format!("backup-orchestrator alert route {verb} {name}{more}")
        };
        match &self.editing {
            Some(name) => vec![
                command("edit", name, " --channel CHANNEL --least warning"),
                command("remove", name, ""),
            ],
            None => vec![command("add", "NAME", " --channel CHANNEL --least warning")],
        }
    }
}

async fn form(
    web: &Web,
    visitor: &Visitor,
    current: Option<&AlertRoute>,
    draft: RouteDraft,
    basis: Basis,
    errors: Errors,
) -> Result<Html<String>, Fault> {
    let lang = visitor.lang;
    let names = Names::read(web).await?;
    let title = match current {
        Some(one) => lang.with("route-edit-title", "name", one.name.as_str()),
        None => lang.t("route-add"),
    };
    let ticks = |all: Vec<String>, chosen: &[String]| -> Vec<Choice> {
        // What is chosen and not there any more stays to be seen.
        let gone = chosen.iter().filter(|name| !all.contains(name)).cloned();
        let mut all: Vec<_> = all.iter().cloned().chain(gone).collect();
        all.sort_unstable();
        all.into_iter()
            .map(|name| Choice::new(&name, name.clone(), chosen.contains(&name)))
            .collect()
    };
    let kinds = AlertKind::iter().map(|kind| {
        let chosen = draft.kinds.contains(&kind.to_string());
        Choice::new(kind, kind_word(lang, kind), chosen)
    });
    let least = [Severity::Info, Severity::Warning, Severity::Error].map(|one| {
        Choice::new(one, lang.t(&format!("route-least-{one}")), draft.least == one.to_string())
    });
    let digests = DigestEvery::iter().map(|one| {
        Choice::new(one, lang.t(&format!("route-digest-{one}")), draft.digest == one.to_string())
    });
    Ok(show(&FormPage {
        page: visitor.page(title, Nav::Alerts),
        editing: current.map(|one| one.name.to_string()),
        basis,
        managed: current.and_then(|one| one.managed_by).map(Into::into),
        remind: draft.remind_every_hours.map(|hours| hours.to_string()).unwrap_or_default(),
        channels: ticks(names.channels.into_values().collect(), &draft.channels),
        apps: ticks(names.apps.into_values().collect(), &draft.apps),
        kinds: kinds.collect(),
        least: least.into(),
        digests: digests.collect(),
        opens: !draft.quiet_from.is_empty()
            || draft.digest != DigestEvery::None.to_string()
            || draft.remind_every_hours.is_some()
            || FOLDED.iter().any(|field| errors.has(field)),
        draft,
        errors,
    }))
}

pub(super) async fn blank(visitor: Visitor, State(web): State<Web>) -> Result<Html<String>, Fault> {
    let draft = RouteDraft {
        time_zone: visitor.zone.iana_name().unwrap_or_default().to_owned(),
        ..RouteDraft::default()
    };
    form(&web, &visitor, None, draft, Basis::blank(), Errors::default()).await
}

pub(super) async fn stored(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Html<String>, Fault> {
    let one = web.engine.alert_route(&name).await?;
    let names = Names::read(&web).await?;
    let draft = draft_of(&one, |id| names.app(id), |id| names.channel(id));
    let basis = Basis::stored(one.version, one.id);
    form(&web, &visitor, Some(&one), draft, basis, Errors::default()).await
}

fn read(fields: &Fields, errors: &mut Vec<FieldError>) -> RouteDraft {
    let all = |name: &str| fields.all(name).map(str::to_owned).collect();
    let text = |name: &str| fields.text(name).to_owned();
    RouteDraft {
        name: text("name"),
        position: fields.number("position", errors).unwrap_or(0),
        enabled: fields.ticked("enabled"),
        apps: all("app"),
        kinds: all("kind"),
        least: text("least"),
        channels: all("channel"),
        recoveries: fields.ticked("recoveries"),
        remind_every_hours: fields.number("remind_every_hours", errors),
        quiet_from: text("quiet_from"),
        quiet_to: text("quiet_to"),
        urgent_breaks_quiet: fields.ticked("urgent_breaks_quiet"),
        digest: text("digest"),
        digest_hour: fields.number("digest_hour", errors).unwrap_or(8),
        time_zone: text("time_zone"),
    }
}

/// What the form says.
fn told(draft: &RouteDraft, lang: Lang) -> Told {
    let mut told = Told::default();
    let list = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.join(", ")
    };
    let word = |group: &str, word: &str| {
        lang.find(&format!("route-{group}-{word}")).unwrap_or_else(|| word.to_owned())
    };
    let kind = |word: &String| {
        word.parse().map_or_else(|_| word.clone(), |kind: AlertKind| kind_word(lang, kind))
    };
    let kinds: Vec<_> = draft.kinds.iter().map(kind).collect();
    told.say(lang.t("name"), &draft.name);
    told.say(lang.t("route-channels"), list(&draft.channels));
    told.say(lang.t("route-least"), word("least", &draft.least));
    told.tick(lang.t("route-recoveries"), draft.recoveries, lang);
    told.say(lang.t("route-apps"), list(&draft.apps));
    told.say(lang.t("route-kinds"), list(&kinds));
    told.say(lang.t("route-quiet-from"), &draft.quiet_from);
    told.say(lang.t("route-quiet-to"), &draft.quiet_to);
    told.tick(lang.t("route-urgent"), draft.urgent_breaks_quiet, lang);
    told.say(lang.t("route-digest"), word("digest", &draft.digest));
    told.say(lang.t("route-digest-hour"), draft.digest_hour);
    told.maybe(lang.t("route-remind"), draft.remind_every_hours);
    told.say(lang.t("route-zone"), &draft.time_zone);
    told.say(lang.t("route-position"), draft.position);
    told.tick(lang.t("route-enabled"), draft.enabled, lang);
    told
}

async fn sent(
    visitor: Visitor,
    web: Web,
    fields: Fields,
    current: Option<AlertRoute>,
) -> Result<Response, Fault> {
    let mut unread = Vec::new();
    let draft = read(&fields, &mut unread);
    let saved = match &current {
        _ if !unread.is_empty() => Err(engine::EngineError::Invalid(unread)),
        Some(one) => web.engine.edit_alert_route(one.id, version(&fields), draft.clone()).await,
        None => web.engine.add_alert_route(draft.clone()).await,
    };
    match saved {
        Ok(one) => {
            let target = Extension(AuditTarget(one.name.to_string()));
            Ok((target, redirect("/alerts?done=saved#routes")).into_response())
        }
        Err(error) => {
            let (errors, is_overtaken) = refused(error, &visitor)?;
            let current = match current {
                Some(one) if is_overtaken => {
                    Some(web.engine.alert_route(&one.id.to_string()).await?)
                }
                other => other,
            };
            let names = Names::read(&web).await?;
            let now = current.as_ref().map(|one| {
                let now = draft_of(one, |id| names.app(id), |id| names.channel(id));
                let (typed, now) = (told(&draft, visitor.lang), told(&now, visitor.lang));
                (one.version, Conflict::between(&typed, &now, false))
            });
            let basis = Basis::back(&fields, is_overtaken, now);
            let page = form(&web, &visitor, current.as_ref(), draft, basis, errors).await?;
            let status =
                if is_overtaken { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
            Ok((status, page).into_response())
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
    let one = web.engine.alert_route(item(&fields, &name)).await?;
    let was = one.name.clone();
    Ok(saved(sent(visitor, web, fields, Some(one)).await?, &was))
}

pub(super) async fn remove(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.alert_route(&name).await?;
    web.engine.remove_alert_route(one.id).await?;
    Ok(redirect("/alerts?done=route-removed"))
}
