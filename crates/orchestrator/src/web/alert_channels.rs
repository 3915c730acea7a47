//! Channels for alerts: adding, editing, trying, removing.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use engine::{ChannelDraft, RouteDraft};
use model::{AlertChannel, ChannelKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use super::{
    Web,
    alerts::ChannelRow,
    conflict::{Basis, Conflict, Told, item, refused, saved, version},
    destination_fields::{FieldRow, FieldRows},
    destinations::KindChoice,
    fault::{Fault, show},
    filters,
    form::{Errors, Fields, Sealed, redirect},
    lang::Lang,
    page::{Nav, Page},
    visitor::Visitor,
};
use crate::accounts::AuditTarget;

/// What most people never need to say.
const RARE: &[&str] = &["api", "ca_certificate", "headers", "thread_id"];

/// The name of the route that the first channel gets.
const EVERYTHING: &str = "everything";

#[derive(Template)]
#[template(path = "alert_channel_form.html")]
struct FormPage {
    page: Page,
    /// The channel as it is, where it is edited.
    row: Option<ChannelRow>,
    basis: Basis,
    kind: String,
    kinds: Vec<KindChoice>,
    name: String,
    enabled: bool,
    /// Code, word, and whether it is chosen.
    languages: Vec<(&'static str, &'static str, bool)>,
    /// Whether a route for everything may come with it, and is wanted.
    everything: Option<bool>,
    fields: FieldRows,
    errors: Errors,
    confirm: bool,
    /// It is declared elsewhere: shown, and not changed here.
    managed: bool,
    /// The same from the command line.
    command: String,
}

/// What a form shows besides what was asked.
struct Filled {
    name: String,
    enabled: bool,
    language: String,
    everything: bool,
    values: BTreeMap<String, String>,
    basis: Basis,
    errors: Errors,
}

impl Filled {
    /// What it says; of secrets nothing.
    fn told(&self, kind: ChannelKind, lang: Lang) -> Told {
        let mut told = Told::default();
        told.say(lang.t("name"), &self.name);
        fields_of(kind, None, self, lang).tell(&mut told, lang);
        told.say(lang.t("channel-language"), &self.language);
        told.tick(lang.t("channel-enabled"), self.enabled, lang);
        told
    }
}

fn kinds(chosen: ChannelKind, lang: Lang) -> Vec<KindChoice> {
    let choice = |one: ChannelKind| KindChoice {
        word: lang.t(&format!("channel-kind-{one}")),
        text: lang.t(&format!("channel-text-{one}")),
        href: format!("/new/alert-channel?kind={one}"),
        here: one == chosen,
    };
    ChannelKind::iter().map(choice).collect()
}

fn known(kind: ChannelKind) -> &'static [notify::Field] {
    // The words of both are the same, which a test of theirs holds.
    kind.to_string().parse::<notify::Kind>().map(notify::Kind::fields).unwrap_or_default()
}

fn fields_of(
    kind: ChannelKind,
    current: Option<&AlertChannel>,
    filled: &Filled,
    lang: Lang,
) -> FieldRows {
    let rows = known(kind).iter().map(|field| {
        let key = field.key.replace('_', "-");
        let group = if field.secret { "secrets" } else { "settings" };
        let given = filled.values.get(field.key).cloned().unwrap_or_default();
        let choices = field.choices.iter().map(|one| (*one, choice(lang, one)));
        FieldRow {
            name: field.key.to_owned(),
            label: lang.t(&format!("channel-field-{key}")),
            hint: lang
                .find(&format!("channel-hint-{kind}-{key}"))
                .or_else(|| lang.find(&format!("channel-hint-{key}")))
                .unwrap_or_default(),
            value: if given.is_empty() {
                field.default.filter(|_| !field.choices.is_empty()).unwrap_or_default().to_owned()
            } else {
                given
            },
            needed: field.required && !field.secret,
            secret: field.secret,
            stored: current.is_some_and(|one| one.secrets.contains_key(field.key)),
            long: field.long,
            tick: None,
            choices: choices.collect(),
            errors: filled
                .errors
                .of(&format!("{group}.{}", field.key))
                .into_iter()
                .map(str::to_owned)
                .collect(),
        }
    });
    let (rare, usual) = rows.partition(|field| RARE.contains(&&*field.name));
    FieldRows { usual, rare }
}

fn choice(lang: Lang, word: &str) -> String {
    lang.t(&format!("channel-choice-{word}"))
}

async fn form(
    web: &Web,
    visitor: &Visitor,
    kind: ChannelKind,
    current: Option<&AlertChannel>,
    filled: Filled,
    confirm: bool,
) -> Result<Html<String>, Fault> {
    let lang = visitor.lang;
    let routes = web.engine.alert_routes().await?;
    let title = match current {
        Some(one) => lang.with("channel-edit-title", "name", one.name.as_str()),
        None => lang.t("channel-add"),
    };
    let language = |code: &'static str, word| (code, word, filled.language == code);
    let fields = fields_of(kind, current, &filled, lang);
    let command = match current {
        Some(one) => format!("alert channel edit {} {}", one.name, fields.flags(None)),
        None => format!("alert channel add NAME {}", fields.flags(Some(&kind.to_string()))),
    };
    Ok(show(&FormPage {
        page: visitor.page(title, Nav::Alerts),
        row: current.map(|one| ChannelRow::new(one, &routes, visitor)),
        basis: filled.basis,
        kinds: kinds(kind, lang),
        kind: kind.to_string(),
        languages: vec![language("en", "English"), language("es", "Español")],
        everything: (current.is_none() && routes.is_empty()).then_some(filled.everything),
        fields,
        command: format!("backup-orchestrator {command}"),
        name: filled.name,
        enabled: filled.enabled,
        errors: filled.errors,
        confirm,
        managed: current.is_some_and(|one| one.managed_by.is_some()),
    }))
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Kind {
    kind: String,
}

pub(super) async fn blank(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Kind>,
) -> Result<Html<String>, Fault> {
    let kind = asked.kind.parse().unwrap_or(ChannelKind::Email);
    let filled = Filled {
        name: String::new(),
        enabled: true,
        language: visitor.lang.code().to_owned(),
        everything: true,
        values: BTreeMap::new(),
        basis: Basis::blank(),
        errors: Errors::default(),
    };
    form(&web, &visitor, kind, None, filled, false).await
}

fn as_stored(one: &AlertChannel) -> Filled {
    Filled {
        name: one.name.to_string(),
        enabled: one.enabled,
        language: one.language.clone(),
        everything: false,
        values: one.settings.clone(),
        basis: Basis::stored(one.version, one.id),
        errors: Errors::default(),
    }
}

pub(super) async fn stored(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Html<String>, Fault> {
    let one = web.engine.alert_channel(&name).await?;
    form(&web, &visitor, one.kind, Some(&one), as_stored(&one), false).await
}

fn draft(fields: &Fields, kind: ChannelKind) -> ChannelDraft {
    let value = |key: &str| fields.text(&format!("set-{key}")).to_owned();
    let all = || known(kind).iter();
    ChannelDraft {
        name: fields.text("name").to_owned(),
        kind: kind.to_string(),
        enabled: fields.ticked("enabled"),
        language: fields.text("language").to_owned(),
        settings: all()
            .filter(|field| !field.secret)
            .map(|field| (field.key.to_owned(), value(field.key)))
            .collect(),
        secrets: all()
            .filter(|field| field.secret)
            .map(|field| (field.key.to_owned(), SecretString::from(value(field.key))))
            .collect(),
        forget_secrets: all()
            .filter(|field| fields.ticked(&format!("forget-{}", field.key)))
            .map(|field| field.key.to_owned())
            .collect(),
    }
}

async fn sent(
    visitor: Visitor,
    web: Web,
    fields: Fields,
    current: Option<AlertChannel>,
) -> Result<Response, Fault> {
    let kind = match &current {
        Some(one) => one.kind,
        None => fields.text("kind").parse().map_err(|_| Fault::not_found())?,
    };
    let draft = draft(&fields, kind);
    let everything = fields.ticked("everything");
    let saved = match &current {
        Some(one) => web.engine.edit_alert_channel(one.id, version(&fields), draft.clone()).await,
        None => web.engine.add_alert_channel(draft.clone()).await,
    };
    match saved {
        Ok(one) => {
            let is_first = current.is_none() && web.engine.alert_routes().await?.is_empty();
            if everything && is_first {
                let route = RouteDraft {
                    name: EVERYTHING.to_owned(),
                    channels: vec![one.name.to_string()],
                    time_zone: visitor.zone.iana_name().unwrap_or_default().to_owned(),
                    ..RouteDraft::default()
                };
                web.engine.add_alert_route(route).await?;
            }
            let target = Extension(AuditTarget(one.name.to_string()));
            let to = redirect(&format!("/alerts?done=saved#channel-{}", one.name));
            Ok((target, to).into_response())
        }
        Err(error) => {
            let (errors, is_overtaken) = refused(error, &visitor)?;
            let current = match current {
                Some(one) if is_overtaken => {
                    Some(web.engine.alert_channel(&one.id.to_string()).await?)
                }
                other => other,
            };
            let mut filled = Filled {
                name: draft.name.clone(),
                enabled: draft.enabled,
                language: draft.language.clone(),
                everything,
                values: draft.settings.clone(),
                basis: Basis::blank(),
                errors,
            };
            let secrets = draft.secrets.values().any(|typed| !typed.expose_secret().is_empty());
            let now = current.as_ref().map(|one| {
                let now = as_stored(one).told(kind, visitor.lang);
                let typed = filled.told(kind, visitor.lang);
                (one.version, Conflict::between(&typed, &now, secrets))
            });
            filled.basis = Basis::back(&fields, is_overtaken, now);
            let page = form(&web, &visitor, kind, current.as_ref(), filled, false).await?;
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
    let one = web.engine.alert_channel(item(&fields, &name)).await?;
    let was = one.name.clone();
    Ok(saved(sent(visitor, web, fields, Some(one)).await?, &was))
}

/// What comes of it is told by the channel's row.
pub(super) async fn test(
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.alert_channel(&name).await?;
    web.engine.test_alert_channel(one.id).await?;
    Ok(redirect(&format!("/alerts#channel-{}", one.name)))
}

pub(super) async fn remove(
    visitor: Visitor,
    State(web): State<Web>,
    Path(name): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    let one = web.engine.alert_channel(&name).await?;
    match web.engine.remove_alert_channel(one.id).await {
        Ok(()) => Ok(redirect("/alerts?done=channel-removed")),
        Err(error) => {
            let filled = Filled { errors: visitor.refused(error)?, ..as_stored(&one) };
            let page = form(&web, &visitor, one.kind, Some(&one), filled, true).await?;
            Ok((StatusCode::CONFLICT, page).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_fields_in_both_languages() {
        assert_eq!(ChannelKind::iter().count(), notify::Kind::iter().count());
        for kind in ChannelKind::iter() {
            assert!(!known(kind).is_empty(), "{kind}");
            for field in known(kind) {
                let key = format!("channel-field-{}", field.key.replace('_', "-"));
                for lang in [Lang::En, Lang::Es] {
                    assert!(lang.find(&key).is_some(), "{key}");
                    for one in field.choices {
                        assert!(lang.find(&format!("channel-choice-{one}")).is_some(), "{one}");
                    }
                }
            }
        }
    }
}
