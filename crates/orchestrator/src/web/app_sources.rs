//! The sources in an app's form. Each has a slot, which stays while others come and go: the
//! fields of slot 1 are `s1-kind`, `s1-name`, `s1-host`, its secrets `s1-secret-password`.

use engine::{FieldError, SettingField, SettingValue, SourceDraft};
use jiff::tz::TimeZone;
use model::{App, Source};
use secrecy::SecretString;

use super::{
    form::{Errors, Fields},
    lang::Lang,
};
use crate::source_kinds::{self, CONTRACT, Kind};

/// Most sources that a form shows.
const MOST: usize = 64;
/// What a kind cannot do without, or hardly; the rest is folded away.
const SIMPLE: &[&str] = &[
    "url",
    "host",
    "port",
    "user",
    "database",
    "path",
    "volume",
    "containers",
    "container",
    "exclude",
    "snapshot",
];

/// A source as the form shows it.
pub(super) struct SourceBox {
    pub(super) slot: String,
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) kinds: Vec<Choice>,
    /// One sentence about the kind.
    pub(super) about: String,
    /// The app has it already: its name stays.
    pub(super) stored: bool,
    pub(super) alone: bool,
    pub(super) fields: Vec<FieldRow>,
    pub(super) more: Vec<FieldRow>,
    pub(super) open: bool,
    pub(super) name_errors: Vec<String>,
    pub(super) kind_errors: Vec<String>,
}

/// Something that can be chosen.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) word: String,
    pub(super) here: bool,
}

/// A field of a source.
pub(super) struct FieldRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) hint: String,
    pub(super) input: &'static str,
    pub(super) value: String,
    pub(super) choices: Vec<Choice>,
    pub(super) needed: bool,
    /// The tick box to forget a secret that is stored, where it may be.
    pub(super) forget: Option<(String, &'static str)>,
    /// A secret that was typed and is not sent back.
    pub(super) again: bool,
    pub(super) errors: Vec<String>,
}

/// The slots that are there, in their order; a form without any has one.
fn slots(fields: &Fields) -> Vec<String> {
    let mut slots: Vec<String> = Vec::new();
    for slot in fields.all("source").take(MOST) {
        let is_slot = (1..=4).contains(&slot.len()) && slot.bytes().all(|b| b.is_ascii_digit());
        if is_slot && !slots.iter().any(|known| known == slot) {
            slots.push(slot.to_owned());
        }
    }
    if slots.is_empty() {
        slots.push("0".to_owned());
    }
    slots
}

fn kind_of(fields: &Fields, slot: &str) -> Option<Kind> {
    match fields.text(&format!("s{slot}-kind")) {
        "" => source_kinds::find(CONTRACT),
        word => source_kinds::find(word),
    }
}

/// The fields that describe `app`'s sources.
pub(super) fn stored(app: &App) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (slot, source) in app.sources.iter().enumerate() {
        let word = source.word();
        fields.push(("source".to_owned(), slot.to_string()));
        for (key, value) in [("name", source.name.as_str()), ("kind", word), ("was", word)] {
            fields.push((format!("s{slot}-{key}"), value.to_owned()));
        }
        let known = engine::shown_settings(source);
        fields.extend(known.into_iter().map(|(key, value)| (format!("s{slot}-{key}"), value)));
    }
    fields
}

/// The fields of a first source that an address asks for: its kind and the kind's settings.
pub(super) fn asked(query: &[(String, String)]) -> Vec<(String, String)> {
    let of = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let kind = of("kind").and_then(|word| source_kinds::find(word));
    let word = kind.map_or(CONTRACT, |kind| kind.word);
    let mut fields =
        vec![("source".to_owned(), "0".to_owned()), ("s0-kind".to_owned(), word.to_owned())];
    for setting in kind.iter().flat_map(|kind| kind.settings) {
        if let Some(value) = of(setting.key) {
            fields.push((format!("s0-{}", setting.key), value.clone()));
        }
    }
    fields
}

/// The drafts that the fields describe.
pub(super) fn drafts(fields: &Fields) -> Vec<SourceDraft> {
    let draft = |slot: &String| {
        let text = |key: &str| fields.text(&format!("s{slot}-{key}"));
        let kind = kind_of(fields, slot);
        let mut draft = SourceDraft {
            name: text("name").to_owned(),
            kind: kind.map_or_else(|| text("kind"), |kind| kind.word).to_owned(),
            forget_secrets: fields.all(&format!("s{slot}-forget")).map(str::to_owned).collect(),
            ..SourceDraft::default()
        };
        let Some(kind) = kind else { return draft };
        for field in kind.settings {
            let value = match field.value {
                SettingValue::Flag if text(field.key).is_empty() => "",
                SettingValue::Flag => "true",
                // Left out is the first.
                SettingValue::Choice([first, ..]) if text(field.key) == *first => "",
                _ => text(field.key),
            };
            if !value.is_empty() {
                draft.settings.insert(field.key.to_owned(), value.to_owned());
            }
        }
        for key in kind.secrets {
            // Spaces around a password may be part of it; around a token they are a slip.
            let field = format!("s{slot}-secret-{key}");
            let typed = fields.all(&field).next().unwrap_or_default();
            let typed = if *key == "token" { typed.trim() } else { typed };
            if !typed.is_empty() {
                draft.secrets.insert((*key).to_owned(), SecretString::from(typed));
            }
        }
        draft
    };
    slots(fields).iter().map(draft).collect()
}

/// Adds or takes away a source as `action` says, and names those whose kind has changed. Whether
/// the action was about sources.
pub(super) fn reshape(fields: &mut Fields, action: &str) -> bool {
    let mut slots = slots(fields);
    if action == "add-source" {
        if slots.len() < MOST {
            let highest = slots.iter().filter_map(|slot| slot.parse::<u32>().ok()).max();
            let slot = highest.map_or(0, |highest| highest + 1).to_string();
            let kind = fields.text("add-kind").to_owned();
            fields.set(&format!("s{slot}-kind"), &kind);
            slots.push(slot);
        }
    } else if let Some(gone) = action.strip_prefix("remove-source-") {
        if slots.len() > 1 {
            slots.retain(|slot| slot != gone);
            fields.retain(|name| !name.starts_with(&format!("s{gone}-")));
        }
    } else if action != "kind-source" {
        return false;
    }
    fields.retain(|name| name != "source");
    for slot in &slots {
        fields.push("source", slot);
    }
    for (at, slot) in slots.iter().enumerate() {
        let word = kind_of(fields, slot).map_or(CONTRACT, |kind| kind.word);
        let was = fields.text(&format!("s{slot}-was")).to_owned();
        let name = fields.text(&format!("s{slot}-name")).to_owned();
        let is_ours = name.is_empty() || !was.is_empty() && name.starts_with(was.as_str());
        if was != word && is_ours && at > 0 {
            let name = free_name(fields, &slots, word);
            fields.set(&format!("s{slot}-name"), &name);
        }
        fields.set(&format!("s{slot}-was"), word);
    }
    true
}

/// The kind's own word, with a number where another source is called that.
fn free_name(fields: &Fields, slots: &[String], word: &str) -> String {
    let word = if word == CONTRACT { "app" } else { word };
    let taken = |name: &str| {
        slots.iter().any(|slot| fields.text(&format!("s{slot}-name")).eq_ignore_ascii_case(name))
    };
    let numbered = (2..).map(|number| format!("{word}-{number}"));
    std::iter::once(word.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// The label of a kind's setting: the kind's own, one for all kinds, or the key.
pub(super) fn label(lang: Lang, kind: &str, key: &str) -> String {
    lang.find(&format!("source-{kind}-{key}"))
        .or_else(|| lang.find(&format!("source-any-{key}")))
        .unwrap_or_else(|| key.replace('_', " "))
}

/// The name of a kind.
pub(super) fn kind_word(lang: Lang, kind: &str) -> String {
    lang.find(&format!("source-kind-{kind}")).unwrap_or_else(|| kind.to_owned())
}

/// Where a source is, in a few words.
pub(super) fn place(lang: Lang, source: &Source) -> String {
    let all = engine::shown_settings(source);
    let of = |key: &str| all.get(key).map(String::as_str).unwrap_or_default();
    match (of("url"), of("volume"), of("path")) {
        ("", "", "") => {}
        ("", "", paths) => return words(paths),
        ("", volume, _) => return volume.to_owned(),
        (url, ..) => return url.to_owned(),
    }
    let mut place = match (of("container"), of("host"), of("socket")) {
        ("", "", "") => String::new(),
        ("", "", socket) => socket.to_owned(),
        ("", host, _) if of("port").is_empty() => host.to_owned(),
        ("", host, _) => format!("{host}:{}", of("port")),
        (container, ..) => lang.with("source-in-container", "name", container),
    };
    let databases = match of("database") {
        "*" => lang.t("source-all-databases"),
        some => words(some),
    };
    if !databases.is_empty() && !place.is_empty() {
        place.insert_str(0, " · ");
    }
    place.insert_str(0, &databases);
    place
}

/// The lines of a list, or what stands between its commas, in one line.
fn words(list: &str) -> String {
    let words = list.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(", ")
}

/// What is wrong with sources, each with the name of its field, for where no field is at hand.
pub(super) fn problems(
    fields: &Fields,
    errors: &[FieldError],
    lang: Lang,
    zone: &TimeZone,
) -> Vec<String> {
    let slots = slots(fields);
    let told = |error: &FieldError| {
        let text = lang.sentence(&error.sentence(), zone);
        let Some(rest) = error.field.strip_prefix("sources[") else { return text };
        let (at, rest) = rest.split_once(']').unwrap_or((rest, ""));
        let kind = at.parse().ok().and_then(|at: usize| kind_of(fields, slots.get(at)?));
        let key = rest.rsplit('.').next().unwrap_or_default();
        let word = kind.map_or(CONTRACT, |kind| kind.word);
        format!("{}: {text}", label(lang, word, key))
    };
    errors.iter().map(told).collect()
}

/// The kinds to choose from.
pub(super) fn kinds(lang: Lang, here: &str) -> Vec<Choice> {
    let choice = |kind: Kind| Choice {
        value: kind.word,
        word: kind_word(lang, kind.word),
        here: kind.word == here,
    };
    source_kinds::all().into_iter().map(choice).collect()
}

/// The sources that the fields describe, as the form shows them.
pub(super) fn boxes(
    fields: &Fields,
    current: Option<&App>,
    errors: &Errors,
    lang: Lang,
) -> Vec<SourceBox> {
    let slots = slots(fields);
    let contract = source_kinds::find(CONTRACT);
    let show = |(at, slot): (usize, &String)| {
        let kind = kind_of(fields, slot).or(contract)?;
        let name = fields.text(&format!("s{slot}-name"));
        let known = current.and_then(|app| {
            app.sources.iter().find(|one| !name.is_empty() && one.name.as_str() == name)
        });
        let form = Form { fields, slot, at, kind, known, errors, lang };
        let all = form.rows();
        let (plain, more): (Vec<_>, Vec<_>) = all.into_iter().partition(|(simple, _)| *simple);
        let more: Vec<_> = more.into_iter().map(|(_, row)| row).collect();
        Some(SourceBox {
            number: at + 1,
            name: name.to_owned(),
            kind: kind.word,
            kinds: kinds(lang, kind.word),
            about: lang.find(&format!("source-about-{}", kind.word)).unwrap_or_default(),
            stored: known.is_some(),
            alone: slots.len() == 1,
            open: more.iter().any(|row| !row.errors.is_empty()),
            fields: plain.into_iter().map(|(_, row)| row).collect(),
            more,
            name_errors: owned(&errors.of(&format!("sources[{at}].name"))),
            kind_errors: owned(&errors.of(&format!("sources[{at}].kind"))),
            slot: slot.clone(),
        })
    };
    slots.iter().enumerate().filter_map(show).collect()
}

fn owned(errors: &[&str]) -> Vec<String> {
    errors.iter().map(|&error| error.to_owned()).collect()
}

/// What the rows of one source are made from.
struct Form<'a> {
    fields: &'a Fields,
    slot: &'a str,
    at: usize,
    kind: Kind,
    known: Option<&'a Source>,
    errors: &'a Errors,
    lang: Lang,
}

impl Form<'_> {
    /// Its settings and secrets, each with whether it is shown at once.
    fn rows(&self) -> Vec<(bool, FieldRow)> {
        let settings =
            self.kind.settings.iter().map(|field| (self.is_simple(field), self.setting(field)));
        let mut rows: Vec<_> = settings.collect();
        // Secrets stand behind what is shown at once.
        rows.sort_by_key(|(simple, _)| !*simple);
        let at = rows.iter().filter(|(simple, _)| *simple).count();
        let secrets = self.kind.secrets.iter().map(|key| (true, self.secret(key)));
        rows.splice(at..at, secrets.collect::<Vec<_>>());
        rows
    }

    /// What is needed, what is usual, and what is filled in already.
    fn is_simple(&self, field: &SettingField) -> bool {
        let value = self.fields.text(&format!("s{}-{}", self.slot, field.key));
        let is_set = !value.is_empty() && self.kind.word != CONTRACT;
        field.required || SIMPLE.contains(&field.key) || is_set && self.is_far_from_first(field)
    }

    fn is_far_from_first(&self, field: &SettingField) -> bool {
        let value = self.fields.text(&format!("s{}-{}", self.slot, field.key));
        !matches!(field.value, SettingValue::Choice([first, ..]) if value == *first)
    }

    /// The first server of the contract has the plain names as ids.
    fn id(&self, key: &str) -> String {
        if self.at == 0 && self.kind.word == CONTRACT {
            return key.to_owned();
        }
        format!("s{}-{key}", self.slot)
    }

    fn hint(&self, key: &str) -> String {
        self.lang
            .find(&format!("source-hint-{}-{key}", self.kind.word))
            .or_else(|| self.lang.find(&format!("source-hint-any-{key}")))
            .unwrap_or_default()
    }

    fn setting(&self, field: &SettingField) -> FieldRow {
        let name = format!("s{}-{}", self.slot, field.key);
        let value = self.fields.all(&name).next().unwrap_or_default().to_owned();
        let (input, words): (_, &[&'static str]) = match field.value {
            SettingValue::Text => ("text", &[]),
            SettingValue::Number(..) => ("number", &[]),
            SettingValue::Flag => ("flag", &[]),
            SettingValue::List => ("list", &[]),
            SettingValue::Choice(all) => ("choice", all),
        };
        let choices = words
            .iter()
            .map(|&word| Choice {
                word: self
                    .lang
                    .find(&format!("source-choice-{}-{word}", field.key))
                    .unwrap_or_else(|| word.to_owned()),
                here: value == word,
                value: word,
            })
            .collect();
        let about = format!("sources[{}].settings.{}", self.at, field.key);
        FieldRow {
            id: self.id(field.key),
            label: label(self.lang, self.kind.word, field.key),
            hint: self.hint(field.key),
            input,
            value: if field.value == SettingValue::Flag && value == "false" {
                String::new()
            } else {
                value
            },
            choices,
            needed: field.required,
            forget: None,
            again: false,
            errors: owned(&self.errors.of(&about)),
            name,
        }
    }

    fn secret(&self, key: &'static str) -> FieldRow {
        let name = format!("s{}-secret-{key}", self.slot);
        let kept = self.known.is_some_and(|known| {
            known.word() == self.kind.word
                && engine::stored_secrets(known).iter().any(|stored| stored == key)
        });
        let needed = self.kind.needs_secret(key);
        FieldRow {
            id: self.id(key),
            label: label(self.lang, self.kind.word, key),
            hint: if kept {
                let own = self.lang.find(&format!("source-kept-{}-{key}", self.kind.word));
                own.unwrap_or_else(|| self.lang.t("secret-kept"))
            } else {
                self.hint(key)
            },
            input: "secret",
            value: String::new(),
            choices: Vec::new(),
            needed: needed && !kept,
            forget: (kept && !needed).then(|| (format!("s{}-forget", self.slot), key)),
            again: self.fields.all("typed").any(|typed| typed == name),
            errors: owned(&self.errors.of(&format!("sources[{}].secrets.{key}", self.at))),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::Fact;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn map(fields: &Fields) -> BTreeMap<String, String> {
        fields.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn fields(text: &str) -> Fields {
        Fields::read(text.as_bytes())
    }

    #[test]
    fn sources_come_and_go_and_what_was_typed_stays() {
        let mut form = fields("source=0&s0-kind=contract&s0-url=http://a&add-kind=files");
        assert!(reshape(&mut form, "add-source"));
        assert!(reshape(&mut form, "add-source"));
        let all = map(&form);
        assert_eq!(form.all("source").collect::<Vec<_>>(), ["0", "1", "2"]);
        assert_eq!(all["s1-name"], "files");
        assert_eq!(all["s2-name"], "files-2");
        assert!(!all.contains_key("s0-name"), "the only source is called as the app");
        form.set("s1-path", "/srv");
        form.set("s2-kind", "sqlite");
        assert!(reshape(&mut form, "remove-source-0"));
        let all = map(&form);
        assert_eq!(form.all("source").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(all["s1-path"], "/srv");
        assert_eq!(all["s2-name"], "sqlite", "a name of ours follows the kind");
        assert!(!all.contains_key("s0-url"));
        assert!(reshape(&mut form, "remove-source-1") && reshape(&mut form, "remove-source-2"));
        assert_eq!(form.all("source").count(), 1, "one stays");
        assert!(!reshape(&mut form, "save"));
    }

    #[test]
    fn a_draft_has_what_was_filled_in() {
        let form = fields(
            "source=0&s0-kind=contract&s0-url=http://a&s0-secret-token=+abc+&s0-allow_empty=on\
             &s0-nonsense=1&source=7&s7-kind=other&s7-name=x&source=../x&source=7",
        );
        let drafts = drafts(&form);
        assert_eq!(drafts.len(), 2);
        assert_eq!(drafts[0].settings["url"], "http://a");
        assert_eq!(drafts[0].settings["allow_empty"], "true");
        assert_eq!(drafts[0].settings.len(), 2);
        assert_eq!(drafts[0].secrets["token"].expose_secret(), "abc");
        assert_eq!((drafts[1].name.as_str(), drafts[1].kind.as_str()), ("x", "other"));
        let none = super::drafts(&fields("name=shop"));
        assert_eq!((none.len(), none[0].kind.as_str()), (1, CONTRACT));
    }

    #[test]
    fn problems_name_their_fields() {
        let form = fields("source=3&s3-kind=contract");
        let errors = [FieldError::new("sources[0].settings.url", Fact::UrlHost {})];
        let told = |lang| problems(&form, &errors, lang, &TimeZone::UTC);
        assert_eq!(told(Lang::En), ["Internal URL: it names no host"]);
        assert!(told(Lang::Es)[0].ends_with(": no nombra ningún servidor"), "{:?}", told(Lang::Es));
    }
}
