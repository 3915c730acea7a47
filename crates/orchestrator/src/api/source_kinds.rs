//! The kinds of source, and what each knows.

use engine::{SettingField, SettingValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Json;
use crate::source_kinds::{self, Kind};

/// A kind of source.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceKind)]
pub(super) struct KindShown {
    /// Its word, as the `kind` of a source.
    kind: &'static str,
    /// The settings it knows.
    settings: Vec<SettingShown>,
    /// The secrets it knows.
    secrets: Vec<SecretShown>,
}

/// A setting of a kind of source.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceSetting)]
struct SettingShown {
    /// Its key.
    key: &'static str,
    /// Whether the kind cannot do without it.
    required: bool,
    /// What it may be; all are sent as text.
    #[serde(rename = "type")]
    value: SettingType,
    /// Of a `choice`: what may be chosen; left out is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    choices: Option<&'static [&'static str]>,
    /// Of a `number`: the smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<i64>,
    /// Of a `number`: the largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<i64>,
}

/// What a setting may be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SourceSettingType)]
enum SettingType {
    /// One line.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; left out is `false`.
    Flag,
    /// One of some words.
    Choice,
    /// Lines, or words between commas.
    List,
}

/// A secret of a kind of source.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceSecret)]
struct SecretShown {
    /// Its key.
    key: &'static str,
    /// Whether a new source cannot do without it.
    required: bool,
}

impl From<&SettingField> for SettingShown {
    fn from(field: &SettingField) -> Self {
        let mut shown = Self {
            key: field.key,
            required: field.required,
            value: SettingType::Text,
            choices: None,
            minimum: None,
            maximum: None,
        };
        match field.value {
            SettingValue::Text => {}
            SettingValue::List => shown.value = SettingType::List,
            SettingValue::Flag => shown.value = SettingType::Flag,
            SettingValue::Choice(all) => {
                shown.value = SettingType::Choice;
                shown.choices = Some(all);
            }
            SettingValue::Number(least, most) => {
                shown.value = SettingType::Number;
                (shown.minimum, shown.maximum) = (Some(least), Some(most));
            }
        }
        shown
    }
}

impl From<Kind> for KindShown {
    fn from(kind: Kind) -> Self {
        let secret = |key: &&'static str| SecretShown { key, required: kind.needs_secret(key) };
        Self {
            kind: kind.word,
            settings: kind.settings.iter().map(Into::into).collect(),
            secrets: kind.secrets.iter().map(secret).collect(),
        }
    }
}

pub(super) async fn list() -> Json<Vec<KindShown>> {
    Json(source_kinds::all().into_iter().map(Into::into).collect())
}
