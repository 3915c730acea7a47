//! Every kind of source with what it knows, the contract's server among them.

use engine::{SettingField, SettingValue};
use model::DirectKind;
use strum::IntoEnumIterator as _;

/// The kind of an app or sidecar that serves the contract.
pub(crate) const CONTRACT: &str = "contract";

const fn field(key: &'static str, required: bool, value: SettingValue) -> SettingField {
    SettingField { key, required, value }
}

const CONTRACT_SETTINGS: &[SettingField] = &[
    field("url", true, SettingValue::Text),
    field("export_type", false, SettingValue::Text),
    field("drive_folder_id", false, SettingValue::Text),
    field("accept_unverified", false, SettingValue::Flag),
    field("allow_empty", false, SettingValue::Flag),
];

/// A kind of source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// In one word.
    pub(crate) word: &'static str,
    pub(crate) settings: &'static [SettingField],
    pub(crate) secrets: &'static [&'static str],
}

impl Kind {
    /// Whether a new source of it cannot do without this secret.
    pub(crate) fn needs_secret(&self, key: &str) -> bool {
        self.word == CONTRACT && key == "token"
    }
}

/// All kinds, the contract's first.
pub(crate) fn all() -> Vec<Kind> {
    let contract = Kind { word: CONTRACT, settings: CONTRACT_SETTINGS, secrets: &["token"] };
    let direct = DirectKind::iter().map(|kind| Kind {
        word: kind.into(),
        settings: engine::settings_of(kind),
        secrets: engine::secrets_of(kind),
    });
    std::iter::once(contract).chain(direct).collect()
}

/// The kind of this word.
pub(crate) fn find(word: &str) -> Option<Kind> {
    all().into_iter().find(|kind| kind.word == word)
}
