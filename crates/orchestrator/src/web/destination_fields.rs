//! The fields of a form that describes a destination.

use std::collections::HashMap;

use model::{Destination, DestinationKind};

use super::{conflict::Told, form::Errors, lang::Lang};

/// What most people never need to say.
const RARE: &[&str] = &[
    "age_identity",
    "age_passphrase",
    "age_recipients",
    "no_catalog_copy",
    "object_lock",
    "object_lock_days",
    "path_style",
    "repository_password",
    "session_token",
    "storage_class",
];

/// The fields of a kind of destination.
#[derive(Default)]
pub(super) struct FieldRows {
    /// Those that everybody sees.
    pub(super) usual: Vec<FieldRow>,
    /// Those that are folded away.
    pub(super) rare: Vec<FieldRow>,
}

impl FieldRows {
    /// Without those that `is_kept` does not want.
    pub(super) fn retain(mut self, is_kept: impl Fn(&FieldRow) -> bool) -> Self {
        self.usual.retain(&is_kept);
        self.rare.retain(&is_kept);
        self
    }

    /// What the fields come to on a command line: those that are filled in, and those that must be.
    pub(super) fn flags(&self, kind: Option<&str>) -> String {
        let mut flags: Vec<String> =
            kind.map(|kind| format!("--kind {kind}")).into_iter().collect();
        for field in self.usual.iter().chain(&self.rare) {
            let name = &field.name;
            if field.secret {
                let is_wanted = field.needed || kind.is_some() && !RARE.contains(&name.as_str());
                if is_wanted {
                    flags.push(format!("--set-file {name}={name}.txt"));
                }
            } else if !field.value.is_empty() {
                let pair = format!("{name}={}", field.value);
                let pair = shlex::try_quote(&pair).unwrap_or_else(|_| name.as_str().into());
                flags.push(format!("--set {pair}"));
            } else if field.needed {
                flags.push(format!("--set {name}={}", name.to_uppercase()));
            }
        }
        flags.join(" ")
    }

    /// What they say; of secrets nothing.
    pub(super) fn tell(&self, told: &mut Told, lang: Lang) {
        for field in self.usual.iter().chain(&self.rare).filter(|field| !field.secret) {
            let chosen = field.choices.iter().find(|(value, _)| *value == field.value);
            match (field.tick, chosen) {
                (Some(tick), _) => told.tick(&field.label, field.value == tick, lang),
                (None, Some((_, word))) => told.say(&field.label, word),
                (None, None) => told.say(&field.label, &field.value),
            }
        }
    }

    /// Whether there is something to see in what is folded away.
    pub(super) fn opens(&self) -> bool {
        self.rare
            .iter()
            .any(|field| !field.value.is_empty() || field.stored || !field.errors.is_empty())
    }
}

/// A field of a kind of destination.
pub(super) struct FieldRow {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) hint: String,
    pub(super) value: String,
    pub(super) needed: bool,
    pub(super) secret: bool,
    pub(super) stored: bool,
    /// Of more than one line.
    pub(super) long: bool,
    /// What a tick box sends; `None` for a line of text.
    pub(super) tick: Option<&'static str>,
    /// What can be chosen, with how it is called; empty for what is typed.
    pub(super) choices: Vec<(&'static str, String)>,
    pub(super) errors: Vec<String>,
}

/// The fields of a kind, with what is known of them.
pub(super) fn fields_of(
    kind: DestinationKind,
    current: Option<&Destination>,
    values: &HashMap<String, String>,
    errors: &Errors,
    lang: Lang,
) -> FieldRows {
    let known = engine::fields_of(kind);
    let all = known
        .required
        .iter()
        .map(|name| (*name, true, false))
        .chain(known.optional.iter().map(|name| (*name, false, false)))
        .chain(known.secrets.iter().map(|name| (*name, false, true)))
        // Where there is nothing to choose.
        .filter(|(name, ..)| kind != DestinationKind::Rest || *name != "layout")
        // Nobody types what Google gives; one that is stored can be forgotten.
        .filter(|(name, ..)| {
            *name != "token" || current.is_some_and(|one| one.secrets.contains_key(*name))
        });
    let rows = all.map(|(name, needed, secret)| {
        let key = name.replace('_', "-");
        let group = if secret { "secrets" } else { "settings" };
        FieldRow {
            label: lang.t(&format!("field-{key}")),
            hint: lang
                .find(&format!("hint-{kind}-{key}"))
                .or_else(|| lang.find(&format!("hint-{key}")))
                .unwrap_or_default(),
            value: values.get(name).cloned().unwrap_or_default(),
            needed,
            secret,
            long: matches!(name, "private_key" | "service_account"),
            stored: current.is_some_and(|one| one.secrets.contains_key(name)),
            tick: match name {
                "path_style" | "folder_is_drive_id" | "no_catalog_copy" => Some("true"),
                "encryption" => Some("age"),
                "layout" => Some("repository"),
                _ => None,
            },
            choices: match name {
                "object_lock" => vec![
                    ("", lang.t("object-lock-off")),
                    ("governance", lang.t("object-lock-governance")),
                    ("compliance", lang.t("object-lock-compliance")),
                ],
                _ => Vec::new(),
            },
            errors: errors.of(&format!("{group}.{name}")).into_iter().map(str::to_owned).collect(),
            name: name.to_owned(),
        }
    });
    let (rare, usual) = rows.partition(|field| RARE.contains(&&*field.name));
    FieldRows { usual, rare }
}
