//! Sources as somebody describes them.

use std::collections::BTreeMap;

use model::{
    App, ContractSource, DirectKind, DirectSource, Fact, Name, SealedSecret, Source, SourceKind,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::{apps::AppDraft, validate};
use crate::{Engine, EngineError, FieldError, run::failure, source::direct, vault::Purpose};

/// Most sources of one app.
const MAX_SOURCES: usize = 64;

/// A source as somebody describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceDraft {
    /// Unique within the app; empty is the app's name.
    pub name: String,
    /// `contract`, `postgres`, `mysql`, `redis`, `sqlite`, `volume` or `files`.
    pub kind: String,
    /// Settings that may be shown, by the kind's own keys. Of `contract`: `url`, `export_type`,
    /// `drive_folder_id`, `accept_unverified`, `allow_empty`.
    pub settings: BTreeMap<String, String>,
    /// Settings that may not (`token` of `contract`, `password` of a database). When editing, one
    /// left out or empty stays as it is.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = BTreeMap<String, String>, write_only, default = json!({}))
    )]
    pub secrets: BTreeMap<String, SecretString>,
    /// When editing: names of stored secrets to forget.
    pub forget_secrets: Vec<String>,
}

impl Engine {
    /// The sources that `draft` describes.
    pub(super) fn parse_sources(
        &self,
        draft: &AppDraft,
        name: Option<&Name>,
        current: Option<&App>,
        errors: &mut Vec<FieldError>,
    ) -> Vec<Source> {
        if draft.sources.is_empty() {
            // The short form: one server of the contract.
            let known = current.and_then(|app| app.sources.first());
            let server = match known.map(|source| &source.kind) {
                Some(SourceKind::Contract(server)) => Some(server),
                _ => None,
            };
            let kind = self.parse_contract(&Short::of(draft), server, "", errors);
            let name = known.map(|source| &source.name).or(name);
            return match (name, kind) {
                (Some(name), Some(server)) => {
                    vec![Source { name: name.clone(), kind: SourceKind::Contract(server) }]
                }
                _ => Vec::new(),
            };
        }
        if !draft.url.trim().is_empty() || draft.token.is_some() {
            errors.push(FieldError::new("url", Fact::SourcesOrUrl {}));
        }
        if draft.sources.len() > MAX_SOURCES {
            let most = Fact::AtMostOf { count: MAX_SOURCES as u64 };
            errors.push(FieldError::new("sources", most));
            return Vec::new();
        }
        let mut sources: Vec<Source> = Vec::with_capacity(draft.sources.len());
        for (index, one) in draft.sources.iter().enumerate() {
            let at = format!("sources[{index}]");
            let own = match (one.name.trim(), name) {
                ("", Some(name)) => Some(name.clone()),
                ("", None) => None,
                (text, _) => validate::name(&format!("{at}.name"), text, errors),
            };
            let Some(own) = own else { continue };
            if sources.iter().any(|other| other.name.as_str().eq_ignore_ascii_case(own.as_str())) {
                let twice = Fact::TwoSources { name: own.to_string() };
                errors.push(FieldError::new(format!("{at}.name"), twice));
                continue;
            }
            let known = current.and_then(|app| app.sources.iter().find(|one| one.name == own));
            if let Some(kind) = self.parse_source(one, known.map(|one| &one.kind), &at, errors) {
                sources.push(Source { name: own, kind });
            }
        }
        sources
    }

    fn parse_source(
        &self,
        draft: &SourceDraft,
        known: Option<&SourceKind>,
        at: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<SourceKind> {
        let kind = draft.kind.trim();
        if matches!(kind, "" | "contract") {
            let server = match known {
                Some(SourceKind::Contract(server)) => Some(server),
                _ => None,
            };
            let short = Short::within(draft, at, errors)?;
            let server = self.parse_contract(&short, server, at, errors)?;
            return Some(SourceKind::Contract(server));
        }
        let Ok(what) = kind.parse::<DirectKind>() else {
            errors.push(FieldError::new(format!("{at}.kind"), Fact::SourceKinds {}));
            return None;
        };
        let settings = direct::checked(what, &draft.settings, at, errors);
        let known = match known {
            Some(SourceKind::Direct(known)) if known.what == what => known.secrets.clone(),
            _ => BTreeMap::new(),
        };
        let secrets = self.parse_secrets(what, draft, known, at, errors);
        Some(SourceKind::Direct(DirectSource { what, settings, secrets }))
    }

    fn parse_secrets(
        &self,
        what: DirectKind,
        draft: &SourceDraft,
        mut secrets: BTreeMap<String, SealedSecret>,
        at: &str,
        errors: &mut Vec<FieldError>,
    ) -> BTreeMap<String, SealedSecret> {
        for name in &draft.forget_secrets {
            secrets.remove(name);
        }
        for (key, secret) in &draft.secrets {
            let field = format!("{at}.secrets.{key}");
            let text = secret.expose_secret();
            if !direct::secrets_of(what).contains(&key.as_str()) {
                let unknown = Fact::NoSuchSecret { kind: what.to_string() };
                errors.push(FieldError::new(field, unknown));
            } else if text.contains(['\0', '\n', '\r']) || text.len() > 4_096 {
                errors.push(FieldError::new(field, Fact::SecretLine {}));
            } else if !text.is_empty() {
                secrets.insert(key.clone(), self.seal(Purpose::SourceSecret, secret));
            }
        }
        secrets
    }

    fn parse_contract(
        &self,
        draft: &Short<'_>,
        known: Option<&ContractSource>,
        at: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<ContractSource> {
        let field = |name: &str| match (at, name) {
            ("", name) => name.to_owned(),
            (at, "token") => format!("{at}.secrets.token"),
            (at, name) => format!("{at}.settings.{name}"),
        };
        let text = draft.url.trim();
        let url = match Url::parse(text) {
            // The parser would leave line breaks out and go on.
            _ if text.chars().any(char::is_control) => {
                errors.push(FieldError::new(field("url"), Fact::UrlControls {}));
                None
            }
            Ok(url) => match self.0.config.net_policy.check_url(&url) {
                Ok(()) => Some(url),
                Err(error) => {
                    errors.push(FieldError::new(field("url"), failure::of_address(&error)));
                    None
                }
            },
            Err(error) => {
                let unread = Fact::UrlUnread { said: error.to_string() };
                errors.push(FieldError::new(field("url"), unread));
                None
            }
        };
        let given = draft.token.filter(|token| !token.expose_secret().is_empty());
        let (token, previous_token) = match (given, known) {
            (Some(token), _) if !is_token(token.expose_secret()) => {
                errors.push(FieldError::new(field("token"), Fact::TokenForm {}));
                return None;
            }
            (Some(token), known) => {
                let before = known.and_then(|server| {
                    let old = self.0.vault.open(Purpose::AppToken, &server.token).ok()?;
                    let same = old.expose_secret() == token.expose_secret();
                    if same { server.previous_token.clone() } else { Some(server.token.clone()) }
                });
                (self.seal(Purpose::AppToken, token), before)
            }
            (None, Some(server)) => (server.token.clone(), server.previous_token.clone()),
            (None, None) => {
                errors.push(FieldError::new(field("token"), Fact::PasteToken {}));
                return None;
            }
        };
        let mut line = |name: &str, value: Option<&str>| {
            validate::line(&field(name), value, 256).unwrap_or_else(|error| {
                if let EngineError::Invalid(more) = error {
                    errors.extend(more);
                }
                None
            })
        };
        let export_type = line("export_type", draft.export_type);
        let drive_folder_id = line("drive_folder_id", draft.drive_folder_id);
        Some(ContractSource {
            url: url?,
            token,
            previous_token,
            export_type,
            drive_folder_id,
            accept_unverified: draft.accept_unverified,
            allow_empty: draft.allow_empty,
        })
    }
}

/// The settings of `source` that may be shown, as a draft takes them.
pub fn shown_settings(source: &Source) -> BTreeMap<String, String> {
    let server = match &source.kind {
        SourceKind::Direct(direct) => return direct.settings.clone(),
        SourceKind::Contract(server) => server,
    };
    let flag = |on: bool| on.then(|| "true".to_owned());
    [
        ("url", Some(server.url.to_string())),
        ("export_type", server.export_type.clone()),
        ("drive_folder_id", server.drive_folder_id.clone()),
        ("accept_unverified", flag(server.accept_unverified)),
        ("allow_empty", flag(server.allow_empty)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

/// The names of the secrets that are stored for `source`.
pub fn stored_secrets(source: &Source) -> Vec<String> {
    match &source.kind {
        SourceKind::Contract(_) => vec!["token".to_owned()],
        SourceKind::Direct(direct) => direct.secrets.keys().cloned().collect(),
    }
}

/// A server of the contract, wherever it was described.
struct Short<'a> {
    url: &'a str,
    token: Option<&'a SecretString>,
    export_type: Option<&'a str>,
    drive_folder_id: Option<&'a str>,
    accept_unverified: bool,
    allow_empty: bool,
}

impl<'a> Short<'a> {
    fn of(draft: &'a AppDraft) -> Self {
        Self {
            url: &draft.url,
            token: draft.token.as_ref(),
            export_type: draft.export_type.as_deref(),
            drive_folder_id: draft.drive_folder_id.as_deref(),
            accept_unverified: draft.accept_unverified,
            allow_empty: draft.allow_empty,
        }
    }

    fn within(draft: &'a SourceDraft, at: &str, errors: &mut Vec<FieldError>) -> Option<Self> {
        const SETTINGS: &[&str] =
            &["url", "export_type", "drive_folder_id", "accept_unverified", "allow_empty"];
        let before = errors.len();
        for key in draft.settings.keys().filter(|key| !SETTINGS.contains(&key.as_str())) {
            let field = format!("{at}.settings.{key}");
            let unknown = Fact::NoSuchSetting { kind: "contract".to_owned() };
            errors.push(FieldError::new(field, unknown));
        }
        for key in draft.secrets.keys().filter(|key| *key != "token") {
            let field = format!("{at}.secrets.{key}");
            let unknown = Fact::NoSuchSecret { kind: "contract".to_owned() };
            errors.push(FieldError::new(field, unknown));
        }
        let setting = |key: &str| draft.settings.get(key).map(String::as_str);
        let mut flag = |key: &str| match setting(key).unwrap_or_default() {
            "true" => true,
            "" | "false" => false,
            _ => {
                let field = format!("{at}.settings.{key}");
                errors.push(FieldError::new(field, Fact::TrueOrFalse {}));
                false
            }
        };
        let (accept_unverified, allow_empty) = (flag("accept_unverified"), flag("allow_empty"));
        (errors.len() == before).then(|| Self {
            url: setting("url").unwrap_or_default(),
            token: draft.secrets.get("token"),
            export_type: setting("export_type"),
            drive_folder_id: setting("drive_folder_id"),
            accept_unverified,
            allow_empty,
        })
    }
}

fn is_token(text: &str) -> bool {
    (8..=4_096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
