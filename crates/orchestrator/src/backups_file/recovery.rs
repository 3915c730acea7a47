//! `recovery`: an app's continuous archive of WAL.

use engine::RecoveryDraft;
use model::WalWay;
use serde_json::Value;

use super::{
    export::{number, text},
    keys::RecoveryEntry,
    reader::Reader,
    values::Flag,
};

impl Reader<'_> {
    /// None, said as such, where nothing is said: the file is the whole truth.
    pub(super) fn recovery(&mut self, base: &str, entry: Option<&RecoveryEntry>) -> RecoveryDraft {
        let default = RecoveryDraft::default();
        let Some(entry) = entry else { return RecoveryDraft { enabled: false, ..default } };
        let at = |key: &str| format!("{base}.recovery.{key}");
        let way = entry.way.as_ref().map(|raw| {
            let word = self.text(&at("way"), raw);
            word.trim().parse().unwrap_or_else(|_| {
                self.wrong(&at("way"), "`stream` or `push`");
                WalWay::default()
            })
        });
        let source = entry.source.as_ref().map(|raw| self.text(&at("source"), raw));
        let destination = entry.destination.as_ref();
        let destination = destination.map(|raw| self.text(&at("destination"), raw));
        let every = self.number(&at("base_every_hours"), entry.base_every_hours.as_ref());
        let window = self.number(&at("window_days"), entry.window_days.as_ref());
        RecoveryDraft {
            enabled: true,
            source,
            way: way.unwrap_or(default.way),
            destination,
            base_every_hours: every.unwrap_or(default.base_every_hours),
            window_days: window.unwrap_or(default.window_days),
            heartbeat: self.flag(&at("heartbeat"), entry.heartbeat.as_ref(), default.heartbeat),
            most_kept_bytes: self.number(&at("most_kept_bytes"), entry.most_kept_bytes.as_ref()),
        }
    }
}

/// The plan as an entry, with the destination's name.
pub(super) fn entry(one: &Value, name_of: impl Fn(&str) -> String) -> Option<RecoveryEntry> {
    one.is_object().then(|| RecoveryEntry {
        way: Some(text(&one["way"])),
        source: Some(text(&one["source"])),
        destination: Some(name_of(&text(&one["destination"]))),
        base_every_hours: number(&one["base_every_hours"]),
        window_days: number(&one["window_days"]),
        heartbeat: (one["heartbeat"] == true).then(|| Flag("true".to_owned())),
        most_kept_bytes: number(&one["most_kept_bytes"]),
    })
}
