//! Settings as people gave them, read and judged.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{Kind, Wrong, address};

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting.
    pub key: String,
    /// What is wrong with it.
    pub problem: Wrong,
}

/// A channel cannot be opened with what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub struct SettingsError {
    /// Each setting with its problem; at least one.
    pub problems: Vec<SettingProblem>,
}

impl SettingsError {
    fn told(&self) -> String {
        let told = |one: &SettingProblem| format!("`{}` {}", one.key, one.problem);
        self.problems.iter().map(told).collect::<Vec<_>>().join("; ")
    }
}

/// Settings and secrets of a kind, and what is wrong with them.
pub(crate) struct Given<'a> {
    kind: Kind,
    settings: &'a BTreeMap<String, String>,
    secrets: &'a BTreeMap<String, SecretString>,
    problems: Vec<SettingProblem>,
}

impl<'a> Given<'a> {
    pub(crate) fn new(
        kind: Kind,
        settings: &'a BTreeMap<String, String>,
        secrets: &'a BTreeMap<String, SecretString>,
    ) -> Self {
        let mut given = Self { kind, settings, secrets, problems: Vec::new() };
        let open = settings.iter().filter(|(_, value)| !value.trim().is_empty());
        let names = open.map(|(key, _)| (key, false)).chain(secrets.keys().map(|key| (key, true)));
        for (key, sealed) in names {
            match kind.field(key) {
                None => given.wrong(key, Wrong::Unknown(kind.to_string())),
                Some(field) if field.secret && !sealed => {
                    given.wrong(key, Wrong::Secret);
                }
                Some(field) if !field.secret && sealed => {
                    given.wrong(key, Wrong::NoSecret);
                }
                Some(_) => {}
            }
        }
        for field in kind.fields() {
            let missing = if field.secret {
                given.secret(field.key).is_none()
            } else {
                given.text(field.key).is_none()
            };
            if field.required && missing {
                given.wrong(field.key, Wrong::Needed);
            }
            let unknown = given.text(field.key).filter(|text| !field.choices.contains(text));
            if let Some(text) = unknown.filter(|_| !field.choices.is_empty()) {
                let (words, text) = (field.choices.join(", "), text.escape_debug().to_string());
                given.wrong(field.key, Wrong::Choice { words, text });
            }
        }
        given
    }

    /// What was given, or what holds where nothing was.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        let given = self.settings.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        given.or_else(|| self.kind.field(key)?.default)
    }

    pub(crate) fn secret(&self, key: &str) -> Option<&'a SecretString> {
        self.secrets.get(key).filter(|secret| !secret.expose_secret().trim().is_empty())
    }

    /// A secret that goes into a header as it is.
    pub(crate) fn header_secret(&mut self, key: &str) -> Option<SecretString> {
        let secret = self.secret(key)?.expose_secret().trim();
        if secret.bytes().any(|byte| !byte.is_ascii_graphic()) {
            self.wrong(key, Wrong::HeaderSecret);
            return None;
        }
        Some(secret.into())
    }

    pub(crate) fn wrong(&mut self, key: &str, problem: Wrong) {
        self.problems.push(SettingProblem { key: key.to_owned(), problem });
    }

    /// The address in a setting or a secret; `None` where it is missing or was refused.
    pub(crate) fn url(&mut self, key: &str) -> Option<Url> {
        let text = if self.kind.field(key)?.secret {
            self.secret(key)?.expose_secret().trim()
        } else {
            self.text(key)?
        };
        let Ok(url) = Url::parse(text) else {
            self.wrong(key, Wrong::Address);
            return None;
        };
        if !matches!(url.scheme(), "http" | "https") {
            self.wrong(key, Wrong::Scheme);
        } else if !url.username().is_empty() || url.password().is_some() {
            self.wrong(key, Wrong::Login);
        } else if url.fragment().is_some() {
            self.wrong(key, Wrong::Fragment);
        } else if let Err(refused) = judge_host(&url) {
            self.wrong(key, refused);
        } else {
            return Some(url);
        }
        None
    }

    /// The address of a server, to which paths are added.
    pub(crate) fn base(&mut self, key: &str) -> Option<Url> {
        let mut url = self.url(key)?;
        if url.query().is_some() {
            self.wrong(key, Wrong::Query);
            return None;
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(url)
    }

    /// What was read, where nothing is wrong.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, SettingsError> {
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => Err(SettingsError { problems: self.problems }),
        }
    }
}

/// Names are judged when they are resolved.
fn judge_host(url: &Url) -> Result<(), Wrong> {
    let address = match url.host() {
        Some(url::Host::Ipv4(v4)) => v4.into(),
        Some(url::Host::Ipv6(v6)) => v6.into(),
        Some(url::Host::Domain(_)) => return Ok(()),
        None => return Err(Wrong::Host),
    };
    address::judge(address).map_err(Wrong::from)
}

/// `url` with `segments` after its path.
pub(crate) fn below(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}
