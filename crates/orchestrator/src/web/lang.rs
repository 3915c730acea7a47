//! Words in the reader's language.

use std::{borrow::Cow, collections::HashMap};

use axum::http::{HeaderMap, header};
use fluent_templates::{Loader as _, fluent_bundle::FluentValue, static_loader};
use unic_langid::{LanguageIdentifier, langid};

static_loader! {
    static MESSAGES = {
        locales: "./locales",
        fallback_language: "en",
        // Names are checked for characters that change direction; marks around them would end
        // up in copied commands.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

static ENGLISH: LanguageIdentifier = langid!("en");
static SPANISH: LanguageIdentifier = langid!("es");

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lang {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Lang {
    /// Its code, for `lang` attributes and cookies.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::En),
            "es" => Some(Self::Es),
            _ => None,
        }
    }

    /// The best of ours by the browser's `Accept-Language` (RFC 9110, 12.5.4).
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let Some(wanted) = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok())
        else {
            return Self::default();
        };
        let mut best = (Self::default(), 0.0_f32);
        for part in wanted.split(',').take(32) {
            let (tag, weight) = part.split_once(';').unwrap_or((part, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok());
            let code = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            if let (Some(lang), Some(weight)) = (Self::from_code(&code), weight)
                && weight > best.1
            {
                best = (lang, weight);
            }
        }
        best.0
    }

    fn id(self) -> &'static LanguageIdentifier {
        match self {
            Self::En => &ENGLISH,
            Self::Es => &SPANISH,
        }
    }

    /// The message `key`.
    pub(crate) fn t(self, key: &str) -> String {
        MESSAGES.lookup(self.id(), key)
    }

    /// The message `key`, if there is one.
    pub(crate) fn find(self, key: &str) -> Option<String> {
        MESSAGES.try_lookup(self.id(), key)
    }

    /// The message `key` with one value.
    pub(crate) fn with(self, key: &str, name: &'static str, value: impl Into<Value>) -> String {
        self.fill(key, [(name, value.into())])
    }

    /// The message `key` with several values.
    pub(crate) fn fill<const N: usize>(
        self,
        key: &str,
        values: [(&'static str, Value); N],
    ) -> String {
        let values: HashMap<Cow<'static, str>, FluentValue<'_>> =
            values.into_iter().map(|(name, value)| (name.into(), value.0)).collect();
        self.filled(key, &values)
    }

    /// The message `key` with whatever values.
    pub(super) fn filled(
        self,
        key: &str,
        values: &HashMap<Cow<'static, str>, FluentValue<'_>>,
    ) -> String {
        MESSAGES.lookup_with_args(self.id(), key, values)
    }
}

/// A value in a message.
pub(crate) struct Value(FluentValue<'static>);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self(FluentValue::String(text.into()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::from(text.clone())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self(FluentValue::from(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self(FluentValue::from(number))
    }
}

impl From<&u32> for Value {
    fn from(number: &u32) -> Self {
        Self::from(*number)
    }
}

impl From<&usize> for Value {
    fn from(number: &usize) -> Self {
        Self::from(*number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use regex::Regex;
    use strum::IntoEnumIterator as _;
    use walkdir::WalkDir;

    use super::*;

    fn keys(lang: Lang) -> BTreeMap<String, String> {
        let folder = format!("{}/locales/{}", env!("CARGO_MANIFEST_DIR"), lang.code());
        let mut found = BTreeMap::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for (key, body) in text.lines().filter_map(|line| {
                let (key, body) = line.split_once(" =")?;
                key.starts_with(|c: char| c.is_ascii_lowercase()).then_some((key, body))
            }) {
                let twice = found.insert(key.to_owned(), body.to_owned());
                assert!(twice.is_none(), "{key} is there twice");
            }
        }
        found
    }

    /// Messages with all their lines.
    fn whole(lang: Lang) -> BTreeMap<String, String> {
        let folder = format!("{}/locales/{}", env!("CARGO_MANIFEST_DIR"), lang.code());
        let mut found = BTreeMap::<String, String>::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let mut last = String::new();
            for line in std::fs::read_to_string(file.unwrap().path()).unwrap().lines() {
                if let Some((key, _)) = line.split_once(" =")
                    && key.starts_with(|c: char| c.is_ascii_lowercase())
                {
                    key.clone_into(&mut last);
                }
                *found.entry(last.clone()).or_default() += line;
            }
        }
        found
    }

    #[test]
    fn every_message_is_there_in_both_languages() {
        let (english, spanish) = (keys(Lang::En), keys(Lang::Es));
        let only = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
            a.keys().filter(|key| !b.contains_key(*key)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(only(&english, &spanish), [""; 0], "without a Spanish message");
        assert_eq!(only(&spanish, &english), [""; 0], "without an English message");
        let places = Regex::new(r"\$([a-z]+)").unwrap();
        let (english, spanish) = (whole(Lang::En), whole(Lang::Es));
        for (key, body) in &english {
            let of = |text: &str| -> BTreeSet<String> {
                places.captures_iter(text).map(|found| found[1].to_owned()).collect()
            };
            assert_eq!(of(body), of(&spanish[key]), "{key} has other places");
        }
    }

    #[test]
    fn every_message_asked_for_exists_and_none_is_idle() {
        let asked = Regex::new(
            r#"\b(?:t|find|with|fill|w|count)\(\s*"([a-z][a-z0-9-]*)"|\("[a-z0-9_]*", "([a-z]+-[a-z0-9-]+)"\)"#,
        )
        .unwrap();
        // Keys put together from a word of ours: `state-` and the state.
        let made = Regex::new(r#"format!\("([a-z][a-z-]*-)\{"#).unwrap();
        let (mut wanted, mut families) = (BTreeSet::new(), BTreeSet::new());
        for folder in ["src/web", "templates"] {
            for file in WalkDir::new(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))) {
                let file = file.unwrap();
                if !file.file_type().is_file() {
                    continue;
                }
                let text = std::fs::read_to_string(file.path()).unwrap();
                for found in asked.captures_iter(&text) {
                    let key = found.get(1).or(found.get(2)).unwrap();
                    wanted.insert(key.as_str().to_owned());
                }
                families.extend(made.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
        let known = keys(Lang::En);
        let missing: Vec<_> = wanted.iter().filter(|key| !known.contains_key(*key)).collect();
        assert!(missing.is_empty(), "asked for and not there: {missing:?}");
        let idle: Vec<_> = known
            .keys()
            .filter(|key| !wanted.contains(*key) && !families.iter().any(|f| key.starts_with(f)))
            .collect();
        assert!(idle.is_empty(), "there and never asked for: {idle:?}");
    }

    #[test]
    fn every_sentence_of_a_report_is_there_with_its_facts() {
        let place = Regex::new(r"\$([a-z]+)").unwrap();
        for lang in [Lang::En, Lang::Es] {
            let (code, texts) = (lang.code(), whole(lang));
            for fact in model::Fact::iter() {
                let key = format!("fact-{}", fact.code());
                let text = texts.get(&key).unwrap_or_else(|| panic!("{code} has no {key}"));
                let names: Vec<_> = fact.values().into_iter().map(|(name, _)| name).collect();
                for found in place.captures_iter(text) {
                    assert!(names.contains(&&found[1]), "{code}: {key} has no {}", &found[1]);
                }
            }
            let codes: BTreeSet<_> =
                model::Fact::iter().map(|fact| format!("fact-{}", fact.code())).collect();
            let idle = texts.keys().filter(|key| key.starts_with("fact-") && !codes.contains(*key));
            assert_eq!(idle.collect::<Vec<_>>(), [""; 0], "{code}");
        }
    }

    #[test]
    fn the_browsers_language_is_followed() {
        let accepted = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, text.parse().unwrap());
            Lang::accepted(&headers)
        };
        assert_eq!(accepted("es-AR,es;q=0.9,en;q=0.8"), Lang::Es);
        assert_eq!(accepted("de, en;q=0.5, es;q=0.4"), Lang::En);
        assert_eq!(accepted("fr"), Lang::En);
        assert_eq!(accepted("es;q=0, en;q=0.1"), Lang::En);
        assert_eq!(accepted("es;q=nan"), Lang::En);
    }
}
