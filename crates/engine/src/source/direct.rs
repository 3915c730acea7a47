//! What the orchestrator reads by itself: one driver for each kind.

use std::{collections::BTreeMap, time::Duration};

use model::{App, DirectKind, DirectSource, Fact, Failure, FailureCode, Source};
use secrecy::SecretString;

use super::{OpenedSource, Part};
use crate::{Engine, FieldError, Report, run::RunContext, vault::Purpose};

/// One setting of a kind.
#[derive(Debug, Clone, Copy)]
pub struct SettingField {
    /// Its key.
    pub key: &'static str,
    /// Whether the kind cannot do without it.
    pub required: bool,
    /// What it may be.
    pub value: SettingValue,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingValue {
    /// One line.
    Text,
    /// A whole number within these bounds.
    Number(i64, i64),
    /// `true` or `false`; left out is `false`.
    Flag,
    /// One of these; left out is the first.
    Choice(&'static [&'static str]),
    /// Lines, or words between commas.
    List,
}

impl SettingField {
    /// A setting that may be left out.
    pub(crate) const fn optional(key: &'static str, value: SettingValue) -> Self {
        Self { key, required: false, value }
    }

    /// A setting that may not.
    pub(crate) const fn required(key: &'static str, value: SettingValue) -> Self {
        Self { key, required: true, value }
    }

    /// What is wrong with `text` as its value.
    fn problem(&self, text: &str) -> Option<Fact> {
        if text.len() > 4_096 {
            return Some(Fact::SettingBytes {});
        }
        let is_list = self.value == SettingValue::List;
        if text.chars().any(|c| c.is_control() && !(is_list && matches!(c, '\n' | '\r'))) {
            return Some(Fact::NoControls {});
        }
        match self.value {
            SettingValue::Text | SettingValue::List => None,
            SettingValue::Flag => {
                (!matches!(text, "true" | "false")).then_some(Fact::TrueOrFalse {})
            }
            SettingValue::Number(least, most) => {
                let fits = text.parse::<i64>().is_ok_and(|n| (least..=most).contains(&n));
                (!fits).then(|| Fact::WholeNumberWithin {
                    least: least.to_string(),
                    most: most.to_string(),
                })
            }
            SettingValue::Choice(all) => {
                (!all.contains(&text)).then(|| Fact::OneOfThese { words: all.join(", ") })
            }
        }
    }
}

/// A source that is asked for something.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) app: &'a App,
    pub(crate) source: &'a Source,
    pub(crate) direct: &'a DirectSource,
}

impl Asked<'_> {
    /// A secret of the source, opened.
    pub(crate) fn secret(&self, key: &str) -> Result<Option<SecretString>, Failure> {
        let Some(sealed) = self.direct.secrets.get(key) else { return Ok(None) };
        let opened = self.engine.0.vault.open(Purpose::SourceSecret, sealed);
        opened
            .map(Some)
            .map_err(|_| Failure::new(FailureCode::SecretUnreadable, Fact::SecretLocked {}))
    }

    /// A setting that is there and not empty.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.direct.setting(key)
    }

    /// Whether a flag is set.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.setting(key) == Some("true")
    }

    /// Words of a list: its lines, or what stands between commas.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        let text = self.setting(key).unwrap_or_default();
        text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()).collect()
    }

    /// How long one stream of it may take.
    pub(crate) fn timeout(&self) -> Duration {
        let config = &self.engine.0.config;
        self.app.limits.timeout_secs.map_or(config.source_timeout, Duration::from_secs)
    }

    /// How many bytes one stream of it may have.
    pub(crate) fn max_size_bytes(&self) -> u64 {
        self.app.limits.max_size_bytes.unwrap_or(self.engine.0.config.max_size_bytes)
    }
}

/// How a kind of source is read.
#[async_trait::async_trait]
pub(crate) trait Driver: Sync {
    /// Settings it knows, in the order in which a form shows them.
    fn settings(&self) -> &'static [SettingField];

    /// Secrets it knows.
    fn secrets(&self) -> &'static [&'static str];

    /// What is wrong with settings that are right one by one; each with the key it is about.
    fn check(&self, _settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
        Vec::new()
    }

    /// The streams it gives now.
    async fn parts(&self, asked: &Asked<'_>) -> Result<Vec<Part>, Failure> {
        Ok(vec![Part::whole(asked.source)])
    }

    /// Opens one of them.
    async fn open(
        &self,
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
    ) -> Result<OpenedSource, Failure>;

    /// Looks for what would make a run fail.
    async fn doctor(&self, asked: &Asked<'_>, report: &mut Report);
}

/// The driver of `kind`.
pub(crate) fn driver(kind: DirectKind) -> &'static dyn Driver {
    match kind {
        DirectKind::Postgres => &super::postgres::Postgres,
        DirectKind::Mysql => &super::mysql::Mysql,
        DirectKind::Redis => &super::redis::Redis,
        DirectKind::Sqlite => &super::sqlite::Sqlite,
        DirectKind::Volume => &super::volume::Volume,
        DirectKind::Files => &super::files::Files,
    }
}

/// The settings that `kind` knows.
pub fn settings_of(kind: DirectKind) -> &'static [SettingField] {
    driver(kind).settings()
}

/// The secrets that `kind` knows.
pub fn secrets_of(kind: DirectKind) -> &'static [&'static str] {
    driver(kind).secrets()
}

/// `given` without what is empty, or what is wrong with it; `at` is the field it came in.
pub(crate) fn checked(
    kind: DirectKind,
    given: &BTreeMap<String, String>,
    at: &str,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<String, String> {
    let driver = driver(kind);
    let mut settings = BTreeMap::new();
    let before = errors.len();
    for (key, text) in given {
        let text = text.trim();
        let field = format!("{at}.settings.{key}");
        match driver.settings().iter().find(|one| one.key == key) {
            None => {
                errors.push(FieldError::new(field, Fact::NoSuchSetting { kind: kind.to_string() }));
            }
            Some(_) if text.is_empty() => {}
            Some(known) => match known.problem(text) {
                Some(problem) => errors.push(FieldError::new(field, problem)),
                None => _ = settings.insert(key.clone(), text.to_owned()),
            },
        }
    }
    for known in driver.settings().iter().filter(|known| known.required) {
        if given.get(known.key).is_none_or(|text| text.trim().is_empty()) {
            let field = format!("{at}.settings.{}", known.key);
            errors.push(FieldError::new(field, Fact::KindNeedsIt { kind: kind.to_string() }));
        }
    }
    if errors.len() == before {
        for (key, problem) in driver.check(&settings) {
            errors.push(FieldError::new(format!("{at}.settings.{key}"), problem));
        }
    }
    settings
}
